//! Rows 8 (declared lengths), 10 (pings) and 11 (requests): much of something costs little.

use crate::hostile::{quiet, unharmed};
use crate::process::usage;
use crate::raw::{End, Next, PATIENCE, Raw, connect_narrow, frame, text};
use crate::service::Stream;
use std::thread;
use std::time::{Duration, Instant};

/// As many as the usual limits of descriptors allow, at both ends.
const DECLARING: usize = 9_000;

/// What must be done after five seconds, in seconds: they are those of the service's clock, and the
/// first of them may have begun long before the flood.
const EARLY: f64 = 4.0;
/// It is done by then on any machine.
const LATE: f64 = 40.0;

#[test]
fn row_08_a_declared_length_costs_nothing_before_its_bytes_come() {
    let service = quiet();
    // What the first ones cost everybody is paid before.
    let mut warm: Vec<Raw> = (0..500).map(|_| Raw::open(&service)).collect();
    let head = [&[0x81, 0xFF][..], &65_536u64.to_be_bytes(), &[1, 2, 3, 4]].concat();
    assert_eq!(head.len(), 14);
    for raw in &mut warm {
        raw.send(&head);
    }
    warm[0].stream.set_read_timeout(PATIENCE);
    let mut raws: Vec<Raw> = (0..DECLARING).map(|_| Raw::open(&service)).collect();
    let settle = |raw: &mut Raw| raw.is_served();
    settle(raws.last_mut().expect("there are some"));
    let idle = usage(service.pid()).resident_bytes;
    let mut witness = Raw::open(&service);
    for raw in &mut raws {
        raw.send(&head);
    }
    // Served by the same shards after all of them: they have been read.
    for _ in 0..20 {
        witness.is_served();
        Raw::open(&service).is_served();
    }
    let declared = usage(service.pid()).resident_bytes;
    let each = declared.saturating_sub(idle) / DECLARING as u64;
    println!("row 8: {DECLARING} declared lengths of 64 KiB: {each} bytes each");
    assert!(each <= 1024, "{each} bytes each");
    // They count as begun: ten seconds later they are closed for it.
    let last = raws.last_mut().expect("there are some").read_to_end(PATIENCE);
    assert_eq!(last.close_code(), Some(1008));
    unharmed(&service);
}

#[test]
fn row_10_pings_are_answered_up_to_sixteen_waiting_and_then_the_newest() {
    let service = quiet();
    let mut raw = Raw::open(&service);
    let pings: Vec<u8> = (0..100u8).flat_map(|number| frame(0x89, &[number])).collect();
    raw.send(&pings);
    let mut pongs = Vec::new();
    while pongs.last() != Some(&99) {
        let pong = raw.until("pongs up to the newest", |frame| frame.opcode == 10);
        pongs.push(pong.payload[0]);
    }
    assert!(pongs.len() >= 17 && pongs[..16].iter().copied().eq(0..16), "{pongs:?}");
    assert!(pongs.is_sorted(), "{pongs:?}");
    println!("row 10: 100 pings at once get {} pongs, the newest among them", pongs.len());
    unharmed(&service);
}

#[test]
fn row_10_ping_floods_are_closed_after_five_seconds_and_grow_nothing() {
    let service = quiet();
    let polite = thread::spawn({
        let mut raw = Raw::open(&service);
        move || {
            for number in 0..140u8 {
                raw.send(&frame(if number % 2 == 0 { 0x89 } else { 0x8A }, &[number]));
                thread::sleep(Duration::from_millis(56));
            }
            raw.is_served();
        }
    });
    // Pings and pongs by fours, far above twenty a second also where a pause takes longer than it
    // should; then as many as go, the answers never read.
    let brisk = [0x89, 0x8A].map(|first| {
        let mut raw = Raw::open(&service);
        thread::spawn(move || {
            let begun = Instant::now();
            raw.stream.set_read_timeout(Duration::from_millis(25));
            loop {
                raw.try_send(&frame(first, b"?").repeat(4));
                match raw.next() {
                    Next::Frame(frame) if frame.opcode == 8 => return (frame, begun.elapsed()),
                    Next::End(End::Reset | End::Orderly) => panic!("no close frame"),
                    _ => thread::sleep(Duration::from_millis(5)),
                }
            }
        })
    });
    let before = usage(service.pid());
    let begun = Instant::now();
    let mut flood = Raw::shake(Stream::Plain(connect_narrow(service.public)), b"");
    let many: Vec<u8> = (0..500).flat_map(|_| frame(0x89, &[b'x'; 125])).collect();
    let (mut sent, mut most) = (0u64, 0);
    flood.stream.set_write_timeout(Duration::from_secs(2));
    while flood.try_send(&many) && begun.elapsed() < Duration::from_secs(30) {
        sent += 500;
        most = most.max(usage(service.pid()).resident_bytes);
        // Enough to be a flood; the other tests on this machine want to live.
        thread::sleep(Duration::from_millis(2));
    }
    let took = begun.elapsed();
    let grown = most.saturating_sub(before.resident_bytes) / 1024;
    for thread in brisk {
        let (close, took) = thread.join().expect("a close frame");
        assert_eq!(close.payload[..2], 1008u16.to_be_bytes());
        assert!((EARLY..LATE).contains(&took.as_secs_f64()), "{took:?}");
    }
    polite.join().expect("eighteen a second are fine");
    println!(
        "row 10: over 40 pings or pongs a second closed (1008) after 5 s, 18 a second are not; {sent} unread ones in {took:.1?}: +{grown} KiB"
    );
    assert!(grown <= 2048, "{grown} KiB");
    unharmed(&service);
}

#[test]
fn row_11_a_flood_of_requests_that_goes_on_for_five_seconds_is_closed() {
    let service = quiet();
    let busy = Raw::open(&service);
    let flood = Raw::open(&service);
    // Fifteen a second are five too many, and refused; a hundred are a flood.
    let busy = thread::spawn(move || ask(busy, 15, Duration::from_secs(8)));
    let (code, took) = ask(flood, 100, PATIENCE);
    assert_eq!(code, Some(4529));
    assert!((EARLY..LATE).contains(&took.as_secs_f64()), "{took:?}");
    assert_eq!(busy.join().expect("it is served").0, None);
    println!(
        "row 11: 100 requests a second closed (4529) after {took:.1?}, 15 a second refused in part"
    );
    unharmed(&service);
}

/// Asks so many times a second, reading the answers; the close code, if it comes in this time.
fn ask(mut raw: Raw, per_second: u32, within: Duration) -> (Option<u16>, Duration) {
    let begun = Instant::now();
    let gap = Duration::from_secs(1) / per_second;
    for number in 1.. {
        raw.try_send(&text(r#"{"method":"ping"}"#));
        while begun.elapsed() < gap * number {
            raw.stream.set_read_timeout(gap);
            match raw.next() {
                Next::Frame(close) if close.opcode == 8 => {
                    let code = u16::from_be_bytes([close.payload[0], close.payload[1]]);
                    return (Some(code), begun.elapsed());
                }
                Next::Frame(_) | Next::End(End::Open) => {}
                Next::End(end) => panic!("no close frame: {end:?}"),
            }
        }
        if begun.elapsed() >= within {
            break;
        }
    }
    (None, begun.elapsed())
}

#[test]
fn row_11_requests_beyond_ten_a_second_and_a_burst_of_fifty_get_4529() {
    let service = quiet();
    let mut raw = Raw::open(&service);
    let begun = Instant::now();
    let ping = text(r#"{"method":"ping"}"#);
    raw.send(&ping.repeat(200));
    let answers = |raw: &mut Raw, count: usize| {
        let (mut good, mut refused) = (0, 0);
        while good + refused < count {
            let frame = raw.until("an answer", |frame| frame.opcode == 1);
            let message = String::from_utf8(frame.payload).expect("text");
            good += usize::from(message.contains(r#""method":"pong""#));
            refused += usize::from(message.contains("4529"));
        }
        (good, refused)
    };
    let (good, refused) = answers(&mut raw, 200);
    let allowed = 50 + (begun.elapsed().as_secs_f64() * 10.0).ceil() as usize;
    assert!((50..=allowed).contains(&good), "{good} of {allowed}");
    thread::sleep(Duration::from_millis(1_100));
    raw.send(&ping.repeat(100));
    let (later, _) = answers(&mut raw, 100);
    let allowed = allowed + (begun.elapsed().as_secs_f64() * 10.0).ceil() as usize;
    assert!((10..=allowed).contains(&later), "{later} of {allowed}");
    raw.is_served();

    // Who floods and never reads the refusals is closed, and holds little meanwhile.
    let before = usage(service.pid()).resident_bytes;
    let mut flood = Raw::shake(Stream::Plain(connect_narrow(service.public)), b"");
    // Half a message would be another fault; a write ends when the service has had enough.
    flood.stream.set_write_timeout(PATIENCE);
    let many = ping.repeat(3_000);
    let flooding = Instant::now();
    let mut sent = 0;
    let closed = || {
        service.metric("tickcast_gateway_connections_closed_total", "4529")
            + service.metric("tickcast_gateway_connections_closed_total", "4508")
    };
    while closed() == 0.0 {
        assert!(flooding.elapsed() < 2 * PATIENCE, "it is closed");
        sent += if flood.try_send(&many) { 3_000 } else { 0 };
    }
    let grown = usage(service.pid()).resident_bytes.saturating_sub(before) / 1024;
    println!(
        "row 11: of 200 at once {good} answered and {refused} refused (4529), {later} a second later; \
         {sent} unread ones closed after {:.1?}: +{grown} KiB",
        flooding.elapsed()
    );
    assert!(grown <= 2048, "{grown} KiB");
    unharmed(&service);
}
