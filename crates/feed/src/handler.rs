//! What every venue's handler does, and what it may ask its driver for.

use tickcast_market::{InstrumentIndex, Nanos, Sink, Venue};

/// A connection to the venue: the line's number, and which of its connections in turn (a planned
/// reconnect opens the next generation before the old one is closed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionIndex {
    /// The line: one group of symbols.
    pub line: u16,
    /// Rises with every new connection of the line.
    pub generation: u16,
}

/// What a handler asks its driver to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Keep a line open to this URL from now on: connect, and again with back-off when it ends.
    Connect {
        /// The line's number.
        line: u16,
        /// Where to.
        url: String,
    },
    /// Send a text message, paced within [`Limits::send_gap`].
    Send {
        /// On which connection.
        connection: ConnectionIndex,
        /// The message.
        text: String,
    },
    /// Fetch a REST resource; the answer comes to [`Handler::rest`] or [`Handler::rest_failed`].
    /// Paced and backed off by the driver, not before `after` has passed.
    Get {
        /// The resource.
        url: String,
        /// How long to wait first.
        after: Nanos,
    },
    /// Close the connection and open the next; the reason is logged and counted.
    Reconnect {
        /// Which connection.
        connection: ConnectionIndex,
        /// In words.
        reason: String,
    },
    /// Open the next connection of the line beside this one and close this one when the next is
    /// served (a shutdown that the venue announced).
    Replace {
        /// Which connection.
        connection: ConnectionIndex,
    },
    /// Something that an operator should read: a venue's error in words, an unknown symbol.
    Report {
        /// In words, with field and value.
        text: String,
    },
}

/// A venue's limits and deadlines, for the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Smallest gap between two messages of ours on one connection.
    pub send_gap: Nanos,
    /// Smallest gap between two REST requests.
    pub get_gap: Nanos,
    /// Smallest gap between two attempts to connect.
    pub connect_gap: Nanos,
    /// A connection without any message for so long is dead.
    pub silence_max: Nanos,
    /// A connection is replaced, with overlap, when it is so old.
    pub lifetime_max: Option<Nanos>,
    /// The largest message that is accepted, in bytes.
    pub message_bytes_max: usize,
}

/// Where a handler puts what it has to say.
pub struct Io<'a> {
    /// Takes events.
    pub sink: &'a mut dyn Sink,
    /// Takes commands; a replay ignores them.
    pub commands: &'a mut Vec<Command>,
    /// Counts what happened; read and reset by the driver.
    pub tally: &'a mut Tally,
    /// When the bytes were received, or simply now.
    pub now: Nanos,
}

impl std::fmt::Debug for Io<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Io").field("now", &self.now).finish_non_exhaustive()
    }
}

/// What a handler counted since its driver last looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages by kind (the venue's channel or event name); kinds are few and static.
    pub messages: Vec<(&'static str, u64)>,
    /// Gaps in the venue's sequence.
    pub gaps: u64,
    /// Failed checksums.
    pub checksum_failures: u64,
    /// Messages that could not be decoded, by reason.
    pub decode_errors: Vec<(&'static str, u64)>,
}

impl Tally {
    /// Counts one message of `kind`.
    pub fn message(&mut self, kind: &'static str) {
        count(&mut self.messages, kind);
    }

    /// Counts one message that could not be decoded.
    pub fn decode_error(&mut self, reason: &'static str) {
        count(&mut self.decode_errors, reason);
    }
}

fn count(list: &mut Vec<(&'static str, u64)>, name: &'static str) {
    // Pointer equality first: kinds are literals, so this is one compare in the usual case.
    match list.iter_mut().find(|(n, _)| std::ptr::eq(*n, name) || *n == name) {
        Some((_, count)) => *count += 1,
        None => list.push((name, 1)),
    }
}

/// A venue's language. Every call gets the time; nothing here reads a clock.
///
/// *Bytes from outside never panic:* what cannot be decoded is counted in [`Io::tally`], reported
/// in words once, and the service goes on.
pub trait Handler: Send {
    /// Whose language this is.
    fn venue(&self) -> Venue;

    /// The venue's limits and deadlines.
    fn limits(&self) -> Limits;

    /// Begins: asks for the list of instruments where the venue has one ([`Command::Get`]), else
    /// for its lines ([`Command::Connect`]). Not called in a replay.
    fn start(&mut self, io: &mut Io<'_>);

    /// Whether the list of instruments is complete: an unknown symbol is an error from then on.
    fn is_complete(&self) -> bool;

    /// A connection is open (`url` as it was asked for): subscribe.
    fn opened(&mut self, connection: ConnectionIndex, url: &str, io: &mut Io<'_>);

    /// A message has come. `bytes` may be changed in place by the parser and is only valid during
    /// the call.
    fn message(&mut self, connection: ConnectionIndex, bytes: &mut [u8], io: &mut Io<'_>);

    /// A REST answer has come.
    fn rest(&mut self, url: &str, body: &mut [u8], io: &mut Io<'_>);

    /// A REST request failed for good or for now (`status` 0: no answer at all); the handler
    /// decides whether to ask again.
    fn rest_failed(&mut self, url: &str, status: u16, io: &mut Io<'_>);

    /// Nothing has come for the silence deadline: its instruments are stale. The driver then
    /// reconnects.
    fn silent(&mut self, connection: ConnectionIndex, io: &mut Io<'_>);

    /// A connection has ended: its instruments are stale unless a newer generation serves them.
    fn closed(&mut self, connection: ConnectionIndex, io: &mut Io<'_>);

    /// Whether this connection carries everything that its line should (its books are there), so
    /// that an older generation of the line may be closed. Asked only while two generations of a
    /// line are open; the default is content with any message of the newer one.
    fn is_served(&self, connection: ConnectionIndex) -> bool {
        let _ = connection;
        true
    }

    /// Called about once a second: keep-alives, time-outs of subscriptions.
    fn timer(&mut self, io: &mut Io<'_>);

    /// Somebody downstream found this instrument's book crossed: mark it `resync` and ask the
    /// venue for a new snapshot of it alone, backed off.
    fn resync(&mut self, instrument: InstrumentIndex, io: &mut Io<'_>);
}
