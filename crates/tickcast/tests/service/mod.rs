//! The real binary under test: started on free ports, read over real sockets, ended with the test.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use rustls::ClientConfig;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket};

pub(crate) mod place;
pub(crate) mod tls;

/// Nothing that is waited for in a test takes longer, on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at a condition: who looks all the time keeps the machine from what it waits for.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// A running `tickcast serve`.
pub(crate) struct Service {
    child: Child,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// There where the public address is encrypted: whom its clients trust.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    log: Mutex<mpsc::Receiver<String>>,
}

impl Service {
    /// Starts it with these arguments on free ports and waits until it listens.
    pub(crate) fn start(args: &[&str]) -> Service {
        Service::start_with_env(args, &[])
    }

    /// The same with variables in its environment.
    pub(crate) fn start_with_env(args: &[&str], variables: &[(&str, &str)]) -> Service {
        let mut command = Service::command(place::ANY, place::ANY, args);
        command.envs(variables.iter().copied());
        Service::spawn(command).listening()
    }

    /// Starts it under a hard limit of file descriptors.
    pub(crate) fn start_limited(descriptors: u32, args: &[&str]) -> Service {
        let mut shell = Command::new("sh");
        let limited = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
        shell.args(["-c", &limited, env!("CARGO_BIN_EXE_tickcast")]);
        shell.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).args(args);
        Service::spawn(shell).listening()
    }

    /// Starts it with these arguments on these addresses, and does not wait.
    pub(crate) fn begin(public: SocketAddr, admin: SocketAddr, args: &[&str]) -> Starting {
        Service::spawn(Service::command(public, admin, args))
    }

    fn command(public: SocketAddr, admin: SocketAddr, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
        command
            .args(["serve", "--listen", &public.to_string(), "--admin", &admin.to_string()])
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs this command, which becomes the service.
    pub(crate) fn spawn(command: Command) -> Starting {
        Service::spawn_with_stderr(command, Stdio::piped())
    }

    /// The same; what is not a pipe is not read as its log.
    pub(crate) fn spawn_with_stderr(mut command: Command, stderr: Stdio) -> Starting {
        let mut child =
            command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("the binary starts");
        let (sender, log) = mpsc::channel();
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Starting { child: Some(child), log: Some(log) }
    }

    /// Starts it with this certificate.
    pub(crate) fn start_tls(files: &tls::Files, args: &[&str]) -> Service {
        let text = |path: &Path| path.to_str().expect("a path of text").to_owned();
        let (certificate, key) = (text(&files.certificate), text(&files.key));
        let own = ["--tls-cert", &certificate, "--tls-key", &key];
        let mut service = Service::start(&[&own[..], args].concat());
        service.tls = Some(tls::trusting(&files.pair, tls::BOTH));
        service
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().expect("nobody panics with it").try_iter().collect()
    }

    /// Waits until it logs a line with these words, which is given. The log is written by a thread
    /// of its own, a moment after what it tells of.
    pub(crate) fn until_logged(&self, words: &str) -> String {
        let log = self.log.lock().expect("nobody panics with it");
        let mut all = Vec::new();
        loop {
            let line = log.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("{words:?} is not in the log: {all:?}"));
            if line.contains(words) {
                return line;
            }
            all.push(line);
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its public address is for a browser.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.public)
    }

    /// Sends SIGTERM.
    pub(crate) fn ask_to_stop(&self) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Ends it at once (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("the child can be waited for");
    }

    /// Waits for its end and returns the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                return status.code();
            }
            assert!(Instant::now() < until, "it ends");
            std::thread::sleep(LOOK);
        }
    }

    /// GETs a path of the public listener: status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        get_through(self.stream(), self.public, path)
    }

    /// GETs a path of the public listener that must answer 200 with JSON.
    pub(crate) fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// The sum of a metric's samples whose labels contain `labels`.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> f64 {
        let (_, text) = get(self.admin, "/metrics");
        text.lines()
            .filter(|line| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                    && line.contains(labels)
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until every feed has given its list and data.
    pub(crate) fn until_ready(&self) {
        until_ready(self.admin);
    }

    /// A connection to the public address, encrypted where that is.
    pub(crate) fn stream(&self) -> Stream {
        let socket = TcpStream::connect(self.public).expect("it listens");
        socket.set_nodelay(true).expect("a TCP socket");
        match &self.tls {
            None => Stream::Plain(socket),
            Some(config) => Stream::Tls(Box::new(tls::client(socket, config))),
        }
    }

    /// Opens a WebSocket.
    pub(crate) fn websocket(&self) -> Socket {
        let stream = self.stream();
        stream.set_read_timeout(PATIENCE);
        let url = format!("ws://{}/v1/ws", self.public);
        let (socket, _) = tungstenite::client(url, stream).expect("a handshake");
        socket.get_ref().set_read_timeout(Duration::from_millis(50));
        Socket { socket }
    }

    /// Sends SIGHUP.
    pub(crate) fn ask_to_reload(&self) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-HUP", &pid]).status().expect("kill runs");
        assert!(status.success());
    }
}

/// A service that does not listen yet.
pub(crate) struct Starting {
    child: Option<Child>,
    log: Option<mpsc::Receiver<String>>,
}

impl Starting {
    fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("it is taken out once")
    }

    /// Waits until it listens.
    pub(crate) fn listening(mut self) -> Service {
        let mut line = String::new();
        let mut stdout = BufReader::new(self.child().stdout.take().expect("a pipe"));
        stdout.read_line(&mut line).expect("standard output can be read");
        let mut addresses = line.split("://").skip(1).map(|rest| {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            rest[..end].parse().expect("an address")
        });
        let log = self.log.take().expect("it is taken out once");
        let (Some(public), Some(admin)) = (addresses.next(), addresses.next()) else {
            let log: Vec<String> = log.iter().collect();
            panic!("it says where it listens, not {line:?}; {log:?}")
        };
        let child = self.child.take().expect("it is taken out once");
        Service { child, public, admin, tls: None, log: Mutex::new(log) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it is taken out once").id()
    }

    /// Waits until it logs a line with these words.
    pub(crate) fn until_logged(&self, words: &str) {
        let log = self.log.as_ref().expect("it is taken out once");
        let mut all = Vec::new();
        loop {
            let line = log.recv_timeout(PATIENCE);
            all.push(line.unwrap_or_else(|_| panic!("{words:?} is not in the log: {all:?}")));
            if all.last().is_some_and(|line| line.contains(words)) {
                return;
            }
        }
    }

    /// Ends it at once (SIGKILL).
    pub(crate) fn kill(mut self) {
        self.child().kill().expect("it runs");
    }

    /// Waits for its end: exit code and log.
    pub(crate) fn ended(mut self) -> (Option<i32>, Vec<String>) {
        let status = self.child().wait().expect("the child can be waited for");
        let log = self.log.take().expect("it is taken out once");
        (status.code(), log.iter().collect())
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log.get_mut().map(|log| log.try_iter().collect::<Vec<_>>());
            println!("{} had logged: {:#?}", self.public, log.unwrap_or_default());
        }
    }
}

/// Waits until the process whose admin page is there is strictly ready.
pub(crate) fn until_ready(admin: SocketAddr) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, said) = get(admin, "/readyz?strict");
        if status == 200 {
            return;
        }
        assert!(Instant::now() < deadline, "it does not become ready: {said}");
        std::thread::sleep(LOOK);
    }
}

/// GETs a path over a connection of its own: status and body.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let stream = TcpStream::connect(address).expect("it listens");
    get_through(Stream::Plain(stream), address, path)
}

fn get_through(mut stream: Stream, address: SocketAddr, path: &str) -> (u16, String) {
    stream.set_read_timeout(PATIENCE);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    assert!(!chunked, "{path}: answers have a length");
    (status, body.to_owned())
}

/// A connection, encrypted or not.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<tls::Tls>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    pub(crate) fn set_read_timeout(&self, time: Duration) {
        self.socket().set_read_timeout(Some(time)).expect("a time");
    }

    pub(crate) fn set_write_timeout(&self, time: Duration) {
        self.socket().set_write_timeout(Some(time)).expect("a time");
    }

    pub(crate) fn set_nonblocking(&self) {
        self.socket().set_nonblocking(true).expect("a socket");
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(into),
            Stream::Tls(tls) => tls.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(tls) => tls.flush(),
        }
    }
}

/// A WebSocket client that we did not write.
pub(crate) struct Socket {
    socket: WebSocket<Stream>,
}

impl Socket {
    pub(crate) fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("it reads");
    }

    /// Makes the kernel hold little for us.
    pub(crate) fn narrow(&self) {
        let socket = self.socket.get_ref().socket();
        socket2::SockRef::from(socket).set_recv_buffer_size(8 << 10).expect("a size");
    }

    /// The next text message; `None` when nothing has come for a moment.
    pub(crate) fn next(&mut self) -> Option<String> {
        match self.socket.read() {
            Ok(Message::Text(text)) => Some(text.as_str().to_owned()),
            Ok(Message::Close(frame)) => panic!("closed: {frame:?}"),
            Ok(_) => None,
            Err(tungstenite::Error::Io(error))
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                None
            }
            Err(error) => panic!("the connection failed: {error}"),
        }
    }

    /// Reads until a message fits; the others go to `each`.
    pub(crate) fn until(&mut self, what: &str, mut each: impl FnMut(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(text) = self.next()
                && each(&text)
            {
                return;
            }
        }
        panic!("{what} did not come");
    }

    /// Reads until the peer has closed; the close code.
    pub(crate) fn until_closed(&mut self, mut each: impl FnMut(&str)) -> u16 {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.socket.read() {
                Ok(Message::Text(text)) => each(text.as_str()),
                Ok(Message::Close(Some(frame))) => return frame.code.into(),
                Ok(Message::Close(None)) => return 1005,
                Ok(_) => {}
                Err(tungstenite::Error::Io(error))
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) => {}
                Err(error) => panic!("not closed in order: {error}"),
            }
        }
        panic!("it does not close");
    }
}

/// The folder with recorded feeds, if this machine has it. Without it a test says so and skips;
/// with `CI=true` it fails.
pub(crate) fn feeds() -> Option<PathBuf> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/feeds"));
    let folder = std::env::var_os("TICKCAST_FEEDS").map_or(beside, PathBuf::from);
    if folder.join("recordings/EXPECTED.json").is_file() {
        return Some(folder);
    }
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!in_ci, "recorded feeds are missing: {}", folder.display());
    println!("SKIPPED: no recorded feeds at {}", folder.display());
    None
}
