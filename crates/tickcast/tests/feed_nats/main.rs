//! Events from a real nats-server, published by hand: taken in both forms, refused by name, held in
//! doubt after a gap and after the server was lost, and the same on a gateway behind the bus.

#[path = "../../../feed/tests/nats/messages.rs"]
mod messages;
#[path = "../bus/nats.rs"]
mod nats;
#[path = "../bus/processes.rs"]
mod processes;
#[path = "../scripts/mod.rs"]
mod scripts;
#[path = "../service/mod.rs"]
mod service;
mod source;

use messages::{Body, Book, Event, Instrument, Message, levels, line};
use nats::Nats;
use processes::{Publisher, gateway};
use prost::Message as _;
use scripts::{root, tool};
use serde_json::{Value, json};
use service::{LOOK, PATIENCE, Service};
use source::Source;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Everything comes on one subject of those that are subscribed to.
const SUBJECT: &str = "prices.eu";
const SAP: &str = "nats:xetra.SAP";
const BMW: &str = "nats:BMW";

/// The book of an instrument, so that the best bid tells which it is.
fn snapshot(venue: &str, symbol: &str, seq: u64, bid: i64) -> Event {
    let book = Book { bids: levels(&[(bid, 5), (1, 9)]), asks: levels(&[(bid + 2, 7)]) };
    Event {
        venue: venue.into(),
        symbol: symbol.into(),
        seq,
        instrument: Some(Instrument { price_scale: 2, ..Instrument::default() }),
        body: Some(Body::BookSnapshot(book)),
        ..Event::default()
    }
}

/// A bid of that size at that price.
fn change(venue: &str, symbol: &str, seq: u64, price: i64, size: i64) -> Event {
    let book = Book { bids: levels(&[(price, size)]), asks: Vec::new() };
    let body = Some(Body::BookChanges(book));
    Event { instrument: None, body, ..snapshot(venue, symbol, seq, 1) }
}

fn binary(events: &[Event]) -> Vec<u8> {
    Message { events: events.to_vec() }.encode_to_vec()
}

fn text(events: &[Event]) -> Vec<u8> {
    let lines: Vec<String> = events.iter().map(|event| line(event, (2, 0))).collect();
    lines.join("\n").into_bytes()
}

fn start(nats: &Nats, args: &[&str]) -> Service {
    let url = nats.url();
    let own = ["--feed", "nats", "--subject", "prices.>", "--feed-nats-url", &url];
    Service::start(&[&own[..], args].concat())
}

/// The book as a client gets it, without what differs between processes; its state beside it.
fn book(service: &Service, symbol: &str) -> Option<(Value, Value)> {
    let path = format!("/v1/snapshot?channel=book&depth=10&symbol={symbol}");
    let (status, body) = service.get(&path);
    let mut answer: Value = serde_json::from_str(&body).expect("JSON");
    let item = answer["data"].as_array_mut().filter(|_| status == 200)?.pop()?;
    Some((json!([item["bids"], item["asks"]]), item["state"].clone()))
}

/// Does something until it shows, as a publisher says its snapshots again and again.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(LOOK);
    }
}

fn is(service: &Service, symbol: &str, state: &str) -> bool {
    book(service, symbol).is_some_and(|(_, is)| is == state)
}

fn refused(service: &Service, reason: &str) -> f64 {
    let labels = format!("reason=\"{reason}\",venue=\"nats\"");
    service.metric("tickcast_feed_decode_errors_total", &labels)
}

#[test]
fn instruments_of_one_subject_come_in_both_forms_and_what_is_malformed_is_named() {
    let Some(nats) = Nats::start("feed") else { return };
    let (service, mut source) = (start(&nats, &[]), Source::connect(&nats));
    until("both are live", || {
        source.publish(SUBJECT, &binary(&[snapshot("xetra", "SAP", 1, 1000)]));
        source.publish(SUBJECT, &text(&[snapshot("", "BMW", 1, 2000)]));
        is(&service, SAP, "live") && is(&service, BMW, "live")
    });
    source.publish(SUBJECT, &text(&[change("", "BMW", 2, 2001, 3)]));
    source.publish(SUBJECT, &binary(&[change("xetra", "SAP", 2, 1000, 0)]));
    let sap = json!([[["0.01", "9"]], [["10.02", "7"]]]);
    let bmw = json!([[["20.01", "3"], ["20.00", "5"], ["0.01", "9"]], [["20.02", "7"]]]);
    until("changes are applied", || {
        let held = [SAP, BMW].map(|symbol| book(&service, symbol).expect("it is known"));
        held == [(sap.clone(), json!("live")), (bmw.clone(), json!("live"))]
    });
    service.until_ready();

    source.publish(SUBJECT, b"{\"symbol\":\"BMW\",\"quote\":{\"bid\":[\"1.005\",\"1\"]}}\n{oops");
    source.publish(SUBJECT, b"\x0a\x7f");
    source.publish("prices.us", &binary(&[change("", "NOPE", 1, 1, 1)]));
    let wrong = ["wrong scale", "not json", "not protobuf", "unknown instrument"];
    until("each is counted", || wrong.iter().all(|reason| refused(&service, reason) == 1.0));
    for words in [
        "refused: wrong scale: subject prices.eu: nats:BMW: quote.bid: \"1.005 has more than 2",
        "refused: not json: subject prices.eu: nats:?: event: ",
        "refused: not protobuf: subject prices.eu: nats:?: message: ",
        "refused: unknown instrument: subject prices.us: nats:NOPE: symbol: \"not declared\"",
    ] {
        service.until_logged(words);
    }
    assert_eq!(book(&service, BMW), Some((bmw, json!("live"))), "nothing of it is applied");
    source.publish(SUBJECT, br#"{"symbol":"BMW","seq":3,"status":"AUCTION"}"#);
    until("a status that is not understood is not live", || is(&service, BMW, "resync"));
    service.until_logged("subject prices.eu: nats:BMW: status: \"AUCTION\"");
    source.publish(SUBJECT, br#"{"symbol":"BMW","seq":4,"status":"halted"}"#);
    until("the next one counts", || is(&service, BMW, "halted"));
    assert_eq!(refused(&service, "unexpected value"), 1.0);
    assert_eq!(service.metric("tickcast_canary_violations_total", "nats"), 0.0);
}

#[test]
fn after_a_gap_and_after_a_lost_server_nothing_is_live_before_its_next_snapshot() {
    let Some(mut nats) = Nats::start("feed-faults") else { return };
    let (service, mut source) = (start(&nats, &[]), Source::connect(&nats));
    let both = |source: &mut Source, bid| {
        let events = [snapshot("xetra", "SAP", 1, bid), snapshot("", "BMW", 1, bid)];
        source.publish(SUBJECT, &binary(&events));
    };
    until("both are live", || {
        both(&mut source, 1000);
        is(&service, SAP, "live") && is(&service, BMW, "live")
    });
    let before = book(&service, SAP).expect("it is known").0;
    source.publish(SUBJECT, &binary(&[change("xetra", "SAP", 3, 1001, 1)]));
    until("the gap is seen", || is(&service, SAP, "resync"));
    assert_eq!(book(&service, SAP).expect("it is known").0, before, "what follows a gap waits");
    assert!(is(&service, BMW, "live"), "the other one has no gap");
    assert_eq!(service.metric("tickcast_feed_gaps_total", "nats"), 1.0);
    both(&mut source, 3000);
    until("a snapshot ends it", || is(&service, SAP, "live"));

    nats.kill();
    until("both are stale", || is(&service, SAP, "stale") && is(&service, BMW, "stale"));
    until("the feed is not live", || {
        service.metric("tickcast_feed_state", "state=\"live\",venue=\"nats\"") == 0.0
    });
    nats.start_again();
    let mut source = Source::connect(&nats);
    let changes = binary(&[change("xetra", "SAP", 2, 3001, 1)]);
    until("it is connected again", || {
        source.publish(SUBJECT, &changes);
        is(&service, SAP, "resync")
    });
    both(&mut source, 4000);
    until("both are live again", || is(&service, SAP, "live") && is(&service, BMW, "live"));
    let held = book(&service, SAP).expect("it is known").0;
    assert_eq!(held, json!([[["40.00", "5"], ["0.01", "9"]], [["40.02", "7"]]]));
    assert!(service.metric("tickcast_feed_reconnects_total", "nats") >= 1.0);
}

#[test]
fn a_source_that_has_fallen_silent_is_stale_until_it_says_everything_again() {
    let Some(nats) = Nats::start("feed-silence") else { return };
    let service = start(&nats, &["--feed-nats-silence", "400ms"]);
    let mut source = Source::connect(&nats);
    for round in 0..2 {
        until("it is live", || {
            source.publish(SUBJECT, &text(&[snapshot("", "BMW", 1, 2000)]));
            is(&service, BMW, "live")
        });
        let before = service.metric("tickcast_feed_messages_total", "kind=\"heartbeat\"");
        until("a heartbeat counts as a message", || {
            source.publish(SUBJECT, b"{\"heartbeat\":{}}");
            service.metric("tickcast_feed_messages_total", "kind=\"heartbeat\"") > before
        });
        until("silence shows", || !is(&service, BMW, "live"));
        // It is counted a moment after it shows.
        until("and a new connection", || {
            service.metric("tickcast_feed_reconnects_total", "nats") > f64::from(round)
        });
    }
}

#[test]
fn a_gateway_behind_the_bus_has_what_was_published() {
    let Some(nats) = Nats::start("feed-bus") else { return };
    // Without an address of its own the feed goes to the bus's server.
    let _publisher = Publisher::start(&nats, &["--feed", "nats", "--subject", "prices.>"]);
    let (gateway, mut source) = (gateway(&nats), Source::connect(&nats));
    let held = json!([[["10.00", "5"], ["0.01", "9"]], [["10.02", "7"]]]);
    until("the gateway has it", || {
        source.publish(SUBJECT, &binary(&[snapshot("xetra", "SAP", 1, 1000)]));
        book(&gateway, SAP) == Some((held.clone(), json!("live")))
    });
    source.publish(SUBJECT, &binary(&[change("xetra", "SAP", 2, 1001, 4)]));
    let held = json!([[["10.01", "4"], ["10.00", "5"], ["0.01", "9"]], [["10.02", "7"]]]);
    until("and the change", || book(&gateway, SAP) == Some((held.clone(), json!("live"))));
}

#[test]
fn the_documents_example_publishes_what_it_says() {
    let Some(nats) = Nats::start("feed-example") else { return };
    let Some(python) = tool("TICKCAST_PYTHON", "/usr/bin/python3") else { return };
    let document = std::fs::read_to_string(root().join("docs/feed-nats.md")).expect("it is there");
    let code = document.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    let service = start(&nats, &[]);
    let mut example = Command::new(python)
        .args(["-c", code.expect("an example"), &nats.url().replace("nats://", "")])
        .stdin(Stdio::null())
        .spawn()
        .expect("python runs");
    let path = "/v1/snapshot?channel=ticker&symbol=nats:desk.BOND-10Y";
    let mut last = String::new();
    until("its prices arrive and change", || {
        let (status, body) = service.get(path);
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        let item = &answer["data"][0];
        let is_whole = status == 200 && item["state"] == "live" && item["last"].is_string();
        let bid = item["bid"].as_str().filter(|_| is_whole).unwrap_or_default().to_owned();
        let has_changed = !last.is_empty() && !bid.is_empty() && bid != last;
        last = bid;
        has_changed
    });
    let _already_ended = example.kill();
    example.wait().expect("it is our child");
    let errors = service.metric("tickcast_feed_decode_errors_total", "nats");
    assert_eq!((errors, service.metric("tickcast_feed_gaps_total", "nats")), (0.0, 0.0));
}

#[test]
fn a_subject_that_is_not_granted_any_more_is_stale_until_it_is() {
    let users = |subject: &str| {
        format!(
            "authorization {{ users: [ {{ user: open, password: open }}, {{ user: feed, password: feed, \
             permissions: {{ publish: \">\", subscribe: \"{subject}\" }} }} ] }}\nno_auth_user: open"
        )
    };
    let Some(nats) = Nats::start_with("feed-refused", &users("prices.>")) else { return };
    let url = format!("nats://feed:feed@{}", nats.address());
    let own = ["--feed", "nats", "--subject", "prices.>", "--feed-nats-url", &url];
    let (service, mut source) = (Service::start(&own), Source::connect(&nats));
    let is_live = |service: &Service, source: &mut Source| {
        source.publish(SUBJECT, &binary(&[snapshot("xetra", "SAP", 1, 1000)]));
        is(service, SAP, "live")
    };
    until("it is live", || is_live(&service, &mut source));
    service.until_ready();
    let is_strictly_ready = || service::get(service.admin, "/readyz?strict").0 == 200;
    until("it is strictly ready", || is_live(&service, &mut source) && is_strictly_ready());
    nats.reload(&users("other.>"));
    service.until_logged("the server refuses it");
    until("it is stale", || is(&service, SAP, "stale") && !is_strictly_ready());
    nats.reload(&users("prices.>"));
    until("it is live again", || is_live(&service, &mut source) && is_strictly_ready());
}
