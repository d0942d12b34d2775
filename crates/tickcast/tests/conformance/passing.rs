//! One connection of a [`Proxy`](crate::proxy::Proxy): two threads, one for each direction.

use crate::messages::{Item, Piece, Splitter};
use crate::proxy::{End, Shared, count};
use crate::script::How;
use std::collections::{HashSet, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Updates that are kept to come again.
const KEPT_MAX: usize = 64;
/// Length of a request head that is passed on.
const HEAD_MAX: usize = 16 << 10;

/// Passes one connection's bytes until it ends or is ended.
pub(crate) fn pass(shared: &Shared, number: u64, client: &TcpStream, target: SocketAddr) {
    // While the service starts again nobody is there: the client gets an end, and tries again.
    let Ok(server) = TcpStream::connect(target) else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_server) = (copy(client), copy(&server));
    let (sender, asked) = channel();
    let up = thread::spawn(move || up(from_client, to_server, &sender));
    if let Ok(Some(asked)) = asked.recv() {
        let mut open = shared.open.lock().expect("nobody panics with it");
        open.insert(number, asked);
    }
    let mut down = Down {
        shared,
        number,
        client,
        splitter: Splitter::new(),
        seen: HashSet::new(),
        kept: VecDeque::new(),
        is_silent: false,
    };
    let mut from_server = copy(&server);
    let mut buffer = [0; 16 << 10];
    let reset = loop {
        let Ok(some @ 1..) = from_server.read(&mut buffer) else { break false };
        if let Err(Ended { reset }) = down.take(&buffer[..some]) {
            break reset;
        }
    };
    if reset {
        for socket in [client, &server] {
            let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
        // A reset is sent with the last descriptor: the other thread must let go of its own.
        let _ = client.shutdown(Shutdown::Read);
    } else {
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    }
    let _ = up.join();
    shared.open.lock().expect("nobody panics with it").remove(&number);
}

fn copy(socket: &TcpStream) -> TcpStream {
    socket.try_clone().expect("a descriptor is free")
}

/// Passes the client's bytes, and its request head without an offer to compress.
fn up(mut from_client: TcpStream, mut to_server: TcpStream, asked: &Sender<Option<String>>) {
    let mut head = Vec::new();
    let mut is_head = true;
    let mut buffer = [0; 4096];
    while let Ok(some @ 1..) = from_client.read(&mut buffer) {
        let bytes = if is_head {
            head.extend_from_slice(&buffer[..some]);
            let end = head.windows(4).position(|four| four == b"\r\n\r\n");
            if end.is_none() && head.len() < HEAD_MAX {
                continue;
            }
            is_head = false;
            let (request, what) = adapted(&head, end.map_or(head.len(), |end| end + 4));
            let _ = asked.send(what);
            request
        } else {
            buffer[..some].to_vec()
        };
        if to_server.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to_server.shutdown(Shutdown::Write);
}

/// A request of which the head ends at `end`, and its first line if messages are to come: without
/// an offer to compress, and with an end after any other answer, so that nobody asks for messages on
/// the same connection later.
fn adapted(request: &[u8], end: usize) -> (Vec<u8>, Option<String>) {
    let (head, rest) = request.split_at(end);
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split_inclusive('\n');
    let first = lines.next().unwrap_or_default();
    let has_messages = first.contains(" /v1/ws") || first.contains(" /v1/sse");
    let left_out = if has_messages { "sec-websocket-extensions:" } else { "connection:" };
    let kept = lines.filter(|line| !line.to_ascii_lowercase().starts_with(left_out));
    let own = if has_messages { "" } else { "Connection: close\r\n" };
    let adapted: String = [first, own].into_iter().chain(kept).collect();
    let what = has_messages.then(|| first.trim_end().to_owned());
    ([adapted.as_bytes(), rest].concat(), what)
}

/// The connection is over for us.
struct Ended {
    reset: bool,
}

const ENDED: Ended = Ended { reset: false };

/// The service's bytes on their way to the client.
struct Down<'a> {
    shared: &'a Shared,
    number: u64,
    client: &'a TcpStream,
    splitter: Splitter,
    /// Streams of which a message has passed.
    seen: HashSet<String>,
    /// Updates that have passed, the newest last.
    kept: VecDeque<Vec<u8>>,
    /// Nothing is passed any more.
    is_silent: bool,
}

impl Down<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        if self.is_silent {
            return Ok(());
        }
        self.splitter.push(bytes);
        while let Some(piece) = self.splitter.next() {
            self.end_if_asked(&piece)?;
            if self.is_silent {
                return Ok(());
            }
            self.hear_goaway(&piece);
            match piece.item() {
                Some(item) => self.pass_item(piece, &item)?,
                None => self.write(&piece.bytes)?,
            }
        }
        Ok(())
    }

    /// Ends the connection as the plan says, before this piece.
    fn end_if_asked(&mut self, piece: &Piece) -> Result<(), Ended> {
        let end = self.shared.plan().end;
        let Some((_, end)) = end.filter(|(before, _)| self.number < *before) else {
            return Ok(());
        };
        // What is not a stream of messages ends by itself.
        if !self.splitter.has_messages() {
            return Ok(());
        }
        count(&self.shared.done.ended);
        match end {
            End::Cut(how) => {
                if how == How::MidFrame {
                    self.write(&piece.bytes[..piece.bytes.len() / 2])?;
                }
                Err(Ended { reset: how == How::Reset })
            }
            End::Close(code) if self.splitter.has_events() => {
                let error = format!(
                    "event: error\ndata: {{\"success\":false,\"code\":{code},\"error\":\"by the \
                     script\"}}\n\n"
                );
                self.write(error.as_bytes())?;
                Err(ENDED)
            }
            End::Close(code) => {
                // Its answer goes to the service, which then closes.
                let [high, low] = code.to_be_bytes();
                self.is_silent = true;
                self.write(&[0x88, 2, high, low])
            }
            End::Stall => {
                self.is_silent = true;
                Ok(())
            }
        }
    }

    /// Remembers when the client may come back.
    fn hear_goaway(&self, piece: &Piece) {
        if let Some(delay) = piece.goaway_ms() {
            count(&self.shared.done.goaways);
            let now = Instant::now();
            let until = now + Duration::from_millis(delay);
            // Of several connections the one that may come back first.
            let mut plan = self.shared.plan();
            let other = plan.not_before.filter(|other| *other > now);
            plan.not_before = Some(other.map_or(until, |other| other.min(until)));
        }
    }

    fn pass_item(&mut self, mut piece: Piece, item: &Item) -> Result<(), Ended> {
        let may_be_lost = item.is_update && !self.seen.insert(item.stream.clone());
        let done = &self.shared.done;
        let mut plan = self.shared.plan();
        let mut again = None;
        if may_be_lost {
            plan.updates += 1;
            if plan.loses(item.channel) {
                count(&done.lost);
                return Ok(());
            }
            self.kept.push_back(piece.bytes.clone());
            if self.kept.len() > KEPT_MAX {
                self.kept.pop_front();
            }
            again = plan.repeats_back().and_then(|back| self.kept.iter().rev().nth(back).cloned());
            if again.is_some() {
                plan.repeats -= 1;
                count(&done.repeated);
            }
        }
        if item.channel == "book" && plan.falsifies() && piece.falsify() {
            count(&done.falsified);
        }
        let delay = plan.take_delay();
        drop(plan);
        if let Some(delay) = delay {
            thread::sleep(delay);
            count(&done.delayed);
        }
        self.write(&piece.bytes)?;
        count(&done.messages);
        again.map_or(Ok(()), |again| self.write(&again))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        self.client.write_all(bytes).map_err(|_| ENDED)
    }
}
