//! Makes the built dashboard (`dashboard/dist`, by Vite) a table of files for `src/page.rs`: what
//! each is, how long it may be kept, its entity tag, its bytes plain and compressed.
//!
//! Without a built dashboard the table is empty. Nothing is built here: that takes Node, and
//! `cargo xtask run` does it.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// How deep folders may lie in it.
const DEPTH_MAX: usize = 8;
/// What is shorter goes plain: compressed it would fill a packet all the same.
const COMPRESSED_BYTES_MIN: usize = 1024;
/// Letters of the digest that Vite puts at the end of a name, at least.
const DIGEST_LETTERS_MIN: usize = 8;

/// What a file is, by the end of its name. A file that is not here is not served.
const KINDS: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("webmanifest", "application/manifest+json"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("ico", "image/x-icon"),
    ("woff2", "font/woff2"),
    ("txt", "text/plain; charset=utf-8"),
];

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let crate_folder = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let dashboard = crate_folder.join("../../dashboard").canonicalize()?;
    let built = dashboard.join("dist");
    // Cargo builds anew each time where something that it is to watch is not there. Where nothing
    // may be written, that is what happens.
    let _read_only = fs::create_dir(&built);
    println!("cargo:rerun-if-changed={}", built.display());
    println!("cargo:rerun-if-changed=build.rs");

    let mut files = Vec::new();
    if built.join("index.html").is_file() {
        collect(&built, DEPTH_MAX, &mut files)?;
    }
    files.sort();
    let mut table = String::from("&[\n");
    for (number, file) in files.iter().enumerate() {
        let name = file.strip_prefix(&built)?.to_str().ok_or("a name that is not text")?;
        let Some(kind) = kind_of(name) else {
            println!("cargo:warning=dashboard/dist/{name} is of no kind that is served");
            continue;
        };
        let bytes = fs::read(file)?;
        let gzip = compressed(&bytes)?;
        let gzip_file = out.join(format!("{number}.gz"));
        let gzip_text = match &gzip {
            Some(gzip) => {
                fs::write(&gzip_file, gzip)?;
                format!("Some(include_bytes!({gzip_file:?}))")
            }
            None => "None".to_owned(),
        };
        let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
        writeln!(
            table,
            "File {{ path: {path:?}, kind: {kind:?}, tag: \"\\\"{:016x}\\\"\", is_forever: {}, \
             bytes: include_bytes!({file:?}), gzip: {gzip_text} }},",
            digest(&bytes),
            is_named_by_digest(name),
        )?;
    }
    table.push(']');
    fs::write(out.join("dashboard.rs"), table)?;
    Ok(())
}

/// All files below a folder.
fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Outcome<()> {
    if depth == 0 {
        return Err(format!("{} lies too deep", folder.display()).into());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), depth - 1, files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn kind_of(name: &str) -> Option<&'static str> {
    let (_, end) = name.rsplit_once('.')?;
    KINDS.iter().find(|(known, _)| *known == end).map(|(_, kind)| *kind)
}

/// Whether another content would have another name: `assets/index-DkY3r0Zl.js`.
fn is_named_by_digest(name: &str) -> bool {
    let Some((stem, _)) = name.strip_prefix("assets/").and_then(|file| file.rsplit_once('.'))
    else {
        return false;
    };
    let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || b"-_".contains(&letter);
    stem.len() > DIGEST_LETTERS_MIN
        && stem.as_bytes()[stem.len() - DIGEST_LETTERS_MIN - 1] == b'-'
        && stem.bytes().rev().take(DIGEST_LETTERS_MIN).all(is_letter)
}

/// The gzip'd form, where it is worth it.
fn compressed(bytes: &[u8]) -> Outcome<Option<Vec<u8>>> {
    if bytes.len() < COMPRESSED_BYTES_MIN {
        return Ok(None);
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    let gzip = encoder.finish()?;
    Ok((gzip.len() < bytes.len() / 10 * 9).then_some(gzip))
}

/// FNV-1a: tells two builds apart, and is the same wherever this is compiled.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
