//! The dashboards as they lie in `grafana/dashboards`: what they ask, and what a person needs to
//! find in each of them.

use crate::scripts::root;
use serde_json::Value;
use std::collections::BTreeSet;

/// Every dashboard, by its file's name.
pub(crate) const NAMES: [&str; 6] = ["fresh", "feeds", "publisher", "edge", "process", "bus"];

/// What has a title of its own and asks nothing.
const ROW: &str = "row";

/// An expression and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Such as `tickcast-fresh / How many lag? / A`.
    pub(crate) place: String,
    /// With Grafana's variables replaced by what they are when everything is chosen.
    pub(crate) expression: String,
    /// For a variable: the label whose values it lists.
    pub(crate) label: Option<String>,
}

pub(crate) fn read(name: &str) -> Value {
    let path = root().join("grafana/dashboards").join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every expression of every dashboard: panels, variables, annotations.
pub(crate) fn asked() -> Vec<Asked> {
    let mut all = Vec::new();
    for name in NAMES {
        let dashboard = read(name);
        let uid = text(&dashboard["uid"]);
        let mut push = |what: &str, reference: &str, query: &str, label: Option<&str>| {
            all.push(Asked {
                place: format!("{uid} / {what} / {reference}"),
                expression: plain(query),
                label: label.map(str::to_owned),
            });
        };
        for panel in list(&dashboard["panels"]) {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let (title, reference) = (text(&panel["title"]), text(&target["refId"]));
                push(title, reference, text(&target["expr"]), None);
            }
        }
        for variable in list(&dashboard["templating"]["list"]) {
            if variable["type"] == "query" {
                let query = text(&variable["query"]["query"]);
                let inner = query.strip_prefix("label_values(").and_then(|q| q.strip_suffix(')'));
                let (selector, label) =
                    inner.and_then(|q| q.rsplit_once(", ")).expect("label_values(metric, label)");
                push("variable", text(&variable["name"]), selector, Some(label));
            }
        }
        for annotation in list(&dashboard["annotations"]["list"]) {
            push("annotation", text(&annotation["name"]), text(&annotation["expr"]), None);
        }
    }
    all
}

/// Grafana's variables when everything is chosen; windows hold some scrapes of the test.
fn plain(query: &str) -> String {
    let plain =
        query.replace("$__rate_interval", "20s").replace("$instance", ".*").replace("$venue", ".*");
    assert!(!plain.contains('$'), "a variable that is not known: {query}");
    plain
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("text, not {value}"))
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("a list, not {value}"))
}

#[test]
fn every_panel_asks_a_question_and_says_what_to_do() {
    let runbook = std::fs::read_to_string(root().join("deploy/runbook.md")).expect("a runbook");
    let anchors: BTreeSet<String> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|heading| heading.to_lowercase().replace(' ', "-"))
        .collect();
    for name in NAMES {
        let dashboard = read(name);
        for panel in list(&dashboard["panels"]) {
            let title = text(&panel["title"]);
            if panel["type"] == ROW {
                continue;
            }
            assert!(title.ends_with('?'), "{name}: {title:?} is no question");
            let description = text(&panel["description"]);
            for part in ["**Shows** ", "**Normal:** ", "**If not:** ", "runbook.md#"] {
                assert!(description.contains(part), "{name}: {title}: {part} is not said");
            }
            for link in description.split("runbook.md#").skip(1) {
                let anchor = link.split(')').next().expect("the link's end");
                assert!(anchors.contains(anchor), "{name}: {title}: no heading #{anchor}");
            }
            let unit = match text(&panel["type"]) {
                "heatmap" => &panel["options"]["yAxis"]["unit"],
                // States have no unit, but names.
                "state-timeline" => &panel["fieldConfig"]["defaults"]["mappings"][0]["type"],
                _ => &panel["fieldConfig"]["defaults"]["unit"],
            };
            assert!(unit.is_string(), "{name}: {title}: no unit");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name}: {title}");
        }
    }
}

#[test]
fn dashboards_can_be_carried_elsewhere() {
    let mut uids = BTreeSet::new();
    for name in NAMES {
        let dashboard = read(name);
        assert_eq!(dashboard["uid"], format!("tickcast-{name}"));
        assert!(uids.insert(text(&dashboard["uid"]).to_owned()));
        // A number that one Grafana gave it means another dashboard in the next one.
        assert!(dashboard["id"].is_null(), "{name}");
        assert!(dashboard["schemaVersion"].as_u64().is_some_and(|version| version >= 39), "{name}");
        let variables = list(&dashboard["templating"]["list"]);
        let variables: Vec<&str> = variables.iter().map(|one| text(&one["name"])).collect();
        assert_eq!(variables, ["datasource", "instance", "venue"], "{name}");
        let annotations = list(&dashboard["annotations"]["list"]);
        let annotations: Vec<&str> = annotations.iter().map(|one| text(&one["name"])).collect();
        assert_eq!(annotations, ["Restarts", "Drains"], "{name}");
        check_places(name, list(&dashboard["panels"]));
    }
    let found = std::fs::read_dir(root().join("grafana/dashboards")).expect("a folder").count();
    assert_eq!(found, NAMES.len(), "each is looked at");
}

/// Numbers rise from 1, and no panel lies on another or beyond the page's 24 columns.
fn check_places(name: &str, panels: &[Value]) {
    let mut taken = BTreeSet::new();
    for (at, panel) in panels.iter().enumerate() {
        let title = text(&panel["title"]);
        assert_eq!(panel["id"].as_u64(), Some(at as u64 + 1), "{name}: {title}");
        let side = |key: &str| panel["gridPos"][key].as_u64().expect("a number");
        assert!(side("x") + side("w") <= 24, "{name}: {title} is cut off");
        for x in side("x")..side("x") + side("w") {
            for y in side("y")..side("y") + side("h") {
                assert!(taken.insert((x, y)), "{name}: {title} lies on another panel");
            }
        }
    }
}

#[test]
fn keys_stand_in_the_same_order_everywhere() {
    const ORDER: [&str; 12] = [
        "id",
        "type",
        "title",
        "description",
        "gridPos",
        "collapsed",
        "panels",
        "datasource",
        "targets",
        "fieldConfig",
        "options",
        "transformations",
    ];
    for name in NAMES {
        let path = root().join("grafana/dashboards").join(format!("{name}.json"));
        let source = std::fs::read_to_string(path).expect("it was read before");
        // A panel's own keys are the only ones that are indented by six in the list of panels.
        let panels = source.split_once("\n  \"panels\": [").expect("panels").1;
        let mut last = 0;
        for line in panels.lines() {
            let Some(key) = line.strip_prefix("      \"").and_then(|l| l.split('"').next()) else {
                continue;
            };
            let place = ORDER.iter().position(|known| *known == key);
            let place = place.unwrap_or_else(|| panic!("{name}: {key} is not known"));
            assert!(place > last || place == 0, "{name}: {line}");
            last = place;
        }
    }
}
