//! The book checksum: Kraken's CRC-32 over the top ten of both sides.
//!
//! Source: docs.kraken.com, "Spot WebSockets (v2): book checksum". A level's tokens are its price
//! and size as sent, without the point and without leading zeros, which is to say the decimal
//! digits of the mantissas.

use tickcast_market::{Price, Size};

/// How many levels a side the checksum covers.
pub const CHECKSUM_LEVELS: usize = 10;

/// Two sides, a price and a size a level, twenty characters of an `i64`.
const TEXT_BYTES_MAX: usize = 2 * CHECKSUM_LEVELS * 2 * 20;

/// The CRC-32 of the ten best asks, then the ten best bids, each best first: price, then size.
/// Further levels are not looked at.
///
/// *Cost:* no allocation; 40 integers to text and one CRC over some 400 bytes.
pub fn book_checksum(
    bids: impl IntoIterator<Item = (Price, Size)>,
    asks: impl IntoIterator<Item = (Price, Size)>,
) -> u32 {
    let mut text = [0; TEXT_BYTES_MAX];
    let mut len = 0;
    let mut push = |mantissa: i64| {
        // A zero is nothing but leading zeros.
        if mantissa != 0 {
            let mut buffer = itoa::Buffer::new();
            let token = buffer.format(mantissa).as_bytes();
            text[len..len + token.len()].copy_from_slice(token);
            len += token.len();
        }
    };
    for (price, size) in asks.into_iter().take(CHECKSUM_LEVELS) {
        push(price.0);
        push(size.0);
    }
    for (price, size) in bids.into_iter().take(CHECKSUM_LEVELS) {
        push(price.0);
        push(size.0);
    }
    crc32fast::hash(&text[..len])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kraken's own worked example: prices with one decimal, sizes with eight.
    const ASKS: [(i64, i64); 10] = [
        (452_852, 100_000),
        (452_864, 154_571_953),
        (452_866, 154_571_109),
        (452_896, 154_560_911),
        (452_902, 15_890_660),
        (452_918, 154_553_491),
        (452_947, 4_454_749),
        (452_961, 35_380_000),
        (452_975, 9_945_542),
        (452_995, 18_772_827),
    ];
    const BIDS: [(i64, i64); 10] = [
        (452_835, 10_000_000),
        (452_834, 154_582_015),
        (452_821, 10_000_000),
        (452_810, 10_000_000),
        (452_803, 154_592_586),
        (452_790, 7_990_000),
        (452_776, 3_310_103),
        (452_775, 30_000_000),
        (452_773, 154_602_737),
        (452_766, 15_445_238),
    ];

    fn levels(side: &[(i64, i64)]) -> impl Iterator<Item = (Price, Size)> {
        side.iter().map(|(price, size)| (Price(*price), Size(*size)))
    }

    #[test]
    fn krakens_worked_example_comes_out() {
        assert_eq!(book_checksum(levels(&BIDS), levels(&ASKS)), 3_310_070_434);
    }

    #[test]
    fn only_ten_levels_count_and_fewer_are_taken_as_they_are() {
        let more_bids = levels(&BIDS).chain([(Price(1), Size(1))]);
        assert_eq!(book_checksum(more_bids, levels(&ASKS)), 3_310_070_434);
        assert_eq!(book_checksum([], []), 0, "the CRC-32 of nothing");
        assert_eq!(
            book_checksum([(Price(12), Size(3))], [(Price(45), Size(6))]),
            crc32fast::hash(b"456123")
        );
    }

    #[test]
    fn the_largest_mantissas_fit() {
        let most = [(Price(i64::MIN), Size(i64::MIN)); 12];
        let text = i64::MIN.to_string().repeat(40);
        assert_eq!(book_checksum(most, most), crc32fast::hash(text.as_bytes()));
    }
}
