//! The shard's thread with real sockets: what is handed over is served, and it ends when told to.

use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tickcast_gateway::{
    Handoff, Metrics, Poller, Shard, ShardHandle, ShardSettings, Shards, Transport,
};
use tickcast_market::{
    Directory, Event, EventBatch, EventBody, InstrumentIndex, InstrumentSpec, Nanos, Price, Quote,
    Scales, Size, Venue,
};
use tickcast_publisher::{Config, Partition, Publisher, Resync, ShardIndex, Tiers};
use tickcast_wire::Encoding;

fn clock() -> Nanos {
    Nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64)
}

struct Service {
    shards: Arc<Shards>,
    partition: Partition,
    instrument: InstrumentIndex,
    thread: JoinHandle<()>,
}

impl Service {
    fn start() -> Service {
        let directory = Arc::new(Directory::default());
        let poller = Poller::new().unwrap();
        let (handle, inbox) = ShardHandle::new({
            let wake = poller.wake();
            move || wake()
        });
        let mut publisher = Publisher::new(
            Config {
                run: 1_770_000_000,
                tiers: Tiers::default(),
                partitions: 1,
                wakes: vec![poller.wake()],
                resync: Resync(Arc::new(|_| true)),
            },
            directory.clone(),
        );
        let instrument = directory.add(&InstrumentSpec {
            venue: Venue::Sim,
            symbol: "S0".into(),
            venue_symbol: "S0".into(),
            tick_size: None,
            lot_size: None,
            scales: Scales::default(),
        });
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let shard = Shard::new(
            publisher.hub.clone(),
            ShardIndex(0),
            publisher.feeds.remove(0),
            ShardSettings { close_within_ms: 200, ..ShardSettings::default() },
            &metrics,
            inbox.connections.clone(),
            1,
        );
        let thread = std::thread::spawn(move || poller.run(shard, &inbox, clock).unwrap());
        let partition = publisher.partitions.remove(0);
        Service { shards: Arc::new(Shards::new(vec![handle])), partition, instrument, thread }
    }

    fn quote(&mut self, bid: i64) {
        let mut batch = EventBatch::default();
        let side = |price| Some((Price(price), Size(1)));
        batch.push(&Event {
            instrument: self.instrument,
            ts_event: clock(),
            ts_recv: clock(),
            scales: Scales::default(),
            body: EventBody::Quote(Quote { bid: side(bid), ask: side(bid + 1) }),
        });
        self.partition.turn(clock(), &[batch]);
    }

    fn connect(&self) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let (socket, peer) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let transport = Transport::WebSocket { encoding: Encoding::Json, compress: false };
        let handoff = Handoff {
            socket,
            tls: None,
            peer,
            answer: Vec::new(),
            read_ahead: Vec::new(),
            transport,
            who: tickcast_gateway::Who::Anybody,
            seat: None,
        };
        self.shards.give(handoff).unwrap();
        Client { socket: client, input: Vec::new() }
    }
}

struct Client {
    socket: TcpStream,
    input: Vec<u8>,
}

impl Client {
    fn subscribe(&mut self) {
        let request = json!({"method": "subscribe",
                             "params": {"channel": "ticker", "symbol": "sim:S0"}});
        let request = request.to_string();
        let mut frame = vec![0x81, 0x80 | request.len() as u8, 0, 0, 0, 0];
        frame.extend(request.as_bytes());
        self.socket.write_all(&frame).unwrap();
    }

    /// Reads until a text has come, and forgets everything up to it.
    fn until(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        loop {
            let found = self.input.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(at) = found {
                self.input.drain(..at + text.len());
                return;
            }
            let length = self.socket.read(&mut buffer).expect("it comes within the timeout");
            assert_ne!(length, 0, "the line was closed before {text}");
            self.input.extend(&buffer[..length]);
        }
    }
}

#[test]
fn what_is_handed_over_is_served_until_the_shard_is_stopped() {
    let mut service = Service::start();
    let mut clients: Vec<Client> = (0..20).map(|_| service.connect()).collect();
    for client in &mut clients {
        client.subscribe();
        client.until("\"type\":\"snapshot\",\"data\":[{\"symbol\":\"sim:S0\"");
    }
    // Many batches in quick succession, more than a channel takes: nobody may miss the last.
    for bid in 0..5_000 {
        service.quote(bid);
    }
    for client in &mut clients {
        client.until("\"bid\":\"4999\"");
    }
    let mut json = Vec::new();
    tickcast_gateway::Clients::write_json(&*service.shards, &mut json);
    let told: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(told.as_array().unwrap().len(), 20);
    assert_eq!(told[0]["granted"], json!([{"channel": "ticker", "instruments": 1}]));
    clients.pop();
    service.shards.stop();
    for client in &mut clients {
        client.until("the service stops");
    }
    service.thread.join().unwrap();
    assert_eq!(service.shards.connections(), 0);
}
