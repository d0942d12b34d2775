//! `tickcast`: the command line, and what is started and stopped by it.
//!
//! Exit codes: 0 asked to stop, 1 failed, 2 wrong usage or configuration.

mod bus;
mod canary;
mod clock;
mod feeds;
mod health;
mod keys;
mod listeners;
mod publish;
mod record;
mod serve;
mod service_manager;
mod settings;
mod settings_auth;
mod settings_bus;
mod settings_limits;
mod settings_nats;
mod settings_takeover;
mod signals;
mod streams;
mod system;
mod takeover;
mod takeover_predecessor;
mod takeover_successor;
mod token;
mod watch;

use clap::{Parser, Subcommand};
use serve::Shape;
use settings::{Resolved, Settings};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

// Many small objects come and go beside the hot paths (subscriptions, requests, REST bodies).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Live market data, from venue feeds to thousands of WebSocket clients.
#[derive(Debug, Parser)]
#[command(name = "tickcast", version, about, subcommand_required = false)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Feeds, publisher and gateway in one process; without arguments the simulator
    Serve(Box<ServeArgs>),
    /// Feeds and publisher only, onto a bus: gateways on other hosts serve the clients
    Publish(Box<ServeArgs>),
    /// The edge only, from a bus
    Gateway(Box<ServeArgs>),
    /// Write a venue's raw messages to a file that --replay reads
    Record(record::RecordArgs),
    /// Subscribe in the terminal: tickcast watch ws://127.0.0.1:8080 ticker 'sim:*'
    Watch(watch::WatchArgs),
    /// Make a token for development, signed with the secret of --auth-secret
    Token(token::TokenArgs),
    /// Read a configuration and say what is wrong with it
    Check(CheckArgs),
    /// Ask a running service how it is; for health checks in containers
    Health(health::HealthArgs),
}

#[derive(Clone, Debug, Default, clap::Args)]
struct ServeArgs {
    #[command(flatten)]
    settings: Settings,
    /// TOML file with settings; what the command line or the environment says goes first
    #[arg(long, env = "TICKCAST_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// The TOML file
    #[arg(long, env = "TICKCAST_CONFIG", value_name = "FILE")]
    config: PathBuf,
}

impl ServeArgs {
    fn resolve(self) -> anyhow::Result<Resolved> {
        let file = match &self.config {
            Some(path) => Settings::from_file(path)?,
            None => Settings::default(),
        };
        self.settings.over(file).resolve()
    }

    /// For a publisher, which listens to nobody: what guards a public address is not asked for.
    fn resolve_publisher(mut self) -> anyhow::Result<Resolved> {
        if let Some(path) = self.config.take() {
            self.settings = self.settings.over(Settings::from_file(&path)?);
        }
        self.settings.listen = None;
        self.resolve()
    }
}

fn main() -> ExitCode {
    // Without a command it serves, and reads the environment for that too.
    system::decline_huge_pages();
    let command = Cli::parse().command.or_else(|| Cli::parse_from(["tickcast", "serve"]).command);
    match command.expect("`serve` was filled in") {
        Command::Serve(args) => run_serve(Shape::AllInOne, *args),
        Command::Gateway(args) => run_serve(Shape::Gateway, *args),
        Command::Publish(args) => match args.resolve_publisher().and_then(with_bus) {
            Ok(settings) => {
                let _log = start_log(settings.log_json);
                finish(publish::run(settings))
            }
            Err(error) => usage(&error),
        },
        Command::Record(args) => {
            let _log = start_log(false);
            match record::prepare(&args) {
                Ok(ready) => finish(record::run(&args, ready)),
                Err(error) => usage(&error),
            }
        }
        Command::Watch(args) => match watch::prepare(&args) {
            Ok(asked) => match watch::run(&args, asked) {
                Err(error) if watch::is_misuse(&error) => usage(&error),
                ran => finish(ran),
            },
            Err(error) => usage(&error),
        },
        Command::Token(args) => match token::make(&args) {
            Ok(token) => {
                println!("{token}");
                ExitCode::SUCCESS
            }
            Err(error) => usage(&error),
        },
        Command::Check(args) => {
            let settings = Settings::from_file(&args.config).and_then(Settings::resolve);
            match settings.and_then(|settings| keys::Keys::load(&settings)) {
                Ok(_) => {
                    println!("{}: nothing is wrong", args.config.display());
                    ExitCode::SUCCESS
                }
                Err(error) => usage(&error),
            }
        }
        Command::Health(args) => match health::prepare(&args) {
            Ok(question) => finish(health::ask(&question)),
            Err(error) => usage(&error),
        },
    }
}

/// *Errors:* no bus is said.
fn with_bus(settings: Resolved) -> anyhow::Result<Resolved> {
    anyhow::ensure!(
        settings.bus.is_some(),
        "bus: say where it is, such as --bus nats://10.0.0.5:4222"
    );
    Ok(settings)
}

fn run_serve(shape: Shape, args: ServeArgs) -> ExitCode {
    let settings = args.clone().resolve().and_then(|settings| match shape {
        Shape::Gateway => with_bus(settings),
        Shape::AllInOne => Ok(settings),
    });
    match settings.and_then(|settings| Ok((keys::Keys::load(&settings)?, settings))) {
        Ok((keys, settings)) => {
            let _log = start_log(settings.log_json);
            let reread = move || Ok(args.clone().resolve()?.limits);
            finish(serve::run(shape, settings, keys, reread))
        }
        Err(error) => usage(&error),
    }
}

fn usage(error: &anyhow::Error) -> ExitCode {
    eprintln!("tickcast: {error:#}");
    ExitCode::from(2)
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tickcast: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Lines of the log that wait to be written; beyond it they are lost, and nobody waits.
const LOG_LINES_MAX: usize = 16_384;

/// Logs go to standard error, so that standard output has just the line with the addresses. They
/// are written by a thread of their own, which ends with what is returned: whoever logs must not
/// wait for a terminal.
fn start_log(json: bool) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LOG_LINES_MAX)
        .thread_name("log")
        .finish(std::io::stderr());
    let filter = tracing_subscriber::EnvFilter::try_from_env("TICKCAST_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,async_nats=warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(std::io::stderr().is_terminal());
    if json {
        log.json().init();
    } else {
        log.with_target(false).init();
    }
    guard
}
