//! The real driver with the real handlers in live mode, against a venue that plays a recording
//! and makes trouble: whatever happens on the way, the final books are the recording's.

mod driver_support;

use driver_support::{Expected, Followed, Options, feed, recordings};
use std::path::Path;
use tickcast_feed::mock::{Fault, FaultPlan, MockConfig, MockVenue};
use tickcast_market::{Nanos, Venue};
use tokio::task::JoinSet;

const SEEDS: [u64; 4] = [1, 2, 3, 4];
/// How many feeds run at a time: each mostly waits for its deadlines.
const AT_A_TIME: usize = 6;

/// When the trouble happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// After this many messages, whatever the client is doing then.
    Any,
    /// As [`Moment::Any`], but the client's books are live then.
    Live,
}

async fn check(folder: &Path, recording: &str, faults: &[FaultPlan], moment: Moment) {
    let what = format!("{recording}, {moment:?}, {faults:?}");
    let expected = Expected::of(folder, recording);
    let mut options = Options::new(&folder.join(recording));
    options.mock.faults = faults.to_vec();
    if !faults.is_empty() {
        // Some trouble ends with a line that is silent; taking a line for silent that is not is no
        // worse than the trouble.
        options.silence_max = Nanos::from_millis(800);
    }
    if moment == Moment::Live {
        options.mock.hold_at = faults.first().and_then(|plan| usize::try_from(plan.after).ok());
    }
    let feed = feed(expected.venue, &expected.symbols(), options).await;
    if moment == Moment::Live {
        feed.wait_until_live(&what, &expected).await;
        feed.mock().release();
    }
    feed.wait_for(&what, &expected).await;
    let status = feed.mock().status();
    for plan in faults {
        let is_fired = status.fired.iter().any(|fired| fired.name() == plan.fault.name());
        assert!(is_fired, "{what}: {plan:?} had no occasion");
    }
    // Before the stop, which is an interruption too.
    let interrupted = feed.keeper.lock().values().any(Followed::was_interrupted);
    let (_, metrics) = feed.stop().await;
    let interrupts = faults.iter().any(|plan| match plan.fault {
        Fault::Cut | Fault::Silence(_) | Fault::Crossed => true,
        // A lost Kraken update may be one that the next ones make good.
        Fault::Drop(_) => expected.venue != Venue::Kraken,
        _ => false,
    });
    if interrupts && moment == Moment::Live {
        assert!(interrupted, "{what}: nobody was told that data was missing");
    }
    if faults.is_empty() {
        assert!(!interrupted, "{what}");
        for name in ["reconnects", "gaps", "checksum_failures"] {
            let line = format!("tickcast_feed_{name}_total{{venue=\"{}\"}} 0", expected.venue);
            assert!(metrics.contains(&line), "{what}: {line} is not in:\n{metrics}");
        }
        let is_error = |line: &str| {
            line.starts_with("tickcast_feed_decode_errors_total{") && !line.ends_with(" 0")
        };
        assert!(!metrics.lines().any(is_error), "{what}:\n{metrics}");
    }
}

/// A run without trouble, then every kind of trouble at seeded moments.
async fn check_all(recording: &'static str, seeds: usize) {
    let Some(folder) = recordings() else { return };
    check(&folder, recording, &[], Moment::Any).await;
    let total = total_of(&folder.join(recording)).await;
    let mut running = JoinSet::new();
    for seed in &SEEDS[..seeds] {
        let mut random = fastrand::Rng::with_seed(*seed);
        for fault in Fault::ALL {
            let after = random.u64(1..total * 6 / 10);
            let plan = |fault| FaultPlan { fault, after };
            let faults = match fault {
                // Something has to be asked for, so that it can be refused.
                Fault::Refuse => vec![plan(Fault::Refuse), plan(Fault::Cut)],
                // Kraken's handler asks for nothing over REST, and Binance's leaves the venue alone
                // for a whole minute after a 429: its weights are counted by the minute.
                Fault::RefuseRest if !recording.starts_with("coinbase") => continue,
                Fault::RefuseRest => vec![FaultPlan { fault, after: 0 }],
                fault => vec![plan(fault)],
            };
            let moment = match fault {
                Fault::RefuseRest => Moment::Any,
                _ if seed % 2 == 0 => Moment::Any,
                _ => Moment::Live,
            };
            let folder = folder.clone();
            running.spawn(async move { check(&folder, recording, &faults, moment).await });
            if running.len() >= AT_A_TIME {
                running.join_next().await.expect("one is running").expect("passes");
            }
        }
    }
    while let Some(outcome) = running.join_next().await {
        outcome.expect("passes");
    }
}

async fn total_of(path: &Path) -> u64 {
    let mock = MockVenue::start(MockConfig::new(path)).await.expect("the recording is readable");
    mock.status().total as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn binance_four_symbols_end_as_recorded_whatever_happens() {
    check_all("binance_4sym_30s.rec.gz", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn binance_three_symbols_end_as_recorded_whatever_happens() {
    check_all("binance_3sym_91s.rec.gz", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kraken_at_depth_25_ends_as_recorded_whatever_happens() {
    check_all("kraken_btcusd_d25_51s.rec.gz", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kraken_at_depth_10_with_resubscriptions_ends_as_recorded_whatever_happens() {
    check_all("kraken_btcusd_d10_resub_60s.rec.gz", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coinbase_advanced_with_whole_books_ends_as_recorded_whatever_happens() {
    check_all("coinbase_advanced_2sym_24s.rec.gz", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coinbase_exchange_two_busy_products_end_as_recorded_whatever_happens() {
    check_all("coinbase_exchange_2sym_10s.rec.gz", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coinbase_exchange_ten_quiet_products_end_as_recorded_whatever_happens() {
    check_all("coinbase_exchange_10sym_31s.rec.gz", 2).await;
}
