//! Tokens and certificates against the real service.

mod service;

use service::{Service, binary, own_address, soon, until};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tickcast_client::{Backoff, ConnectionState, Error, Event, Options};

const SYMBOL: &str = "sim:S0-USD";

/// A folder of the test's own, with a secret in it; gone with it.
struct Secret {
    folder: PathBuf,
    binary: PathBuf,
}

impl Secret {
    fn new(binary: &Path, name: &str) -> Secret {
        let name = format!("tickcast-client-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("secret"), "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTAwMDE=")
            .unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(folder.join("secret"), mode).unwrap();
        }
        Secret { folder, binary: binary.to_owned() }
    }

    fn path(&self) -> String {
        self.folder.join("secret").to_str().unwrap().to_owned()
    }

    fn token(&self, entitlement: &str, expires: &str) -> String {
        let made = Command::new(&self.binary)
            .args(["token", "--auth-secret", &self.path(), "--sub", "desk-7"])
            .args(["--entitlement", entitlement, "--expires", expires])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn quick(url: String) -> Options {
    let backoff = Backoff { base: Duration::from_millis(50), max: Duration::from_millis(500) };
    Options::new(url).backoff(backoff)
}

#[tokio::test]
async fn a_token_is_fetched_anew_before_it_expires_and_the_connection_stays() {
    let Some(binary) = binary() else { return };
    let secret = Arc::new(Secret::new(&binary, "refresh"));
    let service = Service::start(&binary, &["--auth-secret", &secret.path()]);
    let calls = Arc::new(AtomicUsize::new(0));
    let (counted, source) = (calls.clone(), secret.clone());
    // Each is replaced some seconds before its end, which a machine that pauses needs.
    let options = quick(service.url()).token(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok::<_, Error>(source.token("sim:*", "20s")))
    });
    let tick = soon("a connection", options.connect()).await.unwrap();
    let mut tickers = soon("tickers", tick.ticker([SYMBOL]).subscribe()).await.unwrap();
    until("two more tokens", || (calls.load(Ordering::Relaxed) >= 3).then_some(())).await;
    soon("data", tickers.next()).await.unwrap();
    let connection = tick.connection();
    assert_eq!((connection.state, connection.reconnects), (ConnectionState::Live, 0));
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_replaced_once() {
    let Some(binary) = binary() else { return };
    let secret = Arc::new(Secret::new(&binary, "replaced"));
    let service = Service::start(&binary, &["--auth-secret", &secret.path()]);
    let calls = Arc::new(AtomicUsize::new(0));

    let counted = calls.clone();
    let bad = quick(service.url()).token(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok::<_, Error>("no.such.token".to_owned()))
    });
    let tick = bad.connect_lazily().unwrap();
    let closed = soon("the end", tick.until(ConnectionState::is_closed)).await;
    let ConnectionState::Closed { reason } = closed else { panic!("{closed:?}") };
    assert_eq!(reason.code(), Some(4401), "{reason}");
    assert_eq!(calls.swap(0, Ordering::Relaxed), 2, "asked once more");

    let (counted, source) = (calls.clone(), secret.clone());
    let second_is_good = quick(service.url()).token(move || {
        let token = match counted.fetch_add(1, Ordering::Relaxed) {
            0 => "no.such.token".to_owned(),
            _ => source.token("sim:*", "1h"),
        };
        std::future::ready(Ok::<_, Error>(token))
    });
    let tick = second_is_good.connect_lazily().unwrap();
    soon("a connection", tick.until(ConnectionState::is_live)).await;
    assert_eq!(calls.load(Ordering::Relaxed), 2);

    let without = soon("an answer", quick(service.url()).connect()).await.unwrap_err();
    assert_eq!(without, Error::TokenMissing);
}

#[tokio::test]
async fn what_a_token_does_not_allow_fails_also_when_a_new_one_allows_less() {
    let Some(binary) = binary() else { return };
    let secret = Arc::new(Secret::new(&binary, "less"));
    let service = Service::start(&binary, &["--auth-secret", &secret.path()]);
    service.until_ready();
    let (calls, source) = (AtomicUsize::new(0), secret.clone());
    let options = quick(service.url()).token(move || {
        let token = match calls.fetch_add(1, Ordering::Relaxed) {
            // Lasts until everything was asked for, and is replaced some seconds before its end.
            0 => source.token("sim:*/ticker", "20s"),
            _ => source.token("sim:S1-USD/ticker", "1h"),
        };
        std::future::ready(Ok::<_, Error>(token))
    });
    let tick = soon("a connection", options.connect()).await.unwrap();
    let mut events = tick.events();
    let error = soon("an answer", tick.book([SYMBOL]).subscribe()).await.unwrap_err();
    assert_eq!(error.code(), Some(4403), "{error}");

    let both = tick.ticker([SYMBOL, "sim:S1-USD"]).subscribe();
    let tickers = soon("tickers", both).await.unwrap();
    let lost = soon("the loss", async {
        loop {
            let event = events.next().await.expect("it goes on");
            if let Event::Failed { channel: "ticker", symbol, code, .. } = event {
                return (symbol, code);
            }
        }
    })
    .await;
    assert_eq!(lost, (SYMBOL.to_owned(), 4403));
    assert_eq!(tickers.failed()[0].code, 4403);
    let ticker = tickers.get(SYMBOL).expect("it is still held");
    assert_eq!(ticker.state.name(), "stale", "nothing more comes of it");
    until("the other", || (tickers.get("sim:S1-USD")?.state.name() == "live").then_some(())).await;
}

#[tokio::test]
async fn a_callback_that_fails_is_tried_again() {
    let Some(binary) = binary() else { return };
    let secret = Arc::new(Secret::new(&binary, "callback"));
    let service = Service::start(&binary, &["--auth-secret", &secret.path()]);
    let (calls, source) = (AtomicUsize::new(0), secret.clone());
    let options = quick(service.url()).token(move || {
        std::future::ready(match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Err("the token service is away"),
            _ => Ok(source.token("sim:*", "1h")),
        })
    });
    let tick = options.connect_lazily().unwrap();
    let failed = |state: &ConnectionState| matches!(state, ConnectionState::Reconnecting { .. });
    let state = soon("a failure", tick.until(failed)).await;
    let ConnectionState::Reconnecting { reason, .. } = state else { panic!("{state:?}") };
    assert_eq!(reason.to_string(), "token: the token service is away");
    soon("a connection", tick.until(ConnectionState::is_live)).await;
}

#[tokio::test]
async fn a_service_that_takes_no_tokens_is_served_from_all_the_same() {
    let Some(binary) = binary() else { return };
    let service = Service::start(&binary, &[]);
    let token = async || Ok::<_, Error>("some.token".to_owned());
    let tick = soon("a connection", quick(service.url()).token(token).connect()).await.unwrap();
    let mut tickers = soon("tickers", tick.ticker([SYMBOL]).subscribe()).await.unwrap();
    soon("data", tickers.next()).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_ones_own_is_trusted_when_it_is_named_and_not_otherwise() {
    let Some(binary) = binary() else { return };
    let files = Secret::new(&binary, "tls");
    let address = own_address();
    let pair = rcgen::generate_simple_self_signed([address.ip().to_string()]).unwrap();
    let path = |name: &str| files.folder.join(name).to_str().unwrap().to_owned();
    let pem = pair.cert.pem();
    std::fs::write(path("cert"), &pem).unwrap();
    std::fs::write(path("key"), pair.signing_key.serialize_pem()).unwrap();
    let arguments = ["--tls-cert", &path("cert"), "--tls-key", &path("key")];
    let _service = Service::start_at(&binary, address, &arguments);
    let url = format!("wss://{address}");
    let tick = soon("a connection", quick(url.clone()).trust_pem(pem).connect()).await.unwrap();
    let mut tickers = soon("tickers", tick.ticker([SYMBOL]).subscribe()).await.unwrap();
    soon("data", tickers.next()).await.unwrap();
    let error = soon("an error", quick(url).connect()).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error}");
}
