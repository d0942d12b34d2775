//! Which publisher counts: a lease in a NATS key-value bucket.
//!
//! Whoever creates the key holds the lease and renews it; JetStream lets the key go two seconds after
//! the last renewal. The revision at which it was created is the *run*: it rises with every holder,
//! so an epoch never means two things and gateways know the later one. The key's value tells the run,
//! since renewals have revisions of their own.
//!
//! The bucket's first revision is the time at which it was made, in quarters of a second: runs rise
//! faster than they are used up, also when NATS has lost its store and the bucket is made again.
//!
//! Who cannot renew gives up by its own clock before JetStream lets go. Whoever was stopped meanwhile
//! and still publishes does so under its old run, which no gateway takes.

use crate::bus::{Bus, stopped};
use crate::candidacy::Candidacy;
use crate::relief::{offer, relieved};
use async_nats::jetstream::context::{
    CreateStreamErrorKind, GetStreamError, GetStreamErrorKind, RequestErrorKind,
};
use async_nats::jetstream::kv::{CreateErrorKind, Operation, Store};
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use async_nats::jetstream::{Context, ErrorCode};
use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
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

/// Servers that keep the bucket, where there are as many.
const REPLICAS: usize = 3;

/// How often it is looked whether there are.
const WIDEN_EVERY: Duration = Duration::from_secs(5);

/// A bucket that can be read, in which nobody holds it and nothing is taken for so long, is broken.
const UNTAKEN_MAX: Duration = Duration::from_secs(5);

/// What is said where nobody answers in time.
const NO_ANSWER: &str = "JetStream does not answer";

/// What is said where NATS knows at once that nobody will.
const NO_JETSTREAM: &str = "JetStream is not enabled on this server, or not for this account";

/// What is said where there is no bucket.
const NO_BUCKET: &str = "there is none, no publisher has made it";

/// Revisions a second that are made room for: more than renewals use.
const REVISIONS_PER_SECOND: u64 = 4;

const _: () = assert!(1_000 / RENEW_EVERY.as_millis() < REVISIONS_PER_SECOND as u128);
const _: () = assert!(HELD_MAX.as_millis() < TTL.as_millis(), "it gives up before another begins");
const _: () =
    assert!(RENEW_EVERY.as_millis() + 2 * STEP_DEADLINE.as_millis() <= HELD_MAX.as_millis());

/// The lease, as one publisher sees it.
pub struct Lease {
    bus: Bus,
    holder: String,
    run: watch::Sender<Option<u64>>,
    has_prices: HasPrices,
}

/// Whether this publisher has anything to show now.
pub type HasPrices = Box<dyn Fn() -> bool + Send + Sync>;

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("holder", &self.holder).finish_non_exhaustive()
    }
}

impl Lease {
    /// `holder` names this process in the bucket; without `has_prices` it leaves the lease to others
    /// as long as there are any. What is returned says the run while it holds the lease.
    pub fn new(
        bus: Bus,
        holder: String,
        has_prices: HasPrices,
    ) -> (Lease, watch::Receiver<Option<u64>>) {
        let (run, held) = watch::channel(None);
        (Lease { bus, holder, run, has_prices }, held)
    }

    /// Takes note of whether it is known who holds it, this process or another one; without that nobody
    /// can take over.
    fn answered(&self, error: Option<&str>) {
        self.bus.note_lease(error.map(in_bucket));
    }

    /// Tries to hold it until `stop`, and then gives it back, so that another takes over at once.
    pub async fn keep(self, mut stop: watch::Receiver<bool>) {
        let mut revision = None;
        let run = self.run.subscribe();
        tokio::select! {
            () = self.hold(&mut revision) => {}
            () = offer(&self.bus, &self.holder, &self.has_prices, run) => {}
            () = stopped(&mut stop) => {}
        }
        self.tell(None);
        if let (Some(revision), Ok(store)) = (revision, find(&self.bus).await) {
            give_back(&store, revision).await;
        }
    }

    async fn hold(&self, revision: &mut Option<u64>) {
        let mut untaken_since = None;
        let mut candidacy = Candidacy::default();
        let mut was_narrow = false;
        loop {
            let store = match find_or_make(&self.bus).await {
                Ok(store) => store,
                Err(error) => {
                    untaken_since = None;
                    self.answered(Some(&error));
                    sleep(TRY_EVERY).await;
                    continue;
                }
            };
            if !self.may_ask(&store, &mut candidacy).await {
                sleep(TRY_EVERY).await;
                continue;
            }
            let asked = Instant::now();
            let value = self.holder.clone().into_bytes().into();
            let created = timeout(STEP_DEADLINE, store.create(KEY, value)).await;
            if created.is_ok() {
                untaken_since = None;
            }
            match created {
                Ok(Ok(run)) => {
                    self.answered(None);
                    *revision = Some(run);
                    self.tell(Some(run));
                    tokio::select! {
                        () = self.renew(&store, run, asked, revision) => *revision = None,
                        () = widen(&self.bus, &store, &mut was_narrow) => {}
                        other = relieved(&self.bus, &self.has_prices) => {
                            tracing::warn!("lease: no venue is live here, {other} has prices");
                        }
                    }
                    self.tell(None);
                    candidacy = Candidacy::default();
                    if let Some(revision) = revision.take() {
                        give_back(&store, revision).await;
                    }
                }
                Ok(Err(error)) if error.kind() == CreateErrorKind::AlreadyExists => {
                    self.answered(None);
                    sleep(TRY_EVERY).await;
                }
                Ok(Err(error)) => {
                    self.answered(Some(&in_words(&error)));
                    sleep(TRY_EVERY).await;
                }
                Err(_) => {
                    self.answered(Some(NO_ANSWER));
                    let since = *untaken_since.get_or_insert(asked);
                    let is_broken = since.elapsed() > UNTAKEN_MAX && is_on_one_server(&store);
                    if is_broken && matches!(read(&store).await, Ok(None)) {
                        remove(&self.bus).await;
                        untaken_since = None;
                    }
                    sleep(TRY_EVERY).await;
                }
            }
        }
    }

    /// Whether to ask for the lease now.
    async fn may_ask(&self, store: &Store, candidacy: &mut Candidacy) -> bool {
        if (self.has_prices)() {
            *candidacy = Candidacy::default();
            return true;
        }
        let held = read(store).await;
        self.answered(held.is_err().then_some(NO_ANSWER));
        held.is_ok_and(|held| candidacy.sees(held.is_some(), Instant::now()))
    }

    /// Renews until it is lost.
    async fn renew(&self, store: &Store, run: u64, asked: Instant, revision: &mut Option<u64>) {
        let mut held_since = asked;
        loop {
            sleep(RENEW_EVERY).await;
            let asked = Instant::now();
            let (value, last) = (format!("{} {run}", self.holder), revision.unwrap_or(run));
            let why = match timeout(STEP_DEADLINE, store.update(KEY, value.into(), last)).await {
                Ok(Ok(next)) => {
                    *revision = Some(next);
                    held_since = asked;
                    "this process stood still".to_owned()
                }
                // An answer that was lost may have renewed it all the same.
                failed => {
                    if let Ok(Some(entry)) = read(store).await
                        && entry.1 == run
                    {
                        *revision = Some(entry.0);
                    }
                    match failed {
                        Ok(Err(error)) => in_words(&error),
                        _ => NO_ANSWER.to_owned(),
                    }
                }
            };
            if held_since.elapsed() > HELD_MAX {
                tracing::warn!("lease: not renewed in time: {why}");
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

/// Gives the lease back, unless it was renewed since, or lost.
async fn give_back(store: &Store, revision: u64) {
    let given_back = store.delete_expect_revision(KEY, Some(revision));
    if let Ok(Err(error)) = timeout(STEP_DEADLINE, given_back).await {
        tracing::warn!(%error, "lease: not given back, it ends by itself");
    }
}

/// What is wrong with the bucket.
pub(crate) fn in_bucket(error: &str) -> String {
    format!("lease bucket {BUCKET}: {error}")
}

/// The bucket. *Errors* in words: there is none, or JetStream does not answer.
pub(crate) async fn find(bus: &Bus) -> Result<Store, String> {
    let jetstream = async_nats::jetstream::new(bus.client.clone());
    find_in(&jetstream).await?.ok_or_else(|| NO_BUCKET.to_owned())
}

/// `None` where it is known that there is none.
async fn find_in(jetstream: &Context) -> Result<Option<Store>, String> {
    match timeout(STEP_DEADLINE, jetstream.get_key_value(BUCKET)).await {
        Ok(Ok(store)) => Ok(Some(store)),
        Ok(Err(error)) if in_words(&error) == NO_BUCKET => Ok(None),
        Ok(Err(error)) => Err(in_words(&error)),
        Err(_) => Err(NO_ANSWER.into()),
    }
}

/// The bucket, made if there is none.
async fn find_or_make(bus: &Bus) -> Result<Store, String> {
    let jetstream = async_nats::jetstream::new(bus.client.clone());
    if let Some(store) = find_in(&jetstream).await? {
        return Ok(store);
    }
    let mut why = NO_BUCKET.to_owned();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    for num_replicas in [REPLICAS, 1] {
        let config = Config {
            name: format!("KV_{BUCKET}"),
            description: Some("Which publisher counts.".into()),
            subjects: vec![format!("$KV.{BUCKET}.>")],
            max_messages_per_subject: 1,
            max_age: TTL,
            storage: StorageType::File,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            discard: DiscardPolicy::New,
            first_sequence: Some(now.as_secs() * REVISIONS_PER_SECOND),
            num_replicas,
            ..Config::default()
        };
        match timeout(STEP_DEADLINE, jetstream.create_stream(config)).await {
            Ok(Ok(_)) => return find(bus).await,
            Ok(Err(error)) => {
                why = in_words(&error);
                // A cluster that has no leader yet has three servers a moment later.
                let CreateStreamErrorKind::JetStream(error) = error.kind() else { break };
                let too_few = [
                    ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED,
                    ErrorCode::CLUSTER_NO_PEERS,
                    ErrorCode::INSUFFICIENT_RESOURCES,
                ];
                if !too_few.contains(&error.error_code()) {
                    break;
                }
            }
            Err(_) => return Err(NO_ANSWER.into()),
        }
    }
    Err(why)
}

/// Whether the bucket is on a server by itself. A cluster without a quorum takes nothing either, and
/// mends itself; what its servers hold is not to be removed meanwhile.
fn is_on_one_server(store: &Store) -> bool {
    let cluster = store.stream.cached_info().cluster.as_ref();
    cluster.is_none_or(|cluster| cluster.name.is_none())
}

/// Removes a bucket that takes nothing, so that it is made again: a server whose files were removed or
/// lost keeps the stream, answers for it, and can write nothing to it until it is started again. Where
/// somebody holds the lease after all, another one holds it a moment later, under a later run.
async fn remove(bus: &Bus) {
    let jetstream = async_nats::jetstream::new(bus.client.clone());
    match timeout(STEP_DEADLINE, jetstream.delete_stream(format!("KV_{BUCKET}"))).await {
        Ok(Ok(_)) => {
            tracing::error!(
                "lease: its bucket could not be written to and is made again: are JetStream's files there?"
            );
        }
        Ok(Err(error)) => bus.troubles.complain(&in_bucket(&format!("not removed: {error}"))),
        Err(_) => {}
    }
}

/// Puts the bucket on three servers of a cluster as soon as there are as many: on one alone the lease
/// would be lost with it. Whether it was on fewer is remembered beyond this holding of the lease, and
/// whatever was answered: a server that is asked may do it and answer too late. Never ends.
async fn widen(bus: &Bus, store: &Store, was_narrow: &mut bool) {
    let jetstream = async_nats::jetstream::new(bus.client.clone());
    loop {
        if let Ok(Ok(info)) = timeout(STEP_DEADLINE, store.stream.get_info()).await
            && let Some(cluster) = info.cluster.filter(|cluster| cluster.name.is_some())
        {
            let current = 1 + cluster.replicas.iter().filter(|replica| replica.current).count();
            if info.config.num_replicas < REPLICAS {
                *was_narrow = true;
                let config = Config { num_replicas: REPLICAS, ..info.config };
                let updated = timeout(STEP_DEADLINE, jetstream.update_stream(config)).await;
                if let Ok(Err(error)) = updated {
                    tracing::debug!(%error, "lease: its bucket is on one server");
                }
            } else if *was_narrow && current >= REPLICAS {
                // Before the others hold what there is, the loss of the first one loses all of it.
                tracing::info!("lease: its bucket is on three servers now");
                *was_narrow = false;
            }
        }
        sleep(WIDEN_EVERY).await;
    }
}

/// The key's revision and the run of who holds it; `None` when nobody does. *Errors* in words: no
/// answer.
pub(crate) async fn read(store: &Store) -> Result<Option<(u64, u64)>, String> {
    let entry = timeout(STEP_DEADLINE, store.entry(KEY)).await.map_err(|_| NO_ANSWER.to_owned())?;
    let entry = entry.map_err(|error| in_words(&error))?;
    let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&entry.value);
    let run = text.rsplit_once(' ').and_then(|(_, run)| run.parse().ok());
    Ok(Some((entry.revision, run.unwrap_or(entry.revision))))
}

/// An error of the client; whoever reads it knows NATS, not the client.
fn in_words(error: &(dyn Error + 'static)) -> String {
    let said = error.to_string();
    let of_none = [
        RequestErrorKind::NoResponders.to_string(),
        CreateStreamErrorKind::JetStreamUnavailable.to_string(),
    ];
    if of_none.iter().any(|words| said.contains(words)) {
        return NO_JETSTREAM.to_owned();
    }
    let found = error.source().and_then(|source| source.downcast_ref::<GetStreamError>());
    match found.map(GetStreamError::kind) {
        Some(GetStreamErrorKind::JetStream(error))
            if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
        {
            NO_BUCKET.to_owned()
        }
        Some(GetStreamErrorKind::JetStream(error)) => error.to_string(),
        _ => said,
    }
}
