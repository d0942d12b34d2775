//! `tickcast`: the command line, and what is started and stopped by it.
//!
//! Exit codes: 0 asked to stop, 1 failed, 2 wrong usage or configuration.

mod bus;
mod canary;
mod clock;
mod environment;
mod feeds;
mod health;
mod keys;
mod listeners;
mod output;
mod publish;
mod record;
mod serve;
mod serve_end;
mod service_manager;
mod settings;
mod settings_auth;
mod settings_bus;
mod settings_limits;
mod settings_nats;
mod settings_resolve;
mod settings_shape;
mod settings_takeover;
mod signals;
mod streams;
mod system;
mod takeover;
mod takeover_predecessor;
mod takeover_successor;
mod token;
mod watch;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use settings::{Resolved, Settings};
use settings_shape::Shape;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use tickcast_feed::ReplaySpeed;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

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
    /// Variables of the environment that say something for another shape
    #[arg(skip)]
    unused: Vec<String>,
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
    system::decline_huge_pages();
    match read_command_line() {
        Err(error) => usage(&error),
        Ok(Command::Serve(args)) => run_serve(Shape::AllInOne, *args),
        Ok(Command::Gateway(args)) => run_serve(Shape::Gateway, *args),
        Ok(Command::Publish(args)) => run_publish(&args),
        Ok(other) => run_tool(other),
    }
}

/// Without a command it serves, and reads the environment for that too.
///
/// *Errors* name an argument that has no effect in the shape that is started.
fn read_command_line() -> anyhow::Result<Command> {
    let command = settings_shape::offered(Cli::command());
    let mut matches = command.clone().get_matches();
    if matches.subcommand().is_none() {
        matches = command.clone().get_matches_from(["tickcast", Shape::AllInOne.subcommand()]);
    }
    let (name, said) = matches.subcommand().expect("there is one now");
    let shape = Shape::started_by(name);
    let unused = match (shape, command.find_subcommand(name)) {
        (Some(shape), Some(offered)) => shape.unused_variables(offered, said)?,
        _ => Vec::new(),
    };
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let mut command = cli.command.expect("as above");
    if let Command::Serve(args) | Command::Publish(args) | Command::Gateway(args) = &mut command {
        args.unused = unused;
    }
    Ok(command)
}

/// Logs what was said in the environment and in the file and has no effect, here or anywhere.
fn tell_unused(shape: Shape, args: &ServeArgs) {
    let name = shape.subcommand();
    // An image or a host may set them for every shape.
    for variable in &args.unused {
        tracing::info!("{variable} has no effect in `tickcast {name}`");
    }
    let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let misspelt = environment::misspelt(&Cli::command(), LOG_VARIABLE, variables);
    if !misspelt.is_empty() {
        tracing::warn!("of the environment, not settings: {}", misspelt.join(", "));
    }
    let keys = args.config.as_ref().and_then(|path| shape.unused_keys(path).ok());
    for key in keys.unwrap_or_default() {
        tracing::warn!("{key}, of the configuration, has no effect in `tickcast {name}`");
    }
}

/// Commands that serve nobody.
fn run_tool(command: Command) -> ExitCode {
    match command {
        Command::Serve(_) | Command::Publish(_) | Command::Gateway(_) => {
            unreachable!("they are services")
        }
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
            Ok(token) => finish(output::answer(&token)),
            Err(error) => usage(&error),
        },
        Command::Check(args) => {
            let settings = Settings::from_file(&args.config).and_then(Settings::resolve);
            match settings.and_then(|settings| keys::Keys::load(&settings)) {
                Ok(_) => {
                    let file = args.config.display();
                    finish(output::answer(&format!("{file}: nothing is wrong")))
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

/// *Errors:* symbols are said, and no feed takes them; or how to replay, and not what: another market
/// would be served than is meant.
fn with_market_asked(settings: Resolved) -> anyhow::Result<Resolved> {
    let Resolved { symbols, feeds, .. } = &settings;
    anyhow::ensure!(
        symbols.is_empty() || feeds.iter().any(settings_resolve::has_symbols_chosen),
        "symbols: {symbols:?} are asked of no venue: say of which, such as --feed coinbase"
    );
    let Resolved { replay, replay_loop, replay_wait, replay_speed, .. } = &settings;
    let said = [
        ("replay_loop", *replay_loop),
        ("replay_wait", *replay_wait),
        ("replay_speed", *replay_speed != ReplaySpeed::Times(1.0)),
    ];
    if let Some((name, _)) = said.iter().find(|(_, is_said)| *is_said && replay.is_empty()) {
        anyhow::bail!("{name}: nothing is replayed: say which recording, with --replay FILE");
    }
    Ok(settings)
}

/// *Errors:* clients and operators would be answered at one address.
fn with_two_addresses(settings: Resolved) -> anyhow::Result<Resolved> {
    let Resolved { listen, admin, .. } = settings;
    // Two ports that the system chooses are two.
    anyhow::ensure!(listen != admin || admin.port() == 0, "admin: {admin} is listen's address too");
    Ok(settings)
}

fn run_publish(args: &ServeArgs) -> ExitCode {
    let settings = args.clone().resolve_publisher().and_then(with_bus);
    match settings.and_then(with_market_asked) {
        Ok(settings) => {
            let _log = start_log(settings.log_json);
            tell_unused(Shape::Publisher, args);
            finish(publish::run(settings))
        }
        Err(error) => usage(&error),
    }
}

fn run_serve(shape: Shape, args: ServeArgs) -> ExitCode {
    let settings = args.clone().resolve().and_then(|settings| match shape {
        Shape::Gateway => with_bus(settings),
        Shape::AllInOne | Shape::Publisher => with_market_asked(settings),
    });
    let settings = settings.and_then(with_two_addresses);
    match settings.and_then(|settings| Ok((keys::Keys::load(&settings)?, settings))) {
        Ok((keys, settings)) => {
            let _log = start_log(settings.log_json);
            tell_unused(shape, &args);
            let reread = move || Ok(args.clone().resolve()?.limits);
            finish(serve::run(shape, settings, keys, reread))
        }
        Err(error) => usage(&error),
    }
}

fn usage(error: &anyhow::Error) -> ExitCode {
    eprintln!("tickcast: {}", in_one_line(error));
    ExitCode::from(2)
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tickcast: {}", in_one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, each said once: many errors end with their cause's words already.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for words in error.chain().map(ToString::to_string).filter(|words| !words.is_empty()) {
        if line.is_empty() {
            line = words;
        } else if !line.ends_with(&words) {
            line = format!("{line}: {words}");
        }
    }
    line
}

/// Lines of the log that wait to be written; beyond it they are lost, and nobody waits.
const LOG_LINES_MAX: usize = 16_384;

/// Says what is logged.
const LOG_VARIABLE: &str = "TICKCAST_LOG";

/// What the client of NATS says of a connection is said by ours too, in words of the service.
const LOG_DEFAULT: &str = "info,async_nats=off";

/// Logs go to standard error, so that standard output has just the line with the addresses. They
/// are written by a thread of their own, which ends with what is returned: whoever logs must not
/// wait for a terminal.
fn start_log(json: bool) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LOG_LINES_MAX)
        .thread_name("log")
        .finish(std::io::stderr());
    let asked = std::env::var(LOG_VARIABLE).ok().filter(|asked| !asked.is_empty());
    let (filter, refused) = match asked.as_deref().map(str::parse::<EnvFilter>) {
        Some(Ok(filter)) => (filter, None),
        asked => (EnvFilter::new(LOG_DEFAULT), asked.and_then(Result::err)),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(std::io::stderr().is_terminal());
    if json {
        log.json().init();
    } else {
        log.with_target(false).init();
    }
    if let Some(error) = refused {
        let asked = asked.unwrap_or_default();
        tracing::error!("{LOG_VARIABLE}: {asked:?}: {error}; it is taken for {LOG_DEFAULT:?}");
    }
    guard
}
