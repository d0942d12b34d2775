//! Protobuf's wire format: tags, varints, fields with a length; written and read.
//!
//! Source: the protocol buffers' encoding specification. Groups (wire types 3 and 4) are not in use
//! and refused.

use std::fmt;

/// The wire types that are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

/// The value of a field as it was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum FieldValue<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// What is wrong with bytes that should be a protobuf message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProtobufFault(String);

impl ProtobufFault {
    pub(super) fn new(what: impl fmt::Display) -> ProtobufFault {
        ProtobufFault(what.to_string())
    }
}

pub(super) type Read<T> = Result<T, ProtobufFault>;

fn write_tag(out: &mut Vec<u8>, field: u32, wire_type: WireType) {
    write_varint(out, u64::from(field << 3 | wire_type as u32));
}

pub(super) fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small numbers of both signs as small unsigned ones: `sint64`.
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// An unsigned number or an enum's, also where it is zero.
pub(super) fn write_present(out: &mut Vec<u8>, field: u32, value: u64) {
    write_tag(out, field, WireType::Varint);
    write_varint(out, value);
}

/// The same, left out where it is zero.
pub(super) fn write_unsigned(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        write_present(out, field, value);
    }
}

/// `int64`, left out where it is zero.
pub(super) fn write_signed(out: &mut Vec<u8>, field: u32, value: i64) {
    write_unsigned(out, field, value as u64);
}

/// `sint64`, left out where it is zero.
pub(super) fn write_zigzag(out: &mut Vec<u8>, field: u32, value: i64) {
    write_unsigned(out, field, zigzag(value));
}

pub(super) fn write_some(out: &mut Vec<u8>, field: u32, value: Option<u64>) {
    if let Some(value) = value {
        write_present(out, field, value);
    }
}

pub(super) fn write_fixed32(out: &mut Vec<u8>, field: u32, value: u32) {
    if value != 0 {
        write_tag(out, field, WireType::Fixed32);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

pub(super) fn write_double(out: &mut Vec<u8>, field: u32, value: f64) {
    write_tag(out, field, WireType::Fixed64);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Text, left out where it is empty.
pub(super) fn write_text(out: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        write_item_text(out, field, text);
    }
}

/// Text in a list, where an empty one counts.
pub(super) fn write_item_text(out: &mut Vec<u8>, field: u32, text: &str) {
    write_tag(out, field, WireType::Bytes);
    write_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// A field whose content `write` appends: a message, or a packed list.
///
/// *Cost:* content of 128 bytes and more is moved once, to make room for its length.
pub(super) fn write_nested(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    write_tag(out, field, WireType::Bytes);
    let at = out.len();
    out.push(0);
    write(out);
    let mut length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length as u8;
        return;
    }
    let end = out.len();
    let more = (length.ilog2() / 7) as usize;
    out.resize(end + more, 0);
    out.copy_within(at + 1..end, at + 1 + more);
    for byte in &mut out[at..at + more] {
        *byte = length as u8 | 0x80;
        length >>= 7;
    }
    out[at + more] = length as u8;
}

/// The fields of a message, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields { bytes }
    }

    /// The next field's number and value; `None` at the end.
    pub(super) fn next(&mut self) -> Read<Option<(u32, FieldValue<'a>)>> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = u32::try_from(tag >> 3).ok().filter(|field| *field > 0);
        let field = field.ok_or_else(|| ProtobufFault::new("a field's number is out of range"))?;
        let value = match tag & 7 {
            0 => FieldValue::Varint(self.varint()?),
            1 => FieldValue::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).ok().filter(|n| *n <= self.bytes.len());
                let Some(length) = length else { return Err(cut_short()) };
                FieldValue::Bytes(self.take(length)?)
            }
            5 => FieldValue::Fixed32(u32::from_le_bytes(self.array()?)),
            other => return Err(ProtobufFault::new(format_args!("wire type {other}"))),
        };
        Ok(Some((field, value)))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn varint(&mut self) -> Read<u64> {
        let mut value = 0u64;
        for (at, byte) in self.bytes.iter().copied().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                if at == 9 && byte > 1 {
                    break;
                }
                self.bytes = &self.bytes[at + 1..];
                return Ok(value);
            }
        }
        Err(if self.bytes.len() < 10 {
            cut_short()
        } else {
            ProtobufFault::new("a number is longer than 64 bits")
        })
    }

    fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or_else(cut_short)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("as many were taken"))
    }
}

fn cut_short() -> ProtobufFault {
    ProtobufFault::new("cut short")
}

impl<'a> FieldValue<'a> {
    /// As a varint; `name` is for the error.
    pub(super) fn varint(self, name: &str) -> Read<u64> {
        match self {
            FieldValue::Varint(value) => Ok(value),
            _ => Err(wrong_type(name)),
        }
    }

    pub(super) fn signed(self, name: &str) -> Read<i64> {
        self.varint(name).map(|value| value as i64)
    }

    pub(super) fn zigzag(self, name: &str) -> Read<i64> {
        self.varint(name).map(unzigzag)
    }

    pub(super) fn small(self, name: &str) -> Read<u32> {
        let value = self.varint(name)?;
        u32::try_from(value)
            .map_err(|_| ProtobufFault::new(format_args!("{name}: {value} is above 2^32 - 1")))
    }

    pub(super) fn fixed32(self, name: &str) -> Read<u32> {
        match self {
            FieldValue::Fixed32(value) => Ok(value),
            _ => Err(wrong_type(name)),
        }
    }

    pub(super) fn double(self, name: &str) -> Read<f64> {
        match self {
            FieldValue::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(wrong_type(name)),
        }
    }

    pub(super) fn fields(self, name: &str) -> Read<Fields<'a>> {
        match self {
            FieldValue::Bytes(bytes) => Ok(Fields::new(bytes)),
            _ => Err(wrong_type(name)),
        }
    }

    pub(super) fn text(self, name: &str) -> Read<&'a str> {
        match self {
            FieldValue::Bytes(bytes) => std::str::from_utf8(bytes)
                .map_err(|_| ProtobufFault::new(format_args!("{name}: not UTF-8"))),
            _ => Err(wrong_type(name)),
        }
    }

    /// Every number of a list, packed or not.
    pub(super) fn each(self, name: &str, mut take: impl FnMut(u64) -> Read<()>) -> Read<()> {
        match self {
            FieldValue::Varint(value) => take(value),
            FieldValue::Bytes(bytes) => {
                let mut packed = Fields::new(bytes);
                while !packed.is_empty() {
                    take(packed.varint()?)?;
                }
                Ok(())
            }
            _ => Err(wrong_type(name)),
        }
    }
}

fn wrong_type(name: &str) -> ProtobufFault {
    ProtobufFault::new(format_args!("{name}: not of its type"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_come_back() {
        let mut values = vec![0, 1, u64::MAX, i64::MIN as u64];
        values.extend((0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1]));
        for value in values {
            let mut out = Vec::new();
            write_present(&mut out, 1000, value);
            let mut fields = Fields::new(&out);
            assert_eq!(fields.next(), Ok(Some((1000, FieldValue::Varint(value)))));
            assert_eq!(fields.next(), Ok(None));
            assert_eq!(unzigzag(zigzag(value as i64)), value as i64);
        }
    }

    #[test]
    fn content_of_every_length_stands_behind_its_length() {
        for length in [0, 1, 127, 128, 300, 16_383, 16_384, 70_000, 2_100_000] {
            let mut out = b"before".to_vec();
            write_nested(&mut out, 3, |out| out.extend((0..length).map(|i| i as u8)));
            write_unsigned(&mut out, 4, 5);
            let mut fields = Fields::new(&out[6..]);
            let Ok(Some((3, FieldValue::Bytes(content)))) = fields.next() else {
                panic!("{length}")
            };
            assert!(content.iter().copied().eq((0..length).map(|i| i as u8)), "{length}");
            assert_eq!(fields.next(), Ok(Some((4, FieldValue::Varint(5)))), "{length}");
        }
    }

    #[test]
    fn broken_bytes_are_refused() {
        for (bytes, what) in [
            (&b"\x08"[..], "cut short"),
            (b"\x08\x80", "cut short"),
            (b"\x12\x05ab", "cut short"),
            (b"\x0d\x01", "cut short"),
            (b"\x00\x01", "a field's number is out of range"),
            (b"\x0b", "wire type 3"),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "a number is longer than 64 bits"),
            (
                b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                "a number is longer than 64 bits",
            ),
            (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "cut short"),
        ] {
            let fault = Fields::new(bytes).next().unwrap_err();
            assert_eq!(fault.to_string(), what, "{bytes:?}");
        }
    }
}
