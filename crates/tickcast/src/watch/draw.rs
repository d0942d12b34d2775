//! The whole screen: a title, what was chosen, the status line.

use super::app::App;
use super::model::{Ladder, Row};
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

const KEYS: &str =
    " ↑↓ choose  enter book  1 list  2 book  3 trades  4 bars  s sort  r reverse  esc back  q quit";

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
    frame.render_widget(Paragraph::new(title_of(app, shot)), title);
    match app.channel {
        Channel::Ticker | Channel::Status => watchlist::draw(frame, body, app, &shot.rows),
        Channel::Book => book::draw(frame, body, shot),
        Channel::Trades => trades::draw(frame, body, shot),
        Channel::Bars => bars::draw(frame, body, shot),
    }
    if let Some(words) = &app.notice {
        frame.render_widget(Paragraph::new(format!(" {words}")).fg(Color::Red), notice);
    }
    frame.render_widget(Paragraph::new(status_line::line(shot)), status);
    frame.render_widget(Paragraph::new(KEYS).fg(Color::DarkGray), keys);
}

fn title_of(app: &App, shot: &Shot) -> Line<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut spans = vec![Span::styled(" tickcast ", bold.add_modifier(Modifier::REVERSED))];
    if app.channel == Channel::Ticker {
        spans.push(Span::raw(format!(" {} symbols", shot.rows.len())));
        return Line::from(spans);
    }
    let symbol = app.selected.as_deref().unwrap_or("no symbol yet");
    spans.push(Span::styled(format!(" {symbol} "), bold));
    spans.push(Span::raw(format!("{} ", app.channel.name())));
    if app.channel == Channel::Bars {
        spans.push(Span::raw(format!("{} ", shot.interval.name())));
    }
    spans.push(state(shot.state));
    Line::from(spans)
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
