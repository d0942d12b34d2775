//! The whole screen: a title, what was chosen, the status line.

use super::app::App;
use super::model::{Ladder, Row};
use super::parts::{self, Part};
use super::status_line::{self, Gauges};
use super::{bars, book, trades, watchlist};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use std::time::{Duration, Instant};
use tickcast_client::{BarRow, Channel, Connection, Interval, TradeRow, TradingState};

/// Everything that is on the screen at a moment.
#[derive(Debug)]
pub(super) struct Shot {
    pub(super) now: Instant,
    pub(super) connection: Connection,
    pub(super) gauges: Gauges,
    pub(super) rows: Vec<Row>,
    /// Of the selected symbol.
    pub(super) state: TradingState,
    pub(super) ladder: Option<Ladder>,
    pub(super) tape: Option<Vec<TradeRow>>,
    pub(super) interval: Interval,
    pub(super) bars: Option<Vec<BarRow>>,
}

/// What the keys do, and the turn in which that goes where there is no room.
const KEYS: [(&str, u8); 10] = [
    (" ↑↓ choose ", 2),
    (" enter book ", 3),
    (" 1 list ", 7),
    (" 2 book ", 6),
    (" 3 trades ", 6),
    (" 4 bars ", 6),
    (" s sort ", 4),
    (" r reverse ", 5),
    (" esc back ", 1),
    (" q quit", 0),
];

/// Draws a moment. `app` learns how many lines fit.
pub(super) fn draw(frame: &mut Frame<'_>, app: &mut App, shot: &mut Shot) {
    let [title, body, notice, status, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(u16::from(app.notice.is_some())),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    // One line is the table's head.
    app.page = usize::from(body.height.saturating_sub(1)).max(1);
    app.list(&mut shot.rows, shot.now);
    frame.render_widget(Paragraph::new(title_of(app, shot, title.width)), title);
    match app.channel {
        Channel::Ticker | Channel::Status => watchlist::draw(frame, body, app, &shot.rows),
        Channel::Book => book::draw(frame, body, shot),
        Channel::Trades => trades::draw(frame, body, shot),
        Channel::Bars => bars::draw(frame, body, shot),
    }
    if let Some(words) = &app.notice {
        let words = vec![Part::new(format!(" {words}"), Style::new().fg(Color::Red), 0)];
        frame.render_widget(Paragraph::new(parts::line(words, notice.width)), notice);
    }
    frame.render_widget(Paragraph::new(status_line::line(shot, status.width)), status);
    let names = KEYS.map(|(name, rank)| Part::plain(name, rank));
    let names = parts::line(names.into(), keys.width);
    frame.render_widget(Paragraph::new(names).fg(Color::DarkGray), keys);
}

fn title_of(app: &App, shot: &Shot, room: u16) -> Line<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut title = vec![Part::new(" tickcast ", bold.add_modifier(Modifier::REVERSED), 3)];
    if app.channel == Channel::Ticker {
        title.push(Part::plain(format!(" {} symbols", shot.rows.len()), 0));
        return parts::line(title, room);
    }
    let symbol = app.selected.as_deref().unwrap_or("no symbol yet");
    title.push(Part::new(format!(" {symbol} "), bold, 0));
    title.push(Part::plain(format!("{} ", app.channel.name()), 1));
    if app.channel == Channel::Bars {
        title.push(Part::plain(format!("{} ", shot.interval.name()), 2));
    }
    let state = state(shot.state);
    title.push(Part::new(state.content, state.style, 0));
    parts::line(title, room)
}

/// A state in its word and colour.
pub(super) fn state(state: TradingState) -> Span<'static> {
    let style = match state {
        TradingState::Live => Style::new().fg(Color::Green),
        TradingState::Halted | TradingState::Closed => Style::new().fg(Color::Magenta),
        TradingState::Stale | TradingState::Resync => Style::new().fg(Color::Yellow),
    };
    Span::styled(state.name(), style)
}

/// How a line looks whose data may be old.
pub(super) fn aged(state: TradingState) -> Style {
    match state {
        TradingState::Live => Style::new(),
        _ => Style::new().add_modifier(Modifier::DIM | Modifier::ITALIC),
    }
}

/// An age in as few characters as tell it.
pub(super) fn age(age: Option<Duration>) -> String {
    match age {
        None => "–".to_owned(),
        Some(age) if age < Duration::from_secs(1) => format!("{} ms", age.as_millis()),
        Some(age) if age < Duration::from_secs(100) => format!("{:.1} s", age.as_secs_f64()),
        Some(age) if age < Duration::from_secs(6000) => format!("{} min", age.as_secs() / 60),
        Some(age) => format!("{} h", age.as_secs() / 3600),
    }
}

/// The time of day (UTC) of a time in microseconds.
pub(super) fn clock(micros: i64) -> String {
    let seconds = micros.div_euclid(1_000_000).rem_euclid(86_400);
    let millis = micros.div_euclid(1_000).rem_euclid(1_000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{millis:03}", seconds % 60)
}

/// What stands where nothing has come yet.
pub(super) fn waiting(frame: &mut Frame<'_>, area: Rect, what: &str) {
    frame.render_widget(Paragraph::new(format!(" waiting for {what}")).dim(), area);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_times_are_short() {
        for (millis, text) in
            [(0, "0 ms"), (999, "999 ms"), (1_250, "1.2 s"), (125_000, "2 min"), (7_300_000, "2 h")]
        {
            assert_eq!(age(Some(Duration::from_millis(millis))), text);
        }
        assert_eq!(clock(1_770_123_456_789_012), "12:57:36.789");
    }
}
