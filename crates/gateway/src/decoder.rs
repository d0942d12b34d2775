//! The edge's inbound WebSocket decoder (RFC 6455): bytes in, events out.
//!
//! It does no I/O and reads no clock. Messages that lie whole in the caller's buffer are handed on
//! from there; bytes are kept only of a message that is not finished, and only those that have
//! come: a declared length is compared with the limit and never allocated for. Of a compressed
//! message the compressed bytes are kept; it is inflated when it is whole.
//!
//! *Invariant:* the events and the violation depend on the bytes alone, not on how they were cut.

use crate::frame::{HEAD_BYTES_MAX, Head, Opcode, is_close_code, unmask};
use crate::inflate::Inflater;
use std::ops::ControlFlow;

/// How much a peer may send in one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageLimits {
    /// The sum of a message's fragments, in bytes; also what a compressed one may be inflated to.
    pub bytes_max: usize,
    /// How many fragments a message may have, empty ones counted.
    pub fragments_max: u32,
}

impl MessageLimits {
    /// Before a client has authenticated, where that is required.
    pub const BEFORE_AUTH: MessageLimits = MessageLimits { bytes_max: 4 << 10, fragments_max: 16 };
    /// Afterwards: a thousand `since` entries fit.
    pub const DEFAULT: MessageLimits = MessageLimits { bytes_max: 64 << 10, fragments_max: 16 };
}

/// What a peer has sent; borrowed from the read buffer wherever it lay whole in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole message of text.
    Text(&'a str),
    /// A whole message of bytes.
    Binary(&'a [u8]),
    /// To be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// The answer to a ping of ours, or a sign of life.
    Pong(&'a [u8]),
    /// Code and reason, where the peer gave them. Nothing is decoded after it.
    Close(Option<(u16, &'a str)>),
}

/// A breach of the protocol: what to put into the close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Violation {
    /// 1002 (protocol), 1007 (not UTF-8, not DEFLATE) or 1009 (too big).
    pub code: u16,
    /// In words.
    pub reason: &'static str,
}

impl Violation {
    pub(crate) const fn protocol(reason: &'static str) -> Violation {
        Violation { code: 1002, reason }
    }

    const fn not_utf8(reason: &'static str) -> Violation {
        Violation { code: 1007, reason }
    }

    const fn too_big(reason: &'static str) -> Violation {
        Violation { code: 1009, reason }
    }
}

/// The state of one connection's inbound side: a pointer, null between messages.
#[derive(Debug, Default)]
pub struct Decoder {
    unfinished: Option<Box<Unfinished>>,
}

/// What there is of a frame or message that is not finished.
#[derive(Debug, Default)]
struct Unfinished {
    /// The first bytes of a head that is not whole.
    head: [u8; HEAD_BYTES_MAX],
    head_len: u8,
    /// A frame whose payload is not whole.
    frame: Option<Frame>,
    /// The payload so far, if `frame` is a control frame.
    control: Vec<u8>,
    message: Option<Message>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    head: Head,
    taken: usize,
}

/// A data message of which some bytes or fragments have come.
#[derive(Debug)]
struct Message {
    is_text: bool,
    is_compressed: bool,
    fragments: u32,
    payload: Vec<u8>,
    /// How many bytes from the start are known to be whole characters.
    valid: usize,
}

impl Message {
    fn new(head: &Head) -> Message {
        Message {
            is_text: head.opcode == Opcode::Text,
            is_compressed: head.compressed,
            fragments: 1, // `admit` counts the further ones.
            payload: Vec::new(),
            valid: 0,
        }
    }

    /// Adds bytes and finds what is wrong with them as soon as it can be seen; at most three bytes
    /// are looked at again.
    fn push(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        self.payload.extend_from_slice(bytes);
        if !self.is_text || self.is_compressed {
            return Ok(());
        }
        match std::str::from_utf8(&self.payload[self.valid..]) {
            Ok(_) => self.valid = self.payload.len(),
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(TEXT_NOT_UTF8),
        }
        Ok(())
    }
}

/// Whom events go to, and what they have to go through.
struct Way<'a> {
    limits: &'a MessageLimits,
    inflater: Option<&'a mut Inflater>,
    on: &'a mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
}

impl Way<'_> {
    fn message(
        &mut self,
        is_text: bool,
        is_compressed: bool,
        payload: &[u8],
    ) -> Result<ControlFlow<()>, Violation> {
        let payload = match &mut self.inflater {
            Some(inflater) if is_compressed => inflater.inflate(payload, self.limits.bytes_max)?,
            _ => payload,
        };
        if is_text {
            Ok((self.on)(Event::Text(std::str::from_utf8(payload).map_err(|_| TEXT_NOT_UTF8)?)))
        } else {
            Ok((self.on)(Event::Binary(payload)))
        }
    }

    fn control(&mut self, opcode: Opcode, payload: &[u8]) -> Result<ControlFlow<()>, Violation> {
        match opcode {
            Opcode::Ping => Ok((self.on)(Event::Ping(payload))),
            Opcode::Pong => Ok((self.on)(Event::Pong(payload))),
            _ => {
                let _ = (self.on)(Event::Close(close_payload(payload)?));
                Ok(ControlFlow::Break(()))
            }
        }
    }
}

const TEXT_NOT_UTF8: Violation = Violation::not_utf8("a text message is not UTF-8");

impl Decoder {
    /// The state of a connection on which nothing has come.
    pub const fn new() -> Decoder {
        Decoder { unfinished: None }
    }

    /// Whether part of a message has come and the rest has not: a deadline should be running.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }

    /// How much memory the unfinished message occupies beyond the decoder itself, in bytes.
    pub fn kept_bytes(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |unfinished| {
            size_of::<Unfinished>()
                + unfinished.control.capacity()
                + unfinished.message.as_ref().map_or(0, |message| message.payload.capacity())
        })
    }

    /// Decodes `bytes`, unmasking them in place, and calls `on` with each event in order. There is an
    /// `inflater` where compressed messages were agreed on, and then always.
    ///
    /// Ends early, dropping the rest of `bytes`, when `on` breaks and after [`Event::Close`]; the
    /// decoder must not be fed again then, nor after an error.
    ///
    /// *Errors:* what is to be told to the peer in a close frame; events before it were delivered.
    ///
    /// *Cost:* allocates nothing while messages lie whole in `bytes`; otherwise in proportion to
    /// the bytes that came of the unfinished one. Inflating one comes to what `limits` allow.
    pub fn feed(
        &mut self,
        bytes: &mut [u8],
        limits: &MessageLimits,
        inflater: Option<&mut Inflater>,
        on: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<(), Violation> {
        let mut way = Way { limits, inflater, on };
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(frame) = self.take_head(&mut rest, &way)? else { break };
            let length = usize::try_from(frame.head.length - frame.taken as u64);
            let here = length.unwrap_or(usize::MAX).min(rest.len());
            let (payload, after) = rest.split_at_mut(here);
            rest = after;
            unmask(payload, frame.head.mask, frame.taken);
            let flow = if frame.head.opcode.is_control() {
                self.take_control(frame, payload, &mut way)?
            } else {
                self.take_data(frame, payload, &mut way)?
            };
            if flow.is_break() {
                break;
            }
        }
        if self.unfinished.as_ref().is_some_and(|unfinished| unfinished.is_empty()) {
            self.unfinished = None;
        }
        Ok(())
    }

    /// The frame that `rest` continues or begins with, its head taken off; `None` when its head is
    /// not whole (what there is of it has been kept).
    fn take_head(
        &mut self,
        rest: &mut &mut [u8],
        way: &Way<'_>,
    ) -> Result<Option<Frame>, Violation> {
        let (limits, deflates) = (way.limits, way.inflater.is_some());
        if let Some(unfinished) = &mut self.unfinished {
            if let Some(frame) = unfinished.frame.take() {
                return Ok(Some(frame));
            }
            // Complete the kept part of a head, as far as bytes have come.
            let kept = usize::from(unfinished.head_len);
            if kept > 0 {
                let more = rest.len().min(HEAD_BYTES_MAX - kept);
                unfinished.head[kept..kept + more].copy_from_slice(&rest[..more]);
                let parsed = Head::parse(&unfinished.head[..kept + more], deflates)?;
                let (used, frame) = match parsed {
                    Some((head, length)) => (length - kept, Some(Frame { head, taken: 0 })),
                    None => (more, None),
                };
                unfinished.head_len = if frame.is_some() { 0 } else { (kept + more) as u8 };
                *rest = &mut std::mem::take(rest)[used..];
                return match frame {
                    Some(frame) => self.admit(frame, limits).map(Some),
                    None => Ok(None),
                };
            }
        }
        match Head::parse(rest, deflates)? {
            Some((head, length)) => {
                *rest = &mut std::mem::take(rest)[length..];
                self.admit(Frame { head, taken: 0 }, limits).map(Some)
            }
            None => {
                let unfinished = self.unfinished.get_or_insert_default();
                unfinished.head[..rest.len()].copy_from_slice(rest);
                unfinished.head_len = rest.len() as u8;
                Ok(None)
            }
        }
    }

    /// Checks a new frame against the message in progress and the limits, before anything of its
    /// payload is looked at.
    fn admit(&mut self, frame: Frame, limits: &MessageLimits) -> Result<Frame, Violation> {
        let head = &frame.head;
        if head.opcode.is_control() {
            return Ok(frame);
        }
        let message = self.unfinished.as_mut().and_then(|unfinished| unfinished.message.as_mut());
        let (kept, fragments) = match (&message, head.opcode) {
            (Some(message), Opcode::Continuation) => (message.payload.len(), message.fragments),
            (Some(_), _) => return Err(Violation::protocol("a message begins inside another")),
            (None, Opcode::Continuation) => {
                return Err(Violation::protocol("a continuation has nothing to continue"));
            }
            (None, _) => (0, 0),
        };
        if head.length > (limits.bytes_max.saturating_sub(kept)) as u64 {
            return Err(Violation::too_big("a message is longer than the limit"));
        }
        if fragments >= limits.fragments_max {
            return Err(Violation::too_big("a message has more fragments than the limit"));
        }
        if let Some(message) = message {
            message.fragments += 1;
        }
        Ok(frame)
    }

    fn take_control(
        &mut self,
        frame: Frame,
        payload: &[u8],
        way: &mut Way<'_>,
    ) -> Result<ControlFlow<()>, Violation> {
        let is_whole = frame.taken as u64 + payload.len() as u64 == frame.head.length;
        if frame.taken == 0 && is_whole {
            return way.control(frame.head.opcode, payload);
        }
        let unfinished = self.unfinished.get_or_insert_default();
        unfinished.control.extend_from_slice(payload);
        if is_whole {
            let control = std::mem::take(&mut unfinished.control);
            return way.control(frame.head.opcode, &control);
        }
        unfinished.frame = Some(Frame { taken: frame.taken + payload.len(), ..frame });
        Ok(ControlFlow::Continue(()))
    }

    fn take_data(
        &mut self,
        frame: Frame,
        payload: &[u8],
        way: &mut Way<'_>,
    ) -> Result<ControlFlow<()>, Violation> {
        let head = frame.head;
        let is_whole = frame.taken as u64 + payload.len() as u64 == head.length;
        let begins = head.opcode != Opcode::Continuation && frame.taken == 0;
        if begins && is_whole && head.fin {
            return way.message(head.opcode == Opcode::Text, head.compressed, payload);
        }
        let unfinished = self.unfinished.get_or_insert_default();
        if payload.is_empty() && !is_whole {
            // Only the head has come: nothing of the message is there to be kept yet.
            unfinished.frame = Some(frame);
            return Ok(ControlFlow::Continue(()));
        }
        let message = unfinished.message.get_or_insert_with(|| Message::new(&head));
        message.push(payload)?;
        if !is_whole {
            unfinished.frame = Some(Frame { taken: frame.taken + payload.len(), ..frame });
        } else if head.fin {
            let message = unfinished.message.take().expect("it was put there just above");
            return way.message(message.is_text, message.is_compressed, &message.payload);
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl Unfinished {
    fn is_empty(&self) -> bool {
        self.head_len == 0 && self.frame.is_none() && self.message.is_none()
    }
}

/// Code and reason of a close frame (RFC 6455, section 5.5.1).
fn close_payload(payload: &[u8]) -> Result<Option<(u16, &str)>, Violation> {
    match payload {
        [] => Ok(None),
        [_] => Err(Violation::protocol("a close frame has half a code")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !is_close_code(code) {
                return Err(Violation::protocol("a close frame has a code that may not be sent"));
            }
            let reason = std::str::from_utf8(reason)
                .map_err(|_| Violation::not_utf8("the reason of a close frame is not UTF-8"))?;
            Ok(Some((code, reason)))
        }
    }
}
