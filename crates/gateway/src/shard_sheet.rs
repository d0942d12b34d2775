//! A shard's sheet of figures: what it writes, and what a scrape adds up over all shards.

use crate::connection::Framing;
use crate::figure::{Durations, Figure};
use crate::flush_mode::FlushMode;
use crate::sent_kind::SentKind;
use tickcast_market::Venue;
use tickcast_publisher::ShardIndex;
use tickcast_wire::{Channel, ErrorCode, Method};

/// By the place of their figures.
pub(crate) const SEND_MODES: [FlushMode; 2] = [FlushMode::Send, FlushMode::Uring];

/// The ways that clients come, by the place of their figures.
pub(crate) const TRANSPORTS: [&str; 2] = ["websocket", "sse"];

/// The close codes of RFC 6455 that are counted for themselves, beside those of the protocol;
/// a client may choose any number, and numbers of its own choice must not become labels.
const CLOSE_CODES: [u16; 12] =
    [1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012];

const CLOSES: usize = CLOSE_CODES.len() + ErrorCode::ALL.len() + 1;

const METHODS: usize = Method::ALL.len() + 1;

const OUTCOMES: usize = ErrorCode::ALL.len() + 1;

/// A histogram for each venue, by its number.
pub(crate) type ByVenue = [Durations; Venue::ALL.len()];

/// Compressed messages in one direction.
#[derive(Debug, Default)]
pub(crate) struct Compressed {
    pub(crate) messages: Figure,
    pub(crate) plain: Figure,
    pub(crate) compressed: Figure,
}

/// What one shard has counted since the start. Lines of cache of its own: two shards never write to
/// the same one.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Sheet {
    pub(crate) shard: u8,
    /// By their place in [`TRANSPORTS`].
    pub(crate) connections: [Figure; TRANSPORTS.len()],
    pub(crate) opened: [Figure; TRANSPORTS.len()],
    closed: [Figure; CLOSES],
    pub(crate) subscriptions: [Figure; Channel::ALL.len()],
    /// By the index of their kind.
    pub(crate) messages: [Figure; SentKind::COUNT],
    pub(crate) bytes: [Figure; SentKind::COUNT],
    /// What is sent, and what comes.
    pub(crate) compressed: [Compressed; 2],
    pub(crate) compressions: Figure,
    /// By their place in [`SEND_MODES`].
    pub(crate) sends: [Figure; SEND_MODES.len()],
    pub(crate) modes: [Figure; SEND_MODES.len()],
    pub(crate) lagging: Figure,
    pub(crate) lagged: Figure,
    pub(crate) merged: Figure,
    pub(crate) overruns: Figure,
    pub(crate) panics: Figure,
    /// Batches that waited for it when its latest turn was over.
    pub(crate) inbox: Figure,
    pub(crate) turn: Durations,
    requests: [[Figure; OUTCOMES]; METHODS],
    /// Which venues it knows instruments of.
    pub(crate) venues: [Figure; Venue::ALL.len()],
    pub(crate) age_at_write: ByVenue,
    pub(crate) publish_to_write: ByVenue,
}

impl Sheet {
    /// An empty one of that shard.
    pub(crate) fn new(shard: ShardIndex) -> Sheet {
        Sheet { shard: shard.0, ..Sheet::default() }
    }

    /// The figure of a close code.
    pub(crate) fn close(&self, code: u16) -> &Figure {
        let ours = || ErrorCode::ALL.iter().position(|known| known.number() == code);
        let place = CLOSE_CODES.iter().position(|known| *known == code);
        let place = place.or_else(|| ours().map(|at| CLOSE_CODES.len() + at));
        &self.closed[place.unwrap_or(CLOSES - 1)]
    }

    /// All close codes and their figures; the last are all others.
    pub(crate) fn closes(&self) -> impl Iterator<Item = (String, &Figure)> {
        let codes = CLOSE_CODES.into_iter().chain(ErrorCode::ALL.map(ErrorCode::number));
        let names = codes.map(|code| code.to_string()).chain(["other".to_owned()]);
        names.zip(&self.closed)
    }

    /// The figure of a request of the protocol by how it was answered; without a method it could
    /// not be read.
    pub(crate) fn request(&self, method: Option<Method>, error: Option<ErrorCode>) -> &Figure {
        let place = |found: Option<usize>, otherwise| found.unwrap_or(otherwise);
        let method = method.and_then(|of| Method::ALL.iter().position(|each| *each == of));
        let error = error.and_then(|of| ErrorCode::ALL.iter().position(|each| *each == of));
        &self.requests[place(method, METHODS - 1)][place(error, OUTCOMES - 1)]
    }

    /// All of them by method and code.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (&'static str, String, &Figure)> {
        let methods = Method::ALL.map(Some).into_iter().chain([None]);
        methods.flat_map(move |method| {
            let name = method.map_or("unknown", Method::name);
            let errors = ErrorCode::ALL.map(Some).into_iter().chain([None]);
            errors.filter(move |error| method.is_some() || error.is_some()).map(move |error| {
                let code = error.map_or("ok".to_owned(), |error| error.number().to_string());
                (name, code, self.request(method, error))
            })
        })
    }

    /// The place of a connection's figures.
    pub(crate) const fn transport(framing: Framing) -> usize {
        match framing {
            Framing::WebSocket => 0,
            Framing::Sse { .. } => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_code_has_its_figure_and_those_of_a_clients_own_choice_share_one() {
        let sheet = Sheet::new(ShardIndex(3));
        for code in [1000, 1006, 4400, 4529, 1016, 3000, 4999, 65535] {
            sheet.close(code).add(1);
        }
        let counted: Vec<(String, u64)> =
            sheet.closes().map(|(code, figure)| (code, figure.get())).collect();
        let of = |code: &str| counted.iter().find(|(of, _)| of == code).unwrap().1;
        assert_eq!((of("1000"), of("1006"), of("4400"), of("4529")), (1, 1, 1, 1));
        assert_eq!((of("other"), of("1001")), (4, 0));
    }

    #[test]
    fn a_request_is_counted_by_method_and_outcome() {
        let sheet = Sheet::new(ShardIndex(0));
        sheet.request(Some(Method::Ping), None).add(1);
        sheet.request(None, Some(ErrorCode::BadRequest)).add(2);
        let some: Vec<_> = sheet
            .requests()
            .filter(|(.., figure)| figure.get() > 0)
            .map(|(method, code, figure)| (method, code, figure.get()))
            .collect();
        assert_eq!(some, [("ping", "ok".to_owned(), 1), ("unknown", "4400".to_owned(), 2)]);
    }

    #[test]
    fn the_transports_have_the_names_that_connections_have() {
        for framing in [Framing::WebSocket, Framing::Sse { ids: true }] {
            assert_eq!(TRANSPORTS[Sheet::transport(framing)], framing.name());
        }
    }
}
