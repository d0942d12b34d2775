//! The client protocol, version 1: what crosses the line between the edge and its clients.
//!
//! Requests are parsed with errors that name the field and the value; answers and pushes are
//! written by code that allocates nothing but its output, and decoded for clients.
//!
//! *Invariant:* bytes in, values out, and back; no socket, no clock.

#![deny(missing_docs)]

mod answer;
mod ask;
mod channel;
mod checksum;
mod code;
mod decode;
mod encode;
mod frame;
mod items;
mod names;
mod object;
mod params;
mod pattern;
mod pieces;
mod protobuf;
mod query;
mod request;
mod text;

pub use answer::{
    Answer, Authenticated, Failed, Goaway, Granted, Limits, Matched, Stats, Welcome, write_answer,
    write_answer_frame, write_http_error,
};
pub use ask::write_request;
pub use channel::{Channel, DEPTHS, Depth, Encoding, FieldSet, TickerField, View};
pub use checksum::{CHECKSUM_LEVELS, book_checksum};
pub use code::ErrorCode;
pub use decode::{DecodeError, Message, Outcome, Push};
pub use encode::{close_message, next_item, open_message, write_item, write_message};
pub use frame::{FrameSpan, HEADER_BYTES_MAX, frame_header, write_frame, write_framed};
pub use items::{
    BarItem, BarsItem, BookItem, Field, LevelItem, Mark, Number, StatusItem, TickerItem, TradeItem,
    TradesItem,
};
pub use pattern::{Glob, Pattern, STARS_MAX, SYMBOL_BYTES_MAX};
pub use pieces::{
    BarPiece, BookPieces, Head, Kind, LevelPiece, Pieces, StreamNumber, TickerPieces, TradePiece,
};
pub use protobuf::{ProtobufFault, ProtobufReader, state_number, state_numbered};
pub use query::{parse_event_id, parse_query, percent_decode, write_event_id};
pub use request::{
    Method, REQ_ID_BYTES_MAX, ReqId, Request, RequestError, Subscribe, TOKEN_BYTES_MAX, Unsubscribe,
};
// The words of the market that stand in this crate's own types, for whoever decodes.
pub use tickcast_market::{Epoch, Interval, Nanos, Seq, Since, TradingState};
