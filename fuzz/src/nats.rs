//! Events from NATS, in both forms: the handler driven by a script, its events published.
//!
//! Protobuf is no text, so the script is not one of lines (`script.rs`). Its parts are a byte that says
//! what happens, and for a message two bytes with its length and the message: the subject, a space,
//! the payload. What stays of the message at the end of the input is a message as well.
//!
//! | byte modulo 8 | what happens |
//! |---|---|
//! | 0 to 3 | a message |
//! | 4 | the connection is lost and another one opened |
//! | 5 | a second passes; the handler's timer runs |
//! | 6 | the connection is silent |
//! | 7 | somebody found the first instrument's book crossed |
//!
//! Each message of JSON is cut into its lines too: line by line it must say what it says as a whole.

use crate::publication::Publication;
use tickcast_feed::{Command, ConnectionIndex, Handler, Io, Tally, VenueConfig, handler_of};
use tickcast_market::{InstrumentIndex, Nanos, Venue};

/// Parts that are played of one script.
const PARTS_MAX: usize = 256;
/// The most lines that a message may have.
const LINES_MAX: usize = 4096;

/// Tries one input.
pub fn run(data: &[u8]) {
    let (mut whole, mut by_line) = (Stage::new(false), Stage::new(true));
    let mut rest = data;
    for _ in 0..PARTS_MAX {
        let Some((kind, after)) = rest.split_first() else { break };
        rest = after;
        let part = match kind % 8 {
            0..=3 => {
                let Some((length, after)) = rest.split_first_chunk::<2>() else { break };
                let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
                let (message, after) = after.split_at(length);
                rest = after;
                Part::Message(message)
            }
            4 => Part::Reconnect,
            5 => Part::Second,
            6 => Part::Silence,
            _ => Part::Crossed,
        };
        whole.play(&part);
        by_line.play(&part);
    }
    assert_eq!(whole.tally.gaps, by_line.tally.gaps);
    assert_eq!(whole.publication.end(), by_line.publication.end());
}

enum Part<'a> {
    Message(&'a [u8]),
    Reconnect,
    Second,
    Silence,
    Crossed,
}

struct Stage {
    handler: Box<dyn Handler>,
    publication: Publication,
    tally: Tally,
    now: Nanos,
    connection: ConnectionIndex,
    is_by_line: bool,
}

impl Stage {
    fn new(is_by_line: bool) -> Stage {
        let handler = handler_of(Venue::Nats, &VenueConfig::default());
        let mut stage = Stage {
            handler: handler.expect("a live venue has one"),
            publication: Publication::new(),
            tally: Tally::default(),
            now: Publication::START,
            connection: ConnectionIndex { line: 0, generation: 0 },
            is_by_line,
        };
        stage.with(|handler, connection, io| handler.opened(connection, "nats://x", io));
        stage
    }

    fn play(&mut self, part: &Part<'_>) {
        match part {
            Part::Message(message) => self.message(message),
            Part::Reconnect => {
                self.with(|handler, connection, io| handler.closed(connection, io));
                self.connection.generation = self.connection.generation.wrapping_add(1);
                self.with(|handler, connection, io| handler.opened(connection, "nats://x", io));
            }
            Part::Second => {
                self.now = self.now.plus(Nanos::from_secs(1));
                self.with(|handler, _, io| handler.timer(io));
            }
            Part::Silence => self.with(|handler, connection, io| handler.silent(connection, io)),
            Part::Crossed => self.resync(InstrumentIndex(0)),
        }
        self.publication.publish(self.now);
        for instrument in self.publication.take_crossed() {
            self.resync(instrument);
        }
    }

    fn message(&mut self, message: &[u8]) {
        let space = message.iter().position(|byte| *byte == b' ').unwrap_or(message.len());
        let (subject, payload) = message.split_at(space);
        // What does not begin with a brace is protobuf, whatever stands in it.
        let is_text = payload.get(1) == Some(&b'{');
        // A message of more lines than are taken is refused as a whole.
        let is_few = payload.iter().filter(|byte| **byte == b'\n').count() < LINES_MAX;
        let mut lines = vec![&payload[payload.len().min(1)..]];
        if self.is_by_line && is_few && is_text {
            lines = payload[1..].split(|byte| *byte == b'\n').collect();
        }
        for line in lines {
            let mut bytes = match line.first() {
                _ if !self.is_by_line || !is_text => message.to_vec(),
                Some(b'{') => [subject, b" ", line].concat(),
                // Only what begins with a brace is a line of JSON.
                _ => [subject, b" {}\n", line].concat(),
            };
            self.with(|handler, connection, io| handler.message(connection, &mut bytes, io));
        }
    }

    fn resync(&mut self, instrument: InstrumentIndex) {
        if self.publication.knows(instrument) {
            self.with(|handler, _, io| handler.resync(instrument, io));
        }
    }

    fn with(&mut self, call: impl FnOnce(&mut dyn Handler, ConnectionIndex, &mut Io<'_>)) {
        let mut commands = Vec::new();
        let mut io = Io {
            sink: &mut self.publication,
            commands: &mut commands,
            tally: &mut self.tally,
            now: self.now,
        };
        call(&mut *self.handler, self.connection, &mut io);
        for command in commands {
            if let Command::Report { text } = command {
                assert!(!text.contains(char::is_control), "{text:?} would break the log");
            }
        }
    }
}
