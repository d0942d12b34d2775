//! What stands on the screen for a session that has taken real messages in.

use super::app::App;
use super::draw::{Shot, draw};
use super::model::{bars, ladder, rows, state_of, tape};
use super::status_line::Gauges;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};
use std::time::{Duration, Instant};
use tickcast_client::{
    Channel, Connection, ConnectionState, Depth, Encoding, Error, Interval, Nanos, Pattern,
    Session, Subscribe, TradingState, View,
};
use tickcast_wire::Message;

const BTC: &str = "kraken:BTC-USD";
const ETH: &str = "kraken:ETH-USD";

/// The time at which everything is looked at, in microseconds.
const NOW: i64 = 1_770_123_456_789_012;

fn receive(session: &mut Session, text: &str) {
    let message = Message::decode(text.as_bytes()).expect("a message");
    session.receive(&message);
}

/// A session with two symbols on every channel.
fn session() -> Session {
    let mut session = Session::new();
    session.verify_checksums(false);
    let views = [View::Ticker, View::Trades, View::Book(Depth::TEN), View::Bars(Interval::M1)];
    for view in views {
        session.subscribe(Subscribe::new(view, vec![Pattern::new("kraken:*")]));
    }
    for (symbol, last, open) in [(BTC, "68900.5", "67000.0"), (ETH, "3500.25", "3600.00")] {
        for text in [
            format!(
                r#"{{"channel":"status","type":"snapshot","data":[{{"symbol":"{symbol}","epoch":1,"seq":1,"state":"live","ts_state":1}}]}}"#
            ),
            format!(
                r#"{{"channel":"ticker","type":"snapshot","data":[{{"symbol":"{symbol}","epoch":1,"seq":5,"state":"live","last":"{last}","bid":"{last}","ask":"{last}","open":"{open}","volume":"10231.55","ts_event":1,"ts_publish":{}}}]}}"#,
                NOW - 1_500_000
            ),
        ] {
            receive(&mut session, &text);
        }
    }
    receive(
        &mut session,
        &format!(
            r#"{{"channel":"book","type":"snapshot","data":[{{"symbol":"{BTC}","depth":10,"epoch":1,"seq":9,"state":"live","bids":[["68900.0","1.50"],["68899.0","0.50"]],"asks":[["68900.1","0.30"]],"checksum":1,"ts_event":1,"ts_publish":{NOW}}}]}}"#
        ),
    );
    receive(
        &mut session,
        &format!(
            r#"{{"channel":"trades","type":"snapshot","data":[{{"symbol":"{BTC}","epoch":1,"seq":6,"state":"live","trades":[{{"seq":5,"id":"989","price":"68900.0","size":"0.01","side":"sell","ts_event":{NOW}}},{{"seq":6,"id":"990","price":"68900.5","size":"0.02","side":"buy","ts_event":{NOW}}}],"ts_publish":2}}]}}"#
        ),
    );
    receive(
        &mut session,
        &format!(
            r#"{{"channel":"bars","type":"snapshot","data":[{{"symbol":"{BTC}","interval":"1m","epoch":1,"seq":2,"state":"live","bars":[{{"start":1770123420000000,"open":"1.00","high":"2.00","low":"1.00","close":"2.00","volume":"3.50","trades":9,"closed":false}}],"ts_publish":2}}]}}"#
        ),
    );
    session
}

fn shot(session: &Session, app: &App, state: ConnectionState, now: Instant) -> Shot {
    let connection = Connection::at(state, Encoding::Json, now);
    let is_live = connection.state.is_live();
    let then = Nanos::from_micros(NOW);
    let selected = app.selected.as_deref().unwrap_or(BTC);
    Shot {
        now,
        connection,
        gauges: Gauges::default(),
        rows: rows(session, is_live, then),
        state: state_of(session, selected, is_live),
        ladder: ladder(session, selected, then),
        tape: tape(session, selected, 50),
        interval: Interval::M1,
        bars: bars(session, selected, Interval::M1, 50),
    }
}

struct Screen {
    terminal: Terminal<TestBackend>,
    app: App,
    start: Instant,
}

impl Screen {
    fn new(channel: Channel) -> Screen {
        let terminal = Terminal::new(TestBackend::new(130, 12)).expect("memory never fails");
        Screen { terminal, app: App::new(channel), start: Instant::now() }
    }

    fn draw(&mut self, session: &Session, state: ConnectionState, after: Duration) -> Vec<String> {
        let mut shot = shot(session, &self.app, state, self.start + after);
        let drawn = self.terminal.draw(|frame| draw(frame, &mut self.app, &mut shot));
        drawn.expect("memory never fails");
        let buffer = self.terminal.backend().buffer();
        let width = usize::from(buffer.area.width);
        let line = |cells: &[ratatui::buffer::Cell]| {
            cells.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned()
        };
        buffer.content.chunks(width).map(line).collect()
    }

    /// The cell in which a text begins.
    fn cell(&self, text: &str) -> &ratatui::buffer::Cell {
        let buffer = self.terminal.backend().buffer();
        let width = usize::from(buffer.area.width);
        let found = buffer.content.chunks(width).find_map(|cells| {
            let starts = 0..cells.len();
            starts.into_iter().find_map(|at| {
                let rest: String = cells[at..].iter().map(|cell| cell.symbol()).collect();
                rest.starts_with(text).then(|| &cells[at])
            })
        });
        found.unwrap_or_else(|| panic!("{text:?} is not on the screen"))
    }

    fn press(&mut self, code: KeyCode) {
        self.app.key(KeyEvent::new(code, KeyModifiers::NONE));
    }
}

fn reconnecting(start: Instant) -> ConnectionState {
    ConnectionState::Reconnecting {
        attempt: 2,
        next_try: start + Duration::from_secs(3),
        reason: Error::Silent(15_000),
    }
}

#[test]
fn the_watchlist_shows_prices_changes_ages_and_states() {
    let mut screen = Screen::new(Channel::Ticker);
    let lines = screen.draw(&session(), ConnectionState::Live, Duration::ZERO);
    assert_eq!(lines[0], " tickcast  2 symbols");
    assert!(lines[1].starts_with("symbol▲"), "{}", lines[1]);
    let words: Vec<&str> = lines[2].split_whitespace().collect();
    let expected =
        [BTC, "68900.5", "+2.84", "%", "68900.5", "68900.5", "0.0", "10231.55", "1.5", "s", "live"];
    assert_eq!(words, expected);
    assert!(lines[3].starts_with(ETH) && lines[3].contains("-2.77 %"), "{}", lines[3]);
    let status = &lines[10];
    assert!(status.starts_with(" live  websocket json  0 messages/s"), "{status}");
    assert!(lines[11].contains("q quit"));
    // The selected line is turned around, the other is not.
    assert!(screen.cell(BTC).modifier.contains(Modifier::REVERSED));
    assert!(!screen.cell(ETH).modifier.contains(Modifier::REVERSED));
}

#[test]
fn without_a_connection_every_line_looks_stale_and_the_next_attempt_is_told() {
    let mut screen = Screen::new(Channel::Ticker);
    screen.draw(&session(), ConnectionState::Live, Duration::ZERO);
    assert!(!screen.cell(ETH).modifier.contains(Modifier::DIM));
    let state = reconnecting(screen.start);
    let lines = screen.draw(&session(), state, Duration::from_secs(1));
    for line in &lines[2..4] {
        assert!(line.ends_with("stale"), "{line}");
    }
    assert!(screen.cell(ETH).modifier.contains(Modifier::DIM));
    let status = &lines[10];
    let expected = " reconnecting in 2.0 s (attempt 3): nothing was heard for 15000 ms";
    assert!(status.starts_with(expected), "{status}");
}

#[test]
fn an_instrument_that_is_halted_says_so() {
    let mut session = session();
    receive(
        &mut session,
        &format!(
            r#"{{"channel":"status","type":"update","data":[{{"symbol":"{ETH}","epoch":1,"prev":1,"seq":2,"state":"halted","ts_state":2}}]}}"#
        ),
    );
    let mut screen = Screen::new(Channel::Ticker);
    let lines = screen.draw(&session, ConnectionState::Live, Duration::ZERO);
    assert!(lines[2].ends_with("live") && lines[3].ends_with("halted"), "{lines:?}");
    assert_eq!(state_of(&session, ETH, true), TradingState::Halted);
}

#[test]
fn a_price_that_rises_flashes_green_for_a_moment() {
    let mut session = session();
    let mut screen = Screen::new(Channel::Ticker);
    screen.draw(&session, ConnectionState::Live, Duration::ZERO);
    receive(
        &mut session,
        &format!(
            r#"{{"channel":"ticker","type":"update","data":[{{"symbol":"{ETH}","epoch":1,"prev":5,"seq":6,"last":"3501.00","ts_event":1,"ts_publish":{NOW}}}]}}"#
        ),
    );
    screen.draw(&session, ConnectionState::Live, Duration::from_millis(100));
    assert_eq!(screen.cell("3501.00").bg, Color::Green);
    screen.draw(&session, ConnectionState::Live, Duration::from_millis(900));
    assert_eq!(screen.cell("3501.00").bg, Color::Reset);
}

#[test]
fn the_book_the_trades_and_the_bars_of_the_chosen_symbol_are_shown() {
    let session = session();
    let mut screen = Screen::new(Channel::Ticker);
    screen.draw(&session, ConnectionState::Live, Duration::ZERO);
    screen.press(KeyCode::Enter);
    let lines = screen.draw(&session, ConnectionState::Live, Duration::ZERO);
    assert_eq!(lines[0], format!(" tickcast  {BTC} book live"));
    assert!(lines[1].contains("10 levels a side, 2 and 1 there, changed 0 ms ago"), "{lines:?}");
    let best: Vec<&str> = lines[2].split_whitespace().collect();
    let of_asks = best.last().expect("a bar").chars().filter(|c| *c == '█').count();
    assert_eq!(best[1..5], ["1.50", "68900.0", "68900.1", "0.30"], "{}", lines[2]);
    let of_bids = best[0].chars().count();
    assert!(of_bids > of_asks, "sums of 1.50 and 0.30: {of_bids} and {of_asks}");

    screen.press(KeyCode::Char('3'));
    let lines = screen.draw(&session, ConnectionState::Live, Duration::ZERO);
    let newest: Vec<&str> = lines[2].split_whitespace().collect();
    assert_eq!(newest, ["12:57:36.789", "buy", "68900.5", "0.02", "6"]);

    screen.press(KeyCode::Char('4'));
    let lines = screen.draw(&session, ConnectionState::Live, Duration::ZERO);
    assert_eq!(lines[0], format!(" tickcast  {BTC} bars 1m live"));
    assert!(lines[2].starts_with("12:57:00"), "{}", lines[2]);
    assert!(lines[2].contains('█'), "{}", lines[2]);

    // Another symbol of which there is no book.
    screen.press(KeyCode::Char('2'));
    screen.press(KeyCode::Down);
    let lines = screen.draw(&session, ConnectionState::Live, Duration::ZERO);
    assert_eq!(lines[0], format!(" tickcast  {ETH} book live"));
    assert_eq!(lines[1], " waiting for the book");
}

#[test]
fn a_narrow_screen_keeps_what_matters_and_marks_what_it_cuts() {
    let session = session();
    for (width, title, status, keys) in [
        (
            80,
            " tickcast  kraken:BTC-USD book stale",
            " reconnecting in 3.0 s (attempt 3): nothing was heard for 15000 ms",
            " ↑↓ choose  enter book  2 book  3 trades  s sort  r reverse  esc back  q quit",
        ),
        (
            40,
            " tickcast  kraken:BTC-USD book stale",
            " reconnecting in 3.0 s: nothing was hea…",
            " ↑↓ choose  enter book  esc back  q quit",
        ),
        (24, " kraken:BTC-USD stale", " reconnecting in 3.0 s:…", " esc back  q quit"),
    ] {
        let mut screen = Screen::new(Channel::Ticker);
        screen.draw(&session, ConnectionState::Live, Duration::ZERO);
        screen.press(KeyCode::Enter);
        screen.terminal.backend_mut().resize(width, 8);
        let lines = screen.draw(&session, reconnecting(screen.start), Duration::ZERO);
        let seen = (&*lines[0], &*lines[6], &*lines[7]);
        assert_eq!(seen.0, title, "{width}");
        assert!(seen.1.starts_with(status), "{width}: {}", seen.1);
        assert_eq!(seen.2, keys, "{width}");
    }
}

#[test]
fn a_screen_of_any_size_is_drawn() {
    let session = session();
    for (width, height) in [(1, 1), (20, 3), (40, 5), (80, 24), (300, 100)] {
        for channel in [Channel::Ticker, Channel::Book, Channel::Trades, Channel::Bars] {
            let mut screen = Screen::new(channel);
            screen.terminal.backend_mut().resize(width, height);
            screen.draw(&session, reconnecting(screen.start), Duration::ZERO);
        }
    }
}
