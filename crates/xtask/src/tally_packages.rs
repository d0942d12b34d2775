//! Reading what `node --test` and pytest print.

use crate::tally::{Reader, Tally};

/// Reads `node --test`, whose report is TAP in a pipe; one run after another is added up.
///
/// Of passing tests only the names are shown; of others all that is said of them.
#[derive(Debug, Default)]
pub(crate) struct NodeTest {
    counted: Tally,
    place: Place,
}

/// What the lines of a report belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// A compiler's, perhaps.
    #[default]
    Outside,
    /// A test that has passed, or none.
    Passed,
    /// A test that has not.
    Failed,
}

impl Reader for NodeTest {
    fn line(&mut self, line: &str) -> bool {
        let words = line.trim_start();
        if line.starts_with("TAP version") {
            self.place = Place::Passed;
            return false;
        }
        if self.place != Place::Outside && words.starts_with("ok ") {
            self.place = Place::Passed;
            return !line.starts_with(' ');
        }
        if self.place != Place::Outside && words.starts_with("not ok ") {
            self.place = Place::Failed;
            return true;
        }
        let summary = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ "));
        let count = summary.and_then(|summary| summary.split_once(' '));
        let count = count.and_then(|(what, number)| Some((what, number.parse::<u32>().ok()?)));
        let Some((what, number)) = count else { return self.place != Place::Passed };
        match what {
            "pass" => self.counted.passed += number,
            "fail" | "cancelled" => self.counted.failed += number,
            "skipped" | "todo" => self.counted.skipped += number,
            // `tests` and `suites` come first.
            _ => self.place = Place::Passed,
        }
        number > 0
    }

    fn tally(&self) -> Tally {
        self.counted
    }
}

/// Reads `pytest -q`: its last line counts.
#[derive(Debug, Default)]
pub(crate) struct Pytest {
    counted: Tally,
}

impl Reader for Pytest {
    fn line(&mut self, line: &str) -> bool {
        // `2 failed, 10 passed, 1 skipped in 3.21s`, with `=` around it where it is not quiet.
        let line = line.trim_matches(['=', ' ']);
        let Some((counts, time)) = line.rsplit_once(" in ") else { return true };
        let is_time = time.split_once('s').is_some_and(|(number, _)| number.parse::<f64>().is_ok());
        let mut tally = Tally::default();
        for count in counts.split(", ") {
            let Some((number, what)) = count.split_once(' ') else { return true };
            let Ok(number) = number.parse::<u32>() else { return true };
            match what {
                "passed" | "xpassed" => tally.passed += number,
                "failed" | "error" | "errors" => tally.failed += number,
                "skipped" | "xfailed" | "deselected" => tally.skipped += number,
                _ => {}
            }
        }
        if is_time {
            self.counted = self.counted.and(tally);
        }
        true
    }

    fn tally(&self) -> Tally {
        self.counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mut reader: impl Reader, text: &str, tally: Tally) -> Vec<&str> {
        let shown = text.lines().filter(|line| reader.line(line)).collect();
        assert_eq!(reader.tally(), tally, "{text}");
        shown
    }

    #[test]
    fn node_counts_at_the_end_of_each_run_and_says_what_failed() {
        let tap = "src/a.ts(1,1): error TS1: a compiler's
TAP version 13
# Subtest: a
ok 1 - a
  ---
  duration_ms: 2.1
  ...
# Subtest: b
    # Subtest: c
    ok 1 - c
      ---
      ...
    not ok 2 - d
      ---
      error: 'expected 1'
      ...
not ok 2 - b
  ---
  error: '1 subtest failed'
  ...
1..2
# tests 5
# suites 0
# pass 1
# fail 1
# cancelled 1
# skipped 1
# todo 0
# duration_ms 8.5
";
        let shown = check(NodeTest::default(), tap, Tally { passed: 1, failed: 2, skipped: 1 });
        let expected = [
            "src/a.ts(1,1): error TS1: a compiler's",
            "ok 1 - a",
            "    not ok 2 - d",
            "      ---",
            "      error: 'expected 1'",
            "      ...",
            "not ok 2 - b",
            "  ---",
            "  error: '1 subtest failed'",
            "  ...",
            "1..2",
            "# tests 5",
            "# pass 1",
            "# fail 1",
            "# cancelled 1",
            "# skipped 1",
        ];
        assert_eq!(shown, expected);
        let twice = format!("{tap}{}", tap.replace("# ", "ℹ "));
        check(NodeTest::default(), &twice, Tally { passed: 2, failed: 4, skipped: 2 });
    }

    #[test]
    fn pytest_counts_in_its_last_line() {
        let check = |text: &str, (passed, failed, skipped)| {
            let shown = check(Pytest::default(), text, Tally { passed, failed, skipped });
            assert_eq!(shown.len(), text.lines().count(), "all is shown");
        };
        check("....                [100%]\n4 passed in 0.12s\n", (4, 0, 0));
        check(
            "==== 1 failed, 2 passed, 3 skipped, 1 warning, 1 error in 83.21s (0:01:23) ====\n",
            (2, 2, 3),
        );
        check("no tests ran in 0.01s\n", (0, 0, 0));
        check("5 apples in a basket\nSKIPPED [1] a.py:3: 2 passed in vain\n", (0, 0, 0));
    }
}
