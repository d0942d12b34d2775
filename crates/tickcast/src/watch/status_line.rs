//! The status line: the connection, what it carries, and how far behind it is.

use super::draw::Shot;
use super::parts::{self, Part};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use std::time::{Duration, Instant};
use tickcast_client::{Connection, ConnectionState, Stats};

/// Rates are of the last second.
const SPAN: Duration = Duration::from_secs(1);

/// What is measured beside what the client tells.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gauges {
    measured: Option<(Instant, u64, u64)>,
    messages_per_second: f64,
    bytes_per_second: f64,
    /// The service's own figures; `None` before they have come.
    pub(super) stats: Option<Stats>,
}

impl Gauges {
    /// Looks at what has come by now.
    pub(super) fn measure(&mut self, connection: &Connection, now: Instant) {
        let (messages, bytes) = (connection.messages, connection.bytes);
        let Some((then, messages_then, bytes_then)) = self.measured else {
            self.measured = Some((now, messages, bytes));
            return;
        };
        let passed = now.saturating_duration_since(then);
        if passed >= SPAN {
            let rate = |more: u64| more as f64 / passed.as_secs_f64();
            self.messages_per_second = rate(messages - messages_then);
            self.bytes_per_second = rate(bytes - bytes_then);
            self.measured = Some((now, messages, bytes));
        }
    }
}

/// ` live  websocket json  12 messages/s …`, as much of it as has room: how things stand, then what
/// has gone wrong, then figures.
pub(super) fn line(shot: &Shot, room: u16) -> Line<'static> {
    let Shot { connection, gauges, now, .. } = shot;
    let mut parts = state(connection, *now);
    parts.extend([
        Part::plain(format!("  {} {}", connection.transport, connection.encoding.name()), 7),
        Part::plain(format!("  {:.0} messages/s", gauges.messages_per_second), 3),
        Part::plain(format!("  {}/s", bytes(gauges.bytes_per_second)), 5),
        Part::plain(format!("  reconnects {}", connection.reconnects), 6),
        Part::plain(format!("  resyncs {}", connection.resyncs), 6),
    ]);
    if connection.missed_trades + connection.checksum_failures > 0 {
        parts.extend([
            Part::plain(format!("  missed trades {}", connection.missed_trades), 2),
            Part::plain(format!("  checksum failures {}", connection.checksum_failures), 2),
        ]);
    }
    if let Some(stats) = gauges.stats.filter(|_| connection.state.is_live()) {
        if stats.lagging {
            parts.push(Part::new("  lagging", Style::new().fg(Color::Yellow), 1));
        }
        parts.push(Part::plain(format!("  merged {}", stats.merged_updates), 5));
        if let Some(rtt) = stats.rtt_us {
            parts.push(Part::plain(format!("  rtt {:.1} ms", rtt as f64 / 1e3), 4));
        }
    }
    parts::line(parts, room)
}

/// How the connection stands, and why.
fn state(connection: &Connection, now: Instant) -> Vec<Part> {
    let (words, more, reason, color) = match &connection.state {
        ConnectionState::Connecting => ("connecting".to_owned(), None, None, Color::Yellow),
        ConnectionState::Live => match &connection.leaving {
            None => ("live".to_owned(), None, None, Color::Green),
            Some(leaving) => {
                let left = leaving.at.saturating_duration_since(now).as_secs();
                (format!("live, the service leaves in {left} s"), None, None, Color::Yellow)
            }
        },
        ConnectionState::Reconnecting { next_try, reason, attempt } => {
            let left = next_try.saturating_duration_since(now).as_secs_f64();
            let attempt = format!(" (attempt {})", attempt + 1);
            let words = format!("reconnecting in {left:.1} s");
            (words, Some(attempt), Some(reason), Color::Red)
        }
        ConnectionState::Closed { reason } => ("closed".to_owned(), None, Some(reason), Color::Red),
    };
    let style = Style::new().fg(color).add_modifier(Modifier::BOLD);
    let mut parts = vec![Part::new(format!(" {words}"), style, 0)];
    parts.extend(more.map(|more| Part::new(more, style, 1)));
    parts.extend(reason.map(|reason| Part::new(format!(": {reason}"), style, 0)));
    parts
}

fn bytes(count: f64) -> String {
    match count {
        count if count < 1e3 => format!("{count:.0} B"),
        count if count < 1e6 => format!("{:.1} kB", count / 1e3),
        count => format!("{:.1} MB", count / 1e6),
    }
}
