//! A shard with clients in memory, fed by the real publisher: no thread, no socket, no clock but
//! the one that a test moves.

#![allow(dead_code)] // Each test file uses its own part.
#![allow(clippy::needless_pass_by_value)] // Values written in place read best.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use serde_json::{Value, json};
use tickcast_gateway::{Arrival, Metrics, Rest, Shard, ShardSettings, Socket, Token, Transport};
use tickcast_market::{
    Directory, Event, EventBatch, EventBody, InstrumentIndex, InstrumentSpec, Nanos, Price, Quote,
    Scales, Size, SourceIndex, TradingState, Venue,
};
use tickcast_publisher::{Config, Hub, Partition, Publisher, Resync, ShardIndex, Tiers};
use tickcast_wire::{Encoding, ProtobufReader, Request, write_request};

/// One client's line: two byte queues, and how much the way to the client takes.
#[derive(Default)]
pub(crate) struct Line {
    pub(crate) to_client: VecDeque<u8>,
    pub(crate) to_server: VecDeque<u8>,
    /// Bytes that the way to the client still takes; it says `WouldBlock` when it is full.
    pub(crate) room: usize,
    /// It was full and the shard has to be told when it is not any more.
    pub(crate) full: bool,
    pub(crate) client_closed: bool,
    pub(crate) server_closed: bool,
    pub(crate) broken: bool,
    pub(crate) sends: usize,
    /// Happens while the shard sends for the next time: what other threads do at that moment.
    pub(crate) meanwhile: Option<Box<dyn FnOnce()>>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("room", &self.room).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Pipe(pub(crate) Rc<RefCell<Line>>);

impl Socket for Pipe {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut line = self.0.borrow_mut();
        if line.broken {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if line.to_server.is_empty() {
            return if line.client_closed { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let length = line.to_server.len().min(buffer.len());
        for byte in &mut buffer[..length] {
            *byte = line.to_server.pop_front().unwrap();
        }
        Ok(length)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut line = self.0.borrow_mut();
        assert!(!line.server_closed, "nothing is sent after the shutdown");
        line.sends += 1;
        if let Some(meanwhile) = line.meanwhile.take() {
            meanwhile();
        }
        if line.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let length = bytes.len().min(line.room);
        line.full = length < bytes.len();
        if length == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        line.room -= length;
        line.to_client.extend(&bytes[..length]);
        Ok(length)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.borrow_mut().server_closed = true;
        Ok(())
    }
}

/// What a client finds in its line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Got {
    Message(Value),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
}

pub(crate) struct Client {
    pub(crate) token: Token,
    pub(crate) line: Rc<RefCell<Line>>,
    input: Vec<u8>,
    /// Everything that came, whole.
    pub(crate) bytes: Vec<u8>,
    /// How many messages of it were compressed.
    pub(crate) compressed: usize,
    /// Reads protobuf into the JSON that it stands for; `None` on a line of JSON.
    protobuf: Option<ProtobufReader>,
}

impl Client {
    /// Sends a masked frame.
    pub(crate) fn send_frame(&self, opcode: u8, payload: &[u8]) {
        let mut line = self.line.borrow_mut();
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..=125 => frame.push(0x80 | length as u8),
            length @ 126..=0xFFFF => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        frame.extend(mask);
        frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        line.to_server.extend(frame);
    }

    /// Sends a request the way the line speaks.
    pub(crate) fn send(&self, message: &Value) {
        let text = message.to_string();
        if self.protobuf.is_none() {
            return self.send_frame(1, text.as_bytes());
        }
        let request = Request::parse(text.as_bytes()).expect("a good request");
        let mut bytes = Vec::new();
        write_request(&mut bytes, Encoding::Protobuf, &request);
        self.send_frame(2, &bytes);
    }

    pub(crate) fn subscribe(&self, params: Value) {
        self.send(&json!({"method": "subscribe", "req_id": 1, "params": params}));
    }

    /// Everything that has come since the last call.
    pub(crate) fn take(&mut self) -> Vec<Got> {
        let came: Vec<u8> = self.line.borrow_mut().to_client.drain(..).collect();
        self.bytes.extend(&came);
        self.input.extend(came);
        let mut got = Vec::new();
        while let Some((first, mut payload, used)) = whole_frame(&self.input) {
            if first & 0x40 != 0 {
                self.compressed += 1;
                payload = inflate(&payload);
            }
            got.push(match first & 15 {
                1 => {
                    assert!(self.protobuf.is_none(), "text on a line of protobuf");
                    Got::Message(serde_json::from_slice(&payload).expect("messages are JSON"))
                }
                2 => {
                    let reader = self.protobuf.as_mut().expect("binary on a line of JSON");
                    let json = reader.read(&payload).expect("messages are of the schema");
                    let message: Value = serde_json::from_slice(json).expect("it is JSON");
                    if message["type"] == "unopened" {
                        // Of an epoch that had ended when this line came to the stream.
                        self.input.drain(..used);
                        continue;
                    }
                    Got::Message(message)
                }
                8 => Got::Close(
                    payload.get(..2).map_or(0, |code| u16::from_be_bytes([code[0], code[1]])),
                    String::from_utf8(payload.get(2..).unwrap_or_default().to_vec()).unwrap(),
                ),
                9 => Got::Ping(payload),
                10 => Got::Pong(payload),
                other => panic!("opcode {other}"),
            });
            self.input.drain(..used);
        }
        got
    }

    /// The messages among what has come.
    pub(crate) fn messages(&mut self) -> Vec<Value> {
        let only = |got| if let Got::Message(message) = got { Some(message) } else { None };
        self.take().into_iter().filter_map(only).collect()
    }

    /// The data messages in short: `channel type symbol prev>seq`.
    pub(crate) fn short(&mut self) -> Vec<String> {
        self.messages().iter().map(short).collect()
    }

    /// Whether a begun frame has not come whole.
    pub(crate) fn has_begun_frame(&self) -> bool {
        !self.input.is_empty()
    }
}

/// A message in short.
pub(crate) fn short(message: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    if let Some(method) = message["method"].as_str() {
        return match message["success"].as_bool() {
            Some(false) => format!("{method} {}", message["code"]),
            _ => method.to_owned(),
        };
    }
    let channel = text(&message["channel"]);
    let data = &message["data"][0];
    match channel.as_str() {
        "heartbeat" => channel,
        "system" => format!("system {}", text(&message["type"])),
        "status" => format!("status {} {}", text(&data["symbol"]), text(&data["state"])),
        _ if data["prev"].is_u64() => {
            format!("{channel} {} {}>{}", text(&data["symbol"]), data["prev"], data["seq"])
        }
        _ => format!("{channel} {} ={}", text(&data["symbol"]), data["seq"]),
    }
}

/// What a compressed message says (RFC 7692, section 7.2.2).
fn inflate(payload: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let whole = [payload, &[0, 0, 0xFF, 0xFF]].concat();
    flate2::write::DeflateDecoder::new(&mut plain).write_all(&whole).expect("it is DEFLATE");
    plain
}

/// The compressed form of a message (RFC 7692, section 7.2.1).
pub(crate) fn deflate(message: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(message).and_then(|()| out.flush()).expect("memory takes everything");
    let mut whole = out.get_ref().clone();
    assert!(whole.ends_with(&[0, 0, 0xFF, 0xFF]), "a flush ends so");
    whole.truncate(whole.len() - 4);
    whole
}

fn whole_frame(input: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (first, second) = (*input.first()?, *input.get(1)?);
    let (length, head) = match second {
        126 => (usize::from(u16::from_be_bytes(input.get(2..4)?.try_into().unwrap())), 4),
        127 => (u64::from_be_bytes(input.get(2..10)?.try_into().unwrap()) as usize, 10),
        short => (usize::from(short), 2),
    };
    Some((first, input.get(head..head + length)?.to_vec(), head + length))
}

/// A publisher, a shard, and the time.
pub(crate) struct World {
    pub(crate) now: Nanos,
    pub(crate) directory: Arc<Directory>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) partition: Rc<RefCell<Partition>>,
    pub(crate) shard: Shard<Pipe>,
    pub(crate) metrics: Metrics,
    pub(crate) lines: Vec<(Token, Rc<RefCell<Line>>)>,
    pub(crate) open: Arc<AtomicUsize>,
    pub(crate) last_rest: Rest,
    /// The scales of the next events.
    pub(crate) scales: Scales,
}

impl World {
    pub(crate) fn new() -> World {
        World::with(ShardSettings::default())
    }

    pub(crate) fn with(settings: ShardSettings) -> World {
        let directory = Arc::new(Directory::default());
        let mut publisher = Publisher::new(
            Config {
                run: 1_770_000_000,
                tiers: Tiers::default(),
                partitions: 1,
                wakes: vec![Arc::new(|| ())],
                resync: Resync(Arc::new(|_| true)),
            },
            directory.clone(),
        );
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let open = Arc::new(AtomicUsize::new(0));
        let feed = publisher.feeds.remove(0);
        let hub = publisher.hub.clone();
        let shard = Shard::new(hub, ShardIndex(0), feed, settings, &metrics, open.clone(), 7);
        World {
            now: Nanos::from_secs(1_770_000_000),
            directory,
            hub: publisher.hub,
            partition: Rc::new(RefCell::new(publisher.partitions.remove(0))),
            shard,
            metrics,
            lines: Vec::new(),
            open,
            last_rest: Rest::No,
            scales: Scales { price: 1, size: 0, volume: 0 },
        }
    }

    /// Makes an instrument known, live and with a quote.
    pub(crate) fn instrument(&mut self, venue: Venue, symbol: &str) -> InstrumentIndex {
        let scales = Scales { price: 1, size: 0, volume: 0 };
        let index = self.directory.add(&InstrumentSpec {
            venue,
            symbol: symbol.into(),
            venue_symbol: symbol.into(),
            tick_size: None,
            lot_size: None,
            scales,
        });
        self.state(index, TradingState::Live);
        self.quote(index, 100);
        index
    }

    /// The instruments `sim:S0` and so on.
    pub(crate) fn instruments(&mut self, count: usize) -> Vec<InstrumentIndex> {
        (0..count).map(|at| self.instrument(Venue::Sim, &format!("S{at}"))).collect()
    }

    pub(crate) fn event(&mut self, instrument: InstrumentIndex, body: EventBody<'_>) {
        let batch = self.batch_of(instrument, body);
        self.partition.borrow_mut().turn(self.now, &[batch]);
    }

    /// A batch of one event.
    pub(crate) fn batch_of(&self, instrument: InstrumentIndex, body: EventBody<'_>) -> EventBatch {
        let mut batch = EventBatch::default();
        (batch.source, batch.clock) = (SourceIndex(0), self.now);
        batch.push(&Event {
            instrument,
            ts_event: self.now,
            ts_recv: self.now,
            scales: self.scales,
            body,
        });
        batch
    }

    pub(crate) fn state(&mut self, instrument: InstrumentIndex, state: TradingState) {
        self.event(instrument, EventBody::State(state));
    }

    /// A new bid; the ask stays one above it.
    pub(crate) fn quote(&mut self, instrument: InstrumentIndex, bid: i64) {
        let side = |price| Some((Price(price), Size(1)));
        let quote = Quote { bid: side(bid), ask: side(bid + 1) };
        self.event(instrument, EventBody::Quote(quote));
    }

    /// New bids of several instruments in one batch.
    pub(crate) fn quotes(&mut self, instruments: &[InstrumentIndex], bid: i64) {
        let side = |price| Some((Price(price), Size(1)));
        let mut batch = EventBatch::default();
        (batch.source, batch.clock) = (SourceIndex(0), self.now);
        for instrument in instruments {
            batch.push(&Event {
                instrument: *instrument,
                ts_event: self.now,
                ts_recv: self.now,
                scales: self.scales,
                body: EventBody::Quote(Quote { bid: side(bid), ask: side(bid + 1) }),
            });
        }
        self.partition.borrow_mut().turn(self.now, &[batch]);
    }

    pub(crate) fn connect(&mut self) -> Client {
        self.connect_as(Transport::WebSocket { encoding: Encoding::Json, compress: false })
    }

    pub(crate) fn connect_as(&mut self, transport: Transport) -> Client {
        self.connect_with_room(transport, usize::MAX)
    }

    pub(crate) fn connect_with_room(&mut self, transport: Transport, room: usize) -> Client {
        self.connect_arriving(transport, room, |arrival| arrival)
    }

    /// A client of whom the door knows more.
    pub(crate) fn connect_arriving(
        &mut self,
        transport: Transport,
        room: usize,
        arrive: impl FnOnce(Arrival) -> Arrival,
    ) -> Client {
        let is_protobuf =
            matches!(&transport, Transport::WebSocket { encoding: Encoding::Protobuf, .. });
        let protobuf = is_protobuf.then(ProtobufReader::new);
        let line = Rc::new(RefCell::new(Line { room, ..Line::default() }));
        let peer = SocketAddr::from(([127, 0, 0, 1], 1000 + self.lines.len() as u16));
        self.open.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let arrival = arrive(Arrival::new(peer, transport));
        let token = self.shard.connect(self.now, Pipe(line.clone()), arrival);
        self.lines.push((token, line.clone()));
        Client { token, line, input: Vec::new(), bytes: Vec::new(), compressed: 0, protobuf }
    }

    /// A client that has been welcomed and has subscribed, its first messages taken.
    pub(crate) fn subscriber(&mut self, params: Value) -> Client {
        let mut client = self.connect();
        client.subscribe(params);
        self.settle();
        client.take();
        client
    }

    /// Gives a line room, as a client does by reading.
    pub(crate) fn give_room(&mut self, client: &Client, bytes: usize) {
        let mut line = client.line.borrow_mut();
        line.room = line.room.saturating_add(bytes);
    }

    /// One turn.
    pub(crate) fn turn(&mut self) -> Rest {
        let mut readable = Vec::new();
        let mut writable = Vec::new();
        for (token, line) in &self.lines {
            let mut line = line.borrow_mut();
            if !line.to_server.is_empty() || line.client_closed || line.broken {
                readable.push(*token);
            }
            if line.full && line.room > 0 {
                line.full = false;
                writable.push(*token);
            }
        }
        let rest = self.shard.turn(self.now, &readable, &writable);
        self.shard.turned(self.now);
        self.last_rest = rest;
        rest
    }

    /// Turns until there is nothing left to do.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            let idle = |line: &Line| !line.full || line.room == 0;
            if self.turn() != Rest::No && self.lines.iter().all(|(_, line)| idle(&line.borrow())) {
                return;
            }
        }
        panic!("the shard never rests");
    }

    /// Lets time pass as the driver would: in small steps.
    pub(crate) fn pass(&mut self, span: Nanos) {
        let until = self.now.plus(span);
        while self.now < until {
            self.now = self.now.plus(Nanos::from_millis(25)).min(until);
            self.settle();
        }
    }
}

/// A client that follows the rule, for tickers: what it holds, and whether it ever missed
/// something without noticing.
#[derive(Debug, Default)]
pub(crate) struct Holder {
    pub(crate) held: std::collections::BTreeMap<String, (u64, u64, Value)>,
}

impl Holder {
    /// Takes a ticker message; `false` when something is missing.
    pub(crate) fn take(&mut self, message: &Value) -> bool {
        let data = &message["data"][0];
        let symbol = data["symbol"].as_str().unwrap().to_owned();
        let (epoch, seq) = (data["epoch"].as_u64().unwrap(), data["seq"].as_u64().unwrap());
        if message["type"] == "snapshot" {
            self.held.insert(symbol, (epoch, seq, data["bid"].clone()));
            return true;
        }
        let prev = data["prev"].as_u64().unwrap();
        let Some((held_epoch, held_seq, bid)) = self.held.get_mut(&symbol) else { return false };
        if *held_epoch != epoch || prev > *held_seq {
            return false;
        }
        if seq > *held_seq {
            *held_seq = seq;
            if !data["bid"].is_null() {
                *bid = data["bid"].clone();
            }
        }
        true
    }
}
