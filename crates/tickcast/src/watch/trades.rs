//! The trades of one symbol, newest first.

use super::columns::{self, Column, Line};
use super::draw::{Shot, aged, clock, waiting};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use tickcast_client::Side;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, shot: &Shot) {
    let Some(trades) = &shot.tape else { return waiting(frame, area, "trades") };
    let columns = [
        Column::words("time (UTC)", 12, 1),
        Column::words("side", 5, 2),
        Column::number("price", 16, 0),
        Column::number("size", 18, 0),
        Column::number("seq", 12, 3),
    ];
    let lines = trades.iter().take(usize::from(area.height)).map(|trade| {
        let (side, color) = match trade.side {
            Side::Buy => ("buy", Color::Green),
            Side::Sell => ("sell", Color::Red),
        };
        let (plain, color) = (Style::new(), Style::new().fg(color));
        let cells = vec![
            (clock(trade.ts_event.micros()), plain),
            (side.to_owned(), color),
            (trade.price.to_string(), color),
            (trade.size.to_string(), plain),
            (trade.seq.0.to_string(), plain),
        ];
        Line { cells, style: plain }
    });
    let lines: Vec<Line> = lines.collect();
    columns::draw(frame, area, &columns, &lines, aged(shot.state));
}
