//! Who wants to hear of which symbol: a list of subscribers each, and a bounded channel a client.

use bytes::Bytes;
use fastwebsockets::OpCode;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tickcast_benches::{Instrument, Market, Updates};
use tokio::sync::{Notify, mpsc};

/// Frames that wait for a client.
pub(crate) const CHANNEL_FRAMES_MAX: usize = 1024;

/// The sending side of a client.
#[derive(Debug)]
pub(crate) struct Client {
    frames: mpsc::Sender<(OpCode, Bytes)>,
    /// Symbols whose frames it missed, to be served by a snapshot when its channel is empty.
    missed: Mutex<Vec<usize>>,
    /// Something was missed.
    pub(crate) has_missed: Notify,
}

#[derive(Debug)]
struct Subscriber {
    client: Arc<Client>,
    /// Gets frames; otherwise it has missed some and waits for its snapshot.
    is_current: bool,
}

#[derive(Debug)]
struct Symbol {
    instrument: Instrument,
    subscribers: Vec<Subscriber>,
}

/// All symbols.
#[derive(Debug)]
pub(crate) struct Hub {
    by_name: HashMap<String, usize>,
    symbols: Vec<Mutex<Symbol>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    pub(crate) fn new() -> (Arc<Client>, mpsc::Receiver<(OpCode, Bytes)>) {
        let (frames, receiver) = mpsc::channel(CHANNEL_FRAMES_MAX);
        let client = Client { frames, missed: Mutex::default(), has_missed: Notify::new() };
        (Arc::new(client), receiver)
    }

    pub(crate) fn take_missed(&self) -> Vec<usize> {
        std::mem::take(&mut *lock(&self.missed))
    }

    /// Has a symbol served by a snapshot when the channel is empty.
    pub(crate) fn miss(&self, place: usize) {
        lock(&self.missed).push(place);
        self.has_missed.notify_one();
    }

    pub(crate) async fn send(&self, opcode: OpCode, payload: Bytes) {
        // The receiver is gone when the connection is, and then nobody waits for it.
        let _ = self.frames.send((opcode, payload)).await;
    }
}

impl Hub {
    pub(crate) fn new(market: &Market) -> Hub {
        let names = market.instruments.iter().map(|instrument| instrument.symbol.clone());
        let symbol = |instrument: &Instrument| {
            Mutex::new(Symbol { instrument: instrument.clone(), subscribers: Vec::new() })
        };
        Hub {
            by_name: names.zip(0..).collect(),
            symbols: market.instruments.iter().map(symbol).collect(),
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The present quote; what comes after it goes to the client's channel.
    pub(crate) fn subscribe(&self, place: usize, client: &Arc<Client>) -> String {
        let mut symbol = lock(&self.symbols[place]);
        match symbol.subscribers.iter_mut().find(|one| Arc::ptr_eq(&one.client, client)) {
            Some(subscriber) => subscriber.is_current = true,
            None => {
                symbol.subscribers.push(Subscriber { client: client.clone(), is_current: true });
            }
        }
        symbol.instrument.snapshot()
    }

    pub(crate) fn unsubscribe(&self, place: usize, client: &Arc<Client>) {
        lock(&self.symbols[place]).subscribers.retain(|one| !Arc::ptr_eq(&one.client, client));
    }

    /// Lets the market happen.
    pub(crate) fn publish(&self, mut market: Market, mut updates: Updates) {
        loop {
            updates.wait();
            let place = market.choose();
            let (before, now) = market.step(place);
            let message = Bytes::from(now.update(&before));
            let mut symbol = lock(&self.symbols[place]);
            symbol.instrument = now.clone();
            for subscriber in &mut symbol.subscribers {
                let frame = (OpCode::Text, message.clone());
                if subscriber.is_current && subscriber.client.frames.try_send(frame).is_err() {
                    subscriber.is_current = false;
                    subscriber.client.miss(place);
                }
            }
        }
    }
}
