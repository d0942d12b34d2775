//! The terminal: taken, drawn ten times a second and when something is pressed, and given back
//! however this ends.

use super::app::{Action, App};
use super::draw::{Shot, draw};
use super::model::{bars, ladder, rows, state_of, tape};
use super::status_line::Gauges;
use super::{Asked, WatchArgs};
use anyhow::{Context, Result};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event as Input, KeyEventKind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tickcast_client::{
    Bars, Book, Channel, ConnectionState, Depth, Error, ErrorKind, Event, Interval, Nanos,
    Subscribe, Subscription, Tickcast, Ticker, Trades, TradingState, View,
};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// Between two drawings.
const FRAME: Duration = Duration::from_millis(100);

/// Between two questions for the service's figures.
const STATS_EVERY: Duration = Duration::from_secs(2);

/// Keys that wait.
const INPUT_MAX: usize = 64;

/// A subscription of any channel: it lasts as long as it is held.
#[derive(Debug)]
#[allow(dead_code)] // Held, never read.
enum Any {
    Ticker(Subscription<Ticker>),
    Book(Subscription<Book>),
    Trades(Subscription<Trades>),
    Bars(Subscription<Bars>),
}

/// What is subscribed to: what was asked for, and the symbol that is looked at on another channel.
#[derive(Debug)]
struct Watching {
    tick: Tickcast,
    asked: Subscribe,
    _home: Any,
    looked_at: Option<(Channel, String, Any)>,
    depth: Depth,
    interval: Interval,
}

impl Watching {
    fn begin(tick: Tickcast, asked: Subscribe) -> Result<Watching, Error> {
        let home = subscribe(&tick, &asked)?;
        let depth = if let View::Book(depth) = asked.view { depth } else { Depth::TEN };
        let interval = if let View::Bars(interval) = asked.view { interval } else { Interval::M1 };
        Ok(Watching { tick, asked, _home: home, looked_at: None, depth, interval })
    }

    /// Subscribes to what is looked at now, and ends what was before.
    fn look(&mut self, app: &App) -> Result<(), Error> {
        let view = match app.channel {
            channel if channel == self.asked.view.channel() => {
                self.looked_at = None;
                return Ok(());
            }
            Channel::Book => View::Book(self.depth),
            Channel::Trades => View::Trades,
            Channel::Bars => View::Bars(self.interval),
            Channel::Ticker | Channel::Status => View::Ticker,
        };
        let Some(symbol) = &app.selected else { return Ok(()) };
        let is_same =
            |(channel, name, _): &(Channel, String, Any)| *channel == app.channel && name == symbol;
        if !self.looked_at.as_ref().is_some_and(is_same) {
            let params = Subscribe { view, ..self.asked.clone() };
            let symbols = vec![tickcast_client::Pattern::new(symbol.clone())];
            let any = subscribe(&self.tick, &Subscribe { symbols, ..params })?;
            self.looked_at = Some((app.channel, symbol.clone(), any));
        }
        Ok(())
    }

    fn shot(&self, app: &App, gauges: Gauges) -> Shot {
        let connection = self.tick.connection();
        let is_live = connection.state.is_live();
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let now = Nanos::from_micros(i64::try_from(micros).unwrap_or(i64::MAX));
        let page = app.page;
        self.tick.latest().with(|session| {
            let selected = app.selected.as_deref();
            let shown = |channel| selected.filter(|_| app.channel == channel);
            Shot {
                now: Instant::now(),
                connection,
                gauges,
                rows: rows(session, is_live, now),
                state: selected.map_or(TradingState::Resync, |s| state_of(session, s, is_live)),
                ladder: shown(Channel::Book).and_then(|s| ladder(session, s, now)),
                tape: shown(Channel::Trades).and_then(|s| tape(session, s, page)),
                interval: self.interval,
                bars: shown(Channel::Bars).and_then(|s| bars(session, s, self.interval, page)),
            }
        })
    }
}

fn subscribe(tick: &Tickcast, params: &Subscribe) -> Result<Any, Error> {
    let names = params.symbols.iter().map(|symbol| symbol.as_str().to_owned());
    macro_rules! begin {
        ($subscribing:expr) => {{
            let subscribing = $subscribing;
            match params.max_rate {
                Some(rate) => subscribing.max_rate(rate).begin()?,
                None => subscribing.begin()?,
            }
        }};
    }
    Ok(match params.view {
        View::Ticker | View::Status => Any::Ticker(begin!(tick.ticker(names))),
        View::Book(depth) => Any::Book(begin!(tick.book(names).depth(depth))),
        View::Trades => Any::Trades(begin!(tick.trades(names))),
        View::Bars(interval) => Any::Bars(begin!(tick.bars(names).interval(interval))),
    })
}

/// Runs until its user has enough.
pub(super) async fn run(args: &WatchArgs, asked: Asked) -> Result<()> {
    let Asked { params: asked, mut options } = asked;
    if let Some(token) = args.token.clone() {
        options = options.token(move || std::future::ready(Ok::<_, Error>(token.clone())));
    }
    let tick = options.connect_lazily()?;
    let watching = Watching::begin(tick.clone(), asked)?;
    // Before the terminal is taken: from then on it has to be given back.
    let ended = signals()?;
    // Its hook gives the terminal back before a panic is told.
    let mut terminal = ratatui::try_init().context("the terminal cannot be used")?;
    let ran = show(&mut terminal, watching, &tick, ended).await;
    if terminal.show_cursor().is_err() {
        // Its window was closed: nobody can be told anything, and what tries to panics.
        std::mem::forget(terminal);
        return Ok(());
    }
    ratatui::restore();
    ran?;
    match tick.connection().state {
        ConnectionState::Closed { reason } if reason.kind() == ErrorKind::Stop => {
            Err(anyhow::Error::new(reason))
        }
        _ => {
            tick.close().await;
            Ok(())
        }
    }
}

async fn show(
    terminal: &mut DefaultTerminal,
    mut watching: Watching,
    tick: &Tickcast,
    mut ended: Ended,
) -> Result<()> {
    let mut app = App::new(watching.asked.view.channel());
    let mut gauges = Gauges::default();
    let mut inputs = read_inputs();
    let mut events = tick.events();
    let mut frames = tokio::time::interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stats = tokio::time::interval(STATS_EVERY);
    let mut asking = None;
    loop {
        let action = tokio::select! {
            input = inputs.recv() => match input {
                Some(Input::Key(key)) if key.kind != KeyEventKind::Release => app.key(key),
                Some(_) => Action::Draw,
                // The terminal is gone.
                None => return Ok(()),
            },
            () = ended.recv() => return Ok(()),
            _ = frames.tick() => Action::Draw,
            Some(event) = events.next() => {
                note(&mut app, event);
                continue;
            }
            _ = stats.tick(), if asking.is_none() => {
                let tick = tick.clone();
                asking = Some(Box::pin(async move { tick.stats().await }));
                continue;
            }
            told = async { asking.as_mut().expect("it is asked").await }, if asking.is_some() => {
                asking = None;
                gauges.stats = told.ok();
                continue;
            }
        };
        match action {
            Action::Quit => return Ok(()),
            Action::Look => {
                if let Err(error) = watching.look(&app) {
                    app.notice = Some(error.to_string());
                }
            }
            Action::Draw => {}
        }
        gauges.measure(&tick.connection(), Instant::now());
        let mut shot = watching.shot(&app, gauges);
        terminal.draw(|frame| draw(frame, &mut app, &mut shot)).context("the terminal fails")?;
        // A view of one symbol that was opened before any was known.
        if watching.looked_at.is_none() && watching.look(&app).is_err() {
            app.notice.get_or_insert_with(|| "the symbol cannot be subscribed to".to_owned());
        }
    }
}

/// What the user is told of what happens beside the data.
fn note(app: &mut App, event: Event) {
    match event {
        Event::Failed { channel, symbol, code, error } => {
            app.notice = Some(format!("{channel} {symbol}: {code} {error}"));
        }
        Event::Refused { code, error } => app.notice = Some(format!("{code} {error}")),
        Event::TokenFailed(error) => app.notice = Some(error.to_string()),
        Event::Connection(ConnectionState::Live) => app.notice = None,
        _ => {}
    }
}

/// Reads keys and changes of size in a thread, as they can only be waited for there.
fn read_inputs() -> mpsc::Receiver<Input> {
    let (sender, inputs) = mpsc::channel(INPUT_MAX);
    std::thread::spawn(move || {
        while let Ok(input) = event::read() {
            if sender.blocking_send(input).is_err() {
                return;
            }
        }
    });
    inputs
}

/// Signals that end the process must not leave the terminal as it is.
struct Ended {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

fn signals() -> Result<Ended> {
    use tokio::signal::unix::{SignalKind, signal};
    Ok(Ended {
        // Not what `Ctrl-C` does here, which is a key like any other.
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
        hangup: signal(SignalKind::hangup())?,
    })
}

impl Ended {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
