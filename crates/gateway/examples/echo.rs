//! A server that sends back every message, for judging how the edge speaks WebSocket: the same
//! handshake, decoder, frame writer and deflate as the gateway's, without anything to say.
//!
//! ```text
//! cargo run -p tickcast-gateway --example echo -- --listen 127.0.0.1:9001 [--max-message BYTES]
//!     [--max-fragments N] [--deflate on|off]
//! ```
//!
//! It prints `listening on ADDR`; the path is `/v1/ws`. `tests/autobahn.rs` runs it. A thread per
//! connection: it is a tool for conformance and knows no limit of time or of connections.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::process::ExitCode;
use tickcast_gateway::{
    COMPRESSED_BYTES_MIN, Decoder, Deflater, Event, Inflater, MessageLimits, Opcode, Origins,
    Route, read_head, write_close, write_frame,
};

/// How it is to listen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) limits: MessageLimits,
    pub(crate) deflate: bool,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let run = || -> Result<(), String> {
        let (listen, options) = parse(&args)?;
        let listener = TcpListener::bind(listen).map_err(|error| format!("{listen}: {error}"))?;
        println!("listening on {}", listener.local_addr().map_err(|error| error.to_string())?);
        serve(&listener, options);
        Ok(())
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// *Errors* name the argument and its value.
pub(crate) fn parse(args: &[String]) -> Result<(SocketAddr, Options), String> {
    let mut listen = SocketAddr::from(([127, 0, 0, 1], 9001));
    let (mut limits, mut deflate) = (MessageLimits::DEFAULT, true);
    for pair in args.chunks(2) {
        let [name, value] = pair else { return Err(format!("{}: without a value", pair[0])) };
        let wrong = || format!("{name}: {value:?} is not understood");
        match name.as_str() {
            "--listen" => listen = value.parse().map_err(|_| wrong())?,
            "--max-message" => limits.bytes_max = value.parse().map_err(|_| wrong())?,
            "--max-fragments" => limits.fragments_max = value.parse().map_err(|_| wrong())?,
            "--deflate" if value == "on" => deflate = true,
            "--deflate" if value == "off" => deflate = false,
            _ => return Err(wrong()),
        }
    }
    Ok((listen, Options { limits, deflate }))
}

/// Serves until the listener fails.
pub(crate) fn serve(listener: &TcpListener, options: Options) {
    for socket in listener.incoming().map_while(Result::ok) {
        // A peer that goes away is no matter here.
        std::thread::spawn(move || drop(Echo::welcome(socket, options)));
    }
}

/// One connection.
struct Echo {
    limits: MessageLimits,
    decoder: Decoder,
    /// There where compression was agreed on.
    inflater: Option<Inflater>,
    deflater: Option<Deflater>,
    out: Vec<u8>,
}

impl Echo {
    fn welcome(mut socket: TcpStream, options: Options) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let origins = Origins::new(Vec::new(), true);
        let mut buffer = vec![0; 64 << 10];
        let mut kept = Vec::new();
        let mut out = Vec::new();
        loop {
            let some = socket.read(&mut buffer)?;
            kept.extend_from_slice(&buffer[..some]);
            match read_head(&kept, &origins) {
                Ok(None) if some > 0 => {}
                Ok(Some((Route::WebSocket(mut accept), length))) => {
                    accept.compress &= options.deflate;
                    accept.write(&mut out);
                    let Options { limits, .. } = options;
                    let inflater = accept.compress.then(|| Inflater::new(limits.bytes_max));
                    let deflater = accept.compress.then(Deflater::new);
                    let decoder = Decoder::new();
                    let echo = Echo { limits, decoder, inflater, deflater, out };
                    return echo.run(socket, &mut kept[length..], &mut buffer);
                }
                Ok(_) => return Ok(()),
                Err(refusal) => {
                    refusal.write(&mut out);
                    return socket.write_all(&out);
                }
            }
        }
    }

    fn run(mut self, mut socket: TcpStream, ahead: &mut [u8], buffer: &mut [u8]) -> io::Result<()> {
        let mut is_open = self.take(ahead);
        while is_open {
            socket.write_all(&self.out)?;
            self.out.clear();
            let some = socket.read(buffer)?;
            is_open = some > 0 && self.take(&mut buffer[..some]);
        }
        // An orderly end: what is still on its way is taken, or the close frame would be lost.
        socket.write_all(&self.out)?;
        socket.shutdown(Shutdown::Write)?;
        while socket.read(buffer)? > 0 {}
        Ok(())
    }

    /// Whether more may follow.
    fn take(&mut self, bytes: &mut [u8]) -> bool {
        let Echo { limits, decoder, inflater, deflater, out } = self;
        let mut is_open = true;
        let fed = decoder.feed(bytes, limits, inflater.as_mut(), &mut |event| {
            match event {
                Event::Text(text) => write(out, deflater, Opcode::Text, text.as_bytes()),
                Event::Binary(bytes) => write(out, deflater, Opcode::Binary, bytes),
                Event::Ping(payload) => write_frame(out, Opcode::Pong, payload),
                Event::Pong(_) => {}
                Event::Close(close) => {
                    let (code, reason) = close.unwrap_or((1000, ""));
                    write_close(out, code, reason);
                    is_open = false;
                }
            }
            ControlFlow::Continue(())
        });
        if let Err(violation) = fed {
            write_close(out, violation.code, violation.reason);
            return false;
        }
        is_open
    }
}

/// By the gateway's rule: long messages compressed where that was agreed on and makes them shorter.
fn write(out: &mut Vec<u8>, deflater: &mut Option<Deflater>, opcode: Opcode, payload: &[u8]) {
    if payload.len() >= COMPRESSED_BYTES_MIN
        && let Some(deflater) = deflater
        && deflater.write_frame(out, opcode, payload)
    {
        return;
    }
    write_frame(out, opcode, payload);
}
