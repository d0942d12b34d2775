//! WebSocket frames as bytes (RFC 6455, section 5): heads read and written, masks taken off, the
//! small frames that the edge writes itself.
//!
//! What belongs together in a message is `decoder`'s business; who a frame is for, the session's.

use crate::decoder::Violation;

/// The longest payload of a control frame (RFC 6455, section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;
/// The longest head that a client sends: two bytes, eight of length, four of mask.
pub(crate) const HEAD_BYTES_MAX: usize = 14;
/// How long the head of most frames of ours is.
pub(crate) const HEAD_USUAL: usize = 4;
/// The bit that says that a message is compressed (RFC 7692, section 6).
pub(crate) const RSV1: u8 = 0x40;

/// What a frame is (RFC 6455, section 5.2); no reserved opcode can be expressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further piece of the message in progress.
    Continuation = 0,
    /// A message of text, or its first piece.
    Text = 1,
    /// A message of bytes, or its first piece.
    Binary = 2,
    /// The sender will send nothing more.
    Close = 8,
    /// To be answered with a pong of the same payload.
    Ping = 9,
    /// The answer to a ping, or a sign of life.
    Pong = 10,
}

impl Opcode {
    /// Whether it may stand between the pieces of a message and may not be in pieces itself.
    pub const fn is_control(self) -> bool {
        self as u8 & 8 != 0
    }

    const fn from_bits(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }
}

/// The head of a frame that a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) opcode: Opcode,
    pub(crate) fin: bool,
    /// It begins a message that is compressed.
    pub(crate) compressed: bool,
    /// As declared; nothing has been allocated for it.
    pub(crate) length: u64,
    pub(crate) mask: [u8; 4],
}

impl Head {
    /// The head that `bytes` begin with and how long it is; `None` while it is not whole. With
    /// `deflates` messages may be compressed.
    ///
    /// What is found wrong in a part of a head is found wrong in the same way in the whole one, so
    /// that the verdict does not depend on how the bytes were cut.
    pub(crate) fn parse(bytes: &[u8], deflates: bool) -> Result<Option<(Head, usize)>, Violation> {
        let Some(first) = bytes.first() else { return Ok(None) };
        if first & 0b0011_0000 != 0 || (first & RSV1 != 0 && !deflates) {
            return Err(Violation::protocol("reserved bits are set"));
        }
        let opcode = Opcode::from_bits(first & 0x0F)
            .ok_or(Violation::protocol("the opcode is a reserved one"))?;
        let compressed = first & RSV1 != 0;
        if compressed && !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Err(Violation::protocol("the bit of a compressed message stands elsewhere"));
        }
        let fin = first & 0x80 != 0;
        if opcode.is_control() && !fin {
            return Err(Violation::protocol("a control frame is in fragments"));
        }
        let Some(second) = bytes.get(1) else { return Ok(None) };
        if second & 0x80 == 0 {
            return Err(Violation::protocol("a client's frame is not masked"));
        }
        let short = second & 0x7F;
        if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
            return Err(Violation::protocol("a control frame is longer than 125 bytes"));
        }
        let (length, used) = match short {
            126 => match bytes.get(2..4) {
                Some(wide) => (u64::from(u16::from_be_bytes([wide[0], wide[1]])), 4),
                None => return Ok(None),
            },
            127 => match bytes.get(2..10).and_then(|wide| <[u8; 8]>::try_from(wide).ok()) {
                Some(wide) => (u64::from_be_bytes(wide), 10),
                None => return Ok(None),
            },
            _ => (u64::from(short), 2),
        };
        if (short == 126 && length < 126) || (short == 127 && length <= 0xFFFF) {
            return Err(Violation::protocol("a length is not written in its shortest form"));
        }
        if length >> 63 != 0 {
            return Err(Violation::protocol("a length has its highest bit set"));
        }
        let mask = bytes.get(used..used + 4).and_then(|mask| <[u8; 4]>::try_from(mask).ok());
        Ok(mask.map(|mask| (Head { opcode, fin, compressed, length, mask }, used + 4)))
    }
}

/// Takes the mask off `bytes`, which begin `taken` bytes into their frame's payload (RFC 6455,
/// section 5.3).
///
/// *Cost:* eight bytes at a time, more where the compiler finds wider registers.
pub(crate) fn unmask(bytes: &mut [u8], mask: [u8; 4], taken: usize) {
    let key = [0, 1, 2, 3].map(|at| mask[(taken + at) % 4]);
    let wide = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        let clear = u64::from_ne_bytes([
            word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7],
        ]) ^ wide;
        word.copy_from_slice(&clear.to_ne_bytes());
    }
    for (at, byte) in words.into_remainder().iter_mut().enumerate() {
        *byte ^= key[at % 4];
    }
}

/// Writes the head of an unmasked, whole frame of ours.
///
/// *Cost:* two, four or ten bytes.
pub fn write_head(out: &mut Vec<u8>, opcode: Opcode, length: usize) {
    let (head, head_len) = head_bytes(0x80 | opcode as u8, length);
    out.extend_from_slice(&head[..head_len]);
}

/// The head of an unmasked frame with that first byte, and how many of its bytes count.
pub(crate) fn head_bytes(first: u8, length: usize) -> ([u8; 10], usize) {
    let mut head = [first, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    match length {
        0..=125 => {
            head[1] = length as u8;
            (head, 2)
        }
        126..=0xFFFF => {
            head[1] = 126;
            head[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            (head, 4)
        }
        _ => {
            head[1] = 127;
            head[2..].copy_from_slice(&(length as u64).to_be_bytes());
            (head, 10)
        }
    }
}

/// Writes a whole frame.
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    write_head(out, opcode, payload.len());
    out.extend_from_slice(payload);
}

/// Writes a close frame; a reason that is too long for a control frame is shortened at the end of
/// a character.
pub fn write_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    let mut end = reason.len().min(CONTROL_BYTES_MAX - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    write_head(out, Opcode::Close, 2 + end);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(&reason.as_bytes()[..end]);
}

/// Whether a peer may send this code in a close frame (RFC 6455, section 7.4, and the codes that
/// IANA has registered since).
pub(crate) const fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_have_the_shortest_form_for_their_length() {
        for (length, head) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xFF, 0xFF]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            write_head(&mut out, Opcode::Text, length);
            assert_eq!(out, head, "{length}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_at_the_end_of_a_character() {
        let mut out = Vec::new();
        write_close(&mut out, 4400, &"ä".repeat(100));
        assert_eq!(out[..4], [0x88, 124, 0x11, 0x30]);
        assert_eq!(std::str::from_utf8(&out[4..]).unwrap(), "ä".repeat(61));
    }

    #[test]
    fn unmasking_from_any_offset_equals_the_definition() {
        let mask = [0x11, 0xE2, 0x93, 0x04];
        for taken in 0..9 {
            for length in 0..40 {
                let plain: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
                let mut bytes: Vec<u8> =
                    plain.iter().enumerate().map(|(i, b)| b ^ mask[(taken + i) % 4]).collect();
                unmask(&mut bytes, mask, taken);
                assert_eq!(bytes, plain, "{taken} {length}");
            }
        }
    }
}
