//! The client against the real service: what it holds is what the service publishes, over kills,
//! restarts and drains.

mod service;

use service::{Service, binary, own_address, soon, until};
use std::time::{Duration, Instant};
use tickcast_client::{
    Backoff, ConnectionState, Depth, Encoding, Error, ErrorKind, Event, Interval, Options,
    TickerField, TradingState, connect,
};

const SYMBOL: &str = "sim:S0-USD";
const SIM: [&str; 4] = ["--sim-instruments", "5", "--sim-rate", "40"];

fn quick(url: String) -> Options {
    let backoff = Backoff { base: Duration::from_millis(50), max: Duration::from_millis(500) };
    Options::new(url).backoff(backoff).verify_checksums(true)
}

#[tokio::test]
async fn what_is_held_equals_what_the_service_publishes() {
    equals_what_is_published(Encoding::Json).await;
}

#[tokio::test]
async fn what_is_held_is_the_same_in_the_binary_encoding() {
    equals_what_is_published(Encoding::Protobuf).await;
}

async fn equals_what_is_published(encoding: Encoding) {
    let Some(binary) = binary() else { return };
    let service = Service::start(&binary, &SIM);
    // What is listed comes at once: nothing has to be asked for again.
    service.until_ready();
    let options = quick(service.url()).encoding(encoding);
    let tick = soon("a connection", options.connect()).await.unwrap();
    let _tickers = soon("tickers", tick.ticker(["sim:*"]).subscribe()).await.unwrap();
    let depth = Depth::new(25).unwrap();
    let _books = soon("books", tick.book([SYMBOL]).depth(depth).subscribe()).await.unwrap();
    let _trades = soon("trades", tick.trades([SYMBOL]).subscribe()).await.unwrap();
    let bars = tick.bars([SYMBOL]).interval(Interval::S1).subscribe();
    let _bars = soon("bars", bars).await.unwrap();

    // Both move on, so that they are compared when they stand at the same seq, and the state, which
    // comes in messages of its own, is the same.
    until("the same ticker", || {
        let wanted = service.snapshot(&format!("channel=ticker&symbol={SYMBOL}"));
        let held = tick.latest().ticker(SYMBOL)?;
        (wanted["seq"] == held.seq.0 && wanted["state"] == held.state.name()).then(|| {
            assert_eq!(wanted["epoch"], held.epoch.0);
            for (name, value) in [
                ("last", held.last),
                ("bid_size", held.bid_size),
                ("ask", held.ask),
                ("volume", held.volume),
            ] {
                assert_eq!(wanted[name], serde_json::json!(value), "{name}");
            }
        })
    })
    .await;
    until("the same book", || {
        let wanted = service.snapshot(&format!("channel=book&depth=25&symbol={SYMBOL}"));
        let held = tick.latest().book(SYMBOL)?;
        (wanted["seq"] == held.seq.0).then(|| {
            let text = |levels: &[tickcast_client::Level]| -> Vec<[String; 2]> {
                levels.iter().map(|l| [l.price.to_string(), l.size.to_string()]).collect()
            };
            assert_eq!(wanted["bids"], serde_json::json!(text(&held.bids)));
            assert_eq!(wanted["asks"], serde_json::json!(text(&held.asks)));
            assert_eq!(wanted["checksum"], held.checksum);
        })
    })
    .await;
    until("the same trades", || {
        let wanted = service.snapshot(&format!("channel=trades&symbol={SYMBOL}"));
        let held = tick.latest().trades(SYMBOL)?;
        (wanted["seq"] == held.seq.0).then(|| {
            let ids: Vec<&str> = held.trades.iter().map(|trade| &*trade.id).collect();
            let wanted = wanted["trades"].as_array().unwrap();
            let wanted: Vec<&str> = wanted.iter().map(|t| t["id"].as_str().unwrap()).collect();
            assert!(ids.ends_with(&wanted), "{wanted:?} are the last of {ids:?}");
        })
    })
    .await;
    until("the same bars", || {
        let wanted = service.snapshot(&format!("channel=bars&interval=1s&symbol={SYMBOL}"));
        let held = tick.latest().bars(SYMBOL, Interval::S1)?;
        let last = held.bars.last()?;
        (wanted["seq"] == held.seq.0).then(|| {
            let wanted = wanted["bars"].as_array().unwrap().last().unwrap();
            assert_eq!(wanted["start"], last.start.micros());
            assert_eq!(wanted["close"], serde_json::json!(last.close));
            assert_eq!(wanted["volume"], serde_json::json!(last.volume));
        })
    })
    .await;
    let connection = tick.connection();
    assert_eq!((connection.resyncs, connection.checksum_failures), (0, 0));
    assert_eq!((connection.missed_trades, connection.undecodable), (0, 0));
    assert_eq!(connection.encoding, encoding);
    assert!(connection.messages > 0 && connection.bytes > connection.messages);
}

#[tokio::test]
async fn after_a_kill_everything_reads_as_stale_and_comes_back_by_itself() {
    let Some(binary) = binary() else { return };
    let mut service = Service::start(&binary, &SIM);
    let tick = soon("a connection", quick(service.url()).connect()).await.unwrap();
    let mut tickers = soon("tickers", tick.ticker([SYMBOL]).subscribe()).await.unwrap();
    soon("data", tickers.next()).await.unwrap();
    until("live data", || {
        (tick.latest().ticker(SYMBOL)?.state == TradingState::Live).then_some(())
    })
    .await;
    service.kill();
    let lost = soon("the loss", tick.until(|state| !state.is_live())).await;
    assert!(matches!(lost, ConnectionState::Reconnecting { .. }), "{lost:?}");
    soon("a stale ticker", async {
        while tickers.next().await.expect("it goes on").state != TradingState::Stale {}
    })
    .await;
    assert_eq!(tick.latest().status(SYMBOL), Some(TradingState::Stale));

    let _again = Service::start_at(&binary, service.address, &SIM);
    soon("a live ticker", async {
        while tickers.next().await.expect("it goes on").state != TradingState::Live {}
    })
    .await;
    assert_eq!(tick.connection().reconnects, 1);
}

#[tokio::test]
async fn a_service_that_goes_away_is_served_from_until_its_moment_and_not_bothered_before() {
    let Some(binary) = binary() else { return };
    const WINDOW: Duration = Duration::from_secs(3);
    let arguments = [&SIM[..], &["--drain-window", "3s"]].concat();
    let mut service = Service::start(&binary, &arguments);
    let tick = soon("a connection", quick(service.url()).connect()).await.unwrap();
    let mut events = tick.events();
    let mut tickers = soon("tickers", tick.ticker(["sim:*"]).subscribe()).await.unwrap();
    soon("data", tickers.next()).await.unwrap();
    let asked = Instant::now();
    service.ask_to_stop();
    let leaving = soon("the goaway", async {
        loop {
            if let Event::Leaving(leaving) = events.next().await.expect("it goes on") {
                return leaving;
            }
        }
    })
    .await;
    assert_eq!(leaving.reason, "drain");
    // At the end of its window the service closes whoever is left, also who has heard of it late.
    if Instant::now() < leaving.at.min(asked + WINDOW) {
        assert!(tick.connection().state.is_live(), "served until then");
    }
    let lost = soon("the end", tick.until(|state| !state.is_live())).await;
    let ConnectionState::Reconnecting { next_try, .. } = lost else { panic!("{lost:?}") };
    assert!(next_try >= leaving.at);
    service.wait();
    let _again = Service::start_at(&binary, service.address, &SIM);
    soon("a new connection", tick.until(ConnectionState::is_live)).await;
    soon("live data", async {
        while tickers.next().await.expect("it goes on").state != TradingState::Live {}
    })
    .await;
}

#[tokio::test]
async fn symbols_that_are_not_served_are_told() {
    let Some(binary) = binary() else { return };
    let service = Service::start(&binary, &SIM);
    service.until_ready();
    let tick = soon("a connection", connect(service.url())).await.unwrap();
    let none = soon("an answer", tick.ticker(["sim:NOPE"]).subscribe()).await;
    let error = none.expect_err("nothing is served");
    assert_eq!((error.code(), error.kind()), (Some(4404), ErrorKind::Stop));
    assert!(error.to_string().contains("sim:NOPE"), "{error}");

    let some = soon("an answer", tick.ticker(["sim:NOPE", SYMBOL]).subscribe()).await.unwrap();
    let failed = some.failed();
    assert_eq!((failed.len(), &*failed[0].symbol, failed[0].code), (1, "sim:NOPE", 4404));
    until("the other", || some.get(SYMBOL)).await;

    let wrong = tick.ticker([SYMBOL]).max_rate(-1.0).begin().expect_err("no rate");
    assert_eq!(wrong.to_string(), "max_rate: -1 is not above 0");
    let nothing = tick.ticker(Vec::<String>::new()).begin().expect_err("no symbol");
    assert!(matches!(nothing, Error::Option { option: "symbol", .. }));
}

#[tokio::test]
async fn subscriptions_change_in_place_and_end_when_they_are_dropped() {
    let Some(binary) = binary() else { return };
    let service = Service::start(&binary, &SIM);
    // Only what is listed counts.
    service.until_ready();
    let tick = soon("a connection", connect(service.url())).await.unwrap();
    let tickers = soon("tickers", tick.ticker([SYMBOL]).subscribe()).await.unwrap();
    assert_eq!(tickers.granted()[0].max_rate, None);
    soon("a change", tickers.change(|options| options.max_rate(5.0))).await.unwrap();
    assert_eq!(tickers.granted()[0].max_rate, Some(4.0), "the fastest that is not faster");
    let fields = [TickerField::Last, TickerField::Bid];
    soon("a change", tickers.change(|options| options.fields(fields))).await.unwrap();
    until("fewer fields", || {
        let ticker = tickers.get(SYMBOL)?;
        (ticker.ask.is_none() && ticker.bid.is_some()).then_some(())
    })
    .await;
    // Two to the same: what one has too stays when the other goes.
    let second = soon("tickers", tick.ticker([SYMBOL, "sim:S1-USD"]).subscribe()).await.unwrap();
    assert_eq!(soon("stats", tick.stats()).await.unwrap().subscriptions, 2);
    drop(second);
    assert_eq!(soon("stats", tick.stats()).await.unwrap().subscriptions, 1);
    drop(tickers);
    let stats = soon("stats", tick.stats()).await.unwrap();
    assert_eq!((stats.subscriptions, stats.instruments), (0, 0));
    assert_eq!(tick.latest().symbols(), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_is_left_when_everything_is_dropped() {
    let Some(binary) = binary() else { return };
    let service = Service::start(&binary, &SIM);
    let metrics = tokio::runtime::Handle::current().metrics();
    let tick = soon("a connection", connect(service.url())).await.unwrap();
    let mut tickers = soon("tickers", tick.ticker([SYMBOL]).subscribe()).await.unwrap();
    let mut events = tick.events();
    // A subscription keeps its client.
    drop(tick);
    soon("data", tickers.next()).await.unwrap();
    assert!(metrics.num_alive_tasks() > 0);
    drop(tickers);
    until("no task", || (metrics.num_alive_tasks() == 0).then_some(())).await;
    while soon("the last event", events.next()).await.is_some() {}
    // And one that never found a service.
    let lazy = Options::new(format!("ws://{}", own_address())).connect_lazily().unwrap();
    let reconnecting =
        |state: &ConnectionState| matches!(state, ConnectionState::Reconnecting { .. });
    soon("an attempt", lazy.until(reconnecting)).await;
    drop(lazy);
    until("no task", || (metrics.num_alive_tasks() == 0).then_some(())).await;
}

#[tokio::test]
async fn closing_is_in_order_and_ends_everything() {
    let Some(binary) = binary() else { return };
    let service = Service::start(&binary, &SIM);
    let tick = soon("a connection", connect(service.url())).await.unwrap();
    let mut tickers = soon("tickers", tick.ticker([SYMBOL]).subscribe()).await.unwrap();
    soon("the close", tick.close()).await;
    soon("the end", async { while tickers.next().await.is_some() {} }).await;
    assert_eq!(tickers.error(), Some(Error::ClientClosed));
    assert_eq!(soon("stats", tick.stats()).await, Err(Error::NotConnected));
    assert_eq!(tick.ticker([SYMBOL]).begin().unwrap_err(), Error::ClientClosed);
    // A first attempt that fails says how.
    let error = soon("an error", connect(format!("ws://{}", own_address()))).await.unwrap_err();
    assert!(matches!(error, Error::Tcp { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Retry);
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_state_of_each_symbol_once() {
    let Some(binary) = binary() else { return };
    let service = Service::start(&binary, &["--sim-instruments", "3", "--sim-rate", "600"]);
    let tick = soon("a connection", connect(service.url())).await.unwrap();
    let mut tickers = soon("tickers", tick.ticker(["sim:*"]).subscribe()).await.unwrap();
    let mut trades = soon("trades", tick.trades([SYMBOL]).subscribe()).await.unwrap();
    let first = soon("trades", trades.next()).await.unwrap();
    // Much happens, and nothing is taken.
    let before = tick.connection().messages;
    until("many messages", || (tick.connection().messages > before + 300).then_some(())).await;
    let waiting = std::iter::from_fn(|| tickers.try_next()).take(100).count();
    assert!(waiting <= 4, "one for each symbol, and what came meanwhile: {waiting}");
    // Trades are batched, never merged: each is given once.
    let second = soon("trades", trades.next()).await.unwrap();
    let upto = first.seq.0;
    let seqs: Vec<u64> = second.trades.iter().map(|trade| trade.seq.0).collect();
    assert_eq!(seqs, (upto + 1..=second.seq.0).collect::<Vec<_>>());
    assert_eq!(second.missed, 0);
}
