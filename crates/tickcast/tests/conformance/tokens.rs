//! Where drivers get their tokens: `GET /LANE` answers one. How long it lives, and whether it has
//! ended already, is the script's to say.

use crate::forge::{Keys, claims};
use crate::script::TokenRules;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Who comes without a request is not waited for longer.
const REQUEST_PATIENCE: Duration = Duration::from_secs(60);

struct State {
    keys: Keys,
    life_s: i64,
    /// By lane: tokens that were given, and how many more will have ended.
    lanes: BTreeMap<String, (u64, u64)>,
}

/// A running endpoint; it ends with the test's process.
pub(crate) struct TokenDesk {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl TokenDesk {
    /// For drivers of these lanes.
    pub(crate) fn start(rules: TokenRules, lanes: impl Iterator<Item = String>) -> TokenDesk {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let lanes = lanes.map(|lane| (lane, (0, rules.bad))).collect();
        let state = Arc::new(Mutex::new(State { keys: Keys::new(), life_s: rules.life_s, lanes }));
        let desk = TokenDesk { address, state: state.clone() };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = state.clone();
                // Nobody waits for another one's request; one that goes away has its own reasons.
                thread::spawn(move || serve(&client, &state));
            }
        });
        desk
    }

    /// How long tokens live from now on.
    pub(crate) fn set_life(&self, life_s: i64) {
        self.state.lock().expect("nobody panics with it").life_s = life_s;
    }

    /// How many tokens this lane has been given.
    pub(crate) fn given(&self, lane: &str) -> u64 {
        self.state.lock().expect("nobody panics with it").lanes[lane].0
    }

    /// Whether this lane has had its bad ones.
    pub(crate) fn has_given_bad(&self, lane: &str) -> bool {
        self.state.lock().expect("nobody panics with it").lanes[lane].1 == 0
    }

    /// One for whoever compares.
    pub(crate) fn token(&self) -> String {
        self.state.lock().expect("nobody panics with it").sign("witness", 600)
    }
}

impl State {
    fn sign(&self, sub: &str, life_s: i64) -> String {
        self.keys.token(&json!({"alg": "HS256", "typ": "JWT"}), &claims(sub, life_s))
    }
}

fn serve(mut client: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    client.set_read_timeout(Some(REQUEST_PATIENCE))?;
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        match client.read(&mut buffer)? {
            0 => return Ok(()),
            some => request.extend_from_slice(&buffer[..some]),
        }
    }
    let request = String::from_utf8_lossy(&request);
    let path = request.split(' ').nth(1).unwrap_or_default();
    let lane = path.trim_start_matches('/');
    let mut state = state.lock().expect("nobody panics with it");
    let life_s = state.life_s;
    let answer = match state.lanes.get_mut(lane) {
        Some((given, bad)) => {
            *given += 1;
            let life_s = if *bad > 0 { -10 } else { life_s };
            *bad = bad.saturating_sub(1);
            let token = state.sign(lane, life_s);
            let length = token.len();
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
                     Connection: close\r\n\r\n{token}"
            )
        }
        None => {
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
        }
    };
    client.write_all(answer.as_bytes())
}
