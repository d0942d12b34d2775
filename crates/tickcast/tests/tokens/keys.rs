//! Keys and secrets: replaced while connections live, read from PEM, made by the command, kept out of the log.

use super::*;

#[test]
fn keys_are_replaced_while_connections_live() {
    let (folder, old, new) = (Folder::new("rotation"), Keys::new(), Keys::new());
    let jwks = folder.write("keys.json", old.jwks("old").to_string());
    let service = guarded(&folder, &["--auth-jwks", &jwks]);
    let head = |kid: &str| json!({"alg": "ES256", "kid": kid});
    let by_old = old.token(&head("old-ec"), &claims("desk", 600));
    let by_new = new.token(&head("new-ec"), &claims("desk", 600));
    let mut socket = service.websocket();
    assert_eq!(authenticate(&mut socket, &by_old)["success"], true);
    assert_eq!(ask(&service, "/v1/instruments", &bearer(&by_new)).0, 401);
    // Half a file is refused and changes nothing.
    folder.write("keys.json", "{\"keys\":[");
    service.ask_to_reload();
    let until = Instant::now() + PATIENCE;
    while service.metric("tickcast_gateway_key_reloads_total", "failed") < 1.0 {
        assert!(Instant::now() < until, "it says so");
    }
    assert_eq!(ask(&service, "/v1/instruments", &bearer(&by_old)).0, 200);
    // No signal is needed.
    folder.write("keys.json", new.jwks("new").to_string());
    while ask(&service, "/v1/instruments", &bearer(&by_new)).0 != 200 {
        assert!(Instant::now() < until, "the new keys are taken");
    }
    assert_eq!(ask(&service, "/v1/instruments", &bearer(&by_old)).0, 401);
    // Who is in stays until his time is over.
    let answer = subscribe(&mut socket, &json!({"channel": "ticker", "symbol": ["sim:S0-USD"]}));
    assert_eq!(answer["success"], true, "{answer}");
}

#[test]
fn public_keys_in_pem_verify_their_tokens() {
    let (folder, keys) = (Folder::new("pem"), Keys::new());
    let files: Vec<String> = keys
        .pems()
        .iter()
        .zip(["rsa.pem", "ec.pem", "ed.pem"])
        .map(|(pem, name)| folder.write(name, pem))
        .collect();
    let service = guarded(&folder, &["--auth-key", &files.join(",")]);
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        // Keys without names do not mind a name.
        let token = keys.token(&json!({"alg": algorithm, "kid": "x"}), &claims("desk", 600));
        let (status, body) = ask(&service, "/v1/instruments", &bearer(&token));
        assert_eq!(status, 200, "{algorithm}: {body}");
    }
}

#[test]
fn no_token_and_no_secret_gets_into_the_log() {
    let (folder, keys) = (Folder::new("log"), Keys::new());
    let secret = folder.write("secret", SECRET);
    let service = Service::start_with_env(
        &["--auth-secret", &secret, "--log-format", "json", "--sim-instruments", "2"],
        &[("TICKCAST_LOG", "trace")],
    );
    service.until_ready();
    let token = hs256(&keys, &claims("desk", 600));
    let bad = format!("{}x", token);
    ask(&service, &format!("/v1/instruments?token={token}"), "");
    ask(&service, &format!("/v1/instruments?token={bad}"), "");
    ask(&service, "/v1/instruments", &bearer(&token));
    ask(&service, "/v1/instruments", &bearer(&bad));
    assert_eq!(handshake(&service, &format!("/v1/ws?token={token}"), ""), 101);
    assert_eq!(handshake(&service, &format!("/v1/ws?token={bad}"), ""), 401);
    let sse = format!("/v1/sse?channel=ticker&symbol=sim:NOPE&token={token}");
    assert_eq!(ask(&service, &sse, "").0, 404);
    let mut socket = service.websocket();
    authenticate(&mut socket, &token);
    authenticate(&mut socket, &bad);
    let mut other = service.websocket();
    other.send(&json!({"method": "auth", "params": {"token": bad}}).to_string());
    other.until_closed(|_| ());
    let (_, clients) = get(service.admin, "/clients");
    service.ask_to_reload();
    let until = Instant::now() + PATIENCE;
    let mut log: Vec<String> = Vec::new();
    let is_reload = |line: &String| line.contains("keys for tokens reloaded");
    let is_close =
        |line: &&String| line.contains("\"code\":4401") && line.contains("\"message\":\"closed\"");
    // They are written by two threads, in either order.
    while !log.iter().any(is_reload) || !log.iter().any(|line| is_close(&line)) {
        log.extend(service.log());
        assert!(Instant::now() < until, "the log goes on: {log:?}");
    }
    let closed = log.iter().find(is_close).expect("a line at its close");
    let closed: Value = serde_json::from_str(closed).expect("JSON");
    assert_eq!(closed["target"], "tickcast::connection", "{closed}");
    assert!(closed["fields"]["session"].is_string(), "{closed}");
    let all = format!("{}\n{clients}", log.join("\n"));
    let secret = std::str::from_utf8(SECRET).unwrap();
    let signature = token.rsplit_once('.').unwrap().1;
    let middle = token.split('.').nth(1).unwrap();
    for hidden in [secret, signature, middle] {
        assert!(!all.contains(hidden), "the log has a part of a token or the secret");
    }
    println!("{} lines of log at level trace have no secret in them", log.len());
}

#[test]
fn a_token_that_the_command_makes_opens_what_it_says() {
    let folder = Folder::new("command");
    let service = guarded(&folder, &[]);
    let secret = folder.0.join("secret");
    let tickcast = |args: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_tickcast")).args(args).output().expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let secret = secret.to_str().unwrap();
    let make = ["token", "--auth-secret", secret, "--entitlement", "sim:S0-USD/ticker"];
    let (code, token, _) = tickcast(&make);
    assert_eq!(code, Some(0));
    let url = format!("ws://{}", service.public);
    let watch = |token: &str, symbol: &str| {
        let token = token.trim();
        tickcast(&["watch", &url, "ticker", symbol, "--count", "1", "--token", token])
    };
    let (code, lines, problem) = watch(&token, "sim:S0-USD");
    assert_eq!(code, Some(0), "{problem}");
    assert!(lines.contains("\"channel\":\"ticker\""), "{lines}");
    let (code, _, problem) = watch(&token, "sim:S1-USD");
    assert!(code == Some(1) && problem.contains("4403"), "{problem}");
    let (code, _, problem) = watch("a.b.c", "sim:S0-USD");
    assert!(code == Some(1) && problem.contains("4401"), "{problem}");
    for (args, part) in [
        (&["token", "--auth-secret", "/nowhere"][..], "auth_secret: /nowhere does not exist"),
        (&["token", "--auth-secret", secret, "--expires", "soon"], "expires: \"soon\""),
        (&["token", "--auth-secret", secret, "--entitlement", "x"], "entitlement \"x\""),
        (&["token", "--auth-secret", secret, "--tier", "fast"], "tier: \"fast\""),
    ] {
        let (code, _, problem) = tickcast(args);
        assert!(code == Some(2) && problem.contains(part), "{args:?}: {problem}");
    }
}

#[test]
fn what_is_wrong_with_keys_is_said_before_anything_starts() {
    let folder = Folder::new("wrong");
    let keys = Keys::new();
    let private = include_str!("rsa_for_tests.pem");
    let twice = {
        let mut set = keys.jwks("a");
        set["keys"][1]["kid"] = "a-rsa".into();
        set.to_string()
    };
    let short = folder.write("short", "too short");
    for (flag, file, part) in [
        ("--auth-secret", short, "a secret of 9 bytes; 32 are the least"),
        ("--auth-secret", "/nowhere".into(), "/nowhere: "),
        ("--auth-key", folder.write("private.pem", private), "is a private key"),
        ("--auth-key", folder.write("no.pem", "hello"), "no public key in PEM"),
        ("--auth-jwks", folder.write("no.json", "{}"), "no JWKS"),
        ("--auth-jwks", folder.write("none.json", "{\"keys\":[]}"), "no key in it is for"),
        ("--auth-jwks", folder.write("twice.json", twice), "another key has its kid"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_tickcast"))
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", flag, &file])
            .output()
            .expect("it runs");
        let problem = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flag} {file}: {problem}");
        assert!(problem.contains(part) && problem.contains("auth"), "{flag} {file}: {problem}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_tickcast"))
        .args(["serve", "--listen", "0.0.0.0:0", "--admin", "127.0.0.1:0"])
        .output()
        .expect("it runs");
    let problem = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{problem}");
    assert!(problem.contains("listen: 0.0.0.0:0") && problem.contains("--allow-anonymous"));
}
