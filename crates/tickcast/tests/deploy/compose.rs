//! The compose file, as Docker Compose itself understands it: what each container may do, what is
//! published, what it runs.

use crate::command_line::{CommandLine, DRAIN_GRACE_SECONDS, seconds};
use crate::files::texts;
use crate::scripts::root;
use crate::tools::{content, packaged};
use serde_json::{Map, Value};
use std::path::Path;

/// Both shapes of the service.
const PROFILES: [&str; 2] = ["single", "split"];

/// The services of a shape, resolved: anchors, defaults and paths filled in.
pub(crate) fn services(profile: &str) -> Option<Map<String, Value>> {
    let compose = packaged("docker-compose")?;
    let args = ["-f", "deploy/compose.yaml", "--profile", profile, "config", "--format", "json"];
    let config: Value = serde_json::from_str(&content(&compose, &args, "")).expect("JSON");
    Some(config["services"].as_object().expect("services").clone())
}

pub(crate) fn is_ours(service: &Value) -> bool {
    service["image"].as_str().is_some_and(|image| image.starts_with("tickcast:"))
}

#[test]
fn both_shapes_have_their_parts() {
    let parts = |profile| services(profile).map(|all| all.keys().cloned().collect::<Vec<_>>());
    let Some(single) = parts("single") else { return };
    assert_eq!(single, ["grafana", "prometheus", "tickcast"]);
    let split = parts("split").expect("the same program");
    let expect = [
        "edge",
        "gateway-a",
        "gateway-b",
        "grafana",
        "nats",
        "prometheus",
        "publisher-a",
        "publisher-b",
    ];
    assert_eq!(split, expect);
}

#[test]
fn every_container_is_confined_and_published_on_loopback_alone() {
    for profile in PROFILES {
        let Some(services) = services(profile) else { return };
        let mut published = Vec::new();
        for (name, service) in &services {
            assert_eq!(service["read_only"], true, "{name}");
            assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
            assert_eq!(texts(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
            assert!(service.get("privileged").is_none(), "{name}");
            for port in service["ports"].as_array().into_iter().flatten() {
                assert_eq!(port["host_ip"], "127.0.0.1", "{name}");
                published.push((name.as_str(), port["target"].as_u64().expect("a port")));
            }
            for volume in service["volumes"].as_array().into_iter().flatten() {
                let source = Path::new(volume["source"].as_str().expect("text"));
                let is_bind = volume["type"] == "bind";
                assert!(!is_bind || source.exists(), "{name}: {}", source.display());
                assert!(!is_bind || volume["read_only"] == true, "{name}: {}", source.display());
            }
        }
        let public = u64::from(CommandLine::get().port_of("--listen"));
        let edge = if profile == "single" { "tickcast" } else { "edge" };
        published.sort_unstable();
        let mut expect = [("grafana", 3000), ("prometheus", 9090), (edge, public)];
        expect.sort_unstable();
        assert_eq!(published, expect, "{profile}");
    }
}

#[test]
fn what_is_ours_runs_commands_variables_and_limits_that_the_binary_knows() {
    let binary = CommandLine::get();
    for profile in PROFILES {
        let Some(services) = services(profile) else { return };
        for (name, service) in services.iter().filter(|(_, service)| is_ours(service)) {
            let command = texts(&service["command"]);
            let known = binary.subcommand(&command[0]);
            let known = known.unwrap_or_else(|| panic!("{name}: a subcommand {}", command[0]));
            for flag in &command[1..] {
                assert!(known.flags.contains(flag), "{name}: {flag}");
            }
            for variable in service["environment"].as_object().expect("variables").keys() {
                assert!(known.variables.contains(variable), "{name}: {variable}");
            }
            let check = texts(&service["healthcheck"]["test"]);
            assert_eq!(check, ["CMD", "/usr/local/bin/tickcast", "health"], "{name}");
            let dockerfile = service["build"]["dockerfile"].as_str().expect("text");
            assert!(root().join(dockerfile).is_file(), "{dockerfile}");
            let grace = seconds(service["stop_grace_period"].as_str().expect("a time"));
            assert!(grace > binary.drain_seconds(), "{name}: {grace} s end a drain early");
            assert!(binary.drain_seconds() > DRAIN_GRACE_SECONDS);
            let files = &service["ulimits"]["nofile"];
            assert_eq!(files["soft"], files["hard"], "{name}");
            assert!(files["soft"].as_u64().expect("a number") > 100_000, "{name}");
        }
    }
}

#[test]
fn two_publishers_and_two_gateways_are_alike_and_on_one_bus() {
    let Some(services) = services("split") else { return };
    for (one, other) in [("publisher-a", "publisher-b"), ("gateway-a", "gateway-b")] {
        assert_eq!(services[one], services[other]);
        let bus = services[one]["environment"]["TICKCAST_BUS"].as_str().expect("text");
        let host = bus.trim_start_matches("nats://").split(':').next().expect("a name");
        assert!(services.contains_key(host), "{bus} is one of the containers");
    }
    // A gateway cannot reach the world; a publisher has to.
    let networks = |name: &str| services[name]["networks"].as_object().expect("networks").clone();
    assert!(!networks("gateway-a").contains_key("outside"));
    assert!(!networks("nats").contains_key("outside"));
    assert!(networks("publisher-a").contains_key("outside"));
}
