//! The driver's socket against a server that is written byte by byte: fragments, limits, closes,
//! and answers that are no WebSocket.

use base64::Engine as _;
use prometheus::Registry;
use sha1::{Digest, Sha1};
use std::sync::Arc;
use std::time::Duration;
use tickcast_feed::{
    Command, ConnectPacer, ConnectionIndex, Driver, DriverConfig, Handler, InboxSender, Io, Limits,
    Metrics, Outlet,
};
use tickcast_market::{Directory, InstrumentIndex, Nanos, SourceIndex, Venue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

const MESSAGE_BYTES_MAX: usize = 1000;

/// Tells the test what the driver tells it.
struct Small {
    url: String,
    get: Option<String>,
    told: mpsc::UnboundedSender<String>,
}

impl Small {
    fn say(&self, text: String) {
        let _ = self.told.send(text);
    }
}

impl Handler for Small {
    fn venue(&self) -> Venue {
        Venue::Sim
    }

    fn limits(&self) -> Limits {
        Limits {
            send_gap: Nanos::ZERO,
            get_gap: Nanos::ZERO,
            connect_gap: Nanos::ZERO,
            silence_max: Nanos::from_secs(60),
            lifetime_max: None,
            message_bytes_max: MESSAGE_BYTES_MAX,
        }
    }

    fn start(&mut self, io: &mut Io<'_>) {
        match &self.get {
            Some(url) => io.commands.push(Command::Get { url: url.clone(), after: Nanos::ZERO }),
            None => io.commands.push(Command::Connect { line: 0, url: self.url.clone() }),
        }
    }

    fn is_complete(&self) -> bool {
        true
    }

    fn opened(&mut self, connection: ConnectionIndex, _url: &str, io: &mut Io<'_>) {
        self.say(format!("opened {}", connection.generation));
        io.commands.push(Command::Send { connection, text: "subscribe".into() });
    }

    fn message(&mut self, _connection: ConnectionIndex, bytes: &mut [u8], _io: &mut Io<'_>) {
        self.say(format!("message {}", String::from_utf8_lossy(bytes)));
    }

    fn rest(&mut self, _url: &str, body: &mut [u8], _io: &mut Io<'_>) {
        self.say(format!("rest {}", String::from_utf8_lossy(body)));
    }

    fn rest_failed(&mut self, url: &str, status: u16, io: &mut Io<'_>) {
        self.say(format!("rest failed {status}"));
        io.commands.push(Command::Get { url: url.into(), after: Nanos::ZERO });
    }

    fn silent(&mut self, _connection: ConnectionIndex, _io: &mut Io<'_>) {
        self.say("silent".into());
    }

    fn closed(&mut self, connection: ConnectionIndex, _io: &mut Io<'_>) {
        self.say(format!("closed {}", connection.generation));
    }

    fn timer(&mut self, _io: &mut Io<'_>) {}

    fn resync(&mut self, _instrument: InstrumentIndex, _io: &mut Io<'_>) {}
}

struct Bench {
    listener: TcpListener,
    told: mpsc::UnboundedReceiver<String>,
    stop: watch::Sender<bool>,
}

impl Bench {
    async fn new(rest: bool) -> Bench {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("is bound");
        let (tell, told) = mpsc::unbounded_channel();
        let get = rest.then(|| format!("http://{address}/depth?symbol=A"));
        let handler = Small { url: format!("ws://{address}/feed?x=1"), get, told: tell };
        let (sender, batches, recycled) = InboxSender::bounded(4);
        std::thread::spawn(move || {
            while let Ok(batch) = batches.recv() {
                let _ = recycled.try_send(batch);
            }
        });
        let directory = Arc::new(Directory::default());
        let outlet = Outlet::to_inboxes(SourceIndex(0), directory, &[sender]);
        let metrics = Metrics::new(&Registry::new()).expect("an empty registry").of(Venue::Sim);
        let config = DriverConfig {
            backoff_min: Nanos::from_millis(1),
            backoff_max: Nanos::from_millis(5),
            connect_pacer: ConnectPacer::default(),
            connect_timeout: Duration::from_secs(20),
            ..DriverConfig::new(Venue::Sim)
        };
        let driver = Driver::new(Box::new(handler), outlet, metrics, config, None);
        let (stop, stopping) = watch::channel(false);
        tokio::spawn(driver.run(stopping));
        Bench { listener, told, stop }
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.expect("the driver connects").0
    }

    /// Accepts and answers the handshake as RFC 6455 says.
    async fn accept_socket(&self) -> TcpStream {
        let mut stream = self.accept().await;
        let request = read_head(&mut stream).await;
        assert!(request.starts_with("GET /feed?x=1 HTTP/1.1\r\n"), "{request}");
        let key = request
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-key: "))
            .expect("a key is sent");
        let mut hash = Sha1::new();
        hash.update(key);
        hash.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        let accept = base64::engine::general_purpose::STANDARD.encode(hash.finalize());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.expect("is read");
        stream
    }

    async fn told(&mut self, expected: &str) {
        let next = tokio::time::timeout(Duration::from_secs(30), self.told.recv()).await;
        assert_eq!(next.expect("something is told").as_deref(), Some(expected));
    }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("the request goes on"));
    }
    String::from_utf8(head).expect("HTTP is text")
}

/// A frame as a server sends it: not masked.
fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![(u8::from(fin) << 7) | opcode];
    match u8::try_from(payload.len()) {
        Ok(short) if short < 126 => bytes.push(short),
        _ => {
            bytes.push(126);
            let length = u16::try_from(payload.len()).expect("tests are small");
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads one short frame of the client, unmasks it, and gives opcode and payload.
async fn read_frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 6];
    stream.read_exact(&mut head).await.expect("a frame comes");
    assert_eq!(head[1] & 0x80, 0x80, "a client masks");
    let mut payload = vec![0; usize::from(head[1] & 0x7f)];
    stream.read_exact(&mut payload).await.expect("its payload comes");
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= head[2 + at % 4];
    }
    (head[0] & 0x0f, payload)
}

#[tokio::test]
async fn a_message_in_fragments_with_a_ping_between_arrives_whole_and_the_ping_is_answered() {
    let mut bench = Bench::new(false).await;
    let mut stream = bench.accept_socket().await;
    bench.told("opened 0").await;
    assert_eq!(read_frame(&mut stream).await, (1, b"subscribe".to_vec()));
    let bytes = [
        frame(false, 1, "gr".as_bytes()),
        frame(true, 9, b"are you there"),
        // A character that is cut in two.
        frame(false, 0, &"ü".as_bytes()[..1]),
        frame(true, 0, &["ü".as_bytes()[1..].to_vec(), b"n".to_vec()].concat()),
        frame(true, 1, b"next"),
    ]
    .concat();
    for byte in bytes {
        stream.write_all(&[byte]).await.expect("one byte at a time");
    }
    bench.told("message grün").await;
    bench.told("message next").await;
    assert_eq!(read_frame(&mut stream).await, (10, b"are you there".to_vec()));
}

#[tokio::test]
async fn messages_above_the_limit_and_broken_frames_end_the_connection_and_the_next_is_opened() {
    let mut bench = Bench::new(false).await;
    let half = vec![b'a'; MESSAGE_BYTES_MAX / 2 + 1];
    let wrong = [
        frame(true, 1, &vec![b'a'; MESSAGE_BYTES_MAX + 1]),
        [frame(false, 1, &half), frame(true, 0, &half)].concat(),
        frame(true, 0, b"a continuation of nothing"),
        [frame(false, 1, b"a"), frame(true, 1, b"a second start")].concat(),
        frame(true, 1, &[0xff, 0xfe]),
        vec![0xc1, 0],
        vec![0x83, 0],
        frame(true, 8, b"\x03\xe9going away"),
        frame(true, 8, b""),
        Vec::new(),
    ];
    for (generation, bytes) in wrong.iter().enumerate() {
        let mut stream = bench.accept_socket().await;
        bench.told(&format!("opened {generation}")).await;
        stream.write_all(bytes).await.expect("is read");
        if bytes.is_empty() {
            drop(stream);
            bench.told(&format!("closed {generation}")).await;
        } else {
            bench.told(&format!("closed {generation}")).await;
            drop(stream);
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_no_upgrade_is_no_connection_and_is_tried_again() {
    let mut bench = Bench::new(false).await;
    for answer in [
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nlate",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "what?\r\n\r\n",
        "",
    ] {
        let mut stream = bench.accept().await;
        read_head(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.expect("is read");
    }
    let _stream = bench.accept_socket().await;
    // The handler has heard nothing of all that.
    bench.told("opened 5").await;
}

#[tokio::test]
async fn a_stop_says_goodbye_with_a_close_frame() {
    let mut bench = Bench::new(false).await;
    let mut stream = bench.accept_socket().await;
    bench.told("opened 0").await;
    assert_eq!(read_frame(&mut stream).await.0, 1);
    bench.stop.send_replace(true);
    bench.told("closed 0").await;
    let (opcode, payload) = read_frame(&mut stream).await;
    assert_eq!((opcode, &payload[..]), (8, &1000u16.to_be_bytes()[..]));
}

#[tokio::test]
async fn rest_answers_come_and_failures_are_told_with_their_status() {
    let mut bench = Bench::new(true).await;
    let retry = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 2\r\n\r\nno";
    let refused = ["HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", retry, "not HTTP"];
    for (answer, status) in refused.into_iter().zip([500, 429, 0]) {
        let mut stream = bench.accept().await;
        let request = read_head(&mut stream).await;
        assert!(request.starts_with("GET /depth?symbol=A HTTP/1.1\r\n"), "{request}");
        stream.write_all(answer.as_bytes()).await.expect("is read");
        drop(stream);
        bench.told(&format!("rest failed {status}")).await;
    }
    let mut stream = bench.accept().await;
    read_head(&mut stream).await;
    let answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n";
    stream.write_all(answer.as_bytes()).await.expect("is read");
    bench.told("rest [1,2]").await;
}
