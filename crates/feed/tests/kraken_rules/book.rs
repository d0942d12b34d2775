//! The book: its checksum and depth, and when a snapshot is asked for again.

use crate::stage::{LIST, SNAPSHOT, live, replaying, snapshot, synced, update, with_checksum};
use crate::witness::{FIRST, check};
use tickcast_feed::Handler;

#[test]
fn a_book_is_published_at_the_padded_scales_and_checked() {
    let mut bench = replaying();
    check(
        &mut bench,
        &[
            (&update(r#""bids":[{"price":1.0,"qty":1.0}],"asks":[]"#, "x"), &[]),
            (
                &snapshot(),
                &[
                    "BTC-USD snapshot bid 99.5x1.50000000 bid 99.0x2.00000000 ask 100.0x0.25000000",
                    "BTC-USD state live",
                ],
            ),
            // One price twice in a message: the later one counts.
            (
                &update(
                    r#""bids":[{"price":99.5,"qty":0.00000000},{"price":99.5,"qty":3.00000000}],"asks":[]"#,
                    "100025000000995300000000990200000000",
                ),
                &["BTC-USD update bid 99.5x0.00000000 bid 99.5x3.00000000"],
            ),
            // Fields in another order, unknown ones among them.
            (
                &with_checksum(
                    r#" {"data" : [ {"checksum":CRC,"new":{"a":[1,{"b":"}"}]},"asks":[{"extra":null,"qty":1.00000000,"price":100.1}],"symbol":"BTC/USD"} ] , "type":"update", "channel":"book"}"#,
                    "1000250000001001100000000995300000000990200000000",
                ),
                &["BTC-USD update ask 100.1x1.00000000"],
            ),
            // Removing a level that is not held is normal.
            (
                &update(
                    r#""asks":[{"price":111.0,"qty":0.00000000}],"bids":[]"#,
                    "1000250000001001100000000995300000000990200000000",
                ),
                &["BTC-USD update ask 111.0x0.00000000"],
            ),
        ],
    );
    assert_eq!(bench.tally.checksum_failures + bench.decode_errors(), 0);
    assert_eq!(bench.messages("book"), 5);
}

#[test]
fn what_is_pushed_out_of_the_depth_is_removed() {
    let mut bench = replaying();
    let side: Vec<String> =
        (0..10).map(|n| format!(r#"{{"price":1{n}.0,"qty":1.00000000}}"#)).collect();
    let digits: String = (0..10).map(|n| format!("1{n}0100000000")).collect();
    let message = format!(
        r#"{{"channel":"book","type":"snapshot","data":[{{"symbol":"BTC/USD","bids":[],"asks":[{}],"checksum":CRC}}]}}"#,
        side.join(",")
    );
    bench.on(FIRST, &with_checksum(&message, &digits));
    let nine = &digits[..9 * 12];
    check(
        &mut bench,
        &[(
            &update(
                r#""asks":[{"price":9.5,"qty":2.00000000}],"bids":[]"#,
                &format!("95200000000{nine}"),
            ),
            &["BTC-USD update ask 9.5x2.00000000 ask 19.0x0.00000000"],
        )],
    );
    assert_eq!(bench.tally.checksum_failures, 0);
}

#[test]
fn a_mismatch_resyncs_that_pair_alone_ever_more_seldom() {
    let mut bench = synced();
    bench.said();
    let wrong = update(r#""asks":[{"price":100.0,"qty":9.00000000}],"bids":[]"#, "wrong");
    bench.on(FIRST, &wrong);
    assert_eq!(bench.said(), ["BTC-USD state resync"], "what is wrong is not published");
    assert_eq!(
        bench.asked(),
        [
            "report kraken: BTC/USD: the checksum does not match; asks for a snapshot in 0 s (1 in a row)",
            r#"send 0.0 {"method":"unsubscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":500},"req_id":2}"#,
            r#"send 0.0 {"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":500,"snapshot":true},"req_id":3}"#,
        ]
    );
    bench.on(FIRST, &wrong);
    assert_eq!(bench.said(), [""; 0], "no update before the snapshot");
    // From now on every snapshot is wrong, too: how often is it asked for in ten minutes?
    let bad = with_checksum(SNAPSHOT, "wrong");
    bench.on(FIRST, &bad);
    let mut requests = 0;
    for _ in 0..600 {
        bench.wait(1);
        if bench.asked().iter().any(|asked| asked.contains(r#""method":"subscribe","#)) {
            requests += 1;
            bench.on(FIRST, &bad);
        }
    }
    assert!((8..=18).contains(&requests), "{requests} requests in ten minutes");
    assert_eq!(bench.tally.checksum_failures, 2 + requests);
    bench.wait(60);
    assert_eq!(bench.said(), [""; 0]);
    bench.on(FIRST, &snapshot());
    assert_eq!(bench.said().last().unwrap(), "BTC-USD state live");
}

#[test]
fn a_snapshot_that_does_not_come_is_asked_for_again() {
    let mut bench = live(&["BTC-USD"]);
    bench.on(FIRST, LIST);
    bench.asked();
    bench.wait(14);
    assert_eq!(bench.asked(), [""; 0]);
    bench.wait(1);
    let asked = bench.asked();
    assert_eq!(asked[0], "report kraken: no snapshot of BTC/USD came in time");
    assert!(asked[1].contains("unsubscribe") && asked[2].contains("subscribe"), "{asked:?}");
}

#[test]
fn a_snapshot_while_subscribed_replaces_the_book() {
    let mut bench = synced();
    let other = r#"{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":5.0,"qty":1.00000000}],"asks":[],"checksum":CRC}]}"#;
    check(
        &mut bench,
        &[(&with_checksum(other, "50100000000"), &["BTC-USD snapshot bid 5.0x1.00000000"])],
    );
    assert_eq!(
        bench.witness.of("kraken:BTC-USD").book.side(tickcast_market::BookSide::Ask).len(),
        0
    );
}

#[test]
fn a_crossed_book_found_downstream_is_asked_for_again() {
    let mut bench = synced();
    bench.said();
    let index = bench.witness.directory.find("kraken:BTC-USD").unwrap().index;
    bench.call(|handler, io| handler.resync(index, io));
    assert_eq!(bench.said(), ["BTC-USD state resync"]);
    assert_eq!(bench.asked().len(), 3);
    bench.call(|handler, io| handler.resync(index, io));
    assert_eq!(bench.asked().len(), 0, "already under way");
}

#[test]
fn a_level_that_does_not_fit_is_left_out_and_the_rest_is_published() {
    let mut bench = replaying();
    let message = SNAPSHOT.replace("\"CRC\"", "0").replace(",\"checksum\":CRC", "").replace(
        r#"{"price":99.0,"qty":2.00000000}"#,
        r#"{"price":99.0,"qty":99999999999999999999.00000000}"#,
    );
    check(
        &mut bench,
        &[(
            &message,
            &[
                "BTC-USD snapshot bid 99.5x1.50000000 bid 99.0x0.00000000 ask 100.0x0.25000000",
                "BTC-USD state live",
            ],
        )],
    );
    assert_eq!(bench.tally.decode_errors, [("number does not fit", 1)]);
    assert!(bench.asked().last().unwrap().starts_with("report kraken: {\"channel\":\"book\""));
}

#[test]
fn a_book_message_that_cannot_be_read_resyncs_its_pair() {
    let mut bench = synced();
    let broken = r#"{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":"x","qty":1}]}]}"#;
    check(&mut bench, &[(broken, &["BTC-USD state resync"])]);
    assert_eq!(bench.tally.decode_errors, [("unexpected value", 1)]);
    assert_eq!(bench.tally.checksum_failures, 0);
    assert_eq!(bench.asked().len(), 4, "one report of the fault, one of the pair, two requests");
}
