//! The golden vectors of the binary encoding: what `clients/golden/v1.json` holds is what the
//! service writes and reads, to the byte. The tests of every SDK read the same file.
//!
//! `TICKCAST_BLESS=1` writes it anew, after a deliberate change.

use std::path::PathBuf;
use tickcast_market::{
    Bar, BookSide, Epoch, Interval, Nanos, Price, Scales, Seq, Side, Since, Size, Trade,
    TradingState, Volume,
};
use tickcast_wire::{
    Answer, Authenticated, BarPiece, Depth, Encoding, ErrorCode, Failed, FieldSet, Goaway, Granted,
    Kind, LevelPiece, Limits, Matched, Message, Method, Pattern, Pieces, ProtobufReader, ReqId,
    Request, RequestError, Stats, StreamNumber, Subscribe, TickerField, TickerPieces, TradePiece,
    Unsubscribe, View, Welcome, write_answer, write_frame, write_request,
};

/// 2026-02-03, in microseconds.
const T0: i64 = 1_770_123_456_789_012;

/// A message or request in both encodings.
struct Vector {
    json: String,
    protobuf: Vec<u8>,
}

fn push(vectors: &mut Vec<Vector>, symbol: &str, pieces: &Pieces, ts_publish: i64) {
    let written = |encoding| {
        let mut out = Vec::new();
        let ts_publish = Nanos::from_micros(ts_publish);
        let span = write_frame(&mut out, encoding, symbol, pieces, ts_publish);
        span.payload(&out).to_vec()
    };
    let json = String::from_utf8(written(Encoding::Json)).unwrap();
    vectors.push(Vector { json, protobuf: written(Encoding::Protobuf) });
}

fn answer(vectors: &mut Vec<Vector>, answer: &Answer<'_>) {
    let written = |encoding| {
        let mut out = Vec::new();
        write_answer(&mut out, encoding, answer);
        out
    };
    let json = String::from_utf8(written(Encoding::Json)).unwrap();
    vectors.push(Vector { json, protobuf: written(Encoding::Protobuf) });
}

fn of(view: View, stream: u32, scales: (u8, u8, u8)) -> Pieces {
    let mut pieces = Pieces::default();
    pieces.head.view = view;
    pieces.head.stream = StreamNumber(stream);
    pieces.head.epoch = Epoch(7_249_421);
    pieces.head.state = TradingState::Live;
    pieces.head.scales = Scales { price: scales.0, size: scales.1, volume: scales.2 };
    pieces.head.ts_event = Nanos::from_micros(T0);
    pieces
}

/// Makes it a snapshot at `seq`, or the update from `prev`.
fn at(pieces: &mut Pieces, prev: Option<u64>, seq: u64, opens: bool) {
    pieces.head.kind = prev.map_or(Kind::Snapshot, |prev| Kind::Update { prev: Seq(prev) });
    pieces.head.seq = Seq(seq);
    pieces.head.opens = opens;
    pieces.head.ts_event = Nanos::from_micros(T0 + seq as i64 * 1_000);
}

fn fields(fields: &[TickerField]) -> FieldSet {
    fields.iter().fold(FieldSet::NONE, |set, field| set.with(*field))
}

fn tickers(vectors: &mut Vec<Vector>) {
    let mut all = of(View::Ticker, 11, (2, 8, 8));
    all.ticker = TickerPieces {
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
    at(&mut all, None, 120, true);
    push(vectors, "coinbase:BTC-USD", &all, T0 + 120_350);
    // One field, the next change.
    all.ticker.present = fields(&[TickerField::Bid]);
    at(&mut all, Some(120), 121, false);
    push(vectors, "coinbase:BTC-USD", &all, T0 + 121_088);
    // Several changes at once; a price is 0, a side was emptied.
    all.ticker.present = fields(&[TickerField::Last, TickerField::Bid, TickerField::BidSize]);
    all.ticker.last = Some(Price(0));
    (all.ticker.bid, all.ticker.bid_size) = (None, None);
    at(&mut all, Some(121), 131, false);
    push(vectors, "coinbase:BTC-USD", &all, T0 + 131_088);
    // The answer to a `since`: nothing is new, and the stream is opened again.
    all.ticker.present = FieldSet::NONE;
    at(&mut all, Some(131), 131, true);
    push(vectors, "coinbase:BTC-USD", &all, T0 + 140_000);
    // Nothing is known yet; the venue gives no time, and the name needs escapes.
    let mut none = of(View::Ticker, 21, (0, 0, 0));
    none.head.state = TradingState::Resync;
    none.ticker.present = FieldSet::ALL;
    at(&mut none, None, 1, true);
    none.head.ts_event = Nanos::ZERO;
    push(vectors, "sim:\"Ä\\", &none, T0);
    // Negative prices, and a volume beyond 64 bits.
    none.ticker.present = fields(&[TickerField::Low, TickerField::Volume]);
    none.ticker.low = Some(Price(-3_763));
    none.ticker.volume = Some(Volume((3 << 64) + 5));
    at(&mut none, Some(1), 2, false);
    push(vectors, "sim:\"Ä\\", &none, T0 + 2_500);
}

fn books(vectors: &mut Vec<Vector>) {
    let level = |side, price, size| LevelPiece { side, price: Price(price), size: Size(size) };
    let mut book = of(View::Book(Depth::new(25).unwrap()), 3, (1, 8, 8));
    book.book.levels = vec![
        level(BookSide::Bid, 689_000, 150_000_000),
        level(BookSide::Bid, 688_999, 1),
        level(BookSide::Ask, 689_001, 30_000_000),
        level(BookSide::Ask, 689_100, 9_999_999_999),
    ];
    book.book.checksum = 3_310_070_434;
    at(&mut book, None, 9, true);
    push(vectors, "kraken:BTC-USD", &book, T0 + 9_001);
    book.book.levels = vec![level(BookSide::Bid, 688_998, 70), level(BookSide::Bid, 689_000, 0)];
    book.book.checksum = 12_345;
    at(&mut book, Some(9), 10, false);
    push(vectors, "kraken:BTC-USD", &book, T0 + 10_777);
    // The same stream in another epoch has another number.
    let mut book = of(View::Book(Depth::new(25).unwrap()), 33, (2, 8, 8));
    book.head.epoch = Epoch(7_249_422);
    book.head.state = TradingState::Halted;
    at(&mut book, None, 11, true);
    push(vectors, "kraken:BTC-USD", &book, T0 + 11_001);
}

fn trades_and_bars(vectors: &mut Vec<Vector>) {
    let trade = |seq, id, price, side| TradePiece {
        seq: Seq(seq),
        trade: Trade {
            id,
            price: Price(price),
            size: Size(1_000_000),
            side,
            ts_event: Nanos::from_micros(T0 + seq as i64),
        },
    };
    let mut trades = of(View::Trades, 12, (2, 8, 8));
    trades.trades = vec![trade(4, 988, 6_890_000, Side::Sell)];
    at(&mut trades, None, 4, true);
    push(vectors, "coinbase:BTC-USD", &trades, T0 + 800);
    trades.trades =
        vec![trade(5, 989, 6_890_000, Side::Sell), trade(6, u64::MAX, 6_890_050, Side::Buy)];
    at(&mut trades, Some(4), 6, false);
    push(vectors, "coinbase:BTC-USD", &trades, T0 + 900);
    trades.trades.clear();
    at(&mut trades, None, 6, true);
    push(vectors, "coinbase:BTC-USD", &trades, T0 + 901);

    let mut bars = of(View::Bars(Interval::M1), 18, (2, 8, 8));
    let bar = |start_s: i64, closed| BarPiece {
        seq: Seq(2),
        bar: Bar {
            start: Nanos::from_micros(start_s * 1_000_000),
            open: Price(100),
            high: Price(200),
            low: Price(99),
            close: Price(150),
            volume: Volume(350_000_000),
            trades: 9,
            closed,
        },
    };
    bars.bars = vec![bar(1_770_123_420, true), bar(1_770_123_480, false)];
    at(&mut bars, None, 2, true);
    push(vectors, "coinbase:BTC-USD", &bars, T0 + 1_000);
    bars.bars = vec![bar(1_770_123_480, true)];
    at(&mut bars, Some(2), 5, false);
    push(vectors, "coinbase:BTC-USD", &bars, T0 + 2_000);
}

fn statuses(vectors: &mut Vec<Vector>) {
    for (seq, state) in (1..).zip([
        TradingState::Live,
        TradingState::Stale,
        TradingState::Resync,
        TradingState::Halted,
        TradingState::Closed,
    ]) {
        let mut status = of(View::Status, 0, (0, 0, 0));
        status.head.state = state;
        at(&mut status, None, seq, true);
        push(vectors, "coinbase:BTC-USD", &status, 0);
    }
}

fn answers(vectors: &mut Vec<Vector>) {
    let limits = Limits {
        subscriptions: Some(1000),
        instruments: Some(20_000),
        message_bytes: Some(65_536),
    };
    let welcome = Welcome {
        session: "c1f0a2".into(),
        version: "0.1.0".into(),
        heartbeat_ms: 5000,
        auth_required: true,
        limits,
    };
    answer(vectors, &Answer::Welcome(&welcome));
    let req_id = ReqId::from_integer;
    let sub = Authenticated { sub: "desk-7".into(), expires: 1_770_127_056, limits };
    answer(vectors, &Answer::Authenticated { req_id: Some(&req_id(9)), result: &sub });
    let three = fields(&[TickerField::Last, TickerField::Bid, TickerField::Ask]);
    let granted = Granted {
        symbol: vec!["coinbase:BTC-USD".into()],
        globs: vec![Matched { pattern: "kraken:*".into(), matched: 683 }],
        failed: vec![Failed::new("kraken:NOPE", ErrorCode::UnknownSymbol, "unknown symbol")],
        ..Granted::subscribed(View::Ticker, Some(4.0), three)
    };
    answer(vectors, &Answer::Subscribed { req_id: Some(&req_id(7)), result: &granted });
    let book = Granted::subscribed(View::Book(Depth::new(500).unwrap()), None, FieldSet::ALL);
    answer(vectors, &Answer::Subscribed { req_id: None, result: &book });
    let bars = Granted::unsubscribed(View::Bars(Interval::H1));
    answer(vectors, &Answer::Unsubscribed { req_id: Some(&req_id(-1)), result: &bars });
    let ts_publish = Nanos::from_micros(T0);
    answer(vectors, &Answer::Heartbeat { ts_publish });
    answer(vectors, &Answer::Pong { req_id: Some(&req_id(i64::MAX)), ts_publish });
    let stats = Stats {
        subscriptions: 3,
        instruments: 685,
        sent_messages: 9120,
        sent_bytes: 1_530_000,
        merged_updates: 41,
        lagging: true,
        owed_topics: 0,
        rtt_us: Some(820),
        connected_us: 91_000_000,
    };
    answer(vectors, &Answer::Stats { req_id: Some(&req_id(11)), result: &stats });
    let text = Request::parse(br#"{"method":"ping","req_id":"desk \"7\""}"#).unwrap();
    let none = Stats { rtt_us: None, ..Stats::default() };
    answer(vectors, &Answer::Stats { req_id: text.req_id(), result: &none });
    let error = RequestError {
        method: Some(Method::Subscribe),
        req_id: Some(req_id(7)),
        code: ErrorCode::BadRequest,
        error: "params.channel: missing; one of ticker, trades, book, bars".into(),
    };
    answer(vectors, &Answer::Error(&error));
    answer(vectors, &Answer::Error(&RequestError { method: None, req_id: None, ..error }));
    let goaway = Goaway { reconnect_after_ms: 4210, reason: "drain".into() };
    answer(vectors, &Answer::Goaway(&goaway));
}

fn requests() -> Vec<Vector> {
    let names = |names: &[&str]| names.iter().map(|name| Pattern::new(*name)).collect::<Vec<_>>();
    let since = |symbol: &str, epoch, seq| {
        (symbol.to_owned(), Since { epoch: Epoch(epoch), seq: Seq(seq) })
    };
    let id = |id| Some(ReqId::from_integer(id));
    let subscribe = |req_id, params| Request::Subscribe { req_id, params };
    let requests = [
        subscribe(
            id(7),
            Subscribe {
                max_rate: Some(5.0),
                fields: fields(&[TickerField::Last, TickerField::Bid, TickerField::Ask]),
                since: [since("coinbase:BTC-USD", 7_249_421, 118), since("kraken:A-B", 7, 0)]
                    .into(),
                ..Subscribe::new(View::Ticker, names(&["coinbase:BTC-USD", "kraken:*"]))
            },
        ),
        subscribe(None, Subscribe::new(View::Book(Depth::new(100).unwrap()), names(&["*"]))),
        subscribe(
            id(-8),
            Subscribe { snapshot: false, ..Subscribe::new(View::Trades, names(&["sim:Ä"])) },
        ),
        subscribe(
            id(0),
            Subscribe {
                max_rate: Some(0.25),
                ..Subscribe::new(View::Bars(Interval::S1), names(&["BTC-USD"]))
            },
        ),
        Request::Unsubscribe {
            req_id: id(8),
            params: Unsubscribe { view: View::Ticker, symbols: names(&["kraken:*"]) },
        },
        Request::Unsubscribe {
            req_id: id(9),
            params: Unsubscribe { view: View::Bars(Interval::M5), symbols: names(&["a:B", "c:D"]) },
        },
        Request::Auth { req_id: id(9), token: "eyJhbGciOiJIUzI1NiJ9.e30.c2ln".into() },
        Request::Ping { req_id: id(10) },
        Request::Ping { req_id: None },
        Request::Stats { req_id: id(11) },
    ];
    let written = |encoding, request: &Request| {
        let mut out = Vec::new();
        write_request(&mut out, encoding, request);
        out
    };
    let vector = |request: &Request| Vector {
        json: String::from_utf8(written(Encoding::Json, request)).unwrap(),
        protobuf: written(Encoding::Protobuf, request),
    };
    requests.iter().map(vector).collect()
}

fn messages() -> Vec<Vector> {
    let mut vectors = Vec::new();
    answers(&mut vectors);
    statuses(&mut vectors);
    tickers(&mut vectors);
    books(&mut vectors);
    trades_and_bars(&mut vectors);
    vectors
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn document() -> String {
    let list = |vectors: &[Vector]| {
        let line = |Vector { json, protobuf }: &Vector| {
            format!("    {{\"json\": {json},\n     \"protobuf\": \"{}\"}}", hex(protobuf))
        };
        vectors.iter().map(line).collect::<Vec<_>>().join(",\n")
    };
    format!(
        "{{\n  \"messages\": [\n{}\n  ],\n  \"requests\": [\n{}\n  ]\n}}\n",
        list(&messages()),
        list(&requests())
    )
}

#[test]
fn the_golden_vectors_are_what_the_service_writes() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../clients/golden/v1.json");
    let document = document();
    if std::env::var_os("TICKCAST_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&path, &document).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    let committed_lines: Vec<&str> = committed.lines().collect();
    let lines: Vec<&str> = document.lines().collect();
    assert_eq!(committed_lines, lines, "TICKCAST_BLESS=1 writes {} anew", path.display());
}

#[test]
fn what_the_service_writes_is_read_into_the_very_json() {
    let mut reader = ProtobufReader::new();
    for Vector { json, protobuf } in messages() {
        let read = reader.read(&protobuf).unwrap_or_else(|error| panic!("{error}: {json}"));
        assert_eq!(std::str::from_utf8(read), Ok(&*json));
        assert!(!matches!(Message::decode(read), Ok(Message::Unknown) | Err(_)), "{json}");
    }
}

#[test]
fn requests_are_read_alike_in_both_encodings() {
    for Vector { json, protobuf } in requests() {
        let read = Request::read(Encoding::Protobuf, &protobuf);
        assert!(read.is_ok(), "{json}");
        assert_eq!(read, Request::read(Encoding::Json, json.as_bytes()), "{json}");
    }
}

/// Bytes of a request, and what is said to it.
fn check_refused(protobuf: &[u8], method: Option<Method>, req_id: Option<i64>, error: &str) {
    let refused = Request::read(Encoding::Protobuf, protobuf).unwrap_err();
    assert_eq!(refused.error, error);
    assert_eq!(refused.method, method, "{error}");
    assert_eq!(refused.req_id, req_id.map(ReqId::from_integer), "{error}");
}

#[test]
fn wrong_requests_are_refused_with_field_and_value() {
    use Method::{Ping, Subscribe};
    check_refused(
        b"",
        None,
        None,
        "method: missing; one of subscribe, unsubscribe, auth, ping, stats",
    );
    // {req_id: {number: 7}, subscribe: {…}}
    let subscribe = |body: &[u8]| [&[0x0a, 2, 8, 7, 0x12, body.len() as u8], body].concat();
    let channel = |body: &[u8]| subscribe(&[&[8, 2, 0x12, 3, b'a', b':', b'B'], body].concat());
    for (body, error) in [
        (subscribe(b""), "params.channel: missing; one of ticker, trades, book, bars"),
        (subscribe(&[8, 9]), "params.channel: 9 is not one of ticker, trades, book, bars"),
        (subscribe(&[8, 1]), "params.channel: \"status\" is not one of ticker, trades, book, bars"),
        (subscribe(&[8, 2]), "params.symbol: missing"),
        (channel(&[0x12, 0]), "params.symbol[1]: empty"),
        (channel(&[0x28, 10]), "params.depth: an option of book, not of ticker"),
        (
            channel(&[0x20, 11]),
            "params.fields[0]: 11 is not one of last, last_size, bid, bid_size, ask, ask_size, open, high, low, volume",
        ),
        (
            channel(&[0x19, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f]),
            "params.max_rate: \"NaN\" is not a number above 0",
        ),
        (channel(&[0x19, 0, 0, 0, 0, 0, 0, 0, 0]), "params.max_rate: 0.0 is not a number above 0"),
        (
            channel(&[0x48, 1]),
            "message: not a tickcast.v1.Request: field 9 of Subscribe is unknown; it has channel, symbol, max_rate, fields, depth, interval, snapshot, since",
        ),
        (channel(&[0x12, 1, 0xff]), "message: not a tickcast.v1.Request: params.symbol: not UTF-8"),
        (channel(&[0x12, 9]), "message: not a tickcast.v1.Request: cut short"),
        (
            channel(&[0x1d, 0, 0, 0, 0]),
            "message: not a tickcast.v1.Request: params.max_rate: not of its type",
        ),
    ] {
        check_refused(&body, Some(Subscribe), Some(7), error);
    }
    check_refused(
        &[0x2a, 0, 0x32, 0],
        Some(Ping),
        None,
        "message: not a tickcast.v1.Request: more than one method",
    );
    check_refused(b"{}", None, None, "message: not a tickcast.v1.Request: wire type 3");
}

#[test]
fn what_is_unknown_is_ignored_and_what_was_not_opened_is_told_apart() {
    let mut reader = ProtobufReader::new();
    // Field 100 of Message; a heartbeat with a field that is not known.
    assert_eq!(reader.read(&[0xa2, 0x06, 1, 0]).unwrap(), b"{}");
    assert_eq!(
        reader.read(&[0x32, 5, 8, 5, 0x98, 1, 1]).unwrap(),
        br#"{"channel":"heartbeat","ts_publish":5}"#
    );
    let unopened = reader.read(&[0x0a, 2, 8, 5]).unwrap();
    let channel = tickcast_wire::Channel::Ticker;
    assert_eq!(Message::decode(unopened).unwrap(), Message::Unopened { channel });
}
