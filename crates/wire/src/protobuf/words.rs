//! The schema's enums: numbers for the words of the protocol. Zero is none of them.

use crate::channel::{Channel, TickerField};
use crate::request::Method;
use tickcast_market::{Interval, TradingState};

pub(super) const METHODS: [Method; 5] =
    [Method::Subscribe, Method::Unsubscribe, Method::Auth, Method::Ping, Method::Stats];

pub(super) const CHANNELS: [Channel; 5] =
    [Channel::Status, Channel::Ticker, Channel::Trades, Channel::Book, Channel::Bars];

pub(super) const STATES: [TradingState; 5] = [
    TradingState::Live,
    TradingState::Stale,
    TradingState::Resync,
    TradingState::Halted,
    TradingState::Closed,
];

pub(super) const INTERVALS: [Interval; 4] =
    [Interval::S1, Interval::M1, Interval::M5, Interval::H1];

pub(super) const TICKER_FIELDS: [TickerField; TickerField::COUNT] = TickerField::ALL;

/// The schema's number of a state.
pub fn state_number(state: TradingState) -> u32 {
    number(&STATES, state) as u32
}

/// The state of the schema's number; `None` for one that is not known here.
pub fn state_numbered(number: u32) -> Option<TradingState> {
    word(&STATES, number.into())
}

/// The number of a word: its place in its list, from 1.
pub(super) fn number<T: Copy + PartialEq>(words: &[T], word: T) -> u64 {
    words.iter().position(|each| *each == word).map_or(0, |at| at as u64 + 1)
}

/// The word of a number, if it has one.
pub(super) fn word<T: Copy>(words: &[T], number: u64) -> Option<T> {
    let at = usize::try_from(number.checked_sub(1)?).ok()?;
    words.get(at).copied()
}
