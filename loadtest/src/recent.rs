//! Messages that were read a moment ago: a service sends the same bytes to thousands of clients,
//! and bytes that are equal say the same.
//!
//! *Invariant:* every byte of every message is looked at; only what was found is used again.

use crate::scan::{self, Item};

/// Longer messages are read each time.
const MESSAGE_BYTES_MAX: usize = 512;

/// How many messages are remembered: more than a service encodes while one turn of it arrives. A
/// power of two.
const MESSAGES_MAX: usize = 1024;

/// One message, what it says, and which of the instruments it is about.
struct Known {
    message: Vec<u8>,
    item: Item<'static>,
    /// Where the symbol stands in the message.
    symbol: (usize, usize),
    instrument: Option<u32>,
}

/// The messages that were read last.
pub(crate) struct Recent {
    known: Vec<Option<Known>>,
}

impl Default for Recent {
    fn default() -> Recent {
        Recent { known: (0..MESSAGES_MAX).map(|_| None).collect() }
    }
}

impl Recent {
    /// What a message says and which instrument it is about, as [`scan::quick`] and `find` say it.
    ///
    /// *Cost:* a comparison with the bytes that are remembered, where they are the same.
    #[inline]
    pub(crate) fn look<'a>(
        &mut self,
        message: &'a [u8],
        find: impl Fn(&[u8]) -> Option<u32>,
    ) -> Option<(Item<'a>, Option<u32>)> {
        let known = &mut self.known[place(message)];
        if let Some(known) = known
            && known.message == message
        {
            let symbol = &message[known.symbol.0..known.symbol.1];
            return Some((known.item.of(symbol), known.instrument));
        }
        let item = scan::quick(message)?;
        let instrument = find(item.symbol);
        if message.len() <= MESSAGE_BYTES_MAX {
            let start = item.symbol.as_ptr() as usize - message.as_ptr() as usize;
            *known = Some(Known {
                message: message.to_vec(),
                item: item.of(b""),
                symbol: (start, start + item.symbol.len()),
                instrument,
            });
        }
        Some((item, instrument))
    }
}

/// Where a message is remembered: its length, its symbol and its last times tell it from others.
#[inline]
fn place(message: &[u8]) -> usize {
    let length = message.len();
    let word = |at: usize| {
        message
            .get(at..at + 8)
            .map_or(0, |word| u64::from_le_bytes(word.try_into().expect("eight bytes")))
    };
    // Symbols begin some fifty bytes from the start; the digits of `ts_publish` end three before
    // the end, those of `ts_event` somewhat earlier.
    let mut hash = length as u64;
    for at in [48, 56, 64, length.saturating_sub(11), length.saturating_sub(43)] {
        hash = (hash.rotate_left(5) ^ word(at)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    (hash >> 54) as usize % MESSAGES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(symbol: &str, seq: u64) -> Vec<u8> {
        format!(
            "{{\"channel\":\"ticker\",\"type\":\"update\",\"data\":[{{\"symbol\":\"{symbol}\",\"epoch\":1,\
             \"prev\":{},\"seq\":{seq},\"bid\":\"1.0\",\"ts_event\":4,\"ts_publish\":5}}]}}",
            seq - 1
        )
        .into_bytes()
    }

    #[test]
    fn what_is_remembered_is_what_a_look_would_find() {
        let mut recent = Recent::default();
        let find = |symbol: &[u8]| (symbol == b"sim:A").then_some(7);
        // More than are remembered, so that places are taken over again and again.
        for round in 0..3 {
            for seq in 1..3 * MESSAGES_MAX as u64 {
                for (symbol, instrument) in [("sim:A", Some(7)), ("sim:B", None)] {
                    let message = message(symbol, seq);
                    let found = recent.look(&message, find);
                    assert_eq!(
                        found,
                        scan::quick(&message).map(|item| (item, instrument)),
                        "{round}"
                    );
                    // At once again: from memory.
                    assert_eq!(recent.look(&message, |_| unreachable!()), found);
                }
            }
        }
    }

    #[test]
    fn a_message_that_differs_in_a_single_byte_is_read_anew() {
        let mut recent = Recent::default();
        let first = message("sim:A", 5);
        recent.look(&first, |_| None);
        for at in 0..first.len() {
            let mut other = first.clone();
            other[at] ^= 1;
            let found = recent.look(&other, |_| Some(1));
            assert_eq!(found, scan::quick(&other).map(|item| (item, Some(1))), "byte {at}");
        }
    }
}
