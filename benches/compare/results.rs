//! The file of results: parts between marks, each replaced by the run that made it.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

const HEAD: &str = "\
# Results

Written by `cargo xtask bench`; not to be edited. On a shared machine only ratios within one run \
are results: the contenders of a table were run in turn, round by round, and each ratio is the \
median of the rounds' own ratios. In brackets stand the least and the greatest round. \
`benches/README.md` says who the contenders are and what each column means.
";

/// A part's place in the file, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Compared,
    Scale,
    Latency,
    Bus,
}

impl Part {
    const ALL: [Part; 4] = [Part::Compared, Part::Scale, Part::Latency, Part::Bus];

    const fn name(self) -> &'static str {
        match self {
            Part::Compared => "compared",
            Part::Scale => "scale",
            Part::Latency => "latency",
            Part::Bus => "bus",
        }
    }
}

/// Puts a part into the file and leaves the others as they are.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn write(file: &Path, part: Part, text: &str) -> io::Result<()> {
    let before = match std::fs::read_to_string(file) {
        Ok(before) => before,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    std::fs::write(file, with_part(&before, part, text))
}

fn with_part(before: &str, new: Part, text: &str) -> String {
    let mut out = HEAD.to_owned();
    for part in Part::ALL {
        let (begin, end) = (format!("<!-- {} -->\n", part.name()), "<!-- end -->\n");
        let old = || {
            let (_, rest) = before.split_once(&begin)?;
            Some(rest.split_once(end)?.0)
        };
        let text = if part == new { Some(text) } else { old() };
        if let Some(text) = text {
            // Writing to a string cannot fail.
            let _ = write!(out, "\n{begin}{text}{end}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_replaces_its_own_part_only() {
        let first = with_part("", Part::Scale, "flat\n");
        let second = with_part(&first, Part::Compared, "table\n");
        assert!(second.find("table").unwrap() < second.find("flat").unwrap(), "{second}");
        let third = with_part(&second, Part::Scale, "flatter\n");
        assert!(third.contains("table\n") && third.contains("flatter\n"));
        assert!(!third.contains("flat\n"), "{third}");
        assert_eq!(with_part(&third, Part::Scale, "flatter\n"), third);
    }
}
