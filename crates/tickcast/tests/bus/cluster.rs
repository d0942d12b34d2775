//! A cluster of three NATS servers that loses one.

use crate::SIM;
use crate::cut::assert_same_states;
use crate::nats::Nats;
use crate::processes::{Publisher, gateway_on};
use crate::seen::{LIVE, Seen, assert_unviolated, subscribe, until};

#[test]
fn a_cluster_of_three_loses_each_of_its_servers_in_turn() {
    let Some(mut servers) = Nats::cluster("cluster") else { return };
    let url = servers.each_ref().map(Nats::url).join(",");
    let first = Publisher::start_on(&url, &SIM);
    first.until_leader();
    let _second = Publisher::start_on(&url, &SIM);
    let gateways = [gateway_on(&url, &[]), gateway_on(&url, &[])];
    let mut clients = gateways.each_ref().map(|gateway| {
        gateway.until_ready();
        (subscribe(gateway), Seen::default())
    });
    // Whichever has the bucket's leader, the meta leader or our connections: each is lost once.
    for lost in 0..servers.len() {
        for (socket, seen) in &mut clients {
            until(socket, seen, "prices", LIVE);
        }
        servers[lost].kill();
        for (socket, seen) in &mut clients {
            let (epoch, seq) = (seen.epoch, seen.seq);
            until(socket, seen, "prices of two servers", |seen| {
                (seen.epoch > epoch || seen.seq > seq + 60) && LIVE(seen)
            });
        }
        servers[lost].start_again();
    }
    let [one, other] = &gateways;
    assert_same_states(one, other);
    gateways.iter().for_each(assert_unviolated);
}
