//! The last things that happened to a client, for whoever has to find out why it is wrong.

use crate::client::Heard;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use tickcast_market::Nanos;

/// How many notes are kept.
const NOTES_MAX: usize = 60;

/// How much of a text is shown.
const TEXT_BYTES_MAX: usize = 400;

#[derive(Debug, Default)]
pub(crate) struct Story(VecDeque<(Nanos, Note)>);

#[derive(Debug)]
enum Note {
    Did(String),
    Got(Rc<Heard>),
}

impl Story {
    fn push(&mut self, now: Nanos, note: Note) {
        if self.0.len() == NOTES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now, note));
    }

    pub(crate) fn did(&mut self, now: Nanos, what: impl Into<String>) {
        self.push(now, Note::Did(what.into()));
    }

    pub(crate) fn got(&mut self, now: Nanos, message: Rc<Heard>) {
        self.push(now, Note::Got(message));
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (now, note) in &self.0 {
            write!(f, "\n  {:>10}.{:06} ", now.0 / 1_000_000_000, now.micros() % 1_000_000)?;
            match note {
                Note::Did(what) => write!(f, "-- {what}")?,
                Note::Got(heard) => {
                    let shown = &heard.text[..heard.text.len().min(TEXT_BYTES_MAX)];
                    write!(f, "<- {}", String::from_utf8_lossy(shown))?;
                }
            }
        }
        Ok(())
    }
}
