//! The files of `deploy` as text and as YAML.

use crate::scripts::root;
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// How deep folders may lie.
const DEPTH_MAX: usize = 6;

/// A file of `deploy`.
pub(crate) fn deployed(name: &str) -> String {
    read(&root().join("deploy").join(name))
}

pub(crate) fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Every file of `deploy`, named from there, with its text.
pub(crate) fn all() -> Vec<(String, String)> {
    let folder = root().join("deploy");
    let mut files = Vec::new();
    below(&folder, DEPTH_MAX, &mut files);
    let named = |file: PathBuf| {
        let name = file.strip_prefix(&folder).expect("it lies below").display().to_string();
        (name, read(&file))
    };
    let mut files: Vec<_> = files.into_iter().map(named).collect();
    files.sort();
    assert!(files.len() > 25, "{} files are not all of deploy", files.len());
    files
}

/// Every file below a folder.
pub(crate) fn below(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    assert!(depth > 0, "{} lies too deep", folder.display());
    for entry in folder.read_dir().expect("a folder").map(|entry| entry.expect("an entry")) {
        match entry.path() {
            path if path.is_dir() => below(&path, depth - 1, files),
            path => files.push(path),
        }
    }
}

/// The documents of a YAML text.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let read = |document| Value::deserialize(document).expect("YAML that JSON can say");
    serde_yaml_ng::Deserializer::from_str(text)
        .map(read)
        .filter(|document| !document.is_null())
        .collect()
}

/// Every value at whatever depth that has this key, with what it stands in.
pub(crate) fn find<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                if name == key {
                    found.push(inner);
                }
                find(inner, key, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| find(item, key, found)),
        _ => {}
    }
}

/// A list of texts.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    let text = |item: &Value| item.as_str().unwrap_or_else(|| panic!("{item}")).to_owned();
    value.as_array().unwrap_or_else(|| panic!("{value}")).iter().map(text).collect()
}

/// A file for one test, which is written once.
pub(crate) fn temporary(name: &str) -> PathBuf {
    let name = format!("deploy-{}-{name}", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}
