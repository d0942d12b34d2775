//! The empty chain: the thread hops of one update through tickcast, and nothing done on the way.
//!
//! ```text
//! socket → tokio task → crossbeam → thread → crossbeam and a waker → poll loop → send
//! ```
//!
//! What tickcast takes longer than this is what its work costs; what this takes, the kernel's and
//! the scheduler's share, is the same for both. It passes on frames of one length, from a venue
//! that it connects to, to the clients whose symbol stands in them.

use clap::Parser;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Chunks that may wait between two threads.
const CHUNKS_MAX: usize = 4096;

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// Hops without work.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where clients connect; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where the frames come from
    #[arg(long)]
    venue: SocketAddr,
    /// Bytes of each frame
    #[arg(long, value_parser = clap::value_parser!(u16).range(8..))]
    frame_bytes: u16,
    /// Where a frame has the three digits of its symbol
    #[arg(long)]
    symbol_at: usize,
    /// How many symbols there are; a client that is the n-th to connect gets symbol n of them,
    /// the only client all
    #[arg(long, default_value_t = 50)]
    symbols: usize,
    /// Clients get one symbol each
    #[arg(long)]
    split: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chain: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    tickcast_gateway::raise_descriptor_limit()?;
    let listener = TcpListener::from_std(tickcast_benches::listen(arguments.listen)?);
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
    let (to_middle, at_middle) = crossbeam_channel::bounded::<Vec<u8>>(CHUNKS_MAX);
    let (to_last, at_last) = crossbeam_channel::bounded::<Vec<u8>>(CHUNKS_MAX);
    // The publisher's place.
    std::thread::spawn(move || {
        for chunk in at_middle {
            if to_last.send(chunk).is_err() || waker.wake().is_err() {
                return;
            }
        }
    });
    println!("listening on {}", listener.local_addr()?);
    let (venue, length) = (arguments.venue, usize::from(arguments.frame_bytes));
    // The feed's place.
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let read = runtime.block_on(runtime.spawn(feed(venue, length, to_middle)));
        eprintln!("chain: the venue is gone: {read:?}");
    });
    // The shard's place.
    serve(arguments, poll, listener, &at_last)
}

/// Reads frames and passes on those that are whole.
async fn feed(
    venue: SocketAddr,
    length: usize,
    to: crossbeam_channel::Sender<Vec<u8>>,
) -> io::Result<()> {
    let mut stream = tokio::net::TcpStream::connect(venue).await?;
    stream.set_nodelay(true)?;
    stream.write_all(b"GET /raw HTTP/1.1\r\n\r\n").await?;
    let (mut buffer, mut kept) = (vec![0; 64 << 10], 0);
    loop {
        let read = stream.read(&mut buffer[kept..]).await?;
        if read == 0 {
            return Ok(());
        }
        let end = kept + read;
        let whole = end - end % length;
        if whole > 0 && to.send(buffer[..whole].to_vec()).is_err() {
            return Ok(());
        }
        buffer.copy_within(whole..end, 0);
        kept = end - whole;
    }
}

fn serve(
    arguments: &Arguments,
    mut poll: Poll,
    mut listener: TcpListener,
    chunks: &crossbeam_channel::Receiver<Vec<u8>>,
) -> io::Result<()> {
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut clients: Vec<TcpStream> = Vec::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => accept(&listener, &poll, &mut clients)?,
                WAKER => {}
                // Clients say nothing that matters.
                Token(place) => drop(clients[place].read(&mut [0; 256])),
            }
        }
        for chunk in chunks.try_iter() {
            for frame in chunk.chunks_exact(usize::from(arguments.frame_bytes)) {
                send(arguments, frame, &mut clients);
            }
        }
    }
}

fn accept(listener: &TcpListener, poll: &Poll, clients: &mut Vec<TcpStream>) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nodelay(true)?;
                poll.registry().register(&mut stream, Token(clients.len()), Interest::READABLE)?;
                clients.push(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn send(arguments: &Arguments, frame: &[u8], clients: &mut [TcpStream]) {
    if !arguments.split {
        // A client that is gone or full is not this program's business.
        clients.iter_mut().for_each(|client| drop(client.write(frame)));
        return;
    }
    let digits = frame.get(arguments.symbol_at..arguments.symbol_at + 3).unwrap_or_default();
    let symbol = digits.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit & 15));
    for client in clients.iter_mut().skip(symbol).step_by(arguments.symbols) {
        drop(client.write(frame));
    }
}
