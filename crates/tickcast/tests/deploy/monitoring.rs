//! What Prometheus, its operator and the autoscaler are told: the rules of `deploy/prometheus` word
//! for word, and metrics, ports and names that exist.

use crate::command_line::CommandLine;
use crate::files::{deployed, documents, temporary};
use crate::kubernetes::{name, of_kind, resources};
use crate::scripts::{root, tool};
use crate::service::{Service, get};
use crate::tools::{content, nats_server};
use serde_json::Value;

/// Rules, in the order in which Prometheus reads their files.
const RULES: [&str; 2] = ["prometheus/tickcast.rules.yml", "prometheus/tickcast.alerts.yml"];
const OPERATORS: &str = "kubernetes/monitoring/prometheus-rule.yaml";

/// The lines of a rule file below `groups:`.
fn groups(text: &str) -> &str {
    text.split_once("groups:\n").unwrap_or_else(|| panic!("{text}")).1
}

#[test]
fn the_operators_rules_are_prometheus_rules() {
    let committed = deployed(OPERATORS);
    let (head, _) = committed.split_once("  groups:\n").expect("groups");
    let mut expect = format!("{head}  groups:\n");
    for file in RULES {
        for line in groups(&deployed(file)).lines() {
            let indent = if line.is_empty() { "" } else { "  " };
            expect.push_str(&format!("{indent}{line}\n"));
        }
    }
    if std::env::var_os("TICKCAST_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(root().join("deploy").join(OPERATORS), &expect).expect("a writable folder");
    }
    let committed = deployed(OPERATORS);
    assert!(committed == expect, "TICKCAST_BLESS=1 writes {OPERATORS} anew");
    let plain = RULES.iter().flat_map(|file| {
        documents(&deployed(file))[0]["groups"].as_array().expect("groups").clone()
    });
    assert_eq!(documents(&committed)[0]["spec"]["groups"], Value::Array(plain.collect()));
}

#[test]
fn composes_prometheus_is_the_other_one_but_for_whom_it_asks() {
    let [compose, plain] = ["compose/prometheus.yml", "prometheus/prometheus.yml"]
        .map(|file| documents(&deployed(file)).remove(0));
    assert_eq!(compose["global"], plain["global"]);
    assert_eq!(compose["rule_files"], plain["rule_files"]);
    let [compose, plain] = [compose, plain].map(|config| config["scrape_configs"].clone());
    assert_eq!(compose[0]["job_name"], plain[0]["job_name"]);
    let asks = &compose[0]["dns_sd_configs"][0];
    assert_eq!(asks["port"], CommandLine::get().port_of("--admin"));
    let containers = documents(&deployed("compose.yaml")).remove(0);
    let mut ours = Vec::new();
    for (name, service) in containers["services"].as_object().expect("services") {
        if !service.to_string().contains("\"image\"")
            || service.to_string().contains("TICKCAST_IMAGE")
        {
            ours.push(name.clone());
        }
    }
    let mut asked = crate::files::texts(&asks["names"]);
    asked.sort();
    ours.sort();
    assert_eq!(asked, ours);

    let Some(promtool) = tool("TICKCAST_PROMTOOL", "/usr/bin/promtool") else { return };
    let folder = temporary("prometheus");
    std::fs::create_dir_all(&folder).expect("a writable folder");
    for (file, to) in RULES.iter().zip(["tickcast.rules.yml", "tickcast.alerts.yml"]) {
        std::fs::write(folder.join(to), deployed(file)).expect("a writable folder");
    }
    let config = folder.join("prometheus.yml");
    std::fs::write(&config, deployed("compose/prometheus.yml")).expect("a writable folder");
    content(&promtool, &["check", "config", config.to_str().expect("text")], "");
    std::fs::remove_dir_all(&folder).expect("it was made above");
}

#[test]
fn the_operator_scrapes_every_process_where_metrics_are() {
    let Some(all) = resources("overlays/example") else { return };
    let monitors = of_kind(&all, "ServiceMonitor");
    let monitor = &monitors[0]["spec"];
    let wanted = monitor["selector"]["matchLabels"].as_object().expect("labels");
    let services = of_kind(&all, "Service").into_iter().filter(|service| {
        wanted.iter().all(|(key, value)| &service["metadata"]["labels"][key] == value)
    });
    let services: Vec<&Value> = services.collect();
    let names: Vec<&str> = services.iter().map(|service| name(service)).collect();
    assert_eq!(names, ["tickcast-gateway-admin", "tickcast-publisher-admin"]);
    let plain = documents(&deployed("prometheus/prometheus.yml")).remove(0);
    let endpoint = &monitor["endpoints"][0];
    assert_eq!(endpoint["interval"], plain["global"]["scrape_interval"]);
    assert_eq!(endpoint["scrapeTimeout"], plain["global"]["scrape_timeout"]);
    for service in services {
        // The job, which alerts look for, is the Service's name.
        assert!(name(service).starts_with("tickcast"));
        let port = &service["spec"]["ports"][0];
        assert_eq!(
            (&port["name"], &port["port"]),
            (&endpoint["port"], &CommandLine::get().port_of("--admin").into())
        );
    }
    let service = Service::start(&["--sim-instruments", "3"]);
    assert_eq!(get(service.admin, endpoint["path"].as_str().expect("a path")).0, 200);
}

#[test]
fn the_autoscaler_reads_a_metric_that_the_adapter_makes_of_one_of_ours() {
    let Some(all) = resources("base") else { return };
    let scaler = of_kind(&all, "HorizontalPodAutoscaler")[0];
    let target = &scaler["spec"]["scaleTargetRef"];
    let deployments = of_kind(&all, "Deployment");
    assert!(deployments.iter().any(|one| target["name"] == *name(one)), "{target}");
    let metrics = scaler["spec"]["metrics"].as_array().expect("metrics");
    let pods = &metrics[0]["pods"];
    assert_eq!(metrics[1]["resource"]["name"], "cpu");
    let metric = pods["metric"]["name"].as_str().expect("a name");
    let adapter = documents(&deployed("kubernetes/monitoring/prometheus-adapter.yaml")).remove(0);
    let rule = &adapter["rules"]["custom"][0];
    assert!(
        rule["seriesQuery"].as_str().is_some_and(|query| query.starts_with(&format!("{metric}{{")))
    );

    let service = Service::start(&["--sim-instruments", "3"]);
    let _client = service.websocket();
    assert!(get(service.admin, "/metrics").1.contains(&format!("\n{metric}{{")), "{metric}");

    // Whoever is scaled out has room left for those of one that goes.
    let wanted: f64 =
        pods["target"]["averageValue"].as_str().expect("text").parse().expect("a number");
    let settings: toml::Table =
        deployed("kubernetes/base/config/gateway.toml").parse().expect("TOML");
    let most = settings["limits"]["connections_max"].as_integer().expect("a number") as f64;
    assert!(wanted < 0.75 * most, "{wanted} of {most}");
}

#[test]
fn the_bus_reads_its_configuration() {
    let Some(nats) = nats_server() else { return };
    let mut command = std::process::Command::new(nats);
    let file = root().join("deploy/kubernetes/base/config/nats.conf");
    command.env("POD_NAME", "tickcast-nats-0").arg("-t").arg("-c").arg(file);
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    // It sends its clients away and ends before it is killed.
    let Some(all) = resources("base") else { return };
    let pod = &of_kind(&all, "StatefulSet")[0]["spec"]["template"]["spec"];
    let config = deployed("kubernetes/base/config/nats.conf");
    let time = |key: &str| {
        let line = config.lines().find_map(|line| line.strip_prefix(&format!("{key}: ")));
        crate::command_line::seconds(line.expect("it is set"))
    };
    let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("a time");
    assert!(grace > time("lame_duck_grace_period") + time("lame_duck_duration"));
}
