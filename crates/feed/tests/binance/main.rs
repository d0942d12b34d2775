//! The rules of Binance's feed, one small script each: what comes in, what comes out.
//!
//! `script` plays a script; the tests are of a book and its snapshot, of other messages, of a live line
//! that asks for what it needs, and of damage.

mod book;
mod damage;
mod live;
mod messages;
mod script;
