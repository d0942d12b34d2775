//! The floor and the naive servers, as processes: a client of theirs is served by the protocol's
//! rule, also when it comes late, and at the rate that was asked for.

use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};
use tickcast_benches::Server;
use tickcast_client::{Counts, Session, Verdict};
use tickcast_wire::{Encoding, Message, Pattern, Subscribe, View, write_request};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::http::HeaderValue;
use tungstenite::{Message as Frame, WebSocket};

const PATIENCE: Duration = Duration::from_secs(60);

/// A client that follows the rule.
struct Client {
    socket: WebSocket<TcpStream>,
    session: Session,
    answers: usize,
    bytes: usize,
}

impl Client {
    fn connect(server: &Server, symbols: &[&str]) -> Client {
        let address = server.addresses[0];
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        let mut request = format!("ws://{address}/v1/ws").into_client_request().expect("a URL");
        let subprotocol = HeaderValue::from_static("tickcast.v1.json");
        request.headers_mut().insert("Sec-WebSocket-Protocol", subprotocol.clone());
        let (mut socket, answer) = tungstenite::client(request, stream).expect("a handshake");
        assert_eq!(answer.headers().get("Sec-WebSocket-Protocol"), Some(&subprotocol));
        let mut session = Session::new();
        let symbols = symbols.iter().map(|name| Pattern::new(*name)).collect();
        let request = session.subscribe(Subscribe::new(View::Ticker, symbols));
        let mut text = Vec::new();
        write_request(&mut text, Encoding::Json, &request);
        let text = String::from_utf8(text).expect("requests are text");
        socket.send(Frame::text(text)).expect("it reads");
        Client { socket, session, answers: 0, bytes: 0 }
    }

    /// Reads until so many items have been applied.
    fn read(&mut self, applied: u64) -> Counts {
        let until = Instant::now() + PATIENCE;
        while self.session.counts().applied < applied {
            assert!(Instant::now() < until, "{:?}", self.session.counts());
            let frame = self.socket.read().expect("it serves");
            let text = frame.to_text().expect("text");
            let message = Message::decode(text.as_bytes()).expect("a message");
            self.bytes = text.len();
            match &message {
                Message::Answer { .. } => self.answers += 1,
                _ => {
                    assert_eq!(self.answers, 1, "the answer comes first");
                    assert_eq!(self.session.receive(&message), Verdict::Applied, "{text}");
                }
            }
        }
        self.session.counts()
    }
}

fn start(program: &str, args: &str) -> Server {
    let args: Vec<String> = args.split_whitespace().map(String::from).collect();
    Server::start(Path::new(program), &args, &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn assert_clean(client: &Client) {
    let counts = client.session.counts();
    let wrong = (counts.gaps, counts.violations, counts.unexpected, counts.ignored);
    assert_eq!(wrong, (0, 0, 0, 0), "{:?}", client.session.violations());
}

/// Early and late clients, of one and of several symbols.
fn check(program: &str, args: &str) {
    let server = start(program, args);
    let mut early = Client::connect(&server, &["sim:S0-USD"]);
    early.read(100);
    let mut late = Client::connect(&server, &["sim:S0-USD", "sim:S1-USD", "sim:S2-USD"]);
    late.read(100);
    early.read(200);
    assert_clean(&early);
    assert_clean(&late);
    let symbols: Vec<&str> = late.session.symbols().collect();
    assert_eq!(symbols.len(), 3, "{symbols:?}");
    assert!(symbols.iter().all(|symbol| late.session.ticker(symbol).is_some()));
}

#[test]
fn the_floor_serves_clients_by_the_rule_with_one_send_for_one_frame_and_for_several() {
    let floor = env!("CARGO_BIN_EXE_floor");
    check(floor, "--rate 1000 --mode send");
    check(floor, "--rate 5000 --batch 16 --mode send --size 300");
}

#[test]
fn the_floor_serves_clients_by_the_rule_through_io_uring() {
    let floor = env!("CARGO_BIN_EXE_floor");
    let args = ["--mode", "uring"].map(String::from);
    match Server::start(Path::new(floor), &args, &[]) {
        Ok(_) => check(floor, "--rate 5000 --batch 4 --mode uring"),
        // Containers and older kernels.
        Err(error) => println!("SKIPPED: {error}"),
    }
}

#[test]
fn frames_of_the_floor_have_the_size_that_was_asked_for() {
    let server = start(env!("CARGO_BIN_EXE_floor"), "--rate 1000 --size 257");
    let mut client = Client::connect(&server, &["sim:S0-USD"]);
    client.read(5);
    assert_eq!(client.bytes, 257);
}

#[test]
fn axum_with_broadcast_serves_clients_by_the_rule() {
    let naive = env!("CARGO_BIN_EXE_naive-broadcast");
    check(naive, "--instruments 3 --rate 2000");
    check(naive, "--instruments 3 --rate 2000 --threads 2");
}

#[test]
fn fastwebsockets_with_a_channel_serves_clients_by_the_rule() {
    let naive = env!("CARGO_BIN_EXE_naive-channel");
    check(naive, "--instruments 3 --rate 2000");
    check(naive, "--instruments 3 --rate 2000 --threads 2");
}

/// Reads whatever comes until that many items have, and so many snapshots.
fn drain(client: &mut Client, items: u64, snapshots: usize) {
    let until = Instant::now() + PATIENCE;
    let mut seen = 0;
    let first = client.session.counts().items;
    while client.session.counts().items < first + items || seen < snapshots {
        assert!(Instant::now() < until, "{seen} snapshots, {:?}", client.session.counts());
        let frame = client.socket.read().expect("it serves");
        let text = frame.to_text().expect("text");
        let message = Message::decode(text.as_bytes()).expect("a message");
        if let Message::Ticker(ticker) = &message {
            seen += usize::from(ticker.is_snapshot);
        }
        client.session.receive(&message);
    }
}

#[test]
fn a_client_that_was_lapped_by_a_naive_server_is_brought_up_to_date_by_a_snapshot() {
    for program in [env!("CARGO_BIN_EXE_naive-broadcast"), env!("CARGO_BIN_EXE_naive-channel")] {
        let server = start(program, "--instruments 1 --rate 200000");
        let mut slow = Client::connect(&server, &["sim:S0-USD"]);
        slow.read(10);
        // While this one reads, the first does not: more than any buffer on its way takes.
        let mut other = Client::connect(&server, &["sim:S0-USD"]);
        drain(&mut other, 100_000, 1);
        drain(&mut slow, 10, 1);
        drain(&mut slow, 1000, 0);
        let counts = slow.session.counts();
        assert_eq!((counts.gaps, counts.violations), (0, 0), "{program}: {counts:?}");
    }
}
