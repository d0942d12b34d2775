//! Where a test has something listen that does not say itself which port it got, or that comes back
//! to where it was: at an address of the loopback network that no other test's process uses, so
//! that a port that was free a moment ago is free still.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::sync::Mutex;

/// A port that the system chooses.
pub(crate) const ANY: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// This process's own address; Linux has at most 2^22 processes, and all of 127.0.0.0/8 is here.
pub(crate) fn own_ip() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | high, middle, low)
}

/// A port of it that nobody uses, and that was not given before: the system may choose one again that
/// nobody listens at yet.
pub(crate) fn own_address() -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind((own_ip(), 0)).expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound");
        if GIVEN.lock().expect("nobody panics with it").insert(address.port()) {
            return address;
        }
    }
}
