//! A client: the owner of a driver, to which subscriptions, views and requests belong.

use crate::connection::{Connection, ConnectionState, Event};
use crate::driver;
use crate::error::Error;
use crate::items::sealed::Place;
use crate::items::{Bars, Book, Item, Ticker, Trades};
use crate::options::{Dialer, Options};
use crate::session::Session;
use crate::shared::{Pending, Shared};
use crate::subscribing::Subscribing;
use crate::subscriptions::Stream;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use tickcast_market::Interval;
use tickcast_wire::{Depth, Request, Stats, TradingState, View};
use tokio::sync::{broadcast, oneshot};

/// A connection to a service that makes itself anew, with everything that is held over it. Cheap
/// to clone; it is closed when the last clone and the last subscription are gone.
#[derive(Clone, Debug)]
pub struct Tickcast {
    pub(crate) owner: Arc<Owner>,
}

/// Whoever has this keeps the driver going.
pub(crate) struct Owner {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner").field("state", &*self.shared.connection.borrow()).finish()
    }
}

impl Tickcast {
    pub(crate) fn start(options: Options, dialer: Dialer) -> Tickcast {
        let mut session = Session::new();
        session.verify_checksums(options.verify_checksums);
        let connection =
            Connection::at(ConnectionState::Connecting, options.encoding, Instant::now());
        let shared = Arc::new(Shared::new(session, connection));
        tokio::spawn(driver::run(shared.clone(), options, dialer));
        Tickcast { owner: Arc::new(Owner { shared }) }
    }

    /// Waits for the first attempt.
    pub(crate) async fn first_attempt(&self) -> Result<(), Error> {
        let mut states = self.owner.shared.connection.subscribe();
        let settled = states.wait_for(|state| *state != ConnectionState::Connecting).await;
        match settled.as_deref() {
            Ok(ConnectionState::Live) => Ok(()),
            Ok(
                ConnectionState::Reconnecting { reason, .. } | ConnectionState::Closed { reason },
            ) => Err(reason.clone()),
            Ok(ConnectionState::Connecting) | Err(_) => Err(Error::ClientClosed),
        }
    }

    /// A subscription to tickers: `tick.ticker(["coinbase:BTC-USD", "kraken:*"])`.
    pub fn ticker<S: Into<String>>(
        &self,
        symbols: impl IntoIterator<Item = S>,
    ) -> Subscribing<Ticker> {
        Subscribing::new(self, View::Ticker, symbols)
    }

    /// A subscription to trades.
    pub fn trades<S: Into<String>>(
        &self,
        symbols: impl IntoIterator<Item = S>,
    ) -> Subscribing<Trades> {
        Subscribing::new(self, View::Trades, symbols)
    }

    /// A subscription to books, ten levels a side unless another depth is chosen.
    pub fn book<S: Into<String>>(&self, symbols: impl IntoIterator<Item = S>) -> Subscribing<Book> {
        Subscribing::new(self, View::Book(Depth::TEN), symbols)
    }

    /// A subscription to bars, of a minute unless another interval is chosen.
    pub fn bars<S: Into<String>>(&self, symbols: impl IntoIterator<Item = S>) -> Subscribing<Bars> {
        Subscribing::new(self, View::Bars(Interval::M1), symbols)
    }

    /// What is held now, of everything that is subscribed to.
    pub fn latest(&self) -> Latest<'_> {
        Latest { client: self }
    }

    /// The connection, with counts over all connections so far.
    pub fn connection(&self) -> Connection {
        self.owner.shared.state.lock().connection.clone()
    }

    /// Waits until the connection's state is one that is wanted, and gives it.
    pub async fn until(&self, mut wanted: impl FnMut(&ConnectionState) -> bool) -> ConnectionState {
        let mut states = self.owner.shared.connection.subscribe();
        let found = states.wait_for(|state| wanted(state)).await.map(|state| state.clone());
        found.expect("the sender lives as long as this client")
    }

    /// What happens from now on beside the data: changes of the connection's state, statuses of
    /// instruments, symbols that are not served.
    pub fn events(&self) -> Events {
        Events { receiver: self.owner.shared.state.lock().events.subscribe() }
    }

    /// The service's own figures of this connection.
    ///
    /// *Errors:* there is no connection, or it ended before the answer.
    pub async fn stats(&self) -> Result<Stats, Error> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.owner.shared.state.lock();
            if !state.connection.state.is_live() {
                return Err(Error::NotConnected);
            }
            let req_id = state.session.next_req_id();
            state.send(Request::Stats { req_id }, Pending::Stats(answer));
        }
        self.owner.shared.outgoing.notify_one();
        answered.await.unwrap_or(Err(Error::NotConnected))
    }

    /// Closes the connection in order, and waits until that is done. All subscriptions end.
    pub async fn close(&self) {
        self.owner.shared.close();
        self.until(ConnectionState::is_closed).await;
    }
}

/// What is held now. Every look takes a lock for as long as copying takes.
#[derive(Clone, Copy, Debug)]
pub struct Latest<'a> {
    client: &'a Tickcast,
}

impl Latest<'_> {
    fn read<T: Item>(&self, stream: Stream, symbol: &str) -> Option<T> {
        let state = self.client.owner.shared.state.lock();
        let reads_as = state.reads_as(stream, symbol);
        T::read(&state.session, Place { stream, symbol }, reads_as, None)
    }

    /// A ticker, if anything is held of it.
    pub fn ticker(&self, symbol: &str) -> Option<Ticker> {
        self.read(Stream::Ticker, symbol)
    }

    /// The trades that are kept, at most [`crate::TRADES_MAX`].
    pub fn trades(&self, symbol: &str) -> Option<Trades> {
        self.read(Stream::Trades, symbol)
    }

    /// A book.
    pub fn book(&self, symbol: &str) -> Option<Book> {
        self.read(Stream::Book, symbol)
    }

    /// The bars that are kept, at most [`crate::BARS_MAX`].
    pub fn bars(&self, symbol: &str, interval: Interval) -> Option<Bars> {
        self.read(Stream::Bars(interval), symbol)
    }

    /// An instrument's status as it was told last on this connection; `resync` before, `stale`
    /// without a connection.
    pub fn status(&self, symbol: &str) -> Option<TradingState> {
        let state = self.client.owner.shared.state.lock();
        let told = state.session.status(symbol)?.state();
        Some(if state.connection.state.is_live() { told } else { TradingState::Stale })
    }

    /// The symbols of which anything is held, in order.
    pub fn symbols(&self) -> Vec<String> {
        let state = self.client.owner.shared.state.lock();
        let mut symbols: Vec<String> = state.session.symbols().map(str::to_owned).collect();
        symbols.sort_unstable();
        symbols
    }

    /// Looks at everything that is held without copying. Nothing is taken in meanwhile, so look
    /// briefly; views do not know whether there is a connection.
    pub fn with<T>(&self, look: impl FnOnce(&Session) -> T) -> T {
        look(&self.client.owner.shared.state.lock().session)
    }
}

/// What a client tells of itself. At most 256 wait; of more the oldest are lost, and
/// [`Event::Missed`] says how many.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Event>,
}

impl Events {
    /// The next event; `None` when the client is gone.
    ///
    /// Nothing is lost when it is dropped while it waits.
    pub async fn next(&mut self) -> Option<Event> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Event::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
