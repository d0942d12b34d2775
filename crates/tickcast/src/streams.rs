//! Where this process's streams come from: its own feeds and publisher, or a bus.

use crate::bus::{self, FromBus};
use crate::clock;
use crate::feeds::{Feeds, Lists, Live, Resyncs};
use crate::serve::join;
use crate::settings::Resolved;
use anyhow::{Context, Result};
use crossbeam_channel::bounded;
use prometheus::Registry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tickcast_feed::InboxSender;
use tickcast_gateway::FeedReport;
use tickcast_market::{Directory, Epoch};
use tickcast_publisher::{Config, Hub, Inbox, Publisher, Resync, ShardFeed, Wake};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Batches of events that wait for a partition before feeds stop reading.
const INBOX_BATCHES_MAX: usize = 256;

/// Says how one source of data is doing.
pub(crate) type Health = Box<dyn Fn() -> FeedReport + Send + Sync>;

/// What every shape of the service begins with.
pub(crate) struct Ground<'a> {
    pub(crate) settings: &'a Resolved,
    pub(crate) registry: &'a Registry,
    /// Where the drivers of live venues, or the bus, run.
    pub(crate) venues: Handle,
    /// The first epoch of this run.
    pub(crate) first: Epoch,
    /// One waker for each reader of batches.
    pub(crate) wakes: Vec<Wake>,
}

/// The streams that this process serves, and what keeps them going.
pub(crate) struct Streams {
    pub(crate) hub: Arc<Hub>,
    /// One for each waker.
    pub(crate) feeds: Vec<ShardFeed>,
    from: From,
}

enum From {
    Own(Box<Own>),
    Bus(Box<FromBus>),
}

/// Feeds and publisher of this process.
struct Own {
    feeds: Feeds,
    live: Vec<Live>,
    stop: Arc<AtomicBool>,
    stop_drivers: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Streams {
    /// From feeds of its own; they are started later.
    pub(crate) fn own(ground: Ground<'_>) -> Result<Streams> {
        let Ground { settings, registry, venues, first, wakes } = ground;
        let directory = Arc::new(Directory::default());
        let stop = Arc::new(AtomicBool::new(false));
        let (stop_drivers, stopping) = watch::channel(false);
        let (inboxes, partition_inboxes) = make_inboxes(settings.partitions);
        let sources = settings.feeds.len() + settings.replay.len();
        let feeds = Feeds {
            venues,
            directory: directory.clone(),
            inboxes,
            stop: stop.clone(),
            lists: Arc::new(Lists::new(directory.clone(), sources)),
            metrics: tickcast_feed::Metrics::new(registry)?,
            stopping,
        };
        let (live, resyncs) = feeds.prepare_live(settings)?;
        let config = Config {
            run: first.0 / Epoch::PER_RUN,
            tiers: settings.tiers.clone(),
            partitions: settings.partitions,
            wakes,
            resync: route_resyncs(directory.clone(), resyncs),
        };
        let publisher = Publisher::new(config, directory);
        publisher.hub.begin_run(first);
        let metrics = tickcast_publisher::Metrics::new(registry)?;
        let threads = start_partitions(publisher.partitions, partition_inboxes, &metrics)?;
        metrics.show_topics_of(publisher.hub.clone());
        let own = Own { feeds, live, stop, stop_drivers, threads };
        let from = From::Own(Box::new(own));
        Ok(Streams { hub: publisher.hub, feeds: publisher.feeds, from })
    }

    /// Replicas of a publisher's that is found on a bus.
    pub(crate) async fn from_bus(ground: Ground<'_>) -> Result<Streams> {
        let (hub, feeds, from) = bus::follow(ground).await?;
        Ok(Streams { hub, feeds, from: From::Bus(Box::new(from)) })
    }

    /// Starts what brings data; `subscribed` says whether anybody has subscribed to anything.
    pub(crate) fn start(
        &mut self,
        settings: &Resolved,
        subscribed: impl Fn() -> bool + Clone + Send + 'static,
    ) -> Result<Vec<Health>> {
        match &mut self.from {
            From::Own(own) => {
                let live = std::mem::take(&mut own.live);
                let started = own.feeds.start(settings, live, subscribed)?;
                own.threads.extend(started.threads);
                let health = |health: Arc<crate::feeds::FeedHealth>| -> Health {
                    Box::new(move || health.report())
                };
                Ok(started.healths.into_iter().map(health).collect())
            }
            From::Bus(from) => Ok(vec![from.health()]),
        }
    }

    /// Asks everything to stop; [`Streams::end`] waits for it.
    pub(crate) fn stop(&self) {
        match &self.from {
            From::Own(own) => {
                own.stop.store(true, Ordering::Relaxed); // A flag that loops look at; orders nothing.
                own.stop_drivers.send_replace(true);
            }
            From::Bus(from) => from.stop(),
        }
    }

    /// Waits for the threads to end; blocks.
    pub(crate) fn end(self) {
        match self.from {
            From::Own(own) => {
                // A partition ends when the last feed has let go of its inbox.
                drop(own.feeds);
                join(own.threads);
            }
            From::Bus(from) => from.end(),
        }
    }
}

fn make_inboxes(partitions: usize) -> (Vec<InboxSender>, Vec<Inbox>) {
    let inbox = |_| {
        let (batches, batches_out) = bounded(INBOX_BATCHES_MAX);
        // Twice the room, so that what is under way in both directions always fits.
        let (recycled, recycled_out) = bounded(2 * INBOX_BATCHES_MAX);
        (InboxSender { batches, recycled: recycled_out }, Inbox { batches: batches_out, recycled })
    };
    (0..partitions).map(inbox).unzip()
}

/// A live venue's driver is asked; a replay and the simulator have nobody to ask, and the
/// instrument is only marked.
fn route_resyncs(directory: Arc<Directory>, resyncs: Resyncs) -> Resync {
    Resync(Arc::new(move |index| {
        let Some(instrument) = directory.get(index) else { return false };
        let (venue, name) = (instrument.spec.venue, &instrument.name);
        tracing::warn!(%venue, instrument = %name, "book is crossed or does not fit: resync");
        match resyncs.get(&instrument.spec.venue) {
            Some(driver) => driver.try_send(index).is_ok(),
            None => true,
        }
    }))
}

fn start_partitions(
    partitions: Vec<tickcast_publisher::Partition>,
    inboxes: Vec<Inbox>,
    metrics: &tickcast_publisher::Metrics,
) -> Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    for (number, (partition, inbox)) in partitions.into_iter().zip(inboxes).enumerate() {
        let metrics = metrics.partition(number);
        let thread = std::thread::Builder::new()
            .name(format!("partition-{number}"))
            .spawn(move || partition.run(&inbox, &metrics, clock::now))
            .context("a partition's thread")?;
        threads.push(thread);
    }
    Ok(threads)
}
