//! The frames that the floor writes: made once, then only digits change.

use tickcast_benches::{EPOCH, now_micros};
use tickcast_gateway::{Opcode, write_frame};

/// The first `seq`: so large that its digits do not grow in any run.
const SEQ_FIRST: u64 = 1_000_000;

/// Its digits: an hour at 2,000 frames a second.
const SEQ_DIGITS: usize = 7;

/// Where the digits of a frame lie.
#[derive(Clone, Copy, Debug)]
struct Digits {
    prev: usize,
    seq: usize,
    ts_publish: usize,
}

/// `k` updates of one symbol, one after the other, as they go to every connection.
#[derive(Debug)]
pub(crate) struct Frames {
    symbol: String,
    bytes: Vec<u8>,
    digits: Vec<Digits>,
    /// Of the latest update.
    seq: u64,
}

impl Frames {
    /// Frames of `size` bytes of payload each, or of the least that an update has.
    pub(crate) fn new(symbol: &str, batch: usize, size: usize) -> Frames {
        let mut frames = Frames {
            symbol: symbol.to_owned(),
            bytes: Vec::new(),
            digits: Vec::new(),
            seq: SEQ_FIRST,
        };
        for _ in 0..batch {
            let payload = update(symbol, size);
            write_frame(&mut frames.bytes, Opcode::Text, payload.as_bytes());
            let start = frames.bytes.len() - payload.len();
            let at = |key: &str| start + payload.find(key).expect("the text has it") + key.len();
            let (prev, seq) = (at("\"prev\":"), at("\"seq\":"));
            frames.digits.push(Digits { prev, seq, ts_publish: at("\"ts_publish\":") });
        }
        frames
    }

    pub(crate) fn symbol(&self) -> &str {
        &self.symbol
    }

    /// The next updates, stamped with the present time.
    pub(crate) fn next(&mut self) -> &[u8] {
        let now = now_micros();
        for digits in &self.digits {
            put(&mut self.bytes[digits.prev..][..SEQ_DIGITS], self.seq);
            self.seq += 1;
            put(&mut self.bytes[digits.seq..][..SEQ_DIGITS], self.seq);
            put(&mut self.bytes[digits.ts_publish..][..16], now);
        }
        &self.bytes
    }

    /// Appends the snapshot that the next update continues.
    pub(crate) fn write_snapshot(&self, symbol: &str, out: &mut Vec<u8>) {
        let (seq, now) = (self.seq, now_micros());
        let payload = format!(
            "{{\"channel\":\"ticker\",\"type\":\"snapshot\",\"data\":[{{\"symbol\":\"{symbol}\",\
             \"epoch\":{EPOCH},\"seq\":{seq},\"state\":\"live\",\"bid\":\"68900.00\",\
             \"ts_event\":{now},\"ts_publish\":{now}}}]}}"
        );
        write_frame(out, Opcode::Text, payload.as_bytes());
    }
}

/// Writes a number over digits, right-aligned, zeros in front.
fn put(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// An update of at least `size` bytes. What is missing is filled up with digits of the price, and
/// where that would be silly with a field that clients ignore.
fn update(symbol: &str, size: usize) -> String {
    let text = |digits: usize, pad: &str| {
        format!(
            "{{\"channel\":\"ticker\",\"type\":\"update\",\"data\":[{{\"symbol\":\"{symbol}\",\
             \"epoch\":{EPOCH},\"prev\":1000000,\"seq\":1000001,\"bid\":\"68900.00{}\"{pad},\
             \"ts_event\":1770123456789012,\"ts_publish\":1770123456789012}}]}}",
            "0".repeat(digits)
        )
    };
    let missing = size.saturating_sub(text(0, "").len());
    let empty = ",\"pad\":\"\"";
    match missing.checked_sub(empty.len()) {
        None => text(missing, ""),
        Some(filled) => text(0, &format!(",\"pad\":\"{}\"", "x".repeat(filled))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn frames_have_the_size_and_connect_to_what_was_before() {
        for size in [0, 189, 190, 191, 195, 200, 1000] {
            let mut frames = Frames::new("sim:S0-USD", 3, size);
            let mut snapshot = Vec::new();
            frames.write_snapshot("sim:S0-USD", &mut snapshot);
            let snapshot: Value = serde_json::from_slice(&snapshot[4..]).unwrap();
            let mut held = snapshot["data"][0]["seq"].as_u64().unwrap();
            for _ in 0..2 {
                let mut rest = frames.next();
                for _ in 0..3 {
                    assert_eq!(rest[..2], [0x81, 126]);
                    let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
                    assert!(length == size || size == 0, "{length} for {size}");
                    let update: Value = serde_json::from_slice(&rest[4..4 + length]).unwrap();
                    let data = &update["data"][0];
                    assert_eq!((&update["type"], &data["prev"]), (&"update".into(), &held.into()));
                    held = data["seq"].as_u64().unwrap();
                    assert!(data["ts_publish"].as_u64().unwrap() > 1_770_123_456_789_012);
                    rest = &rest[4 + length..];
                }
                assert!(rest.is_empty());
            }
        }
    }
}
