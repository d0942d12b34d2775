//! Which settings a shape of the service uses, and what is said of those that have no effect in it.
//!
//! One file may be for all shapes, and so may an environment: what is said there for the others is
//! a warning. On the command line it is a mistake, and the help does not offer it.

use anyhow::{Context, Result, bail};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use std::path::Path;

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Feeds, publisher and edge.
    AllInOne,
    /// Feeds and publisher, onto a bus.
    Publisher,
    /// The edge alone, from a bus.
    Gateway,
}

use Shape::{AllInOne, Gateway, Publisher};

const ALL: &[Shape] = &[AllInOne, Publisher, Gateway];
const WITH_FEEDS: &[Shape] = &[AllInOne, Publisher];
const WITH_CLIENTS: &[Shape] = &[AllInOne, Gateway];
const WITH_BUS: &[Shape] = &[Publisher, Gateway];

/// Keys of the file, a table as a whole, and who uses them.
const USED: [(&str, &[Shape]); 33] = [
    ("feed", WITH_FEEDS),
    ("symbols", WITH_FEEDS),
    ("replay", WITH_FEEDS),
    ("replay_speed", WITH_FEEDS),
    ("replay_loop", WITH_FEEDS),
    // A publisher does not know of subscribers.
    ("replay_wait", &[AllInOne]),
    ("sim_instruments", WITH_FEEDS),
    ("sim_rate", WITH_FEEDS),
    ("sim_seed", WITH_FEEDS),
    ("sim_zipf", WITH_FEEDS),
    ("sim_pace", WITH_FEEDS),
    ("venues", WITH_FEEDS),
    ("nats", WITH_FEEDS),
    ("partitions", WITH_FEEDS),
    ("bus", WITH_BUS),
    ("listen", WITH_CLIENTS),
    ("tls_cert", WITH_CLIENTS),
    ("tls_key", WITH_CLIENTS),
    ("auth", WITH_CLIENTS),
    ("shards", WITH_CLIENTS),
    ("flush_interval", WITH_CLIENTS),
    ("flush_mode", WITH_CLIENTS),
    ("deflate", WITH_CLIENTS),
    ("canary", WITH_CLIENTS),
    // What travels on a bus is in real time; gateways have the tiers.
    ("tiers", WITH_CLIENTS),
    ("allow_origin", WITH_CLIENTS),
    ("trust_proxy", WITH_CLIENTS),
    ("limits", WITH_CLIENTS),
    ("drain_window", WITH_CLIENTS),
    ("takeover", WITH_CLIENTS),
    ("admin", ALL),
    ("log_format", ALL),
    ("config", ALL),
];

/// The tables of the file, and what clap calls their arguments together.
const TABLES: [(&str, &str); 5] = [
    ("AuthSettings", "auth"),
    ("BusSettings", "bus"),
    ("LimitsSettings", "limits"),
    ("NatsSettings", "nats"),
    ("TakeoverSettings", "takeover"),
];

impl Shape {
    pub(crate) const fn subcommand(self) -> &'static str {
        match self {
            AllInOne => "serve",
            Publisher => "publish",
            Gateway => "gateway",
        }
    }

    /// The shape that is started so.
    pub(crate) fn started_by(subcommand: &str) -> Option<Shape> {
        ALL.iter().copied().find(|shape| shape.subcommand() == subcommand)
    }

    fn uses(self, key: &str) -> bool {
        users(key).is_none_or(|users| users.contains(&self))
    }

    /// Which variables of the environment say something that has no effect.
    ///
    /// *Errors* name an argument that has none.
    pub(crate) fn unused_variables(
        self,
        command: &Command,
        matches: &ArgMatches,
    ) -> Result<Vec<String>> {
        let mut variables = Vec::new();
        for argument in command.get_arguments() {
            let (id, key) = (argument.get_id().as_str(), key_of(command, argument));
            if self.uses(&key) || !matches.try_contains_id(id).unwrap_or(false) {
                continue;
            }
            match (matches.value_source(id), argument.get_long(), argument.get_env()) {
                (Some(ValueSource::CommandLine), Some(flag), _) => {
                    let users = users(&key).unwrap_or_default().iter();
                    let users: Vec<_> =
                        users.map(|shape| format!("`{}`", shape.subcommand())).collect();
                    let (name, users) = (self.subcommand(), users.join(" and "));
                    bail!("--{flag}: has no effect in `{name}`, it is for {users}");
                }
                // An empty one says nothing.
                (Some(ValueSource::EnvVariable), _, Some(variable))
                    if std::env::var_os(variable).is_some_and(|value| !value.is_empty()) =>
                {
                    variables.push(variable.to_string_lossy().into_owned());
                }
                _ => {}
            }
        }
        Ok(variables)
    }

    /// Which keys and tables of a file have no effect. *Errors:* it cannot be read.
    pub(crate) fn unused_keys(self, path: &Path) -> Result<Vec<String>> {
        let read = || format!("configuration {}", path.display());
        let text = std::fs::read_to_string(path).with_context(read)?;
        let file: toml::Table = toml::from_str(&text).with_context(read)?;
        Ok(file.keys().filter(|key| !self.uses(key)).cloned().collect())
    }
}

/// The command line whose help offers each subcommand what it uses.
pub(crate) fn offered(command: Command) -> Command {
    ALL.iter().fold(command, |command, shape| {
        command.mut_subcommand(shape.subcommand(), |command| {
            let unused = |argument: &&clap::Arg| !shape.uses(&key_of(&command, argument));
            let unused: Vec<_> =
                command.get_arguments().filter(unused).map(|a| a.get_id().clone()).collect();
            unused
                .into_iter()
                .fold(command, |command, id| command.mut_arg(id, |argument| argument.hide(true)))
        })
    })
}

fn users(key: &str) -> Option<&'static [Shape]> {
    USED.iter().find(|(known, _)| *known == key).map(|(_, users)| *users)
}

/// The key of the file, or its table, that says the same as an argument.
fn key_of(command: &Command, argument: &clap::Arg) -> String {
    let has_it = |name: &str| {
        let mut groups = command.get_groups().filter(|group| group.get_id() == name);
        groups.any(|group| group.get_args().any(|id| id == argument.get_id()))
    };
    let table = TABLES.iter().find(|(group, _)| has_it(group));
    table.map_or(argument.get_id().as_str(), |(_, table)| table).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use clap::Args;

    fn serve() -> Command {
        Settings::augment_args(Command::new("serve"))
    }

    #[test]
    fn of_every_setting_it_is_said_who_uses_it() {
        let command = serve();
        for argument in command.get_arguments() {
            let key = key_of(&command, argument);
            assert!(users(&key).is_some(), "{key}, of {}, has no row in USED", argument.get_id());
        }
        for (_, table) in TABLES {
            let of_it = |argument: &clap::Arg| key_of(&command, argument) == table;
            assert!(command.get_arguments().any(of_it), "no argument is of {table}");
        }
        for (key, _) in USED.iter().filter(|(key, _)| !["config", "venues"].contains(key)) {
            let says = |argument: &clap::Arg| key_of(&command, argument) == *key;
            assert!(command.get_arguments().any(says), "{key} is no setting");
        }
    }

    #[test]
    fn an_argument_without_effect_is_named() {
        for (shape, arguments, says) in [
            (Gateway, ["serve", "--sim-rate", "5"], "--sim-rate: has no effect in `gateway`"),
            (Publisher, ["serve", "--listen", "0.0.0.0:1"], "it is for `serve` and `gateway`"),
            (Publisher, ["serve", "--auth-secret", "x"], "--auth-secret: has no effect"),
            (Publisher, ["serve", "--connections-max", "5"], "--connections-max: has no effect"),
            (AllInOne, ["serve", "--bus", "nats://h"], "it is for `publish` and `gateway`"),
        ] {
            let matches = serve().try_get_matches_from(arguments).expect("it is read");
            let error = shape.unused_variables(&serve(), &matches).expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
