//! A cursor over the JSON text of one message, for venues whose digits matter or whose messages
//! are mostly levels.
//!
//! It hands out keys, strings and number tokens as the bytes that they are: nothing is copied,
//! allocated or converted, fields come in any order, unknown ones are skipped. What a message must
//! contain is the caller's business. It never panics, whatever the bytes: every read is checked.
//!
//! Where a venue writes a part the same way every time, [`Scan::literal`] and [`Scan::decimal`] read
//! it in a copy of the cursor by its exact bytes; what differs is left to the calls above.
//!
//! It is a little laxer than RFC 8259 where that cannot mislead: skipped values are checked for
//! balanced brackets and closed strings only, and text is not checked for UTF-8.

use crate::decode::fixed_decimal::read_plain;
use tickcast_market::Decimal;

/// The deepest nesting of a value that is skipped.
const DEPTH_MAX: u32 = 64;

/// Why a message could not be read; also the `reason` of the counted decode error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not JSON, or cut off.
    Syntax,
    /// A value of another kind than the field's.
    Value,
    /// A field that the message cannot do without is absent.
    Missing,
    /// A time that is no RFC 3339 time.
    Time,
}

impl Fault {
    /// The reasons that there are.
    pub(crate) const REASONS: [&str; 4] = [
        Fault::Syntax.reason(),
        Fault::Value.reason(),
        Fault::Missing.reason(),
        Fault::Time.reason(),
    ];

    /// In words, for the counter and the report.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Fault::Syntax => "not json",
            Fault::Value => "unexpected value",
            Fault::Missing => "field missing",
            Fault::Time => "not a time",
        }
    }
}

/// A part of a message by its place, for what is read now and used when the whole is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The part itself; nothing when these are not the bytes that it was taken from.
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// The cursor.
#[derive(Clone, Debug)]
pub(crate) struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// An object or array was just opened: no comma before its first member.
    fresh: bool,
}

impl<'a> Scan<'a> {
    /// At the beginning of a message.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Scan { bytes, at: 0, fresh: false }
    }

    /// How many bytes have been read.
    pub(crate) fn place(&self) -> usize {
        self.at
    }

    /// The first byte of the next value.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Enters an object.
    #[inline]
    pub(crate) fn object(&mut self) -> Result<(), Fault> {
        self.open(b'{')
    }

    /// Enters an array.
    #[inline]
    pub(crate) fn array(&mut self) -> Result<(), Fault> {
        self.open(b'[')
    }

    #[inline]
    fn open(&mut self, bracket: u8) -> Result<(), Fault> {
        match self.peek() {
            Some(byte) if byte == bracket => {
                self.at += 1;
                self.fresh = true;
                Ok(())
            }
            Some(_) => Err(Fault::Value),
            None => Err(Fault::Syntax),
        }
    }

    /// The next key of the object, or `None` at its end. The value must be taken or skipped.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        if !self.member(b'}')? {
            return Ok(None);
        }
        let key = self.raw_string()?.0;
        if self.peek() != Some(b':') {
            return Err(Fault::Syntax);
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether the array has another item, which must then be taken or skipped.
    #[inline]
    pub(crate) fn item(&mut self) -> Result<bool, Fault> {
        self.member(b']')
    }

    #[inline]
    fn member(&mut self, close: u8) -> Result<bool, Fault> {
        let byte = self.peek().ok_or(Fault::Syntax)?;
        let fresh = std::mem::replace(&mut self.fresh, false);
        if byte == close {
            self.at += 1;
            return Ok(false);
        }
        if !fresh {
            if byte != b',' {
                return Err(Fault::Syntax);
            }
            self.at += 1;
            // A closing bracket after the comma fails as the key or value that it is not.
        }
        Ok(true)
    }

    /// A string's bytes and whether an escape is among them.
    #[inline]
    fn raw_string(&mut self) -> Result<(&'a [u8], bool), Fault> {
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(Fault::Value),
            None => return Err(Fault::Syntax),
        }
        let start = self.at + 1;
        let (end, escaped) = string_end(self.bytes, start)?;
        self.at = end + 1;
        Ok((&self.bytes[start..end], escaped))
    }

    /// A string without escapes. What venues write into prices, symbols and times has none; one
    /// that has is refused rather than misread.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a [u8], Fault> {
        match self.raw_string()? {
            (text, false) => Ok(text),
            (_, true) => Err(Fault::Value),
        }
    }

    /// As [`Scan::text`], by its place.
    #[inline]
    pub(crate) fn text_span(&mut self) -> Result<Span, Fault> {
        let text = self.text()?;
        // The closing quote is the byte before the cursor.
        let end = self.at - 1;
        Ok(Span { start: narrow(end - text.len())?, end: narrow(end)? })
    }

    /// The characters of a number, bare or quoted; `null`, `true` and `false` come as they are.
    #[inline]
    pub(crate) fn token(&mut self) -> Result<&'a [u8], Fault> {
        if self.peek() == Some(b'"') {
            return self.text();
        }
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let is_token = |b: &u8| b.is_ascii_alphanumeric() || matches!(*b, b'.' | b'-' | b'+');
        let len = rest.iter().position(|b| !is_token(b)).unwrap_or(rest.len());
        if len == 0 {
            return Err(if rest.is_empty() { Fault::Syntax } else { Fault::Value });
        }
        self.at += len;
        Ok(&rest[..len])
    }

    /// Exactly these bytes; `None`, with nothing read, when others come.
    #[inline]
    pub(crate) fn literal(&mut self, text: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(text).then(|| self.at += text.len())
    }

    /// A plain number of the usual length, bare or quoted, with no space before it; `None`, with
    /// nothing read, when anything else comes, which may be a number all the same.
    #[inline]
    pub(crate) fn decimal(&mut self) -> Option<Decimal> {
        let rest = self.bytes.get(self.at..)?;
        let is_quoted = rest.first() == Some(&b'"');
        let (number, len) = read_plain(&rest[usize::from(is_quoted)..])?;
        let end = len + usize::from(is_quoted);
        let is_whole = match rest.get(end) {
            Some(b'"') => is_quoted,
            Some(b',' | b'}' | b']') => !is_quoted,
            _ => false,
        };
        is_whole.then(|| {
            self.at += end + usize::from(is_quoted);
            number
        })
    }

    /// A whole number, bare or quoted.
    #[inline]
    pub(crate) fn integer(&mut self) -> Result<u64, Fault> {
        let token = self.token()?;
        if token.is_empty() {
            return Err(Fault::Value);
        }
        token.iter().try_fold(0u64, |value, byte| {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return Err(Fault::Value);
            }
            value.checked_mul(10).and_then(|v| v.checked_add(u64::from(digit))).ok_or(Fault::Value)
        })
    }

    /// Passes over the next value, whatever it is.
    #[inline]
    pub(crate) fn skip(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.raw_string().map(drop),
            Some(b'{' | b'[') => self.skip_nested(),
            _ => self.token().map(drop),
        }
    }

    fn skip_nested(&mut self) -> Result<(), Fault> {
        // One bit for each open bracket: set for an object.
        let mut kinds = 0u64;
        let mut depth = 0;
        loop {
            let byte = *self.bytes.get(self.at).ok_or(Fault::Syntax)?;
            self.at += 1;
            match byte {
                b'"' => self.at = string_end(self.bytes, self.at)?.0 + 1,
                b'{' | b'[' => {
                    if depth == DEPTH_MAX {
                        return Err(Fault::Syntax);
                    }
                    kinds = kinds << 1 | u64::from(byte == b'{');
                    depth += 1;
                }
                b'}' | b']' => {
                    if kinds & 1 != u64::from(byte == b'}') {
                        return Err(Fault::Syntax);
                    }
                    kinds >>= 1;
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
    }

    /// Makes sure that nothing follows the message.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(Fault::Syntax),
        }
    }
}

fn narrow(at: usize) -> Result<u32, Fault> {
    // Limits::message_bytes_max is far below 4 GiB; who exceeds it is refused, not wrapped.
    u32::try_from(at).map_err(|_| Fault::Syntax)
}

/// Where the string that begins at `start` has its closing quote, and whether it has escapes.
///
/// *Cost:* eight bytes at a time; most strings here have fewer than 30.
#[inline]
fn string_end(bytes: &[u8], start: usize) -> Result<(usize, bool), Fault> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
    // The lowest set high bit marks the first byte of `word` that equals `byte`; bits above the
    // first may be false, which does not matter as only the first is used.
    let equal = |word: u64, byte: u8| {
        let x = word ^ ONES.wrapping_mul(u64::from(byte));
        x.wrapping_sub(ONES) & !x & HIGHS
    };
    let mut at = start;
    let mut escaped = false;
    loop {
        if let Some(chunk) = bytes.get(at..at + 8).and_then(|chunk| chunk.first_chunk::<8>()) {
            let word = u64::from_le_bytes(*chunk);
            let found = equal(word, b'"') | equal(word, b'\\');
            if found == 0 {
                at += 8;
                continue;
            }
            at += (found.trailing_zeros() / 8) as usize;
        }
        match bytes.get(at) {
            Some(b'"') => return Ok((at, escaped)),
            Some(b'\\') => {
                escaped = true;
                at += 2;
            }
            Some(_) => at += 1,
            None => return Err(Fault::Syntax),
        }
    }
}

#[cfg(test)]
mod tests;
