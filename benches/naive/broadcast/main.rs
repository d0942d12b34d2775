//! Naive, the first: axum and a tokio `broadcast` channel for each symbol.
//!
//! What a good Rust user writes in an afternoon: messages are made once and shared, a client is a
//! task that selects over its subscriptions, whatever is ready is written before a flush, and one
//! that was lapped by its channel gets a new snapshot.

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use clap::Parser;
use futures_util::stream::{SelectAll, SplitSink};
use futures_util::{FutureExt as _, SinkExt as _, Stream, StreamExt as _};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use tickcast_benches::{Asked, Instrument, Market, PATH, SUBPROTOCOL, Updates, Workload};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

/// Messages that a channel keeps for whoever is behind.
const CHANNEL_MESSAGES_MAX: usize = 1024;

/// Messages that are written between two flushes.
const FLUSH_MESSAGES_MAX: usize = 64;

/// axum and tokio's broadcast.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where clients connect; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Threads that serve clients
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    #[command(flatten)]
    workload: Workload,
}

/// A symbol: its present quote, and who wants to hear of the next.
#[derive(Debug)]
struct Symbol {
    instrument: Mutex<Instrument>,
    updates: broadcast::Sender<Utf8Bytes>,
}

impl Symbol {
    fn instrument(&self) -> std::sync::MutexGuard<'_, Instrument> {
        self.instrument.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present quote, and everything that comes after it.
    fn subscribe(&self) -> (String, broadcast::Receiver<Utf8Bytes>) {
        let instrument = self.instrument();
        (instrument.snapshot(), self.updates.subscribe())
    }
}

type Symbols = Arc<HashMap<String, Arc<Symbol>>>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match arguments.threads {
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        threads => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(usize::from(threads))
            .enable_all()
            .build(),
    };
    match runtime.and_then(|runtime| runtime.block_on(serve(&arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("naive-broadcast: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: &Arguments) -> std::io::Result<()> {
    tickcast_gateway::raise_descriptor_limit()?;
    let market = Market::new(&arguments.workload);
    let symbol = |instrument: &Instrument| {
        let (updates, _) = broadcast::channel(CHANNEL_MESSAGES_MAX);
        Arc::new(Symbol { instrument: Mutex::new(instrument.clone()), updates })
    };
    let by_rank: Vec<Arc<Symbol>> = market.instruments.iter().map(symbol).collect();
    let names = market.instruments.iter().map(|instrument| instrument.symbol.clone());
    let symbols: Symbols = Arc::new(names.zip(by_rank.iter().cloned()).collect());
    let listener = tokio::net::TcpListener::from_std(tickcast_benches::listen(arguments.listen)?)?;
    println!("listening on {}", listener.local_addr()?);
    if let Some(updates) = Updates::new(arguments.workload.rate) {
        std::thread::spawn(move || publish(market, &by_rank, updates));
    }
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let router = Router::new().route(PATH, get(upgrade)).with_state(symbols);
    axum::serve(listener, router).await
}

/// Lets the market happen.
fn publish(mut market: Market, symbols: &[Arc<Symbol>], mut updates: Updates) {
    loop {
        updates.wait();
        let place = market.choose();
        let (before, now) = market.step(place);
        let message = Utf8Bytes::from(now.update(&before));
        // Who subscribes meanwhile gets either the old quote and this message, or the new quote.
        let mut instrument = symbols[place].instrument();
        *instrument = now.clone();
        // Without a receiver there is nothing to do.
        let _ = symbols[place].updates.send(message);
    }
}

async fn upgrade(State(symbols): State<Symbols>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.protocols([SUBPROTOCOL]).on_upgrade(async move |socket| {
        // Whatever ends a connection, the client connects again.
        let _ = client(socket, symbols).await;
    })
}

type Update = (Arc<Symbol>, Result<Utf8Bytes, BroadcastStreamRecvError>);
type Subscriptions = SelectAll<std::pin::Pin<Box<dyn Stream<Item = Update> + Send>>>;

async fn client(socket: WebSocket, symbols: Symbols) -> Result<(), axum::Error> {
    let (mut sink, mut requests) = socket.split();
    let mut subscriptions = Subscriptions::new();
    loop {
        tokio::select! {
            request = requests.next() => match request {
                Some(Ok(Message::Text(text))) => {
                    if let Some(asked) = Asked::read(text.as_bytes()) {
                        subscribe(&asked, &symbols, &mut subscriptions, &mut sink).await?;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
            Some(update) = subscriptions.next(), if !subscriptions.is_empty() => {
                forward(update, &mut subscriptions, &mut sink).await?;
            }
        }
    }
}

/// Writes an update and those that are ready behind it.
async fn forward(
    first: Update,
    subscriptions: &mut Subscriptions,
    sink: &mut SplitSink<WebSocket, Message>,
) -> Result<(), axum::Error> {
    let mut update = first;
    for written in 1.. {
        let message = match update {
            (_, Ok(message)) => message,
            // What is still in the channel is older than this, and will be ignored.
            (symbol, Err(BroadcastStreamRecvError::Lagged(_))) => {
                symbol.instrument().snapshot().into()
            }
        };
        sink.feed(Message::Text(message)).await?;
        if written == FLUSH_MESSAGES_MAX {
            break;
        }
        let Some(Some(next)) = subscriptions.next().now_or_never() else { break };
        update = next;
    }
    sink.flush().await
}

async fn subscribe(
    asked: &Asked,
    symbols: &Symbols,
    subscriptions: &mut Subscriptions,
    sink: &mut SplitSink<WebSocket, Message>,
) -> Result<(), axum::Error> {
    let found = asked.symbols.iter().filter_map(|name| symbols.get_key_value(name));
    let found: Vec<(&String, &Arc<Symbol>)> = found.collect();
    let granted: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    sink.feed(Message::Text(asked.answer(&granted).into())).await?;
    for (name, symbol) in found {
        sink.feed(Message::Text(tickcast_benches::status(name).into())).await?;
        let (snapshot, updates) = symbol.subscribe();
        sink.feed(Message::Text(snapshot.into())).await?;
        let symbol = symbol.clone();
        let updates = BroadcastStream::new(updates).map(move |update| (symbol.clone(), update));
        subscriptions.push(Box::pin(updates));
    }
    sink.flush().await
}
