//! RFC 3339 times to nanoseconds, exactly and without allocation; nothing else of calendars.

use tickcast_market::Nanos;

/// Reads `2026-08-09T21:05:48.170326Z`, any number of fraction digits (those beyond nine are
/// dropped) and any offset; `None` when it is no such time or lies outside 1677 to 2262.
///
/// *Cost:* one pass over some 27 bytes. *Source:* RFC 3339, section 5.6.
pub(crate) fn parse(text: &[u8]) -> Option<Nanos> {
    let (head, rest) = text.split_at_checked(19)?;
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, byte)| head[*at] != *byte)
        || !matches!(head[10], b'T' | b't' | b' ')
    {
        return None;
    }
    let year = i64::from(two(&head[0..2])?) * 100 + i64::from(two(&head[2..4])?);
    let (month, day) = (two(&head[5..7])?, two(&head[8..10])?);
    let (hour, minute, second) = (two(&head[11..13])?, two(&head[14..16])?, two(&head[17..19])?);
    // A leap second is read as the first second of the next minute.
    if day == 0 || day > days_of(year, month)? || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, zone) = fraction(rest)?;
    let seconds = days_from_civil(year, i64::from(month), i64::from(day)) * 86_400
        + i64::from(hour) * 3600
        + i64::from(minute) * 60
        + i64::from(second)
        - offset(zone)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction).map(Nanos)
}

fn two(digits: &[u8]) -> Option<u32> {
    let (tens, ones) = (digits[0].wrapping_sub(b'0'), digits[1].wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

fn days_of(year: i64, month: u32) -> Option<u32> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

/// Nanoseconds of `.123456`, and what follows.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', digits)) = rest.split_first() else {
        return Some((0, rest));
    };
    let (mut nanos, mut unit, mut len) = (0, 100_000_000, 0);
    while let Some(digit) = digits.get(len).map(|byte| byte.wrapping_sub(b'0')).filter(|d| *d < 10)
    {
        // Beyond nanoseconds the unit is zero.
        (nanos, unit, len) = (nanos + i64::from(digit) * unit, unit / 10, len + 1);
    }
    if len == 0 {
        return None;
    }
    Some((nanos, &digits[len..]))
}

/// Seconds east of Greenwich.
fn offset(zone: &[u8]) -> Option<i64> {
    match zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two(&[*h1, *h2])?, two(&[*m1, *m2])?);
            let seconds = i64::from(hours) * 3600 + i64::from(minutes) * 60;
            (hours < 24 && minutes < 60).then_some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, counted in 400-year eras of years
/// that begin in March, so that the leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn times_are_read_exactly_and_equal_another_library_s() {
        for text in [
            "1970-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999999999Z",
            "2026-08-09T21:05:48.228568804Z",
            "2026-08-09T21:05:48.50436Z",
            "2021-04-17T16:43:37.075687Z",
            "2024-02-29T23:59:59.5+02:00",
            "2000-02-29 00:00:00.000001-11:30",
            "1900-03-01T12:00:00Z",
            "2262-04-11T23:47:16Z",
        ] {
            let expected: jiff::Timestamp = text.parse().unwrap();
            assert_eq!(
                parse(text.as_bytes()).map(|t| i128::from(t.0)),
                Some(expected.as_nanosecond()),
                "{text}"
            );
        }
        assert_eq!(
            parse(b"2026-08-09T21:05:48.1234567891234Z"),
            parse(b"2026-08-09T21:05:48.123456789Z"),
            "digits beyond nanoseconds are dropped"
        );
        assert_eq!(parse(b"2016-12-31T23:59:60Z"), parse(b"2017-01-01T00:00:00Z"));
    }

    #[test]
    fn every_day_of_four_centuries_is_one_day_after_the_one_before() {
        let mut before = parse(b"1970-01-01T00:00:00Z").unwrap();
        for day in 1..100_000i64 {
            let date = jiff::civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(day));
            let text = format!("{date}T00:00:00Z");
            let now = parse(text.as_bytes()).unwrap();
            assert_eq!(now.0 - before.0, 86_400_000_000_000, "{text}");
            before = now;
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let whole = b"2026-08-09T21:05:48.170326Z";
        for len in 0..whole.len() {
            assert_eq!(parse(&whole[..len]), None, "cut at {len}");
        }
        for text in [
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00ZZ",
            "2026/01/01T00:00:00Z",
            "20a6-01-01T00:00:00Z",
            "9999-01-01T00:00:00Z",
            "2026-01-01T00:00:00.5",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
