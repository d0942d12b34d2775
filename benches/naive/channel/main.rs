//! Naive, the second: fastwebsockets and a bounded channel for each client.
//!
//! What a good Rust user writes when broadcast turns out slow: messages are made once and shared,
//! each symbol has a list of its subscribers, a client is a reading and a writing task, the writer
//! takes all that waits and flushes once. A full channel costs the client that symbol's frames,
//! until it has been emptied and a snapshot brings the client up to date.

mod hub;

use bytes::Bytes;
use clap::Parser;
use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError, WebSocketWrite, upgrade,
};
use http_body_util::Empty;
use hub::{Client, Hub};
use hyper::body::Incoming;
use hyper::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use tickcast_benches::{Asked, Market, PATH, SUBPROTOCOL, Updates, Workload};
use tokio::io::{AsyncRead, AsyncWrite, BufWriter};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Frames that are written between two flushes.
const FLUSH_FRAMES_MAX: usize = 64;

/// What is written at once.
const WRITE_BUFFER_BYTES: usize = 4 << 10;

/// fastwebsockets and a channel for each client.
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
            eprintln!("naive-channel: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: &Arguments) -> std::io::Result<()> {
    tickcast_gateway::raise_descriptor_limit()?;
    let market = Market::new(&arguments.workload);
    let hub = Arc::new(Hub::new(&market));
    let listener = tokio::net::TcpListener::from_std(tickcast_benches::listen(arguments.listen)?)?;
    println!("listening on {}", listener.local_addr()?);
    if let Some(updates) = Updates::new(arguments.workload.rate) {
        let hub = hub.clone();
        std::thread::spawn(move || hub.publish(market, updates));
    }
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(connection(stream, hub.clone()));
    }
}

async fn connection(stream: TcpStream, hub: Arc<Hub>) {
    let answer = |request: Request<Incoming>| {
        let hub = hub.clone();
        async move { answer(request, hub) }
    };
    let server = hyper::server::conn::http1::Builder::new();
    // Whatever ends a connection, the client connects again.
    let _ = server.serve_connection(TokioIo::new(stream), service_fn(answer)).with_upgrades().await;
}

fn answer(
    mut request: Request<Incoming>,
    hub: Arc<Hub>,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    if request.uri().path() != PATH || !upgrade::is_upgrade_request(&request) {
        let mut response = Response::new(Empty::new());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    }
    let (mut response, socket) = upgrade::upgrade(&mut request)?;
    let subprotocol = HeaderValue::from_static(SUBPROTOCOL);
    if request.headers().contains_key(SEC_WEBSOCKET_PROTOCOL) {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    tokio::spawn(async move {
        if let Ok(socket) = socket.await {
            client(socket, &hub).await;
        }
    });
    Ok(response)
}

type Socket = fastwebsockets::WebSocket<TokioIo<hyper::upgrade::Upgraded>>;

async fn client(socket: Socket, hub: &Arc<Hub>) {
    // Frames gather in a buffer until they are flushed.
    let (read, write) = socket.split(|stream| {
        let (read, write) = tokio::io::split(stream);
        (read, BufWriter::with_capacity(WRITE_BUFFER_BYTES, write))
    });
    let (client, frames) = Client::new();
    let mut subscribed = Vec::new();
    tokio::select! {
        _ = read_requests(FragmentCollectorRead::new(read), hub, &client, &mut subscribed) => {}
        _ = write_frames(write, frames, hub, &client) => {}
    }
    for place in subscribed {
        hub.unsubscribe(place, &client);
    }
}

async fn read_requests<S: AsyncRead + Unpin>(
    mut socket: FragmentCollectorRead<S>,
    hub: &Hub,
    client: &Arc<Client>,
    subscribed: &mut Vec<usize>,
) -> Result<(), WebSocketError> {
    loop {
        let mut reply = async |frame: Frame<'_>| {
            client.send(frame.opcode, Bytes::copy_from_slice(&frame.payload)).await;
            Ok::<(), WebSocketError>(())
        };
        let frame = socket.read_frame(&mut reply).await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text => {
                if let Some(asked) = Asked::read(&frame.payload) {
                    subscribe(&asked, hub, client, subscribed).await;
                }
            }
            _ => {}
        }
    }
}

async fn subscribe(asked: &Asked, hub: &Hub, client: &Arc<Client>, subscribed: &mut Vec<usize>) {
    let found = asked.symbols.iter().filter_map(|name| Some((name.as_str(), hub.find(name)?)));
    let (granted, places): (Vec<&str>, Vec<usize>) = found.unzip();
    client.send(OpCode::Text, asked.answer(&granted).into()).await;
    for (name, place) in granted.into_iter().zip(places) {
        client.send(OpCode::Text, tickcast_benches::status(name).into()).await;
        subscribed.push(place);
        // As if it had missed everything so far: the writer sends the snapshot.
        client.miss(place);
    }
}

async fn write_frames<S: AsyncWrite + Unpin>(
    mut socket: WebSocketWrite<S>,
    mut frames: mpsc::Receiver<(OpCode, Bytes)>,
    hub: &Hub,
    client: &Arc<Client>,
) -> Result<(), WebSocketError> {
    let mut waiting = Vec::with_capacity(FLUSH_FRAMES_MAX);
    loop {
        tokio::select! {
            biased;
            taken = frames.recv_many(&mut waiting, FLUSH_FRAMES_MAX) => {
                if taken == 0 {
                    return Ok(());
                }
                for (opcode, payload) in &waiting {
                    let payload = Payload::Borrowed(payload);
                    socket.write_frame(Frame::new(true, *opcode, None, payload)).await?;
                }
                waiting.clear();
            }
            () = client.has_missed.notified() => {
                // The channel is empty: what comes after a snapshot comes after it on the wire.
                for place in client.take_missed() {
                    let snapshot = hub.subscribe(place, client);
                    let payload = Payload::Borrowed(snapshot.as_bytes());
                    socket.write_frame(Frame::text(payload)).await?;
                }
            }
        }
        socket.flush().await?;
    }
}
