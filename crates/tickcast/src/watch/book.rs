//! The book of one symbol: bids and asks beside each other, with bars for the sums of sizes.

use super::columns::fitted;
use super::draw::{Shot, age, aged, waiting};
use super::model::Rung;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Columns of a number, where none is longer.
const NUMBER: usize = 14;

/// How wide the numbers of a side are; sizes have no room where there is none.
#[derive(Clone, Copy, Debug)]
struct Widths {
    price: usize,
    size: Option<usize>,
    /// What is left for the bar.
    bar: usize,
}

impl Widths {
    fn new(side: &[Rung], room: usize) -> Widths {
        let widest = |text: fn(&Rung) -> String| {
            side.iter().map(|rung| text(rung).len()).max().unwrap_or_default()
        };
        let price = widest(|rung| rung.price.to_string());
        let size = widest(|rung| rung.size.to_string());
        let usual = [price.max(NUMBER), size.max(NUMBER)];
        let fits =
            [usual, [price, size]].into_iter().find(|[price, size]| price + size + 3 <= room);
        match fits {
            Some([price, size]) => Widths { price, size: Some(size), bar: room - price - size - 3 },
            None => Widths { price: price.min(room.saturating_sub(1)), size: None, bar: 0 },
        }
    }
}

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
        let side = &side[..side.len().min(height)];
        let widths = Widths::new(side, usize::from(area.width));
        let lines = side.iter().map(|rung| line(rung, is_bid, widths, most));
        frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).style(style), area);
    }
}

/// A level; the best prices of the two sides meet in the middle.
fn line(rung: &Rung, is_bid: bool, widths: Widths, most: f64) -> Line<'static> {
    let Widths { price: price_width, size, bar: room } = widths;
    let part = if most > 0.0 { rung.sum / most } else { 0.0 };
    let length = ((room as f64 * part).round() as usize).min(room);
    let color = Style::new().fg(if is_bid { Color::Green } else { Color::Red });
    let price = fitted(&rung.price.to_string(), price_width, true);
    let bar = "█".repeat(length);
    let size_width = size.unwrap_or_default();
    let size = size.map_or_else(String::new, |_| rung.size.to_string());
    if is_bid {
        Line::from(vec![
            Span::styled(format!("{bar:>room$}"), color),
            Span::raw(format!(" {size:>size_width$} ")),
            Span::styled(format!("{price:>price_width$}"), color),
        ])
    } else {
        Line::from(vec![
            Span::styled(format!(" {price:<price_width$}"), color),
            Span::raw(format!(" {size:<size_width$} ")),
            Span::styled(bar, color),
        ])
    }
}
