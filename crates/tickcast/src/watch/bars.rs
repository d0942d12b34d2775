//! The bars of one symbol, newest first, each with its range drawn within that of all shown.

use super::columns::{self, Column, Line};
use super::draw::{Shot, aged, clock, waiting};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use tickcast_client::BarRow;

/// Columns of the drawing.
const RANGE: usize = 24;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, shot: &Shot) {
    let Some(bars) = &shot.bars else { return waiting(frame, area, "bars") };
    let columns = [
        Column::words("start (UTC)", 11, 0),
        Column::number("open", 14, 4),
        Column::number("high", 14, 2),
        Column::number("low", 14, 3),
        Column::number("close", 14, 0),
        Column::number("volume", 16, 5),
        Column::number("trades", 7, 6),
        Column::words("range", RANGE, 7),
    ];
    let shown = &bars[..bars.len().min(usize::from(area.height))];
    let lows = shown.iter().map(|bar| number(&bar.low));
    let highs = shown.iter().map(|bar| number(&bar.high));
    let (low, high) = (lows.fold(f64::INFINITY, f64::min), highs.fold(0.0, f64::max));
    let lines = shown.iter().map(|bar| {
        let color = if number(&bar.close) < number(&bar.open) { Color::Red } else { Color::Green };
        let (plain, color) = (Style::new(), Style::new().fg(color));
        let style = if bar.closed { plain } else { plain.add_modifier(Modifier::BOLD) };
        let start = clock(bar.start.micros());
        let cells = vec![
            // Bars begin with a second.
            (start.split('.').next().unwrap_or_default().to_owned(), plain),
            (bar.open.to_string(), plain),
            (bar.high.to_string(), plain),
            (bar.low.to_string(), plain),
            (bar.close.to_string(), color),
            (bar.volume.to_string(), plain),
            (bar.trades.to_string(), plain),
            (range(bar, low, high), color),
        ];
        Line { cells, style }
    });
    let lines: Vec<Line> = lines.collect();
    columns::draw(frame, area, &columns, &lines, aged(shot.state));
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
