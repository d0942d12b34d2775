//! Finding the service's messages in what it sends, whether framed as WebSocket or as events, and
//! reading of each just what a line that makes trouble has to know.

use serde_json::Value;
use std::ops::Range;

/// How the bytes of a connection are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// The answer's head has not come yet.
    Head,
    WebSocket,
    Events,
    /// An ordinary answer: nothing is looked for.
    Other,
}

/// Cuts a stream of bytes into pieces.
#[derive(Debug)]
pub(crate) struct Splitter {
    held: Vec<u8>,
    framing: Framing,
}

/// Some bytes that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    /// Where the message is in them, and whether it is protobuf; `None` where there is none.
    message: Option<(Range<usize>, bool)>,
}

/// What a data message says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) channel: &'static str,
    pub(crate) is_update: bool,
    /// What it is of: the same for all messages of a stream.
    pub(crate) stream: String,
}

const CHANNELS: [&str; 4] = ["ticker", "book", "trades", "bars"];

impl Splitter {
    pub(crate) fn new() -> Splitter {
        Splitter { held: Vec::new(), framing: Framing::Head }
    }

    /// Whether events come, not frames.
    pub(crate) fn has_events(&self) -> bool {
        self.framing == Framing::Events
    }

    /// Whether messages come at all.
    pub(crate) fn has_messages(&self) -> bool {
        matches!(self.framing, Framing::Events | Framing::WebSocket)
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next whole piece.
    pub(crate) fn next(&mut self) -> Option<Piece> {
        match self.framing {
            Framing::Head => {
                let length = self.held.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
                let bytes: Vec<u8> = self.held.drain(..length).collect();
                let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
                self.framing = if head.starts_with("http/1.1 101") {
                    Framing::WebSocket
                } else if head.contains("text/event-stream") {
                    Framing::Events
                } else {
                    Framing::Other
                };
                Some(Piece { bytes, message: None })
            }
            Framing::WebSocket => {
                let (head, payload) = frame_lengths(&self.held)?;
                let length = head + payload;
                if self.held.len() < length {
                    return None;
                }
                let bytes: Vec<u8> = self.held.drain(..length).collect();
                let message = match bytes[0] & 15 {
                    1 => Some((head..length, false)),
                    2 => Some((head..length, true)),
                    _ => None,
                };
                Some(Piece { bytes, message })
            }
            Framing::Events => {
                let length = self.held.windows(2).position(|two| two == b"\n\n")? + 2;
                let bytes: Vec<u8> = self.held.drain(..length).collect();
                let data = bytes.windows(6).position(|six| six == b"data: ");
                let message = data.map(|at| (at + 6..length - 2, false));
                Some(Piece { bytes, message })
            }
            Framing::Other if self.held.is_empty() => None,
            Framing::Other => Some(Piece { bytes: std::mem::take(&mut self.held), message: None }),
        }
    }
}

/// Lengths of the head and payload of the frame at the beginning (RFC 6455, section 5.2); the
/// service masks nothing.
fn frame_lengths(bytes: &[u8]) -> Option<(usize, usize)> {
    let short = usize::from(*bytes.get(1)? & 127);
    match short {
        126 => {
            let length = bytes.get(2..4)?.try_into().expect("two bytes");
            Some((4, usize::from(u16::from_be_bytes(length))))
        }
        127 => {
            let length = bytes.get(2..10)?.try_into().expect("eight bytes");
            Some((10, usize::try_from(u64::from_be_bytes(length)).expect("it fits in memory")))
        }
        _ => Some((2, short)),
    }
}

impl Piece {
    /// What it says, where it is a data message.
    pub(crate) fn item(&self) -> Option<Item> {
        let (at, is_protobuf) = self.message.clone()?;
        if is_protobuf { protobuf_item(&self.bytes[at]) } else { json_item(&self.bytes[at]) }
    }

    /// The delay that a goaway asks for.
    pub(crate) fn goaway_ms(&self) -> Option<u64> {
        let (at, is_protobuf) = self.message.clone()?;
        let message = &self.bytes[at];
        if is_protobuf {
            let goaway = Fields(message).find(|field| field.number == 9)?;
            let delay = Fields(goaway.bytes).find(|field| field.number == 1);
            return Some(delay.map_or(0, |delay| delay.value));
        }
        let is_it = message.windows(8).any(|window| window == b"\"goaway\"");
        let message: Value = is_it.then(|| serde_json::from_slice(message).ok())??;
        message["data"][0]["reconnect_after_ms"].as_u64()
    }

    /// Makes a book's checksum wrong, if it has one.
    pub(crate) fn falsify(&mut self) -> bool {
        let Some((at, is_protobuf)) = self.message.clone() else { return false };
        let message = &mut self.bytes[at];
        if is_protobuf {
            let Some(place) = protobuf_checksum(message) else { return false };
            message[place] ^= 1;
            return true;
        }
        const KEY: &[u8] = b"\"checksum\":";
        let Some(key) = message.windows(KEY.len()).position(|window| window == KEY) else {
            return false;
        };
        let digits = message[key + KEY.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        let last = key + KEY.len() + digits.count() - 1;
        // It stays within 32 bits.
        message[last] = if message[last] == b'0' { b'1' } else { message[last] - 1 };
        true
    }
}

fn json_item(text: &[u8]) -> Option<Item> {
    let message: Value = serde_json::from_slice(text).ok()?;
    let channel = CHANNELS.into_iter().find(|channel| message["channel"] == *channel)?;
    let first = &message["data"][0];
    let stream = format!("{channel} {} {}", first["symbol"], first["interval"]);
    Some(Item { channel, is_update: message["type"] == "update", stream })
}

fn protobuf_item(bytes: &[u8]) -> Option<Item> {
    let body = Fields(bytes).next()?;
    let at = usize::try_from(body.number).ok()?.checked_sub(1)?;
    let channel = *CHANNELS.get(at)?;
    let number = Fields(body.bytes).find(|field| field.number == 1).map_or(0, |field| field.value);
    let opening = Fields(body.bytes).find(|field| field.number == 18);
    let is_snapshot = opening.is_some_and(|opening| {
        Fields(opening.bytes).any(|field| field.number == 1 && field.value == 1)
    });
    Some(Item { channel, is_update: !is_snapshot, stream: format!("{channel} {number}") })
}

/// Where the first byte of a book's checksum is.
fn protobuf_checksum(bytes: &[u8]) -> Option<usize> {
    let body = Fields(bytes).next().filter(|body| body.number == 2)?;
    let checksum = Fields(body.bytes).find(|field| field.number == 7)?;
    Some(checksum.bytes.as_ptr() as usize - bytes.as_ptr() as usize)
}

/// The fields of a protobuf message, just as deep as is asked.
struct Fields<'a>(&'a [u8]);

/// A field: of its value or its bytes one says something.
struct Field<'a> {
    number: u64,
    value: u64,
    bytes: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let tag = varint(&mut self.0)?;
        let (value, length) = match tag & 7 {
            0 => (varint(&mut self.0)?, 0),
            1 => (0, 8),
            2 => (0, usize::try_from(varint(&mut self.0)?).ok()?),
            5 => (0, 4),
            _ => return None,
        };
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Field { number: tag >> 3, value, bytes })
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 127) << shift;
        if first & 128 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(bytes: &[u8], at_once: usize) -> Vec<Piece> {
        let mut splitter = Splitter::new();
        let mut pieces = Vec::new();
        for some in bytes.chunks(at_once) {
            splitter.push(some);
            pieces.extend(std::iter::from_fn(|| splitter.next()));
        }
        pieces
    }

    #[test]
    fn messages_are_found_however_the_bytes_come() {
        let update =
            br#"{"channel":"book","type":"update","data":[{"symbol":"a:B","checksum":40}]}"#;
        let item =
            Item { channel: "book", is_update: true, stream: "book \"a:B\" null".to_owned() };
        let mut frames = b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x89\x00\x81".to_vec();
        frames.push(update.len() as u8);
        frames.extend_from_slice(update);
        let mut events =
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: book\nid: 1-2\ndata: "
                .to_vec();
        events.extend_from_slice(update);
        events.extend_from_slice(b"\n\n");
        for at_once in [1, 7, 4096] {
            for (bytes, count) in [(&frames, 3), (&events, 2)] {
                let mut pieces = pieces(bytes, at_once);
                assert_eq!(pieces.len(), count);
                let mut last = pieces.pop().expect("a message");
                assert_eq!(last.item().as_ref(), Some(&item));
                assert!(pieces.iter().all(|piece| piece.item().is_none()));
                assert!(last.falsify());
                let text = String::from_utf8_lossy(&last.bytes);
                assert!(text.contains(r#""checksum":41"#), "{text}");
            }
        }
    }

    #[test]
    fn protobuf_is_read_as_deep_as_needed() {
        // Book { stream: 300, seq: 5, checksum: 7, opening: Opening { snapshot: true } }
        let book = b"\x08\xac\x02\x10\x05\x3d\x07\x00\x00\x00\x92\x01\x02\x08\x01";
        let message = [&[0x12, book.len() as u8], &book[..]].concat();
        let item = protobuf_item(&message).expect("a book");
        assert_eq!((item.channel, item.is_update), ("book", false));
        assert_eq!(item.stream, "book 300");
        assert_eq!(protobuf_checksum(&message), Some(8));
        // Goaway { reconnect_after_ms: 300 }
        let goaway = Piece { bytes: b"\x4a\x03\x08\xac\x02".to_vec(), message: Some((0..5, true)) };
        assert_eq!(goaway.goaway_ms(), Some(300));
        assert_eq!(goaway.item(), None);
    }
}
