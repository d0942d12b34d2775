//! The bars of one symbol, newest first, each with its range drawn within that of all shown.

use super::draw::{Shot, aged, clock, waiting};
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Text;
use ratatui::widgets::{Cell, Row, Table};
use tickcast_client::BarRow;

/// Columns of the drawing.
const RANGE: usize = 24;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, shot: &Shot) {
    let Some(bars) = &shot.bars else { return waiting(frame, area, "bars") };
    let right = |text: &str| Cell::from(Text::from(text.to_owned()).right_aligned());
    let names = ["open", "high", "low", "close", "volume", "trades"].map(right);
    let head = [Cell::from("start (UTC)")].into_iter().chain(names).chain([Cell::from("range")]);
    let shown = &bars[..bars.len().min(usize::from(area.height))];
    let lows = shown.iter().map(|bar| number(&bar.low));
    let highs = shown.iter().map(|bar| number(&bar.high));
    let (low, high) = (lows.fold(f64::INFINITY, f64::min), highs.fold(0.0, f64::max));
    let rows = shown.iter().map(|bar| {
        let color = if number(&bar.close) < number(&bar.open) { Color::Red } else { Color::Green };
        let color = Style::new().fg(color);
        let style = match bar.closed {
            true => Style::new(),
            false => Style::new().add_modifier(Modifier::BOLD),
        };
        let start = clock(bar.start.micros());
        Row::new([
            // Bars begin with a second.
            Cell::from(start.split('.').next().unwrap_or_default().to_owned()),
            right(&bar.open),
            right(&bar.high),
            right(&bar.low),
            right(&bar.close).style(color),
            right(&bar.volume),
            right(&bar.trades.to_string()),
            Cell::from(range(bar, low, high)).style(color),
        ])
        .style(style)
    });
    let widths = [11, 14, 14, 14, 14, 18, 7, RANGE as u16].map(Constraint::Max);
    let head = Row::new(head).style(Style::new().add_modifier(Modifier::UNDERLINED));
    let table = Table::new(rows, widths).header(head).column_spacing(1).style(aged(shot.state));
    frame.render_widget(table, area);
}

/// Only for the drawing; prices are shown as they were sent.
fn number(text: &str) -> f64 {
    text.parse().unwrap_or_default()
}

/// `─` from low to high, `█` from open to close.
fn range(bar: &BarRow, low: f64, high: f64) -> String {
    let place = |text: &str| {
        let part = if high > low { (number(text) - low) / (high - low) } else { 0.0 };
        ((part * (RANGE - 1) as f64).round() as usize).min(RANGE - 1)
    };
    let (open, close) = (place(&bar.open), place(&bar.close));
    let body = open.min(close)..=open.max(close);
    let wick = place(&bar.low)..=place(&bar.high);
    let symbol = |at| match at {
        at if body.contains(&at) => '█',
        at if wick.contains(&at) => '─',
        _ => ' ',
    };
    (0..RANGE).map(symbol).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickcast_client::Nanos;

    #[test]
    fn a_bar_is_drawn_between_the_lowest_and_the_highest() {
        let bar = BarRow {
            start: Nanos::ZERO,
            open: "104.6".into(),
            high: "123".into(),
            low: "100".into(),
            close: "109".into(),
            volume: "1".into(),
            trades: 1,
            closed: true,
        };
        assert_eq!(range(&bar, 100.0, 123.0), "─────█████──────────────");
    }
}
