//! Encrypted servers, and who may come in: nkeys, and JWTs of an operator's accounts.

use crate::SIM;
use crate::nats::Nats;
use crate::processes::{Publisher, gateway_on};
use crate::seen::{LIVE, Seen, subscribe, until};
use crate::service::tls;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A file in the folder of tests; its name says whose it is.
fn file(name: &str, text: &str) -> PathBuf {
    let name = format!("bus-{}-{name}", std::process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("a writable folder");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

/// A publisher and a gateway with these settings, and a client that gets prices.
fn assert_prices(url: &str, args: &[&str]) {
    let _publisher = Publisher::start_on(url, &[&SIM, args].concat());
    let gateway = gateway_on(url, args);
    gateway.until_ready();
    let (mut socket, mut seen) = (subscribe(&gateway), Seen::default());
    until(&mut socket, &mut seen, "prices", LIVE);
}

#[test]
fn a_server_with_tls_is_believed_by_its_file_or_not_at_all() {
    let files = tls::Files::new();
    let Some(nats) = Nats::start_tls("tls", &files.certificate, &files.key) else { return };
    assert_prices(&nats.url(), &["--bus-ca", text(&files.certificate)]);
    let stranger = gateway_on(&nats.url(), &[]);
    stranger.until_logged("certificate");
    assert_eq!(stranger.metric("tickcast_bus_connected", ""), 0.0);
}

#[test]
fn an_nkey_opens_and_another_does_not() {
    let user = KeyPair::new_user();
    let users = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", user.public_key());
    let Some(nats) = Nats::start_with("nkey", &users) else { return };
    let seed = file("nkey", &user.seed().expect("it has one"));
    assert_prices(&nats.url(), &["--bus-creds", text(&seed)]);
    let wrong = file("wrong-nkey", &KeyPair::new_user().seed().expect("it has one"));
    let stranger = gateway_on(&nats.url(), &["--bus-creds", text(&wrong)]);
    stranger.until_logged("authorization violation");
    assert_eq!(stranger.metric("tickcast_bus_connected", ""), 0.0);
}

/// A JWT as NATS reads it: what `issuer` says of `subject`.
fn jwt(issuer: &KeyPair, subject: &KeyPair, kind: &str, mut claims: Value) -> String {
    claims["type"] = kind.into();
    claims["version"] = 2.into();
    let head = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let body = json!({
        "iat": 1_700_000_000, "iss": issuer.public_key(), "sub": subject.public_key(),
        "jti": subject.public_key(), "name": kind, "nats": claims,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&head), part(&body));
    let signature = issuer.sign(signed.as_bytes()).expect("it has a seed");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn creds(jwt: &str, user: &KeyPair) -> String {
    let seed = user.seed().expect("it has one");
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

#[test]
fn a_file_of_credentials_opens_an_operators_account() {
    let (operator, system) = (KeyPair::new_operator(), KeyPair::new_account());
    let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
    let limits = json!({ "limits": {
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    } });
    let mut of_system = limits.clone();
    for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
        of_system["limits"][limit] = 0.into();
    }
    let config = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload {{ {}: {}, {}: {} }}",
        jwt(&operator, &operator, "operator", json!({})),
        system.public_key(),
        system.public_key(),
        jwt(&operator, &system, "account", of_system),
        account.public_key(),
        jwt(&operator, &account, "account", limits),
    );
    let Some(nats) = Nats::start_with("operator", &config) else { return };
    let rights = || json!({ "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1 });
    let own = file("creds", &creds(&jwt(&account, &user, "user", rights()), &user));
    assert_prices(&nats.url(), &["--bus-creds", text(&own)]);

    // Of an account that the operator does not know.
    let other = KeyPair::new_account();
    let wrong = file("wrong-creds", &creds(&jwt(&other, &user, "user", rights()), &user));
    let stranger = gateway_on(&nats.url(), &["--bus-creds", text(&wrong)]);
    stranger.until_logged("authorization violation");
    assert_eq!(stranger.metric("tickcast_bus_connected", ""), 0.0);
}
