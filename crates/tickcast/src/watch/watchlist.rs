//! The watchlist: a line for each symbol, those that are in sight.

use super::app::{App, Sort};
use super::draw::{age, aged, state};
use super::model::Row as Line;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Span, Text};
use ratatui::widgets::{Cell, Row, Table};

const COLUMNS: [(&str, u16, Option<Sort>); 9] = [
    ("symbol", 28, Some(Sort::Symbol)),
    ("last", 14, Some(Sort::Last)),
    ("change", 9, Some(Sort::Change)),
    ("bid", 14, None),
    ("ask", 14, None),
    ("spread bp", 10, Some(Sort::Spread)),
    ("volume", 18, Some(Sort::Volume)),
    ("age", 8, Some(Sort::Age)),
    ("state", 7, Some(Sort::State)),
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, rows: &[Line]) {
    let head = COLUMNS.map(|(name, _, sort)| {
        let mark = match sort {
            Some(sort) if sort == app.sort && app.descending => "▼",
            Some(sort) if sort == app.sort => "▲",
            _ => "",
        };
        let text = Text::from(format!("{name}{mark}"));
        Cell::from(if name == "symbol" || name == "state" { text } else { text.right_aligned() })
    });
    let shown = rows.iter().skip(app.offset).take(app.page).map(|row| line(app, row));
    let widths = COLUMNS.map(|(_, width, _)| Constraint::Max(width));
    let head = Row::new(head).style(Style::new().add_modifier(Modifier::UNDERLINED));
    frame.render_widget(Table::new(shown, widths).header(head).column_spacing(1), area);
}

fn line(app: &App, row: &Line) -> Row<'static> {
    let right = |text: String| Cell::from(Text::from(text).right_aligned());
    let or_none = |text: &Option<String>| right(text.clone().unwrap_or_else(|| "–".to_owned()));
    let decimals = |value: Option<f64>, sign: bool| match value {
        Some(value) if sign => format!("{value:+.2} %"),
        Some(value) => format!("{value:.1}"),
        None => "–".to_owned(),
    };
    let change = row.change.unwrap_or_default();
    let color = match change {
        change if change > 0.0 => Style::new().fg(Color::Green),
        change if change < 0.0 => Style::new().fg(Color::Red),
        _ => Style::new(),
    };
    let flash = match app.flash(&row.symbol) {
        Some(true) => Style::new().fg(Color::Black).bg(Color::Green),
        Some(false) => Style::new().fg(Color::Black).bg(Color::Red),
        None => Style::new(),
    };
    let style = aged(row.state);
    let style = match app.selected.as_deref() == Some(&*row.symbol) {
        true => style.add_modifier(Modifier::REVERSED),
        false => style,
    };
    Row::new([
        Cell::from(Span::raw(row.symbol.clone())),
        or_none(&row.last).style(flash),
        right(decimals(row.change, true)).style(color),
        or_none(&row.bid),
        or_none(&row.ask),
        right(decimals(row.spread, false)),
        or_none(&row.volume),
        right(age(row.age)),
        Cell::from(state(row.state)),
    ])
    .style(style)
}
