//! What is right and wrong with what a driver holds: at any time, and in the end beside
//! `/v1/snapshot`.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Where streams have been: epoch and seq by channel, symbol and interval.
#[derive(Debug, Default)]
pub(crate) struct Course {
    streams: BTreeMap<String, (u64, u64)>,
}

/// Every stream that is held: its name, its channel, its state.
fn streams(state: &Value) -> Vec<(String, &'static str, &Value)> {
    let mut streams = Vec::new();
    let items = |value: &'static str| state[value].as_object().into_iter().flatten();
    for channel in ["ticker", "book", "trades"] {
        streams.extend(
            items(channel).map(|(symbol, item)| (format!("{channel} {symbol}"), channel, item)),
        );
    }
    for (symbol, intervals) in items("bars") {
        let each = intervals.as_object().into_iter().flatten();
        streams.extend(
            each.map(|(interval, item)| (format!("bars {symbol} {interval}"), "bars", item)),
        );
    }
    streams
}

impl Course {
    /// What is wrong with what is held now, whatever has been missed.
    pub(crate) fn judge(&mut self, state: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, channel, item) in streams(state) {
            let (Some(epoch), Some(seq)) = (item["epoch"].as_u64(), item["seq"].as_u64()) else {
                faults.push(format!("{name}: neither epoch nor seq: {item}"));
                continue;
            };
            if epoch == 0 {
                // It holds nothing, and says so.
                continue;
            }
            let before = self.streams.insert(name.clone(), (epoch, seq)).unwrap_or_default();
            if (epoch, seq) < before {
                faults.push(format!("{name}: back from {before:?} to {:?}", (epoch, seq)));
            }
            let wrong = match channel {
                "book" => wrong_book(item),
                "trades" => wrong_trades(item, seq),
                "bars" => wrong_bars(item),
                _ => None,
            };
            faults.extend(wrong.map(|wrong| format!("{name}: {wrong}: {item}")));
        }
        faults.extend(wrong_status(state));
        faults
    }
}

/// Nothing is live where the connection is not.
fn wrong_status(state: &Value) -> Option<String> {
    let connection = state["connection"]["state"].as_str().unwrap_or("absent");
    let mut statuses = state["status"].as_object().into_iter().flatten();
    let live = statuses.find(|(_, state)| *state == "live").filter(|_| connection != "live")?;
    Some(format!("{} is live on a connection that is {connection}", live.0))
}

fn wrong_book(book: &Value) -> Option<&'static str> {
    let number = |text: &Value| text.as_str()?.parse::<f64>().ok();
    let mut best = [None; 2];
    for (side, sign) in [("bids", -1.0), ("asks", 1.0)] {
        let levels: Option<Vec<(f64, f64)>> = book[side]
            .as_array()?
            .iter()
            .map(|level| Some((number(&level[0])? * sign, number(&level[1])?)))
            .collect();
        let Some(levels) = levels else { return Some("a level that is no pair of decimals") };
        if levels.len() as u64 > book["depth"].as_u64()? {
            return Some("more levels than its depth");
        }
        if !levels.is_sorted_by(|a, b| a.0 < b.0) {
            return Some("levels out of order");
        }
        if levels.iter().any(|(_, size)| *size <= 0.0) {
            return Some("a level without size");
        }
        best[usize::from(sign > 0.0)] = levels.first().map(|(price, _)| price * sign);
    }
    let is_crossed = matches!(best, [Some(bid), Some(ask)] if bid >= ask);
    is_crossed.then_some("crossed")
}

fn wrong_trades(item: &Value, seq: u64) -> Option<&'static str> {
    let trades = item["trades"].as_array()?;
    let seqs: Vec<u64> = trades.iter().filter_map(|trade| trade["seq"].as_u64()).collect();
    if seqs.len() != trades.len() {
        return Some("a trade without seq");
    }
    if !seqs.is_sorted_by(|a, b| a + 1 == *b) {
        return Some("trades that are not one after the other");
    }
    seqs.last().is_some_and(|last| *last != seq).then_some("the last trade is not at its seq")
}

fn wrong_bars(item: &Value) -> Option<&'static str> {
    let bars = item["bars"].as_array()?;
    let starts: Vec<u64> = bars.iter().filter_map(|bar| bar["start"].as_u64()).collect();
    let is_right = starts.len() == bars.len() && starts.is_sorted_by(|a, b| a < b);
    (!is_right).then_some("bars out of order")
}

/// Where a driver differs from the service's snapshots (messages of `/v1/snapshot`).
pub(crate) fn differences(state: &Value, snapshots: &[Value]) -> Vec<String> {
    let mut differences = Vec::new();
    for message in snapshots {
        let channel = message["channel"].as_str().expect("a snapshot names its channel");
        for item in message["data"].as_array().expect("a snapshot has data") {
            let item = item.as_object().expect("an item");
            let symbol = item["symbol"].as_str().expect("an item names its symbol");
            let held = match item.get("interval") {
                Some(interval) => &state[channel][symbol][interval.as_str().expect("text")],
                None => &state[channel][symbol],
            };
            let found = fields(channel, item, held);
            differences.extend(found.map(|found| format!("{channel} {symbol}: {found}")));
            if state["status"][symbol] != item["state"] {
                let status = &state["status"][symbol];
                differences.push(format!("status {symbol}: {status}, not {}", item["state"]));
            }
        }
    }
    differences
}

/// The first field that differs.
fn fields(channel: &str, item: &Map<String, Value>, held: &Value) -> Option<String> {
    for (name, value) in item {
        let same = match name.as_str() {
            "symbol" | "interval" | "ts_publish" | "checksum" => true,
            // A driver may keep more of them.
            "trades" => ends_with(&held["trades"], value),
            // A change below the view makes no message there.
            "seq" if channel == "book" => held[name].as_u64() <= value.as_u64(),
            "ts_event" if channel == "book" => true,
            _ => held[name] == *value,
        };
        if !same {
            return Some(format!("{name} is {}, not {value}", held[name]));
        }
    }
    None
}

fn ends_with(held: &Value, last: &Value) -> bool {
    match (held.as_array(), last.as_array()) {
        (Some(held), Some(last)) => held.ends_with(last),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn book(bids: &Value, asks: &Value) -> Value {
        json!({"depth": 2, "epoch": 7, "seq": 9, "state": "live", "bids": bids, "asks": asks})
    }

    #[test]
    fn what_cannot_be_is_found_at_any_time() {
        let check = |state: Value, expected: &str| {
            let faults = Course::default().judge(&state);
            assert!(faults.len() == 1 && faults[0].contains(expected), "{expected}: {faults:?}");
        };
        let of = |item: Value| json!({"book": {"a:B": item}});
        let (bids, asks) = (json!([["2.0", "1"], ["1.0", "1"]]), json!([["3.0", "1"]]));
        assert!(Course::default().judge(&of(book(&bids, &asks))).is_empty());
        check(of(book(&asks, &bids)), "out of order");
        check(of(book(&json!([["3.0", "1"]]), &asks)), "crossed");
        check(of(book(&json!([["2.0", "0"]]), &asks)), "without size");
        check(of(book(&json!([["2.0", 1]]), &asks)), "no pair");
        let three = json!([["3", "1"], ["2", "1"], ["1", "1"]]);
        check(of(book(&three, &json!([]))), "more levels");
        let trades = |seqs: &[u64]| {
            let trades: Vec<Value> = seqs.iter().map(|seq| json!({"seq": seq})).collect();
            json!({"trades": {"a:B": {"epoch": 7, "seq": 9, "trades": trades}}})
        };
        assert!(Course::default().judge(&trades(&[7, 8, 9])).is_empty());
        check(trades(&[7, 9]), "one after the other");
        check(trades(&[7, 8]), "not at its seq");
        check(json!({"connection": {"state": "reconnecting"}, "status": {"a:B": "live"}}), "live");
    }

    #[test]
    fn no_stream_goes_back() {
        let mut course = Course::default();
        let at = |epoch: u64, seq: u64| json!({"ticker": {"a:B": {"epoch": epoch, "seq": seq}}});
        for (epoch, seq) in [(7, 5), (7, 5), (7, 6), (0, 0), (7, 6), (8, 1)] {
            assert_eq!(course.judge(&at(epoch, seq)), Vec::<String>::new());
        }
        assert_eq!(course.judge(&at(7, 7)).len(), 1);
        assert_eq!(course.judge(&at(7, 6)).len(), 1);
    }

    #[test]
    fn any_difference_from_the_snapshot_is_found() {
        let item = json!({"symbol": "a:B", "epoch": 7, "seq": 9, "state": "stale", "last": "1.0",
                          "bid": null, "ts_publish": 5});
        let snapshots = [json!({"channel": "ticker", "type": "snapshot", "data": [item]})];
        let same = json!({"ticker": {"a:B": {"epoch": 7, "seq": 9, "state": "stale",
                          "last": "1.0", "bid": null}}, "status": {"a:B": "stale"}});
        assert_eq!(differences(&same, &snapshots), Vec::<String>::new());
        for (key, value) in [("seq", json!(8)), ("last", json!("1.00")), ("bid", json!("0"))] {
            let mut other = same.clone();
            other["ticker"]["a:B"][key] = value;
            assert_eq!(differences(&other, &snapshots).len(), 1, "{key}");
        }
        let nothing = json!({});
        assert_eq!(differences(&nothing, &snapshots).len(), 2);
    }
}
