//! A session against rustls's own client, in memory.

use super::*;
use ring::aead;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, RootCertStore,
    SupportedProtocolVersion,
};
use std::io::{Read, Write};

struct Both {
    client: ClientConnection,
    server: Session,
    /// What the server has understood.
    plain: Vec<u8>,
}

impl Both {
    /// A client and a server that have not met.
    fn new(version: &'static SupportedProtocolVersion) -> Both {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let certificate = pair.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let mut client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.enable_secret_extraction = true;
        let name = "localhost".try_into().unwrap();
        let client = ClientConnection::new(Arc::new(client), name).unwrap();
        Both { client, server: Session::new(Arc::new(config)).unwrap(), plain: Vec::new() }
    }

    /// What the client wants to send.
    fn sent_by_client(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut wire).unwrap();
        }
        wire
    }

    /// Gives the server these bytes in pieces of this length.
    fn give_server(&mut self, wire: &[u8], piece: usize) -> Result<(), SessionError> {
        let mut buffer = vec![0; 64 << 10];
        for piece in wire.chunks(piece) {
            let kept = self.server.begin(&mut buffer);
            buffer[kept..kept + piece.len()].copy_from_slice(piece);
            self.server.open(&mut buffer[..kept + piece.len()], &mut self.plain)?;
        }
        Ok(())
    }

    /// Gives the client these bytes; what it understood.
    fn give_client(&mut self, mut wire: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        while !wire.is_empty() {
            self.client.read_tls(&mut wire).unwrap();
            self.client.process_new_packets().unwrap();
            let mut some = vec![0; 64 << 10];
            while let Ok(length @ 1..) = self.client.reader().read(&mut some) {
                plain.extend_from_slice(&some[..length]);
            }
        }
        plain
    }

    fn shake_hands(&mut self, piece: usize) {
        while self.server.is_handshaking() || self.client.is_handshaking() {
            let wire = self.sent_by_client();
            self.give_server(&wire, piece).unwrap();
            let answer = self.server.waiting().to_vec();
            self.server.took(answer.len());
            self.give_client(&answer);
        }
    }

    /// Sends from the server to the client; what arrived.
    fn say(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut sealed = vec![0; SEALED_BYTES_MAX];
        let (mut taken, mut wire) = (0, Vec::new());
        while taken < plain.len() {
            let (some, length) = self.server.seal(&plain[taken..], &mut sealed).unwrap();
            assert!(some > 0);
            taken += some;
            wire.extend_from_slice(&sealed[..length]);
        }
        self.give_client(&wire)
    }
}

#[test]
fn any_split_of_the_same_bytes_says_the_same() {
    for version in [&TLS12, &TLS13] {
        for piece in [1, 2, 5, 17, 1000, 20_000] {
            let mut both = Both::new(version);
            both.shake_hands(piece);
            for length in [1, 125, 16_384, 20_000] {
                let said: Vec<u8> = (0..length).map(|at| at as u8).collect();
                both.client.writer().write_all(&said).unwrap();
                let wire = both.sent_by_client();
                both.give_server(&wire, piece).unwrap();
                assert_eq!(std::mem::take(&mut both.plain), said, "{version:?} {piece} {length}");
                assert_eq!(both.say(&said), said, "{version:?} {piece} {length}");
            }
            assert!(both.server.incoming.is_empty() && both.server.outgoing.is_empty());
        }
    }
}

#[test]
fn keys_are_renewed_when_the_client_asks_for_it() {
    let mut both = Both::new(&TLS13);
    both.shake_hands(1 << 20);
    for round in 0..100u8 {
        both.client.refresh_traffic_keys().unwrap();
        both.client.writer().write_all(&[round]).unwrap();
        let wire = both.sent_by_client();
        both.give_server(&wire, 7).unwrap();
        assert_eq!(std::mem::take(&mut both.plain), [round]);
        assert_eq!(both.say(&[round, 1]), [round, 1]);
        // At most one answer waits however often it is asked.
        assert!(both.server.waiting().len() < 200);
    }
}

#[test]
fn the_end_is_said_once_and_heard() {
    for version in [&TLS12, &TLS13] {
        let mut both = Both::new(version);
        both.shake_hands(1 << 20);
        let mut scratch = vec![0; SEALED_BYTES_MAX];
        both.server.end(&mut scratch);
        both.server.end(&mut scratch);
        let wire = both.server.waiting().to_vec();
        both.server.took(wire.len());
        both.give_client(&wire);
        assert_eq!(both.client.reader().read(&mut [0]).unwrap(), 0, "an end in order");
        assert!(!both.server.is_ended(), "the other direction is open");
        both.client.send_close_notify();
        let wire = both.sent_by_client();
        both.give_server(&wire, 3).unwrap();
        assert!(both.server.is_ended());
    }
}

/// The beginning of a message that rustls puts together from several records; it remembers a place
/// behind it.
#[test]
fn sending_goes_on_while_part_of_a_handshake_message_has_come() {
    let mut both = Both::new(&TLS13);
    both.shake_hands(1 << 20);
    let Both { client, mut server, mut plain } = both;
    let secrets = client.dangerous_extract_secrets().unwrap();
    let (seq, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = secrets.tx else {
        panic!("another cipher suite is preferred now")
    };
    let key =
        aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, key.as_ref()).unwrap());
    let mut nonce: [u8; 12] = iv.as_ref().try_into().unwrap();
    nonce.iter_mut().rev().zip(seq.to_le_bytes()).for_each(|(byte, seq)| *byte ^= seq);
    // The first two of the five bytes of a key update (RFC 8446, section 4.6.3), as a record.
    let mut record = vec![24, 0, 22];
    let head = [23, 3, 3, 0, record.len() as u8 + 16];
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, aead::Aad::from(head), &mut record).unwrap();
    let mut wire = [&head[..], &record].concat();
    server.open(&mut wire, &mut plain).unwrap();
    let mut sealed = vec![0; SEALED_BYTES_MAX];
    for _ in 0..3 {
        assert_eq!(server.seal(b"hello", &mut sealed).unwrap(), (5, 5 + 5 + 17));
    }
    server.end(&mut sealed);
    assert!(plain.is_empty());
}

#[test]
fn what_is_broken_is_told_once_and_not_asked_again() {
    let mut both = Both::new(&TLS13);
    both.shake_hands(1 << 20);
    both.client.writer().write_all(b"hello").unwrap();
    let mut wire = both.sent_by_client();
    *wire.last_mut().unwrap() ^= 1;
    assert!(matches!(both.give_server(&wire, 1 << 20), Err(SessionError::Tls(_))));
    let told = both.server.waiting().len();
    assert!(told > 0, "an alert says why");
    let mut sealed = vec![0; SEALED_BYTES_MAX];
    both.server.end(&mut sealed);
    assert!(matches!(both.give_server(&wire, 1 << 20), Err(SessionError::Failed)));
    assert!(matches!(both.server.seal(b"x", &mut sealed), Err(SessionError::Failed)));
    assert_eq!(both.server.waiting().len(), told);
}

#[test]
fn an_idle_session_keeps_its_keys_and_little_else() {
    let size = size_of::<Session>();
    assert!(size <= 1536, "{size} bytes");
}
