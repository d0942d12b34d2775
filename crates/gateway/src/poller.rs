//! The thread of a shard: waits for sockets, controls and batches, and gives the shard its turns.
//!
//! This is all of a shard that knows the operating system: an edge-triggered `mio` poller, a waker,
//! and the clock that the binary gives it.

use crate::connection::Token;
use crate::handoff::{Arrival, CONTROLS_MAX, Control, Handoff, ShardInbox};
use crate::line::Line;
use crate::shard::{Rest, Shard};
use mio::{Events, Interest, Poll, Waker};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tickcast_market::Nanos;

/// Events that one wait takes; the others are there at the next.
const EVENTS_MAX: usize = 1024;

/// The token of the waker; no connection has it.
const WAKER: mio::Token = mio::Token(usize::MAX);

/// What a shard's thread waits with.
#[derive(Debug)]
pub struct Poller {
    poll: Poll,
    alarm: Arc<Alarm>,
}

/// Interrupts the wait, once however often it is rung before the thread has looked.
#[derive(Debug)]
struct Alarm {
    waker: Waker,
    rung: AtomicBool,
}

impl Alarm {
    fn ring(&self) {
        // AcqRel pairs with the swap in `heed`: whoever finds it rung already has put his message
        // there before the shard's swap, and the shard will see it.
        if !self.rung.swap(true, Ordering::AcqRel) {
            // It fails only where the poller is gone.
            let _ = self.waker.wake();
        }
    }

    /// To be called before looking at what it may have been rung for.
    fn heed(&self) {
        self.rung.swap(false, Ordering::AcqRel); // Pairs with the swap in `ring`.
    }
}

impl Poller {
    /// A poller that nothing is registered with yet.
    ///
    /// *Errors:* the system gives no more descriptors.
    pub fn new() -> io::Result<Poller> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        Ok(Poller { poll, alarm: Arc::new(Alarm { waker, rung: AtomicBool::new(false) }) })
    }

    /// Wakes the shard from any thread; for the publisher (`Config::wakes`) and for
    /// [`crate::ShardHandle::new`]. Cheap when it is awake.
    pub fn wake(&self) -> Arc<dyn Fn() + Send + Sync> {
        let alarm = self.alarm.clone();
        Arc::new(move || alarm.ring())
    }

    /// Runs the shard on this thread until it has been stopped and all its connections are gone.
    /// `clock` is the wall clock.
    ///
    /// *Errors:* io_uring is asked for and there is none; or waiting fails, which only a fault of ours
    /// can bring about.
    pub fn run(
        mut self,
        mut shard: Shard<Line>,
        inbox: &ShardInbox,
        clock: impl Fn() -> Nanos,
    ) -> io::Result<()> {
        let mode = shard.choose_flush_mode()?;
        tracing::info!(shard = shard.number(), %mode, "sends");
        let mut events = Events::with_capacity(EVENTS_MAX);
        let (mut readable, mut writable) = (Vec::new(), Vec::new());
        let mut rest = Rest::No;
        while rest != Rest::Ended {
            self.wait(&mut events, rest)?;
            // While batches gather it stays rung: none of them wakes the thread.
            let heeds = !shard.is_gathering(clock());
            if heeds {
                self.alarm.heed();
            }
            readable.clear();
            writable.clear();
            for event in events.iter().filter(|event| event.token() != WAKER) {
                let token = Token(event.token().0 as u32);
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    readable.push(token);
                }
                if event.is_writable() {
                    writable.push(token);
                }
            }
            self.take_controls(&mut shard, inbox, &clock);
            rest = shard.turn(clock(), &readable, &writable);
            shard.turned(clock());
            // It may have gathered until now: then what it was rung for has not been looked at, and
            // it is not rung again.
            if rest == Rest::UntilWoken && !heeds {
                rest = Rest::No;
            }
        }
        Ok(())
    }

    fn wait(&mut self, events: &mut Events, rest: Rest) -> io::Result<()> {
        let timeout = match rest {
            Rest::No | Rest::Ended => Some(Duration::ZERO),
            Rest::For(span) => Some(Duration::from_nanos(span.0.max(0) as u64)),
            Rest::UntilWoken => None,
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            result => result,
        }
    }

    fn take_controls(
        &self,
        shard: &mut Shard<Line>,
        inbox: &ShardInbox,
        clock: &impl Fn() -> Nanos,
    ) {
        for control in inbox.controls.try_iter().take(CONTROLS_MAX) {
            match control {
                Control::Connect(handoff) => self.connect(shard, handoff, clock()),
                Control::Drain { window_ms } => shard.drain(clock(), window_ms),
                Control::Verdict(verdict) => shard.hear(clock(), verdict),
                Control::Clients(reply) => {
                    // Whoever asked may have gone.
                    let _ = reply.try_send(shard.clients());
                }
                Control::Limits(settings) => shard.set_limits(&settings),
                Control::Stop => shard.stop(clock()),
            }
        }
    }

    fn connect(&self, shard: &mut Shard<Line>, handoff: Handoff, now: Nanos) {
        let Handoff { socket, tls, peer, answer, read_ahead, transport, who, seat } = handoff;
        let arrival = Arrival { peer, transport, answer, read_ahead, who, seat };
        let socket = Line::new(mio::net::TcpStream::from_std(socket), tls);
        let token = shard.connect(now, socket, arrival);
        // Registering reports at once what is readable or writable already.
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = shard.socket_mut(token).map_or(Ok(()), |socket| {
            self.poll.registry().register(socket.source(), mio::Token(token.0 as usize), interest)
        });
        if registered.is_err() {
            shard.disconnect(token, "the poller takes no more");
        }
    }
}
