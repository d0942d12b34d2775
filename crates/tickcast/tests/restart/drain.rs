//! A drain: clients are sent away each at its own moment and served until then.

use super::*;

#[test]
fn row_03_a_drain_sends_each_client_away_at_its_own_moment_and_serves_it_until_then() {
    const CLIENTS: usize = 40;
    const WINDOW_MS: u64 = 4_000;
    // Each shard deals out the window among its own: with very many of them each has few.
    let args = [&SIMULATED[..], &["--drain-window", "4s", "--shards", "2"]].concat();
    let mut service = Service::start(&args);
    let sockets: Vec<Socket> = (0..CLIENTS).map(|_| subscribed(&service)).collect();
    let waiting: Vec<_> =
        sockets.into_iter().map(|socket| thread::spawn(move || until_sent_away(socket))).collect();
    let (asked, wall) = (Instant::now(), SystemTime::now());
    let asked_us = wall.duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as u64;
    service.ask_to_stop();
    let mut seen: Vec<Farewell> =
        waiting.into_iter().map(|one| one.join().expect("sent away")).collect();
    assert_eq!(service.wait(), Some(0));

    seen.sort_by_key(|farewell| farewell.told_ms);
    let all: BTreeSet<u64> = seen.iter().flat_map(|one| one.published.iter().copied()).collect();
    for one in &seen {
        assert_eq!(one.code, 1001, "{one:?}");
        // It was told after it was asked for; a busy machine lets a client read of it late.
        let stayed = one.ended - asked;
        assert!(stayed >= Duration::from_millis(one.told_ms), "not before its time: {stayed:?}");
        // Whatever anybody got that was published until then it got too; what came in the last
        // second may have been on its way.
        let last = one.published.last().copied().unwrap_or(asked_us);
        let until = (asked_us + one.told_ms * 1_000).saturating_sub(1_000_000);
        let missed = all.range(last + 1..until.max(last + 1)).count();
        assert_eq!(missed, 0, "data until its {} ms have passed", one.told_ms);
    }
    // Hundreds are published a second.
    let updates = seen.last().map_or(0, |one| one.published.len());
    assert!(updates > 10, "{updates} updates in nearly 4 s");
    let delays: Vec<u64> = seen.iter().map(|one| one.told_ms).collect();
    assert!(delays.iter().all(|delay| *delay < WINDOW_MS), "{delays:?}");
    assert!(delays.windows(2).all(|two| two[0] < two[1]), "all differ: {delays:?}");
    // Forty in 4 s is one each 100 ms; with several shards some are closer together.
    let gap = (delays.windows(2).map(|two| two[1] - two[0]))
        .chain([delays[0], WINDOW_MS - delays[CLIENTS - 1]])
        .max();
    assert!(gap <= Some(400), "they fill the window: {gap:?} in {delays:?}");
}

#[test]
fn row_03_events_end_in_order_too_and_nobody_comes_in_meanwhile() {
    // Long enough for all that has to happen within it, and at an address that nobody takes later.
    let args = [&SIMULATED[..], &["--drain-window", "8s"]].concat();
    let mut service = Service::begin(own_address(), ANY, &args).listening();
    let mut events = service.stream();
    events.set_read_timeout(PATIENCE);
    events
        .write_all(b"GET /v1/sse?channel=ticker&symbol=sim:* HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it reads");
    let mut text = vec![0; 15];
    events.read_exact(&mut text).expect("an answer");
    let mut begun = service.stream();
    begun.write_all(b"GET /v1/instruments HTTP/1.1\r\n").expect("it reads");
    let mut held = subscribed(&service);
    service.ask_to_stop();
    let mut told = false;
    held.until("a goaway", |text| {
        told |= text.contains("goaway");
        told
    });
    // The door and the shards hear of the drain at about the same time.
    let until = Instant::now() + PATIENCE;
    let refused = loop {
        match TcpStream::connect(service.public) {
            Ok(_) => assert!(Instant::now() < until, "the port is closed"),
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(refused, ErrorKind::ConnectionRefused);
    // Who was in before may still ask, and is told to come back.
    begun.write_all(b"Host: a\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    begun.set_read_timeout(PATIENCE);
    begun.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(get(service.admin, "/readyz").0, 503, "operators see that it drains");
    events.read_to_end(&mut text).expect("an end in order");
    let text = String::from_utf8(text).expect("text");
    let goaway = text.find("goaway").expect("events are told too");
    assert!(text[goaway..].contains("event: ticker"), "and get data after that");
    assert_eq!(held.until_closed(|_| ()), 1001);
    drop((events, held));
    assert_eq!(service.wait(), Some(0));
}

#[test]
fn row_03_a_second_signal_cuts_the_drain_short() {
    let mut service = Service::start(&[&SIMULATED[..], &["--drain-window", "10m"]].concat());
    let mut sockets: Vec<Socket> = (0..4).map(|_| subscribed(&service)).collect();
    service.ask_to_stop();
    for socket in &mut sockets {
        socket.until("a goaway", |text| text.contains("goaway"));
    }
    service.ask_to_stop();
    for mut socket in sockets {
        assert_eq!(socket.until_closed(|_| ()), 1001);
    }
    assert_eq!(service.wait(), Some(0));
}
