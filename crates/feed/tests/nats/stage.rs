//! The handler with nothing around it: what it is told, and what it says.

use crate::messages::{Event, Message};
use prost::Message as _;
use tickcast_feed::{Command, ConnectionIndex, Handler, Io, NatsConfig, NatsHandler, Tally};
use tickcast_market::{
    Event as MarketEvent, EventBody, InstrumentIndex, InstrumentSpec, Nanos, Sink,
};

/// What the stage's clock says at first.
pub(crate) const NOW: Nanos = Nanos::from_secs(1_770_000_000);

/// Writes down what is said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    specs: Vec<InstrumentSpec>,
    pub(crate) events: Vec<String>,
}

impl Sink for Said {
    fn instrument(&mut self, spec: &InstrumentSpec) -> InstrumentIndex {
        let known = self.specs.iter().position(|known| known.symbol == spec.symbol);
        let at = known.unwrap_or_else(|| {
            self.specs.push(spec.clone());
            self.specs.len() - 1
        });
        InstrumentIndex(at as u32)
    }

    fn event(&mut self, event: &MarketEvent<'_>) {
        let symbol = &self.specs[event.instrument.index()].symbol;
        assert!(event.ts_recv >= NOW);
        let text = match event.body {
            EventBody::State(state) => format!("{symbol} {}", state.name()),
            body => format!("{symbol} {} {:?} {body:?}", event.ts_event.0, event.scales),
        };
        self.events.push(text);
    }
}

pub(crate) struct Stage {
    pub(crate) handler: NatsHandler,
    pub(crate) said: Said,
    pub(crate) tally: Tally,
    pub(crate) reports: Vec<String>,
    generation: u16,
    now: Nanos,
}

impl Stage {
    /// A handler whose connection is open.
    pub(crate) fn open() -> Stage {
        Stage::with(NatsConfig { subjects: vec!["prices.>".into()], ..NatsConfig::default() })
    }

    pub(crate) fn with(config: NatsConfig) -> Stage {
        let mut stage = Stage {
            handler: NatsHandler::new(config),
            said: Said::default(),
            tally: Tally::default(),
            reports: Vec::new(),
            generation: 0,
            now: NOW,
        };
        stage.call(|handler, connection, io| handler.opened(connection, "nats://x", io));
        stage
    }

    pub(crate) fn call(
        &mut self,
        call: impl FnOnce(&mut NatsHandler, ConnectionIndex, &mut Io<'_>),
    ) {
        let mut commands = Vec::new();
        let mut io = Io {
            sink: &mut self.said,
            commands: &mut commands,
            tally: &mut self.tally,
            now: self.now,
        };
        let connection = ConnectionIndex { line: 0, generation: self.generation };
        call(&mut self.handler, connection, &mut io);
        for command in commands {
            if let Command::Report { text } = command {
                self.reports.push(text);
            }
        }
    }

    /// Time passes, and the timer is called.
    pub(crate) fn after(&mut self, seconds: i64) {
        self.now = self.now.plus(Nanos::from_secs(seconds));
        self.call(|handler, _, io| handler.timer(io));
    }

    /// The connection is lost and another one opened.
    pub(crate) fn reconnect(&mut self) {
        self.call(|handler, connection, io| handler.closed(connection, io));
        self.generation += 1;
        self.call(|handler, connection, io| handler.opened(connection, "nats://x", io));
    }

    pub(crate) fn payload(&mut self, payload: &[u8]) {
        let mut bytes = [b"prices.x ", payload].concat();
        self.call(|handler, connection, io| handler.message(connection, &mut bytes, io));
    }

    pub(crate) fn publish(&mut self, events: &[Event]) {
        self.payload(&Message { events: events.to_vec() }.encode_to_vec());
    }

    /// What was said since this was last asked.
    pub(crate) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said.events)
    }

    /// What was refused since this was last asked: reasons.
    pub(crate) fn refused(&mut self) -> Vec<&'static str> {
        let counts = std::mem::take(&mut self.tally.decode_errors);
        counts.iter().flat_map(|(reason, count)| vec![*reason; *count as usize]).collect()
    }
}
