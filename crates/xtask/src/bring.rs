//! Bringing what the tests need and cargo does not bring: a browser, Node, Python and packages
//! for them, proxies.
//!
//! Debian packages are installed where we may; npm and PyPI packages go into `.tools`, pinned by
//! the files in `tests/clients`. What cannot be brought is named, and the tests that need it say
//! that they are skipped.

use crate::bring_autobahn::autobahn;
use crate::command::{find, output, program, root, succeeds};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// Written beside brought packages once they are complete: the text of the file that pins them.
pub(crate) const STAMP: &str = "brought";

/// Programs that are looked for, and the Debian packages that bring them.
const PROGRAMS: &[(&[&str], &str)] = &[
    (BROWSERS, "chromium"),
    (&["node"], "nodejs"),
    (&["npm"], "npm"),
    (&["python3"], "python3"),
    // Carries what makes virtual environments with pip inside.
    (&["python3"], "python3-venv"),
    (&["curl"], "curl"),
    (&["nginx"], "nginx"),
    (&["haproxy"], "haproxy"),
    // Carries promtool too.
    (&["prometheus"], "prometheus"),
    (&["systemd-analyze"], "systemd"),
    (COMPILERS, "g++"),
];

/// Compilers for C++, in which libFuzzer is written.
const COMPILERS: &[&str] = &["g++", "c++", "clang++"];

const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome"];

/// What the tests are told, and what they will have to do without.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    /// Environment variables that say where the tools are.
    pub(crate) env: Vec<(&'static str, PathBuf)>,
    /// What could not be brought, and why.
    pub(crate) missing: Vec<String>,
}

/// Brings everything that it can.
pub(crate) fn bring() -> Brought {
    let mut brought = Brought::default();
    if let Err(error) = debian() {
        // The tools that are missing for it are named one by one below.
        eprintln!("bring: {error:#}");
    }
    brought.note("TICKCAST_CHROMIUM", "Chromium", browser());
    brought.note("TICKCAST_NODE", "Node", find("node").context("no `node` on the path"));
    brought.note("TICKCAST_NODE_PATH", "npm packages (ws, playwright-core)", npm());
    brought.note("TICKCAST_CURL", "curl", find("curl").context("no `curl` on the path"));
    brought.note("TICKCAST_NGINX", "nginx", server("nginx"));
    brought.note("TICKCAST_HAPROXY", "haproxy", server("haproxy"));
    brought.note("TICKCAST_PROMETHEUS", "Prometheus", server("prometheus"));
    brought.note("TICKCAST_PROMTOOL", "promtool", server("promtool"));
    brought.note("TICKCAST_SYSTEMD_ANALYZE", "systemd-analyze", server("systemd-analyze"));
    brought.note("TICKCAST_PYTHON_DEPLOY", "what judges deploy/", python_deploy());
    brought.note("TICKCAST_PYTHON", "Python with websockets", python());
    brought.note("TICKCAST_NATS_SERVER", "nats-server", nats_server());
    brought.note("TICKCAST_AUTOBAHN", "Autobahn", autobahn());
    brought
}

impl Brought {
    fn note(&mut self, variable: &'static str, what: &str, found: Result<PathBuf>) {
        match found {
            Ok(path) => self.env.push((variable, path)),
            Err(error) => self.missing.push(format!("{what}: {error:#}")),
        }
    }
}

/// A compiler for C++, brought if there is none.
///
/// # Errors
/// When there is none and none can be brought.
pub(crate) fn compiler() -> Result<PathBuf> {
    let find_one = || COMPILERS.iter().find_map(|name| find(name));
    if find_one().is_none() {
        install(&["g++"])?;
    }
    find_one().context("no `g++` on the path")
}

fn browser() -> Result<PathBuf> {
    BROWSERS.iter().find_map(|name| find(name)).context("no `chromium` on the path")
}

/// Debian keeps servers where only root's path leads.
fn server(name: &str) -> Result<PathBuf> {
    let usual = PathBuf::from("/usr/sbin").join(name);
    find(name)
        .or_else(|| usual.is_file().then_some(usual))
        .with_context(|| format!("no `{name}` on the path"))
}

/// Installs the Debian packages that are missing, where we are root on a Debian.
fn debian() -> Result<()> {
    let packages: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(names, package)| match *package {
            "python3-venv" => !python_makes_venvs(),
            _ => !names.iter().any(|name| server(name).is_ok()),
        })
        .map(|(_, package)| *package)
        .collect();
    if packages.is_empty() { Ok(()) } else { install(&packages) }
}

/// Installs Debian packages, where we may.
fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(", ");
    ensure!(find("apt-get").is_some(), "not a Debian: install by hand: {names}");
    ensure!(output(program("id").arg("-u"))?.trim() == "0", "not root: install by hand: {names}");
    println!("bring: Debian packages {names}");
    let mut update = program("apt-get");
    update.args(["update", "--quiet"]);
    ensure!(succeeds(&mut update)?, "`apt-get update` failed");
    let mut install = program("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    install.args(["install", "--quiet", "-y", "--no-install-recommends"]).args(packages);
    ensure!(succeeds(&mut install)?, "`apt-get install {}` failed", packages.join(" "));
    Ok(())
}

fn python_makes_venvs() -> bool {
    output(program("python3").args(["-c", "import venv, ensurepip"])).is_ok()
}

/// The npm packages of `tests/clients`, as a `node_modules` folder.
fn npm() -> Result<PathBuf> {
    let folder = root().join(".tools/npm");
    let modules = folder.join("node_modules");
    let lock = pinned("package-lock.json")?;
    if is_complete(&folder, &lock) {
        return Ok(modules);
    }
    ensure!(find("npm").is_some(), "no `npm` on the path");
    println!("bring: npm packages");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("package.json"), pinned("package.json")?)?;
    std::fs::write(folder.join("package-lock.json"), &lock)?;
    let mut npm = program("npm");
    npm.current_dir(&folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    ensure!(succeeds(&mut npm)?, "`npm ci` failed");
    std::fs::write(folder.join(STAMP), lock)?;
    Ok(modules)
}

/// A Python that has the packages of `tests/clients`.
fn python() -> Result<PathBuf> {
    python_with(".tools/venv", &clients().join("requirements.txt"))
}

/// Debian's is too old: its JetStream answers are not understood.
fn nats_server() -> Result<PathBuf> {
    let beside = python()?.with_file_name("nats-server");
    ensure!(beside.is_file(), "no `nats-server` beside {}", beside.display());
    Ok(beside)
}

/// A Python that has what the SDK and its tests need.
pub(crate) fn python_sdk() -> Result<PathBuf> {
    python_with(".tools/venv-sdk", &root().join("clients/python/requirements-dev.txt"))
}

/// A Python beside which what judges the files of `deploy` lies.
fn python_deploy() -> Result<PathBuf> {
    python_with(".tools/venv-deploy", &root().join("tests/deploy/requirements.txt"))
}

/// A virtual environment with the packages that a file pins.
fn python_with(folder: &str, pins: &Path) -> Result<PathBuf> {
    let folder = root().join(folder);
    let python = folder.join("bin/python");
    let requirements =
        std::fs::read_to_string(pins).with_context(|| format!("cannot read {}", pins.display()))?;
    if is_complete(&folder, &requirements) && python.is_file() {
        return Ok(python);
    }
    ensure!(find("python3").is_some(), "no `python3` on the path");
    println!("bring: PyPI packages of {}", pins.display());
    let mut venv = program("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&folder);
    ensure!(succeeds(&mut venv)?, "`python3 -m venv` failed");
    let mut pip = program(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    pip.arg(pins);
    ensure!(succeeds(&mut pip)?, "`pip install` failed");
    std::fs::write(folder.join(STAMP), requirements)?;
    Ok(python)
}

pub(crate) fn clients() -> PathBuf {
    root().join("tests/clients")
}

pub(crate) fn pinned(name: &str) -> Result<String> {
    let path = clients().join(name);
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Whether everything that `pins` names was brought into `folder` before.
pub(crate) fn is_complete(folder: &Path, pins: &str) -> bool {
    std::fs::read_to_string(folder.join(STAMP)).is_ok_and(|stamp| stamp == pins)
}
