//! A WebSocket service that does what a test says, for what the real one never does.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};

/// One connection of a client, as the script sees it.
#[derive(Debug)]
pub(crate) struct Peer {
    socket: WebSocket<TcpStream>,
    /// How many connections there were before.
    pub(crate) number: usize,
}

/// Runs the script for each connection, one after the other, in a thread of its own.
pub(crate) fn serve(mut script: impl FnMut(Peer) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
            #[allow(clippy::result_large_err)] // The type is tungstenite's.
            let agree = |_: &Request, mut response: Response| {
                let protocol = "tickcast.v1.json".parse().expect("a header");
                response.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
                Ok(response)
            };
            if let Ok(socket) = tungstenite::accept_hdr(stream, agree) {
                script(Peer { socket, number });
            }
        }
    });
    address
}

impl Peer {
    /// Sends a text; whether anybody takes it does not matter.
    pub(crate) fn say(&mut self, text: &str) {
        let _ = self.socket.send(Message::text(text));
    }

    /// The first message.
    pub(crate) fn welcome(&mut self, heartbeat_ms: u64) {
        self.say(&format!(
            r#"{{"channel":"system","type":"welcome","data":[{{"session":"s{}","version":"0","heartbeat_ms":{heartbeat_ms},"auth_required":false}}]}}"#,
            self.number
        ));
    }

    /// The next request; `None` when the client has gone.
    pub(crate) fn hear(&mut self) -> Option<serde_json::Value> {
        loop {
            match self.socket.read().ok()? {
                Message::Text(text) => return serde_json::from_str(text.as_str()).ok(),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// Hears a subscribe and grants its symbols.
    pub(crate) fn grant(&mut self) -> Option<serde_json::Value> {
        let request = self.hear()?;
        let params = &request["params"];
        let mut result = serde_json::json!({
            "channel": params["channel"], "symbol": params["symbol"], "globs": [], "failed": [],
        });
        for option in ["depth", "interval"] {
            if !params[option].is_null() {
                result[option] = params[option].clone();
            }
        }
        self.answer(&request, &serde_json::json!({ "success": true, "result": result }));
        Some(request)
    }

    pub(crate) fn answer(&mut self, request: &serde_json::Value, rest: &serde_json::Value) {
        let mut answer = rest.clone();
        answer["method"] = request["method"].clone();
        answer["req_id"] = request["req_id"].clone();
        self.say(&answer.to_string());
    }

    /// The status of an instrument.
    pub(crate) fn status(&mut self, symbol: &str) {
        self.say(&format!(
            r#"{{"channel":"status","type":"snapshot","data":[{{"symbol":"{symbol}","epoch":1,"seq":1,"state":"live","ts_state":1}}]}}"#
        ));
    }

    /// A ticker at an epoch of 1: a snapshot, or an update from `prev`.
    pub(crate) fn ticker(&mut self, symbol: &str, prev: Option<u64>, seq: u64, last: &str) {
        let (kind, head) = match prev {
            None => ("snapshot", r#""state":"live""#.to_owned()),
            Some(prev) => ("update", format!(r#""prev":{prev}"#)),
        };
        self.say(&format!(
            r#"{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{symbol}","epoch":1,"seq":{seq},{head},"last":"{last}","ts_event":1,"ts_publish":2}}]}}"#
        ));
    }

    /// Closes with a code and waits for the client's end.
    pub(crate) fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        let _ = self.socket.close(Some(frame));
        while self.socket.read().is_ok() {}
    }

    /// Reads until the client has gone.
    pub(crate) fn wait(mut self) {
        while self.socket.read().is_ok() {}
    }

    /// Sends one fragment of a text message.
    pub(crate) fn fragment(&mut self, text: &str, is_first: bool, is_last: bool) {
        use tungstenite::protocol::frame::Frame;
        use tungstenite::protocol::frame::coding::{Data, OpCode};
        let opcode = if is_first { Data::Text } else { Data::Continue };
        let frame = Frame::message(text.to_owned(), OpCode::Data(opcode), is_last);
        let _ = self.socket.send(Message::Frame(frame));
    }

    /// Sends a ping where only a control frame may stand; its pong comes after the message.
    pub(crate) fn ping_between_fragments(&mut self) -> bool {
        self.socket.send(Message::Ping("between".into())).is_ok()
    }

    /// Sends a binary message.
    pub(crate) fn binary(&mut self) {
        let _ = self.socket.send(Message::binary(&b"\x08\x01"[..]));
    }

    /// Sends a ping and waits for its pong.
    pub(crate) fn ping(&mut self) -> bool {
        let _ = self.socket.send(Message::Ping("are you there".into()));
        loop {
            match self.socket.read() {
                Ok(Message::Pong(bytes)) => return &bytes[..] == b"are you there",
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}
