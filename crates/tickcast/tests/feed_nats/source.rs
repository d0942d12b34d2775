//! A firm that publishes on NATS: the client's protocol by hand, which is a few lines of text.

use crate::nats::Nats;
use crate::service::PATIENCE;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

pub(crate) struct Source {
    socket: BufReader<TcpStream>,
}

impl Source {
    pub(crate) fn connect(nats: &Nats) -> Source {
        let url = nats.url();
        let address = url.strip_prefix("nats://").expect("an address without a password");
        let socket = TcpStream::connect(address).expect("NATS listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
        let mut source = Source { socket: BufReader::new(socket) };
        source.write(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
        source.flush();
        source
    }

    /// Publishes a message; the server has it when this returns.
    pub(crate) fn publish(&mut self, subject: &str, payload: &[u8]) {
        let head = format!("PUB {subject} {}\r\n", payload.len());
        self.write(&[head.as_bytes(), payload, b"\r\n"].concat());
        self.flush();
    }

    fn flush(&mut self) {
        self.write(b"PING\r\n");
        let mut line = String::new();
        while line.trim() != "PONG" {
            line.clear();
            let read = self.socket.read_line(&mut line).expect("NATS answers");
            assert!(read > 0, "NATS has closed the connection");
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).expect("NATS reads");
    }
}
