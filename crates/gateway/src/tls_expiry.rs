//! When a certificate ends: the one field of it that an alert needs and rustls does not show.
//!
//! Walks the outermost elements of the DER down to `notAfter` (RFC 5280, section 4.1) and checks
//! nothing else: whether the certificate is sound is rustls's judgement.

/// The end of a certificate's validity, in seconds since 1970; `None` where it is not a
/// certificate or says its times in another form than RFC 5280 asks for.
pub(crate) fn not_after(certificate: &[u8]) -> Option<i64> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    if fields.first() == Some(&VERSION) {
        (_, _, fields) = element(fields)?;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (_, validity, _) = element(fields)?;
    let (_, _, after) = element(validity)?;
    let (tag, text, _) = element(after)?;
    match tag {
        UTC_TIME => {
            let short = digits(text.get(..2)?)?;
            // Two digits are of 1950 to 2049 (RFC 5280, section 4.1.2.5.1).
            seconds(if short < 50 { 2000 } else { 1900 } + short, text.get(2..)?)
        }
        GENERALIZED_TIME => seconds(digits(text.get(..4)?)?, text.get(4..)?),
        _ => None,
    }
}

const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The tag and content of the first element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, short], rest) = der.split_first_chunk()?;
    let (length, rest) = match short {
        0x80.. => {
            let (long, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            // Four bytes say more than any file has.
            let long = (1..=4).contains(&long.len()).then_some(long)?;
            (long.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => (usize::from(short), rest),
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn digits(text: &[u8]) -> Option<i64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    text.iter().try_fold(0, |sum, byte| Some(sum * 10 + digit(byte)?))
}

/// `rest` is `MMDDHHMMSSZ`.
fn seconds(year: i64, rest: &[u8]) -> Option<i64> {
    let (&[m0, m1, d0, d1, h0, h1, i0, i1, s0, s1, b'Z'], []) = rest.split_first_chunk()? else {
        return None;
    };
    let month = digits(&[m0, m1])?;
    // Counted from March on, the days before a month follow one line
    // (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let (year, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * from_march + 2) / 5 + digits(&[d0, d1])? - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    let clock = digits(&[h0, h1])? * 3600 + digits(&[i0, i1])? * 60 + digits(&[s0, s1])?;
    Some(days * 86_400 + clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(year: i32, month: u8, day: u8) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, month, day);
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_certificates_in_this_century_and_the_next_is_found() {
        for ((year, month, day), seconds) in [
            ((2026, 1, 1), 1_767_225_600), // date -u -d 2026-01-01 +%s
            ((2028, 2, 29), 1_835_395_200),
            ((2049, 12, 31), 2_524_521_600),
            ((2050, 1, 1), 2_524_608_000),
            ((2100, 3, 1), 4_107_542_400),
        ] {
            assert_eq!(not_after(&ending(year, month, day)), Some(seconds), "{year}-{month}-{day}");
        }
    }

    #[test]
    fn whatever_else_the_bytes_are_there_is_no_panic() {
        let whole = ending(2030, 5, 5);
        for length in 0..whole.len().min(400) {
            let _ = not_after(&whole[..length]);
            for value in [0, 0x7f, 0x80, 0x84, 0x88, 0xff] {
                let mut damaged = whole.clone();
                damaged[length] = value;
                let _ = not_after(&damaged);
            }
        }
        assert_eq!(not_after(b"\x30\x84\xff\xff\xff\xff"), None);
    }
}
