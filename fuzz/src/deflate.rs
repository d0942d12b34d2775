//! Compressed messages: however they are cut they say the same, none is longer than the limit, and
//! what our compressor makes of a message is that message again.
//!
//! The input is a line as for `decoder`, and also a message to compress.

use crate::decoder::{LIMITS, Said, decode_all_ways};
use crate::decoder_shape::line_of;
use std::cell::RefCell;
use tickcast_gateway::{Deflater, Inflater, Opcode};

/// Kept from one input to the next, as a shard keeps it from one client to the next.
struct Kept {
    inflater: Inflater,
    deflater: Deflater,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::new(Kept {
        inflater: Inflater::new(LIMITS.bytes_max),
        deflater: Deflater::new(),
    });
}

/// Tries one input.
pub fn run(data: &[u8]) {
    KEPT.with_borrow_mut(|kept| {
        let (said, _) = decode_all_ways(&line_of(data), Some(&mut kept.inflater));
        for message in said {
            let length = match message {
                Said::Text(text) => text.len(),
                Said::Binary(bytes) => bytes.len(),
                Said::Ping(bytes) | Said::Pong(bytes) => {
                    assert!(bytes.len() <= 125);
                    continue;
                }
                Said::Close(_) => continue,
            };
            assert!(length <= LIMITS.bytes_max, "{length} bytes");
        }
        let message = &data[..data.len().min(LIMITS.bytes_max)];
        let mut frame = Vec::new();
        if kept.deflater.write_frame(&mut frame, Opcode::Binary, message) {
            let said = decode_all_ways(&masked(&frame), Some(&mut kept.inflater));
            assert_eq!(said, (vec![Said::Binary(message.to_vec())], None));
        } else {
            assert!(frame.is_empty(), "either a whole frame or nothing");
        }
    });
}

/// The same frame as a client sends it, masked with zeros.
fn masked(frame: &[u8]) -> Vec<u8> {
    let head = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let mut masked = frame[..head].to_vec();
    masked[1] |= 0x80;
    masked.extend([0; 4]);
    masked.extend(&frame[head..]);
    masked
}
