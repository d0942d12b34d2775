//! Answers, and what the edge says of itself, as `Message`s of the schema.

use super::field::{
    write_double, write_item_text, write_nested, write_present, write_signed, write_some,
    write_text, write_unsigned, write_varint,
};
use super::words::{CHANNELS, INTERVALS, METHODS, TICKER_FIELDS, number};
use crate::answer::{
    Answer, Authenticated, Failed, Goaway, Granted, Limits, Matched, Stats, Welcome,
};
use crate::request::{Method, ReqId, RequestError};

/// Appends an answer or a message of the edge.
///
/// *Cost:* no allocation but `out`'s growth, and a copy of a `req_id` that is a string.
pub(crate) fn write_answer(out: &mut Vec<u8>, answer: &Answer<'_>) {
    match answer {
        Answer::Heartbeat { ts_publish } => {
            write_nested(out, 6, |out| write_signed(out, 1, ts_publish.micros()));
        }
        Answer::Welcome(welcome) => write_nested(out, 8, |out| write_welcome(out, welcome)),
        Answer::Goaway(goaway) => write_nested(out, 9, |out| write_goaway(out, goaway)),
        Answer::Subscribed { req_id, result } => {
            write_outcome(out, *req_id, Some(Method::Subscribe), 3, |out| {
                write_granted(out, result);
            });
        }
        Answer::Unsubscribed { req_id, result } => {
            write_outcome(out, *req_id, Some(Method::Unsubscribe), 3, |out| {
                write_granted(out, result);
            });
        }
        Answer::Authenticated { req_id, result } => {
            write_outcome(out, *req_id, Some(Method::Auth), 4, |out| {
                write_authenticated(out, result);
            });
        }
        Answer::Pong { req_id, ts_publish } => write_nested(out, 7, |out| {
            write_asked(out, *req_id, Some(Method::Ping));
            write_present(out, 5, ts_publish.micros() as u64);
        }),
        Answer::Stats { req_id, result } => {
            write_outcome(out, *req_id, Some(Method::Stats), 6, |out| write_stats(out, result));
        }
        Answer::Error(error) => {
            write_outcome(out, error.req_id.as_ref(), error.method, 7, |out| {
                write_refused(out, error);
            });
        }
    }
}

fn write_outcome(
    out: &mut Vec<u8>,
    req_id: Option<&ReqId>,
    method: Option<Method>,
    outcome: u32,
    write: impl FnOnce(&mut Vec<u8>),
) {
    write_nested(out, 7, |out| {
        write_asked(out, req_id, method);
        write_nested(out, outcome, write);
    });
}

fn write_asked(out: &mut Vec<u8>, req_id: Option<&ReqId>, method: Option<Method>) {
    if let Some(req_id) = req_id {
        write_nested(out, 1, |out| write_req_id(out, req_id));
    }
    write_unsigned(out, 2, method.map_or(0, |method| number(&METHODS, method)));
}

pub(super) fn write_req_id(out: &mut Vec<u8>, req_id: &ReqId) {
    let json = req_id.as_json();
    match json.parse::<i64>() {
        Ok(integer) => write_present(out, 1, integer as u64),
        // A string, or an integer that no i64 holds.
        Err(_) => match serde_json::from_str::<String>(json) {
            Ok(text) => write_item_text(out, 2, &text),
            Err(_) => write_item_text(out, 2, json),
        },
    }
}

fn write_granted(out: &mut Vec<u8>, granted: &Granted) {
    write_unsigned(out, 1, number(&CHANNELS, granted.channel));
    for symbol in &granted.symbol {
        write_item_text(out, 2, symbol);
    }
    for Matched { pattern, matched } in &granted.globs {
        write_nested(out, 3, |out| {
            write_text(out, 1, pattern);
            write_unsigned(out, 2, *matched);
        });
    }
    for Failed { symbol, code, error } in &granted.failed {
        write_nested(out, 4, |out| {
            write_text(out, 1, symbol);
            write_unsigned(out, 2, (*code).into());
            write_text(out, 3, error);
        });
    }
    if let Some(rate) = granted.max_rate {
        write_double(out, 5, rate);
    }
    if let Some(fields) = granted.fields {
        write_nested(out, 6, |out| {
            fields.iter().for_each(|field| write_varint(out, number(&TICKER_FIELDS, field)));
        });
    }
    write_unsigned(out, 7, granted.depth.map_or(0, |depth| depth.levels() as u64));
    write_unsigned(out, 8, granted.interval.map_or(0, |interval| number(&INTERVALS, interval)));
}

fn write_authenticated(out: &mut Vec<u8>, result: &Authenticated) {
    write_text(out, 1, &result.sub);
    write_signed(out, 2, result.expires);
    write_nested(out, 3, |out| write_limits(out, &result.limits));
}

fn write_limits(out: &mut Vec<u8>, limits: &Limits) {
    write_some(out, 1, limits.subscriptions);
    write_some(out, 2, limits.instruments);
    write_some(out, 3, limits.message_bytes);
}

fn write_stats(out: &mut Vec<u8>, stats: &Stats) {
    write_unsigned(out, 1, stats.subscriptions);
    write_unsigned(out, 2, stats.instruments);
    write_unsigned(out, 3, stats.sent_messages);
    write_unsigned(out, 4, stats.sent_bytes);
    write_unsigned(out, 5, stats.merged_updates);
    write_unsigned(out, 6, stats.lagging.into());
    write_unsigned(out, 7, stats.owed_topics);
    write_some(out, 8, stats.rtt_us);
    write_unsigned(out, 9, stats.connected_us);
}

fn write_welcome(out: &mut Vec<u8>, welcome: &Welcome) {
    write_text(out, 1, &welcome.session);
    write_text(out, 2, &welcome.version);
    write_unsigned(out, 3, welcome.heartbeat_ms);
    write_unsigned(out, 4, welcome.auth_required.into());
    write_nested(out, 5, |out| write_limits(out, &welcome.limits));
}

fn write_goaway(out: &mut Vec<u8>, goaway: &Goaway) {
    write_unsigned(out, 1, goaway.reconnect_after_ms);
    write_text(out, 2, &goaway.reason);
}

fn write_refused(out: &mut Vec<u8>, error: &RequestError) {
    write_unsigned(out, 1, error.code.number().into());
    write_text(out, 2, &error.error);
}
