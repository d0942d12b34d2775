//! The client protocol, version 1: what crosses the line between the edge and its clients.
//!
//! Requests are parsed with errors that name the field and the value; answers and pushes are
//! written by code that allocates nothing but its output, and decoded for clients.
//!
//! *Invariant:* bytes in, values out, and back; no socket, no clock.

mod channel;
mod pieces;

pub use channel::{Channel, DEPTHS, Depth, Encoding, FieldSet, TickerField, View};
pub use pieces::{BarPiece, BookPieces, Head, Kind, LevelPiece, Pieces, TickerPieces, TradePiece};
