//! Reading what a libFuzzer program prints: how much it tried, how far it came, what it found.

use std::fmt;

/// What is worth a line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Inputs that were tried.
    pub(crate) executions: u64,
    /// Edges of the program that were taken.
    pub(crate) edges: u64,
    /// The most memory that was used, in megabytes.
    pub(crate) memory_mb: u64,
    /// The file that shows a fault.
    pub(crate) finding: Option<String>,
}

impl Report {
    /// Reads a log; of figures that stand there often the last counts.
    pub(crate) fn read(log: &str) -> Report {
        let mut report = Report::default();
        for line in log.lines() {
            if let Some(file) = line.split("Test unit written to ").nth(1) {
                report.finding = Some(file.trim().to_owned());
            }
            let mut words = line.split_whitespace();
            while let Some(word) = words.next() {
                let figure = match word {
                    "cov:" => &mut report.edges,
                    "stat::number_of_executed_units:" => &mut report.executions,
                    "stat::peak_rss_mb:" => &mut report.memory_mb,
                    _ => continue,
                };
                *figure = words.next().and_then(|word| word.parse().ok()).unwrap_or(*figure);
            }
        }
        report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { executions, edges, memory_mb, .. } = self;
        write!(f, "{executions} inputs, {edges} edges, {memory_mb} MB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_figures_count_and_a_finding_is_named() {
        let log = "INFO: seed corpus: files: 17\n\
            #18\tINITED cov: 512 ft: 900 corp: 17/1Kb exec/s: 0 rss: 40Mb\n\
            #65536\tpulse  cov: 640 ft: 1200 corp: 99/9Kb lim: 1024 exec/s: 32768 rss: 60Mb\n\
            thread '<unnamed>' panicked at fuzz/src/decoder.rs:1:1:\n\
            Test unit written to /x/findings/decoder/crash-0a1b\n\
            stat::number_of_executed_units: 70001\n\
            stat::peak_rss_mb:              61\n";
        let expected = Report {
            executions: 70_001,
            edges: 640,
            memory_mb: 61,
            finding: Some("/x/findings/decoder/crash-0a1b".into()),
        };
        assert_eq!(Report::read(log), expected);
        assert_eq!(expected.to_string(), "70001 inputs, 640 edges, 61 MB");
        assert_eq!(Report::read("nothing was built"), Report::default());
    }
}
