//! Inflating the compressed messages of clients (`permessage-deflate`, RFC 7692), within bounds.
//!
//! One inflater per shard, reset for every message (clients were told `client_no_context_takeover`),
//! with one buffer that is as long as a message may be: a bomb is noticed when that is full.

use crate::decoder::Violation;
use flate2::{Decompress, FlushDecompress, Status};

/// What a message leaves out at its end (RFC 7692, section 7.2.2), and then an empty last block of
/// our own: only where that is understood as one did the message end between two blocks.
const TAIL: [u8; 6] = [0, 0, 0xFF, 0xFF, 0x03, 0x00];

/// Blocks of one message that may say of themselves that they are the last (RFC 7692, section
/// 7.2.3.4): each makes the inflater begin anew.
const LAST_BLOCKS_MAX: usize = 64;

// RFC 7692 only says to fail the connection; 1007 is what RFC 6455 (section 7.4.1) has for a message
// whose payload is not what its type says.
const BROKEN: Violation = Violation { code: 1007, reason: "a compressed message is not DEFLATE" };
const TOO_BIG: Violation =
    Violation { code: 1009, reason: "a message is longer than the limit once inflated" };

/// Inflates messages.
#[derive(Debug)]
pub struct Inflater {
    stream: Decompress,
    plain: Vec<u8>,
    /// What was inflated since this was last asked.
    pub(crate) counts: Counts,
}

/// Messages that were inflated, and their bytes before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) messages: u64,
    pub(crate) compressed: u64,
    pub(crate) plain: u64,
}

impl Inflater {
    /// An inflater with room for messages of `bytes_max` bytes.
    ///
    /// *Cost:* that room and some 50 KB, for as long as it lives.
    pub fn new(bytes_max: usize) -> Inflater {
        Inflater {
            stream: Decompress::new(false),
            plain: Vec::with_capacity(bytes_max),
            counts: Counts::default(),
        }
    }

    /// Inflates a whole message as it came, its fragments put together.
    ///
    /// *Errors:* 1009 when it is longer than `bytes_max`, 1007 when it is not DEFLATE or ends in the
    /// middle of it.
    ///
    /// *Cost:* in proportion to both lengths; allocates where `bytes_max` is above what there was
    /// room for.
    pub(crate) fn inflate(
        &mut self,
        compressed: &[u8],
        bytes_max: usize,
    ) -> Result<&[u8], Violation> {
        self.stream.reset(false);
        self.plain.clear();
        self.plain.reserve_exact(bytes_max);
        let mut last_blocks = 0;
        for part in [compressed, &TAIL] {
            let mut rest = part;
            while self.go_on(&mut rest, bytes_max)? {
                if rest.is_empty() {
                    self.counts.messages += 1;
                    self.counts.compressed += compressed.len() as u64;
                    self.counts.plain += self.plain.len() as u64;
                    return Ok(&self.plain);
                }
                last_blocks += 1;
                if last_blocks > LAST_BLOCKS_MAX {
                    return Err(BROKEN);
                }
                self.stream.reset(false);
            }
        }
        Err(BROKEN)
    }

    /// Takes as much of `rest` as there is up to a last block; whether there was one.
    fn go_on(&mut self, rest: &mut &[u8], bytes_max: usize) -> Result<bool, Violation> {
        loop {
            let (before_in, before_out) = (self.stream.total_in(), self.stream.total_out());
            let has_room = self.plain.len() < bytes_max;
            let status = if has_room {
                self.stream.decompress_vec(rest, &mut self.plain, FlushDecompress::None)
            } else {
                self.stream.decompress(rest, &mut [0], FlushDecompress::None)
            };
            let status = status.map_err(|_| BROKEN)?;
            let produced = self.stream.total_out() > before_out;
            if self.plain.len() > bytes_max || (produced && !has_room) {
                return Err(TOO_BIG);
            }
            let used = (self.stream.total_in() - before_in) as usize;
            *rest = &rest[used..];
            if status == Status::StreamEnd {
                return Ok(true);
            }
            if used == 0 && !produced {
                return if rest.is_empty() { Ok(false) } else { Err(BROKEN) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};

    /// As a client does it: flushed, without the flush's end.
    fn compressed(message: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(message.len() + 100);
        let mut stream = Compress::new(Compression::best(), false);
        stream.compress_vec(message, &mut out, FlushCompress::Sync).unwrap();
        out.truncate(out.len() - 4);
        out
    }

    #[test]
    fn the_examples_of_the_rfc_are_understood() {
        // RFC 7692, sections 7.2.3.1 to 7.2.3.6, without those that need the message before.
        for (name, bytes, message) in [
            ("one block", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], "Hello"),
            (
                "no compression",
                &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
                "Hello",
            ),
            ("a last block", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], "Hello"),
            (
                "two blocks",
                &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
                "Hello",
            ),
            ("empty", &[0x00], ""),
            (
                "a last block and nothing after it",
                &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
                "Hello",
            ),
        ] {
            let mut inflater = Inflater::new(100);
            assert_eq!(inflater.inflate(bytes, 100).unwrap(), message.as_bytes(), "{name}");
        }
    }

    #[test]
    fn a_message_may_be_as_long_as_the_limit_and_not_longer() {
        let mut inflater = Inflater::new(65_536);
        let room = inflater.plain.capacity();
        for length in [0, 1, 1_000, 65_535, 65_536] {
            let message = vec![b'x'; length];
            assert_eq!(inflater.inflate(&compressed(&message), 65_536).unwrap(), message);
        }
        for length in [65_537, 65_538, 100_000, 50 << 20] {
            let bomb = compressed(&vec![b'x'; length]);
            assert_eq!(inflater.inflate(&bomb, 65_536), Err(TOO_BIG), "{length}");
        }
        assert_eq!(inflater.plain.capacity(), room, "it has not grown");
        // And it goes on afterwards.
        assert_eq!(inflater.inflate(&compressed(b"again"), 65_536).unwrap(), b"again");
        let counts = Counts { messages: 6, compressed: inflater.counts.compressed, plain: 132_077 };
        assert_eq!(inflater.counts, counts);
    }

    #[test]
    fn what_is_not_deflate_is_refused_and_does_no_harm() {
        let good = compressed(&b"{\"method\":\"ping\",\"req_id\":12345}".repeat(20));
        let mut inflater = Inflater::new(65_536);
        let mut refused = 0;
        for cut in 0..good.len() - 1 {
            // It may look like a shorter message only if that ends between two blocks.
            refused += usize::from(inflater.inflate(&good[..cut], 65_536) == Err(BROKEN));
        }
        assert_eq!(refused, good.len() - 1);
        for (name, bytes) in [
            ("a reserved kind of block", vec![0x06]),
            ("lengths that do not match", vec![0x00, 0x05, 0x00, 0x00, 0x00, 1, 2, 3, 4, 5, 0x00]),
            ("further back than the beginning", vec![0x02, 0x03, 0x02, 0x00]),
            ("nothing at all", vec![]),
            ("last blocks without end", [0x03, 0x00].repeat(30_000)),
            ("plain text", b"{\"method\":\"ping\"}".to_vec()),
        ] {
            assert_eq!(inflater.inflate(&bytes, 65_536), Err(BROKEN), "{name}");
        }
        assert_eq!(inflater.inflate(&good, 65_536).unwrap().len(), 640);
    }

    #[test]
    fn every_possible_message_of_two_bytes_is_taken_or_refused() {
        let mut inflater = Inflater::new(300);
        for bytes in 0..=u16::MAX {
            let _ = inflater.inflate(&bytes.to_be_bytes(), 300);
        }
        assert_eq!(inflater.inflate(&compressed(b"good"), 300).unwrap(), b"good");
    }
}
