//! Plots as SVG text: panels side by side, a logarithmic axis below, readable on light and dark.

use crate::figures::Spread;
use crate::table::number;
use std::fmt::Write as _;

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 44.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 34.0;

const STYLE: &str = "text{font:11px sans-serif;fill:#222}.axis{stroke:#999;stroke-width:1}\
.a{stroke:#0969da;fill:none;stroke-width:2}.b{stroke:#bc4c00;fill:none;stroke-width:2}\
.ta{fill:#0969da}.tb{fill:#bc4c00}rect{fill:#fff}\
@media(prefers-color-scheme:dark){text{fill:#ddd}rect{fill:#0d1117}.a{stroke:#58a6ff}\
.b{stroke:#f0883e}.ta{fill:#58a6ff}.tb{fill:#f0883e}}";

/// Points of one contender, with the least and greatest round of each.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, Spread)>,
}

/// Lines over the same axis.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) lines: Vec<Line>,
}

/// All panels as one file; the vertical axis begins at zero and is the same for all.
pub(crate) fn svg(title: &str, panels: &[Panel]) -> String {
    let points = || panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
    let top = points().map(|(_, spread)| spread.max).fold(0.0, f64::max).max(1e-9) * 1.1;
    let width = LEFT + WIDTH * panels.len() as f64;
    let height = TOP + HEIGHT + BOTTOM;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\"><style>{STYLE}</style>\
         <rect width=\"100%\" height=\"100%\"/><text x=\"{LEFT}\" y=\"16\">{title}</text>\n"
    );
    for (at, panel) in panels.iter().enumerate() {
        write_panel(&mut out, panel, LEFT + WIDTH * at as f64, top);
    }
    out.push_str("</svg>\n");
    out
}

fn write_panel(out: &mut String, panel: &Panel, left: f64, top: f64) {
    let xs = || panel.lines.iter().flat_map(|line| &line.points).map(|(x, _)| x.ln());
    let (least, most) =
        (xs().fold(f64::INFINITY, f64::min), xs().fold(f64::NEG_INFINITY, f64::max));
    let span = (most - least).max(1e-9);
    let inner = WIDTH - 60.0;
    let x_of = |x: f64| left + (x.ln() - least) / span * inner;
    let y_of = |y: f64| TOP + HEIGHT * (1.0 - y / top);
    let floor = TOP + HEIGHT;
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<text x=\"{left:.1}\" y=\"34\">{}</text><path class=\"axis\" \
         d=\"M{left:.1} {TOP}V{floor}H{:.1}\" fill=\"none\"/>",
        panel.title,
        left + inner
    );
    for quarter in 0..=4 {
        let value = top * f64::from(quarter) / 4.0;
        let (x, y) = (left - 4.0, y_of(value) + 4.0);
        let _ = write!(
            out,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>",
            number(value)
        );
    }
    for (line, class) in panel.lines.iter().zip(["a", "b"].into_iter().cycle()) {
        let mut path = String::new();
        for (x, spread) in &line.points {
            let (x, y) = (x_of(*x), y_of(spread.median));
            let _ = write!(path, "{x:.1},{y:.1} ");
            let (low, high) = (y_of(spread.min), y_of(spread.max));
            let _ = write!(out, "<path class=\"{class}\" d=\"M{x:.1} {low:.1}V{high:.1}\"/>");
        }
        let _ = write!(out, "<polyline class=\"{class}\" points=\"{}\"/>", path.trim());
        if let (true, Some((x, spread))) = (panel.lines.len() > 1, line.points.last()) {
            let (x, y) = (x_of(*x) + 5.0, y_of(spread.median));
            let _ = write!(
                out,
                "<text class=\"t{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
                line.name
            );
        }
    }
    for (x, _) in panel.lines.first().map_or(&[][..], |line| &line.points) {
        let (at, y) = (x_of(*x), floor + 16.0);
        let _ = write!(out, "<text x=\"{at:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{x}</text>");
    }
    out.push('\n');
}
