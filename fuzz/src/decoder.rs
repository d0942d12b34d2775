//! The inbound WebSocket decoder against `tungstenite` 0.30 in the server's role with the same
//! limits: the same messages in the same order, and an error where that has one.
//!
//! Differences that are no fault of either, each allowed for below:
//! - We refuse a length that is not in its shortest form (RFC 6455, section 5.2: "the minimal number
//!   of bytes MUST be used"); tungstenite takes it.
//!   So do we refuse a control frame with a wide length, whatever that length says.
//! - We limit the number of fragments; tungstenite does not.
//! - We refuse as soon as it can be seen; tungstenite when the frame is whole. So it is given zeros
//!   to complete the frame, and must refuse then without having delivered anything more.
//! - A close frame whose code may not be sent we refuse with 1002; tungstenite delivers it as a
//!   close with 1002 in place of the code, or refuses the reason if that is not UTF-8.
//! - 1014 (bad gateway) IANA has given out; tungstenite does not know of it.

use crate::decoder_shape::line_of;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use tickcast_gateway::{Decoder, Event, Inflater, MessageLimits, Violation};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

pub(crate) const LIMITS: MessageLimits = MessageLimits { bytes_max: 1000, fragments_max: 16 };

/// Completes every frame that is within the limits.
const TAIL: [u8; 1100] = [0; 1100];

/// Beyond what came of a message a decoder keeps so much, and no vector more than twice its content.
const KEPT_BYTES_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Event<'_>> for Said {
    fn from(event: Event<'_>) -> Said {
        match event {
            Event::Text(text) => Said::Text(text.into()),
            Event::Binary(bytes) => Said::Binary(bytes.into()),
            Event::Ping(bytes) => Said::Ping(bytes.into()),
            Event::Pong(bytes) => Said::Pong(bytes.into()),
            Event::Close(close) => Said::Close(close.map(|(code, text)| (code, text.into()))),
        }
    }
}

/// Tries one input.
pub fn run(data: &[u8]) {
    let line = line_of(data);
    let (ours, violation) = decode_all_ways(&line, None);
    let (theirs, error) = Peer::read_all(&line, &[]);
    match violation {
        None => {
            assert!(ours == theirs || is_unknown_code(&ours, &theirs), "{ours:?} {theirs:?}");
            assert!(error.is_none(), "only tungstenite refuses: {error:?}");
        }
        Some(violation) if is_ours_alone(&violation) => {
            assert!(theirs.starts_with(&ours), "{ours:?} {theirs:?} {violation:?}");
        }
        Some(violation) => judge_violation(&line, &ours, &violation),
    }
}

fn is_ours_alone(violation: &Violation) -> bool {
    const REASONS: [&str; 3] = ["shortest form", "more fragments than", "longer than 125 bytes"];
    REASONS.iter().any(|reason| violation.reason.contains(reason))
}

/// How tungstenite shows a close frame whose code may not be sent.
fn refused_code() -> Said {
    Said::Close(Some((1002, "Protocol violation".into())))
}

fn is_unknown_code(ours: &[Said], theirs: &[Said]) -> bool {
    match (ours.split_last(), theirs.split_last()) {
        (Some((Said::Close(Some((1014, _))), before)), Some((last, their_before))) => {
            before == their_before && *last == refused_code()
        }
        _ => false,
    }
}

/// tungstenite must refuse the same, at the same place.
fn judge_violation(line: &[u8], ours: &[Said], violation: &Violation) {
    let (theirs, error) = Peer::read_all(line, &TAIL);
    if violation.reason.contains("code that may not be sent") {
        match error {
            None => assert_eq!(theirs, [ours, &[refused_code()]].concat()),
            Some(error) => assert!(matches!(error, tungstenite::Error::Utf8(_)), "{error:?}"),
        }
        return;
    }
    assert_eq!(ours, theirs, "{violation:?} {error:?}");
    let error = error.unwrap_or_else(|| panic!("only we refuse: {violation:?}"));
    let code = match error {
        tungstenite::Error::Utf8(_) => 1007,
        tungstenite::Error::Capacity(_) => 1009,
        _ => 1002,
    };
    // Of two faults in one frame each may find another first.
    let is_head = code != 1007 && violation.code != 1007;
    assert!(code == violation.code || is_head, "{violation:?} {error:?}");
}

/// What our decoder says of a line, in however many pieces it comes.
pub(crate) fn decode_all_ways(
    line: &[u8],
    mut inflater: Option<&mut Inflater>,
) -> (Vec<Said>, Option<Violation>) {
    let whole = decode(line, line.len().max(1), inflater.as_deref_mut());
    let seed = line.iter().fold(7usize, |sum, byte| sum.wrapping_mul(31) + usize::from(*byte));
    for piece in [1, 2 + seed % 13] {
        let cut = decode(line, piece, inflater.as_deref_mut());
        assert_eq!(cut, whole, "in pieces of {piece}");
    }
    whole
}

fn decode(
    line: &[u8],
    piece: usize,
    mut inflater: Option<&mut Inflater>,
) -> (Vec<Said>, Option<Violation>) {
    let mut decoder = Decoder::new();
    let mut said = Vec::new();
    for part in line.chunks(piece) {
        let inflater = inflater.as_deref_mut();
        let fed = decoder.feed(&mut part.to_vec(), &LIMITS, inflater, &mut |event| {
            said.push(Said::from(event));
            ControlFlow::Continue(())
        });
        if let Err(violation) = fed {
            return (said, Some(violation));
        }
        let kept = decoder.kept_bytes();
        assert!(kept <= KEPT_BYTES_MAX + 2 * LIMITS.bytes_max, "{kept} bytes are kept");
        if matches!(said.last(), Some(Said::Close(_))) {
            break;
        }
    }
    (said, None)
}

/// A line that gives its bytes and then has no more for now, and takes everything.
struct Peer<'a> {
    line: &'a [u8],
    tail: &'a [u8],
}

impl Peer<'_> {
    /// What tungstenite says of it, and its error if there was one.
    fn read_all(line: &[u8], tail: &[u8]) -> (Vec<Said>, Option<tungstenite::Error>) {
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .max_message_size(Some(LIMITS.bytes_max))
            .max_frame_size(Some(LIMITS.bytes_max));
        let mut socket =
            WebSocket::from_raw_socket(Peer { line, tail }, Role::Server, Some(config));
        let mut said = Vec::new();
        loop {
            said.push(match socket.read() {
                Ok(Message::Text(text)) => Said::Text(text.as_str().into()),
                Ok(Message::Binary(bytes)) => Said::Binary(bytes.into()),
                Ok(Message::Ping(bytes)) => Said::Ping(bytes.into()),
                Ok(Message::Pong(bytes)) => Said::Pong(bytes.into()),
                Ok(Message::Close(close)) => {
                    let close = close.map(|close| (close.code.into(), close.reason.to_string()));
                    said.push(Said::Close(close));
                    return (said, None);
                }
                Ok(Message::Frame(_)) => unreachable!("reading gives no frames"),
                Err(tungstenite::Error::Io(_)) => return (said, None),
                Err(error) => return (said, Some(error)),
            });
        }
    }
}

impl Read for Peer<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let from = if self.line.is_empty() { &mut self.tail } else { &mut self.line };
        match from.read(into) {
            Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
            read => read,
        }
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
