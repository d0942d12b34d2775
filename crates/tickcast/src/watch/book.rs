//! The book of one symbol: bids and asks beside each other, with bars for the sums of sizes.

use super::draw::{Shot, age, aged, waiting};
use super::model::Rung;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Columns of a number.
const NUMBER: usize = 14;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, shot: &Shot) {
    let Some(ladder) = &shot.ladder else { return waiting(frame, area, "the book") };
    let [head, sides] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(sides);
    let words = format!(
        " {} levels a side, {} and {} there, changed {} ago",
        ladder.levels,
        ladder.bids.len(),
        ladder.asks.len(),
        age(ladder.age)
    );
    frame.render_widget(Paragraph::new(words), head);
    let height = usize::from(sides.height);
    let shown = |side: &[Rung]| side.get(height.saturating_sub(1)).or(side.last()).map(|r| r.sum);
    let most = shown(&ladder.bids).unwrap_or_default().max(shown(&ladder.asks).unwrap_or_default());
    let style = aged(shot.state);
    for (area, side, is_bid) in [(left, &ladder.bids, true), (right, &ladder.asks, false)] {
        let room = usize::from(area.width).saturating_sub(2 * NUMBER + 3);
        let lines = side.iter().take(height).map(|rung| line(rung, is_bid, room, most));
        frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).style(style), area);
    }
}

/// A level; the best prices of the two sides meet in the middle.
fn line(rung: &Rung, is_bid: bool, room: usize, most: f64) -> Line<'static> {
    let part = if most > 0.0 { rung.sum / most } else { 0.0 };
    let length = ((room as f64 * part).round() as usize).min(room);
    let color = Style::new().fg(if is_bid { Color::Green } else { Color::Red });
    let (price, size) = (rung.price.to_string(), rung.size.to_string());
    let bar = "█".repeat(length);
    if is_bid {
        Line::from(vec![
            Span::styled(format!("{bar:>room$}"), color),
            Span::raw(format!(" {size:>NUMBER$} ")),
            Span::styled(format!("{price:>NUMBER$}"), color),
        ])
    } else {
        Line::from(vec![
            Span::styled(format!(" {price:<NUMBER$}"), color),
            Span::raw(format!(" {size:<NUMBER$} ")),
            Span::styled(bar, color),
        ])
    }
}
