//! Streams as NATS names them: subjects with escaped symbols, and the views that travel.

use std::fmt::Write;
use tickcast_market::{InstrumentIndex, Interval};
use tickcast_wire::{Depth, View};

/// What every subject begins with: the protocol's version is part of it.
const PREFIX: &str = "tickcast.v1";

/// Every instrument's status.
pub(crate) const STATUSES: &str = "tickcast.v1.*.*.status";

/// The publisher's signs of life.
pub(crate) const BEATS: &str = "tickcast.v1._.beat";

/// Where a publisher without prices asks whether another one has some.
pub(crate) const RELIEF: &str = "tickcast.v1._.relief";

/// One stream that travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    /// In this process's directory.
    pub instrument: InstrumentIndex,
    /// The book's is the deepest.
    pub view: View,
}

/// The views that travel, of each instrument.
pub(crate) const VIEWS: [View; 3 + Interval::ALL.len()] = [
    View::Ticker,
    View::Trades,
    View::Book(Depth::DEEPEST),
    View::Bars(Interval::S1),
    View::Bars(Interval::M1),
    View::Bars(Interval::M5),
    View::Bars(Interval::H1),
];

/// The last part of a view's subject.
pub(crate) fn view_name(view: View) -> String {
    match view {
        View::Bars(interval) => format!("bars.{}", interval.name()),
        other => other.channel().name().to_owned(),
    }
}

/// The view of that name.
pub(crate) fn view_named(name: &str) -> Option<View> {
    VIEWS.into_iter().find(|view| view_name(*view) == name)
}

/// The subject of a stream of `venue:SYMBOL`.
pub(crate) fn stream_subject(name: &str, view: View) -> String {
    format!("{}.{}", instrument_subject(name), view_name(view))
}

/// The subject of an instrument's status.
pub(crate) fn status_subject(name: &str) -> String {
    format!("{}.status", instrument_subject(name))
}

/// Where the publisher of a run is asked for `what`.
pub(crate) fn request_subject(run: u64, what: &str) -> String {
    format!("{PREFIX}._.{run}.{what}")
}

fn instrument_subject(name: &str) -> String {
    let (venue, symbol) = name.split_once(':').unwrap_or(("_", name));
    let mut subject = format!("{PREFIX}.{venue}.");
    for byte in symbol.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            subject.push(byte as char);
        } else {
            write!(subject, "%{byte:02X}").expect("a string takes everything");
        }
    }
    subject
}

/// The `venue:SYMBOL` of a status subject; `None` for what is none.
pub(crate) fn name_of_status(subject: &str) -> Option<String> {
    let rest = subject.strip_prefix(PREFIX)?.strip_prefix('.')?.strip_suffix(".status")?;
    let (venue, symbol) = rest.split_once('.')?;
    let mut bytes = Vec::with_capacity(symbol.len());
    let mut left = symbol.as_bytes();
    while let [first, rest @ ..] = left {
        left = rest;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, rest) = left.split_at_checked(2)?;
        left = rest;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
    }
    Some(format!("{venue}:{}", String::from_utf8(bytes).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_is_one_token_and_comes_back_as_it_was() {
        for (name, subject) in [
            ("coinbase:BTC-USD", "tickcast.v1.coinbase.BTC-USD.status"),
            ("kraken:A.B>*-USD", "tickcast.v1.kraken.A%2EB%3E%2A-USD.status"),
            ("sim:Ü-USD", "tickcast.v1.sim.%C3%9C-USD.status"),
        ] {
            assert_eq!(status_subject(name), subject);
            assert_eq!(name_of_status(subject).as_deref(), Some(name));
        }
        assert_eq!(name_of_status("tickcast.v1.kraken.A%2.status"), None);
        assert_eq!(name_of_status("other.kraken.A.status"), None);
    }

    #[test]
    fn every_view_that_travels_has_a_name_of_its_own() {
        for view in VIEWS {
            assert_eq!(view_named(&view_name(view)), Some(view));
        }
        assert_eq!(
            stream_subject("sim:S0-USD", View::Bars(Interval::M1)),
            "tickcast.v1.sim.S0-USD.bars.1m"
        );
        assert_eq!(view_named("bars.2m"), None);
    }
}
