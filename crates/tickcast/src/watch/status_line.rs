//! The status line: the connection, what it carries, and how far behind it is.

use super::draw::Shot;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
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

/// ` live  websocket json  12 messages/s …`
pub(super) fn line(shot: &Shot) -> Line<'static> {
    let Shot { connection, gauges, now, .. } = shot;
    let (words, color) = match &connection.state {
        ConnectionState::Connecting => ("connecting".to_owned(), Color::Yellow),
        ConnectionState::Live => match &connection.leaving {
            None => ("live".to_owned(), Color::Green),
            Some(leaving) => {
                let left = leaving.at.saturating_duration_since(*now).as_secs();
                (format!("live, the service leaves in {left} s"), Color::Yellow)
            }
        },
        ConnectionState::Reconnecting { next_try, reason, attempt } => {
            let left = next_try.saturating_duration_since(*now).as_secs_f64();
            let attempt = attempt + 1;
            (format!("reconnecting in {left:.1} s (attempt {attempt}): {reason}"), Color::Red)
        }
        ConnectionState::Closed { reason } => (format!("closed: {reason}"), Color::Red),
    };
    let state = Style::new().fg(color).add_modifier(Modifier::BOLD);
    let mut text = format!(
        "  {} {}  {:.0} messages/s  {}/s  reconnects {}  resyncs {}",
        connection.transport,
        connection.encoding.name(),
        gauges.messages_per_second,
        bytes(gauges.bytes_per_second),
        connection.reconnects,
        connection.resyncs,
    );
    if connection.missed_trades + connection.checksum_failures > 0 {
        text += &format!(
            "  missed trades {}  checksum failures {}",
            connection.missed_trades, connection.checksum_failures
        );
    }
    let mut spans = vec![Span::styled(format!(" {words}"), state), Span::raw(text)];
    if let Some(stats) = gauges.stats.filter(|_| connection.state.is_live()) {
        let lagging = if stats.lagging { "  lagging" } else { "" };
        spans.push(Span::styled(lagging, Style::new().fg(Color::Yellow)));
        spans.push(Span::raw(format!("  merged {}", stats.merged_updates)));
        if let Some(rtt) = stats.rtt_us {
            spans.push(Span::raw(format!("  rtt {:.1} ms", rtt as f64 / 1e3)));
        }
    }
    Line::from(spans)
}

fn bytes(count: f64) -> String {
    match count {
        count if count < 1e3 => format!("{count:.0} B"),
        count if count < 1e6 => format!("{:.1} kB", count / 1e3),
        count => format!("{:.1} MB", count / 1e6),
    }
}
