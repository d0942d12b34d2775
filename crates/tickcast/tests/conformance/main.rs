//! All SDKs pass one script: the real service plays a recording behind lines that cut, delay,
//! repeat, lose and falsify its messages; it drains, dies and starts again; tokens end. Whatever has
//! happened, each SDK ends with what `/v1/snapshot` shows, and was never wrong meanwhile.
//!
//! Every SDK comes as a small program (`clients/conformance/README.md`). All of them, in every
//! encoding, go through `clients/conformance/script.toml` at the same time, and beside them one that
//! does not see gaps: it has to be found.

mod driver;
#[path = "../tokens/forge.rs"]
#[allow(dead_code)]
mod forge;
mod judge;
mod lane;
mod messages;
mod passing;
mod play;
mod proxy;
mod script;
#[path = "../scripts/mod.rs"]
mod scripts;
#[path = "../service/mod.rs"]
mod service;
mod tokens;

use lane::Entry;
use play::Play;
use script::Script;
use scripts::{example, node, python_sdk, root};
use std::path::{Path, PathBuf};

/// Encodings that an SDK may offer; a driver says which ones it does not.
const ENCODINGS: [&str; 3] = ["json", "protobuf", "sse"];

#[test]
fn every_sdk_ends_with_the_services_state_whatever_happens_on_the_way() {
    let Some(feeds) = service::feeds() else { return };
    let Some(entries) = entries() else { return };
    let script = Script::read(&root().join("clients/conformance/script.toml"));
    let recording = feeds.join("recordings").join(&script.service.recording);
    let secret = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance-secret");
    std::fs::write(&secret, forge::SECRET).expect("a writable target folder");

    let mut play = Play::start(script, recording, secret, &entries);
    play.run();
    let mut failed = Vec::new();
    for lane in &play.lanes {
        match (lane.entry.is_wrong, lane.faults.first()) {
            (false, None) => {}
            (true, Some(first)) => println!("{}: found: {first}", lane.entry.name),
            (true, None) => failed.push(format!("{}: not found", lane.entry.name)),
            (false, Some(_)) => failed.push(format!("{}: {:#?}", lane.entry.name, lane.faults)),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Says where a driver's program is.
type Find = fn() -> Option<PathBuf>;

/// The drivers; `TICKCAST_CONFORMANCE=js-,python-sse` takes only those with one of these in
/// their name.
fn entries() -> Option<Vec<Entry>> {
    let parts = std::env::var("TICKCAST_CONFORMANCE").unwrap_or_default();
    let file = |path: &str| root().join(path).to_str().expect("text").to_owned();
    let control = |name: &'static str, more: Option<&str>| {
        let script = file("crates/tickcast/tests/conformance/control.mjs");
        let args = [script].into_iter().chain(more.map(str::to_owned)).collect();
        (name, node as Find, args, &ENCODINGS[..1])
    };
    let programs: [(&str, Find, Vec<String>, &[&'static str]); 5] = [
        ("js", node, vec![file("clients/js/conformance/driver.mjs")], &ENCODINGS),
        ("python", python_sdk, vec![file("clients/python/conformance/driver.py")], &ENCODINGS),
        ("rust", rust, Vec::new(), &ENCODINGS),
        control("control", None),
        control("blind", Some("blind")),
    ];
    let mut entries = Vec::new();
    for (driver, find, args, encodings) in programs {
        for encoding in encodings {
            let name = format!("{driver}-{encoding}");
            if parts.split(',').any(|part| name.contains(part)) {
                let (program, args) = (find()?, args.clone());
                entries.push(Entry { name, encoding, program, args, is_wrong: driver == "blind" });
            }
        }
    }
    Some(entries)
}

fn rust() -> Option<PathBuf> {
    example("conformance")
}
