//! The decoders that one would write first: `serde_json` into borrowed structs, [`Decimal`] for the
//! numbers. Each does the work of the real handler on a flawless recording (the same events at the
//! same scales, duplicates, sequence numbers, checksums) and none of what happens otherwise.
//!
//! Which struct a message is read into is known from its first bytes, so that no decoder pays for
//! an untagged or buffered `enum`. Books that are kept to be checked are the product's own: what is
//! compared is decoding.

mod binance;
mod coinbase;
mod coinbase_exchange;
mod kraken;
mod symbols;

pub use binance::Binance;
pub use coinbase::Coinbase;
pub use coinbase_exchange::CoinbaseExchange;
pub use kraken::Kraken;

use tickcast_feed::{ConnectionIndex, Handler, Io, Limits};
use tickcast_market::{Decimal, InstrumentIndex, Nanos, Venue};

/// What a decoder does; all else of a handler is what happens when something goes wrong.
pub trait Decode: Send {
    /// Whose messages it reads.
    const VENUE: Venue;

    /// Takes a message.
    fn message(&mut self, bytes: &[u8], io: &mut Io<'_>);

    /// Takes the answer to a REST request.
    fn rest(&mut self, _url: &str, _body: &[u8], _io: &mut Io<'_>) {}
}

/// A decoder as a handler.
#[derive(Debug, Default)]
pub struct Plain<D>(D);

impl<D: Decode> Handler for Plain<D> {
    fn venue(&self) -> Venue {
        D::VENUE
    }

    fn message(&mut self, _: ConnectionIndex, bytes: &mut [u8], io: &mut Io<'_>) {
        self.0.message(bytes, io);
    }

    fn rest(&mut self, url: &str, body: &mut [u8], io: &mut Io<'_>) {
        self.0.rest(url, body, io);
    }

    fn limits(&self) -> Limits {
        unreachable!("only a driver asks")
    }

    fn is_complete(&self) -> bool {
        true
    }

    fn start(&mut self, _: &mut Io<'_>) {}
    fn opened(&mut self, _: ConnectionIndex, _: &str, _: &mut Io<'_>) {}
    fn rest_failed(&mut self, _: &str, _: u16, _: &mut Io<'_>) {}
    fn silent(&mut self, _: ConnectionIndex, _: &mut Io<'_>) {}
    fn closed(&mut self, _: ConnectionIndex, _: &mut Io<'_>) {}
    fn timer(&mut self, _: &mut Io<'_>) {}
    fn resync(&mut self, _: InstrumentIndex, _: &mut Io<'_>) {}
}

fn read<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> T {
    serde_json::from_slice(bytes).expect("a recorded message")
}

/// The text between `before`, with which the message begins, and the next quote.
fn word<'a>(bytes: &'a [u8], before: &[u8]) -> &'a [u8] {
    let rest = bytes.strip_prefix(before).unwrap_or_default();
    rest.split(|byte| *byte == b'"').next().unwrap_or_default()
}

fn number(text: &str) -> Decimal {
    Decimal::parse(text.as_bytes()).expect("a recorded number")
}

fn time(text: &str) -> Nanos {
    let time: jiff::Timestamp = text.parse().expect("a recorded time");
    Nanos(i64::try_from(time.as_nanosecond()).expect("a recorded time"))
}
