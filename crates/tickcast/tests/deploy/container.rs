//! The Dockerfile: what a linter says, what it copies, builds with, exposes and runs. There is no
//! engine to build an image with; that its parts fit together is asked of each part.

use crate::command_line::CommandLine;
use crate::files::{deployed, read, temporary};
use crate::scripts::root;
use crate::tools::{content, packaged};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// An instruction and what follows it, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = deployed("Dockerfile").replace("\\\n", " ");
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = |line: &str| {
        let (name, rest) = line.split_once(' ').expect("an instruction has arguments");
        (name.to_owned(), rest.trim().to_owned())
    };
    lines.map(split).collect()
}

/// Arguments of every instruction of that name.
fn all(name: &str) -> Vec<String> {
    instructions().into_iter().filter(|(one, _)| one == name).map(|(_, rest)| rest).collect()
}

/// The variables that the image sets.
pub(crate) fn environment() -> Vec<(String, String)> {
    let set = all("ENV").pop().expect("the last image sets some");
    let split = |one: &str| {
        let (name, value) = one.split_once('=').unwrap_or_else(|| panic!("{one}"));
        (name.to_owned(), value.to_owned())
    };
    set.split_whitespace().map(split).collect()
}

/// What is copied out of the repository.
fn sources() -> Vec<String> {
    let copies = all("COPY").into_iter().filter(|copy| !copy.starts_with("--from="));
    let sources = copies.flat_map(|copy| {
        let words: Vec<String> = copy.split_whitespace().map(str::to_owned).collect();
        words[..words.len() - 1].to_vec()
    });
    sources.collect()
}

/// Whether `.dockerignore` leaves a path in the build's context: the last line that fits decides.
fn is_in_context(path: &str) -> bool {
    let mut is_in = true;
    for line in read(&root().join(".dockerignore")).lines() {
        let (pattern, brings) = match line.strip_prefix('!') {
            Some(pattern) => (pattern, true),
            None => (line, false),
        };
        let fits = match pattern.strip_prefix("**/") {
            Some(".*") => path.split('/').any(|part| part.starts_with('.')),
            Some(name) => path.split('/').any(|part| part == name),
            None => {
                assert!(pattern.starts_with('#') || !pattern[1..].contains('*'), "{pattern}");
                pattern == "*" || Path::new(path).starts_with(pattern)
            }
        };
        if fits && !line.starts_with('#') && !line.is_empty() {
            is_in = brings;
        }
    }
    is_in
}

#[test]
fn the_linter_has_nothing_to_say() {
    let Some(hadolint) = packaged("hadolint") else { return };
    let said = content(&hadolint, &["--failure-threshold", "style", "deploy/Dockerfile"], "");
    assert_eq!(said, "");
}

#[test]
fn everything_that_is_copied_is_there_and_gets_into_the_context() {
    let sources = sources();
    assert!(sources.len() >= 6, "{sources:?}");
    for source in sources {
        assert!(root().join(&source).exists(), "{source} is copied");
        assert!(is_in_context(&source), "{source} is copied, and .dockerignore keeps it out");
    }
    for kept_out in
        [".git", "target", "dashboard/node_modules", "clients/js/dist", "secret", ".env"]
    {
        assert!(!is_in_context(kept_out), "{kept_out} has no business in an image");
    }
}

#[test]
fn what_is_copied_is_enough_for_cargo_to_read_the_workspace() {
    let folder = temporary("context");
    // What npm builds is none of cargo's, and may be built at this moment.
    let is_npms =
        |source: &&String| ["dashboard", "clients"].iter().any(|of| source.starts_with(of));
    for source in sources().iter().filter(|source| !is_npms(source)) {
        let to = folder.join(source);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a writable folder");
        let copied = Command::new("cp").arg("-r").arg(root().join(source)).arg(&to).status();
        assert!(copied.expect("cp runs").success(), "{source}");
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"]);
    let output = cargo.current_dir(&folder).output().expect("cargo runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    assert!(packages.iter().any(|package| package["name"] == "tickcast"));
    std::fs::remove_dir_all(&folder).expect("it was made above");
}

#[test]
fn it_builds_with_what_the_workspace_and_the_dashboard_ask_for() {
    let froms = all("FROM");
    let image = |of: &str| {
        let from = froms.iter().find_map(|from| from.split(of).nth(1));
        from.unwrap_or_else(|| panic!("an image {of}"))
            .split('-')
            .next()
            .expect("a version")
            .to_owned()
    };
    let workspace: toml::Table = read(&root().join("Cargo.toml")).parse().expect("TOML");
    let promised = workspace["workspace"]["package"]["rust-version"].as_str().expect("text");
    assert_eq!(image("rust:"), promised);
    let page: Value =
        serde_json::from_str(&read(&root().join("dashboard/package.json"))).expect("JSON");
    let engine = page["engines"]["node"].as_str().expect("text").trim_start_matches(">=");
    assert_eq!(image("node:"), engine.split('.').next().expect("a number"));
    // The C library of the last image is the one that the binary was linked with.
    let debian = froms.iter().find_map(|from| from.split("cc-debian").nth(1)).expect("distroless");
    assert!(
        debian.starts_with("12")
            && froms.iter().any(|from| from.contains("rust:") && from.contains("bookworm"))
    );
}

#[test]
fn the_binary_needs_no_more_than_the_last_image_has() {
    let linked =
        Command::new("ldd").arg(env!("CARGO_BIN_EXE_tickcast")).output().expect("ldd runs");
    let linked = String::from_utf8(linked.stdout).expect("text");
    let has = ["linux-vdso.so", "libgcc_s.so", "libm.so", "libc.so", "ld-linux"];
    assert!(linked.contains("libc.so"), "{linked}");
    for line in linked.lines() {
        assert!(has.iter().any(|library| line.contains(library)), "distroless/cc has no {line}");
    }
}

#[test]
fn it_listens_where_it_says_and_runs_as_nobody_special() {
    let binary = CommandLine::get();
    let exposed: Vec<u16> = all("EXPOSE")
        .iter()
        .flat_map(|ports| ports.split_whitespace())
        .map(|port| port.parse().expect("a port"))
        .collect();
    assert_eq!(exposed, [binary.port_of("--listen"), binary.port_of("--admin")]);
    let set = all("ENV").join(" ");
    for (variable, flag) in [("TICKCAST_LISTEN", "--listen"), ("TICKCAST_ADMIN", "--admin")] {
        let everywhere = format!("{variable}=0.0.0.0:{}", binary.port_of(flag));
        assert!(set.split_whitespace().any(|one| one == everywhere), "{everywhere}");
    }
    let user = all("USER").pop().expect("it says who it runs as");
    let (user, group) = user.split_once(':').expect("user and group");
    assert!([user, group].iter().all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)));
    assert_eq!(all("STOPSIGNAL"), ["SIGTERM"]);
}

#[test]
fn it_runs_what_it_copies_and_its_health_check_is_a_command_of_ours() {
    let copied = all("COPY").pop().expect("the binary is copied last");
    let binary = copied.split_whitespace().last().expect("a path");
    let list = |text: &str| -> Vec<String> { serde_json::from_str(text).expect("a list") };
    assert_eq!(list(&all("ENTRYPOINT")[0]), [binary]);
    let command = list(&all("CMD")[0]);
    let check = all("HEALTHCHECK").pop().expect("a health check");
    let check = list(&check[check.find('[').expect("a list")..]);
    assert_eq!(check[0], binary);
    for words in [&command[..], &check[1..]] {
        let known = CommandLine::get().subcommand(&words[0]);
        let known = known.unwrap_or_else(|| panic!("a subcommand {}", words[0]));
        for flag in &words[1..] {
            assert!(known.flags.contains(flag), "{words:?}");
        }
    }
}
