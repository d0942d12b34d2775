//! The trades of one symbol, newest first.

use super::draw::{Shot, aged, clock, waiting};
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Text;
use ratatui::widgets::{Cell, Row, Table};
use tickcast_client::Side;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, shot: &Shot) {
    let Some(trades) = &shot.tape else { return waiting(frame, area, "trades") };
    let right = |text: &str| Cell::from(Text::from(text.to_owned()).right_aligned());
    let head = Row::new([
        Cell::from("time (UTC)"),
        Cell::from("side"),
        right("price"),
        right("size"),
        right("seq"),
    ]);
    let rows = trades.iter().map(|trade| {
        let (side, color) = match trade.side {
            Side::Buy => ("buy", Color::Green),
            Side::Sell => ("sell", Color::Red),
        };
        Row::new([
            Cell::from(clock(trade.ts_event.micros())),
            Cell::from(side).style(Style::new().fg(color)),
            right(&trade.price).style(Style::new().fg(color)),
            right(&trade.size),
            right(&trade.seq.0.to_string()),
        ])
    });
    let widths = [12, 4, 16, 18, 12].map(Constraint::Length);
    let head = head.style(Style::new().add_modifier(Modifier::UNDERLINED));
    let table = Table::new(rows, widths).header(head).column_spacing(2).style(aged(shot.state));
    frame.render_widget(table, area);
}
