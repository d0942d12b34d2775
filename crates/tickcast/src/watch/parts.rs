//! A line of parts that fits: where there is no room the least important ones are left out, and of
//! what has to stay the longest is shortened.

use super::columns::fitted;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// A part of a line.
#[derive(Clone, Debug)]
pub(super) struct Part {
    span: Span<'static>,
    /// The highest goes first when there is no room; 0 stays.
    rank: u8,
}

impl Part {
    pub(super) fn new(text: impl Into<String>, style: Style, rank: u8) -> Part {
        Part { span: Span::styled(text.into(), style), rank }
    }

    pub(super) fn plain(text: impl Into<String>, rank: u8) -> Part {
        Part::new(text, Style::new(), rank)
    }
}

/// Puts into a line of this width what has room there. Of equally important parts the last goes
/// first.
pub(super) fn line(mut parts: Vec<Part>, room: u16) -> Line<'static> {
    let room = usize::from(room);
    let width = |parts: &[Part]| parts.iter().map(|part| part.span.width()).sum::<usize>();
    while width(&parts) > room {
        let least = (0..parts.len()).max_by_key(|at| parts[*at].rank);
        match least.filter(|at| parts[*at].rank > 0) {
            Some(least) => drop(parts.remove(least)),
            None => break,
        }
    }
    while width(&parts) > room {
        let excess = width(&parts) - room;
        let longest = parts.iter_mut().max_by_key(|part| part.span.width());
        // One that is wider than the line is not empty.
        let Some(longest) = longest else { break };
        let rest = longest.span.width().saturating_sub(excess);
        let text = fitted(&longest.span.content, rest, false);
        longest.span.content = text.into();
    }
    Line::from_iter(parts.into_iter().map(|part| part.span))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(room: u16) -> String {
        let parts = [(" closed", 0), (": a reason", 0), ("  12 messages/s", 1), ("  rtt 3 ms", 2)];
        let parts = parts.map(|(text, rank)| Part::plain(text, rank));
        line(parts.into(), room).to_string()
    }

    #[test]
    fn the_least_important_parts_go_first_and_the_longest_that_stays_is_shortened() {
        for (room, expected) in [
            (80, " closed: a reason  12 messages/s  rtt 3 ms"),
            (42, " closed: a reason  12 messages/s  rtt 3 ms"),
            (41, " closed: a reason  12 messages/s"),
            (31, " closed: a reason"),
            (14, " closed: a re…"),
            (5, " clo…"),
            (0, ""),
        ] {
            let shown = shown(room);
            assert!(Span::raw(&*shown).width() <= usize::from(room), "{room}: {shown:?}");
            assert_eq!(shown, expected, "{room}");
        }
    }
}
