//! What of a venue's messages could not be used: counted every time, told in words once a reason,
//! so that a venue that changes its format does not fill the log.

use crate::handler::{Command, Io};

/// The most bytes of a message that a report shows.
const EXCERPT_BYTES_MAX: usize = 200;

/// Which reasons were already told.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    told: Vec<&'static str>,
}

impl Faults {
    /// Counts `times` decode errors of a reason; the first ever is reported with what `detail` says.
    pub(crate) fn count(
        &mut self,
        reason: &'static str,
        times: u64,
        detail: impl FnOnce() -> String,
        io: &mut Io<'_>,
    ) {
        for _ in 0..times {
            io.tally.decode_error(reason);
        }
        if times > 0 && !self.told.contains(&reason) {
            self.told.push(reason);
            let text = format!("{} (counted from now on: {reason})", detail());
            io.commands.push(Command::Report { text });
        }
    }
}

/// The beginning of a message on one line, for a report.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(EXCERPT_BYTES_MAX)];
    let dots = if start.len() < bytes.len() { "…" } else { "" };
    let text = String::from_utf8_lossy(start).replace(char::is_control, " ");
    format!("{text}{dots}")
}

/// What Coinbase says in an error message: the message and, where there is one, the reason.
pub(crate) fn error_words(bytes: &[u8]) -> String {
    let words = serde_json::from_slice::<serde_json::Value>(bytes).unwrap_or_default();
    let word = |name: &str| words.get(name).and_then(|value| value.as_str()).unwrap_or_default();
    match (word("message"), word("reason")) {
        ("", "") => excerpt(bytes),
        (message, "") => message.to_owned(),
        (message, reason) => format!("{message}: {reason}"),
    }
}
