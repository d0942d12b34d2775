//! The client's side of RFC 6455, just as much as the simulation needs: frames of a server taken
//! apart, masked frames of a client put together. It shares no code with the product.

use std::io::Write;

/// A whole frame of the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Text(&'a [u8]),
    /// A text that has to be inflated.
    Compressed(&'a [u8]),
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    Close(u16, &'a [u8]),
}

/// The first frame of `bytes` and its length; `None` while it is not whole.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, String> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err("a server's frame is masked".to_owned());
    }
    let (length, head) = match (second & 0x7F, rest) {
        (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) as usize, 10)
        }
        (126 | 127, _) => return Ok(None),
        (short, _) => (usize::from(short), 2),
    };
    let is_shortest = match head {
        2 => true,
        4 => length > 125,
        _ => length > 0xFFFF,
    };
    if !is_shortest || length > 64 << 20 {
        return Err(format!("a frame's length is written as {:?}", &bytes[..head]));
    }
    let Some(payload) = bytes.get(head..head + length) else { return Ok(None) };
    let frame = match first {
        0x81 => Frame::Text(payload),
        0xC1 => Frame::Compressed(payload),
        0x88 => match payload {
            [a, b, reason @ ..] => Frame::Close(u16::from_be_bytes([*a, *b]), reason),
            _ => return Err("a close frame has no code".to_owned()),
        },
        0x89 => Frame::Ping(payload),
        0x8A => Frame::Pong(payload),
        other => return Err(format!("a frame begins with {other:#04x}")),
    };
    if first & 8 != 0 && length > 125 {
        return Err("a control frame is longer than 125 bytes".to_owned());
    }
    Ok(Some((frame, head + length)))
}

/// What a compressed message says (RFC 7692, section 7.2.2).
pub(crate) fn inflate(payload: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    let whole = [payload, &[0, 0, 0xFF, 0xFF]].concat();
    flate2::write::DeflateDecoder::new(&mut plain)
        .write_all(&whole)
        .map_err(|error| format!("a compressed message: {error}"))?;
    Ok(plain)
}

/// The compressed form of a message (RFC 7692, section 7.2.1).
pub(crate) fn deflate(message: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(message).and_then(|()| out.flush()).expect("memory takes everything");
    let mut whole = out.get_ref().clone();
    assert!(whole.ends_with(&[0, 0, 0xFF, 0xFF]), "a flush ends so");
    whole.truncate(whole.len() - 4);
    whole
}

/// Appends a masked frame; `first` is its first byte.
pub(crate) fn write_masked(out: &mut Vec<u8>, first: u8, payload: &[u8], mask: [u8; 4]) {
    out.push(first);
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
}
