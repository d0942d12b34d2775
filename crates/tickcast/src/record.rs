//! `tickcast record`: a venue's raw messages into a file that `--replay` reads.

use crate::clock;
use crate::settings::{Settings, time};
use anyhow::{Context, Result, bail};
use crossbeam_channel::bounded;
use prometheus::Registry;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tickcast_feed::{
    Driver, DriverConfig, InboxSender, Outlet, RecordingClock, RecordingHeader, RecordingWriter,
    VenueConfig,
};
use tickcast_market::{Directory, EventBatch, SourceIndex, Venue};
use tokio::sync::watch;

/// Batches that wait for being thrown away.
const BATCHES_MAX: usize = 64;

/// The venues whose messages can be recorded.
const RECORDABLE: &str = "coinbase, coinbase-exchange, binance, kraken";

/// Arguments of `tickcast record`.
#[derive(Debug, clap::Args)]
pub(crate) struct RecordArgs {
    /// coinbase, coinbase-exchange, binance or kraken
    #[arg(long, value_name = "VENUE")]
    feed: String,
    /// Symbols such as BTC-USD,ETH-USD; without them a choice of busy ones
    #[arg(long, value_delimiter = ',', value_name = "SYMBOL,…")]
    symbols: Vec<String>,
    /// File to write, such as kraken.rec.gz; must not exist yet
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// End after this time, such as 60s; else with Ctrl-C
    #[arg(long, value_name = "TIME")]
    duration: Option<String>,
    /// TOML file with settings, for the venue's URLs
    #[arg(long, env = "TICKCAST_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    nats: NatsFlags,
}

/// Flags of the feed nats, which cannot be recorded: taken so that the answer says this, and not only
/// that there is no such flag.
#[derive(Debug, clap::Args)]
struct NatsFlags {
    #[arg(long, hide = true)]
    subject: Option<String>,
    #[arg(long, hide = true)]
    feed_nats_url: Option<String>,
    #[arg(long, hide = true)]
    feed_nats_creds: Option<String>,
    #[arg(long, hide = true)]
    feed_nats_ca: Option<String>,
    #[arg(long, hide = true)]
    feed_nats_silence: Option<String>,
}

impl NatsFlags {
    fn first(&self) -> Option<(&'static str, &str)> {
        let flags = [
            ("--subject", &self.subject),
            ("--feed-nats-url", &self.feed_nats_url),
            ("--feed-nats-creds", &self.feed_nats_creds),
            ("--feed-nats-ca", &self.feed_nats_ca),
            ("--feed-nats-silence", &self.feed_nats_silence),
        ];
        flags.into_iter().find_map(|(flag, value)| Some((flag, value.as_deref()?)))
    }
}

/// What the arguments mean.
pub(crate) struct Ready {
    venue: Venue,
    duration: Option<Duration>,
    config: VenueConfig,
}

/// Checks the arguments. *Errors* name the argument and its value.
pub(crate) fn prepare(args: &RecordArgs) -> Result<Ready> {
    let feed = &args.feed;
    let venue = match Venue::from_name(feed) {
        None => bail!("--feed: {feed:?} is not one of {RECORDABLE}"),
        Some(Venue::Nats) => bail!(
            "--feed: {feed:?} cannot be recorded: what is published on NATS may be binary, and a \
             recording is text; what can be is {RECORDABLE}"
        ),
        Some(Venue::Sim) => bail!(
            "--feed: {feed:?} cannot be recorded: `serve --feed sim` says the same again with the \
             same --sim-seed; what can be is {RECORDABLE}"
        ),
        Some(venue) => venue,
    };
    if let Some((flag, value)) = args.nats.first() {
        bail!("{flag}: {value:?} is for --feed nats, which cannot be recorded, not for {feed}");
    }
    let duration = match &args.duration {
        Some(text) => Some(time("duration", Some(text), "")?),
        None => None,
    };
    let file = match &args.config {
        Some(path) => Settings::from_file(path)?,
        None => Settings::default(),
    };
    let settings = Settings { symbols: args.symbols.clone(), ..Settings::default() }.over(file);
    Ok(Ready { venue, duration, config: settings.resolve()?.venue(venue) })
}

/// Records until the time is over or it is asked to stop.
pub(crate) fn run(args: &RecordArgs, ready: Ready) -> Result<()> {
    let Ready { venue, duration, config } = ready;
    let file = File::create_new(&args.output)
        .with_context(|| format!("output: {}", args.output.display()))?;
    let header = RecordingHeader { venue, clock: RecordingClock::Unix };
    let recorder = RecordingWriter::new(BufWriter::new(file), header)?;

    // The handler runs as it would live, so that it subscribes and asks for what it needs; its
    // events go nowhere.
    let (batches, events) = bounded::<EventBatch>(BATCHES_MAX);
    let (recycle, recycled) = bounded(BATCHES_MAX);
    let bin = std::thread::spawn(move || {
        for batch in events {
            // A full way back only costs a buffer.
            let _ = recycle.try_send(batch);
        }
    });
    let outlet = Outlet::to_inboxes(
        SourceIndex(0),
        Arc::new(Directory::default()),
        &[InboxSender { batches, recycled }],
    );
    let registry = Registry::new();
    let metrics = tickcast_feed::Metrics::new(&registry)?.of(venue);
    let handler = tickcast_feed::handler_of(venue, &config).context("the venue has a handler")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let recorder = Some(Box::new(recorder) as Box<dyn tickcast_feed::Recorder>);
        let driver = Driver::new(handler, outlet, metrics, DriverConfig::new(venue), recorder);
        let (stop, stopping) = watch::channel(false);
        let mut signals = crate::signals::Signals::new()?;
        let began = clock::now();
        tracing::info!(%venue, file = %args.output.display(), "recording");
        let run = tokio::spawn(driver.run(stopping));
        tokio::select! {
            () = wait(duration) => {}
            () = signals.stop(crate::signals::nothing_to_reload) => {}
        }
        stop.send_replace(true);
        run.await??;
        let (seconds, messages) = (clock::now().since(began).as_secs_f64(), received(&registry));
        tracing::info!(seconds, messages, "recorded");
        Ok::<(), anyhow::Error>(())
    })?;
    if bin.join().is_err() {
        bail!("the thread that throws events away has panicked");
    }
    if received(&registry) == 0 {
        // It would be in the way of the next attempt.
        std::fs::remove_file(&args.output)
            .with_context(|| format!("output: {}", args.output.display()))?;
        bail!("{venue}: nothing was received, {} is not kept", args.output.display());
    }
    Ok(())
}

/// How many messages the venue has sent.
fn received(registry: &Registry) -> u64 {
    let families = registry.gather();
    let messages = families.iter().filter(|family| family.name() == "tickcast_feed_messages_total");
    let counters = messages.flat_map(|family| family.get_metric());
    counters.map(|counter| counter.get_counter().get_value() as u64).sum()
}

async fn wait(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
