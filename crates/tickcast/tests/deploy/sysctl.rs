//! The kernel settings: the kernel knows them, each has its reason, and those that answer to a limit of
//! tickcast's are not below it.

use crate::files::{deployed, read};
use crate::scripts::root;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const FILE: &str = "sysctl/90-tickcast.conf";

/// Settings by name; those that may be missing have a minus before them.
fn settings() -> BTreeMap<String, Vec<u64>> {
    let text = deployed(FILE);
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let settings = lines.map(|line| {
        let (name, value) = line.split_once(" = ").unwrap_or_else(|| panic!("{line}"));
        let numbers = value.split_whitespace().map(|number| number.parse().expect("a number"));
        (name.to_owned(), numbers.collect())
    });
    settings.collect()
}

fn file_of(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name.replace('.', "/"))
}

#[test]
fn the_kernel_knows_every_one_and_as_many_figures() {
    let mut looked_at = 0;
    for (name, figures) in settings() {
        if name.starts_with('-') {
            continue;
        }
        let file = file_of(&name);
        // A namespace of its own shows only what is its own.
        let Ok(present) = std::fs::read_to_string(&file) else {
            let is_global = ["fs.", "net.core."].iter().any(|begin| name.starts_with(begin));
            assert!(is_global, "{name}: the kernel has no {}", file.display());
            continue;
        };
        assert_eq!(figures.len(), present.split_whitespace().count(), "{name}");
        looked_at += 1;
    }
    assert!(looked_at >= 8, "{looked_at} are too few to have looked at");
}

#[test]
fn each_has_its_reason_before_it() {
    let text = deployed(FILE);
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let before =
            lines[..at].iter().rev().find(|line| !line.contains(" = ") || line.starts_with('#'));
        let has_reason =
            before.is_some_and(|line| line.starts_with("# ") && !line.starts_with("# ---"));
        assert!(has_reason, "{line} has no reason");
    }
}

#[test]
fn they_are_not_below_what_the_service_asks_for() {
    let settings = settings();
    let figure = |name: &str, at: usize| settings[name][at];
    // What the listener asks for stands in its source; the unit of systemd asks for the same.
    let listener = read(&root().join("crates/gateway/src/door_listener.rs"));
    let backlog = number_after(&listener, "const BACKLOG: i32 = ");
    assert_eq!(figure("net.core.somaxconn", 0), backlog);
    assert_eq!(number_after(&deployed("systemd/tickcast.socket"), "Backlog="), backlog);
    assert!(figure("net.ipv4.tcp_max_syn_backlog", 0) >= backlog);

    let unit = deployed("systemd/tickcast.service");
    let files = number_after(&unit, "LimitNOFILE=");
    assert!(figure("fs.nr_open", 0) >= files && figure("fs.file-max", 0) >= files);

    let readme = read(&root().join("README.md"));
    let buffer = number_after(&readme, "send_buffer_bytes = ");
    assert!(figure("net.core.wmem_max", 0) >= buffer);
    // The sum that the file does for whoever sizes a machine.
    let text = deployed(FILE);
    assert!(text.contains(&format!(
        "N clients x 2 x {buffer} bytes / 4096 bytes a page = N x {} pages",
        2 * buffer / 4096
    )));
    let message = number_after(&readme, "message_bytes_max = ");
    assert!(figure("net.ipv4.tcp_rmem", 1) >= message);

    let clients = number_after(&readme, "connections_max = ");
    assert!(figure("net.ipv4.tcp_max_orphans", 0) > clients);
    let binary = crate::command_line::CommandLine::get();
    let first = figure("net.ipv4.ip_local_port_range", 0);
    for flag in ["--listen", "--admin"] {
        assert!(u64::from(binary.port_of(flag)) < first, "{flag}'s port would be handed out");
    }
    let drain = binary.drain_seconds();
    assert!(figure("net.ipv4.tcp_fin_timeout", 0) < drain);
}

/// The number that stands behind the first of these words.
fn number_after(text: &str, words: &str) -> u64 {
    let (_, rest) = text.split_once(words).unwrap_or_else(|| panic!("{words:?} is not there"));
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().expect("a number")
}
