//! The floor: a server that does nothing but write prepared frames.
//!
//! It keeps no state, decides nothing and encodes nothing: on each tick the digits of `k` prepared
//! updates change, and the same bytes go to every connection with one send each. What that costs
//! for each delivery is what nobody who pushes to WebSocket clients through the kernel can go
//! below, but by gathering more frames in each send.
//!
//! It speaks just enough of the client protocol for the load tester, and nothing is logged.

mod connections;
mod frames;
mod ring;

use clap::{Parser, ValueEnum};
use connections::{Connections, LISTENER};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll};
use ring::Ring;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How many sockets are looked at after one wait.
const EVENTS_MAX: usize = 1024;

/// Writes prepared frames and nothing else.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where clients connect; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Frames a second for each client; 0 is quiet
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Frames in each send
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch: u16,
    /// Bytes of a frame's payload, at least the shortest update's
    #[arg(long, default_value_t = 190, value_parser = clap::value_parser!(u16).range(..=60_000))]
    size: u16,
    /// How frames are written
    #[arg(long, value_enum, default_value_t = Mode::Send)]
    mode: Mode,
    /// Stays on this core
    #[arg(long)]
    pin: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// A system call for each connection
    Send,
    /// One for a thousand connections
    Uring,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    if let Some(core) = arguments.pin {
        tickcast_benches::keep_on(&[core])?;
    }
    tickcast_gateway::raise_descriptor_limit()?;
    let mut ring = (arguments.mode == Mode::Uring).then(Ring::new).transpose()?;
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::from_std(tickcast_benches::listen(arguments.listen)?);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("listening on {}", listener.local_addr()?);
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut connections =
        Connections::new(usize::from(arguments.batch), usize::from(arguments.size));
    let step = match arguments.rate > 0.0 {
        true => Some(Duration::from_secs_f64(f64::from(arguments.batch) / arguments.rate)),
        false => None,
    };
    // Ticks are at multiples of the step from here, whatever a pass takes.
    let mut due: Option<Instant> = None;
    loop {
        let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
        // The poller waits in milliseconds; the rest is slept.
        let whole = wait.map(|wait| Duration::from_millis(wait.as_millis() as u64));
        match poll.poll(&mut events, whole) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            match event.token() {
                LISTENER => connections.accept(&listener, poll.registry())?,
                place => connections.read(place.0),
            }
        }
        let (Some(step), true) = (step, connections.has_receivers()) else {
            due = None;
            continue;
        };
        let at = *due.get_or_insert_with(|| Instant::now() + step);
        let now = Instant::now();
        if at > now {
            if at - now > Duration::from_millis(1) {
                continue;
            }
            std::thread::sleep(at - now);
        }
        due = Some(at + step);
        write(&mut connections, ring.as_mut())?;
    }
}

fn write(connections: &mut Connections, ring: Option<&mut Ring>) -> io::Result<()> {
    let Some(ring) = ring else {
        connections.send();
        return Ok(());
    };
    let mut failed = Vec::new();
    if let Some((bytes, descriptors)) = connections.next() {
        ring.send(bytes, descriptors, |at| failed.push(at))?;
    }
    connections.close_receivers(failed);
    Ok(())
}
