//! What a user of the client sees when messages come, come twice, do not come, or are wrong.

use tickcast_client::{Counts, Session, Verdict, Violation};
use tickcast_market::{Interval, TradingState};
use tickcast_wire::{
    Depth, Encoding, FieldSet, Message, Pattern, Request, Subscribe, TickerField, Unsubscribe,
    View, write_request,
};

const BTC: &str = "kraken:BTC-USD";

fn subscribe(view: View, symbol: &str) -> Subscribe {
    Subscribe::new(view, vec![Pattern::new(symbol)])
}

fn receive(session: &mut Session, text: &str) -> Verdict {
    session.receive(&Message::decode(text.as_bytes()).expect("a good message"))
}

fn texts(requests: &[Request]) -> Vec<String> {
    let text = |request| {
        let mut out = Vec::new();
        write_request(&mut out, Encoding::Json, request);
        String::from_utf8(out).expect("JSON")
    };
    requests.iter().map(text).collect()
}

/// A message with one item of BTC; `item` is what follows the symbol.
fn one(channel: &str, kind: &str, item: &str) -> String {
    format!(
        r#"{{"channel":"{channel}","type":"{kind}","data":[{{"symbol":"{BTC}",{item},"ts_state":1,"ts_event":1,"ts_publish":2}}]}}"#
    )
}

fn live(session: &mut Session) {
    let status = one("status", "snapshot", r#""epoch":1,"seq":1,"state":"live""#);
    assert_eq!(receive(session, &status), Verdict::Applied);
}

/// A session that is subscribed to a view of BTC and has its status.
fn subscribed(view: View) -> Session {
    let mut session = Session::new();
    session.subscribe(subscribe(view, "kraken:*"));
    live(&mut session);
    session
}

fn ticker(kind: &str, item: &str) -> String {
    one("ticker", kind, item)
}

#[test]
fn a_ticker_keeps_what_is_absent_and_clears_what_is_null() {
    let mut session = subscribed(View::Ticker);
    let snapshot = ticker(
        "snapshot",
        r#""epoch":1,"seq":5,"state":"live","last":"1.50","bid":"1.40","ask":null"#,
    );
    assert_eq!(receive(&mut session, &snapshot), Verdict::Applied);
    let update = ticker("update", r#""epoch":1,"prev":5,"seq":6,"last":"1.60","bid":null"#);
    assert_eq!(receive(&mut session, &update), Verdict::Applied);
    assert_eq!(receive(&mut session, &update), Verdict::Ignored);
    let view = session.ticker(BTC).unwrap();
    assert_eq!(view.get(TickerField::Last), Some("1.60"));
    assert_eq!(view.get(TickerField::Bid), None);
    let fields = [TickerField::Last, TickerField::Bid, TickerField::Ask];
    assert_eq!(view.fields(), fields.into_iter().fold(FieldSet::NONE, FieldSet::with));
    assert_eq!(session.status(BTC).unwrap().state(), TradingState::Live);

    let fewer = ticker("snapshot", r#""epoch":2,"seq":1,"state":"live","ask":"1.70""#);
    receive(&mut session, &fewer);
    let view = session.ticker(BTC).unwrap();
    assert_eq!((view.get(TickerField::Last), view.get(TickerField::Ask)), (None, Some("1.70")));
    let expected = Counts { items: 5, applied: 4, ignored: 1, ..Counts::default() };
    assert_eq!(session.counts(), expected);
}

#[test]
fn fields_that_are_not_subscribed_to_any_more_are_let_go() {
    let mut session = subscribed(View::Ticker);
    let snapshot = r#""epoch":1,"seq":5,"state":"live","last":"1.50","bid":"1.40""#;
    receive(&mut session, &ticker("snapshot", snapshot));
    let fields = FieldSet::NONE.with(TickerField::Last);
    session.subscribe(Subscribe { fields, ..subscribe(View::Ticker, "kraken:*") });
    assert_eq!(session.ticker(BTC).unwrap().get(TickerField::Bid), None);
    // One that was on its way still has the other field.
    let update = r#""epoch":1,"prev":5,"seq":6,"last":"1.60","bid":"1.50""#;
    assert_eq!(receive(&mut session, &ticker("update", update)), Verdict::Applied);
    let view = session.ticker(BTC).unwrap();
    assert_eq!((view.get(TickerField::Last), view.get(TickerField::Bid)), (Some("1.60"), None));
    assert_eq!(view.fields(), fields);
}

#[test]
fn a_gap_is_asked_for_once_with_the_original_subscribe_and_since() {
    let mut session = Session::new();
    let fields = FieldSet::NONE.with(TickerField::Last);
    let params = Subscribe { max_rate: Some(4.0), fields, ..subscribe(View::Ticker, "kraken:*") };
    let request = session.subscribe(params);
    let original = texts(&[request]).remove(0);
    live(&mut session);
    receive(&mut session, &ticker("snapshot", r#""epoch":1,"seq":5,"state":"live","last":"1""#));
    let gap = ticker("update", r#""epoch":1,"prev":7,"seq":8,"last":"2""#);
    assert_eq!(receive(&mut session, &gap), Verdict::AskAgain);
    assert_eq!(session.ticker(BTC).unwrap().get(TickerField::Last), Some("1"));
    assert!(session.must_ask_again());
    let asked = texts(&session.ask_again()).remove(0);
    let since = r#","since":{"kraken:BTC-USD":{"epoch":1,"seq":5}}}}"#;
    let expected = original.replace("\"req_id\":1", "\"req_id\":2");
    assert_eq!(asked, expected.strip_suffix("}}").unwrap().to_owned() + since);

    // What comes before the answer says the same again.
    let next = ticker("update", r#""epoch":1,"prev":8,"seq":9,"last":"3""#);
    assert_eq!(receive(&mut session, &next), Verdict::AskAgain);
    assert!(!session.must_ask_again());
    let answer = ticker("update", r#""epoch":1,"prev":5,"seq":9,"last":"3""#);
    assert_eq!(receive(&mut session, &answer), Verdict::Applied);
    assert_eq!(session.ticker(BTC).unwrap().get(TickerField::Last), Some("3"));
    receive(
        &mut session,
        r#"{"method":"subscribe","req_id":2,"success":true,"result":{"channel":"ticker","symbol":[]}}"#,
    );
    // A new gap is a new question.
    let gap = ticker("update", r#""epoch":1,"prev":10,"seq":11,"last":"4""#);
    receive(&mut session, &gap);
    assert_eq!(session.ask_again().len(), 1);
    assert_eq!((session.counts().gaps, session.counts().asked_again), (3, 2));
    // Refused for now: due again. Refused for good: not.
    for (code, is_due) in [(4529, true), (4403, false)] {
        let id = session.counts().asked_again + 1;
        let refused = format!(
            r#"{{"method":"subscribe","req_id":{id},"success":false,"code":{code},"error":""}}"#
        );
        receive(&mut session, &refused);
        assert_eq!(session.must_ask_again(), is_due, "{code}");
        assert_eq!(session.ask_again().len(), usize::from(is_due));
    }
}

#[test]
fn an_update_before_any_snapshot_asks_from_nothing() {
    let mut session = subscribed(View::Ticker);
    let update = ticker("update", r#""epoch":3,"prev":1,"seq":2,"last":"1""#);
    assert_eq!(receive(&mut session, &update), Verdict::AskAgain);
    let asked = texts(&session.ask_again()).remove(0);
    assert!(asked.ends_with(r#""since":{"kraken:BTC-USD":{"epoch":0,"seq":0}}}}"#), "{asked}");
}

const BOOK: &str = r#""depth":10,"epoch":1,"seq":9,"state":"live","bids":[["12.3","0.50"],["12.2","1.00"]],"asks":[["12.4","2.00"]],"checksum":"#;

/// The checksum by its definition, from the tokens of asks and then bids.
fn crc(tokens: &str) -> u32 {
    crc32fast::hash(tokens.as_bytes())
}

#[test]
fn a_book_is_checked_against_its_checksum() {
    let mut session = subscribed(View::Book(Depth::TEN));
    let wrong = one("book", "snapshot", &format!("{BOOK}1"));
    assert_eq!(receive(&mut session, &wrong), Verdict::AskAgain);
    assert_eq!(session.violations(), [(BTC.to_owned(), Violation::Checksum)]);
    let asked = texts(&session.ask_again()).remove(0);
    assert!(asked.contains(r#""seq":0"#), "only a snapshot helps: {asked}");

    let good = one("book", "snapshot", &format!("{BOOK}{}", crc("12420012350122100")));
    assert_eq!(receive(&mut session, &good), Verdict::Applied);
    let update = one(
        "book",
        "update",
        &format!(
            r#""depth":10,"epoch":1,"prev":9,"seq":10,"bids":[["12.1","3.00"],["12.3","0"]],"asks":[["12.4","0.07"]],"checksum":{}"#,
            crc("1247122100121300")
        ),
    );
    assert_eq!(receive(&mut session, &update), Verdict::Applied);
    let view = session.book(BTC).unwrap();
    let side = |levels: Vec<_>| -> Vec<String> {
        levels.iter().map(|(price, size)| format!("{price}x{size}")).collect()
    };
    assert_eq!(side(view.bids().collect()), ["12.2x1.00", "12.1x3.00"]);
    assert_eq!(side(view.asks().collect()), ["12.4x0.07"]);
    assert_eq!(view.checksum(), crc("1247122100121300"));
}

#[test]
fn another_depth_a_finer_number_or_too_many_levels_do_not_go_into_a_book() {
    let good = one("book", "snapshot", &format!("{BOOK}{}", crc("12420012350122100")));
    let levels = (0..11).map(|i| format!(r#"["1{i:02}.0","1.00"]"#)).collect::<Vec<_>>().join(",");
    for (item, violation) in [
        (r#""depth":25,"epoch":1,"prev":9,"seq":10,"bids":[],"asks":[],"checksum":0"#, None),
        (
            r#""depth":10,"epoch":1,"prev":9,"seq":10,"bids":[["12.31","1.00"]],"asks":[],"checksum":0"#,
            Some(Violation::Number),
        ),
        (
            r#""depth":10,"epoch":1,"prev":9,"seq":10,"bids":[["x","1.00"]],"asks":[],"checksum":0"#,
            Some(Violation::Number),
        ),
        (
            &format!(
                r#""depth":10,"epoch":1,"prev":9,"seq":10,"bids":[],"asks":[{levels}],"checksum":0"#
            ),
            Some(Violation::Depth),
        ),
        (
            r#""depth":10,"epoch":1,"seq":10,"bids":[],"asks":[],"checksum":0"#,
            Some(Violation::Prev),
        ),
    ] {
        let mut session = subscribed(View::Book(Depth::TEN));
        receive(&mut session, &good);
        assert_eq!(
            receive(&mut session, &one("book", "update", item)),
            Verdict::AskAgain,
            "{item}"
        );
        let violations: Vec<_> = session.violations().iter().map(|(_, v)| *v).collect();
        assert_eq!(violations, violation.into_iter().collect::<Vec<_>>(), "{item}");
        assert!(session.must_ask_again());
    }
}

fn trades(kind: &str, head: &str, seqs: &[u64]) -> String {
    let trade = |seq| {
        format!(
            r#"{{"seq":{seq},"id":"{seq}","price":"1.0","size":"1","side":"buy","ts_event":1}}"#
        )
    };
    let trades: Vec<String> = seqs.iter().map(trade).collect();
    one("trades", kind, &format!(r#"{head},"trades":[{}]"#, trades.join(",")))
}

#[test]
fn trades_know_exactly_what_they_missed() {
    let mut session = subscribed(View::Trades);
    let seqs = |session: &Session| -> Vec<u64> {
        session.trades(BTC).unwrap().recent().map(|trade| trade.seq.0).collect()
    };
    let state = r#""state":"live""#;
    receive(&mut session, &trades("snapshot", &format!(r#""epoch":1,"seq":4,{state}"#), &[3, 4]));
    // Overlapping: 4 is held already.
    receive(&mut session, &trades("update", r#""epoch":1,"prev":3,"seq":6"#, &[4, 5, 6]));
    assert_eq!(seqs(&session), [3, 4, 5, 6]);
    assert_eq!(session.trades(BTC).unwrap().missed(), 0);
    // A since older than the ring gets what is left: 7, 8 and 9 are lost.
    receive(&mut session, &trades("update", r#""epoch":1,"prev":6,"seq":11"#, &[10, 11]));
    assert_eq!(session.trades(BTC).unwrap().missed(), 3);
    // A snapshot of no trades at the present seq: 12 and 13 are not there.
    receive(&mut session, &trades("snapshot", &format!(r#""epoch":1,"seq":13,{state}"#), &[]));
    let view = session.trades(BTC).unwrap();
    assert_eq!((view.missed(), view.taken(), view.recent().len()), (5, 6, 0));
    // Another epoch: nothing can be known.
    receive(&mut session, &trades("snapshot", &format!(r#""epoch":2,"seq":90,{state}"#), &[90]));
    assert_eq!(session.trades(BTC).unwrap().missed(), 5);
    // A hole inside an item is a broken promise.
    let hole = trades("update", r#""epoch":2,"prev":90,"seq":93"#, &[91, 93]);
    assert_eq!(receive(&mut session, &hole), Verdict::AskAgain);
    assert_eq!(session.violations(), [(BTC.to_owned(), Violation::Density)]);
}

#[test]
fn a_late_trade_sends_its_bar_again_and_intervals_stand_apart() {
    let mut session = subscribed(View::Bars(Interval::M1));
    let bars = |kind: &str, head: &str, bars: &[(u32, &str)]| {
        let bar = |(start, close): &(u32, &str)| {
            format!(
                r#"{{"start":{start},"open":"1","high":"2","low":"1","close":"{close}","volume":"3","trades":9,"closed":false}}"#
            )
        };
        let bars: Vec<String> = bars.iter().map(bar).collect();
        one("bars", kind, &format!(r#"{head},"bars":[{}]"#, bars.join(",")))
    };
    let head = r#""interval":"1m","epoch":1,"seq":2,"state":"live""#;
    receive(&mut session, &bars("snapshot", head, &[(60, "1"), (120, "2")]));
    let head = r#""interval":"1m","epoch":1,"prev":2,"seq":4"#;
    receive(&mut session, &bars("update", head, &[(60, "7"), (180, "3")]));
    let view = session.bars(BTC, Interval::M1).unwrap();
    let closes: Vec<&str> = view.bars().map(|bar| bar.close.as_str()).collect();
    assert_eq!(closes, ["7", "2", "3"]);
    let other = bars("snapshot", r#""interval":"1s","epoch":1,"seq":9,"state":"live""#, &[]);
    assert_eq!(receive(&mut session, &other), Verdict::Ignored);
    assert_eq!(session.counts().unexpected, 1);
}

#[test]
fn a_new_connection_claims_what_is_held_as_it_was_asked_for() {
    let mut session = subscribed(View::Book(Depth::TEN));
    session.subscribe(subscribe(View::Ticker, BTC));
    let good = one("book", "snapshot", &format!("{BOOK}{}", crc("12420012350122100")));
    receive(&mut session, &good);
    // The snapshot lacks fields that were asked for, so nothing may be claimed.
    receive(&mut session, &ticker("snapshot", r#""epoch":8,"seq":5,"state":"live","last":"1""#));
    let requests = texts(&session.reconnected());
    assert_eq!(
        requests,
        [
            r#"{"method":"subscribe","req_id":3,"params":{"channel":"book","symbol":["kraken:*"],"depth":10,"since":{"kraken:BTC-USD":{"epoch":1,"seq":9}}}}"#,
            r#"{"method":"subscribe","req_id":4,"params":{"channel":"ticker","symbol":["kraken:BTC-USD"]}}"#,
        ]
    );
    assert_eq!(session.status(BTC).unwrap().state(), TradingState::Resync, "not told yet");
    live(&mut session);
    // Epochs of another connection are not compared: an older one replaces.
    let older = ticker("snapshot", r#""epoch":2,"seq":1,"state":"live","last":"9""#);
    assert_eq!(receive(&mut session, &older), Verdict::Applied);
    let resumed = r#""depth":10,"epoch":1,"prev":9,"seq":9,"bids":[],"asks":[],"checksum":0"#;
    assert_eq!(receive(&mut session, &one("book", "update", resumed)), Verdict::Ignored);
    assert_eq!(session.book(BTC).unwrap().bids().count(), 2, "nothing new");

    // Another depth is wanted now: nothing is claimed of the old one.
    let deeper = View::Book(Depth::new(25).unwrap());
    session.subscribe(subscribe(deeper, "kraken:*"));
    let requests = texts(&session.reconnected());
    let deep = |text: &&String| text.contains(r#""depth":25"#);
    let book = requests.iter().find(deep).expect("it was asked for");
    assert!(!book.contains("since"), "{book}");
}

#[test]
fn data_before_status_is_noticed_and_what_was_not_asked_for_is_left_alone() {
    let mut session = Session::new();
    session.subscribe(subscribe(View::Ticker, BTC));
    let snapshot = ticker("snapshot", r#""epoch":1,"seq":5,"state":"live","last":"1""#);
    assert_eq!(receive(&mut session, &snapshot), Verdict::Applied);
    assert_eq!(session.violations(), [(BTC.to_owned(), Violation::DataBeforeStatus)]);

    let symbols = vec![Pattern::new(BTC)];
    session.unsubscribe(Unsubscribe { view: View::Ticker, symbols });
    assert_eq!(session.symbols().count(), 0);
    assert_eq!(receive(&mut session, &snapshot), Verdict::Ignored);
    assert_eq!(session.counts().unexpected, 1);
    assert!(!session.must_ask_again());
}

#[test]
fn many_symbols_are_asked_for_in_requests_that_a_service_reads() {
    let mut session = Session::new();
    session.subscribe(subscribe(View::Ticker, "*"));
    for at in 0..2_000 {
        let symbol = format!("coinbase-exchange:SYMBOL{at:04}-USDT");
        for text in [
            format!(
                r#"{{"channel":"status","type":"snapshot","data":[{{"symbol":"{symbol}","epoch":1,"seq":1,"state":"live","ts_state":1}}]}}"#
            ),
            format!(
                r#"{{"channel":"ticker","type":"update","data":[{{"symbol":"{symbol}","epoch":7249421123456,"prev":1,"seq":2,"ts_event":1,"ts_publish":1}}]}}"#
            ),
        ] {
            receive(&mut session, &text);
        }
    }
    let requests = session.ask_again();
    let mut asked = 0;
    for text in texts(&requests) {
        assert!(text.len() <= 65_536, "{}", text.len());
        let Ok(Request::Subscribe { params, .. }) = Request::parse(text.as_bytes()) else {
            panic!("a request that can be read: {text}")
        };
        asked += params.since.len();
    }
    assert_eq!(asked, 2_000);
    assert!(requests.len() < 5);
}
