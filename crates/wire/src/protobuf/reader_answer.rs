//! Answers and what the edge says of itself, read into the types that JSON's are read into, and
//! written as those.

use super::field::{FieldValue, Fields, ProtobufFault, Read};
use super::words::{CHANNELS, INTERVALS, METHODS, TICKER_FIELDS, word};
use crate::answer::{
    Authenticated, Failed, Goaway, Granted, Limits, Matched, Stats, Welcome, write_error_parts,
    write_pong, write_result, write_system,
};
use crate::channel::{Channel, Depth, FieldSet};
use crate::request::{Method, ReqId};
use crate::text::write_string;

pub(super) fn write_welcome(out: &mut Vec<u8>, mut fields: Fields<'_>) -> Read<()> {
    let mut welcome = Welcome {
        session: String::new(),
        version: String::new(),
        heartbeat_ms: 0,
        auth_required: false,
        limits: Limits::default(),
    };
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => welcome.session = value.text("session")?.to_owned(),
            2 => welcome.version = value.text("version")?.to_owned(),
            3 => welcome.heartbeat_ms = value.varint("heartbeat_ms")?,
            4 => welcome.auth_required = value.varint("auth_required")? != 0,
            5 => welcome.limits = read_limits(value)?,
            _ => {}
        }
    }
    write_system(out, "welcome", &welcome);
    Ok(())
}

pub(super) fn write_goaway(out: &mut Vec<u8>, mut fields: Fields<'_>) -> Read<()> {
    let mut goaway = Goaway { reconnect_after_ms: 0, reason: String::new() };
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => goaway.reconnect_after_ms = value.varint("reconnect_after_ms")?,
            2 => goaway.reason = value.text("reason")?.to_owned(),
            _ => {}
        }
    }
    write_system(out, "goaway", &goaway);
    Ok(())
}

/// An answer without an outcome that is known here becomes an object without one, to be ignored.
pub(super) fn write_answer(out: &mut Vec<u8>, mut fields: Fields<'_>) -> Read<()> {
    let (mut req_id, mut method, mut outcome) = (None, None, None);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => req_id = read_req_id(value)?,
            2 => method = word(&METHODS, value.varint("method")?),
            3..=7 => outcome = Some((field, value)),
            _ => {}
        }
    }
    let req_id = req_id.as_ref();
    match (outcome, method) {
        (Some((3, value)), Some(done @ (Method::Subscribe | Method::Unsubscribe))) => {
            write_result(out, done, req_id, &read_granted(value)?);
        }
        (Some((4, value)), Some(Method::Auth)) => {
            write_result(out, Method::Auth, req_id, &read_authenticated(value)?);
        }
        (Some((5, value)), _) => write_pong(out, req_id, value.signed("pong_ts_publish")?),
        (Some((6, value)), Some(Method::Stats)) => {
            write_result(out, Method::Stats, req_id, &read_stats(value)?);
        }
        (Some((7, value)), _) => {
            let (code, error) = read_refused(value)?;
            write_error_parts(out, method, req_id, code, error);
        }
        (Some(_), _) => return Err(ProtobufFault::new("answer: not an outcome of its method")),
        (None, _) => out.extend_from_slice(b"{}"),
    }
    Ok(())
}

fn read_req_id(value: FieldValue<'_>) -> Read<Option<ReqId>> {
    let mut fields = value.fields("req_id")?;
    let mut req_id = None;
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => req_id = Some(ReqId::from_integer(value.signed("req_id")?)),
            2 => {
                let mut json = Vec::new();
                write_string(&mut json, value.text("req_id")?);
                req_id = String::from_utf8(json).ok().map(ReqId::from_json);
            }
            _ => {}
        }
    }
    Ok(req_id)
}

fn read_limits(value: FieldValue<'_>) -> Read<Limits> {
    let mut limits = Limits::default();
    let mut fields = value.fields("limits")?;
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => limits.subscriptions = Some(value.varint("subscriptions")?),
            2 => limits.instruments = Some(value.varint("instruments")?),
            3 => limits.message_bytes = Some(value.varint("message_bytes")?),
            _ => {}
        }
    }
    Ok(limits)
}

fn read_granted(value: FieldValue<'_>) -> Read<Granted> {
    let mut granted = Granted {
        channel: Channel::Status,
        symbol: Vec::new(),
        globs: Vec::new(),
        failed: Vec::new(),
        max_rate: None,
        fields: None,
        depth: None,
        interval: None,
    };
    let mut fields = value.fields("granted")?;
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => {
                granted.channel =
                    word(&CHANNELS, value.varint("channel")?).unwrap_or(Channel::Status);
            }
            2 => granted.symbol.push(value.text("symbol")?.to_owned()),
            3 => granted.globs.push(read_matched(value)?),
            4 => granted.failed.push(read_failed(value)?),
            5 => granted.max_rate = Some(value.double("max_rate")?),
            6 => {
                let set = granted.fields.get_or_insert(FieldSet::NONE);
                value.each("fields", |number| {
                    *set = word(&TICKER_FIELDS, number).map_or(*set, |field| set.with(field));
                    Ok(())
                })?;
            }
            7 => {
                granted.depth = u16::try_from(value.varint("depth")?).ok().and_then(Depth::new);
            }
            8 => granted.interval = word(&INTERVALS, value.varint("interval")?),
            _ => {}
        }
    }
    Ok(granted)
}

fn read_matched(value: FieldValue<'_>) -> Read<Matched> {
    let mut matched = Matched { pattern: String::new(), matched: 0 };
    let mut fields = value.fields("globs")?;
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => matched.pattern = value.text("pattern")?.to_owned(),
            2 => matched.matched = value.varint("matched")?,
            _ => {}
        }
    }
    Ok(matched)
}

fn read_failed(value: FieldValue<'_>) -> Read<Failed> {
    let mut failed = Failed { symbol: String::new(), code: 0, error: String::new() };
    let mut fields = value.fields("failed")?;
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => failed.symbol = value.text("symbol")?.to_owned(),
            2 => failed.code = read_code(value)?,
            3 => failed.error = value.text("error")?.to_owned(),
            _ => {}
        }
    }
    Ok(failed)
}

/// A code beyond 16 bits is none that is known; 0 stands for it.
fn read_code(value: FieldValue<'_>) -> Read<u16> {
    Ok(u16::try_from(value.varint("code")?).unwrap_or(0))
}

fn read_authenticated(value: FieldValue<'_>) -> Read<Authenticated> {
    let mut result = Authenticated { sub: String::new(), expires: 0, limits: Limits::default() };
    let mut fields = value.fields("authenticated")?;
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => result.sub = value.text("sub")?.to_owned(),
            2 => result.expires = value.signed("expires")?,
            3 => result.limits = read_limits(value)?,
            _ => {}
        }
    }
    Ok(result)
}

fn read_stats(value: FieldValue<'_>) -> Read<Stats> {
    let mut stats = Stats::default();
    let mut fields = value.fields("stats")?;
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => stats.subscriptions = value.varint("subscriptions")?,
            2 => stats.instruments = value.varint("instruments")?,
            3 => stats.sent_messages = value.varint("sent_messages")?,
            4 => stats.sent_bytes = value.varint("sent_bytes")?,
            5 => stats.merged_updates = value.varint("merged_updates")?,
            6 => stats.lagging = value.varint("lagging")? != 0,
            7 => stats.owed_topics = value.varint("owed_topics")?,
            8 => stats.rtt_us = Some(value.varint("rtt_us")?),
            9 => stats.connected_us = value.varint("connected_us")?,
            _ => {}
        }
    }
    Ok(stats)
}

fn read_refused(value: FieldValue<'_>) -> Read<(u16, &str)> {
    let (mut code, mut error) = (0, "");
    let mut fields = value.fields("refused")?;
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => code = read_code(value)?,
            2 => error = value.text("error")?,
            _ => {}
        }
    }
    Ok((code, error))
}
