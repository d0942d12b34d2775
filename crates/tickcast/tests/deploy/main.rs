//! What `deploy` says is what the binary does: every flag, variable, port, path and metric in there
//! is held to the binary itself, every file to the program or schema that will read it.
//!
//! `cargo xtask test` brings those programs (`tests/deploy/requirements.txt`, and Debian's systemd,
//! nginx and haproxy). That nginx and haproxy work as configured is `behind_proxy.rs`.

mod command_line;
mod compose;
mod container;
mod drift;
mod files;
mod kubernetes;
mod monitoring;
mod networks;
mod proxies;
#[path = "../scripts/mod.rs"]
mod scripts;
#[path = "../service/mod.rs"]
mod service;
mod settings_files;
mod started;
mod sysctl;
mod systemd;
mod tools;
