//! By what is counted what was sent: channel and encoding, in one byte, since a frame of a pass has
//! no room for two.

use tickcast_publisher::TopicKey;
use tickcast_wire::{Channel, Encoding};

/// A channel in an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentKind(u8);

impl SentKind {
    /// How many there are.
    pub(crate) const COUNT: usize = Channel::ALL.len() * Encoding::ALL.len();

    pub(crate) const fn new(channel: Channel, encoding: Encoding) -> SentKind {
        SentKind(encoding as u8 * Channel::ALL.len() as u8 + channel as u8)
    }

    /// That of a topic's frames.
    pub(crate) const fn of(key: &TopicKey) -> SentKind {
        SentKind::new(key.view.channel(), key.encoding)
    }

    /// Every one, by its index.
    pub(crate) fn all() -> [SentKind; SentKind::COUNT] {
        std::array::from_fn(|index| SentKind(index as u8))
    }

    pub(crate) const fn channel(self) -> Channel {
        Channel::ALL[self.index() % Channel::ALL.len()]
    }

    pub(crate) const fn encoding(self) -> Encoding {
        Encoding::ALL[self.index() / Channel::ALL.len()]
    }

    /// Dense, from 0.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_says_what_it_was_made_of() {
        for kind in SentKind::all() {
            assert_eq!(SentKind::new(kind.channel(), kind.encoding()), kind);
        }
        for channel in Channel::ALL {
            for encoding in Encoding::ALL {
                let kind = SentKind::new(channel, encoding);
                assert_eq!((kind.channel(), kind.encoding()), (channel, encoding));
            }
        }
    }
}
