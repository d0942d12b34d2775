//! nats-server at the same workload: publishes over one NATS connection, subscribes with many,
//! and reports as the load tester does.
//!
//! A subject for each symbol, the same JSON as the naive servers send. Plain NATS protocol:
//! <https://docs.nats.io/reference/reference-protocols/nats-protocol>.

mod client;

use clap::Parser;
use client::{Clients, Seen};
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tickcast_benches::{Market, Updates, Workload};

/// Clock ticks a second in `/proc`; the same on every Linux.
const TICKS: f64 = 100.0;

/// Load for nats-server.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where nats-server listens
    #[arg(long)]
    server: SocketAddr,
    /// Its process, to take its CPU and memory from
    #[arg(long)]
    pid: Option<u32>,
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Symbols of each, by Zipf's law
    #[arg(long, default_value_t = 1)]
    symbols: usize,
    #[arg(long, default_value_t = 4)]
    seconds: u32,
    #[arg(long, default_value_t = 1)]
    warmup: u32,
    #[command(flatten)]
    workload: Workload,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nats-peer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    tickcast_gateway::raise_descriptor_limit()?;
    let Arguments { server, connections, symbols, workload, .. } = arguments;
    let before = usage(arguments.pid);
    let started = Instant::now();
    let mut clients = Clients::connect(*server, *connections, *symbols, workload.instruments)?;
    let connecting = started.elapsed().as_secs_f64();
    let connected = usage(arguments.pid);
    let ends = Arc::new(AtomicBool::new(false));
    let publisher = publish(*server, workload, ends.clone())?;
    clients.run(Duration::from_secs(arguments.warmup.into()), &mut Seen::default())?;
    let (mut seen, first, from) = (Seen::default(), usage(arguments.pid), Instant::now());
    clients.run(Duration::from_secs(arguments.seconds.into()), &mut seen)?;
    let (last, seconds) = (usage(arguments.pid), from.elapsed().as_secs_f64());
    // Pairs with the publisher's load; it orders nothing else.
    ends.store(true, Ordering::Relaxed);
    drop(publisher);
    let count = *connections as f64;
    let used = |from: Option<Usage>, to: Option<Usage>| Some(to?.cpu_seconds - from?.cpu_seconds);
    let cpu = used(first, last);
    let memory = connected.zip(before).map(|(to, from)| (to.rss_bytes - from.rss_bytes) / count);
    let per = |value: f64, of: f64| (of > 0.0).then_some(value / of);
    let report = serde_json::json!({
        "scenario": "nats", "connections": connections, "seconds": seconds,
        "deliveries": seen.messages,
        "deliveries_per_second": seen.messages as f64 / seconds,
        "bytes": seen.bytes, "reads": seen.reads,
        "frames_per_read": per(seen.messages as f64, seen.reads as f64),
        "age_us": {
            "p50": seen.ages.quantile(0.5),
            "p99": seen.ages.quantile(0.99),
            "p999": seen.ages.quantile(0.999),
        },
        "connect": {"per_second": count / connecting, "failed": 0},
        "server": {
            "cpu_us_per_delivery": cpu.and_then(|cpu| per(cpu * 1e6, seen.messages as f64)),
            "cpu_cores": cpu.map(|cpu| cpu / seconds),
            "rss_per_connection_bytes": memory,
            "cpu_us_per_connect": used(before, connected).map(|cpu| cpu * 1e6 / count),
        },
    });
    println!("{report}");
    Ok(())
}

/// Publishes until it is told to end or the server is gone.
fn publish(
    server: SocketAddr,
    workload: &Workload,
    ends: Arc<AtomicBool>,
) -> io::Result<Option<std::thread::JoinHandle<()>>> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n")?;
    let mut answers = stream.try_clone()?;
    // INFO and PING need no answer within a run; what comes is thrown away.
    std::thread::spawn(move || io::copy(&mut answers, &mut io::sink()));
    let Some(mut updates) = Updates::new(workload.rate) else { return Ok(None) };
    let mut market = Market::new(workload);
    Ok(Some(std::thread::spawn(move || {
        let mut out = Vec::new();
        // Pairs with the store at the end of the run.
        while !ends.load(Ordering::Relaxed) {
            updates.wait();
            let place = market.choose();
            let (before, now) = market.step(place);
            let message = now.update(&before);
            let subject = now.symbol.replace(':', ".");
            out.clear();
            out.extend(format!("PUB {subject} {}\r\n{message}\r\n", message.len()).bytes());
            if stream.write_all(&out).is_err() {
                return;
            }
        }
    })))
}

#[derive(Clone, Copy, Debug)]
struct Usage {
    cpu_seconds: f64,
    rss_bytes: f64,
}

/// What a process has used so far.
fn usage(pid: Option<u32>) -> Option<Usage> {
    let pid = pid?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in brackets that may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    let cpu_seconds = (ticks()? + ticks()?) / TICKS;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let rss_bytes = rss.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0;
    Some(Usage { cpu_seconds, rss_bytes })
}
