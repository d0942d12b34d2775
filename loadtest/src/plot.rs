//! Lines in a coordinate system, as SVG of our own.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 30.0;

/// With more points than this none is marked on its own.
const MARKS_MAX: usize = 150;

/// A line; `class` is its style in the page.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) class: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    pub(crate) unit: &'a str,
    /// What runs from left to right.
    pub(crate) across: &'a str,
    /// The vertical axis counts by factors of ten.
    pub(crate) is_log: bool,
    /// Names for places on the horizontal axis, instead of numbers.
    pub(crate) places: &'a [&'a str],
    pub(crate) lines: Vec<Line>,
}

impl Plot<'_> {
    /// The figure; empty where there is nothing to see.
    pub(crate) fn write(&self, out: &mut String) {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        if points().count() == 0 {
            return;
        }
        let x_max = points().map(|point| point.0).fold(0.0, f64::max).max(1e-9);
        let y_max = points().map(|point| point.1).fold(0.0, f64::max).max(1e-9);
        let lowest = points().map(|point| point.1).filter(|y| *y > 0.0).fold(y_max, f64::min);
        let scale = Scale {
            x_max,
            low: if self.is_log { 10f64.powf(lowest.log10().floor()) } else { 0.0 },
            high: if self.is_log { y_max * 1.1 } else { y_max * 1.05 },
            is_log: self.is_log,
        };
        // Writing to a String cannot fail.
        let _ = self.figure(out, &scale);
    }

    fn figure(&self, out: &mut String, scale: &Scale) -> std::fmt::Result {
        write!(out, "<figure><figcaption><b>{}</b>", escape(self.title))?;
        for line in &self.lines {
            let name = escape(&line.name);
            write!(out, " <span class=\"key {}\">{name}</span>", line.class)?;
        }
        write!(
            out,
            "</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(self.title)
        )?;
        self.axes(out, scale)?;
        for line in &self.lines {
            let mut path = String::new();
            for (at, point) in line.points.iter().enumerate() {
                let letter = if at == 0 { 'M' } else { 'L' };
                write!(path, "{letter}{:.1} {:.1}", scale.x(point.0), scale.y(point.1))?;
            }
            write!(out, "<path class=\"line {}\" d=\"{path}\"/>", line.class)?;
            if line.points.len() > MARKS_MAX {
                continue;
            }
            for (x, y) in &line.points {
                let (name, unit) = (escape(&line.name), escape(self.unit));
                write!(
                    out,
                    "<circle class=\"mark {}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.2\"><title>{name}: \
                     {} {unit} at {}</title></circle>",
                    line.class,
                    scale.x(*x),
                    scale.y(*y),
                    short(*y),
                    self.place(*x),
                )?;
            }
        }
        writeln!(out, "</svg></figure>")
    }

    fn place(&self, x: f64) -> String {
        match self.places.get(x as usize) {
            Some(place) => escape(place),
            None => format!("{} {}", short(x), escape(self.across)),
        }
    }

    fn axes(&self, out: &mut String, scale: &Scale) -> std::fmt::Result {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for value in scale.rungs() {
            let y = scale.y(value);
            write!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                short(value)
            )?;
        }
        write!(
            out,
            "<text class=\"unit\" x=\"4\" y=\"{:.1}\">{}</text>",
            HEIGHT - 8.0,
            escape(self.unit)
        )?;
        let steps: Vec<f64> = match self.places.len() {
            0 => round_steps(scale.x_max, 8.0),
            places => (0..places).map(|place| place as f64).collect(),
        };
        for x in steps {
            let label = match self.places.get(x as usize) {
                Some(place) => escape(place),
                None => short(x),
            };
            let (at, y) = (scale.x(x), bottom + 16.0);
            write!(out, "<text class=\"x\" x=\"{at:.1}\" y=\"{y:.1}\">{label}</text>")?;
        }
        write!(
            out,
            "<text class=\"across\" x=\"{right}\" y=\"{:.1}\">{}</text>",
            HEIGHT - 2.0,
            escape(self.across)
        )
    }
}

struct Scale {
    x_max: f64,
    low: f64,
    high: f64,
    is_log: bool,
}

impl Scale {
    fn x(&self, x: f64) -> f64 {
        LEFT + x / self.x_max * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, y: f64) -> f64 {
        let share = if self.is_log {
            let y = y.max(self.low);
            (y / self.low).ln() / (self.high / self.low).ln()
        } else {
            y / self.high
        };
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }

    /// The values that have a line across.
    fn rungs(&self) -> Vec<f64> {
        if !self.is_log {
            return round_steps(self.high, 5.0);
        }
        let mut rungs = Vec::new();
        let mut decade = self.low;
        while decade < self.high {
            rungs.extend([1.0, 2.0, 5.0].map(|step| step * decade));
            decade *= 10.0;
        }
        let few = rungs.len() <= 9;
        rungs.retain(|rung| *rung <= self.high && (few || rung.log10().fract().abs() < 1e-6));
        rungs
    }
}

/// From 0 to a value in about so many steps of 1, 2 or 5 times a power of ten.
fn round_steps(upto: f64, count: f64) -> Vec<f64> {
    let power = 10f64.powf((upto / count).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps.into_iter().find(|step| upto / step <= count).unwrap_or(steps[3]);
    (0..=(upto / step) as usize).map(|number| number as f64 * step).collect()
}

/// A number as short as it can be read.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        1e9.. => format!("{:.1}G", value / 1e9),
        1e6.. => format!("{:.1}M", value / 1e6),
        1e4.. => format!("{:.0}k", value / 1e3),
        100.0.. => format!("{value:.0}"),
        small => {
            let decimals = (2.0 - small.log10().floor()).clamp(0.0, 4.0) as usize;
            let text = format!("{value:.decimals$}");
            if text.contains('.') {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                text
            }
        }
    }
}

/// Text as HTML shows it.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_steps_and_short_numbers() {
        assert_eq!(round_steps(20.0, 5.0), [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(round_steps(0.7, 5.0).len(), 4);
        for (value, text) in [
            (0.0, "0"),
            (0.25, "0.25"),
            (5.0, "5"),
            (1234.0, "1234"),
            (48_000.0, "48k"),
            (2.5e6, "2.5M"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn every_point_lies_inside_and_names_are_escaped() {
        for is_log in [false, true] {
            let points = vec![(0.0, 0.0), (1.0, 1e-3), (9.0, 1e6)];
            let line = Line { name: "<b>".into(), class: "a", points };
            let plot = Plot {
                title: "t",
                unit: "ms",
                across: "s",
                is_log,
                places: &[],
                lines: vec![line],
            };
            let mut out = String::new();
            plot.write(&mut out);
            assert!(out.contains("&lt;b&gt;") && !out.contains("<b>:") && !out.contains("NaN"));
            for part in out.split("cy=\"").skip(1) {
                let y: f64 = part[..part.find('"').unwrap()].parse().unwrap();
                assert!((0.0..=HEIGHT).contains(&y), "{y}");
            }
        }
    }
}
