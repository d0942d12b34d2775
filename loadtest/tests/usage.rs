//! The command line: what cannot be meant is refused with the field and the value, and exit code 2.

mod kit;

use kit::loadtest;
use std::process::Command;

#[test]
fn what_cannot_be_meant_is_named_and_ends_with_2() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("loadtest-bad.toml");
    std::fs::write(&file, "connections = 10\nsecond = 5\n").expect("it can be written");
    let file = file.to_str().expect("text");
    let url = "ws://127.0.0.1:1";
    for (args, parts) in [
        (vec!["stedy", url], vec!["scenario", "stedy"]),
        (vec![file, url], vec!["second", "loadtest-bad.toml"]),
        (vec!["steady"], vec!["URL"]),
        (vec!["steady", "ftp://x"], vec!["URL", "ftp://x"]),
        (vec!["steady", url, "--connections=0"], vec!["connections", "0"]),
        (vec!["steady", url, "--channels=tikcer"], vec!["channels", "tikcer"]),
        (vec!["steady", url, "--zipf=-1"], vec!["zipf", "-1"]),
        (vec!["steady", url, "--threshold=age_p98_ms=1"], vec!["--threshold", "age_p98_ms"]),
        (vec!["steady", url, "--threshold=gaps"], vec!["--threshold", "gaps"]),
        (vec!["steady", url, "--symbols-generated=x"], vec!["--symbols-generated", "x"]),
        (vec!["steady", url, "--symbols=a:B", "--pid=4294967295"], vec!["--pid", "4294967295"]),
        (vec!["show", "stedy"], vec!["show", "stedy"]),
        (vec!["steady", url, "--conections=5"], vec!["--conections"]),
    ] {
        let ran = loadtest(&args);
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.errors);
        for part in parts {
            assert!(ran.errors.contains(part), "{args:?}: {}", ran.errors);
        }
    }
}

#[test]
fn who_is_not_there_ends_with_1() {
    // A port that was free a moment ago, at an address of the loopback network where nobody else
    // listens.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let ip = std::net::Ipv4Addr::new(127, 64 | high, middle, low);
    let listener = std::net::TcpListener::bind((ip, 0)).expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let ran = loadtest(&["steady", &url]);
    assert_eq!(ran.code, Some(1), "{}", ran.errors);
    assert!(ran.errors.contains("/v1/instruments"), "{}", ran.errors);
    let flags = ["--symbols=a:B", "--seconds=1", "--warmup=0", "--connections=3"];
    let ran = loadtest(&[&["steady", &url][..], &flags].concat());
    assert_eq!(ran.code, Some(1), "{}", ran.errors);
    assert_eq!(ran.figure("/connect/failed"), 3.0);
}

#[test]
fn scenarios_are_listed_and_shown_as_files_that_can_be_run() {
    let output = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_loadtest")).args(args).output();
        String::from_utf8(output.expect("it runs").stdout).expect("text")
    };
    let list = output(&["scenarios"]);
    let names: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let expected =
        ["steady", "open-bell", "herd", "restart", "churn", "slow", "mixed-tiers", "idle", "soak"];
    assert_eq!(names, expected);
    for name in names {
        assert!(output(&["show", name]).contains(&format!("name = \"{name}\"")), "{name}");
    }
}
