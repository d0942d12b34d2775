//! What encrypting one message costs, for counting instructions: rustls's buffered connection
//! beside its unbuffered one, which is what a shard's line uses.
//!
//! `valgrind --tool=callgrind target/release/examples/tls_cost unbuffered 20000 190`, and again
//! with 40000: the difference by 20,000 is a message.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection,
};
use std::hint::black_box;
use std::io::{IoSlice, Write};
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, way, count, bytes] = &args[..] else {
        eprintln!("usage: tls_cost buffered|unbuffered COUNT BYTES");
        std::process::exit(2);
    };
    let count: usize = count.parse().expect("a count");
    let plain = vec![b'x'; bytes.parse().expect("a length")];
    let ciphertext = match way.as_str() {
        "buffered" => buffered(count, &plain),
        _ => unbuffered(count, &plain),
    };
    println!("{way}: {count} messages of {bytes} bytes: {ciphertext} bytes of ciphertext");
}

/// A kernel that takes everything.
struct Sink(usize);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += black_box(bytes).len();
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> std::io::Result<usize> {
        let length = slices.iter().map(|slice| black_box(slice).len()).sum();
        self.0 += length;
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn buffered(count: usize, plain: &[u8]) -> usize {
    let mut server = ServerConnection::new(server_config()).expect("a configuration");
    let mut client = client();
    while server.is_handshaking() || server.wants_write() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).expect("memory");
        server.read_tls(&mut &wire[..]).expect("memory");
        server.process_new_packets().expect("a handshake");
        wire.clear();
        server.write_tls(&mut wire).expect("memory");
        client.read_tls(&mut &wire[..]).expect("memory");
        client.process_new_packets().expect("a handshake");
    }
    let mut sink = Sink(0);
    for _ in 0..count {
        server.writer().write_all(plain).expect("room");
        while server.wants_write() {
            server.write_tls(&mut sink).expect("memory");
        }
    }
    sink.0
}

fn unbuffered(count: usize, plain: &[u8]) -> usize {
    let mut server = UnbufferedServerConnection::new(server_config()).expect("a configuration");
    let mut client = client();
    while server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).expect("memory");
        let (mut done, mut answer) = (0, Vec::new());
        loop {
            let status = server.process_tls_records(&mut wire[done..]);
            done += status.discard;
            match status.state.expect("a handshake") {
                ConnectionState::EncodeTlsData(mut data) => {
                    let start = answer.len();
                    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
                        answer.resize(start + size.required_size, 0);
                        data.encode(&mut answer[start..]).expect("room");
                    }
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                _ => break,
            }
        }
        client.read_tls(&mut &answer[..]).expect("memory");
        client.process_new_packets().expect("a handshake");
    }
    let (mut sink, mut sealed) = (Sink(0), vec![0; plain.len() + 1024]);
    for _ in 0..count {
        let ConnectionState::WriteTraffic(mut traffic) =
            server.process_tls_records(&mut []).state.expect("a connection")
        else {
            continue;
        };
        let length = traffic.encrypt(plain, &mut sealed).expect("room");
        sink.write_all(&sealed[..length]).expect("memory");
    }
    sink.0
}

fn server_config() -> Arc<ServerConfig> {
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a pair");
    let key = PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key.into())
        .expect("a pair");
    Arc::new(config)
}

fn client() -> ClientConnection {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::new(config), name).expect("a configuration")
}

/// The certificate is not what is measured.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
