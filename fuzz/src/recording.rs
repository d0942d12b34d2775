//! Recordings: plain and gzip'd they read the same, what was written is read again, a damaged
//! file ends with its error and plays without harm to the end of what there is of it.
//!
//! The input is a file. One that is gzip'd already may unpack to much: only so much of it is read.

use crate::file::Nameless;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{Cursor, Write};
use tickcast_feed::{
    RECORDING_LINE_BYTES_MAX, RecordKind, RecordingHeader, RecordingReader, RecordingWriter,
    Replay, ReplaySpeed, Step, VenueConfig, handler_of,
};
use tickcast_market::{Directory, Event, InstrumentIndex, InstrumentSpec, Nanos, Sink, Venue};

/// So much is read of what a file unpacks to.
const UNPACKED_BYTES_MAX: usize = 4 << 20;

type Line = (Nanos, u32, RecordKind, Vec<u8>);

thread_local! {
    static FILE: Nameless = Nameless::new();
}

/// Tries one input.
pub fn run(data: &[u8]) {
    let (header, lines, error) = read(data.to_vec());
    let Some(header) = header else {
        assert!(error.is_some(), "without a header there is a reason");
        return;
    };
    if !data.starts_with(&[0x1f, 0x8b]) {
        let (packed_header, packed_lines, packed_error) = read(pack(data));
        assert_eq!(packed_header, Some(header));
        assert_eq!(packed_lines, lines);
        assert_eq!(packed_error, error);
    }
    judge_written(header, &lines);
    play(data, header.venue);
}

/// Everything that can be read.
fn read(file: Vec<u8>) -> (Option<RecordingHeader>, Vec<Line>, Option<String>) {
    let mut reader = match RecordingReader::new("f.rec", Cursor::new(file)) {
        Ok(reader) => reader,
        Err(error) => return (None, Vec::new(), Some(error.to_string())),
    };
    let (header, mut lines, mut unpacked) = (Some(reader.header()), Vec::new(), 0);
    while unpacked < UNPACKED_BYTES_MAX {
        match reader.next() {
            Ok(Some(record)) => {
                unpacked += 32 + record.payload.len();
                assert!(record.payload.len() <= RECORDING_LINE_BYTES_MAX);
                let payload = record.payload.to_vec();
                lines.push((record.ts_recv, record.connection, record.kind, payload));
            }
            Ok(None) => return (header, lines, None),
            Err(error) => {
                assert!(matches!(reader.next(), Ok(None)), "an error is the end");
                return (header, lines, Some(error.to_string()));
            }
        }
    }
    (header, lines, None)
}

fn pack(file: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(file).expect("a vector takes everything");
    out.finish().expect("a vector takes everything")
}

/// Writes the same lines and reads them again.
fn judge_written(header: RecordingHeader, lines: &[Line]) {
    let mut writer = RecordingWriter::new(Vec::new(), header).expect("a vector takes everything");
    for (ts_recv, connection, kind, payload) in lines {
        let written = writer.record(*ts_recv, *connection, *kind, payload);
        written.expect("a vector takes everything");
    }
    let file = writer.finish().expect("a vector takes everything");
    let (read_header, read_lines, error) = read(file);
    assert_eq!((read_header, error), (Some(header), None));
    assert_eq!(read_lines, lines);
}

/// Plays it through the venue's handler, as `--replay` does.
fn play(file: &[u8], venue: Venue) {
    if venue == Venue::Sim {
        return;
    }
    let path = FILE.with(|kept| {
        kept.fill(file);
        kept.path()
    });
    let make = |venue| handler_of(venue, &VenueConfig::default());
    let mut replay = Replay::open(&path, ReplaySpeed::Max, make).expect("it was read before");
    let (mut sink, mut played) = (Forgetful::default(), 0);
    while played < UNPACKED_BYTES_MAX {
        match replay.step(Nanos::from_secs(1_800_000_000), &mut sink) {
            Step::Fed { bytes, .. } => played += 32 + bytes,
            Step::Ended(_) => {
                assert_eq!(replay.next_due(), None);
                assert!(replay.is_complete());
                break;
            }
        }
    }
}

/// Knows instruments and forgets events.
#[derive(Default)]
struct Forgetful(Directory);

impl Sink for Forgetful {
    fn instrument(&mut self, spec: &InstrumentSpec) -> InstrumentIndex {
        self.0.add(spec)
    }

    fn event(&mut self, event: &Event<'_>) {
        assert!(self.0.get(event.instrument).is_some(), "an event of nobody");
    }
}
