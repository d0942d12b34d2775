//! The admin listener over real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tickcast_gateway::{Admin, CanaryReport, Clients, FeedReport, Metrics, NoClients, Readiness};

#[derive(Default)]
struct Feeds {
    has_data: AtomicBool,
    is_live: AtomicBool,
    is_draining: AtomicBool,
    why: Mutex<Option<String>>,
    canary: Mutex<Option<CanaryReport>>,
}

impl Readiness for Feeds {
    fn feeds(&self) -> Vec<FeedReport> {
        let (has_data, is_live) =
            (self.has_data.load(Ordering::SeqCst), self.is_live.load(Ordering::SeqCst));
        let why = self.why.lock().unwrap().clone();
        vec![FeedReport { feed: "sim".into(), has_data, is_live, why }]
    }

    fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }

    fn canaries(&self) -> Vec<CanaryReport> {
        self.canary.lock().unwrap().iter().cloned().collect()
    }
}

fn get(address: SocketAddr, method: &str, target: &str) -> (u16, String, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.into(), body.into())
}

#[test]
fn operators_see_metrics_life_readiness_and_clients() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let registry = prometheus::Registry::new();
    let metrics = Metrics::new(&registry).unwrap();
    metrics.refuse(tickcast_gateway::Reason::Origin);
    let feeds: Arc<Feeds> = Arc::default();
    let clients: Arc<dyn Clients> = Arc::new(NoClients);
    let admin = Admin::new(registry, feeds.clone(), clients);
    runtime.spawn(async move { admin.serve(listener).await });

    let (status, head, body) = get(address, "GET", "/metrics");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("tickcast_gateway_refused_total{reason=\"origin\"} 1"), "{body}");
    assert!(body.contains("tickcast_gateway_handshake_seconds_bucket{le=\"0.00005\"} 0"), "{body}");

    assert_eq!(get(address, "GET", "/livez").0, 200);
    assert_eq!(get(address, "GET", "/clients").2, "{\"clients\":[],\"refused\":{\"origin\":1}}");
    assert_eq!(get(address, "GET", "/").0, 404);
    assert_eq!(get(address, "POST", "/metrics").0, 405);

    for (has_data, is_live, is_draining, ready, strictly) in [
        (false, false, false, 503, 503),
        (true, false, false, 200, 503),
        (true, true, false, 200, 200),
        (true, true, true, 503, 503),
    ] {
        feeds.has_data.store(has_data, Ordering::SeqCst);
        feeds.is_live.store(is_live, Ordering::SeqCst);
        feeds.is_draining.store(is_draining, Ordering::SeqCst);
        assert_eq!(get(address, "GET", "/readyz").0, ready);
        let (status, _, body) = get(address, "GET", "/readyz?strict");
        assert_eq!(status, strictly, "{body}");
        assert!(body.contains("\"feed\":\"sim\""), "{body}");
    }

    feeds.is_draining.store(false, Ordering::SeqCst);
    *feeds.why.lock().unwrap() = Some("the venue is away".into());
    for (has_data, is_live, loosely, strictly) in [
        (false, false, "[\"sim: the venue is away\"]", "[\"sim: the venue is away\"]"),
        (true, false, "[]", "[\"sim: the venue is away\"]"),
    ] {
        feeds.has_data.store(has_data, Ordering::SeqCst);
        feeds.is_live.store(is_live, Ordering::SeqCst);
        for (target, why) in [("/readyz", loosely), ("/readyz?strict", strictly)] {
            let (_, _, body) = get(address, "GET", target);
            assert!(body.contains(&format!("\"why\":{why}")), "{body}");
            assert!(body.contains("\"is_live\":false,\"why\":\"the venue is away\""), "{body}");
        }
    }
    *feeds.why.lock().unwrap() = None;
    feeds.is_live.store(true, Ordering::SeqCst);

    for (up, violated_lately, strictly, why) in [
        (true, false, 200, "\"why\":[]"),
        (false, false, 503, "\"why\":[\"sim: the canary does not get what is published\"]"),
        (true, true, 503, "\"why\":[\"sim: the canary saw a broken promise lately\"]"),
    ] {
        let (venue, p99_us) = ("sim".to_owned(), Some(250));
        let report =
            CanaryReport { venue, up, p99_us, violations: 1, compared: 7, violated_lately };
        *feeds.canary.lock().unwrap() = Some(report);
        assert_eq!(get(address, "GET", "/readyz").0, 200, "it does not depend on the canary");
        let (status, _, body) = get(address, "GET", "/readyz?strict");
        assert_eq!(status, strictly, "{body}");
        assert!(body.contains(why) && body.contains("\"p99_us\":250"), "{body}");
    }
}
