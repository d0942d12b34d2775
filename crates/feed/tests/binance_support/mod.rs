//! What the Binance tests share: where recordings lie, and a sink that keeps books and counts.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use tickcast_feed::{BinanceConfig, BinanceHandler, Handler, Replay, ReplaySpeed, Step};
use tickcast_market::{
    Book, BookSide, Decimal, Directory, Event, EventBody, Instrument, InstrumentIndex,
    InstrumentSpec, Nanos, Price, Quote, Scales, Sink, Size, TradingState, Venue,
};

/// The recordings' folder: `TICKCAST_FEEDS`, else beside the workspace. `None`, and a visible
/// line, when it is not there; with `CI=true` that is a failure.
pub(crate) fn recordings() -> Option<PathBuf> {
    let folder = match std::env::var_os("TICKCAST_FEEDS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/feeds"),
    };
    let folder = folder.join("recordings");
    if folder.join("EXPECTED.json").is_file() {
        return Some(folder);
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no recordings in {folder:?}");
    println!("SKIPPED: no recordings in {}", folder.display());
    None
}

/// One instrument as a follower of events sees it.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    pub(crate) scales: Scales,
    pub(crate) book: Book,
    pub(crate) quote: Option<Quote>,
    pub(crate) trades: u64,
    pub(crate) last_trade: Option<Decimal>,
    pub(crate) states: Vec<TradingState>,
    pub(crate) ts_event: Nanos,
}

/// Follows every instrument.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    pub(crate) directory: Directory,
    pub(crate) followed: Vec<Followed>,
    pub(crate) events: u64,
}

impl Sink for Follower {
    fn instrument(&mut self, spec: &InstrumentSpec) -> InstrumentIndex {
        let index = self.directory.add(spec);
        if self.followed.len() <= index.index() {
            self.followed.resize_with(index.index() + 1, Followed::default);
        }
        index
    }

    fn event(&mut self, event: &Event<'_>) {
        self.events += 1;
        let followed = &mut self.followed[event.instrument.index()];
        followed.rescale(event.scales);
        if event.ts_event != Nanos::ZERO {
            followed.ts_event = event.ts_event;
        }
        match event.body {
            EventBody::Quote(quote) => followed.quote = Some(quote),
            EventBody::Trades(trades) => {
                followed.trades += trades.len() as u64;
                followed.last_trade = trades
                    .last()
                    .map(|t| Decimal { mantissa: t.price.0, scale: event.scales.price }.trimmed());
            }
            EventBody::BookSnapshot(levels) => followed.book.replace(levels),
            EventBody::BookUpdate(levels) => {
                for change in levels {
                    followed.book.apply(change);
                }
            }
            EventBody::State(state) => followed.states.push(state),
            EventBody::Day(_) | EventBody::Bars(..) => {}
        }
    }
}

impl Followed {
    fn rescale(&mut self, scales: Scales) {
        let (from, to) = (self.scales, self.scales.finest(scales));
        assert_eq!(to, scales, "an event is never coarser than one before it");
        let price = |p: Price| p.rescaled(from.price, to.price).unwrap();
        let size = |s: Size| s.rescaled(from.size, to.size).unwrap();
        for level in self.book.levels_mut() {
            (level.price, level.size) = (price(level.price), size(level.size));
        }
        if let Some(quote) = &mut self.quote {
            for (p, s) in [&mut quote.bid, &mut quote.ask].into_iter().flatten() {
                (*p, *s) = (price(*p), size(*s));
            }
        }
        self.scales = to;
    }

    /// The best ten of a side as numbers.
    pub(crate) fn top(&self, side: BookSide) -> Vec<(Decimal, Decimal)> {
        let price = |mantissa| Decimal { mantissa, scale: self.scales.price }.trimmed();
        let size = |mantissa| Decimal { mantissa, scale: self.scales.size }.trimmed();
        self.book.side(side).take(10).map(|l| (price(l.price.0), size(l.size.0))).collect()
    }

    /// The quote's prices as numbers.
    pub(crate) fn quote_prices(&self) -> Option<[Decimal; 2]> {
        let quote = self.quote?;
        let price = |side: Option<(Price, Size)>| {
            Decimal { mantissa: side.unwrap().0.0, scale: self.scales.price }.trimmed()
        };
        Some([price(quote.bid), price(quote.ask)])
    }
}

impl Follower {
    /// What is known of `symbol`.
    pub(crate) fn get(&self, symbol: &str) -> (&Followed, Arc<Instrument>) {
        let instrument = self.directory.find(&format!("binance:{symbol}")).expect("is known");
        (&self.followed[instrument.index.index()], instrument)
    }
}

/// A handler as a replay uses it.
pub(crate) fn handler(general_only: bool) -> Box<dyn Handler> {
    let handler = BinanceHandler::new(BinanceConfig::default());
    Box::new(if general_only { handler.general_only() } else { handler })
}

/// Opens a recording for Binance.
pub(crate) fn open(path: &Path, speed: ReplaySpeed, general_only: bool) -> Replay {
    let factory = move |venue| (venue == Venue::Binance).then(|| handler(general_only));
    Replay::open(path, speed, factory).expect("the recording opens")
}

/// Plays to the end and says how many messages were received.
pub(crate) fn play(replay: &mut Replay, sink: &mut dyn Sink) -> u64 {
    let mut received = 0;
    loop {
        match replay.step(Nanos::from_secs(1_800_000_000), sink) {
            Step::Fed { kind, .. } => {
                received += u64::from(kind == tickcast_feed::RecordKind::Recv);
            }
            Step::Ended(error) => {
                assert!(error.is_none(), "{error:?}");
                return received;
            }
        }
    }
}
