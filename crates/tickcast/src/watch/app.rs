//! What the user of the screen has chosen: what is shown, in which order, which symbol.
//!
//! Reads no clock and no terminal: keys go in.

use super::model::Row;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tickcast_client::Channel;

/// How long a cell shows that its price has changed.
const FLASH: Duration = Duration::from_millis(500);

/// Lines of a page where the height is not known yet.
const PAGE: usize = 10;

/// Columns by which the watchlist is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Symbol,
    Last,
    Change,
    Spread,
    Volume,
    Age,
    State,
}

impl Sort {
    const ALL: [Sort; 7] = [
        Sort::Symbol,
        Sort::Last,
        Sort::Change,
        Sort::Spread,
        Sort::Volume,
        Sort::Age,
        Sort::State,
    ];

    fn next(self) -> Sort {
        let at = Sort::ALL.iter().position(|sort| *sort == self).unwrap_or_default();
        Sort::ALL[(at + 1) % Sort::ALL.len()]
    }

    fn compare(self, a: &Row, b: &Row) -> Ordering {
        match self {
            Sort::Symbol => a.symbol.cmp(&b.symbol),
            Sort::Last => a.last_number().total_cmp(&b.last_number()),
            Sort::Change => {
                let least = f64::NEG_INFINITY;
                a.change.unwrap_or(least).total_cmp(&b.change.unwrap_or(least))
            }
            Sort::Spread => {
                a.spread.unwrap_or(f64::INFINITY).total_cmp(&b.spread.unwrap_or(f64::INFINITY))
            }
            Sort::Volume => a.volume_number().total_cmp(&b.volume_number()),
            Sort::Age => a.age.cmp(&b.age),
            Sort::State => a.state.cmp(&b.state),
        }
    }
}

/// What a key has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Draw again.
    Draw,
    /// Another symbol or channel is looked at: subscribe to it.
    Look,
    /// The end.
    Quit,
}

#[derive(Clone, Copy, Debug)]
struct Flash {
    up: bool,
    until: Instant,
}

/// The choices, and what they need to be drawn.
#[derive(Debug)]
pub(super) struct App {
    pub(super) channel: Channel,
    /// Where `Esc` leads: what was asked for on the command line.
    home: Channel,
    pub(super) sort: Sort,
    pub(super) descending: bool,
    pub(super) selected: Option<String>,
    /// The first line that is shown.
    pub(super) offset: usize,
    /// How many lines of the list fit.
    pub(super) page: usize,
    /// The symbols in their order, as they were listed last.
    listed: Vec<String>,
    lasts: HashMap<String, String>,
    flashes: HashMap<String, Flash>,
    /// What went wrong last, in words.
    pub(super) notice: Option<String>,
}

impl App {
    pub(super) fn new(channel: Channel) -> App {
        App {
            channel,
            home: channel,
            sort: Sort::Symbol,
            descending: false,
            selected: None,
            offset: 0,
            page: PAGE,
            listed: Vec::new(),
            lasts: HashMap::new(),
            flashes: HashMap::new(),
            notice: None,
        }
    }

    /// Takes a key.
    pub(super) fn key(&mut self, key: KeyEvent) -> Action {
        let page = self.page as isize;
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Action::Quit,
            KeyCode::Char('q') => Action::Quit,
            KeyCode::Esc if self.channel == self.home => Action::Quit,
            KeyCode::Esc => self.look(self.home),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::PageDown => self.step(page),
            KeyCode::PageUp => self.step(-page),
            KeyCode::Home => self.step(isize::MIN / 2),
            KeyCode::End => self.step(isize::MAX / 2),
            KeyCode::Char('s') => {
                self.sort = self.sort.next();
                Action::Draw
            }
            KeyCode::Char('r') => {
                self.descending = !self.descending;
                Action::Draw
            }
            KeyCode::Enter if self.channel == Channel::Ticker => self.look(Channel::Book),
            KeyCode::Char('1') => self.look(Channel::Ticker),
            KeyCode::Char('2') => self.look(Channel::Book),
            KeyCode::Char('3') => self.look(Channel::Trades),
            KeyCode::Char('4') => self.look(Channel::Bars),
            _ => Action::Draw,
        }
    }

    fn look(&mut self, channel: Channel) -> Action {
        self.channel = channel;
        Action::Look
    }

    /// Chooses another symbol; in the views of one symbol that one is looked at.
    fn step(&mut self, by: isize) -> Action {
        let at = self.position().unwrap_or_default();
        let last = self.listed.len().saturating_sub(1);
        let to = at.saturating_add_signed(by).min(last);
        if let Some(symbol) = self.listed.get(to) {
            self.selected = Some(symbol.clone());
        }
        if self.channel == Channel::Ticker { Action::Draw } else { Action::Look }
    }

    fn position(&self) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        self.listed.iter().position(|symbol| symbol == selected)
    }

    /// Orders the rows, remembers what has changed, and keeps the selected one in sight.
    pub(super) fn list(&mut self, rows: &mut [Row], now: Instant) {
        rows.sort_by(|a, b| {
            let order = self.sort.compare(a, b);
            let order = if self.descending { order.reverse() } else { order };
            order.then_with(|| a.symbol.cmp(&b.symbol))
        });
        self.flashes.retain(|_, flash| flash.until > now);
        for row in rows.iter() {
            let Some(last) = &row.last else { continue };
            match self.lasts.get_mut(&row.symbol) {
                Some(before) if before == last => {}
                Some(before) => {
                    let number = |text: &str| text.parse::<f64>().unwrap_or_default();
                    let flash = Flash { up: number(last) >= number(before), until: now + FLASH };
                    self.flashes.insert(row.symbol.clone(), flash);
                    before.clone_from(last);
                }
                None => drop(self.lasts.insert(row.symbol.clone(), last.clone())),
            }
        }
        self.listed.clear();
        self.listed.extend(rows.iter().map(|row| row.symbol.clone()));
        if self.selected.is_none() {
            self.selected = self.listed.first().cloned();
        }
        let at = self.position().unwrap_or_default();
        let page = self.page.max(1);
        self.offset = self.offset.min(at).max((at + 1).saturating_sub(page));
        self.offset = self.offset.min(self.listed.len().saturating_sub(page));
    }

    /// Whether a symbol's last price has just gone up (or stayed) or down.
    pub(super) fn flash(&self, symbol: &str) -> Option<bool> {
        self.flashes.get(symbol).map(|flash| flash.up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(symbol: &str, last: &str) -> Row {
        Row { symbol: symbol.into(), last: Some(last.into()), ..Row::default() }
    }

    fn press(app: &mut App, code: KeyCode) -> Action {
        app.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn order(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(|row| &*row.symbol).collect()
    }

    #[test]
    fn rows_are_ordered_by_numbers_and_turned_around() {
        let mut app = App::new(Channel::Ticker);
        let mut rows = [row("b", "9"), row("a", "10"), row("c", "1")];
        app.list(&mut rows, Instant::now());
        assert_eq!(order(&rows), ["a", "b", "c"]);
        press(&mut app, KeyCode::Char('s'));
        app.list(&mut rows, Instant::now());
        assert_eq!(order(&rows), ["c", "b", "a"]);
        press(&mut app, KeyCode::Char('r'));
        app.list(&mut rows, Instant::now());
        assert_eq!(order(&rows), ["a", "b", "c"]);
    }

    #[test]
    fn the_selected_symbol_stays_selected_and_in_sight_when_the_order_changes() {
        let mut app = App::new(Channel::Ticker);
        app.page = 3;
        let mut rows: Vec<Row> = (0..9).map(|at| row(&format!("s{at}"), "1")).collect();
        app.list(&mut rows, Instant::now());
        for _ in 0..5 {
            press(&mut app, KeyCode::Down);
        }
        app.list(&mut rows, Instant::now());
        assert_eq!((app.selected.as_deref(), app.offset), (Some("s5"), 3));
        press(&mut app, KeyCode::Char('r'));
        app.list(&mut rows, Instant::now());
        assert_eq!((app.selected.as_deref(), app.offset), (Some("s5"), 3));
        press(&mut app, KeyCode::End);
        app.list(&mut rows, Instant::now());
        assert_eq!((app.selected.as_deref(), app.offset), (Some("s0"), 6));
        press(&mut app, KeyCode::PageUp);
        assert_eq!(app.selected.as_deref(), Some("s3"));
    }

    #[test]
    fn a_price_that_changes_flashes_for_a_moment() {
        let mut app = App::new(Channel::Ticker);
        let start = Instant::now();
        for (after, last, expected) in [
            (0, "10.0", None),
            (100, "10.0", None),
            (200, "10.5", Some(true)),
            (300, "9.5", Some(false)),
            (900, "9.5", None),
        ] {
            app.list(&mut [row("a", last)], start + Duration::from_millis(after));
            assert_eq!(app.flash("a"), expected, "{last} after {after}");
        }
    }

    #[test]
    fn escape_leads_home_and_then_out() {
        let mut app = App::new(Channel::Ticker);
        app.list(&mut [row("a", "1")], Instant::now());
        assert_eq!(press(&mut app, KeyCode::Enter), Action::Look);
        assert_eq!(app.channel, Channel::Book);
        assert_eq!(press(&mut app, KeyCode::Char('3')), Action::Look);
        assert_eq!(app.channel, Channel::Trades);
        assert_eq!(press(&mut app, KeyCode::Esc), Action::Look);
        assert_eq!(press(&mut app, KeyCode::Esc), Action::Quit);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(app.key(interrupt), Action::Quit);
    }
}
