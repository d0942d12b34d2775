//! Exact decimal numbers: text to mantissa and back, with no binary float in between.

use std::fmt;

/// The most digits after the decimal point that a scale may have.
pub const SCALE_MAX: u8 = 18;

/// A price as a mantissa at the instrument's price scale (`Scales::price`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(pub i64);

/// The size of one order, level or trade as a mantissa at the instrument's size scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub i64);

/// A cumulative size as a mantissa at the instrument's volume scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Volume(pub i128);

/// Digits after the decimal point of an instrument's prices, sizes and volumes; each 0 to
/// [`SCALE_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scales {
    /// Digits of prices.
    pub price: u8,
    /// Digits of sizes.
    pub size: u8,
    /// Digits of volumes.
    pub volume: u8,
}

impl Scales {
    /// The finer of both, number by number.
    pub fn finest(self, other: Scales) -> Scales {
        Scales {
            price: self.price.max(other.price),
            size: self.size.max(other.size),
            volume: self.volume.max(other.volume),
        }
    }
}

/// Why a text is not a number that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not `-?digits[.digits][e[+-]digits]`.
    #[error("not a decimal number")]
    Syntax,
    /// More digits than an `i64` mantissa or [`SCALE_MAX`] decimals hold.
    #[error("number does not fit: more than 18 digits")]
    Overflow,
    /// The number has non-zero digits beyond the scale that it was asked for.
    #[error("number is finer than the scale")]
    Finer,
}

/// A decimal number as it was written: `mantissa × 10^-scale`. `1.50` is `{150, 2}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// All digits as one integer.
    pub mantissa: i64,
    /// How many of them stand after the decimal point.
    pub scale: u8,
}

const POW10: [i64; 19] = {
    let mut table = [1i64; 19];
    let mut i = 1;
    while i < 19 {
        table[i] = table[i - 1] * 10;
        i += 1;
    }
    table
};

impl Decimal {
    /// Reads decimal text, exponent form included (`1E-8`), keeping trailing zeros.
    ///
    /// *Errors:* [`NumberError::Syntax`], [`NumberError::Overflow`]. Digits beyond what fits are
    /// accepted when they are trailing zeros of a fraction. *Cost:* one pass, no allocation.
    pub fn parse(text: &[u8]) -> Result<Decimal, NumberError> {
        let (negative, digits) = match text.first() {
            Some(b'-') => (true, &text[1..]),
            _ => (false, text),
        };
        let mut mantissa: u64 = 0;
        let mut scale: i32 = 0;
        let mut seen_point = false;
        let mut seen_digit = false;
        let mut exponent: i32 = 0;
        let mut i = 0;
        while i < digits.len() {
            let byte = digits[i];
            let digit = byte.wrapping_sub(b'0');
            if digit < 10 {
                seen_digit = true;
                if mantissa > (i64::MAX as u64 - 9) / 10 || scale >= SCALE_MAX as i32 {
                    if seen_point && digits[i..].iter().all(|b| *b == b'0') {
                        break;
                    }
                    // One more exact try, for mantissas close to the maximum.
                    let next = mantissa
                        .checked_mul(10)
                        .and_then(|m| m.checked_add(u64::from(digit)))
                        .filter(|m| *m <= i64::MAX as u64 && scale < SCALE_MAX as i32);
                    mantissa = next.ok_or(NumberError::Overflow)?;
                } else {
                    mantissa = mantissa * 10 + u64::from(digit);
                }
                scale += i32::from(seen_point);
            } else if byte == b'.' && !seen_point && seen_digit {
                seen_point = true;
                if i + 1 == digits.len() {
                    return Err(NumberError::Syntax);
                }
            } else if (byte == b'e' || byte == b'E') && seen_digit {
                exponent = parse_exponent(&digits[i + 1..])?;
                break;
            } else {
                return Err(NumberError::Syntax);
            }
            i += 1;
        }
        if !seen_digit {
            return Err(NumberError::Syntax);
        }
        let mut mantissa = mantissa as i64;
        scale -= exponent;
        if scale < 0 {
            let factor = POW10.get(-scale as usize).ok_or(NumberError::Overflow)?;
            mantissa = mantissa.checked_mul(*factor).ok_or(NumberError::Overflow)?;
            scale = 0;
        }
        while scale > SCALE_MAX as i32 && mantissa % 10 == 0 && mantissa != 0 {
            mantissa /= 10;
            scale -= 1;
        }
        if mantissa == 0 {
            scale = scale.min(SCALE_MAX as i32);
        }
        if scale > SCALE_MAX as i32 {
            return Err(NumberError::Overflow);
        }
        Ok(Decimal { mantissa: if negative { -mantissa } else { mantissa }, scale: scale as u8 })
    }

    /// The same number with the fewest decimals: `1.50` becomes `{15, 1}`, `0.000` `{0, 0}`.
    pub fn trimmed(mut self) -> Decimal {
        while self.scale > 0 && self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.scale -= 1;
        }
        self
    }

    /// The mantissa at `scale`, exactly.
    ///
    /// *Errors:* [`NumberError::Finer`] when non-zero digits would be lost,
    /// [`NumberError::Overflow`] when the mantissa does not fit an `i64`.
    pub fn at(self, scale: u8) -> Result<i64, NumberError> {
        if scale == self.scale {
            return Ok(self.mantissa);
        }
        if scale > self.scale {
            let factor = POW10.get((scale - self.scale) as usize).ok_or(NumberError::Overflow)?;
            return self.mantissa.checked_mul(*factor).ok_or(NumberError::Overflow);
        }
        let factor = POW10[(self.scale - scale) as usize];
        if self.mantissa % factor == 0 {
            Ok(self.mantissa / factor)
        } else {
            Err(NumberError::Finer)
        }
    }
}

fn parse_exponent(text: &[u8]) -> Result<i32, NumberError> {
    let (negative, digits) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 3 {
        return Err(NumberError::Syntax);
    }
    let mut value = 0i32;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return Err(NumberError::Syntax);
        }
        value = value * 10 + i32::from(byte - b'0');
    }
    Ok(if negative { -value } else { value })
}

impl Price {
    /// The same price at a finer scale.
    ///
    /// *Errors:* [`NumberError::Overflow`]; the scales are in digits, `to >= from`.
    pub fn rescaled(self, from: u8, to: u8) -> Result<Price, NumberError> {
        Decimal { mantissa: self.0, scale: from }.at(to).map(Price)
    }
}

impl Size {
    /// The same size at a finer scale.
    ///
    /// *Errors:* [`NumberError::Overflow`].
    pub fn rescaled(self, from: u8, to: u8) -> Result<Size, NumberError> {
        Decimal { mantissa: self.0, scale: from }.at(to).map(Size)
    }
}

impl Volume {
    /// The same volume at a finer scale.
    ///
    /// *Errors:* [`NumberError::Overflow`], [`NumberError::Finer`].
    pub fn rescaled(self, from: u8, to: u8) -> Result<Volume, NumberError> {
        if to >= from {
            let factor = *POW10.get((to - from) as usize).ok_or(NumberError::Overflow)?;
            self.0.checked_mul(i128::from(factor)).map(Volume).ok_or(NumberError::Overflow)
        } else {
            let factor = i128::from(POW10[(from - to) as usize]);
            if self.0 % factor == 0 { Ok(Volume(self.0 / factor)) } else { Err(NumberError::Finer) }
        }
    }
}

/// Every two-digit number, `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut table = [[0; 2]; 100];
    let mut i = 0;
    while i < 100 {
        table[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    table
};

/// Room for the text of any `u64` at any scale up to [`SCALE_MAX`], with point and sign.
const NARROW_BYTES: usize = 32;

/// Appends `mantissa × 10^-scale` as decimal text padded to `scale` digits: `(150, 2)` is `1.50`.
///
/// *Panics:* when `scale` is above [`SCALE_MAX`] by more than 20. *Cost:* no allocation beyond
/// `out`'s growth; a mantissa that fits 64 bits costs no wide division.
pub fn write_decimal(out: &mut Vec<u8>, mantissa: i128, scale: u8) {
    let magnitude = mantissa.unsigned_abs();
    // Almost every number fits 64 bits, whose division is many times cheaper.
    let Some(narrow) = u64::try_from(magnitude).ok().filter(|_| scale <= SCALE_MAX) else {
        return write_wide(out, mantissa, scale);
    };
    // The text ends in the middle, so that as many bytes as it can have at most may be copied
    // from wherever it begins: a copy of a constant length is a few moves, not a call.
    let mut buffer = [0u8; 2 * NARROW_BYTES];
    let mut at = digits_before_middle(&mut buffer, narrow, scale);
    if mantissa < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    let end = out.len() + NARROW_BYTES - at;
    out.extend_from_slice(&buffer[at..at + NARROW_BYTES]);
    out.truncate(end);
}

/// Writes the digits from the middle downwards, two at a time, the fraction first; returns where
/// they begin.
#[inline]
fn digits_before_middle(buffer: &mut [u8; 2 * NARROW_BYTES], mut rest: u64, scale: u8) -> usize {
    let mut at = NARROW_BYTES;
    for _ in 0..scale / 2 {
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&PAIRS[(rest % 100) as usize]);
        rest /= 100;
    }
    if scale % 2 == 1 {
        at -= 1;
        buffer[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    if scale > 0 {
        at -= 1;
        buffer[at] = b'.';
    }
    while rest >= 100 {
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&PAIRS[(rest % 100) as usize]);
        rest /= 100;
    }
    if rest >= 10 {
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&PAIRS[rest as usize]);
    } else {
        at -= 1;
        buffer[at] = b'0' + rest as u8;
    }
    at
}

/// The same for what does not fit 64 bits, digit by digit.
#[cold]
fn write_wide(out: &mut Vec<u8>, mantissa: i128, scale: u8) {
    // 39 digits of an i128, a point and a sign, and more for a scale that is larger.
    let mut buffer = [0u8; 64];
    let mut at = buffer.len();
    let mut rest = mantissa.unsigned_abs();
    let mut written = 0;
    while rest != 0 || written <= scale {
        if written == scale && scale > 0 {
            at -= 1;
            buffer[at] = b'.';
        }
        at -= 1;
        buffer[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        written += 1;
    }
    if mantissa < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    out.extend_from_slice(&buffer[at..]);
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(24);
        write_decimal(&mut text, i128::from(self.mantissa), self.scale);
        f.write_str(std::str::from_utf8(&text).expect("only ASCII digits were written"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(i64, u8), NumberError> {
        Decimal::parse(text.as_bytes()).map(|d| (d.mantissa, d.scale))
    }

    fn written(mantissa: i128, scale: u8) -> String {
        let mut out = Vec::new();
        write_decimal(&mut out, mantissa, scale);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimal_text_is_read_exactly() {
        assert_eq!(parse("61837.63000000"), Ok((6_183_763_000_000, 8)));
        assert_eq!(parse("0"), Ok((0, 0)));
        assert_eq!(parse("0.00000"), Ok((0, 5)));
        assert_eq!(parse("-0.5"), Ok((-5, 1)));
        assert_eq!(parse("1E-8"), Ok((1, 8)));
        assert_eq!(parse("8.55e4"), Ok((85_500, 0)));
        assert_eq!(parse("45281.0"), Ok((452_810, 1)));
        assert_eq!(parse("9223372036854775807"), Ok((i64::MAX, 0)));
        assert_eq!(parse("1.0000000000000000000000"), Ok((1_000_000_000_000_000_000, 18)));
    }

    #[test]
    fn what_is_no_number_or_does_not_fit_is_refused() {
        for text in ["", "-", ".", ".5", "5.", "1.2.3", "abc", "1e", "1e+", "0x10", "1 ", "NaN"] {
            assert_eq!(parse(text), Err(NumberError::Syntax), "{text}");
        }
        for text in ["9223372036854775808", "1e19", "0.1234567890123456789", "99999999999999999999"]
        {
            assert_eq!(parse(text), Err(NumberError::Overflow), "{text}");
        }
    }

    #[test]
    fn scales_change_exactly_or_not_at_all() {
        let price = Decimal { mantissa: 150, scale: 2 };
        assert_eq!(price.at(1), Ok(15));
        assert_eq!(price.at(0), Err(NumberError::Finer));
        assert_eq!(price.at(8), Ok(150_000_000));
        assert_eq!(Decimal { mantissa: i64::MAX, scale: 0 }.at(1), Err(NumberError::Overflow));
        assert_eq!(price.trimmed(), Decimal { mantissa: 15, scale: 1 });
        assert_eq!(Volume(15).rescaled(1, 3), Ok(Volume(1500)));
    }

    #[test]
    fn numbers_are_written_padded_to_the_scale() {
        assert_eq!(written(150, 2), "1.50");
        assert_eq!(written(5, 3), "0.005");
        assert_eq!(written(0, 0), "0");
        assert_eq!(written(0, 2), "0.00");
        assert_eq!(written(-5, 1), "-0.5");
        assert_eq!(written(1234, 0), "1234");
        assert_eq!(written(10, 0), "10");
        assert_eq!(written(100, 1), "10.0");
        assert_eq!(written(1, 18), "0.000000000000000001");
        assert_eq!(written(i128::from(i64::MIN), 8), "-92233720368.54775808");
        assert_eq!(written(i128::from(u64::MAX), 0), "18446744073709551615");
        assert_eq!(written(i128::from(u64::MAX) * 1000 + 7, 2), "184467440737095516150.07");
        assert_eq!(written(i128::MIN, 18), "-170141183460469231731.687303715884105728");
    }

    #[test]
    fn every_length_of_number_is_written_at_every_scale() {
        for digits in 0..=19 {
            for scale in 0..=SCALE_MAX {
                for mantissa in
                    [10i64.checked_pow(digits), 10i64.checked_pow(digits).map(|m| m - 1)]
                {
                    let Some(mantissa) = mantissa else { continue };
                    let plain = format!("{:0>width$}", mantissa, width = usize::from(scale) + 1);
                    let (whole, fraction) = plain.split_at(plain.len() - usize::from(scale));
                    let expected = if scale == 0 { plain } else { format!("{whole}.{fraction}") };
                    assert_eq!(written(i128::from(mantissa), scale), expected);
                }
            }
        }
    }
}
