//! The smallest parts of JSON text: strings, integers, quoted decimals.

use tickcast_market::write_decimal;

/// Appends `text` as a JSON string.
///
/// *Cost:* one look at the bytes and one copy; no allocation beyond `out`'s growth.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    // No early end: the compiler looks at many bytes at once.
    let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    if !text.bytes().fold(false, |any, byte| any | special(byte)) {
        out.extend_from_slice(text.as_bytes());
    } else {
        write_escaped(out, text);
    }
    out.push(b'"');
}

/// RFC 8259 section 7: the quotation mark, the reverse solidus and control characters.
#[cold]
fn write_escaped(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
}

/// Appends an integer.
pub(crate) fn write_integer(out: &mut Vec<u8>, integer: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
}

/// Appends a number the way a person writes it: `4`, not `4.0`. It must be finite.
pub(crate) fn write_rate(out: &mut Vec<u8>, rate: f64) {
    // Display of an f64 is the shortest text that reads back the same, without an exponent.
    out.extend_from_slice(rate.to_string().as_bytes());
}

/// Appends a decimal string padded to the scale.
pub(crate) fn write_number(out: &mut Vec<u8>, mantissa: impl Into<i128>, scale: u8) {
    out.push(b'"');
    write_decimal(out, mantissa.into(), scale);
    out.push(b'"');
}

/// Appends the items of a list with commas in between and brackets around.
pub(crate) fn write_list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    let first = out.len();
    for item in items {
        if out.len() > first {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// The most characters of a client's value that an error repeats.
pub(crate) const SHOWN_CHARS_MAX: usize = 64;

/// A value as it was sent, shortened for an error.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A text as JSON would quote it, shortened for an error.
pub(crate) fn shown_quoted(text: &str) -> String {
    let mut out = Vec::new();
    write_string(&mut out, &shown(text));
    String::from_utf8(out).expect("a string was copied, and ASCII put between its characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_where_json_demands_it() {
        for text in ["", "sim:S0-USD", "a\"b\\c", "tab\tnew\nline\r\u{1}\u{1f}", "é漢🦀"] {
            let mut out = Vec::new();
            write_string(&mut out, text);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn rates_are_written_as_people_write_them() {
        for (rate, text) in [(4.0, "4"), (0.5, "0.5"), (10.0, "10")] {
            let mut out = Vec::new();
            write_rate(&mut out, rate);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn long_values_are_shortened_at_a_character() {
        assert_eq!(shown("short"), "short");
        let long = "é".repeat(100);
        assert_eq!(shown(&long), format!("{}…", "é".repeat(64)));
        assert_eq!(shown_quoted("a\"b"), r#""a\"b""#);
    }
}
