//! Where and when a run took place.

use std::path::Path;
use std::process::Command;

/// The lines that go above a result.
pub(crate) fn describe(cores: &[usize], command: &str) -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"]);
    let changed = output("git", &["status", "--porcelain", "--untracked-files=no"]);
    let changed = match changed.as_deref() {
        Some("") | None => "",
        Some(_) => ", with changes that are not committed",
    };
    let now = jiff::Timestamp::now();
    format!(
        "- machine: {model}, {} cores used, Linux {}\n- commit: {}{changed}\n- date: {}\n- \
         command: `{command}`\n",
        cores.len(),
        kernel.trim(),
        commit.as_deref().unwrap_or("unknown"),
        now.strftime("%Y-%m-%d %H:%M UTC"),
    )
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(program).args(args).current_dir(root).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_date_and_command_are_told() {
        let text = describe(&[0, 1], "cargo xtask bench");
        for part in ["2 cores used, Linux ", "commit: ", "UTC", "`cargo xtask bench`"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
