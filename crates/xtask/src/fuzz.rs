//! `cargo xtask fuzz`: builds the fuzz targets with what libFuzzer has to see, and lets each of
//! them run for some seconds.
//!
//! What a target tries is in `fuzz/`. A finding is kept under `target/fuzz/findings`.

use crate::command;
use crate::fuzz_report::Report;
use crate::tally::Tally;
use anyhow::{Context, Result, bail, ensure};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;

/// How long a target runs when all tests run: in CI, and at a developer's.
const SECONDS_CI: u32 = 60;
const SECONDS_USUAL: u32 = 5;

/// What makes LLVM count the ways that were taken, on a compiler that has no flag for it.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// What every target is held to: bytes of an input, memory, seconds for one input.
const LIMITS: [&str; 3] = ["-max_len=4096", "-rss_limit_mb=1024", "-timeout=10"];

/// libFuzzer's seed where it is a test: the same inputs each time, as far as it gets, so that a change
/// is judged by what it changes. `cargo xtask fuzz` looks elsewhere each time (0 is a seed of its own).
const TEST_SEED: u32 = 1;

/// What a log has to say of a fault begins with one of these; so much of it is shown.
const REASONS: [&str; 3] = [" panicked at ", "ERROR: libFuzzer", "error while loading"];
const SHOWN_LINES_MAX: usize = 30;

/// `cargo xtask fuzz [--seconds N] [TARGET…]`.
///
/// # Errors
/// When there is no such target, no compiler for C++, or something cannot be built or started.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let (mut seconds, mut names) = (SECONDS_CI, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => {
                let value = args.next().context("--seconds: how many?")?;
                seconds = value.parse().with_context(|| format!("--seconds: {value:?}"))?;
            }
            flag if flag.starts_with('-') => bail!("{flag}: unknown; known is --seconds"),
            name => names.push(name.to_owned()),
        }
    }
    let all = targets()?;
    if let Some(unknown) = names.iter().find(|name| !all.contains(name)) {
        bail!("{unknown:?} is not one of {}", all.join(", "));
    }
    let compiler = crate::bring::compiler()?;
    let tally = fuzz(if names.is_empty() { &all } else { &names }, seconds, 0, &compiler)?;
    println!("{tally}");
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All targets as part of all tests; each counts as one.
///
/// # Errors
/// When something cannot be built or started.
pub(crate) fn test(is_long: bool) -> Result<Tally> {
    let all = targets()?;
    match crate::bring::compiler() {
        Ok(compiler) => {
            let seconds = if is_long { SECONDS_CI } else { SECONDS_USUAL };
            fuzz(&all, seconds, TEST_SEED, &compiler)
        }
        Err(error) => {
            println!("SKIPPED: fuzz: {error:#}");
            Ok(Tally { skipped: all.len() as u32, ..Tally::default() })
        }
    }
}

/// The names of all targets.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in command::root().join("fuzz/targets").read_dir().context("fuzz/targets")? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort();
    ensure!(!names.is_empty(), "fuzz/targets is empty");
    Ok(names)
}

/// Builds them and runs each for so long, one per core at a time.
fn fuzz(names: &[String], seconds: u32, seed: u32, compiler: &Path) -> Result<Tally> {
    let folder = folder();
    let programs = build(names, &folder, compiler)?;
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!("fuzz: {} targets, {seconds} s each, {jobs} at a time", names.len());
    let waiting = Mutex::new(names.iter().collect::<VecDeque<_>>());
    let next = || waiting.lock().ok()?.pop_front();
    let work = || -> Result<Tally> {
        let mut tally = Tally::default();
        while let Some(name) = next() {
            let run = Run { name, folder: &folder, program: programs.join(name) };
            match run.run(seconds, seed)? {
                true => tally.passed += 1,
                false => tally.failed += 1,
            }
        }
        Ok(tally)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.min(names.len())).map(|_| scope.spawn(work)).collect();
        let mut tally = Tally::default();
        for worker in workers {
            tally = tally.and(worker.join().expect("a worker does not panic")?);
        }
        Ok(tally)
    })
}

/// Where everything of fuzzing is kept: a build of its own, logs, findings.
fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    command::root().join(target.unwrap_or_else(|| "target".into())).join("fuzz")
}

/// The folder in which the programs are.
fn build(names: &[String], folder: &Path, compiler: &Path) -> Result<PathBuf> {
    let version = command::output(command::program("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("`rustc -vV` names no host")?;
    let mut build = command::cargo();
    build.args(["build", "--locked", "--profile", "fuzz", "--package", "tickcast-fuzz"]);
    // With a target named, build scripts and macros are spared the flags.
    build.args(["--features", "libfuzzer", "--target", host, "--target-dir"]).arg(folder);
    build.args(names.iter().flat_map(|name| ["--bin", name]));
    build.env("RUSTFLAGS", RUSTFLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS").env("CXX", compiler);
    ensure!(command::succeeds(&mut build)?, "the fuzz targets cannot be built");
    Ok(folder.join(host).join("fuzz"))
}

/// One target's run.
struct Run<'a> {
    name: &'a str,
    folder: &'a Path,
    program: PathBuf,
}

impl Run<'_> {
    /// Whether it found nothing.
    fn run(&self, seconds: u32, seed: u32) -> Result<bool> {
        let name = self.name;
        let (work, findings) = (self.folder.join("work").join(name), self.findings());
        // What a run has collected is there until the next one.
        if work.exists() {
            fs::remove_dir_all(&work)
                .with_context(|| format!("cannot empty {}", work.display()))?;
        }
        for folder in [&work, &findings] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let log = self.folder.join("work").join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let mut program = self.program(&findings);
        program.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
        program.arg(format!("-seed={seed}"));
        program.arg(&work).arg(command::root().join("fuzz/corpus").join(name));
        program.stdout(file.try_clone()?).stderr(file);
        let is_good = command::succeeds(&mut program)?;
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let report = Report::read(&text);
        println!("fuzz: {name}: {report}{}", if is_good { "" } else { ", FOUND SOMETHING" });
        if !is_good {
            self.show(&report, &text);
        }
        Ok(is_good)
    }

    fn findings(&self) -> PathBuf {
        self.folder.join("findings").join(self.name)
    }

    fn program(&self, findings: &Path) -> Command {
        let mut program = command::program(&self.program);
        // The panic's own words are what matters, and they are short.
        program.env("RUST_BACKTRACE", "0");
        program.args(LIMITS).arg(format!("-artifact_prefix={}/", findings.display()));
        program
    }

    /// Says what was found and how to see it again.
    fn show(&self, report: &Report, log: &str) {
        let is_ordinary = |line: &&str| !REASONS.iter().any(|reason| line.contains(reason));
        for line in log.lines().skip_while(is_ordinary).take(SHOWN_LINES_MAX) {
            println!("    {line}");
        }
        let (name, program) = (self.name, self.program.display());
        match &report.finding {
            Some(file) => println!(
                "  found: {file}\n  again: {program} {file}\n  keep:  cp {file} fuzz/corpus/{name}/ \
                 && cargo test -p tickcast-fuzz --test corpus {name}"
            ),
            None => println!("  again: {program} fuzz/corpus/{name}/*"),
        }
    }
}
