//! What a shard says of its connections in the log: each line with the fields by which `/clients`
//! names it (`session`, `shard`, `connection`).
//!
//! At `debug` there is a line for every connection that comes, goes, lags or catches up. At `info`
//! are those alone that were closed for a cause, and of a flood of them only the first of each
//! second, with a count of the others: who attacks must not be able to fill a disk.

use crate::clients::session_name;
use crate::connection::{Account, Connection};
use std::net::SocketAddr;
use tickcast_market::Nanos;

/// How many closings for a cause a shard tells at `info` a second.
const CLOSINGS_PER_SECOND_MAX: u32 = 10;

const SECOND: Nanos = Nanos::from_secs(1);

/// One shard's voice.
#[derive(Debug)]
pub(crate) struct ShardLog {
    shard: u8,
    second_began: Nanos,
    told: u32,
    untold: u64,
}

/// A connection that has ended, for its line.
pub(crate) struct Ended<'a> {
    pub(crate) connection: u32,
    pub(crate) account: Account,
    pub(crate) sub: Option<&'a str>,
    pub(crate) transport: &'static str,
    pub(crate) code: u16,
    pub(crate) reason: &'a str,
}

/// Whether a connection that was closed with that code has just left, as clients do.
const fn is_usual(code: u16) -> bool {
    matches!(code, 1000 | 1001 | 1005 | 1006)
}

impl ShardLog {
    pub(crate) fn new(shard: u8) -> ShardLog {
        ShardLog { shard, second_began: Nanos::ZERO, told: 0, untold: 0 }
    }

    /// A connection has come.
    pub(crate) fn opened<S>(&self, number: u32, connection: &Connection<S>) {
        tracing::debug!(
            target: "tickcast::connection",
            session = session_name(connection.account.session),
            shard = self.shard,
            connection = number,
            address = %SocketAddr::from(connection.account.peer),
            sub = connection.who().identity().map(|identity| &*identity.sub),
            transport = connection.framing.name(),
            encoding = connection.encoding.name(),
            compresses = connection.compresses,
            "opened"
        );
    }

    /// A connection has begun to lag, or has caught up.
    pub(crate) fn lags(&self, account: &Account, lags: bool) {
        tracing::debug!(
            target: "tickcast::connection",
            session = session_name(account.session),
            shard = self.shard,
            merged = account.merged,
            "{}",
            if lags { "lags" } else { "has caught up" }
        );
    }

    /// A connection has ended. Whether that was told at `info`.
    pub(crate) fn closed(&mut self, ended: &Ended<'_>, now: Nanos) -> bool {
        let is_told = !is_usual(ended.code) && self.may_tell(now);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: "tickcast::connection",
                    session = session_name(ended.account.session),
                    shard = self.shard,
                    connection = ended.connection,
                    address = %SocketAddr::from(ended.account.peer),
                    sub = ended.sub,
                    transport = ended.transport,
                    code = ended.code,
                    reason = ended.reason,
                    connected_ms = now.since(ended.account.opened_at).0 / 1_000_000,
                    messages = ended.account.messages,
                    bytes = ended.account.bytes,
                    merged = ended.account.merged,
                    "closed"
                )
            };
        }
        if is_told {
            line!(info)
        } else {
            line!(debug)
        }
        is_told
    }

    fn may_tell(&mut self, now: Nanos) -> bool {
        let is_over = now.since(self.second_began) >= SECOND || now < self.second_began;
        if is_over {
            self.tell_untold();
            (self.second_began, self.told) = (now, 0);
        }
        self.told += 1;
        let may = self.told <= CLOSINGS_PER_SECOND_MAX;
        self.untold += u64::from(!may);
        may
    }

    /// Says how many closings were not told, when the next one is, or none is left.
    pub(crate) fn tell_untold(&mut self) {
        let untold = std::mem::take(&mut self.untold);
        if untold > 0 {
            tracing::info!(
                target: "tickcast::connection",
                shard = self.shard,
                untold,
                "more were closed for a cause; TICKCAST_LOG=info,tickcast::connection=debug tells all"
            );
        }
    }

    /// Lets a second end in which nothing more was closed.
    pub(crate) fn pass(&mut self, now: Nanos) {
        if self.untold > 0 && now.since(self.second_began) >= SECOND {
            self.tell_untold();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Peer;

    fn closing(code: u16) -> Ended<'static> {
        let peer = Peer::from(SocketAddr::from(([127, 0, 0, 1], 1)));
        let account = Account {
            session: 7,
            peer,
            opened_at: Nanos::ZERO,
            messages: 0,
            bytes: 0,
            merged: 0,
            rtt_us: 0,
        };
        let (sub, transport, reason) = (None, "websocket", "");
        Ended { connection: 0, account, sub, transport, code, reason }
    }

    #[test]
    fn of_a_flood_of_closings_ten_a_second_are_told_and_clients_that_leave_are_not() {
        let mut log = ShardLog::new(0);
        let now = |second| Nanos::from_secs(1_000 + second);
        assert!(!log.closed(&closing(1006), now(0)));
        let told = (0..500).filter(|_| log.closed(&closing(4508), now(1))).count();
        assert_eq!((told, log.untold), (10, 490));
        log.pass(now(1));
        assert_eq!(log.untold, 490, "the second is not over");
        log.pass(now(2));
        assert_eq!(log.untold, 0);
        assert!(log.closed(&closing(1008), now(3)));
    }
}
