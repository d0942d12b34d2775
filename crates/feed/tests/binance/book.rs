//! A book joins its snapshot, and what voids it.

use crate::script::{OPEN, check};

#[test]
fn a_book_joins_its_snapshot_and_goes_live() {
    check(
        &format!(
            r#"{OPEN}
            recv d 10 12 b1x1
            recv d 13 15 a3x1 b2x5
            recv d 16 17 b2x0
            rest https://h/api/v3/depth?symbol=BTCUSDT {{"lastUpdateId":13,"bids":[["1.00000000","9.00000000"]],"asks":[]}}
            recv d 18 18 b0.5x1.5"#
        ),
        "BTC-USDT snapshot b1x9
        BTC-USDT update b2x5 a3x1 @1700000000002
        BTC-USDT update b2x0 @1700000000002
        BTC-USDT state live
        BTC-USDT update b0.5x1.5 @1700000000002",
    );
}

#[test]
fn an_event_that_ends_exactly_at_the_snapshot_is_the_last_that_is_dropped() {
    check(
        &format!(
            r#"{OPEN}
            recv d 10 12 b1x1
            recv d 13 15 b2x2
            recv d 16 17 b3x3
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":15,"bids":[],"asks":[]}}"#
        ),
        "BTC-USDT snapshot
        BTC-USDT update b3x3 @1700000000002
        BTC-USDT state live",
    );
}

#[test]
fn a_snapshot_from_before_the_first_event_does_not_join() {
    check(
        &format!(
            r#"{OPEN}
            recv d 10 12 b1x1
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":8,"bids":[["9.0","9.0"]],"asks":[]}}
            recv d 13 13 b2x2
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":12,"bids":[],"asks":[]}}"#
        ),
        "BTC-USDT snapshot
        BTC-USDT update b2x2 @1700000000002
        BTC-USDT state live",
    );
}

#[test]
fn old_and_repeated_events_change_nothing_and_a_gap_voids_the_book() {
    check(
        &format!(
            r#"{OPEN}
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":20,"bids":[],"asks":[]}}
            recv d 18 20 b1x1
            recv d 19 22 b2x2
            recv d 19 22 b2x2
            recv d 21 21 b7x7
            recv d 23 23
            recv d 25 26 b3x3
            recv d 27 27 b4x4
            recv q 30 1 2
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":26,"bids":[["5.0","5.0"]],"asks":[]}}"#
        ),
        "BTC-USDT snapshot
        BTC-USDT state live
        BTC-USDT update b2x2 @1700000000002
        BTC-USDT state resync
        gap
        BTC-USDT quote 1x1 2x2
        BTC-USDT snapshot b5x5
        BTC-USDT update b4x4 @1700000000002
        BTC-USDT state live",
    );
}

#[test]
fn events_that_waited_are_brought_to_the_snapshots_finer_scale() {
    check(
        &format!(
            r#"{OPEN}
            recv d 10 12 b1x1
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":10,"bids":[["0.125","0.5"]],"asks":[]}}"#
        ),
        "BTC-USDT snapshot b0.125x0.5
        BTC-USDT update b1.000x1.0 @1700000000002
        BTC-USDT state live",
    );
}

#[test]
fn a_number_that_does_not_fit_voids_the_event_and_then_the_book() {
    check(
        &format!(
            r#"{OPEN}
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":20,"bids":[["1.5","1"]],"asks":[]}}
            recv d 21 21 b1000000000000000000x1
            recv d 22 22 b2x1"#
        ),
        r#"BTC-USDT snapshot b1.5x1
        BTC-USDT state live
        report binance: field "b": "1000000000000000000.00000000": number does not fit: more than 18 digits, in {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1700000000002,"s":"BTCUSDT","U":21,"u":21,"b":[["1000000000000000000.00000000","1.00000000"]],"a":[]}} (counted from now on: number)
        error number
        BTC-USDT state resync
        gap"#,
    );
}

#[test]
fn a_closed_line_is_stale_unless_a_newer_one_serves_it() {
    check(
        &format!(
            r#"{OPEN}
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":20,"bids":[],"asks":[]}}
            open 1 wss://h/stream?streams=btcusdt@depth@100ms
            recv d 21 22 b1x1
            recv 1 d 21 22 b1x1
            close 0
            recv 1 d 23 24 b2x2
            silent 1
            close 1
            open 2 wss://h/stream?streams=btcusdt@depth@100ms
            recv 2 d 31 32 b3x3
            rest https://h/depth?symbol=BTCUSDT {{"lastUpdateId":32,"bids":[["3.0","3.0"]],"asks":[]}}"#
        ),
        "BTC-USDT snapshot
        BTC-USDT state live
        BTC-USDT update b1x1 @1700000000002
        BTC-USDT update b2x2 @1700000000002
        BTC-USDT state stale
        BTC-USDT state resync
        BTC-USDT snapshot b3x3
        BTC-USDT state live",
    );
}
