//! Whatever is encoded is decoded to equal values, for every view.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tickcast_market::{
    Bar, BookSide, Epoch, Interval, Nanos, Price, SCALE_MAX, Scales, Seq, Side, Size, Trade,
    TradingState, Volume,
};
use tickcast_wire::{
    BarPiece, DEPTHS, Depth, Encoding, Field, FieldSet, Head, Kind, LevelPiece, Mark, Message,
    Number, Pieces, ProtobufReader, StreamNumber, TickerField, TickerPieces, TradePiece, View,
    write_frame, write_message,
};

/// Reads a padded number by its own rule: the digits are the mantissa, and exactly `scale` of
/// them stand after the point.
fn mantissa(number: Number<'_>, scale: u8) -> i128 {
    let text = number.text();
    let decimals = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    assert_eq!(decimals, usize::from(scale), "{text}");
    let whole = text.split('.').next().unwrap().trim_start_matches('-');
    assert!(whole == "0" || !whole.starts_with('0'), "{text}");
    text.replace('.', "").parse().unwrap()
}

fn views() -> impl Strategy<Value = View> {
    let depths = DEPTHS.map(|levels| View::Book(Depth::new(levels).unwrap()));
    let intervals = Interval::ALL.map(View::Bars);
    let all = [View::Status, View::Ticker, View::Trades].into_iter().chain(depths).chain(intervals);
    proptest::sample::select(all.collect::<Vec<_>>())
}

prop_compose! {
    fn heads()(
        view in views(),
        prev in option::of(any::<u64>()),
        epoch in 0..1u64 << 53,
        seq: u64,
        state in proptest::sample::select(vec![
            TradingState::Live, TradingState::Halted, TradingState::Closed,
            TradingState::Stale, TradingState::Resync,
        ]),
        (price, size, volume) in (0..=SCALE_MAX, 0..=SCALE_MAX, 0..=SCALE_MAX),
        micros in -1_000_000_000_000_000i64..4_000_000_000_000_000,
    ) -> Head {
        Head {
            view,
            kind: prev.map_or(Kind::Snapshot, |prev| Kind::Update { prev: Seq(prev) }),
            epoch: Epoch(epoch),
            seq: Seq(seq),
            state,
            scales: Scales { price, size, volume },
            ts_event: Nanos::from_micros(micros),
            ..Pieces::default().head
        }
    }
}

prop_compose! {
    fn tickers()(
        present in vec(any::<bool>(), TickerField::COUNT),
        prices in proptest::array::uniform6(option::of(any::<i64>())),
        sizes in proptest::array::uniform3(option::of(any::<i64>())),
        volume in option::of(any::<i128>()),
    ) -> TickerPieces {
        let present = TickerField::ALL.into_iter().zip(present).filter(|(_, is)| *is);
        let [last, bid, ask, open, high, low] = prices.map(|price| price.map(Price));
        let [last_size, bid_size, ask_size] = sizes.map(|size| size.map(Size));
        TickerPieces {
            present: present.fold(FieldSet::NONE, |set, (field, _)| set.with(field)),
            last, last_size, bid, bid_size, ask, ask_size, open, high, low,
            volume: volume.map(Volume),
        }
    }
}

fn sides() -> impl Strategy<Value = Vec<LevelPiece>> {
    let side = |side| {
        let level = (any::<i64>(), prop_oneof![Just(0), any::<i64>()]);
        vec(
            level.prop_map(move |(price, size)| LevelPiece {
                side,
                price: Price(price),
                size: Size(size),
            }),
            0..6,
        )
    };
    (side(BookSide::Bid), side(BookSide::Ask)).prop_map(|(bids, asks)| [bids, asks].concat())
}

prop_compose! {
    fn trades()(seq: u64, id: u64, price: i64, size: i64, buys: bool, micros in 0..i64::MAX / 1000)
        -> TradePiece {
        let side = if buys { Side::Buy } else { Side::Sell };
        let ts_event = Nanos::from_micros(micros);
        let trade = Trade { id, price: Price(price), size: Size(size), side, ts_event };
        TradePiece { seq: Seq(seq), trade }
    }
}

prop_compose! {
    fn bars()(
        seconds in 0..i64::MAX / 1_000_000_000,
        [open, high, low, close] in proptest::array::uniform4(any::<i64>().prop_map(Price)),
        volume: i128,
        trades: u32,
        closed: bool,
    ) -> BarPiece {
        let (start, volume) = (Nanos::from_micros(seconds * 1_000_000), Volume(volume));
        let bar = Bar { start, open, high, low, close, volume, trades, closed };
        BarPiece { seq: Seq(0), bar }
    }
}

prop_compose! {
    fn all_pieces()(
        head in heads(),
        ticker in tickers(),
        levels in sides(),
        checksum: u32,
        trades in vec(trades(), 0..5),
        bars in vec(bars(), 0..5),
    ) -> Pieces {
        let mut pieces = Pieces { head, ticker, trades, bars, ..Pieces::default() };
        pieces.book.levels = levels;
        pieces.book.checksum = checksum;
        pieces
    }
}

/// What was decoded, as the pieces that it must have come from.
struct Decoded<'a> {
    symbol: &'a str,
    mark: Mark,
    state: Option<TradingState>,
    is_snapshot: bool,
}

/// Asserts that the one item of the message equals the pieces, part by part, and gives its head.
fn check_body<'m>(message: &'m Message<'_>, pieces: &Pieces, ts_publish: Nanos) -> Decoded<'m> {
    let head = &pieces.head;
    macro_rules! only {
        ($push:expr) => {{
            let [item] = &$push.items[..] else { panic!("one item: {:?}", $push.items) };
            let decoded = Decoded {
                symbol: &item.symbol,
                mark: item.mark(),
                state: item.state,
                is_snapshot: $push.is_snapshot,
            };
            (item, decoded)
        }};
    }
    match message {
        Message::Status(push) => {
            let (item, decoded) = only!(push);
            assert_eq!(head.view, View::Status);
            assert_eq!(item.ts_state, head.ts_event);
            decoded
        }
        Message::Ticker(push) => {
            let (item, decoded) = only!(push);
            assert_eq!(head.view, View::Ticker);
            assert_eq!((item.ts_event, item.ts_publish), (head.ts_event, ts_publish));
            for field in TickerField::ALL {
                let got = match item.field(field) {
                    Field::Absent => None,
                    Field::Null => Some(None),
                    Field::Value(number) => Some(Some(mantissa(number, field.scale(head.scales)))),
                };
                let present = pieces.ticker.present.contains(field);
                assert_eq!(got, present.then(|| pieces.ticker.mantissa(field)));
            }
            decoded
        }
        Message::Book(push) => {
            let (item, decoded) = only!(push);
            assert_eq!(head.view, View::Book(item.depth));
            assert_eq!((item.ts_event, item.ts_publish), (head.ts_event, ts_publish));
            assert_eq!(item.checksum, pieces.book.checksum);
            let level = |side| {
                move |(price, size): &(Number<'_>, Number<'_>)| LevelPiece {
                    side,
                    price: Price(mantissa(*price, head.scales.price) as i64),
                    size: match size.text() {
                        "0" => Size(0),
                        _ => Size(mantissa(*size, head.scales.size) as i64),
                    },
                }
            };
            let bids = item.bids.iter().map(level(BookSide::Bid));
            let levels: Vec<_> = bids.chain(item.asks.iter().map(level(BookSide::Ask))).collect();
            assert_eq!(levels, pieces.book.levels);
            decoded
        }
        Message::Trades(push) => {
            let (item, decoded) = only!(push);
            assert_eq!(head.view, View::Trades);
            assert_eq!(item.ts_publish, ts_publish);
            let trades = item.trades.iter().map(|trade| TradePiece {
                seq: trade.seq,
                trade: Trade {
                    id: trade.id.parse().unwrap(),
                    price: Price(mantissa(trade.price, head.scales.price) as i64),
                    size: Size(mantissa(trade.size, head.scales.size) as i64),
                    side: trade.side,
                    ts_event: trade.ts_event,
                },
            });
            assert_eq!(trades.collect::<Vec<_>>(), pieces.trades);
            decoded
        }
        Message::Bars(push) => {
            let (item, decoded) = only!(push);
            assert_eq!(head.view, View::Bars(item.interval));
            assert_eq!(item.ts_publish, ts_publish);
            let price = |number| Price(mantissa(number, head.scales.price) as i64);
            let bars = item.bars.iter().map(|bar| BarPiece {
                seq: Seq(0),
                bar: Bar {
                    start: bar.start,
                    open: price(bar.open),
                    high: price(bar.high),
                    low: price(bar.low),
                    close: price(bar.close),
                    volume: Volume(mantissa(bar.volume, head.scales.volume)),
                    trades: bar.trades,
                    closed: bar.closed,
                },
            });
            assert_eq!(bars.collect::<Vec<_>>(), pieces.bars);
            decoded
        }
        other => panic!("no data: {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn what_is_encoded_is_decoded_to_equal_values(
        pieces in all_pieces(),
        symbol in "[a-z]{1,8}:[A-Z\"\\\\é\n]{1,8}",
        micros in 0..i64::MAX / 1000,
    ) {
        let mut out = b"other frames".to_vec();
        let ts_publish = Nanos::from_micros(micros);
        let span = write_frame(&mut out, Encoding::Json, &symbol, &pieces, ts_publish);
        prop_assert_eq!(span.end(), out.len());
        let text = std::str::from_utf8(span.payload(&out)).unwrap();
        prop_assert!(!text.contains('\n'), "an event of SSE is one line");
        let message = Message::decode(text.as_bytes()).unwrap();

        let decoded = check_body(&message, &pieces, ts_publish);
        let head = pieces.head;
        let (is_snapshot, prev) = match head.kind {
            Kind::Snapshot => (true, None),
            Kind::Update { prev } => (false, Some(prev)),
        };
        prop_assert_eq!(decoded.symbol, symbol);
        prop_assert_eq!(decoded.mark, Mark { epoch: head.epoch, prev, seq: head.seq });
        prop_assert_eq!(decoded.is_snapshot, is_snapshot);
        let has_state = is_snapshot || head.view == View::Status;
        prop_assert_eq!(decoded.state, has_state.then_some(head.state));
    }

    #[test]
    fn protobuf_is_read_into_the_very_json(
        pieces in vec(all_pieces(), 1..4),
        symbol in "[a-z]{1,8}:[A-Z\"\\\\é\n]{1,8}",
        micros in 0..i64::MAX / 1000,
    ) {
        let mut reader = ProtobufReader::new();
        let ts_publish = Nanos::from_micros(micros);
        for (at, mut pieces) in pieces.into_iter().enumerate() {
            pieces.head.stream = StreamNumber(at as u32);
            for opens in [true, false] {
                pieces.head.opens = opens;
                if !opens && pieces.head.kind == Kind::Snapshot {
                    continue; // A snapshot always opens.
                }
                let (mut json, mut out) = (Vec::new(), b"other frames".to_vec());
                write_message(&mut json, &symbol, &pieces, ts_publish);
                let span = write_frame(&mut out, Encoding::Protobuf, &symbol, &pieces, ts_publish);
                prop_assert_eq!(out[span.start], 0x82, "final, binary");
                let read = reader.read(span.payload(&out)).unwrap();
                prop_assert_eq!(std::str::from_utf8(read), std::str::from_utf8(&json));
            }
        }
    }

    #[test]
    fn what_is_cut_or_bent_never_makes_the_protobuf_reader_panic(
        pieces in all_pieces(),
        at in any::<proptest::sample::Index>(),
        bits: u8,
        cut: bool,
    ) {
        let mut out = Vec::new();
        let span = write_frame(&mut out, Encoding::Protobuf, "a:B", &pieces, Nanos::ZERO);
        let mut message = span.payload(&out).to_vec();
        let at = at.index(message.len());
        message[at] ^= bits;
        if cut {
            message.truncate(at);
        }
        let mut reader = ProtobufReader::new();
        if let Ok(json) = reader.read(&message) {
            let _ = Message::decode(json);
        }
        let _ = reader.read(span.payload(&out));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Message::decode(&bytes);
        let _ = tickcast_wire::Request::parse(&bytes);
        let _ = tickcast_wire::Request::read(Encoding::Protobuf, &bytes);
        let _ = ProtobufReader::new().read(&bytes);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let _ = tickcast_wire::parse_query(text, &[]);
        }
    }
}

#[test]
fn unknown_fields_and_channels_and_other_orders_are_lived_with() {
    let decode = |text: &'static str| Message::decode(text.as_bytes()).unwrap();
    let late = r#"{"new":{"a":[1]},"data":[{"later":null,"symbol":"a:B","seq":2,"epoch":1,"state":"live","ts_state":3}],"type":"snapshot","channel":"status"}"#;
    let Message::Status(push) = decode(late) else { panic!("{late}") };
    assert_eq!(push.items[0].state, Some(TradingState::Live));
    for text in [
        r#"{"channel":"funding","type":"update","data":[{"x":1}]}"#,
        r#"{"data":[{"x":1}],"channel":"funding","type":"update"}"#,
        r#"{"channel":"system","type":"notice","data":[{"text":"hello"}]}"#,
        r#"{"channel":"ticker","type":"correction","data":[]}"#,
        r#"{"hello":"world"}"#,
    ] {
        assert_eq!(decode(text), Message::Unknown, "{text}");
    }
    for text in [r#"{"channel":"ticker","type":"update"}"#, "[]", r#"{"channel":"heartbeat"}"#] {
        assert!(Message::decode(text.as_bytes()).is_err(), "{text}");
    }
}
