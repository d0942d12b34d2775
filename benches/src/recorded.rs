//! A recording in memory, and the sink that only counts what a handler makes of it.

use std::path::{Path, PathBuf};
use tickcast_feed::{
    Command, ConnectionIndex, Handler, Io, RecordKind, RecordingError, RecordingReader, Tally,
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

/// What of a recording is played, and from where on it is measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Part {
    /// Only messages with this in them; empty for all.
    pub only: &'static str,
    /// REST answers are measured. Otherwise they must come first, and are only played.
    pub has_rest: bool,
    /// Begins to measure behind the last message of this many bytes or more, so that what small
    /// messages cost is seen with the books of the large ones; 0 measures everything.
    pub after_bytes: usize,
}

/// Received messages and REST answers in order, in one block of memory.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    url: String,
    bytes: Vec<u8>,
    records: Vec<(RecordKind, usize)>,
    /// The first record that is measured.
    measured: usize,
    longest: usize,
}

/// A handler in the middle of a recording, and what it has said so far.
pub struct Round {
    handler: Box<dyn Handler>,
    read_buffer: Vec<u8>,
    commands: Vec<Command>,
    tally: Tally,
    /// What was said.
    pub sink: Counted,
}

impl std::fmt::Debug for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Round").field("sink", &self.sink).finish_non_exhaustive()
    }
}

const CONNECTION: ConnectionIndex = ConnectionIndex { line: 0, generation: 0 };
const NOW: Nanos = Nanos::from_secs(1_800_000_000);

impl Round {
    fn play(&mut self, kind: RecordKind, bytes: &[u8]) {
        let Round { handler, read_buffer, commands, tally, sink } = self;
        let mut io = Io { sink, commands, tally, now: NOW };
        read_buffer.clear();
        read_buffer.extend_from_slice(bytes);
        match kind {
            RecordKind::Recv => handler.message(CONNECTION, read_buffer, &mut io),
            _ => {
                let space = read_buffer.iter().position(|byte| *byte == b' ').unwrap_or(0);
                let (url, body) = read_buffer.split_at_mut(space);
                let url = std::str::from_utf8(url).unwrap_or_default();
                handler.rest(url, &mut body[1..], &mut io);
            }
        }
    }
}

impl Recorded {
    /// Reads the part of a recording.
    ///
    /// *Errors:* the file is missing or damaged.
    pub fn read(path: &Path, part: &Part) -> Result<Recorded, RecordingError> {
        let only = part.only.as_bytes();
        let keep =
            |message: &[u8]| only.is_empty() || message.windows(only.len()).any(|w| w == only);
        let mut reader = RecordingReader::open(path)?;
        let mut recorded = Recorded::default();
        while let Some(record) = reader.next()? {
            match record.kind {
                RecordKind::Open => {
                    recorded.url = String::from_utf8_lossy(record.payload).into_owned();
                    continue;
                }
                RecordKind::Recv if keep(record.payload) => {}
                RecordKind::Rest => {}
                _ => continue,
            }
            recorded.bytes.extend_from_slice(record.payload);
            recorded.records.push((record.kind, recorded.bytes.len()));
            recorded.longest = recorded.longest.max(record.payload.len());
            let is_rest = record.kind == RecordKind::Rest;
            let is_large = part.after_bytes > 0 && record.payload.len() >= part.after_bytes;
            if (is_rest && !part.has_rest) || is_large {
                recorded.measured = recorded.records.len();
            }
        }
        Ok(recorded)
    }

    /// How many messages are measured.
    pub fn messages(&self) -> usize {
        let measured = &self.records[self.measured..];
        measured.iter().filter(|(kind, _)| *kind == RecordKind::Recv).count()
    }

    /// How many bytes they have.
    pub fn byte_count(&self) -> usize {
        self.bytes.len() - self.start_of(self.measured)
    }

    fn start_of(&self, record: usize) -> usize {
        record.checked_sub(1).map_or(0, |before| self.records[before].1)
    }

    fn play_range(&self, range: std::ops::Range<usize>, round: &mut Round) {
        let mut start = self.start_of(range.start);
        for (kind, end) in &self.records[range] {
            round.play(*kind, &self.bytes[start..*end]);
            start = *end;
        }
        assert_eq!(round.tally.decode_errors, [], "the recording decodes");
    }

    /// Brings a new handler to where measuring begins.
    pub fn prepare(&self, mut handler: Box<dyn Handler>) -> Round {
        let (mut sink, mut commands) = (Counted::default(), Vec::new());
        let mut tally = Tally::default();
        let mut io = Io { sink: &mut sink, commands: &mut commands, tally: &mut tally, now: NOW };
        handler.opened(CONNECTION, &self.url, &mut io);
        let read_buffer = Vec::with_capacity(self.longest);
        let mut round = Round { handler, read_buffer, commands, tally, sink };
        self.play_range(0..self.measured, &mut round);
        round
    }

    /// Plays what is measured. Each message is first copied to where a socket would have put it,
    /// since a handler may change it in place.
    pub fn play(&self, round: &mut Round) {
        self.play_range(self.measured..self.records.len(), round);
    }
}

/// Counts events and adds up their numbers, so that none can be left out by the optimiser and two
/// decoders can be seen to say the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Quotes, trades, day statistics, book snapshots and updates.
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
            EventBody::Day(day) => {
                let prices = [day.open, day.high, day.low, day.last];
                prices.into_iter().flatten().for_each(|price| self.add(price.0));
                self.add(day.volume.map_or(0, |volume| volume.0 as i64));
            }
            // A decoder on a flawless recording has no states.
            EventBody::Bars(..) | EventBody::State(_) => return,
        }
        self.events += 1;
        self.add(event.ts_event.0);
    }
}
