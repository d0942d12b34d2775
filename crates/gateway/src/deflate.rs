//! Compressing messages for those who have agreed to it (`permessage-deflate`, RFC 7692).
//!
//! One compressor per shard: every message is compressed for itself, so that its bytes are the same
//! for everyone and nothing is kept for a connection. Who gets which form is the shard's business.

use crate::frame::{HEAD_USUAL, Opcode, RSV1, head_bytes};
use flate2::{Compress, Compression, FlushCompress};

/// Shorter messages go as they are: what compressing saves of them is less than it costs.
pub const COMPRESSED_BYTES_MIN: usize = 1 << 10;

/// What a flush ends with and a message leaves out (RFC 7692, section 7.2.1).
const FLUSH_END: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// Room for a flush beyond what it is known to save.
const FLUSH_ROOM: usize = 16;

/// Of zlib's ten: on our messages the next ones cost up to twice the time for 1 % fewer bytes, and
/// those before it leave half as many more.
const LEVEL: u32 = 3;

/// Makes compressed messages.
#[derive(Debug)]
pub struct Deflater {
    stream: Compress,
    /// Messages that were compressed, and their bytes before, since this was last asked.
    pub(crate) runs: u64,
    pub(crate) run_bytes: usize,
}

impl Default for Deflater {
    fn default() -> Deflater {
        Deflater::new()
    }
}

impl Deflater {
    /// A compressor.
    ///
    /// *Cost:* a quarter of a megabyte, for as long as it lives.
    pub fn new() -> Deflater {
        Deflater { stream: Compress::new(Compression::new(LEVEL), false), runs: 0, run_bytes: 0 }
    }

    /// Writes a whole compressed frame, unless it would be no shorter than the plain one: then
    /// nothing is written and the answer is `false`.
    ///
    /// *Cost:* some 100 MB a second; allocates only for `out` to grow.
    pub fn write_frame(&mut self, out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) -> bool {
        self.write(out, 0x80 | opcode as u8, payload)
    }

    /// The same for a whole plain frame of ours whose head has `head_len` bytes.
    pub(crate) fn write_twin(&mut self, out: &mut Vec<u8>, frame: &[u8], head_len: u8) -> bool {
        match frame.split_at_checked(head_len.into()) {
            Some(([first, ..], payload)) => self.write(out, *first, payload),
            _ => false,
        }
    }

    /// Whether a message of that length is worth it.
    pub const fn is_worth(payload_len: usize) -> bool {
        payload_len >= COMPRESSED_BYTES_MIN
    }

    fn write(&mut self, out: &mut Vec<u8>, first: u8, payload: &[u8]) -> bool {
        self.runs += 1;
        self.run_bytes += payload.len();
        self.stream.reset();
        let start = out.len();
        out.reserve(HEAD_USUAL + payload.len() + FLUSH_ROOM);
        out.extend_from_slice(&[0; HEAD_USUAL]);
        let flushed = self.stream.compress_vec(payload, out, FlushCompress::Sync);
        // Where no room was left something may still be inside: that is longer than the plain one.
        let is_whole = flushed.is_ok() && out.len() < out.capacity();
        let length = out.len() - start - HEAD_USUAL;
        if !is_whole || !out.ends_with(&FLUSH_END) || length - FLUSH_END.len() >= payload.len() {
            out.truncate(start);
            return false;
        }
        let length = length - FLUSH_END.len();
        out.truncate(start + HEAD_USUAL + length);
        let (head, head_len) = head_bytes(first | RSV1, length);
        if head_len != HEAD_USUAL {
            out.resize(start + HEAD_USUAL.max(head_len) + length, 0);
            out.copy_within(start + HEAD_USUAL..start + HEAD_USUAL + length, start + head_len);
            out.truncate(start + head_len + length);
        }
        out[start..start + head_len].copy_from_slice(&head[..head_len]);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inflate::Inflater;

    /// Head and message of a frame, by the letter of RFC 6455, section 5.2.
    fn read(frame: &[u8]) -> (u8, &[u8]) {
        let (length, at) = match frame[1] {
            126 => (u64::from(u16::from_be_bytes([frame[2], frame[3]])), 4),
            127 => (u64::from_be_bytes(frame[2..10].try_into().unwrap()), 10),
            short => (u64::from(short), 2),
        };
        assert_eq!(length, (frame.len() - at) as u64);
        (frame[0], &frame[at..])
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        (0..length).map(|_| random.u8(..)).collect()
    }

    #[test]
    fn what_was_compressed_is_inflated_with_heads_of_every_form() {
        let mut deflater = Deflater::new();
        let (mut inflater, limit) = (Inflater::new(0), 4 << 20);
        let hex: String = noise(100_000).iter().map(|byte| format!("{byte:02x}")).collect();
        for (message, head) in [
            (vec![b'x'; 2_000], 2),
            (b"[\"100.0\",\"5\"],".repeat(500), 2),
            (hex.as_bytes()[..4_000].to_vec(), 4),
            (hex.into_bytes(), 10),
        ] {
            let mut out = b"before".to_vec();
            assert!(deflater.write_frame(&mut out, Opcode::Text, &message));
            let (first, compressed) = read(&out[6..]);
            assert_eq!(first, 0xC1, "final, compressed, text");
            assert_eq!(out.len() - 6 - compressed.len(), head);
            assert_eq!(inflater.inflate(compressed, limit).unwrap(), message);
            let mut again = Vec::new();
            assert!(deflater.write_frame(&mut again, Opcode::Text, &message));
            assert!(out[6..] == again, "nothing is remembered from one message to the next");
        }
        assert_eq!(deflater.runs, 8);
    }

    #[test]
    fn what_does_not_get_shorter_is_not_written() {
        let mut deflater = Deflater::new();
        for length in [0, 1, 1_024, 70_000] {
            for spare in [0, 1 << 20] {
                let mut out = Vec::with_capacity(spare);
                out.extend_from_slice(b"before");
                assert!(!deflater.write_frame(&mut out, Opcode::Binary, &noise(length)));
                assert_eq!(out, b"before", "{length}");
            }
        }
        // It has not been put out of order by what it had to give up.
        let mut out = Vec::new();
        assert!(deflater.write_frame(&mut out, Opcode::Text, &[b'a'; 1_024]));
        let (_, compressed) = read(&out);
        assert_eq!(Inflater::new(2_000).inflate(compressed, 2_000).unwrap(), [b'a'; 1_024]);
    }
}
