//! From the decimals of one message to mantissas at one scale.
//!
//! A [`Grid`] is the scales of one instrument as its feed knows them. It starts at the venue's
//! increments where the list was seen and grows when a message brings finer digits: the finest of
//! the whole message is taken first, so that all of one message is at one scale. Nothing is ever
//! rounded. A number that cannot be had exactly is left out by the caller and counted; and one
//! absurd number must not do harm to the others: digits so fine that the numbers already held
//! would not fit any more are not adopted, that number alone is what does not fit.

use tickcast_market::{BookChange, BookSide, Decimal, Price, SCALE_MAX, Scales, Size, Volume};

/// One level as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawLevel {
    pub(crate) side: BookSide,
    pub(crate) price: Decimal,
    pub(crate) size: Decimal,
}

/// How many digits a message may always bring, however large its own other numbers are: with a
/// huge number and many fine ones in a first message it is the huge one that does not fit.
const DIGITS_ALWAYS: u32 = 10;

/// One scale that only grows.
#[derive(Clone, Copy, Debug, Default)]
struct Axis {
    scale: u8,
    /// The largest mantissa given out at `scale`: what a finer scale must leave room for.
    top: i64,
}

impl Axis {
    /// Adopts the finest scale of `numbers` that leaves room for what is held.
    ///
    /// *Cost:* one compare a number unless a finer one is among them.
    fn grow(&mut self, numbers: impl Iterator<Item = Decimal> + Clone, trim: bool) {
        let mut finer = numbers
            .clone()
            .filter(|n| n.scale > self.scale)
            .map(|n| if trim { n.trimmed() } else { n })
            .filter(|n| n.scale > self.scale)
            .peekable();
        if finer.peek().is_none() {
            return;
        }
        let whole = |n: Decimal| n.mantissa.unsigned_abs() / 10u64.pow(u32::from(n.scale));
        let roomy = i64::MAX as u64 / 10u64.pow(DIGITS_ALWAYS) - 1;
        let of_message = numbers.map(whole).max().unwrap_or(0).min(roomy);
        let held = whole(Decimal { mantissa: self.top, scale: self.scale });
        let limit = i64::MAX as u64 / (of_message.max(held) + 1);
        let fits = |scale: u8| 10u64.pow(u32::from(scale)) <= limit;
        let finest = finer.map(|n| n.scale).filter(|scale| fits(*scale)).max();
        if let Some(scale) = finest {
            self.top =
                Decimal { mantissa: self.top, scale: self.scale }.at(scale).unwrap_or(i64::MAX);
            self.scale = scale;
        }
    }

    fn fit(&mut self, number: Decimal) -> Option<i64> {
        let mantissa = number.at(self.scale).ok()?;
        self.top = self.top.max(mantissa.saturating_abs());
        Some(mantissa)
    }
}

/// The scales of one instrument.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    price: Axis,
    size: Axis,
    volume: u8,
}

impl Grid {
    /// Begins at the venue's scales; all zero when only digits can tell.
    pub(crate) fn new(scales: Scales) -> Grid {
        let axis = |scale| Axis { scale, top: 0 };
        Grid {
            price: axis(scales.price),
            size: axis(scales.size),
            volume: scales.volume.max(scales.size),
        }
    }

    /// The present scales. Volumes are sums of sizes and never coarser.
    pub(crate) fn scales(&self) -> Scales {
        let (price, size) = (self.price.scale, self.size.scale);
        Scales { price, size, volume: self.volume.max(size) }
    }

    /// Takes the digits of a message's prices and sizes into account. `padded`: trailing zeros
    /// count as digits (Kraken's book, whose checksum is over the digits as padded).
    pub(crate) fn grow(
        &mut self,
        prices: impl Iterator<Item = Decimal> + Clone,
        sizes: impl Iterator<Item = Decimal> + Clone,
        padded: bool,
    ) {
        self.price.grow(prices, !padded);
        self.size.grow(sizes, !padded);
    }

    /// A price at the present scale; `None` when it cannot be had exactly.
    pub(crate) fn price(&mut self, number: Decimal) -> Option<Price> {
        self.price.fit(number).map(Price)
    }

    /// A size at the present scale; `None` when it cannot be had exactly.
    pub(crate) fn size(&mut self, number: Decimal) -> Option<Size> {
        self.size.fit(number).map(Size)
    }

    /// Takes the digits of a volume into account.
    pub(crate) fn grow_volume(&mut self, volume: Wide) {
        self.volume = self.volume.max(volume.scale);
    }

    /// A volume at the present scale; `None` when it does not fit.
    pub(crate) fn volume(&self, volume: Wide) -> Option<Volume> {
        Volume(volume.mantissa).rescaled(volume.scale, self.scales().volume).ok()
    }

    /// Turns the levels of one message into changes at one scale, appended to `changes`; answers
    /// how many were left out because they do not fit.
    ///
    /// A level of which only the size does not fit becomes a removal: the size that was held there
    /// is known to be wrong.
    pub(crate) fn changes(
        &mut self,
        levels: &[RawLevel],
        padded: bool,
        changes: &mut Vec<BookChange>,
    ) -> u64 {
        self.grow(levels.iter().map(|l| l.price), levels.iter().map(|l| l.size), padded);
        let mut misfits = 0;
        for level in levels {
            let (price, size) = (self.price(level.price), self.size(level.size));
            misfits += u64::from(price.is_none() || size.is_none());
            if let Some(price) = price {
                let size = size.unwrap_or_default();
                changes.push(BookChange { side: level.side, price, size });
            }
        }
        misfits
    }
}

/// A cumulative number with fewest decimals: what is traded in a day of a coin that costs a
/// millionth does not fit 64 bits at eight decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wide {
    pub(crate) mantissa: i128,
    pub(crate) scale: u8,
}

/// The most significant digits that a [`Wide`] is read with; an `i128` holds 38, and scaling up
/// needs room for [`SCALE_MAX`] more.
const WIDE_DIGITS_MAX: u32 = 36;

impl Wide {
    /// Reads a non-negative decimal number, exponent form included; `None` when it is none, or has
    /// too many digits.
    pub(crate) fn parse(text: &[u8]) -> Option<Wide> {
        if let Ok(small) = Decimal::parse(text) {
            let small = small.trimmed();
            return (small.mantissa >= 0)
                .then_some(Wide { mantissa: i128::from(small.mantissa), scale: small.scale });
        }
        let (mut mantissa, mut digits, mut scale, mut seen_point) = (0i128, 0u32, 0u32, false);
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'0'..=b'9' if digits < WIDE_DIGITS_MAX => {
                    mantissa = mantissa * 10 + i128::from(byte - b'0');
                    digits += u32::from(mantissa != 0);
                    scale += u32::from(seen_point);
                }
                b'.' if !seen_point && at > 0 => seen_point = true,
                _ => return None,
            }
        }
        while scale > 0 && mantissa % 10 == 0 {
            (mantissa, scale) = (mantissa / 10, scale - 1);
        }
        let scale = u8::try_from(scale).ok().filter(|scale| *scale <= SCALE_MAX)?;
        (digits > 0 && !text.ends_with(b".")).then_some(Wide { mantissa, scale })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text.as_bytes()).unwrap()
    }

    /// Levels of (price, size) on one side; the changes as mantissas, the misfits, the scales.
    fn fit(
        grid: &mut Grid,
        padded: bool,
        levels: &[(&str, &str)],
    ) -> (Vec<(i64, i64)>, u64, [u8; 2]) {
        let levels: Vec<_> = levels
            .iter()
            .map(|(price, size)| RawLevel {
                side: BookSide::Bid,
                price: number(price),
                size: number(size),
            })
            .collect();
        let mut changes = Vec::new();
        let misfits = grid.changes(&levels, padded, &mut changes);
        let scales = grid.scales();
        let mantissas = changes.iter().map(|c| (c.price.0, c.size.0)).collect();
        (mantissas, misfits, [scales.price, scales.size])
    }

    #[test]
    fn the_finest_of_the_whole_message_is_taken_first() {
        let mut grid = Grid::new(Scales::default());
        let levels = [("1", "2.50"), ("1.5", "3"), ("1.250", "0.00000")];
        assert_eq!(
            fit(&mut grid, false, &levels),
            (vec![(100, 25), (150, 30), (125, 0)], 0, [2, 1]),
            "trailing zeros are no digits"
        );
        assert_eq!(
            fit(&mut grid, false, &[("7", "1")]),
            (vec![(700, 10)], 0, [2, 1]),
            "never coarser"
        );
        assert_eq!(fit(&mut grid, false, &[("7.125", "1")]), (vec![(7125, 10)], 0, [3, 1]));
        let mut padded = Grid::new(Scales::default());
        assert_eq!(fit(&mut padded, true, &[("7.10", "1.000")]), (vec![(710, 1000)], 0, [2, 3]));
    }

    #[test]
    fn an_absurd_number_is_what_does_not_fit_and_not_the_others() {
        let btc = || Grid::new(Scales { price: 2, size: 8, volume: 8 });
        for (case, levels, expected) in [
            (
                "digits so fine that the other price would not fit",
                [("65000.01", "1"), ("0.000000000000000001", "1")],
                (vec![(6_500_001, 100_000_000)], 1, [2, 8]),
            ),
            (
                "a size too large at the venue's own scale",
                [("65000.01", "100000000000"), ("65000.02", "1")],
                (vec![(6_500_001, 0), (6_500_002, 100_000_000)], 1, [2, 8]),
            ),
        ] {
            assert_eq!(fit(&mut btc(), false, &levels), expected, "{case}");
        }
        // Without a list: a huge size does not keep everybody else from having digits.
        let mut grid = Grid::new(Scales::default());
        assert_eq!(
            fit(&mut grid, false, &[("1.5", "9000000000000000000"), ("1.4", "0.12345678")]),
            (vec![(15, 0), (14, 12_345_678)], 1, [1, 8])
        );
        // What is held must still fit: the finer number is left out later, too.
        let mut grid = Grid::new(Scales::default());
        fit(&mut grid, false, &[("90000000000", "1")]);
        assert_eq!(fit(&mut grid, false, &[("1.000000001", "1")]), (vec![], 1, [0, 0]));
        assert_eq!(fit(&mut grid, false, &[("1.0000001", "1")]).1, 0);
    }

    #[test]
    fn volumes_are_wide_and_never_coarser_than_sizes() {
        for (text, expected) in [
            ("0", Some((0, 0))),
            ("12.500", Some((125, 1))),
            ("1.5E3", Some((1500, 0))),
            ("1234567890123.12345678", Some((123_456_789_012_312_345_678, 8))),
            ("100000000000000000000.00", Some((100_000_000_000_000_000_000, 0))),
            ("999999999999999999999999999999999999", Some((10i128.pow(36) - 1, 0))),
            ("9999999999999999999999999999999999999", None),
            ("0.0000000000000000001", None),
            ("-1", None),
            ("", None),
            ("1.2.3", None),
            ("99999999999999999999.", None),
            ("99999999999999999999x", None),
        ] {
            let wide = expected.map(|(mantissa, scale)| Wide { mantissa, scale });
            assert_eq!(Wide::parse(text.as_bytes()), wide, "{text}");
        }
        let mut grid = Grid::new(Scales { price: 2, size: 8, volume: 0 });
        assert_eq!(grid.scales().volume, 8);
        let volume = Wide::parse(b"12.5").unwrap();
        grid.grow_volume(volume);
        assert_eq!(grid.volume(volume), Some(Volume(1_250_000_000)));
        let huge = Wide { mantissa: i128::MAX, scale: 0 };
        assert_eq!(grid.volume(huge), None);
    }
}
