//! A recording in memory, and the sink that only counts what a handler makes of it.

use std::path::{Path, PathBuf};
use tickcast_feed::{
    ConnectionIndex, Handler, Io, RecordKind, RecordingError, RecordingReader, Tally,
};
use tickcast_market::{Event, EventBody, InstrumentIndex, InstrumentSpec, Nanos, Sink};

/// The folder of recordings: `TICKCAST_FEEDS`, else beside the workspace; `None` if absent.
pub fn recordings() -> Option<PathBuf> {
    let folder = match std::env::var_os("TICKCAST_FEEDS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/feeds"),
    };
    let folder = folder.join("recordings");
    folder.is_dir().then_some(folder)
}

/// Received messages and REST answers in order, in one block of memory.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    url: String,
    bytes: Vec<u8>,
    records: Vec<(RecordKind, usize)>,
    /// How many messages were received.
    pub messages: usize,
    longest: usize,
}

impl Recorded {
    /// Reads those received messages of a recording that `keep` wants, and all REST answers.
    ///
    /// *Errors:* the file is missing or damaged.
    pub fn read(path: &Path, keep: impl Fn(&[u8]) -> bool) -> Result<Recorded, RecordingError> {
        let mut reader = RecordingReader::open(path)?;
        let mut recorded = Recorded::default();
        while let Some(record) = reader.next()? {
            match record.kind {
                RecordKind::Open => {
                    recorded.url = String::from_utf8_lossy(record.payload).into_owned();
                }
                RecordKind::Recv if keep(record.payload) => recorded.messages += 1,
                RecordKind::Rest => {}
                _ => continue,
            }
            if record.kind != RecordKind::Open {
                recorded.bytes.extend_from_slice(record.payload);
                recorded.records.push((record.kind, recorded.bytes.len()));
                recorded.longest = recorded.longest.max(record.payload.len());
            }
        }
        Ok(recorded)
    }

    /// How many bytes the messages have.
    pub fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    /// Plays everything through a handler. Each message is first copied to where a socket would
    /// have put it, since a handler may change it in place.
    pub fn play(&self, handler: &mut dyn Handler) -> Counted {
        let mut sink = Counted::default();
        let mut commands = Vec::new();
        let mut tally = Tally::default();
        let now = Nanos::from_secs(1_800_000_000);
        let mut io = Io { sink: &mut sink, commands: &mut commands, tally: &mut tally, now };
        let connection = ConnectionIndex { line: 0, generation: 0 };
        handler.opened(connection, &self.url, &mut io);
        let mut read_buffer = Vec::with_capacity(self.longest);
        let mut start = 0;
        for (kind, end) in &self.records {
            read_buffer.clear();
            read_buffer.extend_from_slice(&self.bytes[start..*end]);
            start = *end;
            if *kind == RecordKind::Recv {
                handler.message(connection, &mut read_buffer, &mut io);
            } else {
                let space = read_buffer.iter().position(|byte| *byte == b' ').unwrap_or(0);
                let (url, body) = read_buffer.split_at_mut(space);
                let url = std::str::from_utf8(url).unwrap_or_default();
                handler.rest(url, &mut body[1..], &mut io);
            }
        }
        assert_eq!(tally.decode_errors, [], "the recording decodes");
        sink
    }
}

/// Counts events and adds up their numbers, so that none can be left out by the optimiser and two
/// decoders can be seen to say the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Quotes, trades, book snapshots and updates.
    pub events: u64,
    /// Of all prices, sizes and ids.
    pub sum: i64,
    instruments: u32,
}

impl Counted {
    fn add(&mut self, number: i64) {
        self.sum = self.sum.wrapping_mul(31).wrapping_add(number);
    }
}

impl Sink for Counted {
    fn instrument(&mut self, _: &InstrumentSpec) -> InstrumentIndex {
        self.instruments += 1;
        InstrumentIndex(self.instruments - 1)
    }

    fn event(&mut self, event: &Event<'_>) {
        match event.body {
            EventBody::Quote(quote) => {
                for (price, size) in [quote.bid, quote.ask].into_iter().flatten() {
                    self.add(price.0);
                    self.add(size.0);
                }
            }
            EventBody::Trades(trades) => {
                for trade in trades {
                    self.add(trade.price.0);
                    self.add(trade.size.0);
                    self.add(trade.id as i64);
                }
            }
            EventBody::BookSnapshot(levels) | EventBody::BookUpdate(levels) => {
                for level in levels {
                    self.add(level.price.0);
                    self.add(level.size.0);
                }
            }
            EventBody::Day(_) | EventBody::Bars(..) | EventBody::State(_) => return,
        }
        self.events += 1;
        self.add(event.ts_event.0);
    }
}
