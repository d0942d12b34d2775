//! Where lines and heads end in what hyper is given: it takes lines that end with LF alone, and the
//! door does not.

use std::collections::VecDeque;

/// How many places are kept, the newest; more lie behind any head that is looked at.
const PLACES_MAX: usize = 1024;

/// The places in a connection's bytes.
#[derive(Debug, Default)]
pub(crate) struct Endings {
    /// How many bytes there were.
    total: u64,
    /// The last three of them.
    tail: [u8; 3],
    /// Behind lines that ended with LF alone.
    bare: VecDeque<u64>,
    /// Behind heads.
    heads: VecDeque<u64>,
}

impl Endings {
    /// These bytes come next.
    pub(crate) fn note(&mut self, read: &[u8]) {
        for byte in read {
            self.total += 1;
            let places = match (byte, self.tail) {
                (b'\n', [_, b'\n', b'\r']) => Some(&mut self.heads),
                (b'\n', [_, _, b'\r']) => None,
                (b'\n', _) => Some(&mut self.bare),
                _ => None,
            };
            if let Some(places) = places {
                if places.len() == PLACES_MAX {
                    places.pop_front();
                }
                places.push_back(self.total);
            }
            self.tail = [self.tail[1], self.tail[2], *byte];
        }
    }

    /// Whether a line ended with LF alone in the head behind which `unused` bytes have come.
    pub(crate) fn bare_lf_in_head(&self, unused: usize) -> bool {
        let end = self.total.saturating_sub(unused as u64);
        let begin = self.heads.iter().rev().find(|head| **head < end).copied().unwrap_or(0);
        self.bare.iter().any(|bare| begin < *bare && *bare <= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_of_the_last_head_count() {
        for (bytes, unused, expected) in [
            (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], "", false),
            (b"GET / HTTP/1.1\nHost: a\r\n\r\n", "", true),
            (b"GET / HTTP/1.1\r\nHost: a\n\r\n", "", true),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\n", "", true),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "a frame\nwith\n\r\n\r\n\n", false),
            (b"GET /a HTTP/1.1\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n", "", false),
            (b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\nHost: a\r\n\r\n", "x", true),
        ] {
            let all = [bytes, unused.as_bytes()].concat();
            for cut in 0..all.len() {
                let mut endings = Endings::default();
                endings.note(&all[..cut]);
                endings.note(&all[cut..]);
                let found = endings.bare_lf_in_head(unused.len());
                assert_eq!(found, expected, "{}", String::from_utf8_lossy(&all));
            }
        }
    }
}
