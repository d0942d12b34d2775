//! Tables whose columns fit: each as wide as what it shows, the least important ones left out where
//! there is no room. A number is never cut: without its first digits it would be another one.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Span, Text};
use ratatui::widgets::{Cell, Row, Table};

/// A column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// Where there is room it is not narrower, so that it stays where it is.
    pub(super) usual: usize,
    /// Numbers stand right, words left.
    pub(super) is_number: bool,
    /// The highest goes first when there is no room; 0 stays.
    pub(super) rank: u8,
}

impl Column {
    pub(super) fn words(name: &str, usual: usize, rank: u8) -> Column {
        Column { name: name.to_owned(), usual, is_number: false, rank }
    }

    pub(super) fn number(name: &str, usual: usize, rank: u8) -> Column {
        Column { name: name.to_owned(), usual, is_number: true, rank }
    }
}

/// A line: a text for each column, and how it looks.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) cells: Vec<(String, Style)>,
    pub(super) style: Style,
}

/// Draws the columns that fit.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    columns: &[Column],
    lines: &[Line],
    style: Style,
) {
    let needed: Vec<usize> = (0..columns.len())
        .map(|at| {
            let texts = lines.iter().map(|line| line.cells[at].0.as_str());
            texts.chain([columns[at].name.as_str()]).map(width).max().unwrap_or_default()
        })
        .collect();
    let shown = fitting(columns, &needed, usize::from(area.width));
    let cell = |at: usize, room: usize, text: &str| {
        let text = Text::from(fitted(text, room, columns[at].is_number));
        Cell::from(if columns[at].is_number { text.right_aligned() } else { text })
    };
    let head = shown.iter().map(|(at, room)| cell(*at, *room, &columns[*at].name));
    let head = Row::new(head).style(Style::new().add_modifier(Modifier::UNDERLINED));
    let rows = lines.iter().map(|line| {
        let cells = shown.iter().map(|(at, room)| {
            let (text, style) = &line.cells[*at];
            cell(*at, *room, text).style(*style)
        });
        Row::new(cells).style(line.style)
    });
    let widths = shown.iter().map(|(_, room)| Constraint::Length(*room as u16));
    let table = Table::new(rows, widths).header(head).column_spacing(1).style(style);
    frame.render_widget(table, area);
}

fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The columns that have room, each with its width.
fn fitting(columns: &[Column], needed: &[usize], room: usize) -> Vec<(usize, usize)> {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    let sum = |shown: &[usize], width: &dyn Fn(usize) -> usize| {
        shown.iter().map(|at| width(*at) + 1).sum::<usize>().saturating_sub(1)
    };
    let usual = |at: usize| columns[at].usual.max(needed[at]);
    if sum(&shown, &usual) <= room {
        return shown.into_iter().map(|at| (at, usual(at))).collect();
    }
    while sum(&shown, &|at| needed[at]) > room {
        let last = shown.iter().copied().max_by_key(|at| columns[*at].rank);
        match last.filter(|at| columns[*at].rank > 0) {
            Some(last) => shown.retain(|at| *at != last),
            None => break,
        }
    }
    let mut left = room;
    let mut fit = |at: usize| {
        let width = needed[at].min(left);
        left = left.saturating_sub(width + 1);
        (at, width)
    };
    shown.into_iter().map(&mut fit).collect()
}

/// A text for that much room: words end with a mark where they are cut, a number becomes marks.
pub(super) fn fitted(text: &str, room: usize, is_number: bool) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    if is_number {
        return "#".repeat(room);
    }
    let mut cut: String = text.chars().take(room.saturating_sub(1)).collect();
    if room > 0 {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(room: usize) -> Vec<(usize, usize)> {
        let columns = [
            Column::words("symbol", 10, 0),
            Column::number("last", 8, 0),
            Column::number("volume", 12, 2),
            Column::words("state", 7, 1),
        ];
        fitting(&columns, &[6, 7, 6, 5], room)
    }

    #[test]
    fn columns_are_usual_then_narrow_then_fewer() {
        assert_eq!(shown(40), [(0, 10), (1, 8), (2, 12), (3, 7)]);
        assert_eq!(shown(39), [(0, 6), (1, 7), (2, 6), (3, 5)]);
        assert_eq!(shown(26), [(0, 6), (1, 7), (3, 5)]);
        assert_eq!(shown(19), [(0, 6), (1, 7)]);
        assert_eq!(shown(10), [(0, 6), (1, 3)]);
    }

    #[test]
    fn a_number_is_never_cut_and_a_word_says_that_it_is() {
        assert_eq!(fitted("1701377.881", 10, true), "##########");
        assert_eq!(fitted("1701377.881", 11, true), "1701377.881");
        assert_eq!(fitted("kraken:BTC-USD", 8, false), "kraken:…");
        assert_eq!(fitted("abc", 0, false), "");
    }
}
