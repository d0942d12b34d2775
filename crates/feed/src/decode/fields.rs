//! What venues write into the fields of their messages: prices and sizes, statistics, times. What
//! of it is a fault of the whole message and what is not is decided here, once.

use crate::decode::grid::RawLevel;
use crate::decode::rfc3339;
use crate::decode::scan::{Fault, Scan};
use tickcast_market::{BookSide, Decimal, Nanos, NumberError};

/// A price or size; `None` when it has more than 18 digits, which is no fault of the rest.
///
/// *Errors:* it is no decimal number.
#[inline]
pub(crate) fn number(scan: &mut Scan<'_>) -> Result<Option<Decimal>, Fault> {
    if let Some(number) = scan.decimal() {
        return Ok(Some(number));
    }
    match Decimal::parse(scan.token()?) {
        Ok(number) => Ok(Some(number)),
        Err(NumberError::Overflow) => Ok(None),
        Err(NumberError::Syntax | NumberError::Finer) => Err(Fault::Value),
    }
}

/// A statistic, which may be empty, `null` or nonsense without harm to anything else.
pub(crate) fn statistic(scan: &mut Scan<'_>) -> Result<Option<Decimal>, Fault> {
    Ok(Decimal::parse(scan.token()?).ok())
}

/// A smallest increment with its fewest digits; `None` where there is none.
pub(crate) fn increment(scan: &mut Scan<'_>) -> Result<Option<Decimal>, Fault> {
    let number = Decimal::parse(scan.token()?).ok();
    Ok(number.filter(|number| number.mantissa > 0).map(Decimal::trimmed))
}

/// A time.
#[inline]
pub(crate) fn time(scan: &mut Scan<'_>) -> Result<Nanos, Fault> {
    rfc3339::parse(scan.text()?).ok_or(Fault::Time)
}

/// Adds a level; answers 1 when a number of it does not fit. A level whose price does not fit is
/// left out: one absurd order far from the market must not cost a whole snapshot. One whose size
/// does not fit becomes a removal, for what was held there is wrong now. Either is counted and
/// told.
#[inline]
pub(crate) fn push_level(
    levels: &mut Vec<RawLevel>,
    side: BookSide,
    price: Option<Decimal>,
    size: Option<Decimal>,
) -> u64 {
    if let Some(price) = price {
        levels.push(RawLevel { side, price, size: size.unwrap_or_default() });
    }
    u64::from(price.is_none() || size.is_none())
}
