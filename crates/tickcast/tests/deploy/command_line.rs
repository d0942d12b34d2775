//! What the binary says of its own command line: its subcommands, and for each the flags, variables
//! and defaults of its `--help`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::OnceLock;

/// Variables that no flag stands for: the log's filter.
const WITHOUT_FLAG: &[&str] = &["TICKCAST_LOG"];

/// One subcommand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subcommand {
    pub(crate) flags: BTreeSet<String>,
    pub(crate) variables: BTreeSet<String>,
    /// By flag, as the help tells it.
    pub(crate) defaults: BTreeMap<String, String>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct CommandLine(BTreeMap<String, Subcommand>);

impl CommandLine {
    /// As the binary says it.
    pub(crate) fn get() -> &'static CommandLine {
        static ASKED: OnceLock<CommandLine> = OnceLock::new();
        ASKED.get_or_init(|| {
            let all = names()
                .into_iter()
                .map(|name| {
                    let subcommand = parse(&help(&[&name]));
                    (name, subcommand)
                })
                .collect();
            CommandLine(all)
        })
    }

    /// A subcommand, by its name.
    pub(crate) fn subcommand(&self, name: &str) -> Option<&Subcommand> {
        self.0.get(name)
    }

    /// Whether any subcommand reads it.
    pub(crate) fn has_variable(&self, name: &str) -> bool {
        WITHOUT_FLAG.contains(&name) || self.0.values().any(|one| one.variables.contains(name))
    }

    /// Whether any subcommand has it.
    pub(crate) fn has_flag(&self, name: &str) -> bool {
        self.0.values().any(|one| one.flags.contains(name))
    }

    /// What `serve` does where nothing is said.
    pub(crate) fn default_of(&self, flag: &str) -> &str {
        let default = self.0["serve"].defaults.get(flag);
        default.unwrap_or_else(|| panic!("the help tells {flag}'s default"))
    }

    /// The port of an address that is a default.
    pub(crate) fn port_of(&self, flag: &str) -> u16 {
        let address: std::net::SocketAddr = self.default_of(flag).parse().expect("an address");
        address.port()
    }

    /// How many seconds a drain takes at most where nothing is said, the last closes included.
    pub(crate) fn drain_seconds(&self) -> u64 {
        seconds(self.default_of("--drain-window")) + DRAIN_GRACE_SECONDS
    }
}

/// How long after the drain window connections may still take to close.
pub(crate) const DRAIN_GRACE_SECONDS: u64 = 5;

/// A time in whole seconds, as settings and units have it.
pub(crate) fn seconds(text: &str) -> u64 {
    let number = text.trim_end_matches('s');
    number.parse().unwrap_or_else(|_| panic!("{text:?} is a time in seconds"))
}

fn help(subcommand: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
    let output = command.args(subcommand).arg("--help").output().expect("the binary starts");
    assert!(output.status.success(), "{subcommand:?} --help");
    String::from_utf8(output.stdout).expect("text")
}

fn names() -> Vec<String> {
    let help = help(&[]);
    let (_, rest) = help.split_once("Commands:\n").expect("it lists its commands");
    let (list, _) = rest.split_once("\n\n").expect("the list ends");
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    list.lines().filter_map(first).filter(|name| name != "help").collect()
}

/// The help of one. Long lines are wrapped: a flag's text is everything up to the next flag.
fn parse(help: &str) -> Subcommand {
    let mut subcommand = Subcommand::default();
    let (_, options) = help.split_once("Options:\n").expect("it has options");
    let mut entries: Vec<(String, String)> = Vec::new();
    for line in options.lines() {
        let text = line.trim();
        let flag = text.split_whitespace().find(|word| word.starts_with("--"));
        match flag {
            Some(flag) if text.starts_with('-') => {
                let name = flag.split(['=', '[', '<']).next().unwrap_or(flag);
                entries.push((name.trim_end_matches(',').to_owned(), text.to_owned()));
            }
            _ => {
                if let Some((_, entry)) = entries.last_mut() {
                    entry.push(' ');
                    entry.push_str(text);
                }
            }
        }
    }
    for (flag, text) in entries {
        if let Some(variable) = bracketed(&text, "[env: ") {
            subcommand.variables.insert(variable.trim_end_matches('=').to_owned());
        }
        if let Some(default) = bracketed(&text, "[default: ") {
            subcommand.defaults.insert(flag.clone(), default.to_owned());
        }
        subcommand.flags.insert(flag);
    }
    subcommand
}

fn bracketed<'a>(text: &'a str, begin: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    rest.split(']').next()
}

#[test]
fn the_help_is_understood() {
    let all = CommandLine::get();
    let serve = all.subcommand("serve").expect("it serves");
    assert!(serve.flags.len() > 40, "{serve:?}");
    assert_eq!(serve.variables.len() + 1, serve.flags.len(), "one for each but --help: {serve:?}");
    assert_eq!(all.default_of("--listen"), "127.0.0.1:8080");
    assert!(all.has_variable("TICKCAST_LIMITS_CONNECTIONS_MAX"), "on a line of its own");
    assert!(!all.has_variable("TICKCAST_PORT") && !all.has_flag("--port"));
    assert!(all.subcommand("health").is_some_and(|health| health.flags.contains("--live")));
}
