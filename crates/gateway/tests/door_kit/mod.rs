//! A door on port 0 with what stands for a shard behind it, and clients that send raw bytes.
#![allow(dead_code)] // Each test binary uses what it needs.

use crossbeam_channel::{Receiver, unbounded};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tickcast_gateway::{
    Admission, AdmissionLimits, Auth, Control, Door, DoorLimits, DoorRules, Handoff, Line,
    Listener, Metrics, Origins, Proxies, Refusal, ShardHandle, ShardInbox, Shards, Socket, Source,
    Who,
};

/// Longer than anything here should take; only a failure waits for so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const UPGRADE: &str = "GET /v1/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// Answers with what was asked.
pub(crate) struct Echo;

impl Source for Echo {
    fn instruments(&self, query: &str, _: &Who, out: &mut Vec<u8>) -> Result<(), Refusal> {
        out.extend_from_slice(format!("{{\"instruments\":[\"{query}\"]}}").as_bytes());
        Ok(())
    }

    fn snapshot(&self, query: &str, _: &Who, out: &mut Vec<u8>) -> Result<(), Refusal> {
        match query {
            "" => Err(Refusal::bad_request("channel: missing")),
            // More than any socket's buffers hold.
            "large" => {
                out.resize(32 << 20, b' ');
                Ok(())
            }
            _ => {
                out.extend_from_slice(b"{}");
                Ok(())
            }
        }
    }

    fn check_events(&self, query: &str, _: &Who) -> Result<(), Refusal> {
        if query.contains("channel=") {
            Ok(())
        } else {
            Err(Refusal::bad_request("channel: missing"))
        }
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) door: Arc<Door>,
    /// The listener once more, as a successor has it.
    pub(crate) shared: OwnedFd,
    /// What the shard was given; it has written the answers.
    pub(crate) given: Receiver<Handoff>,
    /// The door's count of the shard's connections.
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) serving: tokio::task::JoinHandle<()>,
    pub(crate) runtime: tokio::runtime::Runtime,
}

/// A door whose REST answers are echoes.
pub(crate) fn start(limits: DoorLimits) -> Server {
    start_with(limits, Arc::new(Echo))
}

pub(crate) fn start_with(limits: DoorLimits, source: Arc<dyn Source>) -> Server {
    start_as(limits, source, Auth::open(), None)
}

/// A door that lets in whom `auth` lets in.
pub(crate) fn start_guarded(source: Arc<dyn Source>, auth: Auth) -> Server {
    start_as(DoorLimits::default(), source, auth, None)
}

/// A door that encrypts; its REST answers are echoes.
pub(crate) fn start_tls(limits: DoorLimits, tls: Arc<rustls::ServerConfig>) -> Server {
    start_as(limits, Arc::new(Echo), Auth::open(), Some(tls))
}

/// A door that knows proxies and limits addresses; its REST answers are echoes.
pub(crate) fn start_admitting(
    limits: DoorLimits,
    admission: Arc<Admission>,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Server {
    answering(start_behind(limits, admission, Arc::new(Echo), Auth::open(), tls))
}

fn start_as(
    limits: DoorLimits,
    source: Arc<dyn Source>,
    auth: Auth,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Server {
    answering(start_before(limits, source, auth, tls))
}

fn answering((server, inbox): (Server, ShardInbox)) -> Server {
    let (sender, given) = unbounded();
    std::thread::spawn(move || {
        for control in inbox.controls {
            let Control::Connect(handoff) = control else { continue };
            if sender.send(answered(handoff)).is_err() {
                break;
            }
        }
    });
    Server { given, ..server }
}

/// Like a shard it answers first.
fn answered(handoff: Handoff) -> Handoff {
    let socket = mio::net::TcpStream::from_std(handoff.socket);
    let mut line = Line::new(socket, handoff.tls);
    let sent = line.send(&handoff.answer).expect("room for an answer");
    assert_eq!(sent, handoff.answer.len());
    let (socket, tls) = line.into_parts();
    Handoff { socket: socket.into(), tls, ..handoff }
}

/// A door, and what its shard would be given; nothing is given to the server's own receiver.
pub(crate) fn start_alone(
    limits: DoorLimits,
    source: Arc<dyn Source>,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> (Server, ShardInbox) {
    start_before(limits, source, Auth::open(), tls)
}

fn start_before(
    limits: DoorLimits,
    source: Arc<dyn Source>,
    auth: Auth,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> (Server, ShardInbox) {
    let admission = Admission::new(AdmissionLimits::default(), Proxies::default(), false);
    start_behind(limits, admission, source, auth, tls)
}

fn start_behind(
    limits: DoorLimits,
    admission: Arc<Admission>,
    source: Arc<dyn Source>,
    auth: Auth,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> (Server, ShardInbox) {
    let auth = Arc::new(auth);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), &limits).unwrap();
    let address = listener.local_addr().unwrap();
    let shared = listener.share().unwrap();
    let (shard, inbox) = ShardHandle::new(|| ());
    let metrics = Arc::new(Metrics::new(&prometheus::Registry::new()).unwrap());
    let origins = Origins::new(vec!["https://desk.example".into()], true);
    let door = Door::new(
        DoorRules { limits, admission, origins, auth },
        Arc::new(Shards::new(vec![shard])),
        source,
        metrics.clone(),
        tls,
    );
    let serving = runtime.spawn({
        let door = door.clone();
        async move { door.serve(listener).await }
    });
    drop(_inside);
    let connections = inbox.connections.clone();
    let given = crossbeam_channel::never();
    (Server { address, door, shared, given, connections, metrics, serving, runtime }, inbox)
}

impl Server {
    pub(crate) fn connect(&self) -> Client {
        Client::of(TcpStream::connect(self.address).unwrap())
    }

    /// A connection from another address of this machine.
    pub(crate) fn connect_from(&self, address: &str) -> Client {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.bind(&SocketAddr::new(address.parse().unwrap(), 0).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        Client::of(socket.into())
    }

    /// The next connection that the door gives to the shard.
    pub(crate) fn next(&self) -> Handoff {
        self.given.recv_timeout(PATIENCE).expect("a connection")
    }

    pub(crate) fn refused(&self, reason: &str) -> u64 {
        self.metrics.value("tickcast_gateway_refused_total", &[reason]) as u64
    }
}

pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub(crate) fn of(socket: TcpStream) -> Client {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { socket, read: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).unwrap();
    }

    /// The head and body of the next answer.
    pub(crate) fn answer(&mut self) -> (String, String) {
        let head = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break String::from_utf8(self.read.drain(..at + 4).collect()).unwrap();
            }
            self.fill();
        };
        let length = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
            })
            .unwrap_or(0);
        while self.read.len() < length {
            self.fill();
        }
        (head, String::from_utf8(self.read.drain(..length).collect()).unwrap())
    }

    /// Sends a request and gives the status, head and body of the answer.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> (u16, String, String) {
        self.send(request);
        let (head, body) = self.answer();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head, body)
    }

    fn fill(&mut self) {
        let mut into = [0; 4096];
        let some = self.socket.read(&mut into).expect("an answer in time");
        assert!(some > 0, "ended after {:?}", String::from_utf8_lossy(&self.read));
        self.read.extend_from_slice(&into[..some]);
    }

    /// Everything until the server ends the connection in an orderly way.
    pub(crate) fn rest(mut self) -> Vec<u8> {
        self.socket.read_to_end(&mut self.read).expect("an orderly end in time");
        self.read
    }
}

/// Asserts an answer that refuses in the one form that all refusals have.
pub(crate) fn assert_refusal(status: u16, head: &str, body: &str, name: &str) {
    assert!(
        head.starts_with("HTTP/1.") && head[8..].starts_with(&format!(" {status} ")),
        "{name}: {head}"
    );
    assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{name}: {head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["code"], if status == 429 { 4529 } else { 4000 + status }, "{name}");
    assert!(!body["error"].as_str().unwrap().is_empty(), "{name}");
}
