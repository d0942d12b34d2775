//! Which publisher counts: a lease in a NATS key-value bucket.
//!
//! Whoever creates the key holds the lease and renews it; JetStream lets the key go two seconds after
//! the last renewal. The revision at which it was created is the *run*: it rises with every holder,
//! so an epoch never means two things and gateways know the later one. The key's value tells the run,
//! since renewals have revisions of their own.
//!
//! Who cannot renew gives up by its own clock before JetStream lets go. Whoever was stopped meanwhile
//! and still publishes does so under its old run, which no gateway takes.

use crate::bus::{Bus, stopped};
use async_nats::jetstream::kv::{Config, Operation, Store};
use async_nats::jetstream::stream::StorageType;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

const BUCKET: &str = "tickcast";
const KEY: &str = "publisher";

/// The key lives so long without being renewed.
const TTL: Duration = Duration::from_secs(2);

/// How often it is renewed, and how often the others try to get it.
const RENEW_EVERY: Duration = Duration::from_millis(400);
const TRY_EVERY: Duration = Duration::from_millis(200);

/// Without a renewal for so long the holder has lost it.
const HELD_MAX: Duration = Duration::from_millis(1_500);

/// One step of the conversation with JetStream.
const STEP_DEADLINE: Duration = Duration::from_millis(500);

const _: () = assert!(HELD_MAX.as_millis() < TTL.as_millis(), "it gives up before another begins");
const _: () =
    assert!(RENEW_EVERY.as_millis() + 2 * STEP_DEADLINE.as_millis() <= HELD_MAX.as_millis());

/// The lease, as one publisher sees it.
#[derive(Debug)]
pub struct Lease {
    bus: Bus,
    holder: String,
    run: watch::Sender<Option<u64>>,
}

impl Lease {
    /// `holder` names this process in the bucket. What is returned says the run while it holds the
    /// lease.
    pub fn new(bus: Bus, holder: String) -> (Lease, watch::Receiver<Option<u64>>) {
        let (run, held) = watch::channel(None);
        (Lease { bus, holder, run }, held)
    }

    /// Tries to hold it until `stop`, and then gives it back, so that another takes over at once.
    pub async fn keep(self, mut stop: watch::Receiver<bool>) {
        let mut revision = None;
        tokio::select! {
            () = self.hold(&mut revision) => {}
            () = stopped(&mut stop) => {}
        }
        self.tell(None);
        if let (Some(revision), Some(store)) = (revision, open(&self.bus).await) {
            let given_back = store.delete_expect_revision(KEY, Some(revision));
            if let Ok(Err(error)) = timeout(STEP_DEADLINE, given_back).await {
                tracing::warn!(%error, "lease: not given back, it ends by itself");
            }
        }
    }

    async fn hold(&self, revision: &mut Option<u64>) {
        loop {
            let Some(store) = open(&self.bus).await else {
                sleep(TRY_EVERY).await;
                continue;
            };
            let asked = Instant::now();
            let value = self.holder.clone().into_bytes().into();
            match timeout(STEP_DEADLINE, store.create(KEY, value)).await {
                Ok(Ok(run)) => {
                    *revision = Some(run);
                    self.tell(Some(run));
                    self.renew(&store, run, asked, revision).await;
                    *revision = None;
                    self.tell(None);
                }
                // Another one holds it, or nobody answers.
                Ok(Err(_)) | Err(_) => sleep(TRY_EVERY).await,
            }
        }
    }

    /// Renews until it is lost.
    async fn renew(&self, store: &Store, run: u64, asked: Instant, revision: &mut Option<u64>) {
        let mut held_since = asked;
        loop {
            sleep(RENEW_EVERY).await;
            let asked = Instant::now();
            let (value, last) = (format!("{} {run}", self.holder), revision.unwrap_or(run));
            match timeout(STEP_DEADLINE, store.update(KEY, value.into(), last)).await {
                Ok(Ok(next)) => {
                    *revision = Some(next);
                    held_since = asked;
                }
                // An answer that was lost may have renewed it all the same.
                Ok(Err(_)) | Err(_) => {
                    if let Ok(Some(entry)) = read(store).await
                        && entry.1 == run
                    {
                        *revision = Some(entry.0);
                    }
                }
            }
            if held_since.elapsed() > HELD_MAX {
                return;
            }
        }
    }

    fn tell(&self, run: Option<u64>) {
        self.bus.metrics.leader.set(run.is_some().into());
        let changed = self.run.send_if_modified(|held| std::mem::replace(held, run) != run);
        if changed {
            match run {
                Some(run) => tracing::info!(run, "lease: this publisher is the one that counts"),
                None => tracing::warn!("lease: given up"),
            }
        }
    }
}

/// The bucket, made if there is none; `None` while JetStream does not answer.
pub(crate) async fn open(bus: &Bus) -> Option<Store> {
    let jetstream = async_nats::jetstream::new(bus.client.clone());
    if let Ok(Ok(store)) = timeout(STEP_DEADLINE, jetstream.get_key_value(BUCKET)).await {
        return Some(store);
    }
    // On three servers where there are as many.
    for num_replicas in [3, 1] {
        let config = Config {
            bucket: BUCKET.into(),
            description: "Which publisher counts.".into(),
            history: 1,
            max_age: TTL,
            storage: StorageType::File,
            num_replicas,
            ..Config::default()
        };
        if let Ok(Ok(store)) = timeout(STEP_DEADLINE, jetstream.create_key_value(config)).await {
            return Some(store);
        }
    }
    None
}

/// The key's revision and the run of who holds it; `None` when nobody does. *Errors:* no answer.
pub(crate) async fn read(store: &Store) -> Result<Option<(u64, u64)>, ()> {
    let entry = timeout(STEP_DEADLINE, store.entry(KEY)).await.map_err(|_| ())?;
    let Some(entry) = entry.map_err(|_| ())?.filter(|entry| entry.operation == Operation::Put)
    else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&entry.value);
    let run = text.rsplit_once(' ').and_then(|(_, run)| run.parse().ok());
    Ok(Some((entry.revision, run.unwrap_or(entry.revision))))
}
