//! The inbound decoder beside another one (`tungstenite`, as a server): on the same bytes, right
//! ones and mutated ones, both must see the same messages and break off for the same reason.
//!
//! Where they differ on purpose stands in `excuse`.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use tickcast_gateway::{Decoder, Event, MessageLimits};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

const CASES: u32 = 10_000;
const BYTES_MAX: usize = 500;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

/// How it ended: more bytes are awaited (or none are), the peer closed, or a close code of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Open,
    Closed,
    Broken(u16),
}

fn ours(bytes: &[u8]) -> (Vec<Seen>, End, &'static str) {
    let limits = MessageLimits { bytes_max: BYTES_MAX, fragments_max: u32::MAX };
    let mut bytes = bytes.to_vec();
    let mut seen = Vec::new();
    let fed = Decoder::new().feed(&mut bytes, &limits, None, &mut |event| {
        seen.push(match event {
            Event::Text(text) => Seen::Text(text.into()),
            Event::Binary(bytes) => Seen::Binary(bytes.into()),
            Event::Ping(bytes) => Seen::Ping(bytes.into()),
            Event::Pong(bytes) => Seen::Pong(bytes.into()),
            Event::Close(close) => Seen::Close(close.map(|(code, text)| (code, text.into()))),
        });
        ControlFlow::Continue(())
    });
    match fed {
        Err(violation) => (seen, End::Broken(violation.code), violation.reason),
        Ok(()) if matches!(seen.last(), Some(Seen::Close(_))) => (seen, End::Closed, ""),
        Ok(()) => (seen, End::Open, ""),
    }
}

/// A line on which these bytes have come and no more.
struct Line<'a>(&'a [u8]);

impl Read for Line<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            some => Ok(some),
        }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn theirs(bytes: &[u8]) -> (Vec<Seen>, End) {
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .max_message_size(Some(BYTES_MAX))
        .max_frame_size(Some(BYTES_MAX));
    let mut socket = WebSocket::from_raw_socket(Line(bytes), Role::Server, Some(config));
    let mut seen = Vec::new();
    loop {
        seen.push(match socket.read() {
            Ok(Message::Text(text)) => Seen::Text(text.as_str().into()),
            Ok(Message::Binary(bytes)) => Seen::Binary(bytes.into()),
            Ok(Message::Ping(bytes)) => Seen::Ping(bytes.into()),
            Ok(Message::Pong(bytes)) => Seen::Pong(bytes.into()),
            Ok(Message::Close(close)) => {
                let close = close.map(|close| (close.code.into(), close.reason.as_str().into()));
                seen.push(Seen::Close(close));
                return (seen, End::Closed);
            }
            Ok(Message::Frame(frame)) => panic!("no raw frames are asked for: {frame:?}"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (seen, End::Open);
            }
            Err(Error::Protocol(_)) => return (seen, End::Broken(1002)),
            Err(Error::Utf8(_)) => return (seen, End::Broken(1007)),
            Err(Error::Capacity(_)) => return (seen, End::Broken(1009)),
            Err(error) => panic!("{error}"),
        });
    }
}

/// Why the two may differ here; `None` when they may not.
fn excuse(
    (mine, my_end, why): &(Vec<Seen>, End, &str),
    (other, other_end): &(Vec<Seen>, End),
) -> Option<&'static str> {
    let same = mine == other;
    let (last, before) = other.split_last().map_or((None, &other[..]), |(l, b)| (Some(l), b));
    match (my_end, other_end) {
        // RFC 6455, section 5.2: the minimal number of bytes MUST be used.
        (End::Broken(1002), _)
            if ["shortest form", "longer than 125 bytes"].iter().any(|form| why.contains(form))
                && other.starts_with(mine) =>
        {
            Some("tungstenite takes lengths in a long form")
        }
        (End::Broken(_), End::Open) if same => Some("ours does not wait for the rest of a frame"),
        (End::Broken(1002), End::Broken(1009)) if same => {
            Some("tungstenite looks at the length first")
        }
        (End::Broken(1002), End::Broken(1007))
            if same && why.contains("a code that may not be sent") =>
        {
            Some("a bad close code with a bad reason")
        }
        (End::Broken(1002), End::Closed)
            if why.contains("a code that may not be sent")
                && mine == before
                && last == Some(&Seen::Close(Some((1002, "Protocol violation".into())))) =>
        {
            Some("tungstenite tells a bad code as a close of its own")
        }
        (End::Closed, End::Closed)
            if matches!(mine.last(), Some(Seen::Close(Some((1014, _)))))
                && mine[..mine.len() - 1] == *before =>
        {
            Some("tungstenite does not know 1014, which was registered later")
        }
        _ => None,
    }
}

fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    out
}

/// Frames that are right or nearly so.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        4 => "[ -~€ß𝄞]{0,40}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..10),
        1 => (0usize..600).prop_map(|length| vec![b'x'; length]),
        1 => "[€ß𝄞]{1,5}".prop_map(|text| text.as_bytes()[..text.len() - 1].to_vec()),
    ];
    let data = prop_oneof![
        Just(vec![0x81u8]),
        Just(vec![0x82]),
        Just(vec![0x01, 0x80]),
        Just(vec![0x02, 0x00, 0x80]),
        Just(vec![0x01, 0x89, 0x00, 0x8A, 0x80]),
        Just(vec![0x89]),
        Just(vec![0x8A]),
        any::<u8>().prop_map(|first| vec![first]),
    ];
    let close = (prop_oneof![990u16..1020, 2990u16..3010, any::<u16>()], "[ -~€]{0,20}")
        .prop_map(|(code, reason)| [&code.to_be_bytes()[..], reason.as_bytes()].concat())
        .prop_map(|payload| frame(0x88, &payload, [9, 8, 7, 6]));
    let message = (data, proptest::collection::vec(payload, 5), any::<[u8; 4]>()).prop_map(
        |(firsts, payloads, mask)| {
            let pieces = firsts.iter().zip(&payloads).map(|(f, p)| frame(*f, p, mask));
            pieces.collect::<Vec<_>>().concat()
        },
    );
    let piece = prop_oneof![8 => message, 1 => close];
    proptest::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
}

/// The same with some bytes changed, and perhaps an end too early.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (frames(), changes, prop::option::weighted(0.3, any::<prop::sample::Index>())).prop_map(
        |(mut bytes, changes, end)| {
            for (at, by) in changes {
                let at = at.index(bytes.len());
                bytes[at] ^= by;
            }
            if let Some(end) = end {
                bytes.truncate(end.index(bytes.len()) + 1);
            }
            bytes
        },
    )
}

#[test]
fn another_decoder_sees_the_same_messages_and_the_same_faults() {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) };
    // The same cases each time: what fails here can be repeated.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let tally = RefCell::new(BTreeMap::<String, u32>::new());
    let run = TestRunner::new_with_rng(config, rng).run(&bytes(), |bytes| {
        let (mine, other) = (ours(&bytes), theirs(&bytes));
        let what = if (&mine.0, mine.1) == (&other.0, other.1) {
            format!("alike, {:?}", mine.1)
        } else {
            let excuse = excuse(&mine, &other);
            excuse.ok_or_else(|| TestCaseError::fail(format!("{mine:?}\n{other:?}")))?.to_owned()
        };
        *tally.borrow_mut().entry(what).or_default() += 1;
        Ok(())
    });
    let tally = tally.into_inner();
    println!("differential: {tally:#?}");
    run.unwrap_or_else(|error| panic!("{error}"));
    let alike: u32 =
        tally.iter().filter(|(what, _)| what.starts_with("alike")).map(|(_, count)| count).sum();
    assert!(alike > CASES / 2, "{tally:?}");
    for end in ["Open", "Closed", "Broken(1002)", "Broken(1007)", "Broken(1009)"] {
        assert!(tally.contains_key(&format!("alike, {end}")), "no case ended {end}: {tally:?}");
    }
}
