//! What is wrong with a request is named: the field, and the value as it was sent.

use tickcast_market::Interval;
use tickcast_wire::{ErrorCode, Method, Pattern, Request, RequestError, Subscribe, View};

fn refused(text: &str) -> RequestError {
    match Request::parse(text.as_bytes()) {
        Err(error) => error,
        Ok(request) => panic!("accepted: {text}: {request:?}"),
    }
}

#[test]
fn errors_name_the_field_and_the_value() {
    let known = "channel, symbol, max_rate, fields, depth, interval, snapshot, since";
    for (text, error) in [
        ("", "message: not JSON: EOF while parsing a value at line 1 column 0"),
        ("hello", "message: not JSON: expected value at line 1 column 1"),
        (
            r#"{"method":"ping""#,
            "message: not JSON: EOF while parsing an object at line 1 column 16",
        ),
        (r#"{"method":"ping"} x"#, "message: not JSON: trailing characters at line 1 column 19"),
        (r#"{"\ud800":1}"#, "message: not JSON: unexpected end of hex escape at line 1 column 9"),
        ("[1,2]", "message: [1,2] is not an object"),
        ("null", "message: null is not an object"),
        ("[1,", "message: not JSON: EOF while parsing a value at line 1 column 3"),
        ("{}", "method: missing; one of subscribe, unsubscribe, auth, ping, stats"),
        (
            r#"{"method":"subscrbe"}"#,
            r#"method: "subscrbe" is not one of subscribe, unsubscribe, auth, ping, stats"#,
        ),
        (r#"{"method":7}"#, "method: 7 is not one of subscribe, unsubscribe, auth, ping, stats"),
        (r#"{"method":"ping","req_id":1.5}"#, "req_id: 1.5 is not an integer or a string"),
        (r#"{"method":"ping","req_id":[1]}"#, "req_id: [1] is not an integer or a string"),
        (r#"{"method":"ping","reqid":1}"#, "reqid: unknown; a request has method, req_id, params"),
        (r#"{"method":"ping","method":"stats"}"#, "method: given twice"),
        (r#"{"method":"ping","params":{"a":1}}"#, "params.a: unknown; ping takes none"),
        (r#"{"method":"stats","params":[]}"#, "params: [] is not an object"),
        (r#"{"method":"subscribe"}"#, "params: missing"),
        (r#"{"method":"unsubscribe","params":null}"#, "params: missing"),
        (r#"{"method":"subscribe","params":"x"}"#, r#"params: "x" is not an object"#),
        (r#"{"method":"auth","params":{}}"#, "params.token: missing"),
        (r#"{"method":"auth","params":{"token":""}}"#, "params.token: empty"),
        (r#"{"method":"auth","params":{"token":["secret"]}}"#, "params.token: not a string"),
        (
            r#"{"method":"auth","params":{"token":"t","user":1}}"#,
            "params.user: unknown; auth takes token",
        ),
    ] {
        assert_eq!(refused(text).error, error, "{text}");
    }
    for (params, error) in [
        (r#""symbol":"A""#, "params.channel: missing; one of ticker, trades, book, bars"),
        (
            r#""symbol":"A","channel":null"#,
            "params.channel: missing; one of ticker, trades, book, bars",
        ),
        (
            r#""channel":"status","symbol":"A""#,
            r#"params.channel: "status" is not one of ticker, trades, book, bars"#,
        ),
        (r#""channel":5"#, "params.channel: 5 is not one of ticker, trades, book, bars"),
        (r#""channel":"ticker""#, "params.symbol: missing"),
        (r#""symbol":[]"#, "params.symbol: empty"),
        (r#""symbol":"""#, "params.symbol: empty"),
        (r#""symbol":["A",""]"#, "params.symbol[1]: empty"),
        (r#""symbol":7"#, "params.symbol: 7 is not a string or an array of strings"),
        (r#""symbol":{"A":1}"#, r#"params.symbol: {"A":1} is not a string or an array of strings"#),
        (r#""symbol":["A",7]"#, "params.symbol[1]: 7 is not a string"),
        (r#""symbol":["A",null]"#, "params.symbol[1]: null is not a string"),
        (r#""max_rate":0"#, "params.max_rate: 0 is not a number above 0"),
        (r#""max_rate":-1"#, "params.max_rate: -1 is not a number above 0"),
        (r#""max_rate":1e999"#, "params.max_rate: 1e999 is not a number above 0"),
        (r#""max_rate":"4""#, r#"params.max_rate: "4" is not a number above 0"#),
        (r#""fields":[]"#, "params.fields: empty"),
        (r#""fields":"bid""#, r#"params.fields: "bid" is not an array of strings"#),
        (
            r#""fields":["bid","bidd"]"#,
            r#"params.fields[1]: "bidd" is not one of last, last_size, bid, bid_size, ask, ask_size, open, high, low, volume"#,
        ),
        (r#""fields":["bid","bid"]"#, r#"params.fields[1]: "bid" is given twice"#),
        (r#""depth":11"#, "params.depth: 11 is not one of 10, 25, 100, 500"),
        (r#""depth":"10""#, r#"params.depth: "10" is not one of 10, 25, 100, 500"#),
        (r#""depth":-10"#, "params.depth: -10 is not one of 10, 25, 100, 500"),
        (r#""interval":"2m""#, r#"params.interval: "2m" is not one of 1s, 1m, 5m, 1h"#),
        (r#""interval":60"#, "params.interval: 60 is not one of 1s, 1m, 5m, 1h"),
        (r#""snapshot":1"#, "params.snapshot: 1 is not true or false"),
        (r#""since":[]"#, "params.since: [] is not an object"),
        (r#""since":{"A":118}"#, r#"params.since["A"]: 118 is not an object"#),
        (r#""since":{"A":{"epoch":1}}"#, r#"params.since["A"].seq: missing"#),
        (r#""since":{"A":{"seq":1}}"#, r#"params.since["A"].epoch: missing"#),
        (
            r#""since":{"A":{"epoch":1,"seq":-1}}"#,
            r#"params.since["A"].seq: -1 is not an integer from 0 to 2^53"#,
        ),
        (
            r#""since":{"A":{"epoch":9007199254740993,"seq":1}}"#,
            r#"params.since["A"].epoch: 9007199254740993 is not an integer from 0 to 2^53"#,
        ),
        (
            r#""since":{"A":{"epoch":1,"sequence":1}}"#,
            r#"params.since["A"].sequence: unknown; known are epoch, seq"#,
        ),
        (
            r#""since":{"A":{"epoch":1,"seq":1},"A":{"epoch":1,"seq":2}}"#,
            r#"params.since["A"]: given twice"#,
        ),
        (r#""deph":10"#, &format!("params.deph: unknown; known are {known}")),
        (r#""deph":null"#, &format!("params.deph: unknown; known are {known}")),
        (r#""symbol":"A","symbol":"B""#, "params.symbol: given twice"),
        (
            r#""channel":"ticker","symbol":"A","depth":10"#,
            "params.depth: an option of book, not of ticker",
        ),
        (
            r#""channel":"book","symbol":"A","fields":["bid"]"#,
            "params.fields: an option of ticker, not of book",
        ),
        (
            r#""channel":"book","symbol":"A","interval":"1m""#,
            "params.interval: an option of bars, not of book",
        ),
        (
            r#""channel":"bars","symbol":"A","snapshot":false"#,
            "params.snapshot: an option of trades, not of bars",
        ),
    ] {
        for method in ["subscribe", "unsubscribe"] {
            let text = format!(r#"{{"method":"{method}","params":{{{params}}}}}"#);
            assert_eq!(refused(&text).error, error, "{text}");
        }
    }
}

#[test]
fn long_values_are_shortened_and_tokens_never_repeated() {
    let long = "A".repeat(200);
    let shown = "A".repeat(64);
    let text = format!(r#"{{"method":"subscribe","params":{{"symbol":["{long}"]}}}}"#);
    let expected = format!("params.symbol[0]: \"{shown}…\" is longer than 128 bytes");
    assert_eq!(refused(&text).error, expected);

    let text = format!(r#"{{"method":"ping","req_id":"{long}"}}"#);
    assert!(refused(&text).error.ends_with("… is longer than 128 bytes"));

    let token = "s".repeat(4097);
    let text = format!(r#"{{"method":"auth","params":{{"token":"{token}"}}}}"#);
    assert_eq!(refused(&text).error, "params.token: longer than 4096 bytes");

    let text = format!(r#"{{"method":"subscribe","params":{{"{long}":1}}}}"#);
    assert!(refused(&text).error.starts_with(&format!("params.{shown}…: unknown")));
}

#[test]
fn a_refusal_carries_what_its_answer_needs() {
    let error = refused(r#"{"method":"subscribe","req_id":"a\u0062\"c","params":{}}"#);
    assert_eq!(error.code, ErrorCode::BadRequest);
    assert_eq!(error.method, Some(Method::Subscribe));
    let req_id = error.req_id.expect("it was given");
    assert_eq!(req_id.as_json(), r#""a\u0062\"c""#, "as it was written");

    let error = refused(r#"{"method":"nope","req_id":-123456789012345678901234567890}"#);
    assert_eq!(error.method, None);
    let req_id = error.req_id.expect("it was given");
    assert_eq!(req_id.as_json(), "-123456789012345678901234567890", "of any size");
    assert_eq!(refused(r#"{"method":"ping","req_id":true}"#).method, Some(Method::Ping));
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let error = Request::parse(b"{\"method\":\"\xff\"}").unwrap_err();
    assert_eq!(error.error, "message: not UTF-8 at byte 11");
    let nested = "[".repeat(60_000);
    assert!(refused(&nested).error.starts_with("message: not JSON: "));
    let nested = format!(r#"{{"method":"ping","params":{nested}{}}}"#, "]".repeat(60_000));
    assert!(refused(&nested).error.starts_with("params: [[["));
}

#[test]
fn what_is_meant_is_accepted() {
    let parse = |params: &str| {
        let text = format!("\n {{\"params\": {{{params}}}, \"method\":\"subscribe\" }} ");
        match Request::parse(text.as_bytes()) {
            Ok(Request::Subscribe { req_id: None, params }) => params,
            other => panic!("{text}: {other:?}"),
        }
    };
    // One symbol needs no brackets; null is as good as absent; defaults are filled in.
    let nulls = r#""channel":"bars","symbol":"kraken:BTC-USD","interval":null,"max_rate":null,"since":null,"depth":null"#;
    let expected = Subscribe::new(View::Bars(Interval::M1), vec![Pattern::new("kraken:BTC-USD")]);
    assert_eq!(parse(nulls), expected);
    assert_eq!(parse(r#""channel":"bars","symbol":["kraken:BTC-USD"]"#), expected);
    // Escapes are read.
    assert_eq!(parse(r#""ch\u0061nnel":"b\u0061rs","symbol":["kr\u0061ken:BTC-USD"]"#), expected);
    let rate = parse(r#""channel":"ticker","symbol":"*","max_rate":0.25"#).max_rate;
    assert_eq!(rate, Some(0.25));
    assert!(!parse(r#""channel":"trades","symbol":"*","snapshot":false"#).snapshot);
    // An unsubscribe may repeat the options of its subscribe.
    let text = r#"{"method":"unsubscribe","params":{"channel":"ticker","symbol":"*","max_rate":4,"fields":["bid"]}}"#;
    assert!(matches!(Request::parse(text.as_bytes()), Ok(Request::Unsubscribe { .. })));
}
