//! A certificate is replaced while connections live; a broken one is not taken.

mod door_kit;
mod tls_kit;

use door_kit::{UPGRADE, start_tls};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tickcast_gateway::{Certificates, DoorLimits};
use tls_kit::{BOTH, Files, Pair, connect, trusting};

/// For connections that live as long as everything else takes, however slow the machine is.
fn patient() -> DoorLimits {
    let (head_deadline, tls_deadline) = (door_kit::PATIENCE, door_kit::PATIENCE);
    DoorLimits { head_deadline, tls_deadline, ..DoorLimits::default() }
}

#[test]
fn a_new_pair_is_shown_to_newcomers_and_a_broken_one_to_nobody() {
    let (old, new) = (Pair::new(), Pair::new());
    let files = Files::of(&old);
    let certificates = files.load();
    let server = start_tls(patient(), certificates.config().unwrap());
    let shows = |pair: &Pair| {
        let mut client = connect(server.address, &Arc::new(trusting(pair, BOTH)));
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok()
    };
    let mut living = connect(server.address, &Arc::new(trusting(&old, BOTH)));
    living.write_all(&UPGRADE.as_bytes()[..20]).unwrap();
    assert!(shows(&old) && !shows(&new));

    let (certificate, key) = (files.certificate.display(), files.key.display());
    let broken = [
        ("", new.key.as_str(), format!("{certificate}: ")),
        ("no PEM", new.key.as_str(), format!("{certificate}: ")),
        (new.certificate.as_str(), "", format!("{key}: ")),
        (
            new.certificate.as_str(),
            old.key.as_str(),
            format!("{certificate}: not a certificate of the key in {key}"),
        ),
        (
            "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
            new.key.as_str(),
            format!("{certificate}: not a certificate"),
        ),
        (
            new.certificate.as_str(),
            "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
            format!("{key}: no usable private key"),
        ),
    ];
    for (certificate, key, words) in &broken {
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        certificates.reload_and_tell(&server.metrics);
        let error = certificates.reload().unwrap_err().to_string();
        assert!(error.starts_with(words), "{error:?} begins with {words:?}");
        assert!(Certificates::load(&files.certificate, &files.key).is_err());
        assert!(shows(&old), "{words}");
    }
    std::fs::remove_file(&files.key).unwrap();
    assert!(certificates.reload().unwrap_err().to_string().starts_with(&format!("{key}: ")));
    let reloads =
        |result: &str| server.metrics.certificate_reloads.with_label_values(&[result]).get();
    assert_eq!((reloads("ok"), reloads("failed")), (0, broken.len() as u64));

    files.write(&new);
    certificates.reload_and_tell(&server.metrics);
    assert!(shows(&new) && !shows(&old));
    assert_eq!(reloads("ok"), 1);
    // Whoever was there before goes on.
    living.write_all(&UPGRADE.as_bytes()[20..]).unwrap();
    let mut head = [0; 12];
    living.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
}

#[test]
fn files_that_change_are_taken_without_being_asked() {
    let (old, new) = (Pair::new(), Pair::new());
    let files = Files::of(&old);
    let certificates = files.load();
    let server = start_tls(DoorLimits::default(), certificates.config().unwrap());
    let watching = server.runtime.spawn({
        let metrics = server.metrics.clone();
        async move { certificates.watch(&metrics).await }
    });
    // As tools that renew certificates do it: a file beside it, put in its place.
    for (path, text) in [(&files.certificate, &new.certificate), (&files.key, &new.key)] {
        let beside = path.with_extension("new");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, path).unwrap();
    }
    let deadline = std::time::Instant::now() + door_kit::PATIENCE;
    let taken = || server.metrics.certificate_reloads.with_label_values(&["ok"]).get() > 0;
    while !taken() {
        assert!(std::time::Instant::now() < deadline, "the new pair is taken");
        std::thread::yield_now();
    }
    let mut client = connect(server.address, &Arc::new(trusting(&new, BOTH)));
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    watching.abort();
}

#[test]
fn a_hundred_rotations_under_handshakes_fail_none_and_drop_nobody() {
    const HANDSHAKERS: usize = 4;
    let (one, other) = (Pair::new(), Pair::new());
    let files = Files::of(&one);
    let certificates = files.load();
    let server = start_tls(patient(), certificates.config().unwrap());
    let either = {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(one.der.clone()).unwrap();
        roots.add(other.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(BOTH)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    };
    let ask = |client: &mut tls_kit::Tls| {
        client.write_all(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 200 "));
    };
    let mut living: Vec<_> = (0..10).map(|_| connect(server.address, &either)).collect();
    living.iter_mut().for_each(ask);
    let is_over = AtomicBool::new(false);
    let handshakes: usize = std::thread::scope(|scope| {
        let handshakers: Vec<_> = (0..HANDSHAKERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0;
                    // Relaxed: a flag that a loop looks at.
                    while !is_over.load(Ordering::Relaxed) {
                        ask(&mut connect(server.address, &either));
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for rotation in 0..100 {
            files.write(if rotation % 2 == 0 { &other } else { &one });
            certificates.reload().unwrap();
            // Somebody is shown this one.
            ask(&mut connect(server.address, &either));
        }
        is_over.store(true, Ordering::Relaxed); // As above.
        handshakers.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(handshakes >= HANDSHAKERS, "{handshakes}");
    living.iter_mut().for_each(ask); // They are served on.
    assert_eq!(server.refused("tls"), 0);
    println!("{handshakes} handshakes during 100 rotations");
}
