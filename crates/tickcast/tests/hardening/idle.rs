//! Row 17: peers that are there no more are found by a ping, and a thousand of them are not all
//! asked in the same second.

use crate::hostile::{quiet, unharmed};
use crate::raw::{End, Next, Raw, frame};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const IDLE: usize = 1_000;

#[test]
fn row_17_half_open_peers_are_pinged_after_20_s_and_closed_10_s_later() {
    let service = quiet();
    let mut alive = Raw::open(&service);
    let mut peers: Vec<(Raw, Instant, Option<Duration>, Option<Duration>)> = (0..IDLE)
        .map(|_| {
            // From before it begins: what is measured is never too short.
            let opened = Instant::now();
            let raw = Raw::open(&service);
            raw.stream.set_nonblocking();
            (raw, opened, None, None)
        })
        .collect();
    let begun = Instant::now();
    alive.stream.set_read_timeout(Duration::from_millis(50));
    let mut left = IDLE;
    while left > 0 {
        assert!(begun.elapsed() < Duration::from_secs(90), "{left} are still there");
        // One peer answers pings and stays; waiting for it is the pause between two looks.
        match alive.next() {
            Next::Frame(ping) if ping.opcode == 9 => alive.send(&frame(0x8A, &ping.payload)),
            Next::Frame(other) => assert_ne!(other.opcode, 8, "who answers is not closed"),
            Next::End(end) => assert_eq!(end, End::Open, "who answers is not closed"),
        }
        for (raw, opened, pinged, closed) in &mut peers {
            if closed.is_some() {
                continue;
            }
            while let Next::Frame(frame) = raw.next() {
                if frame.opcode == 9 {
                    assert!(pinged.is_none(), "one ping is enough");
                    *pinged = Some(opened.elapsed());
                } else if frame.opcode == 8 {
                    assert_eq!(frame.payload[..2], 4508u16.to_be_bytes());
                    *closed = Some(opened.elapsed());
                    left -= 1;
                    break;
                }
            }
        }
    }
    let mut seconds = BTreeMap::<u64, usize>::new();
    let mut ages = Vec::new();
    for (_, opened, pinged, closed) in &peers {
        let (pinged, closed) = (pinged.expect("a ping comes first"), closed.expect("closed"));
        // A part of the twenty seconds is there to be spread over.
        assert!((15.5..50.0).contains(&pinged.as_secs_f64()), "{pinged:?}");
        // A ping may be read late, so that the wait for its answer begins with the connection here.
        assert!(closed.as_secs_f64() >= 25.0, "{closed:?}");
        assert!((closed - pinged).as_secs_f64() < 40.0, "{closed:?} after a ping at {pinged:?}");
        *seconds.entry((*opened + pinged).duration_since(begun).as_secs()).or_default() += 1;
        ages.push(pinged);
    }
    ages.sort_unstable();
    // Most of four seconds; a pause of this process hides a part of it.
    let spread = ages[IDLE * 9 / 10] - ages[IDLE / 10];
    println!(
        "row 17: {IDLE} silent peers pinged by second {seconds:?}, nine tenths within {spread:.1?}; all closed after 10 s more"
    );
    assert!(spread > Duration::from_secs(1), "a spike: {seconds:?}");
    alive.is_served();
    unharmed(&service);
}
