//! The parts in JavaScript, the SDK and the dashboard: brings their npm packages, builds them where
//! their sources have changed, and says how their tests are run.
//!
//! Cargo embeds `dashboard/dist` in the binary and builds that anew when a file there is newer, so
//! nothing is built twice from the same sources.

use crate::bring::{STAMP, is_complete};
use crate::command::{find, program, root, succeeds};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Beside what was built: the digest of what it was built from.
const BUILT: &str = "built";

/// Folders that nothing is built from.
const NO_SOURCES: &[&str] = &["node_modules", "dist", "test", "conformance"];

/// How deep sources may lie.
const DEPTH_MAX: usize = 12;

/// A folder with a `package.json`.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) folder: &'static str,
    /// A file that is there once it is built.
    product: &'static str,
    /// Other parts that it has in it.
    uses: &'static [&'static str],
}

/// In the order in which they are built.
pub(crate) const PARTS: &[Part] = &[
    Part { folder: "clients/js", product: "dist/index.js", uses: &[] },
    Part { folder: "dashboard", product: "dist/index.html", uses: &["clients/js"] },
];

/// Builds what has changed.
///
/// # Errors
/// When Node or a package is missing, or something cannot be built.
pub(crate) fn build() -> Result<()> {
    for name in ["node", "npm"] {
        ensure!(find(name).is_some(), "no `{name}` on the path");
    }
    PARTS.iter().try_for_each(|part| part.build().with_context(|| part.folder))
}

impl Part {
    fn path(&self) -> PathBuf {
        root().join(self.folder)
    }

    /// Whether it was built before, from whatever sources.
    pub(crate) fn is_there(&self) -> bool {
        self.path().join(self.product).is_file()
    }

    /// `npm` in its folder.
    pub(crate) fn npm(&self, args: &[&str]) -> Command {
        let mut npm = program("npm");
        npm.current_dir(self.path()).args(args);
        npm
    }

    fn build(&self) -> Result<()> {
        self.bring()?;
        let digest = self.digest()?;
        let stamp = self.path().join("node_modules").join(BUILT);
        let is_built = fs::read_to_string(&stamp).is_ok_and(|built| built == digest);
        if is_built && self.is_there() {
            return Ok(());
        }
        println!("build: {}", self.folder);
        ensure!(succeeds(&mut self.npm(&["run", "--silent", "build"]))?, "`npm run build` failed");
        ensure!(self.is_there(), "`npm run build` made no {}", self.product);
        fs::write(&stamp, digest).with_context(|| format!("cannot write {}", stamp.display()))
    }

    /// Its npm packages, as its lock file pins them.
    fn bring(&self) -> Result<()> {
        let modules = self.path().join("node_modules");
        let lock = self.path().join("package-lock.json");
        let lock =
            fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
        if is_complete(&modules, &lock) {
            return Ok(());
        }
        println!("bring: npm packages of {}", self.folder);
        let mut npm = self.npm(&["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        ensure!(succeeds(&mut npm)?, "`npm ci` failed");
        fs::create_dir_all(&modules)?;
        fs::write(modules.join(STAMP), lock)?;
        Ok(())
    }

    /// Of all that it is built from.
    fn digest(&self) -> Result<String> {
        let mut hasher = DefaultHasher::new();
        for folder in self.uses.iter().chain([&self.folder]) {
            digest(&root().join(folder), DEPTH_MAX, &mut hasher)?;
        }
        Ok(format!("{:016x}", hasher.finish()))
    }
}

/// Takes in names and contents below a folder.
fn digest(folder: &Path, depth: usize, hasher: &mut DefaultHasher) -> Result<()> {
    ensure!(depth > 0, "{} lies too deep", folder.display());
    let mut entries = folder
        .read_dir()
        .and_then(|entries| entries.collect::<Result<Vec<_>, _>>())
        .with_context(|| format!("cannot read {}", folder.display()))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        let is_source = !NO_SOURCES.iter().any(|other| name == *other)
            && !name.to_string_lossy().starts_with('.')
            && !name.to_string_lossy().ends_with(".md");
        if !is_source {
            continue;
        }
        hasher.write(name.as_encoded_bytes());
        if entry.file_type()?.is_dir() {
            digest(&path, depth - 1, hasher)?;
        } else {
            let bytes =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            hasher.write_usize(bytes.len());
            hasher.write(&bytes);
        }
    }
    // Where the folder ends, or a file could move out of it unseen.
    hasher.write_u8(0xff);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Folder {
            let folder = std::env::temp_dir().join(format!("xtask-{}", std::process::id()));
            fs::create_dir_all(folder.join("src")).unwrap();
            Folder(folder)
        }

        fn write(&self, name: &str, text: &str) -> u64 {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            self.digest()
        }

        fn digest(&self) -> u64 {
            let mut hasher = DefaultHasher::new();
            digest(&self.0, DEPTH_MAX, &mut hasher).unwrap();
            hasher.finish()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone_already = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_built_is_built_again_only_when_a_source_has_changed() {
        let folder = Folder::new();
        let first = folder.write("src/a.ts", "one");
        assert_eq!(folder.digest(), first);
        for other in ["README.md", "dist/a.js", "node_modules/b/index.js", "test/a.js", ".cache/c"]
        {
            assert_eq!(folder.write(other, "two"), first, "{other} is no source");
        }
        let second = folder.write("src/a.ts", "two");
        assert_ne!(second, first, "another content");
        fs::rename(folder.0.join("src/a.ts"), folder.0.join("a.ts")).unwrap();
        let third = folder.digest();
        assert_ne!(third, second, "another place");
        let fourth = folder.write("vite.config.ts", "");
        assert_ne!(fourth, third, "a file more");
    }

    #[test]
    fn parts_come_after_what_they_have_in_them() {
        for (at, part) in PARTS.iter().enumerate() {
            let before: Vec<&str> = PARTS[..at].iter().map(|part| part.folder).collect();
            assert!(part.uses.iter().all(|used| before.contains(used)), "{}", part.folder);
        }
    }
}
