//! Every line that PROTOCOL.md and the design show is what the service writes and reads, to the
//! byte.

use std::collections::HashMap;
use tickcast_market::{
    Bar, BookSide, Epoch, Interval, Nanos, Price, Scales, Seq, Side, Since, Size, Trade,
    TradingState, Volume,
};
use tickcast_wire::{
    Answer, Authenticated, BarPiece, Depth, Encoding, ErrorCode, Failed, FieldSet, Goaway, Granted,
    Head, Kind, LevelPiece, Limits, Matched, Message, Outcome, Pattern, Pieces, ReqId, Request,
    Stats, Subscribe, TickerField, TickerPieces, TradePiece, Unsubscribe, View, Welcome,
    write_answer, write_message, write_request,
};

const JSON: Encoding = Encoding::Json;

fn three_fields() -> FieldSet {
    [TickerField::Last, TickerField::Bid, TickerField::Ask]
        .into_iter()
        .fold(FieldSet::NONE, FieldSet::with)
}

#[test]
fn requests_are_read_and_written_as_shown() {
    let req_id = |n| Some(ReqId::from_integer(n));
    let since = Since { epoch: Epoch(7_249_421), seq: Seq(118) };
    let cases = [
        (
            r#"{"method":"subscribe","req_id":7,"params":{"channel":"ticker","symbol":["coinbase:BTC-USD","kraken:*"],"max_rate":5,"fields":["last","bid","ask"],"since":{"coinbase:BTC-USD":{"epoch":7249421,"seq":118}}}}"#,
            Request::Subscribe {
                req_id: req_id(7),
                params: Subscribe {
                    max_rate: Some(5.0),
                    fields: three_fields(),
                    since: HashMap::from([("coinbase:BTC-USD".to_owned(), since)]),
                    ..Subscribe::new(
                        View::Ticker,
                        vec![Pattern::new("coinbase:BTC-USD"), Pattern::new("kraken:*")],
                    )
                },
            },
        ),
        (
            r#"{"method":"unsubscribe","req_id":8,"params":{"channel":"ticker","symbol":["kraken:*"]}}"#,
            Request::Unsubscribe {
                req_id: req_id(8),
                params: Unsubscribe { view: View::Ticker, symbols: vec![Pattern::new("kraken:*")] },
            },
        ),
        (
            r#"{"method":"auth","req_id":9,"params":{"token":"…"}}"#,
            Request::Auth { req_id: req_id(9), token: "…".into() },
        ),
        (r#"{"method":"ping","req_id":10}"#, Request::Ping { req_id: req_id(10) }),
        (r#"{"method":"stats","req_id":11}"#, Request::Stats { req_id: req_id(11) }),
    ];
    for (text, request) in cases {
        assert_eq!(Request::parse(text.as_bytes()).as_ref(), Ok(&request), "{text}");
        let mut out = Vec::new();
        write_request(&mut out, JSON, &request);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}

fn check_answer(answer: &Answer<'_>, text: &str) {
    let mut out = Vec::new();
    write_answer(&mut out, JSON, answer);
    assert_eq!(String::from_utf8(out).unwrap(), text);
}

fn decode(text: &str) -> Message<'_> {
    Message::decode(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn check_outcome(text: &str, id: i64, expected: Outcome) {
    let req_id = Some(ReqId::from_integer(id));
    assert_eq!(decode(text), Message::Answer { req_id, outcome: expected }, "{text}");
}

#[test]
fn what_the_edge_says_of_itself_is_written_and_read_as_shown() {
    let welcome = Welcome {
        session: "c1f…".into(),
        version: "0.1.0".into(),
        heartbeat_ms: 5000,
        auth_required: false,
        limits: Limits {
            subscriptions: Some(1000),
            instruments: Some(20_000),
            message_bytes: Some(65_536),
        },
    };
    let text = r#"{"channel":"system","type":"welcome","data":[{"session":"c1f…","version":"0.1.0","heartbeat_ms":5000,"auth_required":false,"limits":{"subscriptions":1000,"instruments":20000,"message_bytes":65536}}]}"#;
    check_answer(&Answer::Welcome(&welcome), text);
    assert_eq!(decode(text), Message::Welcome(welcome));

    let goaway = Goaway { reconnect_after_ms: 4210, reason: "drain".into() };
    let text = r#"{"channel":"system","type":"goaway","data":[{"reconnect_after_ms":4210,"reason":"drain"}]}"#;
    check_answer(&Answer::Goaway(&goaway), text);
    assert_eq!(decode(text), Message::Goaway(goaway));

    let ts_publish = Nanos::from_micros(1_770_123_456_789_012);
    let text = r#"{"channel":"heartbeat","ts_publish":1770123456789012}"#;
    check_answer(&Answer::Heartbeat { ts_publish }, text);
    assert_eq!(decode(text), Message::Heartbeat { ts_publish });

    let text = r#"{"method":"pong","req_id":10,"ts_publish":1770123456789012}"#;
    let req_id = ReqId::from_integer(10);
    check_answer(&Answer::Pong { req_id: Some(&req_id), ts_publish }, text);
    check_outcome(text, 10, Outcome::Pong { ts_publish });
}

#[test]
fn the_answer_to_subscribe_is_written_and_read_as_shown() {
    let granted = Granted {
        symbol: vec!["coinbase:BTC-USD".into()],
        globs: vec![Matched { pattern: "kraken:*".into(), matched: 683 }],
        failed: vec![Failed::new("kraken:NOPE", ErrorCode::UnknownSymbol, "unknown symbol")],
        ..Granted::subscribed(View::Ticker, Some(4.0), three_fields())
    };
    let text = r#"{"method":"subscribe","req_id":7,"success":true,"result":{"channel":"ticker","symbol":["coinbase:BTC-USD"],"globs":[{"pattern":"kraken:*","matched":683}],"failed":[{"symbol":"kraken:NOPE","code":4404,"error":"unknown symbol"}],"max_rate":4,"fields":["last","bid","ask"]}}"#;
    let req_id = ReqId::from_integer(7);
    check_answer(&Answer::Subscribed { req_id: Some(&req_id), result: &granted }, text);
    check_outcome(text, 7, Outcome::Subscribed(granted));
}

#[test]
fn answers_tell_the_depth_the_interval_and_no_rate_where_real_time_is_granted() {
    let book = Granted::subscribed(View::Book(Depth::new(25).unwrap()), None, FieldSet::ALL);
    let text = r#"{"method":"subscribe","success":true,"result":{"channel":"book","symbol":[],"globs":[],"failed":[],"depth":25}}"#;
    check_answer(&Answer::Subscribed { req_id: None, result: &book }, text);
    assert_eq!(decode(text), Message::Answer { req_id: None, outcome: Outcome::Subscribed(book) });

    let bars = Granted::unsubscribed(View::Bars(Interval::M5));
    let text = r#"{"method":"unsubscribe","req_id":1,"success":true,"result":{"channel":"bars","symbol":[],"globs":[],"failed":[],"interval":"5m"}}"#;
    let req_id = ReqId::from_integer(1);
    check_answer(&Answer::Unsubscribed { req_id: Some(&req_id), result: &bars }, text);
    check_outcome(text, 1, Outcome::Unsubscribed(bars));
}

#[test]
fn the_answers_to_auth_and_stats_are_written_and_read_as_shown() {
    let authenticated = Authenticated {
        sub: "desk-7".into(),
        expires: 1_770_127_056,
        limits: Limits { subscriptions: Some(200), ..Limits::default() },
    };
    let text = r#"{"method":"auth","req_id":9,"success":true,"result":{"sub":"desk-7","expires":1770127056,"limits":{"subscriptions":200}}}"#;
    let req_id = ReqId::from_integer(9);
    check_answer(&Answer::Authenticated { req_id: Some(&req_id), result: &authenticated }, text);
    check_outcome(text, 9, Outcome::Authenticated(authenticated));

    let stats = Stats {
        subscriptions: 3,
        instruments: 685,
        sent_messages: 9120,
        sent_bytes: 1_530_000,
        merged_updates: 41,
        lagging: false,
        owed_topics: 0,
        rtt_us: Some(820),
        connected_us: 91_000_000,
    };
    let text = r#"{"method":"stats","req_id":11,"success":true,"result":{"subscriptions":3,"instruments":685,"sent_messages":9120,"sent_bytes":1530000,"merged_updates":41,"lagging":false,"owed_topics":0,"rtt_us":820,"connected_us":91000000}}"#;
    let req_id = ReqId::from_integer(11);
    check_answer(&Answer::Stats { req_id: Some(&req_id), result: &stats }, text);
    check_outcome(text, 11, Outcome::Stats(stats));
}

#[test]
fn a_refusal_is_written_and_read_as_shown() {
    let request = r#"{"method":"subscribe","req_id":7,"params":{"channel":"tikcer","symbol":"*"}}"#;
    let error = Request::parse(request.as_bytes()).unwrap_err();
    let text = r#"{"method":"subscribe","req_id":7,"success":false,"code":4400,"error":"params.channel: \"tikcer\" is not one of ticker, trades, book, bars"}"#;
    check_answer(&Answer::Error(&error), text);
    check_outcome(text, 7, Outcome::Refused { code: 4400, error: error.error });
}

fn pieces(view: View, kind: Kind, seq: u64, ts_event: i64) -> Pieces {
    Pieces {
        head: Head {
            view,
            kind,
            epoch: Epoch(7_249_421),
            seq: Seq(seq),
            state: TradingState::Live,
            scales: Scales { price: 2, size: 8, volume: 8 },
            ts_event: Nanos::from_micros(ts_event),
            ..Pieces::default().head
        },
        ..Pieces::default()
    }
}

fn update(prev: u64) -> Kind {
    Kind::Update { prev: Seq(prev) }
}

fn check_push(pieces: &Pieces, symbol: &str, ts_publish: i64, text: &str) {
    let mut out = Vec::new();
    write_message(&mut out, symbol, pieces, Nanos::from_micros(ts_publish));
    assert_eq!(String::from_utf8(out).unwrap(), text);
    assert!(!matches!(decode(text), Message::Unknown), "{text}");
}

#[test]
fn status_and_ticker_are_written_as_shown() {
    let status = pieces(View::Status, Kind::Snapshot, 1, 1_770_123_456_789_012);
    let text = r#"{"channel":"status","type":"snapshot","data":[{"symbol":"coinbase:BTC-USD","epoch":7249421,"seq":1,"state":"live","ts_state":1770123456789012}]}"#;
    check_push(&status, "coinbase:BTC-USD", 0, text);

    let mut ticker = pieces(View::Ticker, Kind::Snapshot, 120, 1_770_123_456_789_012);
    ticker.ticker = TickerPieces {
        present: FieldSet::ALL,
        last: Some(Price(6_890_050)),
        last_size: Some(Size(1_000_000)),
        bid: Some(Price(6_890_000)),
        bid_size: Some(Size(250_000_000)),
        ask: Some(Price(6_890_050)),
        ask_size: Some(Size(110_000_000)),
        open: Some(Price(6_700_000)),
        high: Some(Price(6_910_000)),
        low: Some(Price(6_680_000)),
        volume: Some(Volume(1_023_155_000_000)),
    };
    let text = r#"{"channel":"ticker","type":"snapshot","data":[{"symbol":"coinbase:BTC-USD","epoch":7249421,"seq":120,"state":"live","last":"68900.50","last_size":"0.01000000","bid":"68900.00","bid_size":"2.50000000","ask":"68900.50","ask_size":"1.10000000","open":"67000.00","high":"69100.00","low":"66800.00","volume":"10231.55000000","ts_event":1770123456789012,"ts_publish":1770123456789100}]}"#;
    check_push(&ticker, "coinbase:BTC-USD", 1_770_123_456_789_100, text);

    let mut ticker = pieces(View::Ticker, update(120), 126, 1_770_123_456_889_012);
    ticker.ticker.present = FieldSet::NONE.with(TickerField::Bid);
    ticker.ticker.bid = Some(Price(6_890_100));
    let text = r#"{"channel":"ticker","type":"update","data":[{"symbol":"coinbase:BTC-USD","epoch":7249421,"prev":120,"seq":126,"bid":"68901.00","ts_event":1770123456889012,"ts_publish":1770123456889100}]}"#;
    check_push(&ticker, "coinbase:BTC-USD", 1_770_123_456_889_100, text);
}

#[test]
fn books_are_written_as_shown() {
    let depth = View::Book(Depth::new(25).unwrap());
    let level = |side, price, size| LevelPiece { side, price: Price(price), size: Size(size) };
    let mut book = pieces(depth, Kind::Snapshot, 9, 1);
    book.head.scales.price = 1;
    book.book.levels =
        vec![level(BookSide::Bid, 689_000, 150_000_000), level(BookSide::Ask, 689_001, 30_000_000)];
    book.book.checksum = 3_310_070_434;
    let text = r#"{"channel":"book","type":"snapshot","data":[{"symbol":"kraken:BTC-USD","depth":25,"epoch":7249421,"seq":9,"state":"live","bids":[["68900.0","1.50000000"]],"asks":[["68900.1","0.30000000"]],"checksum":3310070434,"ts_event":1,"ts_publish":2}]}"#;
    check_push(&book, "kraken:BTC-USD", 2, text);

    let mut book = pieces(depth, update(9), 10, 1);
    book.head.scales.price = 1;
    book.book.levels = vec![level(BookSide::Bid, 689_000, 0)];
    book.book.checksum = 12_345;
    let text = r#"{"channel":"book","type":"update","data":[{"symbol":"kraken:BTC-USD","depth":25,"epoch":7249421,"prev":9,"seq":10,"bids":[["68900.0","0"]],"asks":[],"checksum":12345,"ts_event":1,"ts_publish":2}]}"#;
    check_push(&book, "kraken:BTC-USD", 2, text);
}

#[test]
fn trades_and_bars_are_written_as_shown() {
    let trade = |seq, id, price, side| TradePiece {
        seq: Seq(seq),
        trade: Trade {
            id,
            price: Price(price),
            size: Size(1_000_000),
            side,
            ts_event: Nanos::from_micros(1),
        },
    };
    let mut trades = pieces(View::Trades, update(4), 6, 1);
    trades.trades = vec![trade(5, 989, 6_890_000, Side::Sell), trade(6, 990, 6_890_050, Side::Buy)];
    let text = r#"{"channel":"trades","type":"update","data":[{"symbol":"coinbase:BTC-USD","epoch":7249421,"prev":4,"seq":6,"trades":[{"seq":5,"id":"989","price":"68900.00","size":"0.01000000","side":"sell","ts_event":1},{"seq":6,"id":"990","price":"68900.50","size":"0.01000000","side":"buy","ts_event":1}],"ts_publish":2}]}"#;
    check_push(&trades, "coinbase:BTC-USD", 2, text);

    let mut bars = pieces(View::Bars(Interval::M1), update(1), 2, 1);
    bars.bars = vec![BarPiece {
        seq: Seq(2),
        bar: Bar {
            start: Nanos::from_micros(1_770_123_420_000_000),
            open: Price(100),
            high: Price(200),
            low: Price(100),
            close: Price(200),
            volume: Volume(350_000_000),
            trades: 9,
            closed: false,
        },
    }];
    let text = r#"{"channel":"bars","type":"update","data":[{"symbol":"coinbase:BTC-USD","interval":"1m","epoch":7249421,"prev":1,"seq":2,"bars":[{"start":1770123420000000,"open":"1.00","high":"2.00","low":"1.00","close":"2.00","volume":"3.50000000","trades":9,"closed":false}],"ts_publish":2}]}"#;
    check_push(&bars, "coinbase:BTC-USD", 2, text);
}

#[test]
fn several_items_stand_in_one_message() {
    use tickcast_wire::{Channel, close_message, next_item, open_message, write_item};
    let status = pieces(View::Status, Kind::Snapshot, 1, 3);
    let mut out = Vec::new();
    open_message(&mut out, Channel::Status, Kind::Snapshot);
    for symbol in ["sim:A", "sim:\"B\""] {
        next_item(&mut out);
        write_item(&mut out, symbol, &status, Nanos::ZERO);
    }
    close_message(&mut out);
    let Ok(Message::Status(push)) = Message::decode(&out) else { panic!() };
    assert!(push.is_snapshot);
    let symbols: Vec<_> = push.items.iter().map(|item| &*item.symbol).collect();
    assert_eq!(symbols, ["sim:A", "sim:\"B\""]);
}
