//! What the driver's tests share: a whole feed (mock venue, driver, real handler) with a follower
//! of its events at the end, which plays the publisher.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use parking_lot::Mutex;
use prometheus::{Registry, TextEncoder};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tickcast_feed::mock::{MockConfig, MockStatus, MockVenue};
use tickcast_feed::{
    ConnectPacer, Driver, DriverConfig, DriverError, FeedStatus, InboxSender, Limits, Metrics,
    Outlet, Recorder, VenueConfig, handler_of,
};
use tickcast_market::{
    BookChange, BookSide, Directory, Event, EventBatch, EventBody, InstrumentIndex, Nanos,
    SourceIndex, TradingState, Venue,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// The longest that any condition is waited for; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Decimals that every price and size is compared at.
const DECIMALS: u32 = 18;

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

/// A side of a book as exact numbers, by price.
type Rungs = BTreeMap<i128, i128>;

/// Levels of both sides as price and size, best first.
pub(crate) type Levels = [Vec<(i128, i128)>; 2];

/// One instrument as a follower sees it.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    bids: Rungs,
    asks: Rungs,
    pub(crate) trades: u64,
    pub(crate) states: Vec<TradingState>,
}

impl Followed {
    fn apply(&mut self, change: &BookChange, event: &Event<'_>) {
        let exact = |mantissa: i64, scale: u8| {
            i128::from(mantissa) * 10i128.pow(DECIMALS - u32::from(scale))
        };
        let price = exact(change.price.0, event.scales.price);
        let rungs = match change.side {
            BookSide::Bid => &mut self.bids,
            BookSide::Ask => &mut self.asks,
        };
        if change.size.0 == 0 {
            rungs.remove(&price);
        } else {
            rungs.insert(price, exact(change.size.0, event.scales.size));
        }
    }

    fn is_crossed(&self) -> bool {
        match (self.bids.last_key_value(), self.asks.first_key_value()) {
            (Some((bid, _)), Some((ask, _))) => bid > ask,
            _ => false,
        }
    }

    pub(crate) fn top_ten(&self) -> Levels {
        let pair = |(price, size): (&i128, &i128)| (*price, *size);
        [
            self.bids.iter().rev().take(10).map(pair).collect(),
            self.asks.iter().take(10).map(pair).collect(),
        ]
    }

    /// Every level of both sides, best first.
    pub(crate) fn levels(&self) -> Levels {
        let pair = |(price, size): (&i128, &i128)| (*price, *size);
        [self.bids.iter().rev().map(pair).collect(), self.asks.iter().map(pair).collect()]
    }

    pub(crate) fn state(&self) -> Option<TradingState> {
        self.states.last().copied()
    }

    /// Whether it was not live at some time after it first was.
    pub(crate) fn was_interrupted(&self) -> bool {
        let first = self.states.iter().position(|state| *state == TradingState::Live);
        first.is_some_and(|first| self.states[first..].iter().any(|s| *s != TradingState::Live))
    }
}

/// Everything that was followed, by the venue's own symbol.
pub(crate) type Keeper = BTreeMap<String, Followed>;

/// A running feed with a follower.
pub(crate) struct Feed {
    /// None while the venue is away.
    pub(crate) venue: Option<MockVenue>,
    pub(crate) keeper: Arc<Mutex<Keeper>>,
    pub(crate) status: watch::Receiver<FeedStatus>,
    changed: watch::Receiver<u64>,
    /// The follower stands still while it is set.
    pub(crate) paused: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    driver: JoinHandle<Result<(), DriverError>>,
    registry: Registry,
}

/// How a feed of a test differs from the usual one.
pub(crate) struct Options {
    pub(crate) mock: MockConfig,
    pub(crate) lifetime_max: Option<Nanos>,
    /// Longer than a busy machine pauses, so that nobody is taken for silent who is not: the venue
    /// is of this process and pauses with it. Shorter where a silence has to be found.
    pub(crate) silence_max: Nanos,
    /// How many batches wait for the follower.
    pub(crate) batches_max: usize,
    pub(crate) recorder: Option<Box<dyn Recorder>>,
}

impl Options {
    pub(crate) fn new(recording: &Path) -> Options {
        Options {
            mock: MockConfig { idle_gap: Duration::from_millis(50), ..MockConfig::new(recording) },
            lifetime_max: None,
            silence_max: Nanos::from_secs(30),
            batches_max: 16,
            recorder: None,
        }
    }
}

/// Starts the mock venue and a driver with the venue's real handler, in live mode, for these
/// canonical symbols.
pub(crate) async fn feed(venue: Venue, symbols: &[String], options: Options) -> Feed {
    let mock = MockVenue::start(options.mock.clone()).await.expect("the recording is readable");
    feed_of(mock, venue, symbols, options)
}

/// As [`feed`], at a mock venue that is there already.
pub(crate) fn feed_of(mock: MockVenue, venue: Venue, symbols: &[String], options: Options) -> Feed {
    let ws_url = match venue {
        Venue::Kraken => format!("{}/v2", mock.ws_url()),
        _ => mock.ws_url(),
    };
    let config = VenueConfig {
        ws_url: Some(ws_url),
        rest_url: Some(mock.rest_url()),
        symbols: symbols.to_vec(),
        nats: None,
    };
    let handler = handler_of(venue, &config).expect("a venue with a handler");
    let limits = Limits {
        send_gap: Nanos::from_millis(1),
        get_gap: Nanos::from_millis(1),
        connect_gap: Nanos::from_millis(1),
        silence_max: options.silence_max,
        lifetime_max: options.lifetime_max,
        ..handler.limits()
    };
    let driver_config = DriverConfig {
        limits: Some(limits),
        backoff_min: Nanos::from_millis(10),
        backoff_max: Nanos::from_millis(200),
        connect_pacer: ConnectPacer::default(),
        seed: 1,
        ..DriverConfig::new(venue)
    };
    let directory = Arc::new(Directory::default());
    let (sender, batches, recycled) = InboxSender::bounded(options.batches_max);
    let outlet = Outlet::to_inboxes(SourceIndex(0), directory.clone(), &[sender]);
    let registry = Registry::new();
    let metrics = Metrics::new(&registry).expect("an empty registry").of(venue);
    let driver = Driver::new(handler, outlet, metrics, driver_config, options.recorder);
    let (resync, status) = (driver.resync(), driver.status());
    let (stop, stopping) = watch::channel(false);
    let keeper = Arc::new(Mutex::new(Keeper::new()));
    let (version, changed) = watch::channel(0);
    let kept = keeper.clone();
    let paused = Arc::new(AtomicBool::new(false));
    let is_paused = paused.clone();
    std::thread::spawn(move || {
        while let Ok(mut batch) = batches.recv() {
            // Relaxed: it hands over nothing but itself.
            while is_paused.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            follow(&batch, &directory, &mut kept.lock(), &resync);
            batch.clear();
            let _ = recycled.try_send(batch);
            version.send_modify(|version| *version += 1);
        }
    });
    let driver = tokio::spawn(driver.run(stopping));
    Feed { venue: Some(mock), keeper, status, changed, paused, stop, driver, registry }
}

/// Applies a batch as a publisher would; a book that was live and is crossed is asked for again.
fn follow(
    batch: &EventBatch,
    directory: &Directory,
    keeper: &mut Keeper,
    resync: &mpsc::Sender<InstrumentIndex>,
) {
    for event in batch.iter() {
        let instrument = directory.get(event.instrument).expect("made known before its events");
        let followed = keeper.entry(instrument.spec.venue_symbol.clone()).or_default();
        match event.body {
            EventBody::BookSnapshot(levels) => {
                followed.bids.clear();
                followed.asks.clear();
                levels.iter().for_each(|level| followed.apply(level, &event));
            }
            EventBody::BookUpdate(levels) => {
                levels.iter().for_each(|change| followed.apply(change, &event));
            }
            EventBody::Trades(trades) => followed.trades += trades.len() as u64,
            EventBody::State(state) => followed.states.push(state),
            EventBody::Quote(_) | EventBody::Day(_) | EventBody::Bars(..) => {}
        }
        if followed.is_crossed() && followed.state() == Some(TradingState::Live) {
            // A full queue is asked again by the next event of the crossed book.
            let _ = resync.try_send(event.instrument);
        }
    }
}

impl Feed {
    pub(crate) fn mock(&self) -> &MockVenue {
        self.venue.as_ref().expect("the venue is there")
    }

    /// Waits until the mock is so far; for when the follower stands still.
    pub(crate) async fn wait_for_mock(&self, what: &str, holds: impl Fn(&MockStatus) -> bool) {
        let waiting = async {
            while !holds(&self.mock().status()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(outcome.is_ok(), "{what}: never came; mock {:?}", self.mock().status());
    }

    /// Waits until the driver ends by itself.
    pub(crate) async fn ended(self) -> Result<(), DriverError> {
        let ended = tokio::time::timeout(PATIENCE, self.driver).await;
        ended.expect("the driver ends").expect("the driver does not panic")
    }

    /// Waits until the condition holds for what was followed and how far the mock is.
    pub(crate) async fn wait(&self, what: &str, mut holds: impl FnMut(&Feed, &Keeper) -> bool) {
        let mut changed = self.changed.clone();
        let waiting = async {
            loop {
                if holds(self, &self.keeper.lock()) {
                    return;
                }
                // The driver sends its clock several times a second, so this ends.
                changed.changed().await.expect("the follower lives as long as the driver");
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            let states: Vec<_> = self
                .keeper
                .lock()
                .iter()
                .map(|(symbol, f)| {
                    (symbol.clone(), f.states.clone(), f.top_ten()[0].first().copied())
                })
                .collect();
            panic!("{what}: never came; mock {:?}; {states:?}", self.mock().status());
        }
    }

    /// Waits until every book is live, and the mock holds there.
    pub(crate) async fn wait_until_live(&self, what: &str, expected: &Expected) {
        self.wait(&format!("{what}, first live"), |_, keeper| {
            let live = |f: &Followed| f.state() == Some(TradingState::Live);
            expected.tops.keys().all(|symbol| keeper.get(symbol).is_some_and(live))
        })
        .await;
    }

    /// Waits until the recording is over and every book is live, ends as expected in its best
    /// ten, and is the venue's in every level. Kraken's checksum covers ten levels: what was lost
    /// beneath shows only when it comes up, so nobody can promise more.
    pub(crate) async fn wait_for(&self, what: &str, expected: &Expected) {
        self.wait(what, |feed, keeper| {
            feed.mock().status().is_finished()
                && expected.tops.iter().all(|(symbol, top)| {
                    keeper.get(symbol).is_some_and(|followed| {
                        followed.state() == Some(TradingState::Live)
                            && followed.top_ten() == *top
                            && (expected.venue == Venue::Kraken
                                || followed.levels() == feed.venue_levels(symbol))
                    })
                })
        })
        .await;
    }

    fn venue_levels(&self, symbol: &str) -> Levels {
        let book = self.mock().book(symbol).expect("a symbol of the recording");
        book.map(|side| side.iter().map(|(price, size)| (exact(price), exact(size))).collect())
    }

    /// Stops it as a shutdown would, and gives what was followed.
    pub(crate) async fn stop(self) -> (Arc<Mutex<Keeper>>, String) {
        self.stop.send_replace(true);
        let outcome = self.driver.await.expect("the driver does not panic");
        outcome.expect("a driver that was asked to stop ends without an error");
        let text = TextEncoder::new().encode_to_string(&self.registry.gather());
        (self.keeper, text.expect("metrics can be written"))
    }
}

/// What a recording ends with.
pub(crate) struct Expected {
    pub(crate) venue: Venue,
    /// By the venue's own symbol.
    pub(crate) tops: BTreeMap<String, Levels>,
    pub(crate) trades: BTreeMap<String, u64>,
}

impl Expected {
    pub(crate) fn of(folder: &Path, recording: &str) -> Expected {
        let text = std::fs::read_to_string(folder.join("EXPECTED.json")).expect("is there");
        let all: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
        let one = &all[recording];
        let venue = one["venue"].as_str().and_then(Venue::from_name).expect("a known venue");
        let symbols = one["symbols"].as_object().expect("symbols");
        let levels = |list: &serde_json::Value| -> Vec<(i128, i128)> {
            let level = |level: &serde_json::Value| {
                (exact(level[0].as_str().unwrap()), exact(level[1].as_str().unwrap()))
            };
            list.as_array().expect("levels").iter().map(level).collect()
        };
        let tops = symbols
            .iter()
            .map(|(symbol, of)| (symbol.clone(), [levels(&of["bids"]), levels(&of["asks"])]))
            .collect();
        let trades = symbols
            .iter()
            .filter_map(|(symbol, of)| Some((symbol.clone(), of["trades"].as_u64()?)))
            .collect();
        Expected { venue, tops, trades }
    }

    /// The canonical symbols.
    pub(crate) fn symbols(&self) -> Vec<String> {
        let canonical = |symbol: &String| {
            let (base, quote) =
                tickcast_market::split_venue_symbol(symbol).expect("a symbol of two currencies");
            format!("{base}-{quote}")
        };
        self.tops.keys().map(canonical).collect()
    }
}

fn exact(text: &str) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = DECIMALS as usize;
    format!("{whole}{fraction:0<digits$}").parse().expect("a decimal number")
}
