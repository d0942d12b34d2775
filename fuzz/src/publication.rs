//! What becomes of a handler's events: they are judged one by one, carried to a publisher, and
//! every frame that it makes for a client is read as a client would.
//!
//! At its end every view of an instrument must be readable, whatever the venue has said.

use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use tickcast_feed::{InboxSender, Outlet};
use tickcast_market::{
    Directory, Event, EventBatch, EventBody, InstrumentIndex, InstrumentSpec, Nanos, Sink,
    SourceIndex,
};
use tickcast_publisher::{
    Config, Publisher, Resync, Scratch, ShardIndex, Tier, Tiers, TopicKey, Wake,
};
use tickcast_wire::{Depth, Encoding, FieldSet, Interval, Message, View};

const RUN: u64 = 1_770_000_000;
const SHARD: ShardIndex = ShardIndex(0);
/// Instruments that are listened to; of more only the events are judged.
const LISTENED_MAX: usize = 4;
/// Scales as fine as the market's numbers allow.
const SCALE_MAX: u8 = 18;
/// Books found crossed that wait to be reported.
const CROSSED_MAX: usize = 16;
/// Events that are written down.
const LOG_LINES_MAX: usize = 4096;

/// A publisher of one partition and a shard that listens to everything.
pub(crate) struct Publication {
    outlet: Outlet,
    batches: Receiver<EventBatch>,
    recycled: Sender<EventBatch>,
    publisher: Publisher,
    crossed: Receiver<InstrumentIndex>,
    instruments: usize,
    listened: usize,
    log: Vec<String>,
}

impl Publication {
    /// When a script begins.
    pub(crate) const START: Nanos = Nanos::from_secs(RUN as i64);

    /// Nothing is known yet.
    pub(crate) fn new() -> Publication {
        let directory = Arc::new(Directory::default());
        let (inbox, batches, recycled) = InboxSender::bounded(4);
        let outlet = Outlet::to_inboxes(SourceIndex(0), directory.clone(), &[inbox]);
        let (found, crossed) = bounded(CROSSED_MAX);
        let config = Config {
            run: RUN,
            tiers: Tiers::default(),
            partitions: 1,
            wakes: vec![Arc::new(|| {}) as Wake],
            resync: Resync(Arc::new(move |instrument| found.try_send(instrument).is_ok())),
        };
        let publisher = Publisher::new(config, directory);
        Publication {
            outlet,
            batches,
            recycled,
            publisher,
            crossed,
            instruments: 0,
            listened: 0,
            log: Vec::new(),
        }
    }

    /// Whether there is such an instrument.
    pub(crate) fn knows(&self, instrument: InstrumentIndex) -> bool {
        instrument.index() < self.instruments
    }

    /// The instruments whose books were found crossed since this was last asked.
    pub(crate) fn take_crossed(&mut self) -> Vec<InstrumentIndex> {
        self.crossed.try_iter().collect()
    }

    /// Carries what was said to the publisher and reads what it makes of it.
    pub(crate) fn publish(&mut self, now: Nanos) {
        self.outlet.flush(now).expect("its inbox is empty");
        while let Ok(batch) = self.batches.try_recv() {
            let partition = &mut self.publisher.partitions[0];
            partition.turn(now, std::slice::from_ref(&batch));
            // Without room it is dropped, as in the service.
            let _ = self.recycled.try_send(batch);
        }
        while let Some(batch) = self.publisher.feeds[0].try_next() {
            for frame in &batch.frames {
                read(batch.message(frame));
            }
        }
        self.listen();
    }

    /// Listens to instruments that are new.
    fn listen(&mut self) {
        for at in self.listened..self.instruments.min(LISTENED_MAX) {
            for view in views() {
                let key = key(InstrumentIndex(at as u32), view);
                self.publisher.hub.acquire(SHARD, &key).expect("the instrument is known");
            }
            self.listened += 1;
        }
    }

    /// Reads every view of every instrument, and says what was said.
    pub(crate) fn end(mut self) -> Vec<String> {
        let (mut scratch, mut item) = (Scratch::default(), Vec::new());
        for at in 0..self.instruments {
            for view in views() {
                item.clear();
                let key = key(InstrumentIndex(at as u32), view);
                let hub = &self.publisher.hub;
                assert!(hub.item(&key, Publication::START, &mut scratch, &mut item));
                let text = std::str::from_utf8(&item).expect("an item is text");
                self.log.push(text.to_owned());
                let channel = view.channel().name();
                read(
                    format!(r#"{{"channel":"{channel}","type":"snapshot","data":[{text}]}}"#)
                        .as_bytes(),
                );
            }
        }
        self.log
    }
}

fn views() -> [View; 6] {
    [
        View::Status,
        View::Ticker,
        View::Trades,
        View::Book(Depth::default()),
        View::Bars(Interval::S1),
        View::Bars(Interval::H1),
    ]
}

fn key(instrument: InstrumentIndex, view: View) -> TopicKey {
    let (tier, fields) = (Tier(0), FieldSet::ALL);
    TopicKey { instrument, view, tier, fields, encoding: Encoding::Json }
}

/// Reads a message as a client would.
fn read(message: &[u8]) {
    let text = || String::from_utf8_lossy(message);
    match Message::decode(message) {
        Ok(Message::Unknown) => panic!("no client knows {}", text()),
        Ok(_) => {}
        Err(error) => panic!("{error}: {}", text()),
    }
}

impl Sink for Publication {
    fn instrument(&mut self, spec: &InstrumentSpec) -> InstrumentIndex {
        assert!(!spec.symbol.is_empty() && !spec.venue_symbol.is_empty(), "{spec:?}");
        let index = self.outlet.instrument(spec);
        self.instruments = self.instruments.max(index.index() + 1);
        assert!(self.knows(index));
        index
    }

    fn event(&mut self, event: &Event<'_>) {
        assert!(self.knows(event.instrument), "an event of nobody");
        // It may be coarser than one before it (a state has no numbers, two names may mean one
        // instrument): a publisher brings every event to the finest scales it has seen.
        let now = event.scales;
        assert!(now.price.max(now.size).max(now.volume) <= SCALE_MAX, "{now:?}");
        match event.body {
            EventBody::Trades(trades) => assert!(!trades.is_empty(), "no trades are no event"),
            EventBody::BookUpdate(_) | EventBody::BookSnapshot(_) | EventBody::Quote(_) => {}
            EventBody::Bars(_, bars) => assert!(!bars.is_empty(), "no bars are no event"),
            EventBody::Day(_) | EventBody::State(_) => {}
        }
        if self.log.len() < LOG_LINES_MAX {
            self.log.push(format!("{event:?}"));
        }
        self.outlet.event(event);
    }
}
