//! A certificate is replaced while connections live; a broken one is not taken.

mod door_kit;
mod tls_kit;

use door_kit::{UPGRADE, start_tls};
use std::io::{Read, Write};
use std::sync::Arc;
use tickcast_gateway::{Certificates, DoorLimits};
use tls_kit::{BOTH, Files, Pair, connect, trusting};

#[test]
fn a_new_pair_is_shown_to_newcomers_and_a_broken_one_to_nobody() {
    let (old, new) = (Pair::new(), Pair::new());
    let files = Files::of(&old);
    let certificates = files.load();
    let server = start_tls(DoorLimits::default(), certificates.config().unwrap());
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
        let (certificates, metrics) = (certificates.clone(), server.metrics.clone());
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
