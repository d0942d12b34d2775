//! What the driver does besides carrying messages: replaces old connections, answers pings,
//! records, holds back for a full publisher, stops, and survives a venue that is down.

mod driver_support;

use driver_support::{Expected, Options, feed, feed_of, recordings};
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tickcast_feed::mock::{Fault, FaultPlan, MockConfig, MockVenue, Speed};
use tickcast_feed::{FeedState, RecordingClock, RecordingHeader, RecordingWriter};
use tickcast_market::Nanos;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BINANCE: &str = "binance_4sym_30s.rec.gz";
const KRAKEN: &str = "kraken_btcusd_d25_51s.rec.gz";
const ADVANCED: &str = "coinbase_advanced_2sym_24s.rec.gz";
const COINBASE: &str = "coinbase_exchange_10sym_31s.rec.gz";

/// A file of this test's own, removed at the end.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str) -> TempFile {
        TempFile(std::env::temp_dir().join(format!("tickcast-{}-{name}", std::process::id())))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_connections_are_replaced_again_and_again_and_the_books_stay_right() {
    let Some(folder) = recordings() else { return };
    for recording in [BINANCE, KRAKEN] {
        let expected = Expected::of(&folder, recording);
        let mut options = Options::new(&folder.join(recording));
        options.lifetime_max = Some(Nanos::from_millis(300));
        options.mock.speed = Speed::Times(20.0);
        let feed = feed(expected.venue, &expected.symbols(), options).await;
        feed.wait("three connections in turn", |f, _| f.mock().status().sessions_total >= 3).await;
        feed.wait("the older ones are closed", |f, _| f.mock().status().sessions <= 2).await;
        feed.wait_for(recording, &expected).await;
        let (_, metrics) = feed.stop().await;
        let line = format!("tickcast_feed_reconnects_total{{venue=\"{}\"}} 0", expected.venue);
        assert!(metrics.contains(&line), "a planned replacement is no reconnect:\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_are_answered_with_their_payload_and_keep_a_quiet_line_alive() {
    let Some(folder) = recordings() else { return };
    let expected = Expected::of(&folder, KRAKEN);
    let mut options = Options::new(&folder.join(KRAKEN));
    // No shorter, or a machine that pauses would be silent for so long.
    options.silence_max = Nanos::from_secs(5);
    // Nothing is played and nothing beats: only pings show that the venue lives.
    options.mock.hold_at = Some(0);
    options.mock.idle_gap = Duration::from_secs(3600);
    options.mock.ping_gap = Duration::from_millis(20);
    let feed = feed(expected.venue, &expected.symbols(), options).await;
    feed.wait("a pong", |feed, _| feed.mock().status().pongs > 0).await;
    let (began, pongs) = (Instant::now(), feed.mock().status().pongs);
    feed.wait("pongs for longer than the silence", |feed, _| {
        feed.mock().status().pongs >= pongs + 50 && began.elapsed() > Duration::from_secs(6)
    })
    .await;
    assert_eq!(feed.mock().status().sessions_total, 1, "it was not taken for silent");
    feed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_driver_records_can_be_played_again_and_ends_the_same() {
    let Some(folder) = recordings() else { return };
    for recording in [BINANCE, KRAKEN, COINBASE, ADVANCED] {
        let expected = Expected::of(&folder, recording);
        let file = TempFile::new(recording);
        let header = RecordingHeader { venue: expected.venue, clock: RecordingClock::Unix };
        let out = File::create(&file.0).expect("a temporary file");
        let recorder = RecordingWriter::new(out, header).expect("the header is written");
        let mut options = Options::new(&folder.join(recording));
        options.recorder = Some(Box::new(recorder));
        // A cut, so that the recording has more than one connection and a second snapshot.
        let half = FaultPlan { fault: Fault::Cut, after: 100 };
        options.mock.faults.push(half);
        let first = feed(expected.venue, &expected.symbols(), options).await;
        first.wait_for(recording, &expected).await;
        first.stop().await;

        let again = feed(expected.venue, &expected.symbols(), Options::new(&file.0)).await;
        again.wait_for(&format!("{recording}, recorded and played again"), &expected).await;
        again.stop().await;
    }
}

/// Fails after so many bytes, as a disk does that is full.
struct FullDisk(usize);

impl Write for FullDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_publisher_is_waited_for_and_nothing_is_lost() {
    let Some(folder) = recordings() else { return };
    let expected = Expected::of(&folder, COINBASE);
    let mut options = Options::new(&folder.join(COINBASE));
    options.batches_max = 2;
    options.silence_max = Nanos::from_secs(5);
    let feed = feed(expected.venue, &expected.symbols(), options).await;
    feed.paused.store(true, Ordering::Relaxed);
    // More than the driver takes in while the follower stands still; the rest waits in sockets. And
    // for longer than a venue may be silent.
    let began = Instant::now();
    feed.wait_for_mock("the driver is full", |status| {
        status.played >= 3000 && began.elapsed() > Duration::from_secs(6)
    })
    .await;
    feed.paused.store(false, Ordering::Relaxed);
    feed.wait_for("after the pause", &expected).await;
    let trades = expected.trades.clone();
    let (keeper, metrics) = feed.stop().await;
    for (symbol, followed) in keeper.lock().iter() {
        assert_eq!(Some(&followed.trades), trades.get(symbol), "{symbol}: no trade is lost");
    }
    let line = "tickcast_feed_reconnects_total{venue=\"coinbase-exchange\"} 0";
    assert!(metrics.contains(line), "our own pause is not the venue's silence:\n{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_can_be_stopped_while_its_publisher_is_full() {
    let Some(folder) = recordings() else { return };
    let expected = Expected::of(&folder, COINBASE);
    let mut options = Options::new(&folder.join(COINBASE));
    options.batches_max = 1;
    let feed = feed(expected.venue, &expected.symbols(), options).await;
    feed.wait("the first messages", |feed, _| feed.mock().status().played > 0).await;
    let paused = feed.paused.clone();
    paused.store(true, Ordering::Relaxed);
    tokio::time::timeout(Duration::from_secs(30), feed.stop())
        .await
        .expect("a stop does not wait for the publisher");
    paused.store(false, Ordering::Relaxed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_cannot_be_written_ends_the_driver_with_its_reason() {
    let Some(folder) = recordings() else { return };
    let expected = Expected::of(&folder, COINBASE);
    let header = RecordingHeader { venue: expected.venue, clock: RecordingClock::Unix };
    let recorder = RecordingWriter::new(FullDisk(1 << 16), header).expect("room for the header");
    let mut options = Options::new(&folder.join(COINBASE));
    options.recorder = Some(Box::new(recorder));
    let feed = feed(expected.venue, &expected.symbols(), options).await;
    let error = feed.ended().await.expect_err("the disk is full");
    assert!(error.to_string().contains("recording cannot be written"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_venue_that_is_down_at_first_is_reached_when_it_comes() {
    let Some(folder) = recordings() else { return };
    let expected = Expected::of(&folder, KRAKEN);
    // The venue listens, and is then taken away; its port is known from then on. At an address of
    // this process alone, so that nobody else takes the port meanwhile.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let own = SocketAddr::from(([127, 64 | high, middle, low], 0));
    let first = MockConfig { listen: own, ..MockConfig::new(folder.join(KRAKEN)) };
    let first = MockVenue::start(first).await.expect("readable");
    let address = first.address();
    let mut feed = feed_of(first, expected.venue, &expected.symbols(), Options::new(&folder));
    let mut status = feed.status.clone();
    status.wait_for(|status| status.state == FeedState::Live).await.expect("the driver runs");
    feed.venue = None;
    status.wait_for(|status| status.state == FeedState::Down).await.expect("the driver runs");
    let mut config = Options::new(&folder.join(KRAKEN)).mock;
    config.listen = address;
    feed.venue = Some(MockVenue::start(config).await.expect("the port is free again"));
    feed.wait_for("back again", &expected).await;
    // It is looked at some times a second; the books may be quicker.
    status.wait_for(|status| status.state == FeedState::Live).await.expect("the driver runs");
    feed.stop().await;
    assert_eq!(status.borrow().state, FeedState::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mock_can_be_asked_and_troubled_over_http() {
    let Some(folder) = recordings() else { return };
    let mock = MockVenue::start(MockConfig::new(folder.join(KRAKEN))).await.expect("readable");
    let ask = |request: &'static str| {
        let address = mock.address();
        async move {
            let mut stream = tokio::net::TcpStream::connect(address).await.expect("listens");
            let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("is read");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("is answered");
            answer
        }
    };
    let answer = ask("POST /control?fault=cut&after=7").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"played\":0"), "{answer}");
    let answer = ask("POST /control?fault=nonsense").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("nonsense"), "{answer}");
    let answer = ask("GET /nowhere").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}
