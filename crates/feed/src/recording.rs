//! The recording format: what a venue said, line by line, as `tickcast record` writes it and
//! `--replay` reads it.
//!
//! Gzip'd or plain text. The first line is `#tickcast-recording v1 venue=kraken clock=unix`, every
//! other one `ts_recv_ns TAB connection TAB kind TAB payload`. Nothing here knows a venue's
//! language or when a line is due: that is the replay's.

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use tickcast_market::{Nanos, Venue};

/// The longest line that is read, in bytes: ten times the largest book snapshot ever seen.
pub const RECORDING_LINE_BYTES_MAX: usize = 64 << 20;

const MAGIC: &str = "#tickcast-recording v1";
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// How much of a wrong field an error shows, in characters.
const ERROR_VALUE_CHARS_MAX: usize = 60;

/// What the stamps of a recording mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingClock {
    /// Nanoseconds since the Unix epoch.
    Unix,
    /// Nanoseconds since an arbitrary moment.
    Monotonic,
}

impl RecordingClock {
    /// Its name in the first line.
    pub const fn name(self) -> &'static str {
        match self {
            RecordingClock::Unix => "unix",
            RecordingClock::Monotonic => "monotonic",
        }
    }
}

/// What a line of a recording is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A connection was opened; the payload is its URL.
    Open,
    /// We sent the payload.
    Send,
    /// We received the payload.
    Recv,
    /// A REST answer; the payload is the URL, a space and the body.
    Rest,
    /// The connection ended.
    Close,
}

impl RecordKind {
    const ALL: [RecordKind; 5] =
        [RecordKind::Open, RecordKind::Send, RecordKind::Recv, RecordKind::Rest, RecordKind::Close];

    /// Its name in a line.
    pub const fn name(self) -> &'static str {
        match self {
            RecordKind::Open => "open",
            RecordKind::Send => "send",
            RecordKind::Recv => "recv",
            RecordKind::Rest => "rest",
            RecordKind::Close => "close",
        }
    }
}

/// The first line of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordingHeader {
    /// Whose messages these are.
    pub venue: Venue,
    /// What the stamps mean.
    pub clock: RecordingClock,
}

/// One line, borrowed from the reader's buffer until the next one is read.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When the recorder received it, by the recording's clock.
    pub ts_recv: Nanos,
    /// On which connection: `generation × 65536 + line`, so that a line's first connection is
    /// numbered like the line.
    pub connection: u32,
    /// What it is.
    pub kind: RecordKind,
    /// The rest of the line; a parser may change it in place.
    pub payload: &'a mut [u8],
}

/// Why a recording cannot be opened, or where it ends early. Everything before the named line has
/// been delivered.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be opened.
    #[error("{file}: {source}")]
    Open {
        /// Which file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A field is not what it should be.
    #[error("{file}, line {line}: {field}: {value:?} {problem}")]
    Field {
        /// Which file.
        file: String,
        /// Counted from 1, the header included.
        line: u64,
        /// Which field of the line.
        field: &'static str,
        /// What stands there, shortened.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The file ends within a line.
    #[error("{file}, line {line}: the file ends within this line, {bytes} bytes into it")]
    Cut {
        /// Which file.
        file: String,
        /// Counted from 1, the header included.
        line: u64,
        /// How much of the line there is.
        bytes: usize,
    },
    /// The bytes cannot be read or unpacked.
    #[error("{file}, line {line}: {bytes} bytes into this line: {source}")]
    Read {
        /// Which file.
        file: String,
        /// Counted from 1, the header included.
        line: u64,
        /// How much of the line there is.
        bytes: usize,
        /// What the system or the decompressor said.
        source: io::Error,
    },
}

/// Reads a recording line by line into one buffer that is used again.
pub struct RecordingReader {
    file: String,
    input: Box<dyn BufRead + Send>,
    header: RecordingHeader,
    line: Vec<u8>,
    line_number: u64,
    current: Option<Fields>,
    ended: bool,
}

#[derive(Clone, Copy)]
struct Fields {
    ts_recv: Nanos,
    connection: u32,
    kind: RecordKind,
    payload_at: usize,
}

impl fmt::Debug for RecordingReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingReader")
            .field("file", &self.file)
            .field("header", &self.header)
            .field("line_number", &self.line_number)
            .finish_non_exhaustive()
    }
}

impl RecordingReader {
    /// Opens a file, gzip'd or plain, and reads its first line.
    ///
    /// *Errors:* [`RecordingError::Open`]; those of [`RecordingReader::new`].
    pub fn open(path: &Path) -> Result<RecordingReader, RecordingError> {
        let file = path.display().to_string();
        match File::open(path) {
            Ok(input) => RecordingReader::new(&file, input),
            Err(source) => Err(RecordingError::Open { file, source }),
        }
    }

    /// Reads the first line from any bytes, gzip'd or plain; `file` names them in errors.
    ///
    /// *Errors:* the first line is missing, cut, or names no venue or clock that is known.
    pub fn new(file: &str, input: impl Read + Send + 'static) -> Result<Self, RecordingError> {
        let mut input = BufReader::with_capacity(1 << 16, input);
        let is_gzip = match input.fill_buf() {
            Ok(start) => start.starts_with(&GZIP_MAGIC),
            Err(source) => return Err(RecordingError::Open { file: file.into(), source }),
        };
        let input: Box<dyn BufRead + Send> = if is_gzip {
            Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(input)))
        } else {
            Box::new(input)
        };
        let mut reader = RecordingReader {
            file: file.into(),
            input,
            header: RecordingHeader { venue: Venue::Sim, clock: RecordingClock::Unix },
            line: Vec::new(),
            line_number: 0,
            current: None,
            ended: false,
        };
        if !reader.read_line()? {
            return Err(reader.field_error("header", b"", "is not a recording: it is empty"));
        }
        reader.header = reader.parse_header()?;
        Ok(reader)
    }

    /// What the first line said.
    pub fn header(&self) -> RecordingHeader {
        self.header
    }

    /// Reads the next line; `false` at the end. After an error the recording has ended.
    ///
    /// *Errors:* [`RecordingError::Field`], [`RecordingError::Cut`], [`RecordingError::Read`].
    /// *Cost:* allocates only while the buffer grows to the longest line.
    pub fn advance(&mut self) -> Result<bool, RecordingError> {
        self.current = None;
        if self.ended {
            return Ok(false);
        }
        let fields = self.read_line().and_then(|more| match more {
            true => self.parse_line().map(Some),
            false => Ok(None),
        });
        match fields {
            Ok(fields) => {
                self.current = fields;
                self.ended = fields.is_none();
                Ok(fields.is_some())
            }
            Err(error) => {
                self.ended = true;
                Err(error)
            }
        }
    }

    /// The line that [`RecordingReader::advance`] read.
    pub fn current(&mut self) -> Option<Record<'_>> {
        self.current.map(|fields| Record {
            ts_recv: fields.ts_recv,
            connection: fields.connection,
            kind: fields.kind,
            payload: &mut self.line[fields.payload_at..],
        })
    }

    /// The stamp of the line that [`RecordingReader::advance`] read.
    pub fn current_ts(&self) -> Option<Nanos> {
        self.current.map(|fields| fields.ts_recv)
    }

    /// Reads and borrows the next line: [`RecordingReader::advance`] and
    /// [`RecordingReader::current`] in one.
    ///
    /// *Errors:* those of [`RecordingReader::advance`].
    #[allow(clippy::should_implement_trait, reason = "a record borrows the reader")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, RecordingError> {
        self.advance()?;
        Ok(self.current())
    }

    /// Reads one line without its newline; `false` when there is none left.
    fn read_line(&mut self) -> Result<bool, RecordingError> {
        self.line.clear();
        self.line_number += 1;
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(RecordingError::Read {
                        file: self.file.clone(),
                        line: self.line_number,
                        bytes: self.line.len(),
                        source,
                    });
                }
            };
            if chunk.is_empty() {
                return if self.line.is_empty() {
                    Ok(false)
                } else {
                    let (line, bytes) = (self.line_number, self.line.len());
                    Err(RecordingError::Cut { file: self.file.clone(), line, bytes })
                };
            }
            let newline = memchr::memchr(b'\n', chunk);
            let taken = newline.unwrap_or(chunk.len());
            if self.line.len() + taken > RECORDING_LINE_BYTES_MAX {
                let start = self.line[..self.line.len().min(80)].to_vec();
                return Err(self.field_error("payload", &start, "is longer than 64 MiB"));
            }
            self.line.extend_from_slice(&chunk[..taken]);
            self.input.consume(taken + usize::from(newline.is_some()));
            if newline.is_some() {
                return Ok(true);
            }
        }
    }

    fn parse_header(&self) -> Result<RecordingHeader, RecordingError> {
        let text = String::from_utf8_lossy(&self.line);
        let Some(words) = text.trim_end().strip_prefix(MAGIC) else {
            let problem = "does not begin with \"#tickcast-recording v1\"";
            return Err(self.field_error("header", &self.line, problem));
        };
        let word = |name: &str| words.split_whitespace().find_map(|word| word.strip_prefix(name));
        let venue = word("venue=").unwrap_or_default();
        let clock = word("clock=").unwrap_or_default();
        Ok(RecordingHeader {
            venue: Venue::from_name(venue)
                .ok_or_else(|| self.field_error("venue", venue.as_bytes(), "is no known venue"))?,
            clock: [RecordingClock::Unix, RecordingClock::Monotonic]
                .into_iter()
                .find(|known| known.name() == clock)
                .ok_or_else(|| {
                    self.field_error("clock", clock.as_bytes(), "is neither unix nor monotonic")
                })?,
        })
    }

    fn parse_line(&self) -> Result<Fields, RecordingError> {
        let mut fields = self.line.splitn(4, |byte| *byte == b'\t');
        let mut field = |name| {
            fields.next().ok_or_else(|| self.field_error(name, &self.line, "is not in this line"))
        };
        let (ts_recv, connection) = (field("ts_recv_ns")?, field("connection")?);
        let (kind, payload) = (field("kind")?, field("payload")?);
        let payload_at = self.line.len() - payload.len();
        if kind == b"rest" && !payload.contains(&b' ') {
            return Err(self.field_error("payload", payload, "is not a URL, a space and a body"));
        }
        Ok(Fields {
            ts_recv: number::<i64>(ts_recv).map(Nanos).ok_or_else(|| {
                self.field_error("ts_recv_ns", ts_recv, "is not a whole number of nanoseconds")
            })?,
            connection: number(connection).ok_or_else(|| {
                self.field_error("connection", connection, "is not a connection number")
            })?,
            kind: RecordKind::ALL
                .into_iter()
                .find(|known| known.name().as_bytes() == kind)
                .ok_or_else(|| {
                    self.field_error("kind", kind, "is none of open, send, recv, rest, close")
                })?,
            payload_at,
        })
    }

    fn field_error(
        &self,
        field: &'static str,
        value: &[u8],
        problem: &'static str,
    ) -> RecordingError {
        let value = String::from_utf8_lossy(value).chars().take(ERROR_VALUE_CHARS_MAX).collect();
        RecordingError::Field {
            file: self.file.clone(),
            line: self.line_number,
            field,
            value,
            problem,
        }
    }
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

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

    const HEADER: &str = "#tickcast-recording v1 venue=kraken clock=unix\n";

    fn read_all(bytes: Vec<u8>) -> (Vec<(i64, u32, RecordKind, String)>, Option<String>) {
        let mut reader = match RecordingReader::new("f.rec", io::Cursor::new(bytes)) {
            Ok(reader) => reader,
            Err(error) => return (Vec::new(), Some(error.to_string())),
        };
        let mut records = Vec::new();
        loop {
            match reader.next() {
                Ok(Some(r)) => {
                    let payload = String::from_utf8(r.payload.to_vec()).unwrap();
                    records.push((r.ts_recv.0, r.connection, r.kind, payload));
                }
                Ok(None) => return (records, None),
                Err(error) => {
                    assert!(matches!(reader.next(), Ok(None)), "an error ends the recording");
                    return (records, Some(error.to_string()));
                }
            }
        }
    }

    fn written() -> Vec<u8> {
        let header = RecordingHeader { venue: Venue::Kraken, clock: RecordingClock::Monotonic };
        let mut writer = RecordingWriter::new(Vec::new(), header).unwrap();
        writer.record(Nanos(5), 0, RecordKind::Open, b"wss://x/v2").unwrap();
        writer.record(Nanos(6), 0, RecordKind::Send, b"{\n\"a\":1}").unwrap();
        writer.record(Nanos(7), 65536, RecordKind::Recv, b"{\"t\":\"a\tb\"}").unwrap();
        writer.rest(Nanos(8), "https://x/depth", b"{ }").unwrap();
        assert!(writer.rest(Nanos(8), "https://x/de pth", b"{ }").is_err());
        writer.record(Nanos(9), 0, RecordKind::Close, b"").unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn what_is_written_is_read_and_newlines_between_tokens_become_spaces() {
        let (records, error) = read_all(written());
        assert_eq!(error, None);
        let expected = [
            (5, 0, RecordKind::Open, "wss://x/v2"),
            (6, 0, RecordKind::Send, "{ \"a\":1}"),
            (7, 65536, RecordKind::Recv, "{\"t\":\"a\tb\"}"),
            (8, 0, RecordKind::Rest, "https://x/depth { }"),
            (9, 0, RecordKind::Close, ""),
        ];
        let records: Vec<_> = records.iter().map(|r| (r.0, r.1, r.2, r.3.as_str())).collect();
        assert_eq!(records, expected);
        let reader = RecordingReader::new("f", io::Cursor::new(written())).unwrap();
        assert_eq!(reader.header().clock, RecordingClock::Monotonic);
        assert_eq!(reader.header().venue, Venue::Kraken);
    }

    #[test]
    fn plain_text_is_read_too_and_a_frame_of_five_megabytes_is_one_record() {
        let big = "x".repeat(5 << 20);
        let (records, error) =
            read_all(format!("{HEADER}1\t0\trecv\t{big}\n2\t0\trecv\ty\n").into_bytes());
        assert_eq!(error, None);
        assert_eq!(records[0].3.len(), 5 << 20);
        assert_eq!(records[1].3, "y");
    }

    #[test]
    fn a_cut_file_gives_everything_before_the_cut_and_says_where_it_is() {
        let (records, error) = read_all(format!("{HEADER}1\t0\trecv\tx\n2\t0\tre").into_bytes());
        assert_eq!(records.len(), 1);
        let expected = "f.rec, line 3: the file ends within this line, 6 bytes into it";
        assert_eq!(error.as_deref(), Some(expected));

        let whole = written();
        for length in 0..whole.len() {
            let (_, error) = read_all(whole[..length].to_vec());
            assert!(error.is_some(), "cut at {length} of {} goes unnoticed", whole.len());
        }
    }

    #[test]
    fn a_flushed_recording_can_be_read_to_the_flush_when_its_end_is_missing() {
        let header = RecordingHeader { venue: Venue::Kraken, clock: RecordingClock::Unix };
        let mut writer = RecordingWriter::new(Vec::new(), header).unwrap();
        writer.record(Nanos(1), 0, RecordKind::Recv, b"one").unwrap();
        writer.flush().unwrap();
        let bytes = writer.out.get_ref().clone();
        let (records, error) = read_all(bytes);
        assert_eq!(records.len(), 1);
        assert!(error.unwrap().starts_with("f.rec, line 3: 0 bytes into this line: "));
    }

    #[test]
    fn errors_name_the_line_the_field_and_the_value() {
        for (text, expect) in [
            ("", "line 1: header: \"\" is not a recording: it is empty"),
            ("hello\n", "line 1: header: \"hello\" does not begin with"),
            ("#tickcast-recording v1 venue=nyse clock=unix\n", "venue: \"nyse\" is no known venue"),
            ("#tickcast-recording v1 venue=kraken\n", "clock: \"\" is neither unix nor monotonic"),
            (&format!("{HEADER}x\t0\trecv\t1\n"), "line 2: ts_recv_ns: \"x\" is not a whole"),
            (&format!("{HEADER}1\t-1\trecv\t1\n"), "line 2: connection: \"-1\" is not"),
            (&format!("{HEADER}1\t0\trcv\t1\n"), "line 2: kind: \"rcv\" is none of open,"),
            (&format!("{HEADER}1\t0\trest\tabc\n"), "line 2: payload: \"abc\" is not a URL,"),
            (&format!("{HEADER}1\t0\trecv\n"), "line 2: payload: \"1\\t0\\trecv\" is not in"),
            (&format!("{HEADER}\n"), "line 2: connection: \"\" is not in this line"),
        ] {
            let (_, error) = read_all(text.as_bytes().to_vec());
            let error = error.unwrap_or_else(|| panic!("{text:?} has no error"));
            assert!(error.contains(expect), "{error}");
        }
        let error = RecordingReader::open(Path::new("/nonexistent/x.rec")).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/x.rec: "), "{error}");
    }
}
