//! The client protocol, version 1: what crosses the line between the edge and its clients.
//!
//! Requests are parsed with errors that name the field and the value; answers and pushes are
//! written by code that allocates nothing but its output, and decoded for clients.
//!
//! *Invariant:* bytes in, values out, and back; no socket, no clock.

#![deny(missing_docs)]

mod channel;
mod checksum;
mod encode;
mod frame;
mod pieces;
mod text;

pub use channel::{Channel, DEPTHS, Depth, Encoding, FieldSet, TickerField, View};
pub use checksum::{CHECKSUM_LEVELS, book_checksum};
pub use encode::{close_message, next_item, open_message, write_item, write_message};
pub use frame::{FrameSpan, HEADER_BYTES_MAX, frame_header, write_frame, write_framed};
pub use pieces::{BarPiece, BookPieces, Head, Kind, LevelPiece, Pieces, TickerPieces, TradePiece};
