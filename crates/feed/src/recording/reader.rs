//! Reads a recording, gzip'd or plain, one line at a time; a damaged file is read up to the damage.

use crate::recording::{
    MAGIC, RECORDING_LINE_BYTES_MAX, Record, RecordKind, RecordingClock, RecordingError,
    RecordingHeader,
};
use flate2::bufread::MultiGzDecoder;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use tickcast_market::{Nanos, Venue};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// How much of a wrong field an error shows, in characters.
const ERROR_VALUE_CHARS_MAX: usize = 60;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::writer::RecordingWriter;

    const HEADER: &str = "#tickcast-recording v1 venue=kraken clock=unix\n";

    type Line = (i64, u32, RecordKind, String);

    fn read_all(bytes: Vec<u8>) -> (Vec<Line>, Option<String>) {
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
