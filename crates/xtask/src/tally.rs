//! Reading what test runners print: how many passed, failed and were skipped, and which lines
//! a person wants to see.
//!
//! A test that cannot run for want of something prints a line `SKIPPED: …` and returns. Runners
//! call that passed and hide the line; here it is shown, and counted as skipped.

use std::fmt;

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
}

impl Tally {
    /// Both runs together.
    pub(crate) fn and(self, other: Tally) -> Tally {
        Tally {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }

    /// What the runner counts as passed, less what said that it was skipped.
    fn with_skips_said(self, said: u32) -> Tally {
        Tally {
            passed: self.passed.saturating_sub(said),
            skipped: self.skipped + said,
            failed: self.failed,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Takes a runner's lines one by one.
pub(crate) trait Reader {
    /// Whether this line is for a person's eyes.
    fn line(&mut self, line: &str) -> bool;
    /// What was counted.
    fn tally(&self) -> Tally;
}

/// Remembers for one test whether it said that it was skipped.
#[derive(Debug, Default)]
struct Said {
    count: u32,
    by_this_test: bool,
}

impl Said {
    fn next_test(&mut self) {
        self.by_this_test = false;
    }

    /// Whether `line` says it, or tells a figure.
    fn hears(&mut self, line: &str) -> bool {
        let line = line.trim_start();
        let says = line.starts_with("SKIPPED:");
        if says && !self.by_this_test {
            self.by_this_test = true;
            self.count += 1;
        }
        says || is_figure(line)
    }
}

/// Whether a line tells the figure that a promise of the edge has come to: `row 4: head 5.0 s`.
fn is_figure(line: &str) -> bool {
    let number = line.strip_prefix("row ").and_then(|rest| rest.split_once(": "));
    number.is_some_and(|(number, _)| number.parse::<u32>().is_ok())
}

/// Reads `cargo nextest run --success-output immediate`.
#[derive(Debug, Default)]
pub(crate) struct Nextest {
    counted: Tally,
    said: Said,
    in_output_of_passed: bool,
}

impl Reader for Nextest {
    fn line(&mut self, line: &str) -> bool {
        if let Some(summary) = line.trim_start().strip_prefix("Summary [") {
            self.in_output_of_passed = false;
            self.counted = nextest_summary(summary);
            return true;
        }
        if let Some((status, _)) = nextest_status(line) {
            self.in_output_of_passed = is_passed(status);
            self.said.next_test();
            return true;
        }
        if !self.in_output_of_passed {
            return true;
        }
        if line.is_empty() || line.starts_with("  ") {
            return self.said.hears(line);
        }
        // Not indented: the list of tests is over.
        self.in_output_of_passed = false;
        true
    }

    fn tally(&self) -> Tally {
        self.counted.with_skips_said(self.said.count)
    }
}

/// `        PASS [   0.010s] crate name` into `PASS` and the rest.
pub(crate) fn nextest_status(line: &str) -> Option<(&str, &str)> {
    let (status, rest) = line.split_once(" [")?;
    let is_padded = line.starts_with(' ') && rest.contains("s] ");
    let word = status.trim_start();
    let is_word = !word.is_empty()
        && word.chars().all(|c| c.is_ascii_uppercase() || " +0123456789/".contains(c));
    (is_padded && is_word).then_some((word, rest))
}

/// `PASS`, or `TRY 2 PASS` of a test that had failed before.
pub(crate) fn is_passed(status: &str) -> bool {
    status.split(' ').next_back() == Some("PASS")
}

/// `   0.160s] 5 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 0 skipped`.
fn nextest_summary(text: &str) -> Tally {
    let mut tally = Tally::default();
    let Some((_, counts)) = text.split_once("run: ") else { return tally };
    // Each may be followed by what some of them were: `3 passed (1 slow, 1 flaky)`.
    let counts = counts.split('(').map(|part| part.split_once(')').map_or(part, |(_, rest)| rest));
    for count in counts.collect::<String>().split(", ") {
        let Some((number, what)) = count.trim().split_once(' ') else { continue };
        let number = number.parse().unwrap_or(0);
        match what {
            "passed" => tally.passed += number,
            "skipped" => tally.skipped += number,
            // failed, timed out, exec failed
            _ => tally.failed += number,
        }
    }
    tally
}

/// Reads `cargo test -- --show-output`.
#[derive(Debug, Default)]
pub(crate) struct Libtest {
    counted: Tally,
    said: Said,
    in_output_of_passed: bool,
}

impl Reader for Libtest {
    fn line(&mut self, line: &str) -> bool {
        if line == "successes:" {
            self.in_output_of_passed = true;
            return false;
        }
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.in_output_of_passed = false;
            self.counted = self.counted.and(libtest_result(counts));
            return true;
        }
        if line == "failures:" {
            self.in_output_of_passed = false;
        }
        if !self.in_output_of_passed {
            return true;
        }
        if line.starts_with("---- ") && line.ends_with(" ----") {
            self.said.next_test();
            return false;
        }
        self.said.hears(line)
    }

    fn tally(&self) -> Tally {
        self.counted.with_skips_said(self.said.count)
    }
}

/// `FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.07s`.
fn libtest_result(text: &str) -> Tally {
    let mut tally = Tally::default();
    let counts = text.split_once(". ").map_or(text, |(_, counts)| counts);
    for count in counts.split("; ") {
        let Some((number, what)) = count.split_once(' ') else { continue };
        let number = number.parse().unwrap_or(0);
        match what {
            "passed" => tally.passed += number,
            "failed" => tally.failed += number,
            "ignored" => tally.skipped += number,
            _ => {}
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mut reader: impl Reader, text: &str, tally: Tally, shown: &[&str]) {
        let seen: Vec<&str> = text.lines().filter(|line| reader.line(line)).collect();
        assert_eq!(reader.tally(), tally);
        assert_eq!(seen, shown);
    }

    #[test]
    fn nextest_shows_what_was_skipped_and_hides_what_passing_tests_print() {
        let text = "   Compiling nx v0.1.0
    Starting 4 tests across 1 binary
        PASS [   0.010s] nx tests::good
  stdout ───

    running 1 test
    hello

        PASS [   0.012s] (2/4) nx tests::skips
  stderr ───
    SKIPPED: no recordings
    SKIPPED: nor a browser

        FAIL [   0.157s] nx tests::bad
  stdout ───

    SKIPPED: but it fails

     TIMEOUT [  60.000s] nx tests::hangs
  TRY 1 FAIL [   0.010s] nx::a once
  stderr ───
    boo

  TRY 2 PASS [   0.010s] nx::a once
  stderr ───
    hello

────────────
     Summary [   0.160s] 5 tests run: 3 passed (1 slow, 1 flaky), 1 failed, 1 timed out, 0 skipped
error: test run failed";
        let shown = [
            "   Compiling nx v0.1.0",
            "    Starting 4 tests across 1 binary",
            "        PASS [   0.010s] nx tests::good",
            "        PASS [   0.012s] (2/4) nx tests::skips",
            "    SKIPPED: no recordings",
            "    SKIPPED: nor a browser",
            "        FAIL [   0.157s] nx tests::bad",
            "  stdout ───",
            "",
            "    SKIPPED: but it fails",
            "",
            "     TIMEOUT [  60.000s] nx tests::hangs",
            "  TRY 1 FAIL [   0.010s] nx::a once",
            "  stderr ───",
            "    boo",
            "",
            "  TRY 2 PASS [   0.010s] nx::a once",
            "────────────",
            "     Summary [   0.160s] 5 tests run: 3 passed (1 slow, 1 flaky), 1 failed, 1 timed out, 0 skipped",
            "error: test run failed",
        ];
        check(Nextest::default(), text, Tally { passed: 2, failed: 2, skipped: 1 }, &shown);
    }

    #[test]
    fn libtest_adds_up_binaries_and_counts_a_test_once_however_often_it_says_skipped() {
        let text = "running 2 tests
test good ... ok
test skips ... ok

successes:

---- good stdout ----
hello

---- skips stdout ----
SKIPPED: no recordings
SKIPPED: nor a browser

successes:
    good
    skips

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.07s
running 1 test
failures:

---- bad stdout ----
boo
test result: FAILED. 0 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        let shown = [
            "running 2 tests",
            "test good ... ok",
            "test skips ... ok",
            "",
            "SKIPPED: no recordings",
            "SKIPPED: nor a browser",
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.07s",
            "running 1 test",
            "failures:",
            "",
            "---- bad stdout ----",
            "boo",
            "test result: FAILED. 0 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s",
        ];
        check(Libtest::default(), text, Tally { passed: 1, failed: 1, skipped: 2 }, &shown);
    }

    #[test]
    fn the_last_line_reads_as_promised() {
        let tally = Tally { passed: 12, failed: 0, skipped: 3 };
        assert_eq!(tally.to_string(), "12 passed, 0 failed, 3 skipped");
    }

    #[test]
    fn figures_of_passed_tests_are_shown() {
        let mut reader = Nextest::default();
        assert!(reader.line("        PASS [   0.010s] tickcast row_04_slowloris"));
        assert!(reader.line("    row 4: closed after 5.0 s"));
        assert!(!reader.line("    row by row nothing is told"));
        assert!(!reader.line("    something else"));
    }
}
