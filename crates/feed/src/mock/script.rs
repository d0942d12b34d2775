//! A recording, read whole: the messages in order, and the REST bodies.

use crate::{RecordKind, RecordingError, RecordingReader};
use std::path::Path;
use tickcast_market::{Nanos, Venue};

/// One received message.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Since the recording's first line.
    pub(super) at: Nanos,
    pub(super) text: String,
}

/// What there is to play.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) venue: Venue,
    pub(super) steps: Vec<Step>,
    /// URL and body.
    pub(super) rest: Vec<(String, String)>,
}

impl Script {
    pub(super) fn read(path: &Path) -> Result<Script, RecordingError> {
        let mut reader = RecordingReader::open(path)?;
        let venue = reader.header().venue;
        let mut script = Script { venue, steps: Vec::new(), rest: Vec::new() };
        let mut first = None;
        while let Some(record) = reader.next()? {
            let start = *first.get_or_insert(record.ts_recv);
            let text = String::from_utf8_lossy(record.payload).into_owned();
            match record.kind {
                RecordKind::Recv => {
                    script.steps.push(Step { at: record.ts_recv.since(start), text });
                }
                RecordKind::Rest => {
                    if let Some((url, body)) = text.split_once(' ') {
                        script.rest.push((url.to_owned(), body.to_owned()));
                    }
                }
                RecordKind::Open | RecordKind::Send | RecordKind::Close => {}
            }
        }
        Ok(script)
    }
}
