//! Coinbase Exchange's rules, one by one, with small messages of our own.

#[path = "coinbase_kraken_witness/mod.rs"]
mod witness;

use tickcast_feed::{CoinbaseExchangeConfig, CoinbaseExchangeHandler, ConnectionIndex};
use witness::{Bench, FIRST, check, torture};

const LIST: &str = r#"[{"id":"BTC-USD","quote_increment":"0.01","base_increment":"0.00000001","status":"online"},
{"id":"ETH-USD","quote_increment":"0.01","base_increment":"0.00000001","status":"online"}]"#;
const SNAPSHOT: &str = r#"{"type":"snapshot","product_id":"BTC-USD","asks":[["100.00","0.25"]],"bids":[["99.50","1.50"],["99.00","2"]]}"#;

fn trade(kind: &str, id: u64, side: &str) -> String {
    format!(
        r#"{{"type":"{kind}","trade_id":{id},"maker_order_id":"a","taker_order_id":"b","side":"{side}","size":"0.5","price":"99.75","product_id":"BTC-USD","sequence":177100030,"time":"2021-04-17T16:43:37.089723Z"}}"#
    )
}

fn heartbeat(last_trade_id: u64) -> String {
    format!(
        r#"{{"type":"heartbeat","last_trade_id":{last_trade_id},"product_id":"BTC-USD","sequence":1,"time":"2026-09-30T02:03:13.000000Z"}}"#
    )
}

fn update(changes: &str) -> String {
    format!(
        r#"{{"type":"l2update","product_id":"BTC-USD","changes":[{changes}],"time":"2026-09-30T02:03:12.699555Z"}}"#
    )
}

fn live() -> Bench<CoinbaseExchangeHandler> {
    let config = CoinbaseExchangeConfig {
        ws_url: "ws://x".into(),
        rest_url: "http://rest".into(),
        symbols: vec!["BTC-USD".into(), "ETH-USD".into()],
    };
    let mut bench = Bench::new(CoinbaseExchangeHandler::new(config));
    assert_eq!(bench.start().asked(), ["get http://rest/products after 0s"]);
    bench.rest("http://rest/products", LIST);
    assert_eq!(bench.asked(), ["connect 0 ws://x"]);
    bench.open(FIRST);
    assert_eq!(
        bench.asked(),
        [
            r#"send 0.0 {"type":"subscribe","product_ids":["BTC-USD","ETH-USD"],"channels":["level2_batch","matches","ticker","heartbeat"]}"#
        ]
    );
    bench
}

/// Live and in step: the latest trade is number 5.
fn synced() -> Bench<CoinbaseExchangeHandler> {
    let mut bench = live();
    bench.on(FIRST, SNAPSHOT).on(FIRST, &SNAPSHOT.replace("BTC", "ETH"));
    bench.on(FIRST, &trade("last_match", 5, "sell"));
    bench.said();
    bench
}

fn resubscribed() -> [String; 2] {
    ["unsubscribe", "subscribe"].map(|kind| {
        format!(
            r#"send 0.0 {{"type":"{kind}","product_ids":["BTC-USD"],"channels":["level2_batch"]}}"#
        )
    })
}

#[test]
fn a_book_is_a_snapshot_and_the_new_totals_after_it() {
    let mut bench = live();
    check(
        &mut bench,
        &[
            (
                r#"{"type":"subscriptions","channels":[{"name":"level2_50","product_ids":["BTC-USD"],"account_ids":null}]}"#,
                &[],
            ),
            (&update(r#"["buy","1","1"]"#), &[]),
            (
                SNAPSHOT,
                &[
                    "BTC-USD snapshot ask 100.00x0.25000000 bid 99.50x1.50000000 bid 99.00x2.00000000",
                    "BTC-USD state live",
                ],
            ),
            (
                &update(
                    r#"["buy","99.50","0.00000000"],["sell","100.01","0.5","x"],["buy","99.50","1.25"]"#,
                ),
                &["BTC-USD update bid 99.50x0.00000000 ask 100.01x0.50000000 bid 99.50x1.25000000"],
            ),
            (
                r#"{"changes":[["sell","100.01","0"]],"time":"2026-09-30T02:03:13Z","product_id":"BTC-USD","x":{"y":[]},"type":"l2update"}"#,
                &["BTC-USD update ask 100.01x0.00000000"],
            ),
        ],
    );
    assert_eq!(bench.decode_errors(), 0);
}

#[test]
fn zero_is_zero_however_it_is_spelt() {
    for zero in ["0", "0.0", "0.00", "0.000", "0.000000", "0.00000000", "0.0000000000000000000000"]
    {
        let mut bench = synced();
        bench.on(FIRST, &update(&format!(r#"["buy","99.50","{zero}"]"#)));
        assert_eq!(bench.said(), ["BTC-USD update bid 99.50x0.00000000"], "{zero}");
        let bids =
            bench.witness.top("coinbase-exchange:BTC-USD", tickcast_market::BookSide::Bid, 9);
        assert_eq!(bids.len(), 1, "{zero}");
    }
}

#[test]
fn matches_carry_the_maker_s_side_and_the_last_match_is_old() {
    let mut bench = live();
    bench.on(FIRST, SNAPSHOT);
    check(
        &mut bench,
        &[
            (
                &trade("last_match", 5, "buy"),
                &["BTC-USD day open - high - low - last 99.75 volume -"],
            ),
            (&trade("match", 6, "sell"), &["BTC-USD trades 6 Buy 99.75x0.50000000"]),
            (&trade("match", 7, "buy"), &["BTC-USD trades 7 Sell 99.75x0.50000000"]),
            (&trade("match", 7, "buy"), &[]),
        ],
    );
    assert_eq!(bench.tally.gaps, 0);
}

#[test]
fn the_ticker_gives_day_statistics_and_never_a_quote() {
    let ticker = r#"{"type":"ticker","sequence":333938798,"product_id":"BTC-USD","price":"99.25","open_24h":"98.5","volume_24h":"94381.28000000","low_24h":"90","high_24h":"101.55","volume_30d":"2295579.57000000","best_bid":"99.50","best_ask":"100.00","side":"buy","time":"2021-04-17T16:43:30.244075Z","trade_id":5,"last_size":"0.04"}"#;
    let mut bench = live();
    check(
        &mut bench,
        &[
            (
                ticker,
                &["BTC-USD day open 98.50 high 101.55 low 90.00 last 99.25 volume 94381.28000000"],
            ),
            (ticker, &[]),
        ],
    );
}

#[test]
fn a_jump_of_trade_ids_resyncs_that_product_alone() {
    let mut bench = synced();
    check(
        &mut bench,
        &[
            (
                &trade("match", 8, "sell"),
                &["BTC-USD trades 8 Buy 99.75x0.50000000", "BTC-USD state resync"],
            ),
            (&update(r#"["buy","99.50","1"]"#), &[]),
        ],
    );
    assert_eq!(bench.tally.gaps, 1);
    let asked = bench.asked();
    assert!(asked[0].contains("trades are missing"), "{asked:?}");
    assert_eq!(asked[1..], resubscribed());
    bench.on(FIRST, SNAPSHOT);
    assert_eq!(bench.said().last().unwrap(), "BTC-USD state live");
}

#[test]
fn a_trade_that_a_heartbeat_names_may_come_a_little_later() {
    let mut bench = synced();
    bench.on(FIRST, &heartbeat(5)).on(FIRST, &heartbeat(6)).wait(1).on(FIRST, &heartbeat(6));
    bench.on(FIRST, &trade("match", 6, "sell")).wait(5).on(FIRST, &heartbeat(6));
    assert_eq!(bench.tally.gaps, 0);
    assert_eq!(bench.asked(), [""; 0]);
    assert_eq!(bench.said(), ["BTC-USD trades 6 Buy 99.75x0.50000000"]);
}

#[test]
fn a_trade_that_a_heartbeat_names_and_that_does_not_come_is_a_gap() {
    let mut bench = synced();
    bench.on(FIRST, &heartbeat(7)).wait(1);
    assert_eq!(bench.tally.gaps, 0);
    bench.wait(1);
    assert_eq!(bench.tally.gaps, 1);
    assert_eq!(bench.said(), ["BTC-USD state resync"]);
    assert_eq!(bench.asked()[1..], resubscribed());
    // The one after the missing ones is no second gap.
    bench.on(FIRST, &trade("match", 8, "sell")).wait(5);
    assert_eq!(bench.tally.gaps, 1);
}

#[test]
fn a_product_that_fails_again_and_again_is_asked_for_ever_more_seldom() {
    let mut bench = synced();
    let (mut id, mut requests) = (10, 0);
    for _ in 0..600 {
        bench.on(FIRST, &trade("match", id, "sell")).wait(1);
        id += 2;
        if bench.asked().contains(&resubscribed()[1]) {
            requests += 1;
            bench.on(FIRST, SNAPSHOT);
        }
    }
    assert!((8..=18).contains(&requests), "{requests} requests in ten minutes");
}

#[test]
fn errors_of_the_venue_are_told_in_words() {
    let mut bench = synced();
    bench.on(FIRST, r#"{"type":"error","message":"Failed to subscribe","reason":"level2 requires authentication"}"#);
    assert_eq!(
        bench.asked(),
        ["report coinbase-exchange: error: Failed to subscribe: level2 requires authentication"]
    );
}

#[test]
fn a_lost_connection_is_stale_and_the_next_one_begins_anew() {
    let mut bench = synced();
    bench.close(FIRST);
    assert_eq!(bench.said(), ["BTC-USD state stale", "ETH-USD state stale"]);
    let next = ConnectionIndex { line: 0, generation: 1 };
    bench.open(next);
    assert_eq!(bench.said(), ["BTC-USD state resync", "ETH-USD state resync"]);
    // Trades that were missed meanwhile are no gap of this connection.
    bench.on(next, &trade("last_match", 90, "sell")).on(next, &trade("match", 91, "sell"));
    assert_eq!(bench.tally.gaps, 0);
    bench.on(FIRST, SNAPSHOT);
    assert_eq!(bench.messages("late"), 1);
}

#[test]
fn cut_and_broken_messages_are_counted_and_never_panic() {
    for message in [
        SNAPSHOT,
        &update(r#"["buy","99.50","0"],["sell","100.01","0.5"]"#),
        &trade("match", 6, "sell"),
        &trade("last_match", 6, "sell"),
        &heartbeat(6),
        r#"{"type":"error","message":"Failed to subscribe"}"#,
        r#"{"type":"subscriptions","channels":[{"name":"level2_50","product_ids":["BTC-USD"]}]}"#,
    ] {
        torture(synced, message);
    }
    let mut bench = synced();
    for garbage in [
        "",
        "{}",
        r#"{"type":"match","product_id":"BTC-USD"}"#,
        r#"{"type":"heartbeat","product_id":"BTC-USD"}"#,
        r#"{"type":"l2update","changes":[]}"#,
        r#"{"type":"l2update","product_id":"BTC-USD","changes":[["buy","1"]]}"#,
        r#"{"type":"l2update","product_id":"BTC-USD","changes":[["both","1","1"]]}"#,
    ] {
        let errors = bench.decode_errors();
        assert_eq!(bench.on(FIRST, garbage).decode_errors(), errors + 1, "{garbage:?}");
    }
}

#[test]
fn a_message_that_cannot_be_read_resyncs_its_product() {
    let mut bench = synced();
    check(&mut bench, &[(&update(r#"["buy","ninety","1"]"#), &["BTC-USD state resync"])]);
    assert_eq!(bench.asked()[2..], resubscribed());
}
