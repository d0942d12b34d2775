//! The TOML files in `deploy`, through the binary's own `check`.

use crate::files::{all, temporary};
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
