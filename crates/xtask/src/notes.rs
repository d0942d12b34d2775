//! What the end of a long report repeats: which tests failed and what they said, which of them
//! passed when they were run again, and which were skipped. A log may be cut in the middle; its end
//! is there.

use crate::tally::{is_passed, nextest_status};

/// Lines of a failed test's own words; a difference of two values may be long.
const WORDS_MAX: usize = 12;
/// Bytes of each of them.
const WIDTH_MAX: usize = 500;

/// The lines to be repeated.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) lines: Vec<String>,
    /// The test that has passed last: what it printed follows.
    passed: String,
    /// The last test has failed.
    in_output_of_failed: bool,
    /// So many of the lines that come are still its words.
    words_left: usize,
}

impl Notes {
    /// Takes the report's next line.
    pub(crate) fn take(&mut self, line: &str) {
        let words = line.trim();
        match Notable::of(line) {
            Notable::Skipped => {
                self.lines.push(format!("{} {words}", self.passed).trim().to_owned());
            }
            Notable::Failed => {
                self.lines.push(words.to_owned());
                (self.in_output_of_failed, self.words_left) = (true, 0);
            }
            Notable::Passed | Notable::PassedAgain => {
                self.passed = words.to_owned();
                (self.in_output_of_failed, self.words_left) = (false, 0);
                if Notable::of(line) == Notable::PassedAgain {
                    self.lines.push(words.to_owned());
                }
            }
            Notable::Other if self.in_output_of_failed => self.hear(words),
            Notable::Other => {}
        }
    }

    /// A line of what a failed test printed: from where it panicked to where its stack is shown.
    fn hear(&mut self, words: &str) {
        if words.starts_with("thread '") && words.contains("panicked at") {
            self.words_left = WORDS_MAX;
        }
        if words == "stack backtrace:" || words.starts_with("note: run with `RUST_BACKTRACE") {
            self.words_left = 0;
        }
        if words.starts_with("error: '") && self.words_left == 0 {
            // Node's, a line among others.
            self.words_left = 1;
        }
        if self.words_left > 0 && !words.is_empty() {
            self.words_left -= 1;
            let end = words.floor_char_boundary(WIDTH_MAX);
            self.lines.push(format!("    {}", &words[..end]));
        }
    }
}

/// What a line of a report means for its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notable {
    /// A test could not run.
    Skipped,
    /// A test has failed.
    Failed,
    /// A test has passed; what it printed follows.
    Passed,
    /// The same, of one that had failed before.
    PassedAgain,
    Other,
}

impl Notable {
    /// Of a line of any of the runners.
    fn of(line: &str) -> Notable {
        let words = line.trim_start();
        if words.starts_with("SKIPPED") {
            return Notable::Skipped;
        }
        if words.starts_with("not ok ") || words.starts_with("FAILED ") {
            return Notable::Failed;
        }
        match nextest_status(line) {
            Some(("PASS", _)) => Notable::Passed,
            Some((status, _)) if is_passed(status) => Notable::PassedAgain,
            // It is not over.
            Some((status, _)) if status.ends_with("SLOW") || status == "TERMINATING" => {
                Notable::Other
            }
            Some(_) => Notable::Failed,
            None => Notable::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_end_repeats_is_known_in_every_report() {
        for (line, notable) in [
            ("        PASS [   0.010s] crate name", Notable::Passed),
            ("        FAIL [   0.010s] crate name", Notable::Failed),
            ("     TIMEOUT [   9.010s] crate name", Notable::Failed),
            ("  TRY 1 FAIL [   0.010s] crate name", Notable::Failed),
            ("  TRY 2 PASS [   0.010s] crate name", Notable::PassedAgain),
            ("   TRY 1 TMT [   9.010s] crate name", Notable::Failed),
            ("        SLOW [> 60.000s] crate name", Notable::Other),
            ("  TRY 2 SLOW [> 60.000s] crate name", Notable::Other),
            ("    SKIPPED: no such tool", Notable::Skipped),
            ("SKIPPED [1] tests/test_a.py:1: no such tool", Notable::Skipped),
            ("not ok 3 - a test", Notable::Failed),
            ("FAILED tests/test_a.py::test_b - assert 1 == 2", Notable::Failed),
            ("ok 3 - a test", Notable::Other),
            ("FAILED. 3 passed", Notable::Other),
        ] {
            assert_eq!(Notable::of(line), notable, "{line}");
        }
    }

    #[test]
    fn a_failed_test_is_repeated_with_its_words_and_a_skipped_one_with_its_name() {
        let text = "        PASS [   0.010s] nx good
        PASS [   0.012s] nx skips
    SKIPPED: no recordings
        FAIL [   0.157s] nx bad
  stderr ───
    thread 'bad' (7) panicked at tests/bad.rs:3:5:
    assertion failed: 1 == 2

    stack backtrace:
       0: somewhere
        PASS [   0.010s] nx expects_a_panic
    thread 'expects_a_panic' (8) panicked at tests/good.rs:3:5:
  TRY 2 PASS [   0.010s] nx bad
    not ok 2 - d
      duration_ms: 2.1
      error: 'expected 1'
      code: 'ERR_TEST_FAILURE'";
        let mut notes = Notes::default();
        text.lines().for_each(|line| notes.take(line));
        let expected = [
            "PASS [   0.012s] nx skips SKIPPED: no recordings",
            "FAIL [   0.157s] nx bad",
            "    thread 'bad' (7) panicked at tests/bad.rs:3:5:",
            "    assertion failed: 1 == 2",
            "TRY 2 PASS [   0.010s] nx bad",
            "not ok 2 - d",
            "    error: 'expected 1'",
        ];
        assert_eq!(notes.lines, expected);
    }
}
