//! The manifests, as kustomize builds them: valid by Kubernetes' own schemas, complete, confined, and
//! with arguments, ports, probes and times that are the binary's.

use crate::command_line::{CommandLine, DRAIN_GRACE_SECONDS, seconds};
use crate::files::{below, deployed, documents, find, read, temporary, texts};
use crate::scripts::root;
use crate::service::{Service, get};
use crate::tools::{content, packaged, run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Both kustomizations that can be built.
const BUILT: [&str; 2] = ["base", "overlays/example"];

/// The oldest Kubernetes that the README promises; a pod's `tcp_rmem` is its own since then.
const OLDEST: &str = "1.32";

/// Everything of a kustomization, as YAML.
pub(crate) fn built(name: &str) -> Option<String> {
    let kubectl = packaged("kubectl")?;
    let folder = format!("deploy/kubernetes/{name}");
    Some(content(&kubectl, &["kustomize", &folder], ""))
}

/// The same, as values.
pub(crate) fn resources(name: &str) -> Option<Vec<Value>> {
    Some(documents(&built(name)?))
}

pub(crate) fn of_kind<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|one| one["kind"] == kind).collect()
}

pub(crate) fn name(resource: &Value) -> &str {
    resource["metadata"]["name"].as_str().expect("a name")
}

/// Pods of ours: their workload's name, their spec and the container.
fn pods(all: &[Value]) -> Vec<(&str, &Value, &Value)> {
    let ours = of_kind(all, "Deployment").into_iter();
    let pods = ours.map(|one| (name(one), &one["spec"]["template"]["spec"]));
    pods.map(|(name, spec)| (name, spec, &spec["containers"][0])).collect()
}

#[test]
fn every_resource_is_valid_by_the_schema_of_its_version() {
    let (Some(validate), Some(python)) = (packaged("kubernetes-validate"), packaged("python"))
    else {
        return;
    };
    for name in BUILT {
        let Some(text) = built(name) else { return };
        let file = temporary(&format!("{}.yaml", name.replace('/', "-")));
        std::fs::write(&file, &text).expect("a writable folder");
        let path = file.to_str().expect("text");
        let oldest = run(&validate, &["--strict", "-k", OLDEST, path], "");
        assert!(oldest.status.success(), "{}", String::from_utf8_lossy(&oldest.stdout));
        let output = run(&validate, &["--strict", path], "");
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        // It has no schemas of the Prometheus Operator, and says so; those are looked at next.
        let unknown = said.lines().filter(|line| line.starts_with("WARN"));
        assert!(unknown.clone().all(|line| line.contains("monitoring.coreos.com")), "{said}");
        let schema = root().join("tests/deploy/operator_schema.py");
        let held = content(&python, &[schema.to_str().expect("text")], &text);
        assert_eq!(held.lines().count(), unknown.count(), "{held}");

        let damaged = text.replacen("replicas:", "replicaz:", 1);
        std::fs::write(&file, damaged).expect("a writable folder");
        assert!(!run(&validate, &["--strict", path], "").status.success(), "it finds nothing");
        std::fs::remove_file(&file).expect("it was written above");
    }
    let promised = format!("Kubernetes {OLDEST} or later");
    assert!(deployed("README.md").contains(&promised), "{promised}");
}

#[test]
fn every_file_is_listed_and_every_listed_file_is_there() {
    let folder = root().join("deploy/kubernetes");
    let mut files = Vec::new();
    below(&folder, 6, &mut files);
    let mut listed: BTreeSet<PathBuf> = BTreeSet::new();
    let mut used = BTreeSet::new();
    for file in files.iter().filter(|file| file.ends_with("kustomization.yaml")) {
        listed.insert(file.clone());
        let here = file.parent().expect("a folder");
        let kustomization = &documents(&read(file))[0];
        let names = ["resources", "components"].map(|key| &kustomization[key]);
        let names = names.into_iter().filter(|list| !list.is_null()).flat_map(texts);
        let mut generated = Vec::new();
        find(kustomization, "files", &mut generated);
        let generated = generated.into_iter().flat_map(texts);
        let generated =
            generated.map(|file| file.split('=').next_back().expect("a name").to_owned());
        for name in names.chain(generated) {
            let path = here.join(&name).canonicalize();
            let path = path.unwrap_or_else(|error| panic!("{}: {name}: {error}", file.display()));
            if path.is_dir() {
                used.insert(path)
            } else {
                listed.insert(path)
            };
        }
    }
    // For a chart, as it says itself.
    listed.insert(folder.join("monitoring/prometheus-adapter.yaml"));
    let folder = folder.canonicalize().expect("a folder");
    let files: BTreeSet<PathBuf> =
        files.iter().map(|file| file.canonicalize().expect("it is there")).collect();
    let listed: BTreeSet<PathBuf> =
        listed.iter().map(|file| file.canonicalize().expect("it is there")).collect();
    assert_eq!(files, listed);
    assert_eq!(used, BTreeSet::from([folder.join("base"), folder.join("monitoring")]));
}

#[test]
fn the_pods_run_what_the_binary_knows_on_its_ports() {
    let binary = CommandLine::get();
    for built in BUILT {
        let Some(all) = resources(built) else { return };
        let pods = pods(&all);
        assert_eq!(
            pods.iter().map(|(name, ..)| *name).collect::<Vec<_>>(),
            ["tickcast-gateway", "tickcast-publisher"]
        );
        for (pod, _, container) in pods {
            let args = texts(&container["args"]);
            let known = binary.subcommand(&args[0]).unwrap_or_else(|| panic!("{pod}: {}", args[0]));
            for flag in args.iter().filter(|arg| arg.starts_with("--")) {
                assert!(known.flags.contains(flag), "{pod}: {flag}");
            }
            for variable in container["env"].as_array().expect("variables") {
                let variable = variable["name"].as_str().expect("a name");
                assert!(known.variables.contains(variable), "{pod}: {variable}");
            }
            let mut ports = Vec::new();
            for port in container["ports"].as_array().expect("ports") {
                let flag = if port["name"] == "public" { "--listen" } else { "--admin" };
                assert_eq!(port["containerPort"], binary.port_of(flag), "{pod}");
                let variable =
                    if flag == "--listen" { "TICKCAST_LISTEN" } else { "TICKCAST_ADMIN" };
                let set = container["env"].as_array().into_iter().flatten();
                let set = set.filter(|one| one["name"] == variable).map(|one| &one["value"]);
                let everywhere = format!("0.0.0.0:{}", binary.port_of(flag));
                assert_eq!(set.collect::<Vec<_>>(), [&Value::from(everywhere)], "{pod}");
                ports.push(port["name"].as_str().expect("a name"));
            }
            let expect: &[&str] =
                if args[0] == "gateway" { &["public", "admin"] } else { &["admin"] };
            assert_eq!(ports, expect, "{pod}");
        }
    }
}

#[test]
fn probes_ask_paths_that_the_admin_address_answers() {
    let service = Service::start(&["--sim-instruments", "3"]);
    service.until_ready();
    let Some(all) = resources("base") else { return };
    for (pod, _, container) in pods(&all) {
        let path = |probe: &str| {
            let asks = &container[probe]["httpGet"];
            assert_eq!(asks["port"], "admin", "{pod}");
            asks["path"].as_str().expect("a path").to_owned()
        };
        let paths = ["startupProbe", "readinessProbe", "livenessProbe"].map(path);
        assert_eq!(paths, ["/readyz", "/readyz", "/livez"], "{pod}");
        for path in paths {
            assert_eq!(get(service.admin, &path).0, 200, "{path}");
        }
    }
}

#[test]
fn nobody_is_cut_off_by_a_rollout() {
    let binary = CommandLine::get();
    for built in BUILT {
        let Some(all) = resources(built) else { return };
        for (pod, spec, container) in pods(&all) {
            let pause = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap_or(0);
            // The same in the settings and in the binary: what is not said there is its default.
            let said = settings(&all, pod).get("drain_window").map_or_else(
                || binary.drain_seconds(),
                |window| seconds(window.as_str().expect("a time")) + DRAIN_GRACE_SECONDS,
            );
            let grace = spec["terminationGracePeriodSeconds"].as_u64().expect("a time");
            assert!(grace > pause + said, "{pod}: {grace} s end {pause} s and a drain of {said} s");
            if pod == "tickcast-gateway" {
                assert!(pause > 0, "new connections go elsewhere before the port is closed");
            }
        }
        for deployment in of_kind(&all, "Deployment") {
            let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
            assert_eq!((&rolling["maxUnavailable"], &rolling["maxSurge"]), (&0.into(), &1.into()));
            // A figure beside an autoscaler would be what every `apply` goes back to.
            let is_scaled = name(deployment) == "tickcast-gateway";
            let replicas = deployment["spec"].get("replicas");
            assert_eq!(replicas, (!is_scaled).then_some(&2.into()), "{}", name(deployment));
        }
        let budgets: Vec<_> = of_kind(&all, "PodDisruptionBudget").into_iter().map(name).collect();
        assert_eq!(budgets, ["tickcast-gateway", "tickcast-nats", "tickcast-publisher"]);
    }
}

/// The settings file that a pod has.
pub(crate) fn settings_text(all: &[Value], pod: &str) -> String {
    let maps = of_kind(all, "ConfigMap");
    let map = maps.into_iter().find(|map| name(map).starts_with(pod)).expect("a ConfigMap");
    map["data"]["tickcast.toml"].as_str().expect("text").to_owned()
}

fn settings(all: &[Value], pod: &str) -> toml::Table {
    settings_text(all, pod).parse().expect("TOML")
}

#[test]
fn pods_are_confined_and_leave_room_for_each_other() {
    let Some(all) = resources("base") else { return };
    let workloads = [of_kind(&all, "Deployment"), of_kind(&all, "StatefulSet")].concat();
    assert_eq!(workloads.len(), 3);
    for workload in workloads {
        let (name, spec) = (name(workload), &workload["spec"]["template"]["spec"]);
        let security = &spec["securityContext"];
        assert_eq!(security["runAsNonRoot"], true, "{name}");
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
        let container = &spec["containers"][0];
        let own = &container["securityContext"];
        assert_eq!(own["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(own["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(texts(&own["capabilities"]["drop"]), ["ALL"], "{name}");
        let resources = &container["resources"];
        assert!(
            resources["requests"]["cpu"].is_string() && resources["limits"]["memory"].is_string()
        );
        assert!(resources["limits"].get("cpu").is_none(), "{name} would be throttled");
        let is_spread =
            spec.get("topologySpreadConstraints").is_some() || spec.get("affinity").is_some();
        assert!(is_spread, "{name}");
        for sysctl in security["sysctls"].as_array().into_iter().flatten() {
            let sysctl = sysctl["name"].as_str().expect("a name");
            assert!(SAFE_SYSCTLS.contains(&sysctl), "{sysctl} needs the cluster's leave");
        }
    }
}

/// What a pod may set under the Pod Security Standards, of what is of use here.
const SAFE_SYSCTLS: [&str; 4] = [
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.ip_local_port_range",
];

#[test]
fn services_lead_to_pods_and_secrets_are_named_not_held() {
    let Some(all) = resources("overlays/example") else { return };
    let workloads = [of_kind(&all, "Deployment"), of_kind(&all, "StatefulSet")].concat();
    for service in of_kind(&all, "Service") {
        let selector = service["spec"]["selector"].as_object().expect("a selector");
        let chosen = workloads.iter().find(|workload| {
            let labels = &workload["spec"]["template"]["metadata"]["labels"];
            selector.iter().all(|(key, value)| &labels[key] == value)
        });
        let chosen = chosen.unwrap_or_else(|| panic!("{} selects nothing", name(service)));
        let ports = &chosen["spec"]["template"]["spec"]["containers"][0]["ports"];
        let has =
            |port: &Value| ports.as_array().expect("ports").iter().any(|one| one["name"] == *port);
        for port in service["spec"]["ports"].as_array().expect("ports") {
            assert!(has(&port["targetPort"]), "{}: {port}", name(service));
        }
    }
    assert!(of_kind(&all, "Secret").is_empty(), "whoever deploys it makes them");
    let bus: Vec<_> = pods(&all)
        .iter()
        .flat_map(|(_, _, container)| container["env"].as_array().expect("variables"))
        .filter(|one| one["name"] == "TICKCAST_BUS")
        .map(|one| one["value"].as_str().expect("text").to_owned())
        .collect();
    assert_eq!(bus.len(), 2);
    for bus in bus {
        let (host, port) = bus.trim_start_matches("nats://").split_once(':').expect("a port");
        let services = of_kind(&all, "Service");
        let service = services.iter().find(|service| name(service) == host).expect("its Service");
        assert_eq!(service["spec"]["ports"][0]["port"].to_string(), port);
    }
}
