//! The watchlist: a line for each symbol, those that are in sight.

use super::app::{App, Sort};
use super::columns::{self, Column, Line};
use super::draw::{age, aged, state};
use super::model::Row as Shown;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

/// Name, usual width, the turn in which it goes where there is no room, and what sorts by it.
const COLUMNS: [(&str, usize, u8, Option<Sort>); 9] = [
    ("symbol", 24, 0, Some(Sort::Symbol)),
    ("last", 14, 0, Some(Sort::Last)),
    ("change", 9, 3, Some(Sort::Change)),
    ("bid", 14, 4, None),
    ("ask", 14, 5, None),
    ("spread bp", 10, 8, Some(Sort::Spread)),
    ("volume", 16, 7, Some(Sort::Volume)),
    ("age", 8, 2, Some(Sort::Age)),
    ("state", 7, 1, Some(Sort::State)),
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, rows: &[Shown]) {
    let columns = COLUMNS.map(|(name, usual, rank, sort)| {
        let mark = match sort {
            Some(sort) if sort == app.sort && app.descending => "▼",
            Some(sort) if sort == app.sort => "▲",
            _ => "",
        };
        let head = format!("{name}{mark}");
        match name {
            "symbol" | "state" => Column::words(&head, usual, rank),
            _ => Column::number(&head, usual, rank),
        }
    });
    let shown = rows.iter().skip(app.offset).take(app.page);
    let lines: Vec<Line> = shown.map(|row| line(app, row)).collect();
    columns::draw(frame, area, &columns, &lines, Style::new());
}

fn line(app: &App, row: &Shown) -> Line {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
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
    let plain = Style::new();
    let told = state(row.state);
    let cells = vec![
        (row.symbol.clone(), plain),
        (or_none(&row.last), flash),
        (decimals(row.change, true), color),
        (or_none(&row.bid), plain),
        (or_none(&row.ask), plain),
        (decimals(row.spread, false), plain),
        (or_none(&row.volume), plain),
        (age(row.age), plain),
        (told.content.into_owned(), told.style),
    ];
    Line { cells, style }
}
