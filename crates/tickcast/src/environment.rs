//! Variables of the environment that look like settings and are none: misspelt ones.

use clap::Command;
use std::collections::BTreeSet;

const PREFIX: &str = "TICKCAST_";

/// A name at least so much like a setting's (0 nothing, 1 all) is taken for a misspelt one.
const LIKE_MIN: f64 = 0.9;

/// The names among `variables` that no command reads, each with the setting that is most like it.
/// What Kubernetes tells of services called `tickcast…` is left out.
pub(crate) fn misspelt(
    command: &Command,
    also_read: &str,
    variables: impl Iterator<Item = String>,
) -> Vec<String> {
    let mut read = BTreeSet::from([also_read.to_owned()]);
    for arguments in command.get_subcommands().map(Command::get_arguments) {
        let names = arguments.filter_map(clap::Arg::get_env);
        read.extend(names.map(|name| name.to_string_lossy().into_owned()));
    }
    let mut found: Vec<String> = variables
        .filter(|name| name.starts_with(PREFIX) && !read.contains(name) && !is_service_link(name))
        .map(|name| match most_like(&name, &read) {
            Some(setting) => format!("{name} ({setting}?)"),
            None => name,
        })
        .collect();
    found.sort();
    found
}

fn most_like<'a>(name: &str, settings: &'a BTreeSet<String>) -> Option<&'a String> {
    // They all begin alike.
    let likeness = |setting: &str| {
        strsim::jaro_winkler(&name[PREFIX.len()..], setting.strip_prefix(PREFIX).unwrap_or(setting))
    };
    let scored = settings.iter().map(|setting| (likeness(setting), setting));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(score, _)| *score >= LIKE_MIN).map(|(_, setting)| setting)
}

/// `TICKCAST_GATEWAY_SERVICE_HOST`, `TICKCAST_PORT`, `TICKCAST_PORT_8080_TCP_ADDR` and the like.
fn is_service_link(name: &str) -> bool {
    let ports = name.split("_PORT").skip(1);
    let mut after_port = ports.map(|rest| rest.strip_prefix('_').unwrap_or(rest));
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || after_port.any(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    #[test]
    fn what_no_command_reads_is_named_with_what_may_be_meant() {
        let serve = ["TICKCAST_LISTEN", "TICKCAST_LIMITS_CONNECTIONS_MAX"];
        let serve = Command::new("serve").args(serve.map(|name| Arg::new(name).env(name)));
        let command = Command::new("tickcast").subcommand(serve);
        let variables = [
            "PATH",
            "TICKCAST_LISTEN",
            "TICKCAST_LISTN",
            "TICKCAST_LOG",
            "TICKCAST_LIMITS_CONNECTION_MAX",
            "TICKCAST_COLOUR",
            "TICKCAST_PORT",
            "TICKCAST_PORT_8080_TCP",
            "TICKCAST_PORT_8080_TCP_ADDR",
            "TICKCAST_GATEWAY_SERVICE_HOST",
            "TICKCAST_SERVICE_PORT_HTTP",
        ];
        let variables = variables.into_iter().map(str::to_owned);
        let expected = [
            "TICKCAST_COLOUR",
            "TICKCAST_LIMITS_CONNECTION_MAX (TICKCAST_LIMITS_CONNECTIONS_MAX?)",
            "TICKCAST_LISTN (TICKCAST_LISTEN?)",
        ];
        assert_eq!(misspelt(&command, "TICKCAST_LOG", variables), expected);
    }
}
