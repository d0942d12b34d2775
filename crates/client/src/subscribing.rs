//! A subscription before it begins: its symbols and options.

use crate::client::Tickcast;
use crate::error::Error;
use crate::items::{Bars, Book, Item, Ticker, Trades};
use crate::subscription::Subscription;
use std::marker::PhantomData;
use tickcast_market::Interval;
use tickcast_wire::{Depth, FieldSet, Pattern, Subscribe, TickerField, View};

/// A subscription that is being put together. Nothing happens before [`Subscribing::subscribe`] or
/// [`Subscribing::begin`].
#[derive(Clone, Debug)]
#[must_use = "nothing is subscribed to before `subscribe` or `begin`"]
pub struct Subscribing<T> {
    client: Tickcast,
    pub(crate) params: Subscribe,
    of: PhantomData<T>,
}

impl<T: Item> Subscribing<T> {
    pub(crate) fn new<S: Into<String>>(
        client: &Tickcast,
        view: View,
        symbols: impl IntoIterator<Item = S>,
    ) -> Subscribing<T> {
        let symbols = symbols.into_iter().map(Pattern::new).collect();
        Subscribing::with(client.clone(), Subscribe::new(view, symbols))
    }

    pub(crate) fn with(client: Tickcast, params: Subscribe) -> Subscribing<T> {
        Subscribing { client, params, of: PhantomData }
    }

    /// At most so many updates a second and symbol; without it everything in real time. The
    /// service grants the fastest of its rates that is not faster.
    pub fn max_rate(mut self, per_second: f64) -> Self {
        self.params.max_rate = Some(per_second);
        self
    }

    /// Everything in real time.
    pub fn real_time(mut self) -> Self {
        self.params.max_rate = None;
        self
    }

    /// Subscribes, and waits until the service has answered: over this connection or the next.
    ///
    /// *Errors:* an option is wrong; the service refuses, or serves none of the symbols
    /// ([`Subscription::failed`] has those that are not served where others are); the client is
    /// closed.
    pub async fn subscribe(self) -> Result<Subscription<T>, Error> {
        let subscription = self.begin()?;
        subscription.placed().await?;
        Ok(subscription)
    }

    /// Subscribes without waiting for the answer, also where there is no connection yet.
    ///
    /// *Errors:* an option is wrong; the client is closed.
    pub fn begin(self) -> Result<Subscription<T>, Error> {
        self.check()?;
        Subscription::begin(self.client, self.params)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |option, said: String| Err(Error::Option { option, said });
        if self.params.symbols.is_empty() {
            return wrong("symbol", "an empty list".into());
        }
        if self.params.fields.is_empty() {
            return wrong("fields", "an empty list".into());
        }
        match self.params.max_rate {
            Some(rate) if !(rate > 0.0 && rate.is_finite()) => {
                wrong("max_rate", format!("{rate} is not above 0"))
            }
            _ => Ok(()),
        }
    }
}

impl Subscribing<Ticker> {
    /// These fields alone; all of them without it.
    pub fn fields(mut self, fields: impl IntoIterator<Item = TickerField>) -> Self {
        self.params.fields = fields.into_iter().fold(FieldSet::NONE, FieldSet::with);
        self
    }
}

impl Subscribing<Book> {
    /// How many levels a side.
    pub fn depth(mut self, depth: Depth) -> Self {
        self.params.view = View::Book(depth);
        self
    }
}

impl Subscribing<Bars> {
    /// The length of a bar. Part of what a subscription is: it cannot be changed in place.
    pub fn interval(mut self, interval: Interval) -> Self {
        self.params.view = View::Bars(interval);
        self
    }
}

impl Subscribing<Trades> {
    /// Begins with the next trade instead of those that are kept.
    pub fn from_now(mut self) -> Self {
        self.params.snapshot = false;
        self
    }
}
