//! NetworkPolicies: nobody speaks to anybody, and then what is needed, no more.

use crate::command_line::CommandLine;
use crate::kubernetes::{name, of_kind, resources};
use serde_json::Value;
use std::collections::BTreeSet;

/// Policies that choose a component, by direction, with the ports that they open.
fn opened(all: &[Value], component: &str, direction: &str) -> BTreeSet<String> {
    let labels = |policy: &&&Value| {
        let labels = policy["spec"]["podSelector"]["matchLabels"].as_object();
        labels.is_none_or(|labels| {
            labels
                .values()
                .all(|value| value == component || (value == "tickcast" && component != "bus"))
        })
    };
    let policies = of_kind(all, "NetworkPolicy");
    let rules = policies
        .iter()
        .filter(labels)
        .flat_map(|policy| policy["spec"][direction].as_array().cloned().unwrap_or_default());
    let ports =
        rules.flat_map(|rule| rule["ports"].as_array().expect("every rule names ports").clone());
    ports.map(|port| port["port"].to_string().trim_matches('"').to_owned()).collect()
}

#[test]
fn first_nobody_speaks_to_anybody() {
    let Some(all) = resources("base") else { return };
    let policies = of_kind(&all, "NetworkPolicy");
    let nobody = policies.iter().find(|policy| name(policy) == "nobody").expect("the first");
    assert_eq!(nobody["spec"]["podSelector"], serde_json::json!({}));
    assert_eq!(nobody["spec"]["policyTypes"], serde_json::json!(["Ingress", "Egress"]));
    assert!(nobody["spec"].get("ingress").is_none() && nobody["spec"].get("egress").is_none());
}

#[test]
fn then_what_is_needed() {
    let Some(all) = resources("base") else { return };
    let set = |ports: &[&str]| ports.iter().map(|port| (*port).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(opened(&all, "gateway", "ingress"), set(&["public", "admin"]));
    assert_eq!(opened(&all, "publisher", "ingress"), set(&["admin"]));
    assert_eq!(opened(&all, "bus", "ingress"), set(&["clients", "peers"]));
    // Only publishers get out of the cluster; everybody asks for names.
    assert_eq!(opened(&all, "gateway", "egress"), set(&["53", "4222"]));
    assert_eq!(opened(&all, "publisher", "egress"), set(&["53", "4222", "443"]));
    assert_eq!(opened(&all, "bus", "egress"), set(&["53", "6222"]));
}

#[test]
fn the_operators_port_is_not_for_the_world() {
    let Some(all) = resources("base") else { return };
    let admin = CommandLine::get().port_of("--admin");
    for policy in of_kind(&all, "NetworkPolicy") {
        for rule in policy["spec"]["ingress"].as_array().into_iter().flatten() {
            let opens = |port: &Value| port["port"] == "admin" || port["port"] == admin;
            let opens_admin = rule["ports"].as_array().expect("ports").iter().any(opens);
            assert!(!opens_admin || rule.get("from").is_some(), "{}", name(policy));
        }
    }
    let services = of_kind(&all, "Service");
    let public = services.iter().find(|service| name(service) == "tickcast-gateway").expect("it");
    assert!(!public["spec"]["ports"].to_string().contains("admin"));
    let world = of_kind(&all, "NetworkPolicy")
        .into_iter()
        .filter(|policy| policy.to_string().contains("0.0.0.0/0"));
    assert_eq!(world.map(name).collect::<Vec<_>>(), ["publishers-to-venues"]);
}
