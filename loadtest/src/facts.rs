//! What a session holds of a stream, in a form that two of them can be compared in.

use tickcast_client::{BarRow, Session, Take, TradeRow};
use tickcast_wire::{BarsItem, BookItem, Since, TickerField, TickerItem, TradesItem, View};

/// The values of a stream at one (epoch, seq).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Facts {
    /// Of a ticker or a book all there is, as text.
    Whole(String),
    /// The latest trades, oldest first, and whether some are known to be missing.
    Trades(Vec<TradeRow>, bool),
    /// The latest bars, oldest first.
    Bars(Vec<BarRow>),
}

/// At which place of the stream the session is.
pub(crate) fn held(session: &Session, view: View, symbol: &str) -> Option<Since> {
    match view {
        View::Status => None,
        View::Ticker => Take::<TickerItem<'_>>::rule(session.ticker(symbol)?).held(),
        View::Trades => Take::<TradesItem<'_>>::rule(session.trades(symbol)?).held(),
        View::Book(_) => Take::<BookItem<'_>>::rule(session.book(symbol)?).held(),
        View::Bars(interval) => Take::<BarsItem<'_>>::rule(session.bars(symbol, interval)?).held(),
    }
}

/// What the session holds of the stream.
pub(crate) fn of(session: &Session, view: View, symbol: &str) -> Option<Facts> {
    Some(match view {
        View::Status => return None,
        View::Ticker => {
            let ticker = session.ticker(symbol)?;
            let field = |field: TickerField| {
                format!("{}={}", field.name(), ticker.get(field).unwrap_or("null"))
            };
            Facts::Whole(TickerField::ALL.map(field).join(" "))
        }
        View::Book(_) => {
            let book = session.book(symbol)?;
            let bids: Vec<_> = book.bids().collect();
            let asks: Vec<_> = book.asks().collect();
            let depth = book.depth().levels();
            let checksum = book.checksum();
            Facts::Whole(format!("depth {depth} bids {bids:?} asks {asks:?} checksum {checksum}"))
        }
        View::Trades => {
            let trades = session.trades(symbol)?;
            Facts::Trades(trades.recent().cloned().collect(), trades.missed() > 0)
        }
        View::Bars(interval) => {
            Facts::Bars(session.bars(symbol, interval)?.bars().cloned().collect())
        }
    })
}

/// Whether what a client holds agrees with a snapshot of the same moment, which may show less of
/// the past than the client remembers.
pub(crate) fn agree(client: &Facts, snapshot: &Facts) -> bool {
    match (client, snapshot) {
        (Facts::Whole(client), Facts::Whole(snapshot)) => client == snapshot,
        (Facts::Trades(client, has_missed), Facts::Trades(snapshot, _)) => {
            let Some(first) = snapshot.first() else { return client.is_empty() };
            let mine: Vec<&TradeRow> = client.iter().filter(|row| row.seq >= first.seq).collect();
            if *has_missed {
                return mine.iter().all(|row| snapshot.contains(row));
            }
            // Only of what came before the client began can it know less.
            let from = mine.first().map_or(first.seq, |row| row.seq);
            snapshot.iter().filter(|row| row.seq >= from).eq(mine.iter().copied())
        }
        (Facts::Bars(client), Facts::Bars(snapshot)) => {
            let Some(first) = snapshot.first() else { return client.is_empty() };
            client.iter().filter(|bar| bar.start >= first.start).eq(snapshot)
        }
        _ => false,
    }
}
