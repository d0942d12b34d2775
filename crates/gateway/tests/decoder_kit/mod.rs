//! Frames as clients send them, and what the decoder makes of them.

#![allow(dead_code)] // Each test file uses its own part.

use std::ops::ControlFlow;
use tickcast_gateway::{Decoder, Event, Inflater, MessageLimits, Opcode, Violation};

/// An event that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Event<'_>> for Owned {
    fn from(event: Event<'_>) -> Owned {
        match event {
            Event::Text(text) => Owned::Text(text.into()),
            Event::Binary(bytes) => Owned::Binary(bytes.into()),
            Event::Ping(bytes) => Owned::Ping(bytes.into()),
            Event::Pong(bytes) => Owned::Pong(bytes.into()),
            Event::Close(close) => Owned::Close(close.map(|(code, text)| (code, text.into()))),
        }
    }
}

/// Feeds `bytes` cut at `cuts`, with compression agreed on or not; what came out, the violation if
/// there was one, and whether a message is not finished.
pub(crate) fn decode_cut(
    bytes: &[u8],
    cuts: &[usize],
    limits: &MessageLimits,
    deflates: bool,
) -> (Vec<Owned>, Option<Violation>, bool) {
    let mut decoder = Decoder::new();
    let mut inflater = deflates.then(|| Inflater::new(limits.bytes_max));
    let mut events: Vec<Owned> = Vec::new();
    let mut from = 0;
    for to in cuts.iter().copied().chain([bytes.len()]) {
        let mut piece = bytes[from..to].to_vec();
        from = to;
        let fed = decoder.feed(&mut piece, limits, inflater.as_mut(), &mut |event| {
            events.push(event.into());
            ControlFlow::Continue(())
        });
        if let Err(violation) = fed {
            return (events, Some(violation), false);
        }
        if matches!(events.last(), Some(Owned::Close(_))) {
            break;
        }
    }
    (events, None, decoder.is_unfinished())
}

pub(crate) const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A frame as a client sends it.
pub(crate) fn frame_with(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    out
}

pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    frame_with(first, payload, MASK)
}

pub(crate) const FIN: u8 = 0x80;
pub(crate) const TEXT: u8 = Opcode::Text as u8;
pub(crate) const BINARY: u8 = Opcode::Binary as u8;
pub(crate) const CONTINUATION: u8 = Opcode::Continuation as u8;
pub(crate) const CLOSE: u8 = Opcode::Close as u8;
pub(crate) const PING: u8 = Opcode::Ping as u8;
pub(crate) const PONG: u8 = Opcode::Pong as u8;
