//! A handler that replays or is live, and the messages that the tests vary.

use crate::witness::{Bench, FIRST};
use tickcast_feed::{KrakenConfig, KrakenHandler};

pub(crate) const ACK: &str = r#"{"method":"subscribe","result":{"channel":"book","depth":10,"snapshot":true,"symbol":"BTC/USD"},"success":true}"#;

pub(crate) const SNAPSHOT: &str = r#"{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":99.5,"qty":1.50000000},{"price":99.0,"qty":2.00000000}],"asks":[{"price":100.0,"qty":0.25000000}],"checksum":CRC,"timestamp":"2026-08-02T03:35:51.660084Z"}]}"#;

pub(crate) const LIST: &str = r#"{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":[
{"symbol":"BTC/USD","status":"online","price_precision":1,"qty_precision":8,"price_increment":0.1,"qty_increment":1E-8},
{"symbol":"ETH/USD","status":"cancel_only","price_precision":2,"qty_precision":8,"price_increment":0.01,"qty_increment":1E-8},
{"symbol":"OLD/USD","status":"delisted","price_precision":2,"qty_precision":8}]}}"#;

/// The digits that a checksum is over, asks first, and their CRC-32.
pub(crate) fn with_checksum(message: &str, digits: &str) -> String {
    message.replace("CRC", &crc32fast::hash(digits.as_bytes()).to_string())
}

pub(crate) fn snapshot() -> String {
    with_checksum(SNAPSHOT, "100025000000995150000000990200000000")
}

pub(crate) fn replaying() -> Bench<KrakenHandler> {
    let mut bench = Bench::new(KrakenHandler::new(KrakenConfig::default()));
    bench.open(FIRST).on(FIRST, ACK);
    bench
}

pub(crate) fn synced() -> Bench<KrakenHandler> {
    let mut bench = replaying();
    bench.on(FIRST, &snapshot());
    bench.asked();
    bench
}

/// A live handler whose list of pairs has come.
pub(crate) fn live(symbols: &[&str]) -> Bench<KrakenHandler> {
    let config = KrakenConfig {
        ws_url: "ws://k/v2".into(),
        symbols: symbols.iter().map(|symbol| (*symbol).to_owned()).collect(),
        ..KrakenConfig::default()
    };
    let mut bench = Bench::new(KrakenHandler::new(config));
    assert_eq!(bench.start().asked(), ["connect 0 ws://k/v2"]);
    bench.open(FIRST);
    assert_eq!(
        bench.asked(),
        [
            r#"send 0.0 {"method":"subscribe","params":{"channel":"instrument","snapshot":true},"req_id":1}"#
        ]
    );
    bench
}

pub(crate) fn update(changes: &str, digits: &str) -> String {
    let message = format!(
        r#"{{"channel":"book","type":"update","data":[{{"symbol":"BTC/USD",{changes},"checksum":CRC,"timestamp":"2026-08-02T03:35:52Z"}}]}}"#
    );
    with_checksum(&message, digits)
}
