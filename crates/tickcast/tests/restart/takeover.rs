//! A process that is started later takes over from this one; nobody is refused meanwhile.

use super::*;

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
    // At least one in each generation; usually hundreds.
    assert!(visits.iter().all(|count| *count >= 3), "{visits:?}");
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
    // It reads all the time: who does not is closed for that.
    let held = subscribed(&old);
    let held = thread::spawn(move || until_sent_away(held));
    let visitors = Visitors::start(old.public);
    // Long enough for the simulator, so that Kraken alone is missing.
    let args = meeting.args(&["--config", silent.config(), "--takeover-wait", "5s"]);
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
    subscribed(&old);
    assert!(!held.is_finished(), "nobody was sent away");
    let new = Service::begin(old.public, old.admin, &meeting.args(&[])).listening();
    assert_eq!(held.join().expect("it is sent away in order").code, 1001);
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
    let (code, log) = Service::begin(ANY, ANY, &meeting.args(&[])).ended();
    assert_eq!(code, Some(1));
    let is_reason = |line: &String| line.contains(meeting.path()) && line.contains("not a socket");
    assert!(log.iter().any(is_reason), "{log:?}");
    assert_eq!(std::fs::read_to_string(&meeting.0).expect("the file"), "somebody's");
}

#[test]
fn where_the_addresses_differ_the_new_process_listens_at_its_own() {
    let meeting = Meeting::new();
    let args = meeting.args(&["--drain-window", "1s"]);
    // Nobody else may come to listen where it did.
    let mut old = Service::begin(own_address(), ANY, &args).listening();
    let held = subscribed(&old);
    let new = Service::begin(ANY, old.admin, &args).listening();
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
