//! Writes a recording, so that what was written can be read even when the end is missing.

use crate::recording::{MAGIC, RecordKind, RecordingHeader};
use flate2::write::GzEncoder;
use std::fmt;
use std::io::{self, Write};
use tickcast_market::Nanos;

/// Writes a recording, gzip'd.
pub struct RecordingWriter<W: Write> {
    out: GzEncoder<W>,
    line: Vec<u8>,
}

impl<W: Write> fmt::Debug for RecordingWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingWriter").finish_non_exhaustive()
    }
}

impl<W: Write> RecordingWriter<W> {
    /// Begins a recording with its first line.
    ///
    /// *Errors:* those of `out`.
    pub fn new(out: W, header: RecordingHeader) -> io::Result<RecordingWriter<W>> {
        let mut out = GzEncoder::new(out, flate2::Compression::default());
        writeln!(out, "{MAGIC} venue={} clock={}", header.venue, header.clock.name())?;
        Ok(RecordingWriter { out, line: Vec::new() })
    }

    /// Appends one line. Newlines in the payload become spaces: in JSON they can only stand
    /// between tokens, so nothing is lost. For REST answers use [`RecordingWriter::rest`].
    ///
    /// *Errors:* those of the output.
    pub fn record(
        &mut self,
        ts_recv: Nanos,
        connection: u32,
        kind: RecordKind,
        payload: &[u8],
    ) -> io::Result<()> {
        self.line(ts_recv, connection, kind, &[payload])
    }

    /// Appends a REST answer.
    ///
    /// *Errors:* `InvalidInput` for a URL with a space or a control character in it; those of the
    /// output.
    pub fn rest(&mut self, ts_recv: Nanos, url: &str, body: &[u8]) -> io::Result<()> {
        if url.bytes().any(|byte| byte <= b' ') {
            let message = format!("url: {url:?} has a space or a control character in it");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.line(ts_recv, 0, RecordKind::Rest, &[url.as_bytes(), b" ", body])
    }

    /// Hands everything written so far to the output, so that a recorder that is killed leaves a
    /// file that can be read up to here. Costs some compression: call it every few seconds.
    ///
    /// *Errors:* those of the output.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Ends the recording and gives the output back.
    ///
    /// *Errors:* those of the output.
    pub fn finish(self) -> io::Result<W> {
        self.out.finish()
    }

    fn line(
        &mut self,
        ts_recv: Nanos,
        connection: u32,
        kind: RecordKind,
        parts: &[&[u8]],
    ) -> io::Result<()> {
        self.line.clear();
        write!(self.line, "{}\t{connection}\t{}\t", ts_recv.0, kind.name())?;
        let payload_at = self.line.len();
        for part in parts {
            self.line.extend_from_slice(part);
        }
        for byte in &mut self.line[payload_at..] {
            if *byte == b'\n' {
                *byte = b' ';
            }
        }
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::RecordingClock;
    use crate::recording::reader::RecordingReader;
    use tickcast_market::Venue;

    #[test]
    fn a_flushed_recording_can_be_read_to_the_flush_when_its_end_is_missing() {
        let header = RecordingHeader { venue: Venue::Kraken, clock: RecordingClock::Unix };
        let mut writer = RecordingWriter::new(Vec::new(), header).unwrap();
        writer.record(Nanos(1), 0, RecordKind::Recv, b"one").unwrap();
        writer.flush().unwrap();
        let bytes = writer.out.get_ref().clone();
        let mut reader = RecordingReader::new("f.rec", io::Cursor::new(bytes)).unwrap();
        assert_eq!(reader.next().unwrap().unwrap().payload, b"one");
        let error = reader.next().unwrap_err().to_string();
        assert!(error.starts_with("f.rec, line 3: 0 bytes into this line: "), "{error}");
    }
}
