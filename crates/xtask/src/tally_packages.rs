//! Reading what `node --test` and pytest print.

use crate::tally::{Reader, Tally};

/// Reads `node --test`, whose report is TAP in a pipe; one run after another is added up.
///
/// Passing tests are not shown, as nothing of them is with cargo's runners but their names.
#[derive(Debug, Default)]
pub(crate) struct NodeTest {
    counted: Tally,
}

impl Reader for NodeTest {
    fn line(&mut self, line: &str) -> bool {
        let summary = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ "));
        let count = summary.and_then(|summary| summary.split_once(' '));
        let count = count.and_then(|(what, number)| Some((what, number.parse::<u32>().ok()?)));
        match count {
            Some(("pass", number)) => self.counted.passed += number,
            Some(("fail" | "cancelled", number)) => self.counted.failed += number,
            Some(("skipped" | "todo", number)) => self.counted.skipped += number,
            _ => {}
        }
        true
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

    fn check(mut reader: impl Reader, text: &str, tally: Tally) {
        for line in text.lines() {
            assert!(reader.line(line), "{line}");
        }
        assert_eq!(reader.tally(), tally, "{text}");
    }

    #[test]
    fn node_counts_at_the_end_of_each_run() {
        let tap = "TAP version 13\n# Subtest: a\nok 1 - a\n1..4\n# tests 4\n# suites 0\n# pass 1\n\
                   # fail 1\n# cancelled 1\n# skipped 1\n# todo 0\n# duration_ms 8.5\n";
        check(NodeTest::default(), tap, Tally { passed: 1, failed: 2, skipped: 1 });
        let twice = format!("{tap}{}", tap.replace("# ", "ℹ "));
        check(NodeTest::default(), &twice, Tally { passed: 2, failed: 4, skipped: 2 });
    }

    #[test]
    fn pytest_counts_in_its_last_line() {
        let check = |text: &str, (passed, failed, skipped)| {
            check(Pytest::default(), text, Tally { passed, failed, skipped });
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
