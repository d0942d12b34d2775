//! Decimal text straight to a mantissa at a known scale, or to a [`Decimal`] of the usual length.
//!
//! A venue that pads every number to eight decimals whatever the tick size makes the general
//! reader ([`Decimal::parse`]) multiply the zeros in and divide them out again. Here the eight
//! decimals are read at once and what lies beyond the scale is only compared with zero. Anything
//! unusual is left to the general reader.

use tickcast_market::{Decimal, NumberError};

const POW10: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The most digits before the point on the fast way; with eight after it they fit an `i64`.
const WHOLE_DIGITS_MAX: usize = 10;

/// Reads a number with exactly eight decimals at the start of `text`: its mantissa at `scale`, and
/// how many bytes it takes. `None` when it is anything else, finer than the scale included: ask
/// [`at_scale`].
#[inline]
pub(crate) fn read_eight_decimals(text: &[u8], scale: u8) -> Option<(i64, usize)> {
    let mut whole = 0u64;
    let mut at = 0;
    loop {
        let digit = text.get(at)?.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        // Wraps only beyond the digits that are accepted below.
        whole = whole.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    if text[at] != b'.' || at == 0 || at > WHOLE_DIGITS_MAX {
        return None;
    }
    let (fraction, rest) = text[at + 1..].split_first_chunk::<8>()?;
    if rest.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let fraction = eight_digits(*fraction)?;
    let beyond = POW10[8usize.checked_sub(usize::from(scale))?] as u32;
    let kept = fraction / beyond;
    if kept * beyond != fraction {
        return None;
    }
    let mantissa = whole * POW10[usize::from(scale)] + u64::from(kept);
    Some((mantissa as i64, at + 9))
}

/// Eight ASCII digits as a number, all at once.
#[inline]
fn eight_digits(bytes: [u8; 8]) -> Option<u32> {
    let chunk = u64::from_le_bytes(bytes);
    let high = chunk & 0xf0f0_f0f0_f0f0_f0f0;
    let high_plus_six = chunk.wrapping_add(0x0606_0606_0606_0606) & 0xf0f0_f0f0_f0f0_f0f0;
    if high != 0x3030_3030_3030_3030 || high_plus_six != 0x3030_3030_3030_3030 {
        return None;
    }
    Some(value_of(chunk & 0x0f0f_0f0f_0f0f_0f0f) as u32)
}

/// Reads a number of at most seven digits before the point and eight after it at the start of
/// `text`, and how many bytes it takes. `None` when it is anything else, or fewer than eight bytes
/// follow: ask [`Decimal::parse`].
#[inline]
pub(crate) fn read_plain(text: &[u8]) -> Option<(Decimal, usize)> {
    let (whole, whole_len) = leading_digits(*text.first_chunk()?);
    if whole_len == 0 || whole_len == 8 {
        return None;
    }
    if text[whole_len] != b'.' {
        // What may stand behind it is the caller's business, an exponent included.
        return Some((Decimal { mantissa: whole as i64, scale: 0 }, whole_len));
    }
    let text = &text[whole_len + 1..];
    let (fraction, scale) = leading_digits(*text.first_chunk()?);
    if scale == 0 || text.get(scale).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let mantissa = (whole * POW10[scale] + fraction) as i64;
    Some((Decimal { mantissa, scale: scale as u8 }, whole_len + 1 + scale))
}

/// The digits with which eight bytes begin: their value, and how many they are.
#[inline]
fn leading_digits(bytes: [u8; 8]) -> (u64, usize) {
    let values = u64::from_le_bytes(bytes) ^ 0x3030_3030_3030_3030;
    // The lowest set high bit marks the first byte above nine; a carry can only be wrong beyond it.
    let above = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    let count = above.trailing_zeros() / 8;
    if count == 0 {
        return (0, 0);
    }
    // Moved to the end, with zeros before them.
    (value_of(values << (64 - 8 * count)), count as usize)
}

/// Eight digits, one in each byte, as a number: pairs, then fours, then all, each in one
/// multiplication.
#[inline]
fn value_of(digits: u64) -> u64 {
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours * 10_000 + (fours >> 32)) & 0xffff_ffff
}

/// The mantissa of a price or size at `scale`.
///
/// *Errors:* those of [`Decimal::parse`] and [`Decimal::at`]; a negative number is
/// [`NumberError::Syntax`].
pub(crate) fn at_scale(text: &[u8], scale: u8) -> Result<i64, NumberError> {
    match read_eight_decimals(text, scale) {
        Some((mantissa, length)) if length == text.len() => Ok(mantissa),
        _ => {
            let mantissa = Decimal::parse(text)?.at(scale)?;
            if mantissa < 0 { Err(NumberError::Syntax) } else { Ok(mantissa) }
        }
    }
}

/// How many decimals a price or size needs when its trailing zeros are left out.
///
/// *Errors:* those of [`Decimal::parse`].
pub(crate) fn decimals_needed(text: &[u8]) -> Result<u8, NumberError> {
    Decimal::parse(text).map(|number| number.trimmed().scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_eight_decimals_are_read_like_the_general_reader_reads_them() {
        for text in [
            "61837.63000000",
            "0.00000001",
            "0.00000000",
            "1.12345678",
            "9999999999.99999999",
            "10000000000.00000000",
            "12345678901234567890.00000000",
            "92233720368547758070.00000000",
            "1.1234567",
            "1.123456789",
            "1.1234567a",
            "1.:2345678",
            "1./2345678",
            "1",
            "1.",
            ".00000000",
            "-1.00000000",
            "+1.00000000",
            "1e3",
            "",
        ] {
            for scale in 0..=9 {
                let general = Decimal::parse(text.as_bytes()).and_then(|d| d.at(scale));
                let general =
                    general.and_then(|m| if m < 0 { Err(NumberError::Syntax) } else { Ok(m) });
                assert_eq!(at_scale(text.as_bytes(), scale), general, "{text} at {scale}");
                if let Some((mantissa, length)) = read_eight_decimals(text.as_bytes(), scale) {
                    assert_eq!((Ok(mantissa), length), (general, text.len()), "{text} at {scale}");
                }
            }
        }
        assert_eq!(read_eight_decimals(b"61837.63000000\",", 2), Some((6_183_763, 14)));
        assert_eq!(read_eight_decimals(b"61837.63000000\",", 1), None, "finer than the scale");
    }

    #[test]
    fn plain_numbers_are_read_like_the_general_reader_reads_them() {
        let mut read = 0;
        for whole in ["", "0", "7", "65083", "1234567", "12345678", "123456789"] {
            for fraction in ["", ".", ".0", ".5", ".66", ".20371215", ".123456789", ".1a", ".-1"] {
                for end in ["\",\"B\":\"", ",\"qty\":", "", "e-8", "E5,      ", "5\"      "] {
                    let text = format!("{whole}{fraction}{end}");
                    let Some((number, len)) = read_plain(text.as_bytes()) else { continue };
                    assert_eq!(Decimal::parse(&text.as_bytes()[..len]), Ok(number), "{text}");
                    assert!(
                        !text.as_bytes()[len..].first().is_some_and(u8::is_ascii_digit),
                        "{text}"
                    );
                    read += 1;
                }
            }
        }
        assert!(read > 50, "{read} are read");
        let number = |mantissa, scale, len| Some((Decimal { mantissa, scale }, len));
        assert_eq!(read_plain(b"0.20371215\"}]      "), number(20_371_215, 8, 10));
        assert_eq!(read_plain(b"63388.7,\"qty\":"), number(633_887, 1, 7));
        assert_eq!(read_plain(b"500\",\"x\":1"), number(500, 0, 3));
    }

    #[test]
    fn random_eight_digit_groups_are_exact() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..10_000 {
            let number = random.u32(0..100_000_000);
            let text = format!("{number:08}");
            let bytes: [u8; 8] = text.as_bytes().try_into().unwrap();
            assert_eq!(eight_digits(bytes), Some(number));
        }
        for byte in (0..=255u8).filter(|byte| !byte.is_ascii_digit()) {
            for at in 0..8 {
                let mut bytes = *b"12345678";
                bytes[at] = byte;
                assert_eq!(eight_digits(bytes), None, "{byte} at {at}");
                let before = (1..=at as u64).fold(0, |value, digit| value * 10 + digit);
                assert_eq!(leading_digits(bytes), (before, at), "{byte} at {at}");
            }
        }
    }
}
