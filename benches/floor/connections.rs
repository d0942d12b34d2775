//! The floor's connections: upgrade, subscription, and who gets the frames.

use crate::frames::Frames;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use slab::Slab;
use std::io::{self, Read as _, Write as _};
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd as _, RawFd};
use tickcast_benches::{Asked, SUBPROTOCOL, accept_of};
use tickcast_gateway::{Decoder, Event, MessageLimits, Opcode, write_frame};

/// The listener's token; a connection has the number of its place.
pub(crate) const LISTENER: Token = Token(usize::MAX);

/// A request head has no more bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// What has come of the request head; `None` when it has been answered.
    head: Option<Vec<u8>>,
    decoder: Decoder,
    /// It gets the frames.
    receives: bool,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Connections {
    slots: Slab<Connection>,
    /// Who gets the frames, by place and descriptor.
    places: Vec<usize>,
    descriptors: Vec<RawFd>,
    frames: Option<Frames>,
    batch: usize,
    size: usize,
    read_buffer: Vec<u8>,
}

impl Connections {
    pub(crate) fn new(batch: usize, size: usize) -> Connections {
        Connections {
            slots: Slab::new(),
            places: Vec::new(),
            descriptors: Vec::new(),
            frames: None,
            batch,
            size,
            read_buffer: vec![0; 64 << 10],
        }
    }

    /// Whether anybody gets frames.
    pub(crate) fn has_receivers(&self) -> bool {
        !self.places.is_empty()
    }

    /// The next frames and who gets them.
    pub(crate) fn next(&mut self) -> Option<(&[u8], &[RawFd])> {
        Some((self.frames.as_mut()?.next(), &self.descriptors))
    }

    /// Writes the next frames to everybody with one send each. Closes whoever does not take them
    /// whole: the floor keeps nothing back.
    pub(crate) fn send(&mut self) {
        let Some(frames) = &mut self.frames else { return };
        let bytes = frames.next();
        let mut failed = Vec::new();
        for (at, place) in self.places.iter().enumerate() {
            if !matches!(self.slots[*place].stream.write(bytes), Ok(sent) if sent == bytes.len()) {
                failed.push(at);
            }
        }
        self.close_receivers(failed);
    }

    /// Closes receivers by their position in the list that [`Connections::next`] gave.
    pub(crate) fn close_receivers(&mut self, mut positions: Vec<usize>) {
        positions.sort_unstable();
        for at in positions.into_iter().rev() {
            self.close(self.places[at]);
        }
    }

    fn close(&mut self, place: usize) {
        if self.slots.try_remove(place).is_some()
            && let Some(at) = self.places.iter().position(|receiver| *receiver == place)
        {
            self.places.swap_remove(at);
            self.descriptors.swap_remove(at);
        }
    }

    /// Takes whoever waits at the listener.
    ///
    /// # Errors
    /// The listener failed otherwise than by having no more descriptors.
    pub(crate) fn accept(&mut self, listener: &TcpListener, registry: &Registry) -> io::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let entry = self.slots.vacant_entry();
            registry.register(&mut stream, Token(entry.key()), Interest::READABLE)?;
            let decoder = Decoder::new();
            entry.insert(Connection { stream, head: Some(Vec::new()), decoder, receives: false });
        }
    }

    /// Reads what has come at a place.
    pub(crate) fn read(&mut self, place: usize) {
        let mut buffer = std::mem::take(&mut self.read_buffer);
        while let Some(connection) = self.slots.get_mut(place) {
            match connection.stream.read(&mut buffer) {
                Ok(0) => self.close(place),
                Ok(length) => {
                    if self.take(place, &mut buffer[..length]).is_break() {
                        self.close(place);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.close(place),
            }
        }
        self.read_buffer = buffer;
    }

    fn take(&mut self, place: usize, bytes: &mut [u8]) -> ControlFlow<()> {
        let connection = &mut self.slots[place];
        let Some(head) = &mut connection.head else { return self.take_frames(place, bytes) };
        head.extend_from_slice(bytes);
        let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
            return if head.len() < HEAD_BYTES_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            };
        };
        let Some(answer) = upgrade(&head[..end + 4]) else { return ControlFlow::Break(()) };
        let mut rest = head.split_off(end + 4);
        connection.head = None;
        self.write(place, answer.as_bytes())?;
        self.take_frames(place, &mut rest)
    }

    fn take_frames(&mut self, place: usize, bytes: &mut [u8]) -> ControlFlow<()> {
        let mut decoder = std::mem::take(&mut self.slots[place].decoder);
        let mut asked = Vec::new();
        let mut out = Vec::new();
        let mut is_open = true;
        let fed = decoder.feed(bytes, &MessageLimits::DEFAULT, None, &mut |event| {
            match event {
                Event::Text(text) => asked.extend(Asked::read(text.as_bytes())),
                Event::Ping(payload) => write_frame(&mut out, Opcode::Pong, payload),
                Event::Close(_) => is_open = false,
                Event::Binary(_) | Event::Pong(_) => {}
            }
            ControlFlow::Continue(())
        });
        if fed.is_err() || !is_open {
            return ControlFlow::Break(());
        }
        self.slots[place].decoder = decoder;
        for asked in asked {
            self.subscribe(place, &asked, &mut out);
        }
        if out.is_empty() { ControlFlow::Continue(()) } else { self.write(place, &out) }
    }

    /// Answers, and gives a snapshot of every symbol. The frames are of the first symbol that
    /// anybody ever asked for; who asks for others only gets no updates.
    fn subscribe(&mut self, place: usize, asked: &Asked, out: &mut Vec<u8>) {
        let granted: Vec<&str> = asked.symbols.iter().map(String::as_str).collect();
        write_frame(out, Opcode::Text, asked.answer(&granted).as_bytes());
        let Some(first) = asked.symbols.first() else { return };
        let frames = self.frames.get_or_insert_with(|| Frames::new(first, self.batch, self.size));
        for symbol in &asked.symbols {
            write_frame(out, Opcode::Text, tickcast_benches::status(symbol).as_bytes());
            frames.write_snapshot(symbol, out);
        }
        if asked.symbols.iter().any(|symbol| symbol == frames.symbol())
            && !std::mem::replace(&mut self.slots[place].receives, true)
        {
            self.places.push(place);
            self.descriptors.push(self.slots[place].stream.as_raw_fd());
        }
    }

    /// Writes what is not an update; a client that does not take a few hundred bytes at its
    /// beginning is closed.
    fn write(&mut self, place: usize, bytes: &[u8]) -> ControlFlow<()> {
        match self.slots[place].stream.write(bytes) {
            Ok(sent) if sent == bytes.len() => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }
}

/// The answer to a request head that asks for a WebSocket.
fn upgrade(head: &[u8]) -> Option<String> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    request.parse(head).ok()?;
    let find = |name: &str| {
        let header = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.map(|header| header.value)
    };
    let accept = accept_of(find("sec-websocket-key")?);
    let subprotocol = match find("sec-websocket-protocol") {
        Some(_) => format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"),
        None => String::new(),
    };
    Some(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{subprotocol}\r\n"
    ))
}
