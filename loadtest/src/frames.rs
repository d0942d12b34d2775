//! A server's WebSocket frames in a buffer (RFC 6455, 5.2), without copying them.

/// The longest frame that is taken: a snapshot of the largest book is far below.
pub(crate) const FRAME_BYTES_MAX: usize = 16 << 20;

/// What stands at the beginning of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A whole frame: opcode, where its payload begins and where it ends.
    Frame { opcode: u8, start: usize, end: usize },
    /// Not yet: so many bytes are needed at least, from the beginning.
    Part { needed: usize },
    /// Not what a server of this protocol sends.
    Bad(&'static str),
}

/// Looks at the first frame of a buffer.
#[inline]
pub(crate) fn next(buffer: &[u8]) -> Next {
    let [first, second, ..] = *buffer else { return Next::Part { needed: 2 } };
    if first & 0xf0 != 0x80 {
        return Next::Bad("fragmented or compressed, which was not agreed on");
    }
    if second & 0x80 != 0 {
        return Next::Bad("masked by the server");
    }
    let (start, len) = match second {
        126 => match buffer.get(2..4) {
            Some(bytes) => (4, usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))),
            None => return Next::Part { needed: 4 },
        },
        127 => match buffer.get(2..10).and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => (10, usize::try_from(u64::from_be_bytes(bytes)).unwrap_or(usize::MAX)),
            None => return Next::Part { needed: 10 },
        },
        short => (2, usize::from(short)),
    };
    if len > FRAME_BYTES_MAX {
        return Next::Bad("longer than 16 MiB");
    }
    let end = start + len;
    if buffer.len() < end {
        return Next::Part { needed: end };
    }
    Next::Frame { opcode: first & 0x0f, start, end }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_are_found_and_parts_say_what_they_need() {
        for (len, header) in [(0_usize, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let mut frame = vec![0x81];
            match len {
                0..126 => frame.push(len as u8),
                126..65_536 => {
                    frame.push(126);
                    frame.extend((len as u16).to_be_bytes());
                }
                _ => {
                    frame.push(127);
                    frame.extend((len as u64).to_be_bytes());
                }
            }
            frame.resize(header + len, b'x');
            let end = header + len;
            assert_eq!(next(&frame), Next::Frame { opcode: 1, start: header, end });
            assert_eq!(next(&frame[..1]), Next::Part { needed: 2 });
            if len > 0 {
                assert_eq!(next(&frame[..end - 1]), Next::Part { needed: end });
            }
        }
        assert!(matches!(next(&[0x01, 0]), Next::Bad(_)), "a fragment");
        assert!(matches!(next(&[0xc1, 0]), Next::Bad(_)), "compressed");
        assert!(matches!(next(&[0x81, 0x80]), Next::Bad(_)), "masked");
        let huge = [&[0x81, 127][..], &u64::MAX.to_be_bytes()].concat();
        assert!(matches!(next(&huge), Next::Bad(_)));
    }
}
