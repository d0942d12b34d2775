//! The messages of `proto/tickcast/bus/v1.proto`, field by field.

use prost::encoding::{WireType, encode_key, encode_varint};

/// One update or snapshot of one stream.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Relayed {
    #[prost(uint64, tag = "1")]
    pub(crate) epoch: u64,
    /// Microseconds since the Unix epoch.
    #[prost(int64, tag = "2")]
    pub(crate) ts_recv: i64,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) message: bytes::Bytes,
}

impl Relayed {
    /// Appends one without making it first: the publisher's every update passes here.
    pub(crate) fn write(out: &mut Vec<u8>, epoch: u64, ts_recv: i64, message: &[u8]) {
        encode_key(1, WireType::Varint, out);
        encode_varint(epoch, out);
        encode_key(2, WireType::Varint, out);
        encode_varint(ts_recv as u64, out);
        encode_key(3, WireType::LengthDelimited, out);
        encode_varint(message.len() as u64, out);
        out.extend_from_slice(message);
    }
}

/// An instrument's state has changed.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct StatusChange {
    #[prost(uint64, tag = "1")]
    pub(crate) run: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) number: u64,
    #[prost(uint32, tag = "3")]
    pub(crate) state: u32,
}

/// The publisher is alive.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Beat {
    #[prost(uint64, tag = "1")]
    pub(crate) run: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) instruments: u64,
    #[prost(bool, tag = "3")]
    pub(crate) complete: bool,
    #[prost(uint64, tag = "4")]
    pub(crate) status_changes: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) losses: u64,
}

/// `diff(since)` of several streams.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Asks {
    #[prost(message, repeated, tag = "1")]
    pub(crate) asks: Vec<Ask>,
}

/// One of them.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Ask {
    #[prost(string, tag = "1")]
    pub(crate) symbol: String,
    #[prost(string, tag = "2")]
    pub(crate) stream: String,
    #[prost(uint64, tag = "3")]
    pub(crate) epoch: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) seq: u64,
}

/// The answers that fitted into one message.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Answers {
    #[prost(message, repeated, tag = "1")]
    pub(crate) answers: Vec<Answer>,
}

/// One of them.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Answer {
    #[prost(uint32, tag = "1")]
    pub(crate) ask: u32,
    #[prost(message, optional, tag = "2")]
    pub(crate) diff: Option<Relayed>,
}

/// Asks for the list of instruments.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct ListRequest {
    #[prost(uint64, tag = "1")]
    pub(crate) from: u64,
}

/// A part of it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct List {
    #[prost(uint64, tag = "1")]
    pub(crate) from: u64,
    #[prost(message, repeated, tag = "2")]
    pub(crate) instruments: Vec<Instrument>,
    #[prost(uint64, tag = "3")]
    pub(crate) status_changes: u64,
}

/// One instrument, and its state.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Instrument {
    #[prost(string, tag = "1")]
    pub(crate) venue: String,
    #[prost(string, tag = "2")]
    pub(crate) symbol: String,
    #[prost(string, tag = "3")]
    pub(crate) venue_symbol: String,
    #[prost(string, tag = "4")]
    pub(crate) tick_size: String,
    #[prost(string, tag = "5")]
    pub(crate) lot_size: String,
    #[prost(uint32, tag = "6")]
    pub(crate) price_scale: u32,
    #[prost(uint32, tag = "7")]
    pub(crate) size_scale: u32,
    #[prost(uint32, tag = "8")]
    pub(crate) volume_scale: u32,
    #[prost(uint32, tag = "9")]
    pub(crate) state: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn what_is_written_at_once_is_the_message_of_the_schema() {
        let mut out = Vec::new();
        Relayed::write(&mut out, 4096 * 7 + 1, 1_770_000_000_000_000, b"abc");
        let read = Relayed::decode(out.as_slice()).unwrap();
        assert_eq!((read.epoch, read.ts_recv), (4096 * 7 + 1, 1_770_000_000_000_000));
        assert_eq!(read.message.as_ref(), b"abc");
    }

    #[test]
    fn fields_of_a_later_version_are_passed_over() {
        let mut out = Beat { run: 5, ..Beat::default() }.encode_to_vec();
        encode_key(99, WireType::LengthDelimited, &mut out);
        encode_varint(2, &mut out);
        out.extend_from_slice(b"xx");
        assert_eq!(Beat::decode(out.as_slice()).unwrap().run, 5);
    }
}
