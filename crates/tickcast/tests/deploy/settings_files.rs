//! The TOML files in `deploy`, through the binary's own `check`; and what one shape of the service says of
//! settings that are for another.

use crate::command_line::CommandLine;
use crate::files::{all, temporary};
use crate::service::Service;
use std::process::Command;

#[test]
fn nothing_is_wrong_with_any_of_them() {
    let secret = temporary("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").expect("a writable folder");
    let mut checked = Vec::new();
    for (name, text) in all().into_iter().filter(|(name, _)| name.ends_with(".toml")) {
        let text = text.replace("/etc/tickcast/auth/secret", secret.to_str().expect("text"));
        let file = temporary(&name.replace('/', "-"));
        std::fs::write(&file, &text).expect("a writable folder");
        let check = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
            command.args(["check", "--config"]).arg(&file).output().expect("the binary starts")
        };
        let output = check();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        std::fs::write(&file, format!("drain_windoww = \"1s\"\n{text}"))
            .expect("a writable folder");
        assert_eq!(check().status.code(), Some(2), "{name}: nothing is found in it");
        std::fs::remove_file(&file).expect("it was written above");
        checked.push(name);
    }
    std::fs::remove_file(&secret).expect("it was written above");
    let expect = [
        "base/config/gateway",
        "base/config/publisher",
        "overlays/example/gateway",
        "overlays/example/publisher",
    ];
    assert_eq!(checked, expect.map(|name| format!("kubernetes/{name}.toml")));
}

#[test]
fn a_setting_for_another_shape_is_an_error_on_the_command_line_and_a_warning_elsewhere() {
    let ours = |name| CommandLine::get().subcommand(name).expect("it is a command");
    for (shape, flag, other) in [
        ("gateway", "--sim-rate", "--listen"),
        ("publish", "--listen", "--sim-rate"),
        ("serve", "--bus", "--listen"),
    ] {
        let offers = |flag: &str| ours(shape).flags.contains(flag);
        assert!(!offers(flag) && offers(other), "{shape}: {:?}", ours(shape));
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
        let output = command.args([shape, flag, "1"]).output().expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr);
        let wanted = format!("{flag}: has no effect in `{shape}`");
        // `1` is no address; whichever is found first names the flag.
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&wanted) || flag == "--listen" && said.contains(flag), "{said}");
    }
    let file = temporary("for-both.toml");
    let text = "sim_rate = 5.0\n[bus]\nurl = \"nats://127.0.0.1:9\"\n[venues.kraken]\n";
    std::fs::write(&file, text).expect("a writable folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
    command.args(["gateway", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"]);
    command.arg(&file).env("TICKCAST_SYMBOLS", "BTC-USD");
    let gateway = Service::spawn(command).listening();
    for word in ["TICKCAST_SYMBOLS", "sim_rate, of the configuration,", "venues"] {
        let line = gateway.until_logged(word);
        assert!(line.contains("has no effect in `tickcast gateway`"), "{line}");
    }
    std::fs::remove_file(&file).expect("it was written above");
}
