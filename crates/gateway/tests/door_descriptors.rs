//! Out of file descriptors. Alone in its process, because it takes them all.
#![allow(unsafe_code)] // `setrlimit` has no safe call.

mod door_kit;

use door_kit::{PATIENCE, UPGRADE, start};
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::time::{Duration, Instant};
use tickcast_gateway::{DoorLimits, raise_descriptor_limit};

fn limit_descriptors(most: u64) {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: raise_descriptor_limit().unwrap() };
    // SAFETY: the pointer is to a valid `rlimit`; the call only reads it.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

#[test]
fn a_door_without_descriptors_waits_for_some_and_harms_nobody() {
    let server = start(DoorLimits::default());
    let mut present = server.connect();
    assert_eq!(present.ask(UPGRADE).0, 101);
    let handoff = server.next();

    // Sockets made beforehand can connect without a descriptor; accepting them needs one.
    let sockets: Vec<Socket> =
        (0..8).map(|_| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()).collect();
    let mut waiting = sockets.into_iter();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    limit_descriptors(open - 1); // The directory that was just read is closed again.

    // Each failure is followed by a pause, so a count of them says how much time has passed.
    let began = Instant::now();
    let client = waiting.next().unwrap();
    client.connect(&server.address.into()).unwrap();
    while server.refused("descriptors") < 5 {
        std::thread::park_timeout(Duration::from_millis(5));
        assert!(began.elapsed() < PATIENCE, "the shortage goes unnoticed");
    }
    assert!(began.elapsed() >= 4 * Duration::from_millis(100), "it spins");
    (&handoff.socket).write_all(b"\x81\x00").unwrap();

    drop(waiting); // Descriptors are free again.
    let mut client = door_kit::Client::of(client.into());
    assert_eq!(client.ask(UPGRADE).0, 101);
    server.next();
    drop(handoff);
    assert_eq!(present.rest(), b"\x81\x00");
}
