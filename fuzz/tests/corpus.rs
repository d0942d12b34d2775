//! Every input that was kept, once through its target: what was found stays found.

use std::path::{Path, PathBuf};
use tickcast_fuzz::{TARGETS, Target};

/// A corpus is read by people too: so many files, so many bytes.
const FILES_MAX: usize = 64;
const BYTES_MAX: usize = 256 << 10;

fn folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

fn files(target: &Target) -> Vec<(String, Vec<u8>)> {
    let entries = folder(target).read_dir().expect("every target has a corpus");
    let mut files: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("the folder can be read");
            let bytes = std::fs::read(entry.path()).expect("the file can be read");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect();
    files.sort();
    files
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("it is in the table");
    for byte in 0..=u8::MAX {
        (target.run)(&[byte]);
    }
    (target.run)(&[]);
    let files = files(target);
    assert!(!files.is_empty(), "{name} has no corpus");
    for (file, bytes) in files {
        println!("{name}/{file}");
        (target.run)(&bytes);
        // Half of it is an input too.
        (target.run)(&bytes[..bytes.len() / 2]);
    }
}

macro_rules! replayed {
    ($($target:ident),*) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )*

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$(stringify!($target)),*];
            assert_eq!(TARGETS.map(|target| target.name), replayed);
        }
    };
}

replayed!(
    binance,
    coinbase,
    coinbase_exchange,
    configuration,
    decoder,
    deflate,
    handshake,
    keys,
    kraken,
    nats,
    protobuf,
    proxy_header,
    query,
    recording,
    request,
    token
);

#[test]
fn the_corpora_are_small() {
    for target in &TARGETS {
        let files = files(target);
        let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(files.len() <= FILES_MAX, "{}: {} files", target.name, files.len());
        assert!(bytes <= BYTES_MAX, "{}: {bytes} bytes", target.name);
    }
}

#[test]
fn every_target_has_a_libfuzzer_program_and_nothing_else_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("it is there");
    for target in &TARGETS {
        let path = format!("targets/{}.rs", target.name);
        assert!(manifest.contains(&format!("path = \"{path}\"")), "{path} is not in Cargo.toml");
        let program = std::fs::read_to_string(root.join(&path)).expect("it is there");
        assert!(program.contains(&format!("tickcast_fuzz::{}::run", target.name)), "{path}");
    }
    let programs = root.join("targets").read_dir().expect("it is there").count();
    assert_eq!(programs, TARGETS.len());
}
