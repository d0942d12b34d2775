//! Every scenario, small, against the service's real binary: it keeps its promises and the load
//! tester finds no fault with it.

mod kit;

use kit::{Service, loadtest};

/// A busy little market.
fn busy() -> Service {
    Service::start(&["--sim-instruments", "30", "--sim-rate", "300"])
}

#[test]
fn steady_clients_on_every_channel_hold_what_the_service_holds() {
    let service = busy();
    let (url, pid) = (service.url(), service.pid());
    let ran = loadtest(&[
        "steady",
        &url,
        "--connections=20",
        "--seconds=2",
        "--warmup=0",
        "--channels=ticker,trades,book,bars",
        "--symbols-per-connection=5",
        "--sample=4",
        "--threshold=not_compared=0",
        "--threshold=compared_min=80",
        "--pid",
        &pid,
    ]);
    ran.is_faultless();
    assert_eq!(ran.figure("/correctness/compared"), 80.0, "four clients, channels and symbols 5");
    assert_eq!(ran.figure("/connections"), 20.0);
    assert_eq!(ran.figure("/subscriptions"), 400.0);
    assert_eq!(ran.report["series"].as_array().map(Vec::len), Some(2));
    for path in [
        "/deliveries",
        "/bytes",
        "/frames_per_read",
        "/age_us/p50",
        "/age_us/p9999",
        "/connect/per_second",
        "/connect/us/p99",
        "/first_snapshot_us/p50",
        "/all_snapshots_ms",
        "/clients/age_p99_us/max",
        "/server/cpu_us_per_delivery",
        "/server/cpu_cores",
        "/server/rss_connected_bytes",
        "/server/cpu_us_per_connect",
        "/own/cpu_us_per_delivery",
        "/own/cpu_us_per_read",
    ] {
        assert!(ran.figure(path) > 0.0, "{path}: {}", ran.report);
    }
}

#[test]
fn a_herd_that_returns_with_what_it_holds_needs_no_snapshots() {
    let service = busy();
    let ran = loadtest(&[
        "herd",
        &service.url(),
        "--connections=20",
        // All are back from one cut long before the next, and before the end.
        "--seconds=12",
        "--warmup=0",
        "--symbols-per-connection=4",
        "--sample=0",
    ]);
    ran.is_faultless();
    assert_eq!(ran.figure("/correctness/reconnects"), 40.0);
    let herd = ran.report["herd"].as_array().expect("a list");
    let snapshots: Vec<_> = herd.iter().map(|cut| cut["snapshots"].as_u64()).collect();
    assert_eq!(snapshots, [Some(0), Some(80)], "with since none, with nothing one each");
    assert!(herd.iter().all(|cut| cut["current_ms"].is_number()), "{herd:?}");
}

#[test]
fn subscriptions_and_connections_that_come_and_go_break_no_promise() {
    let service = busy();
    let ran = loadtest(&[
        "churn",
        &service.url(),
        "--connections=20",
        "--seconds=3",
        "--warmup=0",
        "--channels=ticker,book",
        "--symbols-per-connection=4",
    ]);
    ran.is_right();
    assert!(ran.figure("/correctness/reconnects") > 0.0);
    assert!(ran.figure("/correctness/compared") > 0.0);
}

#[test]
fn the_bell_multiplies_what_is_delivered() {
    let service = busy();
    let ran = loadtest(&[
        "open-bell",
        &service.url(),
        "--connections=10",
        "--seconds=5",
        "--warmup=0",
        "--symbols-per-connection=20",
    ]);
    ran.is_faultless();
    let series = ran.report["series"].as_array().expect("a list");
    let deliveries: Vec<u64> =
        series.iter().map(|row| row["deliveries"].as_u64().expect("a number")).collect();
    // The bell rings for three seconds, one of which may be lost to others on a busy machine.
    let most = deliveries[1..].iter().max().copied().unwrap_or(0);
    assert!(most > 3 * deliveries[0], "{deliveries:?}");
}

#[test]
fn rates_patterns_and_slow_readers_are_served_by_the_rule() {
    let service = busy();
    let url = service.url();
    let small = ["--connections=12", "--seconds=2", "--warmup=0"];
    for args in [
        vec!["mixed-tiers", &url, "--symbols-per-connection=5"],
        vec!["steady", &url, "--pattern=sim:*", "--channels=ticker,bars", "--sample=2"],
        vec!["slow", &url, "--symbols-per-connection=5"],
        vec!["steady", &url, "--choice=all", "--age=event", "--depth=25", "--channels=book"],
    ] {
        let ran = loadtest(&[&args[..], &small].concat());
        ran.is_faultless();
        assert!(ran.figure("/deliveries") > 0.0, "{args:?}");
    }
}

#[test]
fn several_processes_make_one_report() {
    let service = busy();
    let ran = loadtest(&[
        "steady",
        &service.url(),
        "--connections=20",
        "--seconds=2",
        "--warmup=0",
        "--symbols-per-connection=5",
        "--processes=3",
        "--sample=6",
    ]);
    ran.is_faultless();
    assert_eq!(ran.figure("/processes"), 3.0);
    assert_eq!(ran.figure("/connected"), 20.0);
    assert_eq!(ran.figure("/correctness/compared"), 30.0);
    assert_eq!(ran.report["series"][0]["connected"], 20);
}

#[test]
fn idle_connections_tell_what_one_costs() {
    let service = busy();
    let metrics = format!("http://{}/metrics", service.admin);
    let ran = loadtest(&[
        "idle",
        &service.url(),
        "--connections=100",
        "--seconds=1",
        "--warmup=0",
        "--ramp=1000",
        "--metrics",
        &metrics,
    ]);
    ran.is_faultless();
    assert_eq!(ran.figure("/connected"), 100.0);
    assert_eq!(ran.figure("/subscriptions"), 0.0);
    assert!(ran.figure("/server/rss_before_bytes") > 0.0);
}

#[test]
fn a_line_behind_tls_is_believed_by_its_file_or_not_at_all() {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let pair = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (cert, key) = (folder.join("loadtest-cert.pem"), folder.join("loadtest-key.pem"));
    std::fs::write(&cert, pair.cert.pem()).expect("it can be written");
    std::fs::write(&key, pair.signing_key.serialize_pem()).expect("it can be written");
    let (cert, key) = (cert.to_str().expect("text"), key.to_str().expect("text"));
    let service = Service::start(&["--sim-instruments=5", "--tls-cert", cert, "--tls-key", key]);
    let url = format!("wss://{}", service.public);
    let small = ["--connections=10", "--seconds=1", "--warmup=0", "--sample=2"];
    for trust in [&["--ca", cert][..], &["--insecure"]] {
        let ran = loadtest(&[&["steady", &url][..], &small, trust].concat());
        ran.is_faultless();
        assert!(ran.figure("/correctness/compared") > 0.0 && ran.figure("/deliveries") > 0.0);
    }
    let ran = loadtest(&[&["steady", &url][..], &small].concat());
    assert_eq!(ran.code, Some(1), "{}", ran.errors);
    assert!(ran.errors.contains("certificate"), "{}", ran.errors);
}

#[test]
fn the_page_stands_alone_and_shows_the_earlier_run_beside() {
    let service = Service::start(&["--sim-instruments=5"]);
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (json, page) = (folder.join("loadtest-earlier.json"), folder.join("loadtest-page.html"));
    let (json, page) = (json.to_str().expect("text"), page.to_str().expect("text"));
    let url = service.url();
    let run = ["steady", &url, "--connections=5", "--seconds=2", "--warmup=0", "--sample=0"];
    let first = loadtest(&run);
    first.is_faultless();
    std::fs::write(json, first.report.to_string()).expect("it can be written");
    loadtest(&[&run[..], &["--compare", json, "--html", page]].concat()).is_faultless();
    let text = std::fs::read_to_string(page).expect("it was written");
    for part in ["Age of deliveries over time", "line a old", "<th>ratio", "states compared"] {
        assert!(text.contains(part), "{part}");
    }
    for part in ["http://", "https://", "src=", "href=", "@import", "url("] {
        assert!(!text.contains(part), "{part}: it asks for nothing else");
    }
    let ran = loadtest(&[&run[..], &["--compare", page]].concat());
    assert_eq!(ran.code, Some(2), "{}", ran.errors);
}
