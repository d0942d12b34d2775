//! The client against services that break the protocol, go silent, or say not to come back.

mod scripted;
mod service;

use scripted::{Peer, serve};
use service::{soon, until};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tickcast_client::{Backoff, ConnectionState, Error, Options, Tickcast, TradingState};

const SYMBOL: &str = "venue:A-B";

fn options(address: SocketAddr) -> Options {
    let backoff = Backoff { base: Duration::from_millis(20), max: Duration::from_millis(100) };
    Options::new(format!("ws://{address}")).backoff(backoff).verify_checksums(true)
}

async fn connected(address: SocketAddr) -> Tickcast {
    soon("a connection", options(address).connect()).await.unwrap()
}

/// Welcomes, grants one subscription and gives a status.
fn begin(peer: &mut Peer) -> Option<serde_json::Value> {
    peer.welcome(60_000);
    let request = peer.grant()?;
    peer.status(SYMBOL);
    Some(request)
}

#[tokio::test]
async fn a_gap_is_asked_for_with_what_is_held_and_nothing_is_given_meanwhile() {
    let (told, requests) = mpsc::channel();
    let address = serve(move |mut peer| {
        let Some(_) = begin(&mut peer) else { return };
        peer.ticker(SYMBOL, None, 5, "1.5");
        peer.ticker(SYMBOL, Some(7), 8, "1.8");
        let Some(again) = peer.grant() else { return };
        let _ = told.send(again);
        peer.ticker(SYMBOL, Some(5), 9, "1.9");
        peer.wait();
    });
    let tick = connected(address).await;
    let mut tickers = soon("tickers", tick.ticker([SYMBOL]).subscribe()).await.unwrap();
    let mut lasts = Vec::new();
    soon("the end of the gap", async {
        while lasts.last().is_none_or(|last| last != "1.9") {
            lasts.extend(tickers.next().await.expect("it goes on").last);
        }
    })
    .await;
    assert!(!lasts.contains(&"1.8".to_owned()), "{lasts:?}");
    let again = requests.recv().unwrap();
    assert_eq!(again["params"]["since"], serde_json::json!({ SYMBOL: { "epoch": 1, "seq": 5 } }));
    assert_eq!(tick.connection().resyncs, 1);
}

#[tokio::test]
async fn a_service_that_is_always_wrong_is_asked_ever_more_rarely() {
    let (told, asked) = mpsc::channel();
    let address = serve(move |mut peer| {
        let Some(_) = begin(&mut peer) else { return };
        // Every answer is a book with a wrong checksum.
        loop {
            peer.say(&format!(
                r#"{{"channel":"book","type":"snapshot","data":[{{"symbol":"{SYMBOL}","depth":10,"epoch":1,"seq":9,"state":"live","bids":[["1.0","1.0"]],"asks":[],"checksum":1,"ts_event":1,"ts_publish":2}}]}}"#
            ));
            let Some(again) = peer.grant() else { return };
            let _ = told.send((Instant::now(), again));
        }
    });
    let tick = connected(address).await;
    let _books = soon("books", tick.book([SYMBOL]).subscribe()).await.unwrap();
    let asks = tokio::task::spawn_blocking(move || asked.iter().take(5).collect::<Vec<_>>());
    let asks = soon("questions", asks).await.unwrap();
    for (_, ask) in &asks {
        let nothing = serde_json::json!({ SYMBOL: { "epoch": 0, "seq": 0 } });
        assert_eq!(ask["params"]["since"], nothing, "only a snapshot helps");
    }
    // The pauses are at least 100, 200, 400 and 800 ms, whatever the machine does.
    assert!(asks[4].0 - asks[0].0 >= Duration::from_millis(1_400));
    assert!(tick.connection().checksum_failures >= 5);
    assert_eq!(tick.latest().book(SYMBOL), None, "nothing that is wrong is given");
}

#[tokio::test]
async fn what_never_came_is_asked_for_again() {
    let address = serve(|mut peer| {
        // Granted, and the first data is lost on the way; so is the first answer to the question.
        let Some(_) = begin(&mut peer) else { return };
        let Some(_) = peer.grant() else { return };
        let Some(_) = peer.grant() else { return };
        peer.ticker(SYMBOL, None, 5, "1.5");
        peer.wait();
    });
    let tick = connected(address).await;
    let mut tickers = soon("tickers", tick.ticker([SYMBOL]).subscribe()).await.unwrap();
    let ticker = soon("data", tickers.next()).await.unwrap();
    assert_eq!((ticker.last.as_deref(), ticker.state), (Some("1.5"), TradingState::Live));
}

#[tokio::test]
async fn codes_of_44_stop_the_client_and_others_bring_it_back() {
    for code in [1000, 1001, 1009, 4500, 4508] {
        let address = serve(move |mut peer| {
            peer.welcome(60_000);
            if peer.number == 0 { peer.close(code, "for now") } else { peer.wait() }
        });
        let tick = options(address).connect_lazily().unwrap();
        until("the second connection", || (tick.connection().reconnects >= 1).then_some(())).await;
    }
    for code in [4400, 4403, 4413] {
        let address = serve(move |mut peer| {
            peer.welcome(60_000);
            peer.close(code, "for good");
        });
        let tick = options(address).connect_lazily().unwrap();
        let closed = soon("the end", tick.until(ConnectionState::is_closed)).await;
        let reason = Error::Closed { code, reason: "for good".into() };
        assert_eq!(closed, ConnectionState::Closed { reason });
    }
}

#[tokio::test]
async fn silence_is_death_and_a_heartbeat_is_life() {
    let address = serve(|mut peer| {
        peer.welcome(50);
        if peer.number > 0 {
            return peer.wait();
        }
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(40));
            peer.say(r#"{"channel":"heartbeat","ts_publish":1}"#);
        }
        // Nothing more, and the socket stays open.
        peer.wait();
    });
    let tick = connected(address).await;
    let lost = soon("the loss", tick.until(|state| !state.is_live())).await;
    let ConnectionState::Reconnecting { reason, .. } = lost else { panic!("{lost:?}") };
    assert_eq!(reason, Error::Silent(150));
}

#[tokio::test]
async fn a_connection_lost_after_a_goaway_is_made_again_only_at_its_moment() {
    let address = serve(|mut peer| {
        peer.welcome(60_000);
        if peer.number == 0 {
            peer.say(r#"{"channel":"system","type":"goaway","data":[{"reconnect_after_ms":1500,"reason":"drain"}]}"#);
            // Heard, and then lost without a word.
            peer.ping();
        } else {
            peer.wait();
        }
    });
    let before = Instant::now();
    let tick = connected(address).await;
    let lost = soon("the loss", tick.until(|state| !state.is_live())).await;
    let ConnectionState::Reconnecting { next_try, .. } = lost else { panic!("{lost:?}") };
    assert!(next_try >= before + Duration::from_millis(1_500));
    soon("the next", tick.until(ConnectionState::is_live)).await;
    assert!(before.elapsed() >= Duration::from_millis(1_500));
}

#[tokio::test]
async fn after_a_reconnect_what_is_held_is_claimed() {
    let (told, requests) = mpsc::channel();
    let address = serve(move |mut peer| {
        let Some(request) = begin(&mut peer) else { return };
        let _ = told.send(request);
        if peer.number == 0 {
            peer.ticker(SYMBOL, None, 5, "1.5");
            // Returning cuts the connection.
            peer.ping();
        } else {
            peer.ticker(SYMBOL, Some(5), 6, "1.6");
            peer.wait();
        }
    });
    let tick = connected(address).await;
    // All fields may be claimed only where the snapshot had them.
    let fields = [tickcast_client::TickerField::Last];
    let asked = tick.ticker([SYMBOL]).fields(fields).subscribe();
    let tickers = soon("tickers", asked).await.unwrap();
    until("the update", || (tickers.get(SYMBOL)?.last.as_deref() == Some("1.6")).then_some(()))
        .await;
    assert!(requests.recv().unwrap()["params"]["since"].is_null());
    let since = &requests.recv().unwrap()["params"]["since"];
    assert_eq!(*since, serde_json::json!({ SYMBOL: { "epoch": 1, "seq": 5 } }));
}

#[tokio::test]
async fn a_subscribe_that_is_refused_for_now_is_sent_again_and_one_for_good_is_not() {
    let address = serve(|mut peer| {
        peer.welcome(60_000);
        let Some(request) = peer.hear() else { return };
        let refused = |code| serde_json::json!({ "success": false, "code": code, "error": "no" });
        peer.answer(&request, &refused(4529));
        let Some(_) = peer.grant() else { return };
        let Some(request) = peer.hear() else { return };
        peer.answer(&request, &refused(4413));
        peer.wait();
    });
    let tick = connected(address).await;
    let first = soon("a grant", tick.ticker([SYMBOL]).subscribe()).await.unwrap();
    let refused = soon("a refusal", tick.ticker(["venue:C-D"]).subscribe()).await.unwrap_err();
    assert_eq!(refused, Error::Request { code: 4413, error: "no".into() });
    assert_eq!(first.error(), None);
}

#[tokio::test]
async fn what_is_not_known_is_ignored_and_fragments_are_one_message() {
    let address = serve(|mut peer| {
        peer.say(r#"{"channel":"novelty","type":"snapshot","data":[{"symbol":"x"}]}"#);
        peer.welcome(60_000);
        let Some(_) = peer.grant() else { return };
        peer.say(r#"{"method":"novelty","success":true}"#);
        peer.say(r#"{"channel":"ticker","type":"rumour","data":[]}"#);
        peer.say("no JSON at all");
        peer.status(SYMBOL);
        let text = format!(
            r#"{{"channel":"ticker","type":"snapshot","data":[{{"symbol":"{SYMBOL}","epoch":1,"seq":5,"state":"live","last":"1.5","novelty":[1],"ts_event":1,"ts_publish":2}}]}}"#
        );
        let (first, rest) = text.split_at(50);
        let (second, third) = rest.split_at(20);
        peer.fragment(first, true, false);
        peer.fragment(second, false, false);
        assert!(peer.ping_between_fragments());
        peer.fragment(third, false, true);
        peer.wait();
    });
    let tick = connected(address).await;
    let mut tickers = soon("tickers", tick.ticker([SYMBOL]).subscribe()).await.unwrap();
    let ticker = soon("data", tickers.next()).await.unwrap();
    assert_eq!(ticker.last.as_deref(), Some("1.5"));
    assert_eq!(tick.connection().undecodable, 1);
}

#[tokio::test]
async fn pings_are_answered_and_a_binary_message_in_json_ends_the_connection() {
    let (told, pongs) = mpsc::channel();
    let address = serve(move |mut peer| {
        peer.welcome(60_000);
        let _ = told.send(peer.ping());
        peer.binary();
        peer.wait();
    });
    let tick = connected(address).await;
    let lost = soon("the loss", tick.until(|state| !state.is_live())).await;
    let ConnectionState::Reconnecting { reason, .. } = lost else { panic!("{lost:?}") };
    assert!(matches!(reason, Error::Lost(_)), "{reason}");
    assert!(pongs.recv().unwrap());
}
