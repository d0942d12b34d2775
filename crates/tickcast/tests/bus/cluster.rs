//! A cluster of three NATS servers that loses one.

use crate::SIM;
use crate::cut::assert_same_states;
use crate::nats::Nats;
use crate::processes::{Publisher, gateway_on};
use crate::seen::{LIVE, Seen, assert_unviolated, subscribe, until};
use crate::service::PATIENCE;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

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
    // Each holds the bucket, also who was told of it last.
    servers.iter().for_each(Nats::until_caught_up);
    // Whichever has the bucket's leader, the meta leader or our connections: each is lost once.
    for server in &mut servers {
        for (socket, seen) in &mut clients {
            until(socket, seen, "prices", LIVE);
        }
        server.kill();
        for (socket, seen) in &mut clients {
            let (epoch, seq) = (seen.epoch, seen.seq);
            until(socket, seen, "prices of two servers", |seen| {
                (seen.epoch > epoch || seen.seq > seq + 60) && LIVE(seen)
            });
        }
        server.start_again();
        server.until_caught_up();
    }
    let [one, other] = &gateways;
    assert_same_states(one, other);
    gateways.iter().for_each(assert_unviolated);
}

/// The bucket of the lease as it is made while a cluster has one server only.
fn make_bucket_on_one(nats: &Nats) {
    let config = serde_json::json!({
        "name": "KV_tickcast", "subjects": ["$KV.tickcast.>"], "num_replicas": 1,
        "retention": "limits", "storage": "file", "discard": "new", "max_age": 2_000_000_000_u64,
        "max_msgs_per_subject": 1, "allow_rollup_hdrs": true, "deny_delete": true,
        "allow_direct": true,
    })
    .to_string();
    let socket = TcpStream::connect(nats.address()).expect("it listens");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a time");
    let mut lines = BufReader::new(socket.try_clone().expect("free"));
    (&socket).write_all(b"CONNECT {\"verbose\":false}\r\nSUB _INBOX.made 1\r\n").expect("it reads");
    let deadline = Instant::now() + PATIENCE;
    let mut answer = String::new();
    while !answer.contains("stream_create_response") || answer.contains("\"error\"") {
        assert!(Instant::now() < deadline, "no bucket: {answer}");
        let ask = "PUB $JS.API.STREAM.CREATE.KV_tickcast _INBOX.made";
        let ask = format!("{ask} {}\r\n{config}\r\n", config.len());
        (&socket).write_all(ask.as_bytes()).expect("it reads");
        answer.clear();
        while !answer.starts_with('{') {
            answer.clear();
            // Without a leader nobody answers.
            match lines.read_line(&mut answer) {
                Ok(0) => panic!("NATS has closed the connection: {}", nats.log()),
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }
}

#[test]
fn a_bucket_that_was_made_on_one_server_is_put_on_three() {
    let Some(mut servers) = Nats::cluster("spread") else { return };
    let url = servers.each_ref().map(Nats::url).join(",");
    make_bucket_on_one(&servers[0]);
    let publisher = Publisher::start_on(&url, &SIM);
    publisher.until_leader();
    publisher.until_logged("its bucket is on three servers now");
    let gateway = gateway_on(&url, &[]);
    gateway.until_ready();
    let (mut socket, mut seen) = (subscribe(&gateway), Seen::default());
    until(&mut socket, &mut seen, "prices", LIVE);
    servers.iter().for_each(Nats::until_caught_up);
    // It may be any one that had it alone.
    for server in &mut servers {
        let (epoch, seq) = (seen.epoch, seen.seq);
        server.kill();
        until(&mut socket, &mut seen, "prices of two servers", |seen| {
            (seen.epoch > epoch || seen.seq > seq + 60) && LIVE(seen)
        });
        server.start_again();
        server.until_caught_up();
        until(&mut socket, &mut seen, "prices of three servers", LIVE);
    }
    assert_unviolated(&gateway);
}
