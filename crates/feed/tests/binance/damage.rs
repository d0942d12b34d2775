//! Damaged bytes are counted and harm nothing, whichever reader meets them.

use crate::live::LIST;
use crate::script::{Script, expand};
use tickcast_feed::{BinanceConfig, ConnectionIndex, Handler};

#[test]
fn damaged_messages_say_the_same_to_both_readers_and_never_panic() {
    let whole = [
        "q 10 1.5 2.25",
        "t 100 7.125",
        "g 5 8.5",
        "d 10 12 b1x1 b2.5x3 a4x0",
        r#"{"stream":"btcusdt@ticker","data":{"e":"24hrTicker","E":1700000000003,"s":"BTCUSDT","o":"1.0","h":"2.5","l":"0.5","c":"2","v":"1.2500"}}"#,
    ]
    .map(|text| expand(text).into_bytes());
    let mut random = fastrand::Rng::with_seed(20_260_801);
    for round in 0..20_000 {
        let mut bytes = whole[random.usize(0..whole.len())].clone();
        match random.u8(0..4) {
            0 => bytes.truncate(random.usize(0..=bytes.len())),
            1 => {
                let at = random.usize(0..bytes.len());
                bytes.remove(at);
            }
            _ => {
                let choice = b"0123456789.-+eE\"\\,:[]{} \x00\xff\xc3tfnbaBAsu";
                let at = random.usize(0..bytes.len());
                bytes[at] = choice[random.usize(0..choice.len())];
            }
        }
        let said = [false, true].map(|general_only| {
            let mut run = Script::new(BinanceConfig::default(), general_only);
            run.lines("recv q 1 1.00000001 1\nrecv t 1 1\nrecv g 1 1");
            let connection = ConnectionIndex { line: 0, generation: 0 };
            let mut bytes = bytes.clone();
            let mut said = run.call(|handler, io| handler.message(connection, &mut bytes, io));
            said.extend(run.call(|handler, io| {
                let url = "https://h/depth?symbol=BTCUSDT";
                let mut body = br#"{"lastUpdateId":10,"bids":[],"asks":[]}"#.to_vec();
                handler.rest(url, &mut body, io);
            }));
            said
        });
        assert_eq!(said[0], said[1], "round {round}: {}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn damaged_rest_bodies_never_panic() {
    let bodies = [
        LIST,
        r#"{"lastUpdateId":10,"bids":[["1.0","2.0"]],"asks":[["3.0","4.0"]]}"#,
        r#"[[1700000040000,"1.0","2.5","0.5","2.0","7.0",1700000099999,"9.0",3,"1","1","0"]]"#,
    ];
    let urls = [
        "https://h/exchangeInfo",
        "https://h/depth?symbol=BTCUSDT",
        "https://h/klines?symbol=BTCUSDT&interval=1m",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let mut run = Script::new(BinanceConfig::default(), false);
    let mut joined = 0;
    for _ in 0..3_000 {
        let mut body = bodies[random.usize(0..3)].as_bytes().to_vec();
        if random.bool() {
            body.truncate(random.usize(0..=body.len()));
        } else if !body.is_empty() {
            let at = random.usize(0..body.len());
            body[at] = random.u8(..);
        }
        let url = urls[random.usize(0..3)];
        let said = run.call(|handler, io| handler.rest(url, &mut body, io));
        joined += said.iter().filter(|line| line.contains("snapshot")).count();
        run.lines("close 0");
    }
    assert!(joined > 0, "some bodies are still whole");
}
