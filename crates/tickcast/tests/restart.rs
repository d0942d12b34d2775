//! Restarts of the real binary: clients are sent away each at its own moment, and a new process
//! takes over without a connection that is refused.

use serde_json::Value;
use service::{PATIENCE, Service, Socket, get};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

mod service;

const SUBSCRIBE: &str =
    r#"{"method":"subscribe","params":{"channel":"ticker","symbol":["sim:*"]}}"#;

/// Busy enough that every client hears something several times a second.
const SIMULATED: [&str; 4] = ["--sim-instruments", "10", "--sim-rate", "200"];

/// A file's path of its own for each use.
fn own_path(kind: &str) -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed); // Only a number.
    // A socket's path must be short, and a target folder's may be long.
    std::env::temp_dir().join(format!("tickcast-{kind}-{}-{number}", std::process::id()))
}

/// The path of a socket, removed with the test.
struct Meeting(PathBuf);

impl Meeting {
    fn new() -> Meeting {
        Meeting(own_path("takeover"))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path of text")
    }

    /// Arguments of a service that can be succeeded.
    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&SIMULATED[..], &["--takeover", self.path()], more].concat()
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn subscribed(service: &Service) -> Socket {
    let mut socket = service.websocket();
    socket.send(SUBSCRIBE);
    socket.until("a snapshot", |text| {
        text.contains("\"type\":\"snapshot\",\"data\":[{\"symbol\":\"sim:")
    });
    socket
}

/// What a client saw of a drain.
#[derive(Debug)]
struct Farewell {
    told_ms: u64,
    /// Between the `goaway` and the end, by the client's clock.
    stayed: Duration,
    /// Between the `goaway` and the last update, by the service's clock.
    served_ms: u64,
    updates: usize,
    code: u16,
}

/// Reads to the end, and goes: the service waits a while for those that stay.
fn until_sent_away(mut socket: Socket) -> Farewell {
    let mut told: Option<(u64, Instant)> = None;
    let (mut first, mut last, mut updates) = (0, 0, 0);
    let code = socket.until_closed(|text| {
        let message: Value = serde_json::from_str(text).expect("JSON");
        let item = &message["data"][0];
        if message["type"] == "goaway" {
            told = Some((item["reconnect_after_ms"].as_u64().expect("a delay"), Instant::now()));
        } else if message["channel"] == "ticker" && told.is_some() {
            updates += 1;
            last = item["ts_publish"].as_u64().expect("a time");
            first = if first == 0 { last } else { first };
        }
    });
    let (told_ms, at) = told.expect("a goaway comes before the end");
    Farewell { told_ms, stayed: at.elapsed(), served_ms: (last - first) / 1_000, updates, code }
}

#[test]
fn row_03_a_drain_sends_each_client_away_at_its_own_moment_and_serves_it_until_then() {
    const CLIENTS: usize = 40;
    const WINDOW_MS: u64 = 4_000;
    let mut service = Service::start(&[&SIMULATED[..], &["--drain-window", "4s"]].concat());
    let sockets: Vec<Socket> = (0..CLIENTS).map(|_| subscribed(&service)).collect();
    let waiting: Vec<_> =
        sockets.into_iter().map(|socket| thread::spawn(move || until_sent_away(socket))).collect();
    service.ask_to_stop();
    let mut seen: Vec<Farewell> =
        waiting.into_iter().map(|one| one.join().expect("sent away")).collect();
    assert_eq!(service.wait(), Some(0));

    seen.sort_by_key(|farewell| farewell.told_ms);
    for one in &seen {
        assert_eq!(one.code, 1001, "{one:?}");
        // A busy machine lets a client read of it late; half a second of that is forgiven.
        let stayed = one.stayed + Duration::from_millis(500);
        assert!(stayed >= Duration::from_millis(one.told_ms), "not before its time: {one:?}");
        // Ten updates a second at least; the same is forgiven.
        if one.told_ms > 1_000 {
            assert!(one.served_ms + 500 > one.told_ms, "data until then: {one:?}");
            assert!(one.updates > 10, "{one:?}");
        }
    }
    let delays: Vec<u64> = seen.iter().map(|one| one.told_ms).collect();
    assert!(delays.iter().all(|delay| *delay < WINDOW_MS), "{delays:?}");
    assert!(delays.windows(2).all(|two| two[0] < two[1]), "all differ: {delays:?}");
    // Forty in 4 s is one each 100 ms; with several shards some are closer together.
    let gap = (delays.windows(2).map(|two| two[1] - two[0]))
        .chain([delays[0], WINDOW_MS - delays[CLIENTS - 1]])
        .max();
    assert!(gap <= Some(400), "they fill the window: {gap:?} in {delays:?}");
}

#[test]
fn row_03_events_end_in_order_too_and_nobody_comes_in_meanwhile() {
    let mut service = Service::start(&[&SIMULATED[..], &["--drain-window", "2s"]].concat());
    let mut events = service.stream();
    events.set_read_timeout(PATIENCE);
    events
        .write_all(b"GET /v1/sse?channel=ticker&symbol=sim:* HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it reads");
    let mut text = vec![0; 15];
    events.read_exact(&mut text).expect("an answer");
    let mut begun = service.stream();
    begun.write_all(b"GET /v1/instruments HTTP/1.1\r\n").expect("it reads");
    let mut held = subscribed(&service);
    service.ask_to_stop();
    let mut told = false;
    held.until("a goaway", |text| {
        told |= text.contains("goaway");
        told
    });
    // The door and the shards hear of the drain at about the same time.
    let until = Instant::now() + PATIENCE;
    let refused = loop {
        match TcpStream::connect(service.public) {
            Ok(_) => assert!(Instant::now() < until, "the port is closed"),
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(refused, ErrorKind::ConnectionRefused);
    // Who was in before may still ask, and is told to come back.
    begun.write_all(b"Host: a\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    begun.set_read_timeout(PATIENCE);
    begun.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(get(service.admin, "/readyz").0, 503, "operators see that it drains");
    events.read_to_end(&mut text).expect("an end in order");
    let text = String::from_utf8(text).expect("text");
    let goaway = text.find("goaway").expect("events are told too");
    assert!(text[goaway..].contains("event: ticker"), "and get data after that");
    assert_eq!(held.until_closed(|_| ()), 1001);
    drop((events, held));
    assert_eq!(service.wait(), Some(0));
}

#[test]
fn row_03_a_second_signal_cuts_the_drain_short() {
    let mut service = Service::start(&[&SIMULATED[..], &["--drain-window", "10m"]].concat());
    let mut sockets: Vec<Socket> = (0..4).map(|_| subscribed(&service)).collect();
    service.ask_to_stop();
    for socket in &mut sockets {
        socket.until("a goaway", |text| text.contains("goaway"));
    }
    service.ask_to_stop();
    for mut socket in sockets {
        assert_eq!(socket.until_closed(|_| ()), 1001);
    }
    assert_eq!(service.wait(), Some(0));
}

/// Clients that come and go all the time, on both kinds of requests; none may be turned away.
struct Visitors {
    stop: std::sync::Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<usize>>,
}

impl Visitors {
    fn start(public: SocketAddr) -> Visitors {
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let visit = |what: fn(SocketAddr)| {
            let stop = stop.clone();
            thread::spawn(move || {
                let mut visits = 0;
                // A flag that is looked at now and then; it orders nothing.
                while !stop.load(Ordering::Relaxed) {
                    what(public);
                    visits += 1;
                }
                visits
            })
        };
        let threads = vec![visit(asks), visit(upgrades), visit(upgrades_slowly)];
        Visitors { stop, threads }
    }

    /// How often each kind has come.
    fn end(self) -> Vec<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|one| one.join().expect("nobody is turned away")).collect()
    }
}

const UPGRADE: &str = "GET /v1/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn asks(public: SocketAddr) {
    assert_eq!(get(public, "/v1/instruments").0, 200);
}

fn upgrades(public: SocketAddr) {
    upgrade(public, &[UPGRADE]);
}

/// Sends its request in two parts, so that the process that accepted may change in between.
fn upgrades_slowly(public: SocketAddr) {
    upgrade(public, &["", &UPGRADE[..40], &UPGRADE[40..]]);
}

fn upgrade(public: SocketAddr, parts: &[&str]) {
    let mut socket = TcpStream::connect(public).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time");
    for part in parts {
        socket.write_all(part.as_bytes()).expect("it reads");
        if parts.len() > 1 {
            thread::sleep(Duration::from_millis(5)); // What a slow client is, not a wait for something.
        }
    }
    let (mut text, mut some) = (Vec::new(), [0; 4096]);
    while !text.windows(7).any(|seven| seven == b"welcome") {
        let count = socket.read(&mut some).expect("an answer");
        assert!(count > 0, "no welcome: {}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&some[..count]);
    }
    assert!(text.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&text));
}

#[test]
fn row_03_a_new_process_takes_over_and_nobody_is_refused() {
    let meeting = Meeting::new();
    let args = meeting.args(&["--drain-window", "2s"]);
    let mut old = Service::start(&args);
    let mode = std::fs::metadata(&meeting.0).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let visitors = Visitors::start(old.public);
    for generation in 0..3 {
        let held = subscribed(&old);
        // Kept alive by the client, as by whoever scrapes metrics.
        let mut scraper = TcpStream::connect(old.admin).expect("it listens");
        scraper.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
        scraper.set_read_timeout(Some(PATIENCE)).expect("a time");
        let new = Service::begin(old.public, old.admin, &args).listening();
        assert_eq!((new.public, new.admin), (old.public, old.admin));
        let farewell = until_sent_away(held);
        assert_eq!(farewell.code, 1001);
        assert_eq!(old.wait(), Some(0), "generation {generation}");
        scraper.read_to_end(&mut Vec::new()).expect("kept connections of operators end in order");
        old.until_logged("another process has taken over");
        subscribed(&new);
        assert!(
            new.metric("tickcast_gateway_connections_opened_total", "") > 0.0,
            "its own figures"
        );
        assert_eq!(get(new.admin, "/readyz").0, 200);
        old = new;
    }
    let visits = visitors.end();
    assert!(visits.iter().all(|count| *count > 10), "{visits:?}");
    assert!(meeting.0.exists(), "the newest process can be succeeded");
    old.ask_to_stop();
    assert_eq!(old.wait(), Some(0));
    assert!(!meeting.0.exists(), "nobody is left to be asked");
}

/// A configuration with a venue that accepts connections and says nothing.
struct Silent {
    _venue: TcpListener,
    file: PathBuf,
}

impl Silent {
    fn new() -> Silent {
        let venue = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = venue.local_addr().expect("an address");
        let file = own_path("silent");
        let text = format!(
            "feed = [\"sim\", \"kraken\"]\nsymbols = [\"BTC-USD\"]\n\
             [venues.kraken]\nws_url = \"ws://{at}\"\nrest_url = \"http://{at}\"\n"
        );
        std::fs::write(&file, text).expect("a writable folder");
        Silent { _venue: venue, file }
    }

    fn config(&self) -> &str {
        self.file.to_str().expect("a path of text")
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

#[test]
fn a_successor_that_does_not_become_ready_or_is_killed_leaves_everything_as_it_was() {
    let (meeting, silent) = (Meeting::new(), Silent::new());
    let old = Service::start(&meeting.args(&["--drain-window", "1s"]));
    let mut held = subscribed(&old);
    let visitors = Visitors::start(old.public);
    let args = meeting.args(&["--config", silent.config(), "--takeover-wait", "500ms"]);
    let (code, log) = Service::begin(old.public, old.admin, &args).ended();
    assert_eq!(code, Some(1));
    let is_reason =
        |line: &String| line.contains("no data from kraken") && line.contains("goes on");
    assert!(log.iter().any(is_reason), "{log:?}");

    let args = meeting.args(&["--config", silent.config(), "--takeover-wait", "10m"]);
    let waiting = Service::begin(old.public, old.admin, &args);
    waiting.until_logged("taking over from it");
    waiting.until_logged("sends");
    waiting.kill();

    // A third one finds the old one as if nothing had been, and takes over.
    let mut old = old;
    held.until("data", |text| text.contains("\"type\":\"update\""));
    let new = Service::begin(old.public, old.admin, &meeting.args(&[])).listening();
    assert_eq!(until_sent_away(held).code, 1001);
    assert_eq!(old.wait(), Some(0));
    subscribed(&new);
    visitors.end();
}

#[test]
fn a_predecessor_that_is_killed_leaves_its_listeners_to_who_waits_for_them() {
    let (meeting, silent) = (Meeting::new(), Silent::new());
    let mut old = Service::start(&meeting.args(&[]));
    let args = meeting.args(&["--config", silent.config(), "--takeover-wait", "10m"]);
    let waiting = Service::begin(old.public, old.admin, &args);
    waiting.until_logged("taking over from it");
    waiting.until_logged("sends");
    // Nobody accepts any more, and the port is open all the same.
    old.kill();
    let visitors = Visitors::start(old.public);
    let new = waiting.listening();
    assert_eq!(new.public, old.public);
    subscribed(&new);
    visitors.end();
}

#[test]
fn a_predecessor_that_is_asked_to_stop_gives_way_to_who_waits() {
    let (meeting, silent) = (Meeting::new(), Silent::new());
    let mut old = Service::start(&meeting.args(&["--drain-window", "2s"]));
    let held = subscribed(&old);
    let args = meeting.args(&["--config", silent.config(), "--takeover-wait", "10m"]);
    let waiting = Service::begin(old.public, old.admin, &args);
    waiting.until_logged("taking over from it");
    waiting.until_logged("sends");
    // A reload is not an end, also of a process that waits.
    signal(waiting.pid(), "-HUP");
    let visitors = Visitors::start(old.public);
    old.ask_to_stop();
    let new = waiting.listening();
    assert_eq!(until_sent_away(held).code, 1001);
    assert_eq!(old.wait(), Some(0));
    subscribed(&new);
    visitors.end();
    // The meeting place is still there for the next.
    let next = Service::begin(new.public, new.admin, &meeting.args(&[])).listening();
    subscribed(&next);
}

#[test]
fn who_waits_to_take_over_can_be_asked_to_stop() {
    let (meeting, silent) = (Meeting::new(), Silent::new());
    let old = Service::start(&meeting.args(&[]));
    let args = meeting.args(&["--config", silent.config(), "--takeover-wait", "10m"]);
    let waiting = Service::begin(old.public, old.admin, &args);
    waiting.until_logged("taking over from it");
    waiting.until_logged("sends");
    signal(waiting.pid(), "-TERM");
    assert_eq!(waiting.ended().0, Some(0));
    subscribed(&old);
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([name, &pid.to_string()]).status().expect("kill runs");
    assert!(status.success());
}

#[test]
fn killed_in_the_middle_of_its_drain_the_old_process_takes_nothing_along() {
    let meeting = Meeting::new();
    let args = meeting.args(&["--drain-window", "10m"]);
    let mut old = Service::start(&args);
    let held = subscribed(&old);
    let new = Service::begin(old.public, old.admin, &args).listening();
    // From now on nobody is accepted by the old one, and so nobody lost with it.
    let visitors = Visitors::start(old.public);
    old.kill();
    drop(held);
    subscribed(&new);
    visitors.end();
    // And what it left is no obstacle to the next.
    let next = Service::begin(new.public, new.admin, &args).listening();
    subscribed(&next);
}

#[test]
fn a_socket_that_was_left_behind_is_replaced_and_anything_else_is_left_alone() {
    let meeting = Meeting::new();
    let mut old = Service::start(&meeting.args(&[]));
    old.kill();
    assert!(meeting.0.exists(), "it had no time to remove it");
    let new = Service::start(&meeting.args(&[]));
    let next = Service::begin(new.public, new.admin, &meeting.args(&[])).listening();
    drop((new, next));
    std::fs::remove_file(&meeting.0).expect("the socket");
    std::fs::write(&meeting.0, "somebody's").expect("a writable folder");
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let (code, log) = Service::begin(free, free, &meeting.args(&[])).ended();
    assert_eq!(code, Some(1));
    let is_reason = |line: &String| line.contains(meeting.path()) && line.contains("not a socket");
    assert!(log.iter().any(is_reason), "{log:?}");
    assert_eq!(std::fs::read_to_string(&meeting.0).expect("the file"), "somebody's");
}

#[test]
fn where_the_addresses_differ_the_new_process_listens_at_its_own() {
    let meeting = Meeting::new();
    let args = meeting.args(&["--drain-window", "1s"]);
    let mut old = Service::start(&args);
    let held = subscribed(&old);
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let new = Service::begin(free, old.admin, &args).listening();
    assert!(new.public != old.public && new.admin == old.admin);
    assert_eq!(until_sent_away(held).code, 1001);
    assert_eq!(old.wait(), Some(0));
    let refused = TcpStream::connect(old.public).expect_err("its process has ended").kind();
    assert_eq!(refused, ErrorKind::ConnectionRefused);
    new.until_logged("listens elsewhere");
    subscribed(&new);
}

#[test]
fn wrong_usage_is_found_before_anything_is_taken_over() {
    let meeting = Meeting::new();
    let old = Service::start(&meeting.args(&[]));
    for wrong in [["--shards", "0"], ["--tls-cert", "/none"], ["--takeover-wait", "soon"]] {
        let (code, log) = Service::begin(old.public, old.admin, &meeting.args(&wrong)).ended();
        assert_eq!(code, Some(2), "{log:?}");
    }
    let log = old.log().join("\n");
    assert!(!log.contains("take over"), "nobody has asked: {log}");
}

#[test]
fn who_does_not_speak_as_a_successor_gets_nothing_and_does_no_harm() {
    let meeting = Meeting::new();
    let mut old = Service::start(&meeting.args(&["--drain-window", "1s"]));
    for (words, answer) in [
        ("{\"say\":\"ask\",\"version\":99}\n", "refuse"),
        ("{\"say\":\"ready\"}\n", "refuse"),
        ("{\"say\":\"yours\"}\n", "refuse"),
        ("GET / HTTP/1.1\r\n\r\n", ""),
        ("\u{0}\u{1}\n", ""),
    ] {
        let mut stranger = UnixStream::connect(&meeting.0).expect("it listens");
        stranger.set_read_timeout(Some(PATIENCE)).expect("a time");
        stranger.write_all(words.as_bytes()).expect("it reads");
        let mut text = String::new();
        // It may be closed with something unread.
        let _ = stranger.read_to_string(&mut text);
        assert!(text.contains(answer) && !text.contains("listeners"), "{words:?}: {text}");
    }
    // One that asks and leaves, one that asks and says nonsense.
    for last in ["", "{\"say\":\"refuse\",\"version\":1,\"reason\":\"\"}\n", "nonsense\n"] {
        let mut stranger = UnixStream::connect(&meeting.0).expect("it listens");
        stranger.write_all(b"{\"say\":\"ask\",\"version\":1}\n").expect("it reads");
        stranger.read_exact(&mut [0; 10]).expect("an offer");
        stranger.write_all(last.as_bytes()).expect("it reads");
    }
    subscribed(&old);
    let new = Service::begin(old.public, old.admin, &meeting.args(&[])).listening();
    assert_eq!(old.wait(), Some(0));
    subscribed(&new);
}

#[test]
fn another_user_gets_nothing() {
    let meeting = Meeting::new();
    let old = Service::start(&meeting.args(&[]));
    // Whoever made the socket may widen its mode; the user is looked at all the same.
    std::fs::set_permissions(&meeting.0, std::fs::Permissions::from_mode(0o777)).expect("ours");
    // The end may come before the question, and then as an error of either call.
    let ask = "import socket,sys\n\
         s=socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect(sys.argv[1])\n\
         try:\n \
         s.sendall(b'{\"say\":\"ask\",\"version\":1}\\n'); data,anc,_,_=s.recvmsg(4096,4096)\n\
         except (BrokenPipeError,ConnectionResetError): data,anc=b'',[]\n\
         print(len(data),len(anc))";
    let asked = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        // The shell passes over what that user may not run.
        .args(["sh", "-c", "python3 -c \"$0\" \"$1\"", ask, meeting.path()])
        .output();
    let words = match &asked {
        Ok(output) if output.status.success() => {
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0 0");
            return;
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!in_ci, "cannot act as another user: {words}");
    println!("SKIPPED: cannot act as another user: {words}");
    drop(old);
}

/// A service that is started as a service manager would: listeners as descriptors from 3 on.
struct Managed {
    public: TcpListener,
    admin: TcpListener,
    notices: UnixDatagram,
    at: PathBuf,
}

impl Managed {
    fn new() -> Managed {
        let at = own_path("notify");
        let notices = UnixDatagram::bind(&at).expect("a writable folder");
        notices.set_read_timeout(Some(PATIENCE)).expect("a time");
        let port = || TcpListener::bind("127.0.0.1:0").expect("a port");
        Managed { public: port(), admin: port(), notices, at }
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        [&self.public, &self.admin].map(|one| one.local_addr().expect("an address"))
    }

    /// Descriptors 3 and 4 are these two; a shell moves them there and becomes the service.
    fn start(&self, names: &str, swapped: bool, args: &[&str]) -> Service {
        let (three, four) = if swapped { (2, 0) } else { (0, 2) };
        let script = format!(
            "exec 3<&{three} 4<&{four}; exec 2>&1 0</dev/null; \
             export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES={names}; exec \"$@\""
        );
        let mut child = Command::new("sh");
        child
            .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_tickcast"), "serve"])
            .args(SIMULATED)
            .args(args)
            .env("NOTIFY_SOCKET", &self.at)
            .env("TICKCAST_LOG", "off")
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(self.public.try_clone().expect("ours"))));
        let admin = std::os::fd::OwnedFd::from(self.admin.try_clone().expect("ours"));
        Service::spawn_with_stderr(child, Stdio::from(admin)).listening()
    }

    fn notice(&self) -> String {
        let mut text = [0; 256];
        let length = self.notices.recv(&mut text).expect("a notice");
        String::from_utf8_lossy(&text[..length]).into_owned()
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.at);
    }
}

#[test]
fn listeners_of_a_service_manager_are_used_and_it_is_told_how_far_the_service_is() {
    let meeting = Meeting::new();
    let managed = Managed::new();
    let [public, admin] = managed.addresses();
    let listen =
        ["--listen", &public.to_string(), "--admin", &admin.to_string()].map(str::to_owned);
    let listen: Vec<&str> = listen.iter().map(String::as_str).collect();
    let here = ["--listen", "127.0.0.1:1", "--admin", "127.0.0.1:2"];
    let mut last = None;
    for (names, swapped, args) in [
        ("public:admin", false, &here[..]), // By name, whatever the settings say.
        ("admin:public", true, &here),      // By name, whatever the order is.
        ("tickcast.socket:tickcast.socket", false, &here), // By order.
        ("unknown:unknown", true, &listen), // By address.
    ] {
        let mut service = managed.start(names, swapped, args);
        assert_eq!((service.public, service.admin), (public, admin), "{names}");
        assert_eq!(managed.notice(), "READY=1\nSTATUS=Serving");
        subscribed(&service);
        service.ask_to_stop();
        assert_eq!(managed.notice(), "STOPPING=1\nSTATUS=Draining");
        assert_eq!(service.wait(), Some(0));
        TcpStream::connect(public).expect("the manager keeps the port open");
        last = Some(service);
    }
    drop(last);
    // Two of them, the later one taking over: the manager learns which process it is now.
    let args = ["--takeover", meeting.path(), "--drain-window", "1s"];
    let args = [&listen[..], &args].concat();
    let mut old = managed.start("public:admin", false, &args);
    assert_eq!(managed.notice(), "READY=1\nSTATUS=Serving");
    let new = managed.start("public:admin", false, &args);
    assert_eq!(managed.notice(), format!("MAINPID={}", new.pid()));
    assert_eq!(managed.notice(), "READY=1\nSTATUS=Serving");
    assert_eq!(old.wait(), Some(0));
    subscribed(&new);
}

#[test]
fn what_a_service_manager_passes_must_make_sense() {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    for (variables, part) in [
        ("LISTEN_FDS=x", "LISTEN_FDS: \"x\""),
        ("LISTEN_FDS=999", "LISTEN_FDS: \"999\""),
        ("LISTEN_FDS=1", "descriptor 3 is not"),
    ] {
        let script = format!("exec 3</dev/null; export LISTEN_PID=$$ {variables}; exec \"$@\"");
        let mut command = Command::new("sh");
        let (listen, admin) = (free.to_string(), free.to_string());
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_tickcast"), "serve"]);
        command.args(["--listen", &listen, "--admin", &admin]);
        let (code, log) = Service::spawn(command).ended();
        assert_eq!(code, Some(1));
        assert!(log.iter().any(|line| line.contains(part)), "{log:?}");
    }
    // Variables that are meant for another process say nothing.
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
    drop(Service::spawn(command).listening());
}

#[test]
fn the_example_units_are_well_formed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd");
    let units = std::fs::read_dir(folder).expect("the folder");
    let units: Vec<PathBuf> = units.map(|unit| unit.expect("a file").path()).collect();
    assert!(units.len() >= 3, "{units:?}");
    let verified = Command::new("systemd-analyze").arg("verify").args(&units).output();
    let Ok(verified) = verified else {
        let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!in_ci, "systemd-analyze is missing");
        println!("SKIPPED: no systemd-analyze");
        return;
    };
    let words = String::from_utf8_lossy(&verified.stderr);
    // The program is not installed where they say; everything else must be right.
    let wrong: Vec<&str> = (words.lines())
        .filter(|line| line.contains("tickcast") && !line.contains("is not executable"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
