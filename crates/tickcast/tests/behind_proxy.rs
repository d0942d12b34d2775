//! The service behind real proxies, with the configurations in `deploy`: whom it takes clients to
//! be, and that everything works through them.
//!
//! The proxies reach the service from 127.0.0.1, which is trusted; further addresses of this
//! machine stand for clients. Addresses and certificates in the configurations are replaced, nothing
//! else is.

mod service;

use serde_json::Value;
use service::place::own_address;
use service::tls::{BOTH, Files, Tls, client, trusting};
use service::{PATIENCE, Service, get};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

const SUBSCRIBE: &str = r#"{"method":"subscribe","params":{"channel":"ticker","symbol":"sim:*"}}"#;
/// Somebody else may take the port that was free a moment ago.
const STARTS_MAX: usize = 5;
/// What a client may write itself; nobody must ever believe it.
const FORGED: &str = "6.6.6.6";

/// The proxy's program, if this machine has it. Without it a test says so and skips; with `CI=true`
/// it fails.
fn tool(variable: &str, name: &str) -> Option<PathBuf> {
    let on_the_path = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
        folders.map(|folder| folder.join(name)).find(|file| file.is_file())
    };
    let found = std::env::var_os(variable).map(PathBuf::from).or_else(on_the_path);
    if found.is_none() {
        let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!in_ci, "{name} is missing: {variable} does not say where it is");
        println!("SKIPPED: no {name} on this machine");
    }
    found
}

fn nginx() -> Option<PathBuf> {
    tool("TICKCAST_NGINX", "nginx")
}

fn haproxy() -> Option<PathBuf> {
    tool("TICKCAST_HAPROXY", "haproxy")
}

/// The service, which trusts whoever comes from 127.0.0.1.
fn start(files: Option<&Files>, more: &[&str]) -> Service {
    let common = [
        "--trust-proxy",
        "127.0.0.1",
        "--allow-anonymous",
        "--sim-instruments",
        "5",
        "--sim-rate",
        "500",
    ];
    let args = [&common[..], more].concat();
    let service = match files {
        None => Service::start(&args),
        Some(files) => Service::start_tls(files, &args),
    };
    // haproxy asks whether it is.
    service.until_ready();
    service
}

/// A running proxy.
struct Proxy {
    child: Child,
    folder: PathBuf,
    /// Where it takes what it encrypts itself.
    https: SocketAddr,
    /// Where it passes bytes through.
    tcp: SocketAddr,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // nginx ends its worker when it is asked to end, not when it is killed.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Proxy {
    /// Writes a configuration of `deploy` with these replacements, has the proxy check it, and
    /// starts it.
    fn run(
        name: &str,
        write: impl Fn(&Path, &str, &str),
        check: &[&str],
        passes_bytes: bool,
        mut command: impl FnMut(&Path) -> Command,
    ) -> Proxy {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed); // Only a number.
        let folder = format!("{name}-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        std::fs::create_dir_all(&folder).expect("a writable target folder");
        for _ in 0..STARTS_MAX {
            let (https, tcp) = (own_address(), own_address());
            write(&folder, &https.to_string(), &tcp.to_string());
            let checked = command(&folder).args(check).output().expect("the proxy starts");
            let said = String::from_utf8_lossy(&checked.stderr);
            assert!(checked.status.success(), "{name}: {said}");
            let mut child = command(&folder).spawn().expect("the proxy starts");
            let deadline = Instant::now() + PATIENCE;
            while child.try_wait().expect("the child can be asked").is_none() {
                let ports = if passes_bytes { &[https, tcp][..] } else { &[https] };
                if ports.iter().all(|port| TcpStream::connect(port).is_ok()) {
                    return Proxy { child, folder, https, tcp };
                }
                assert!(Instant::now() < deadline, "{name} listens");
                std::thread::yield_now();
            }
            let mut said = String::new();
            let _ = child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut said));
            println!("{name} has ended: {said}");
        }
        panic!("{name} does not start");
    }

    fn nginx(program: &Path, files: &Files, service: &Service) -> Proxy {
        let write = |folder: &Path, https: &str, _: &str| {
            let text = deployed("nginx/tickcast.conf");
            let text = replace(&text, "listen 443 ssl", &format!("listen {https} ssl"));
            let text = replace(&text, "127.0.0.1:8080", &service.public.to_string());
            let text = replace(&text, "/etc/nginx/tls/tickcast.crt", &path(&files.certificate));
            let text = replace(&text, "/etc/nginx/tls/tickcast.key", &path(&files.key));
            service::tls::write(&folder.join("tickcast.conf"), &text);
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|kind| format!("{kind}_temp_path {}/{kind};", folder.display()))
                .join("\n");
            let main = format!(
                "daemon off; worker_processes 1; pid {0}/pid; error_log stderr;\n\
                 events {{ worker_connections 512; }}\n\
                 http {{ access_log off;\n{temporary}\ninclude {0}/tickcast.conf; }}\n",
                folder.display()
            );
            service::tls::write(&folder.join("nginx.conf"), &main);
        };
        let command = |folder: &Path| {
            let mut command = Command::new(program);
            command.args(["-e", "stderr", "-p", &path(folder), "-c", "nginx.conf"]);
            quiet(command)
        };
        Proxy::run("nginx", write, &["-t"], false, command)
    }

    /// `send` is how it says whom it brings where it passes bytes through.
    fn haproxy(program: &Path, files: &Files, service: &Service, send: &str) -> Proxy {
        let write = |folder: &Path, https: &str, tcp: &str| {
            let text = deployed("haproxy/haproxy.cfg");
            let text = replace(&text, "bind :443", &format!("bind {https}"));
            let text = replace(&text, "bind :8443", &format!("bind {tcp}"));
            let text = replace(&text, "127.0.0.1:8080", &service.public.to_string());
            let port = format!("check port {}", service.admin.port());
            let text = replace(&text, "check port 8081", &port);
            let text = replace(&text, "send-proxy-v2", send);
            let pem = folder.join("tickcast.pem");
            service::tls::write(&pem, &(files.pair.certificate.clone() + &files.pair.key));
            let text = replace(&text, "/etc/haproxy/tls/tickcast.pem", &path(&pem));
            service::tls::write(&folder.join("haproxy.cfg"), &text);
            // Or it would share its ports with the haproxy of another test.
            service::tls::write(&folder.join("alone.cfg"), "global\n    noreuseport\n");
        };
        let command = |folder: &Path| {
            let mut command = Command::new(program);
            command.args(["-f", &path(&folder.join("alone.cfg"))]);
            command.args(["-f", &path(&folder.join("haproxy.cfg"))]);
            quiet(command)
        };
        Proxy::run("haproxy", write, &["-c"], true, command)
    }
}

fn quiet(mut command: Command) -> Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn path(path: &Path) -> String {
    path.to_str().expect("a path of text").to_owned()
}

fn deployed(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Replaces what has to be there.
fn replace(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} stands in the configuration");
    text.replace(from, to)
}

/// A connection from this address of the machine.
fn connect(to: SocketAddr, from: &str) -> TcpStream {
    let kind = socket2::Type::STREAM;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, kind, None).expect("a socket");
    let ip: Ipv4Addr = from.parse().expect("an address");
    socket.bind(&SocketAddr::from((ip, 0)).into()).expect("an address of this machine");
    socket.connect(&to.into()).expect("it listens");
    let socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE)).expect("a time");
    socket
}

/// The same, encrypted.
fn secured(to: SocketAddr, from: &str, files: &Files) -> Tls {
    client(connect(to, from), &trusting(&files.pair, BOTH))
}

/// Opens a WebSocket that forges whom it is from; the refusal's status and head where it is not let
/// in.
fn websocket<S: Read + Write>(
    stream: S,
    host: &str,
    origin: Option<&str>,
) -> Result<WebSocket<S>, (u16, Option<String>)> {
    let mut request = format!("ws://{host}/v1/ws").into_client_request().expect("a request");
    let headers = request.headers_mut();
    headers.insert("X-Forwarded-For", HeaderValue::from_static(FORGED));
    if let Some(origin) = origin {
        headers.insert("Origin", origin.parse().expect("a header"));
    }
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
            let later = answer.headers().get("Retry-After");
            let later = later.map(|value| value.to_str().expect("text").to_owned());
            Err((answer.status().as_u16(), later))
        }
        Err(error) => panic!("neither let in nor refused: {error}"),
    }
}

/// Subscribes and reads until so many updates have come.
fn follow<S: Read + Write>(socket: &mut WebSocket<S>, updates: usize) {
    socket.send(Message::text(SUBSCRIBE)).expect("it reads");
    let mut seen = 0;
    while seen < updates {
        let message = socket.read().expect("messages come");
        seen += usize::from(message.is_text_and_contains("\"type\":\"update\""));
    }
}

trait Contains {
    fn is_text_and_contains(&self, part: &str) -> bool;
}

impl Contains for Message {
    fn is_text_and_contains(&self, part: &str) -> bool {
        matches!(self, Message::Text(text) if text.contains(part))
    }
}

/// Asks for a path and reads the answer: status and body.
fn ask(mut stream: impl Read + Write, host: &str, path: &str) -> (u16, String) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {FORGED}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    // A proxy may end without a word of TLS.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status"), body.to_owned())
}

/// Addresses and transports of those who are connected.
fn clients(service: &Service) -> Vec<(String, String)> {
    let (_, body) = get(service.admin, "/clients");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut clients: Vec<_> = body["clients"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|client| client.get("closed_code").is_none() && client.get("canary").is_none())
        .map(|client| (text(&client["address"]), text(&client["transport"])))
        .collect();
    clients.sort();
    clients
}

/// The address without the port that a PROXY header tells.
fn ip_of(address: &str) -> String {
    address.parse::<SocketAddr>().map_or(address.to_owned(), |address| address.ip().to_string())
}

/// What every HTTP proxy has to pass on: the page, REST, events, WebSockets, origins, refusals.
fn passes_everything(proxy: &Proxy, service: &Service, files: &Files) {
    let host = format!("localhost:{}", proxy.https.port());
    let secured = |from: &str| secured(proxy.https, from, files);

    let (status, page) = ask(secured("127.0.0.2"), &host, "/");
    assert!(status == 200 && page.contains("<html"), "{status}");
    for _ in 0..3 {
        let (status, list) = ask(secured("127.0.0.2"), &host, "/v1/instruments");
        assert!(status == 200 && list.contains("sim:S0-USD"), "{status} {list}");
    }

    let origin = format!("https://{host}");
    let mut page = websocket(secured("127.0.0.2"), &host, Some(&origin)).expect("its own page");
    follow(&mut page, 50);
    let mut program = websocket(secured("127.0.0.3"), &host, None).expect("a program");
    follow(&mut program, 5);
    let evil = websocket(secured("127.0.0.2"), &host, Some("https://evil.example"));
    assert_eq!(evil.err().map(|(status, _)| status), Some(403));

    let mut events = secured("127.0.0.4");
    let query = "channel=ticker&symbol=sim:S0-USD";
    let request = format!(
        "GET /v1/sse?{query} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {FORGED}\r\n\r\n"
    );
    events.write_all(request.as_bytes()).expect("it reads");
    let mut events = BufReader::new(events);
    let mut ids = 0;
    while ids < 5 {
        let mut line = String::new();
        events.read_line(&mut line).expect("events come");
        ids += usize::from(line.starts_with("id: "));
    }

    let expected = [("127.0.0.2", "websocket"), ("127.0.0.3", "websocket"), ("127.0.0.4", "sse")];
    assert_eq!(clients(service), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

/// With room for two connections of one address: who is limited is the client, not the proxy.
fn limits_clients<S: Read + Write + std::fmt::Debug>(
    connect: impl Fn(&str) -> S,
    host: &str,
    service: &Service,
) {
    let enter = |from: &str| websocket(connect(from), host, None);
    let mut held = vec![enter("127.0.0.5").expect("one"), enter("127.0.0.5").expect("two")];
    for _ in 0..2 {
        let (status, later) = enter("127.0.0.5").expect_err("no third");
        assert!(status == 429 && later.is_some(), "{status} {later:?}");
    }
    held.extend((6..9).map(|last| enter(&format!("127.0.0.{last}")).expect("others")));
    let refused = || service.metric("tickcast_gateway_refused_total", "address_connections");
    assert_eq!(refused(), 2.0);
    drop(held.remove(0));
    let deadline = Instant::now() + PATIENCE;
    while enter("127.0.0.5").map(|socket| held.push(socket)).is_err() {
        assert!(Instant::now() < deadline, "the place is given back");
    }
}

const LIMITED: [&str; 3] = ["--address-loopback", "--address-connections-max", "2"];

#[test]
fn everything_works_behind_nginx_and_clients_keep_their_addresses() {
    let Some(nginx) = nginx() else { return };
    let files = Files::new();
    let service = start(None, &[]);
    let proxy = Proxy::nginx(&nginx, &files, &service);
    passes_everything(&proxy, &service, &files);
}

#[test]
fn clients_behind_nginx_are_limited_each_for_himself() {
    let Some(nginx) = nginx() else { return };
    let files = Files::new();
    let service = start(None, &LIMITED);
    let proxy = Proxy::nginx(&nginx, &files, &service);
    limits_clients(|from| secured(proxy.https, from, &files), "localhost", &service);
}

#[test]
fn everything_works_behind_haproxy_and_clients_keep_their_addresses() {
    let Some(haproxy) = haproxy() else { return };
    let files = Files::new();
    let service = start(None, &[]);
    let proxy = Proxy::haproxy(&haproxy, &files, &service, "send-proxy-v2");
    passes_everything(&proxy, &service, &files);
}

#[test]
fn clients_behind_haproxy_are_limited_each_for_himself() {
    let Some(haproxy) = haproxy() else { return };
    let files = Files::new();
    for send in ["send-proxy", "send-proxy-v2"] {
        let service = start(None, &LIMITED);
        let proxy = Proxy::haproxy(&haproxy, &files, &service, send);
        limits_clients(|from| secured(proxy.https, from, &files), "localhost", &service);
        let service = start(None, &LIMITED);
        let proxy = Proxy::haproxy(&haproxy, &files, &service, send);
        limits_clients(|from| connect(proxy.tcp, from), "localhost", &service);
    }
}

#[test]
fn haproxy_says_whom_the_bytes_are_from_that_it_passes_through() {
    let Some(haproxy) = haproxy() else { return };
    let files = Files::new();
    let headers = [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2-ssl",
        "send-proxy-v2 proxy-v2-options crc32c,unique-id",
    ];
    for send in headers {
        for is_encrypted in [false, true] {
            let service = start(is_encrypted.then_some(&files), &[]);
            let proxy = Proxy::haproxy(&haproxy, &files, &service, send);
            let host = "localhost";
            let (status, port) = if is_encrypted {
                let mut socket =
                    websocket(secured(proxy.tcp, "127.0.0.2", &files), host, None).expect("in");
                follow(&mut socket, 20);
                let port = socket.get_ref().sock.local_addr().expect("an address").port();
                check_address(&service, port, send);
                (ask(secured(proxy.tcp, "127.0.0.3", &files), host, "/v1/instruments").0, port)
            } else {
                let mut socket =
                    websocket(connect(proxy.tcp, "127.0.0.2"), host, None).expect("in");
                follow(&mut socket, 20);
                let port = socket.get_ref().local_addr().expect("an address").port();
                check_address(&service, port, send);
                (ask(connect(proxy.tcp, "127.0.0.3"), host, "/v1/instruments").0, port)
            };
            assert_eq!(status, 200, "{send} {is_encrypted} {port}");
            let malformed = service.metric("tickcast_gateway_refused_total", "proxy_header");
            assert_eq!(malformed, 0.0, "{send}");
        }
    }
}

/// Address and port are the client's own.
fn check_address(service: &Service, port: u16, send: &str) {
    let expected = vec![(format!("127.0.0.2:{port}"), "websocket".to_owned())];
    assert_eq!(clients(service), expected, "{send}");
}

#[test]
fn without_trust_a_proxy_is_a_client_like_any_other() {
    let (Some(nginx), Some(haproxy)) = (nginx(), haproxy()) else { return };
    let files = Files::new();
    let service = Service::start(&[
        "--sim-instruments",
        "5",
        "--trust-proxy",
        "10.0.0.0/8",
        "--allow-anonymous",
    ]);
    let proxy = Proxy::nginx(&nginx, &files, &service);
    let _socket =
        websocket(secured(proxy.https, "127.0.0.2", &files), "localhost", None).expect("in");
    let addresses: Vec<_> = clients(&service).iter().map(|(address, _)| ip_of(address)).collect();
    assert_eq!(addresses, ["127.0.0.1"]);
    let proxy = Proxy::haproxy(&haproxy, &files, &service, "send-proxy");
    let (status, _) = ask(connect(proxy.tcp, "127.0.0.2"), "localhost", "/");
    assert_eq!(status, 400, "the header is no request");
}
