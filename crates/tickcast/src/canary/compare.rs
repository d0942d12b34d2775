//! Whether what a client holds is what the service has, compared where both stand at the same place
//! of the stream.
//!
//! The rule and the checksum judge what comes; this judges what it has added up to.

use super::ledger::StreamId;
use super::tap::topic;
use tickcast_client::{BookView, Session, Take, TickerView};
use tickcast_market::{Nanos, Since};
use tickcast_publisher::{Hub, Scratch};
use tickcast_wire::{BookItem, Message, TickerField, TickerItem, View};

/// Compares one stream of the instrument of that full name. `None`: one of the two is further than
/// the other, or nothing is held; try again. *Errors* say what differs.
pub(super) fn compare(
    hub: &Hub,
    session: &Session,
    (name, stream): (&str, StreamId),
    now: Nanos,
) -> Option<Result<(), String>> {
    let snapshot = snapshot(hub, stream, now)?;
    let message = Message::decode(&snapshot);
    Some(match (stream.1, message) {
        (View::Ticker, Ok(Message::Ticker(push))) => {
            ticker(session.ticker(name)?, push.items.first()?)?
        }
        (View::Book(_), Ok(Message::Book(push))) => book(session.book(name)?, push.items.first()?)?,
        (_, Err(error)) => Err(format!("the service's own snapshot cannot be read: {error}")),
        _ => return None,
    })
}

/// The same for the instrument's status.
pub(super) fn compare_status(
    hub: &Hub,
    session: &Session,
    (name, stream): (&str, StreamId),
) -> Option<Result<(), String>> {
    let (held, right) = (session.status(name)?, hub.status(stream.0)?);
    let at = Since { epoch: right.epoch, seq: right.seq };
    (held.rule().held() == Some(at)).then(|| match held.state() == right.state {
        true => Ok(()),
        false => {
            Err(format!("{} is held, the state is {}", held.state().name(), right.state.name()))
        }
    })
}

fn snapshot(hub: &Hub, stream: StreamId, now: Nanos) -> Option<Vec<u8>> {
    let channel = stream.1.channel().name();
    let mut text = format!(r#"{{"channel":"{channel}","type":"snapshot","data":["#).into_bytes();
    let is_known = hub.item(&topic(stream), now, &mut Scratch::default(), &mut text);
    text.extend_from_slice(b"]}");
    is_known.then_some(text)
}

/// Whether both stand at the same place.
fn is_level<Item, V: Take<Item>>(held: &V, right: &V) -> bool {
    held.rule().held().is_some() && held.rule().held() == right.rule().held()
}

fn ticker(held: &TickerView, item: &TickerItem<'_>) -> Option<Result<(), String>> {
    let mut right = TickerView::default();
    if let Err(fault) = right.take(item, true) {
        return Some(Err(fault.to_string()));
    }
    is_level::<TickerItem<'_>, _>(held, &right).then(|| {
        let differs = |field: &TickerField| held.get(*field) != right.get(*field);
        match TickerField::ALL.into_iter().find(differs) {
            None => Ok(()),
            Some(field) => Err(format!(
                "{} is held as {:?} and is {:?}",
                field.name(),
                held.get(field),
                right.get(field)
            )),
        }
    })
}

fn book(held: &BookView, item: &BookItem<'_>) -> Option<Result<(), String>> {
    let mut right = BookView::default();
    if let Err(fault) = right.take(item, true) {
        return Some(Err(fault.to_string()));
    }
    is_level::<BookItem<'_>, _>(held, &right).then(|| {
        let is_same = held.bids().eq(right.bids()) && held.asks().eq(right.asks());
        if is_same { Ok(()) } else { Err("the levels held are others".to_owned()) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_wire::{Pattern, Subscribe};

    fn ticker_item(seq: u64, last: &str) -> String {
        format!(
            r#"{{"channel":"ticker","type":"snapshot","data":[{{"symbol":"sim:A","epoch":1,"seq":{seq},"state":"live","last":"{last}","ts_event":1,"ts_publish":1}}]}}"#
        )
    }

    #[test]
    fn a_ticker_is_compared_only_at_the_same_place_and_a_field_that_differs_is_named() {
        let mut session = Session::new();
        session.subscribe(Subscribe::new(View::Ticker, vec![Pattern::new("sim:A")]));
        let text = ticker_item(5, "1.00");
        session.receive(&Message::decode(text.as_bytes()).unwrap());
        for (seq, last, expected) in [
            (5, "1.00", Some(Ok(()))),
            (6, "2.00", None),
            (
                5,
                "2.00",
                Some(Err("last is held as Some(\"1.00\") and is Some(\"2.00\")".to_owned())),
            ),
        ] {
            let text = ticker_item(seq, last);
            let Ok(Message::Ticker(push)) = Message::decode(text.as_bytes()) else { panic!() };
            assert_eq!(ticker(session.ticker("sim:A").unwrap(), &push.items[0]), expected);
        }
    }

    #[test]
    fn a_book_that_has_added_up_to_other_levels_is_found() {
        let text = |bids: &str, asks: &str, checksum: u32| {
            format!(
                r#"{{"channel":"book","type":"snapshot","data":[{{"symbol":"sim:A","depth":10,"epoch":1,"seq":5,"state":"live","bids":{bids},"asks":{asks},"checksum":{checksum},"ts_event":1,"ts_publish":1}}]}}"#
            )
        };
        use tickcast_market::{Price, Size};
        let sum = |size| {
            tickcast_wire::book_checksum(
                std::iter::once((Price(100), Size(size))),
                std::iter::empty::<(Price, Size)>(),
            )
        };
        let (five, six) =
            (text(r#"[["1.00","0.5"]]"#, "[]", sum(5)), text(r#"[["1.00","0.6"]]"#, "[]", sum(6)));
        let mut held = BookView::default();
        let take = |text: &str, view: &mut BookView| {
            let Ok(Message::Book(push)) = Message::decode(text.as_bytes()) else { panic!() };
            view.take(&push.items[0], true).unwrap();
            book(view, &push.items[0])
        };
        assert_eq!(take(&five, &mut held), Some(Ok(())));
        let Ok(Message::Book(push)) = Message::decode(six.as_bytes()) else { panic!() };
        assert_eq!(book(&held, &push.items[0]), Some(Err("the levels held are others".to_owned())));
    }
}
