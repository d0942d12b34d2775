//! Compressed messages on a shard: each frame of a pass is compressed once, when the first
//! connection that wants it so comes to it, and then shared like the plain one.
//!
//! A diff or an answer for one connection is compressed for itself; snapshots that several need are
//! shared where they are kept (`owing_serve`).

use crate::deflate::Deflater;
use crate::frame::HEAD_USUAL;
use crate::inflate::Inflater;
use crate::shard::Shard;
use crate::socket::Socket;
use rustc_hash::FxHashMap;
use tickcast_market::Since;
use tickcast_wire::Channel;

/// The compressed twins of frames of the pass.
#[derive(Debug, Default)]
pub(crate) struct Twins {
    bytes: Vec<u8>,
    by_frame: FxHashMap<u32, Twin>,
}

/// Where a twin lies, and how often it was handed to the kernel since this was last asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Twin {
    start: u32,
    pub(crate) len: u32,
    pub(crate) written: u32,
}

/// What is known of a frame's twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TwinState {
    /// Nobody has wanted one yet.
    Unmade,
    /// There is one.
    Made,
    /// It would be no shorter.
    Useless,
}

impl Twins {
    pub(crate) fn clear(&mut self) {
        if !self.by_frame.is_empty() {
            self.by_frame.clear();
            self.bytes.clear();
        }
    }

    /// Makes the twin of a frame.
    pub(crate) fn make(
        &mut self,
        number: u32,
        frame: &[u8],
        head_len: u8,
        deflater: &mut Deflater,
    ) -> TwinState {
        let start = self.bytes.len();
        // Offsets are of 32 bits; what comes behind them stays as it is.
        let has_room = u32::try_from(start + frame.len()).is_ok();
        if !has_room || !deflater.write_twin(&mut self.bytes, frame, head_len) {
            return TwinState::Useless;
        }
        let len = (self.bytes.len() - start) as u32;
        self.by_frame.insert(number, Twin { start: start as u32, len, written: 0 });
        TwinState::Made
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Twin> {
        self.by_frame.get_mut(&number)
    }

    pub(crate) fn bytes(&self, twin: Twin) -> &[u8] {
        &self.bytes[twin.start as usize..(twin.start + twin.len) as usize]
    }

    /// All of them, by the numbers of their frames.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Twin)> {
        self.by_frame.iter_mut().map(|(number, twin)| (*number, twin))
    }
}

impl<S: Socket> Shard<S> {
    /// A connection has come that has agreed to compression: from now on there is what it needs.
    pub(crate) fn begin_deflate(&mut self) {
        self.deflater.get_or_insert_default();
        let bytes_max = self.settings.message_limits.bytes_max;
        self.inflater.get_or_insert_with(|| Inflater::new(bytes_max));
    }

    /// Appends to the outbox the data message that stands in `message`, a frame with a head of
    /// `head_len` bytes, the way the connection speaks. Where it was compressed: how long it was
    /// before; else 0.
    pub(crate) fn put_message(
        &mut self,
        token: u32,
        channel: Channel,
        since: Option<Since>,
        head_len: u8,
    ) -> u32 {
        let Shard { connections, outbox, message, deflater, .. } = self;
        let connection = &connections[token as usize];
        let deflater = deflater.as_mut().filter(|_| connection.compresses);
        if let Some(deflater) = deflater
            && Deflater::is_worth(message.len() - usize::from(head_len))
            && deflater.write_twin(&mut outbox.bytes, message, head_len)
        {
            return message.len() as u32;
        }
        connection.framing.put(&mut outbox.bytes, channel, since, head_len, message);
        0
    }

    /// The answer that was just put behind what waits for the connection, from `start` on, is
    /// replaced by its compressed twin where that pays.
    pub(crate) fn compress_answer(&mut self, token: u32, start: usize) {
        let Shard { connections, message, deflater, tally, .. } = self;
        let connection = &mut connections[token as usize];
        let plain = connection.waiting.len() - start;
        let Some(deflater) = deflater.as_mut().filter(|_| connection.compresses) else { return };
        // With that many bytes the head has the form for 16 bits of length, or the next.
        let head_len = if plain <= HEAD_USUAL + 0xFFFF { HEAD_USUAL as u8 } else { 10 };
        if !Deflater::is_worth(plain.saturating_sub(head_len.into())) {
            return;
        }
        message.clear();
        if deflater.write_twin(message, &connection.waiting[start..], head_len) {
            connection.waiting.truncate(start);
            connection.waiting.extend_from_slice(message);
            tally.compressed(1, plain, message.len());
        }
    }

    /// Lets the tally know what was compressed and inflated.
    pub(crate) fn tally_deflate(&mut self) {
        if let Some(deflater) = &mut self.deflater {
            self.tally.compressions += std::mem::take(&mut deflater.runs);
        }
        if let Some(inflater) = &mut self.inflater {
            self.tally.inflated(std::mem::take(&mut inflater.counts));
        }
    }
}
