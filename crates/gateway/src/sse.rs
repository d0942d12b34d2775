//! Server-sent events: the same messages in another framing.
//!
//! `event:` is the channel, `data:` the message on one line (JSON has no line ends of its own).
//! Where a request names one stream, events of its channel carry an `id:` that resumes it; others
//! never do, or a client would resume from something that is no place in the stream.

use crate::connection::Framing;
use crate::shard::Shard;
use crate::shard_pass::PassFrame;
use crate::socket::Socket;
use tickcast_market::Since;
use tickcast_wire::{Channel, Pattern, parse_event_id, parse_query, write_event_id};

/// Keys of a query that are not options of a subscription.
const ALSO: [&str; 1] = ["token"];

impl<S: Socket> Shard<S> {
    /// Subscribes an event stream to what its request names; where it left off, if it says so.
    pub(crate) fn begin_events(&mut self, token: u32, query: &str, last_event_id: Option<&str>) {
        let mut params = match parse_query(query, &ALSO) {
            Ok(params) => params,
            Err(error) => {
                self.refuse(token, &error);
                return self.close(token, error.code.number(), &error.error);
            }
        };
        let Some(connection) = self.get_mut(token) else { return };
        if let [Pattern::Exact(name)] = &params.symbols[..] {
            connection.framing = Framing::Sse { ids: true };
            if let Some(since) = last_event_id.and_then(parse_event_id) {
                params.since.insert(name.clone(), since);
            }
        }
        self.subscribe(token, None, &params);
    }
}

/// Appends an event.
pub(crate) fn write_event(out: &mut Vec<u8>, event: &str, id: Option<Since>, message: &[u8]) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(event.as_bytes());
    if let Some(since) = id {
        out.extend_from_slice(b"\nid: ");
        write_event_id(out, since);
    }
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(message);
    out.extend_from_slice(b"\n\n");
}

/// The id of a message, where it has one.
fn id_of(channel: Channel, ids: bool, since: Since) -> Option<Since> {
    (ids && channel != Channel::Status).then_some(since)
}

/// Appends a frame of the pass as an event.
pub(crate) fn write_frame(out: &mut Vec<u8>, ids: bool, frame: &PassFrame, bytes: &[u8]) {
    let since = Since { epoch: frame.epoch, seq: frame.seq };
    let message = &bytes[usize::from(frame.head_len)..];
    let channel = frame.kind.channel();
    write_event(out, channel.name(), id_of(channel, ids, since), message);
}

/// How long [`write_frame`] makes a frame.
pub(crate) fn frame_length(ids: bool, frame: &PassFrame) -> usize {
    let since = Since { epoch: frame.epoch, seq: frame.seq };
    let channel = frame.kind.channel();
    let id = id_of(channel, ids, since);
    let mut around = Vec::with_capacity(96);
    write_event(&mut around, channel.name(), id, b"");
    around.len() + frame.len as usize - usize::from(frame.head_len)
}

impl Framing {
    /// Appends a data message that stands in `frame` as a WebSocket frame with a head of
    /// `head_len` bytes.
    pub(crate) fn put(
        self,
        out: &mut Vec<u8>,
        channel: Channel,
        since: Option<Since>,
        head_len: u8,
        frame: &[u8],
    ) {
        match self {
            Framing::WebSocket => out.extend_from_slice(frame),
            Framing::Sse { ids } => {
                let id = since.and_then(|since| id_of(channel, ids, since));
                write_event(out, channel.name(), id, &frame[usize::from(head_len)..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_market::{Epoch, Seq};

    #[test]
    fn events_name_their_channel_and_carry_ids_where_one_stream_was_asked_for() {
        let since = Some(Since { epoch: Epoch(7), seq: Seq(9) });
        for (ids, channel, expected) in [
            (true, Channel::Ticker, "event: ticker\nid: 7-9\ndata: {}\n\n"),
            (false, Channel::Ticker, "event: ticker\ndata: {}\n\n"),
            (true, Channel::Status, "event: status\ndata: {}\n\n"),
        ] {
            let mut out = Vec::new();
            Framing::Sse { ids }.put(&mut out, channel, since, 2, b"\x81\x02{}");
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
