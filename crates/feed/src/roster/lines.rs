//! Which connection serves a line at present; what came from an older one is not for the books.

use crate::handler::ConnectionIndex;

/// The most lines that a handler keeps.
const LINES_MAX: usize = 1024;

/// One line with what the venue's rules remember of its connection; `L` begins anew with each.
#[derive(Debug)]
struct Line<L> {
    connection: ConnectionIndex,
    is_open: bool,
    memory: L,
}

/// Every line of a handler.
#[derive(Debug)]
pub(crate) struct Lines<L> {
    lines: Vec<Option<Line<L>>>,
}

impl<L> Default for Lines<L> {
    fn default() -> Self {
        Lines { lines: Vec::new() }
    }
}

impl<L: Default> Lines<L> {
    /// A connection is open and serves its line from now on. False when an even newer one does, or
    /// there are too many lines.
    pub(crate) fn opened(&mut self, connection: ConnectionIndex) -> bool {
        let at = usize::from(connection.line);
        if at >= LINES_MAX {
            return false;
        }
        if self.lines.len() <= at {
            self.lines.resize_with(at + 1, || None);
        }
        let newer = |line: &Line<L>| line.is_open && line.connection > connection;
        if self.lines[at].as_ref().is_some_and(newer) {
            return false;
        }
        self.lines[at] = Some(Line { connection, is_open: true, memory: L::default() });
        true
    }

    /// What is remembered of the connection, if it serves its line. One that nobody announced (a
    /// recording that begins in mid-stream) is taken as just opened.
    #[inline]
    pub(crate) fn serving(&mut self, connection: ConnectionIndex) -> Option<&mut L> {
        let at = usize::from(connection.line);
        if self.lines.get(at).is_none_or(Option::is_none) {
            self.opened(connection);
        }
        let line = self.lines.get_mut(at)?.as_mut()?;
        (line.is_open && line.connection == connection).then_some(&mut line.memory)
    }

    /// The connection has ended; whether it served its line.
    pub(crate) fn closed(&mut self, connection: ConnectionIndex) -> bool {
        let line = self.lines.get_mut(usize::from(connection.line)).and_then(Option::as_mut);
        match line {
            Some(line) if line.is_open && line.connection == connection => {
                line.is_open = false;
                true
            }
            _ => false,
        }
    }

    /// The connection that serves a line.
    pub(crate) fn connection(&self, line: u16) -> Option<ConnectionIndex> {
        let line = self.lines.get(usize::from(line))?.as_ref()?;
        line.is_open.then_some(line.connection)
    }

    /// The connections that are open, with what is remembered of them.
    pub(crate) fn open_mut(&mut self) -> impl Iterator<Item = (ConnectionIndex, &mut L)> {
        let open = self.lines.iter_mut().flatten().filter(|line| line.is_open);
        open.map(|line| (line.connection, &mut line.memory))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn connection(line: u16, generation: u16) -> ConnectionIndex {
        ConnectionIndex { line, generation }
    }

    #[test]
    fn only_the_newest_connection_serves_a_line() {
        let mut lines = Lines::<u32>::default();
        assert!(lines.opened(connection(1, 0)));
        *lines.serving(connection(1, 0)).unwrap() = 7;
        assert_eq!(lines.serving(connection(1, 0)), Some(&mut 7));
        assert!(lines.opened(connection(1, 1)), "a planned reconnect opens beside the old one");
        assert_eq!(lines.serving(connection(1, 0)), None);
        assert_eq!(lines.serving(connection(1, 1)), Some(&mut 0), "memory begins anew");
        assert!(!lines.closed(connection(1, 0)), "the newer generation serves");
        assert_eq!(lines.connection(1), Some(connection(1, 1)));
        assert!(lines.closed(connection(1, 1)));
        assert_eq!(lines.serving(connection(1, 1)), None, "nothing after the end");
        assert_eq!(lines.connection(1), None);
        assert_eq!(lines.open_mut().count(), 0);
    }

    #[test]
    fn a_connection_nobody_announced_is_taken_as_opened_and_lines_have_a_maximum() {
        let mut lines = Lines::<u32>::default();
        assert!(lines.serving(connection(3, 2)).is_some());
        assert_eq!(lines.connection(3), Some(connection(3, 2)));
        assert!(lines.serving(connection(u16::MAX, 0)).is_none());
    }
}
