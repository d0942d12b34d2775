//! Bad input gets an error that names what and where, and the service goes on.

mod service;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use service::{Service, Socket};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Asks and reads until an answer to a request comes.
fn answer(socket: &mut Socket, request: &str) -> Value {
    socket.send(request);
    let mut found = Value::Null;
    socket.until("an answer", |text| {
        let message: Value = serde_json::from_str(text).expect("a message is JSON");
        let is_answer = message.get("success").is_some() || message["method"] == "pong";
        if is_answer {
            found = message;
        }
        is_answer
    });
    found
}

/// The service still answers on this connection.
fn goes_on(socket: &mut Socket) {
    let pong = answer(socket, r#"{"method":"ping","req_id":"still"}"#);
    assert_eq!((&pong["method"], &pong["req_id"]), (&json!("pong"), &json!("still")));
}

#[test]
fn a_bad_request_is_answered_with_field_and_value_and_the_connection_goes_on() {
    let service = Service::start(&["--sim-instruments", "3", "--sim-rate", "0"]);
    let mut socket = service.websocket();
    for (request, code, part) in [
        ("{\"method\":", 4400, "column"),
        ("[1,2]", 4400, "object"),
        (r#"{"req_id":1}"#, 4400, "method"),
        (r#"{"method":"subscirbe","req_id":1}"#, 4400, "\"subscirbe\""),
        (r#"{"method":"subscribe","params":{"symbol":"sim:*"}}"#, 4400, "params.channel"),
        (
            r#"{"method":"subscribe","params":{"channel":"tikcer","symbol":"sim:*"}}"#,
            4400,
            "params.channel: \"tikcer\" is not one of ticker, trades, book, bars",
        ),
        (r#"{"method":"subscribe","params":{"channel":"ticker"}}"#, 4400, "params.symbol"),
        (
            r#"{"method":"subscribe","params":{"channel":"ticker","symbol":7}}"#,
            4400,
            "params.symbol",
        ),
        (
            r#"{"method":"subscribe","params":{"channel":"book","symbol":"sim:*","depth":11}}"#,
            4400,
            "params.depth: 11",
        ),
        (
            r#"{"method":"subscribe","params":{"channel":"ticker","symbol":"sim:*","max_rate":"x"}}"#,
            4400,
            "params.max_rate",
        ),
        (
            r#"{"method":"subscribe","params":{"channel":"ticker","symbol":"sim:*","fields":["bdi"]}}"#,
            4400,
            "bdi",
        ),
        (
            r#"{"method":"subscribe","params":{"channel":"ticker","symbol":"sim:*","max_rte":1}}"#,
            4400,
            "max_rte",
        ),
    ] {
        let answer = answer(&mut socket, request);
        assert_eq!(answer["success"], false, "{request}: {answer}");
        assert_eq!(answer["code"], code, "{request}: {answer}");
        let error = answer["error"].as_str().expect("an error in words");
        assert!(error.contains(part), "{request}: {error}");
        goes_on(&mut socket);
    }
}

#[test]
fn a_thousand_unknown_symbols_fail_one_by_one_and_the_known_one_is_subscribed() {
    let service = Service::start(&["--sim-instruments", "3", "--sim-rate", "0"]);
    service.until_ready();
    let mut socket = service.websocket();
    let mut symbols: Vec<String> = (0..999).map(|n| format!("sim:NOPE{n}-USD")).collect();
    symbols.push("sim:S1-USD".into());
    let request =
        json!({"method": "subscribe", "params": {"channel": "ticker", "symbol": symbols}});
    let answer = answer(&mut socket, &request.to_string());
    assert_eq!(answer["result"]["symbol"], json!(["sim:S1-USD"]), "{answer}");
    let failed = answer["result"]["failed"].as_array().expect("a list");
    assert_eq!(failed.len(), 999);
    assert_eq!((&failed[0]["symbol"], &failed[0]["code"]), (&json!("sim:NOPE0-USD"), &json!(4404)));
    socket.until("the known one's snapshot", |text| {
        text.contains("\"ticker\",\"type\":\"snapshot\"")
    });
    goes_on(&mut socket);
}

/// A recording of our own, gzip'd, in the target folder.
fn recording(name: &str, lines: &[&str], cut_bytes: usize) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut text = lines.join("\n");
    text.truncate(text.len() - cut_bytes);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).expect("memory");
    std::fs::write(&path, gzip.finish().expect("memory")).expect("a writable target folder");
    path
}

const HEAD: &str = "#tickcast-recording v1 venue=binance clock=unix";
const OPEN: &str =
    "1000000000\t0\topen\twss://example.net/stream?streams=btcusdt@bookTicker/btcusdt@trade";

fn trade(at: u64, id: u64) -> String {
    format!(
        "{at}\t0\trecv\t{{\"stream\":\"btcusdt@trade\",\"data\":{{\"e\":\"trade\",\"E\":1000,\
         \"s\":\"BTCUSDT\",\"t\":{id},\"p\":\"100.50\",\"q\":\"0.25\",\"T\":1000,\"m\":true,\
         \"M\":true}}}}"
    )
}

fn replay_of(path: &std::path::Path) -> Service {
    let path = path.to_str().expect("a path of text");
    Service::start(&["--replay", path, "--replay-speed", "max", "--replay-wait"])
}

/// Subscribes to everything of Binance, which does not exist yet, and waits for the trade that has
/// this id and for the recording's end, in whichever order they come.
fn until_trade(service: &Service, id: u64) -> Socket {
    let mut socket = service.websocket();
    let request = r#"{"method":"subscribe","params":{"channel":"trades","symbol":["binance:*"]}}"#;
    let globs = &answer(&mut socket, request)["result"]["globs"];
    assert_eq!(globs, &json!([{"pattern": "binance:*", "matched": 0}]));
    let (mut has_trade, mut is_over) = (false, false);
    socket.until("the trade and the end", |text| {
        has_trade |= text.contains(&format!("\"id\":\"{id}\""));
        is_over |= text.contains("\"state\":\"stale\"");
        has_trade && is_over
    });
    socket
}

#[test]
fn a_pattern_that_matches_nothing_stays_alive_and_a_truncated_message_is_passed_over() {
    let (first, last) = (trade(1_000_000_001, 1), trade(1_000_000_003, 2));
    let truncated = "1000000002\t0\trecv\t{\"stream\":\"btcusdt@trade\",\"data\":{\"e\":\"tra";
    let path = recording("truncated.rec.gz", &[HEAD, OPEN, &first, truncated, &last, ""], 0);
    let service = replay_of(&path);
    let mut socket = until_trade(&service, 2);
    goes_on(&mut socket);
    assert_eq!(service.metric("tickcast_feed_decode_errors_total", "venue=\"binance\""), 1.0);
}

#[test]
fn a_recording_that_is_cut_is_played_to_the_cut_and_the_log_says_where() {
    let (first, second) = (trade(1_000_000_001, 1), trade(1_000_000_002, 2));
    // The cut takes the second trade's time, identity and payload apart.
    let path = recording("cut.rec.gz", &[HEAD, OPEN, &first, &second], second.len() - 5);
    let service = replay_of(&path);
    let mut socket = until_trade(&service, 1);
    goes_on(&mut socket);
    let line = service.until_logged("cut.rec.gz");
    assert!(line.contains('4'), "the line is named: {line}");
}

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tickcast")).args(args).output().expect("the binary runs")
}

#[test]
fn wrong_usage_and_configuration_end_with_2_and_name_what_is_wrong() {
    let file = |name: &str, text: &str| {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, text).expect("a writable target folder");
        path.to_str().expect("a path of text").to_owned()
    };
    let misspelt = file("misspelt.toml", "listen = \"127.0.0.1:0\"\nsim_raet = 5\n");
    let value = file("value.toml", "sim_instruments = 0\n");
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END", "MFkwEwYHKoZI".repeat(9));
    let pem = file("public.pem", &pem);
    let watch = ["watch", "ws://127.0.0.1:1", "ticker", "sim:*"];
    let unreachable =
        file("unreachable.toml", "[venues.kraken]\nws_url = \"ws://127.0.0.1:9/v2\"\n");
    let nothing = PathBuf::from(&unreachable).with_extension(format!("{}.gz", std::process::id()));
    let nothing = nothing.to_str().expect("a path of text");
    let fine = file("fine.toml", "sim_rate = 5\n[venues.kraken]\nsymbols = [\"BTC-USD\"]\n");
    let any = "127.0.0.1:0";
    for (args, code, parts) in [
        (vec!["serve", "--config", &misspelt], 2, vec!["misspelt.toml", "sim_raet", "line 2"]),
        (vec!["check", "--config", &misspelt], 2, vec!["sim_raet"]),
        (vec!["check", "--config", &value], 2, vec!["instruments", "0"]),
        (vec!["check", "--config", "nowhere.toml"], 2, vec!["nowhere.toml"]),
        (vec!["serve", "--feed", "binnace"], 2, vec!["binnace"]),
        (vec!["serve", "--replay-speed", "fast"], 2, vec!["replay_speed", "fast"]),
        (vec!["serve", "--no-such-flag"], 2, vec!["--no-such-flag"]),
        (vec!["serve", "--listen", "nowhere"], 2, vec!["nowhere"]),
        (vec!["serve", "--symbols", "BTC-USD"], 2, vec!["symbols", "BTC-USD", "--feed"]),
        (vec!["serve", "--replay-loop"], 2, vec!["replay_loop", "--replay FILE"]),
        (vec!["serve", "--replay-speed", "2"], 2, vec!["replay_speed", "--replay FILE"]),
        (vec!["serve", "--auth-secret", &pem], 2, vec!["auth", "public.pem", "is PEM", "auth.key"]),
        (vec!["serve", "--listen", "127.0.0.1:8081"], 2, vec!["admin", "127.0.0.1:8081"]),
        (
            vec!["gateway", "--bus-creds", "nowhere", "--bus", "nats://127.0.0.1:1"],
            1,
            vec!["nowhere"],
        ),
        (
            vec!["serve", "--listen", any, "--admin", any, "--replay", &misspelt],
            1,
            vec!["misspelt.toml"],
        ),
        (vec!["record", "--feed", "krakn", "--output", "x"], 2, vec!["--feed", "krakn", "kraken"]),
        (
            vec!["record", "--feed", "sim", "--output", "x"],
            2,
            vec!["--feed: \"sim\"", "--sim-seed"],
        ),
        (
            vec!["record", "--feed", "nats", "--subject", "prices.>", "--output", "x"],
            2,
            vec!["--feed: \"nats\" cannot be recorded", "coinbase-exchange, binance, kraken"],
        ),
        (
            vec!["record", "--feed", "kraken", "--feed-nats-url", "nats://h", "--output", "x"],
            2,
            vec!["--feed-nats-url: \"nats://h\"", "cannot be recorded"],
        ),
        (
            vec!["record", "--feed", "kraken", "--output", "x", "--duration", "soon"],
            2,
            vec!["soon"],
        ),
        (
            [
                ["record", "--feed", "kraken", "--symbols", "BTC-USD"].as_slice(),
                &["--config", &unreachable, "--output", nothing, "--duration", "1s"],
            ]
            .concat(),
            1,
            vec!["kraken: nothing was received", "unreachable."],
        ),
        (vec!["watch", "ws://127.0.0.1:1", "ticker", "sim:*"], 1, vec!["ws://127.0.0.1:1"]),
        ([&watch[..], &["--max-rate", "nan"]].concat(), 2, vec!["--max-rate", "nan"]),
        ([&watch[..], &["--count", "0"]].concat(), 2, vec!["--count", "0"]),
    ] {
        let output = run(&args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.matches("(os error").count() < 2, "the cause is said once: {said}");
        for part in parts {
            assert!(said.contains(part), "{args:?} names {part}: {said}");
        }
    }
    assert!(!PathBuf::from(nothing).exists(), "a recording of nothing is not in the way");
    let output = run(&["check", "--config", &fine]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_log_filter_that_cannot_be_read_is_told_and_the_usual_is_logged() {
    let sim = ["--sim-instruments", "1", "--sim-rate", "0"];
    let service = Service::start_with_env(&sim, &[("TICKCAST_LOG", "x=[")]);
    let line = service.until_logged("TICKCAST_LOG");
    assert!(line.contains("\"x=[\"") && line.contains("info,async_nats=off"), "{line}");
}

#[test]
fn a_variable_that_is_no_setting_is_told_with_the_one_that_may_be_meant() {
    let sim = ["--sim-instruments", "1", "--sim-rate", "0"];
    let service = Service::start_with_env(&sim, &[("TICKCAST_SIM_SEDE", "1")]);
    let line = service.until_logged("not settings: ");
    assert!(line.contains("TICKCAST_SIM_SEDE (TICKCAST_SIM_SEED?)"), "{line}");
}

#[test]
fn where_standard_output_is_full_a_service_goes_on_and_a_tool_fails() {
    let full = || OpenOptions::new().write(true).open("/dev/full").expect("a device of Linux");
    let service = Service::start(&["--sim-instruments", "1"]);
    let tool = Command::new(env!("CARGO_BIN_EXE_tickcast"))
        .args(["watch", &service.url().replace("http", "ws"), "ticker", "sim:*", "--json"])
        .stdout(full())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&tool.stderr);
    assert_eq!(tool.status.code(), Some(1), "{said}");
    assert!(said.contains("standard output: No space left on device"), "{said}");

    let mut started = Command::new(env!("CARGO_BIN_EXE_tickcast"))
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .stdout(full())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut log = BufReader::new(started.stderr.take().expect("a pipe")).lines();
    let told = log.by_ref().map_while(Result::ok).find(|line| line.contains("standard output"));
    let line = told.expect("it says so before it ends");
    let address = line.split("://").nth(1).and_then(|rest| rest.split(' ').next());
    let address = address.and_then(|address| address.parse().ok());
    let address = address.unwrap_or_else(|| panic!("an address is in {line:?}"));
    let (status, _) = service::get(address, "/v1/instruments");
    started.kill().expect("it is our child");
    started.wait().expect("it has ended");
    assert_eq!(status, 200, "it serves");
}
