//! Messages as WebSocket frames, written once and sent to everyone as they are.
//!
//! Only unmasked, unfragmented data frames of a server are made here; reading frames is the
//! gateway's business.

use crate::channel::Encoding;
use crate::encode::write_message;
use crate::pieces::Pieces;
use crate::protobuf;
use tickcast_market::Nanos;

/// Where a frame lies in the buffer that it was appended to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameSpan {
    /// Its first byte.
    pub start: usize,
    /// How many bytes of it are the header: 2, 4 or 10.
    pub header_bytes: u8,
    /// How many bytes it has, header included.
    pub len: usize,
}

impl FrameSpan {
    /// The whole frame, for a WebSocket.
    ///
    /// *Panics:* when `buffer` is not the buffer that it was written to, or was shortened.
    pub fn frame(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start..self.start + self.len]
    }

    /// The message without the header, for server-sent events.
    ///
    /// *Panics:* as [`FrameSpan::frame`].
    pub fn payload(self, buffer: &[u8]) -> &[u8] {
        &self.frame(buffer)[usize::from(self.header_bytes)..]
    }

    /// One past its last byte.
    pub const fn end(self) -> usize {
        self.start + self.len
    }
}

/// The header that most frames have: room is made for it before the length is known.
const HEADER_BYTES_USUAL: usize = 4;

/// The longest header of an unmasked frame.
pub const HEADER_BYTES_MAX: usize = 10;

/// The header of an unmasked, final data frame with that many bytes of payload, and how many
/// bytes of it count (RFC 6455, 5.2).
pub fn frame_header(encoding: Encoding, payload_len: usize) -> ([u8; HEADER_BYTES_MAX], usize) {
    let mut header = [0; HEADER_BYTES_MAX];
    header[0] = 0x80 | encoding.opcode();
    let len = match payload_len {
        0..126 => {
            header[1] = payload_len as u8;
            2
        }
        126..0x1_0000 => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
            4
        }
        _ => {
            header[1] = 127;
            header[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
            10
        }
    };
    (header, len)
}

/// Appends a frame whose payload `write` appends. Frames lie close to each other in `out`.
///
/// *Cost:* that of `write`; a payload shorter than 126 bytes, or longer than 65,535, is moved
/// once. No allocation but `out`'s growth.
pub fn write_framed(
    out: &mut Vec<u8>,
    encoding: Encoding,
    write: impl FnOnce(&mut Vec<u8>),
) -> FrameSpan {
    let start = out.len();
    let payload = start + HEADER_BYTES_USUAL;
    out.resize(payload, 0);
    write(out);
    let payload_len = out.len() - payload;
    let (header, header_len) = frame_header(encoding, payload_len);
    if header_len != HEADER_BYTES_USUAL {
        if header_len > HEADER_BYTES_USUAL {
            out.resize(start + header_len + payload_len, 0);
        }
        out.copy_within(payload..payload + payload_len, start + header_len);
        out.truncate(start + header_len + payload_len);
    }
    out[start..start + header_len].copy_from_slice(&header[..header_len]);
    FrameSpan { start, header_bytes: header_len as u8, len: header_len + payload_len }
}

/// Appends a data message as a ready frame of that encoding.
///
/// *Cost:* see [`write_framed`].
pub fn write_frame(
    out: &mut Vec<u8>,
    encoding: Encoding,
    symbol: &str,
    pieces: &Pieces,
    ts_publish: Nanos,
) -> FrameSpan {
    write_framed(out, encoding, |out| match encoding {
        Encoding::Json => write_message(out, symbol, pieces, ts_publish),
        Encoding::Protobuf => protobuf::write_message(out, symbol, pieces, ts_publish),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a frame back by the letter of RFC 6455, 5.2.
    fn read(frame: &[u8]) -> (u8, &[u8]) {
        assert_eq!(frame[1] & 0x80, 0, "a server masks nothing");
        let (len, at) = match frame[1] {
            126 => (u64::from(u16::from_be_bytes([frame[2], frame[3]])), 4),
            127 => (u64::from_be_bytes(frame[2..10].try_into().unwrap()), 10),
            short => (u64::from(short), 2),
        };
        assert_eq!(len, (frame.len() - at) as u64);
        (frame[0], &frame[at..])
    }

    #[test]
    fn headers_are_as_short_as_the_length_allows_and_frames_lie_close() {
        let mut out = b"before".to_vec();
        let mut spans = Vec::new();
        let sizes = [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10), (70_000, 10)];
        for (payload_len, header_len) in sizes {
            let start = out.len();
            let span = write_framed(&mut out, Encoding::Json, |out| {
                out.extend((0..payload_len).map(|i| i as u8));
            });
            assert_eq!(span.start, start);
            assert_eq!(usize::from(span.header_bytes), header_len, "{payload_len}");
            assert_eq!(span.len, header_len + payload_len);
            assert_eq!(span.end(), out.len());
            spans.push((span, payload_len));
        }
        assert!(out.starts_with(b"before"));
        for (span, payload_len) in spans {
            let (first, payload) = read(span.frame(&out));
            assert_eq!(first, 0x81, "final, text");
            assert!(payload.iter().copied().eq((0..payload_len).map(|i| i as u8)));
            assert_eq!(span.payload(&out), payload);
        }
    }
}
