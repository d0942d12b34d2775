//! A subscription: the news of its symbols, the newest state of each, as fast as it is taken.

use crate::client::Tickcast;
use crate::error::Error;
use crate::items::Item;
use crate::items::sealed::Place;
use crate::shared::State;
use crate::subscribing::Subscribing;
use crate::subscriptions::Stream;
use parking_lot::MutexGuard;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;
use tickcast_wire::{Failed, Granted, Pattern, Subscribe};
use tokio::sync::Notify;

/// Some symbols on one channel. Ends when it is dropped.
///
/// Who takes slowly is given the newest state, and nothing queues: at most one entry for each
/// symbol waits. Two subscriptions of one client to the same name or pattern share what is held;
/// the options of the later one hold for both, as the service knows just one.
#[derive(Debug)]
pub struct Subscription<T> {
    client: Tickcast,
    number: u64,
    stream: Stream,
    news: Arc<Notify>,
    of: PhantomData<fn() -> T>,
}

impl<T: Item> Subscription<T> {
    pub(crate) fn begin(client: Tickcast, params: Subscribe) -> Result<Subscription<T>, Error> {
        let mut state = client.owner.shared.state.lock();
        let number = state.begin(params, Instant::now())?;
        let handle = &state.handles[&number];
        let (stream, news) = (handle.stream, handle.news.clone());
        drop(state);
        client.owner.shared.outgoing.notify_one();
        client.owner.shared.timing.notify_one();
        Ok(Subscription { client, number, stream, news, of: PhantomData })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.client.owner.shared.state.lock()
    }

    /// The next symbol that has changed, in its newest state: also when only what can be expected
    /// of it has changed, as when the connection is lost. `None` when the subscription is over
    /// ([`Subscription::error`] says why).
    ///
    /// Nothing is lost when it is dropped while it waits.
    pub async fn next(&mut self) -> Option<T> {
        loop {
            if let Some(item) = self.try_next() {
                return Some(item);
            }
            if self.error().is_some() {
                return None;
            }
            self.news.notified().await;
        }
    }

    /// The same without waiting.
    pub fn try_next(&mut self) -> Option<T> {
        let mut state = self.state();
        loop {
            let symbol = state.handles.get_mut(&self.number)?.take()?;
            let reads_as = state.reads_as(self.stream, &symbol);
            let place = Place { stream: self.stream, symbol: &symbol };
            let seen = state.handles[&self.number].seen(&symbol);
            // Something may have been told of a symbol before its data.
            let Some(item) = T::read(&state.session, place, reads_as, seen) else { continue };
            let held = state.session.held(self.stream, &symbol);
            state.handles.get_mut(&self.number)?.gave(symbol, held);
            return Some(item);
        }
    }

    /// All that is held of one symbol.
    pub fn get(&self, symbol: &str) -> Option<T> {
        let state = self.state();
        let reads_as = state.reads_as(self.stream, symbol);
        T::read(&state.session, Place { stream: self.stream, symbol }, reads_as, None)
    }

    /// The symbols of which anything is held, in order.
    pub fn symbols(&self) -> Vec<String> {
        let state = self.state();
        let Some(handle) = state.handles.get(&self.number) else { return Vec::new() };
        let is_own = |symbol: &&str| {
            handle.matches(symbol) && state.session.held(self.stream, symbol).is_some()
        };
        let mut symbols: Vec<String> =
            state.session.symbols().filter(is_own).map(str::to_owned).collect();
        symbols.sort_unstable();
        symbols
    }

    /// The symbols that are not served, and why; told as soon as it is known.
    pub fn failed(&self) -> Vec<Failed> {
        let state = self.state();
        let failed = state.handles.get(&self.number).map(|handle| handle.failed.values());
        failed.into_iter().flatten().cloned().collect()
    }

    /// What the service has granted; a long list of symbols goes in several requests.
    pub fn granted(&self) -> Vec<Granted> {
        self.state()
            .handles
            .get(&self.number)
            .map(|handle| handle.granted.clone())
            .unwrap_or_default()
    }

    /// Why it is over; `None` while it goes on.
    pub fn error(&self) -> Option<Error> {
        match self.state().handles.get(&self.number) {
            Some(handle) => handle.ended.clone(),
            None => Some(Error::ClientClosed),
        }
    }

    /// Changes options in place and waits for the answer; what is not mentioned stays.
    ///
    /// ```no_run
    /// # async fn example(tick: tickcast_client::Tickcast) -> Result<(), tickcast_client::Error> {
    /// let btc = tick.ticker(["kraken:BTC-USD"]).max_rate(5.0).subscribe().await?;
    /// btc.change(|options| options.max_rate(1.0)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// *Errors:* as [`Subscribing::subscribe`]; another interval of bars is another subscription.
    pub async fn change(
        &self,
        with: impl FnOnce(Subscribing<T>) -> Subscribing<T>,
    ) -> Result<(), Error> {
        let Some(params) = self.state().handles.get(&self.number).map(|h| h.params.clone()) else {
            return Err(Error::ClientClosed);
        };
        let changed = with(Subscribing::with(self.client.clone(), params));
        changed.check()?;
        if Stream::of(changed.params.view) != Some(self.stream) {
            let said = "cannot be changed in place".to_owned();
            return Err(Error::Option { option: "interval", said });
        }
        self.state().change(self.number, changed.params, Instant::now())?;
        self.client.owner.shared.outgoing.notify_one();
        self.client.owner.shared.timing.notify_one();
        self.placed().await
    }

    /// Waits until the service has answered.
    pub(crate) async fn placed(&self) -> Result<(), Error> {
        loop {
            if let Some(answer) = self.answer() {
                return answer;
            }
            self.news.notified().await;
        }
    }

    fn answer(&self) -> Option<Result<(), Error>> {
        let state = self.state();
        let Some(handle) = state.handles.get(&self.number) else {
            return Some(Err(Error::ClientClosed));
        };
        if let Some(why) = &handle.ended {
            return Some(Err(why.clone()));
        }
        if !handle.is_placed {
            return None;
        }
        // What is left may have been taken for news.
        self.news.notify_one();
        let fails = |pattern: &Pattern| handle.failed.contains_key(pattern.as_str());
        match handle.failed.values().next() {
            Some(failed) if handle.params.symbols.iter().all(fails) => Some(Err(Error::Request {
                code: failed.code,
                error: format!("{}: {}", failed.symbol, failed.error),
            })),
            _ => Some(Ok(())),
        }
    }
}

impl<T> Drop for Subscription<T> {
    fn drop(&mut self) {
        self.client.owner.shared.state.lock().end(self.number, Instant::now());
        self.client.owner.shared.outgoing.notify_one();
    }
}
