//! What an instrument's status is worth: one that cannot be understood, or that may have been missed,
//! is never taken for `live`.

use crate::messages::{Body, Event, Status};
use crate::stage::Stage;
use crate::{DECLARED, SNAPSHOT, changes, event, kinds, quote, snapshot};

fn status(seq: u64, status: i32) -> Event {
    event(seq, Some(Body::Status(status)))
}

fn halted(seq: u64) -> Event {
    status(seq, Status::Halted as i32)
}

#[test]
fn a_refused_status_is_named_and_its_instrument_is_in_doubt_until_the_next_one() {
    let mut stage = Stage::open();
    stage.publish(&[snapshot(1)]);
    assert_eq!(kinds(&stage.take()), ["BookSnapshot", "live"]);
    // No number that the schema has; one with the number of none; in JSON a word of another venue.
    for (seq, number) in [(2, 7), (3, 0)] {
        stage.publish(&[status(seq, number)]);
        assert_eq!(stage.refused(), ["unexpected value"]);
        let report = stage.reports.pop().unwrap();
        let expected = format!(
            "refused: unexpected value: subject prices.x: nats:xetra.SAP: status: \"{number}\""
        );
        assert_eq!(report, expected);
    }
    assert_eq!(stage.take(), ["xetra.SAP resync"]);
    // Data is applied and passed on meanwhile; it is still not known whether anybody trades.
    stage.publish(&[changes(4, &[(998, 1)]), snapshot(5)]);
    assert_eq!(kinds(&stage.take()), ["BookUpdate", "BookSnapshot"]);
    stage.publish(&[halted(6)]);
    assert_eq!(stage.take(), ["xetra.SAP halted"]);
    stage.payload(br#"{"venue":"xetra","symbol":"SAP","seq":7,"status":"AUCTION"}"#);
    let report = stage.reports.pop().unwrap();
    assert!(report.ends_with(r#"nats:xetra.SAP: status: "AUCTION""#), "{report}");
    assert_eq!(stage.take(), ["xetra.SAP resync"]);
    stage.publish(&[status(8, Status::Live as i32)]);
    assert_eq!((stage.take(), stage.tally.gaps), (vec!["xetra.SAP live".to_owned()], 0));
}

#[test]
fn a_halt_that_was_missed_is_not_shown_as_live() {
    let mut stage = Stage::open();
    stage.publish(&[snapshot(1), status(2, Status::Live as i32)]);
    assert_eq!(kinds(&stage.take()), ["BookSnapshot", "live"]);
    // The halt was number 3.
    stage.publish(&[snapshot(4)]);
    assert_eq!(kinds(&stage.take()), ["resync", "BookSnapshot"]);
    stage.publish(&[halted(5)]);
    assert_eq!(stage.take(), ["xetra.SAP halted"]);
    stage.reconnect();
    stage.publish(&[snapshot(9)]);
    assert_eq!(kinds(&stage.take()), ["stale", "resync", "BookSnapshot"]);
    stage.publish(&[status(10, Status::Closed as i32)]);
    assert_eq!(stage.take(), ["xetra.SAP closed"]);
}

#[test]
fn who_never_says_a_status_waits_for_none() {
    let mut stage = Stage::open();
    stage.publish(&[snapshot(1), snapshot(7)]);
    stage.reconnect();
    stage.publish(&[snapshot(9)]);
    assert_eq!(stage.take().pop().as_deref(), Some("xetra.SAP live"));
}

#[test]
fn a_crossed_book_leaves_the_status_as_it_is() {
    let mut stage = Stage::open();
    stage.publish(&[snapshot(1), halted(2)]);
    stage.take();
    stage.call(|handler, _, io| {
        tickcast_feed::Handler::resync(handler, tickcast_market::InstrumentIndex(0), io);
    });
    stage.publish(&[snapshot(3)]);
    assert_eq!(kinds(&stage.take()), ["resync", "BookSnapshot", "halted"]);
}

#[test]
fn what_is_refused_before_it_is_known_what_it_is_leaves_everything_in_doubt() {
    let declared = format!(r#"{{"symbol":"A",{DECLARED},{SNAPSHOT}}}"#);
    let live = r#"{"symbol":"A","status":"live"}"#;
    for refused in [
        // Before the body, after one of two bodies, and cut off.
        r#"{"symbol":"A","ts_event":"soon","status":"halted"}"#,
        r#"{"symbol":"A","quote":{},"status":"halted"}"#,
        r#"{"symbol":"A","sta"#,
    ] {
        let mut stage = Stage::open();
        stage.payload(format!("{declared}\n{live}").as_bytes());
        assert_eq!(kinds(&stage.take()), ["BookSnapshot", "live"]);
        stage.payload(refused.as_bytes());
        assert_eq!((stage.refused().len(), stage.take()), (1, vec!["A resync".to_owned()]));
        stage.payload(declared.as_bytes());
        assert_eq!(kinds(&stage.take()), ["BookSnapshot"], "{refused}: its status is not known");
        stage.payload(live.as_bytes());
        assert_eq!(stage.take(), ["A live"]);
    }
}

#[test]
fn what_is_in_doubt_for_long_is_named_once_with_what_it_waits_for() {
    let mut stage = Stage::open();
    stage.publish(&[snapshot(1), quote(2, 1000, 1001), halted(3), snapshot(5)]);
    for _ in 0..5 {
        stage.after(20);
        stage.publish(&[changes(0, &[(998, 1)])]);
    }
    assert_eq!(stage.reports, ["nats:xetra.SAP: resync for 40 s: waits for its quote and status"]);
    stage.publish(&[halted(0), quote(0, 1000, 1001)]);
    assert_eq!(stage.take().pop().as_deref(), Some("xetra.SAP halted"));
    // The next doubt is told again.
    stage.publish(&[status(0, 9)]);
    stage.after(20);
    stage.publish(&[snapshot(0)]);
    stage.after(20);
    let told = stage.reports.last().unwrap();
    assert_eq!(told, "nats:xetra.SAP: resync for 40 s: waits for its status");
}
