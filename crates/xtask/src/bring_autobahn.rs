//! Bringing the Autobahn test suite, which judges how the edge speaks WebSocket: it runs on CPython
//! 2.7 only, in a virtual environment of its own in `.tools/autobahn`.

use crate::bring::{STAMP, clients, is_complete, pinned};
use crate::command::{find, output, program, root, succeeds};
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// The last one that runs on 2.7.
const VIRTUALENV: &str = "virtualenv==20.15.1";

/// The suite's program, `wstest`.
pub(crate) fn autobahn() -> Result<PathBuf> {
    let folder = root().join(".tools/autobahn");
    let wstest = folder.join("bin/wstest");
    let requirements = pinned("autobahn.txt")?;
    if is_complete(&folder, &requirements) && wstest.is_file() {
        return Ok(wstest);
    }
    let python = python27().context("no CPython 2.7 on the path or among pyenv's versions")?;
    println!("bring: the Autobahn test suite, with {}", python.display());
    let maker = root().join(".tools/autobahn-maker");
    let mut pip = program(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]);
    pip.arg("--target").arg(&maker).arg(VIRTUALENV);
    ensure!(succeeds(&mut pip)?, "`pip install {VIRTUALENV}` failed");
    let mut virtualenv = program(&python);
    virtualenv.env("PYTHONPATH", &maker).args(["-m", "virtualenv", "--quiet", "--clear"]);
    virtualenv.arg(&folder);
    ensure!(succeeds(&mut virtualenv)?, "`virtualenv` failed");
    let mut pip = program(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    pip.arg(clients().join("autobahn.txt"));
    ensure!(succeeds(&mut pip)?, "`pip install` failed");
    std::fs::write(folder.join(STAMP), requirements)?;
    Ok(wstest)
}

/// pyenv's `python2.7` on the path only says where another one is: each is asked.
fn python27() -> Option<PathBuf> {
    let homes = [
        std::env::var_os("PYENV_ROOT").map(PathBuf::from),
        std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".pyenv")),
    ];
    let versions =
        homes.into_iter().flatten().filter_map(|home| home.join("versions").read_dir().ok());
    let pyenvs = versions
        .flat_map(|folders| folders.flatten())
        .filter(|folder| folder.file_name().to_string_lossy().starts_with("2.7"))
        .map(|folder| folder.path().join("bin/python2.7"));
    find("python2.7").into_iter().chain(pyenvs).find(|python| {
        let asked = output(program(python).args(["-c", "import sys; print(sys.version_info[:2])"]));
        asked.is_ok_and(|answer| answer.trim() == "(2, 7)")
    })
}
