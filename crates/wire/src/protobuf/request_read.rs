//! Requests as the service reads them: into the text that a JSON client would have sent.
//!
//! Whatever is wrong with an option is found and told by the one reader that there is
//! (`request.rs`, `params.rs`); here only bytes that are no `Request` are refused. Fields that the
//! schema does not know are refused as JSON's are: a misspelt option must not be silently ignored.

use super::field::{FieldValue, Fields, ProtobufFault, Read};
use super::words::{CHANNELS, INTERVALS, TICKER_FIELDS, word};
use crate::channel::{Channel, TickerField};
use crate::request::Method;
use crate::text::{write_integer, write_list, write_string};
use tickcast_market::Interval;

/// Writes the request that `message` holds as JSON.
///
/// *Errors:* what is no `Request` of the schema; what could be read of `req_id` and `method` is in
/// `out` then all the same, so that the answer finds its way. *Cost:* linear.
pub(crate) fn write_json_request(out: &mut Vec<u8>, message: &[u8]) -> Read<()> {
    let mut parts = Parts::default();
    let read = parts.take(message);
    out.push(b'{');
    if let Some(req_id) = parts.req_id {
        out.extend_from_slice(b"\"req_id\":");
        match req_id {
            ReqIdPart::Number(number) => write_integer(out, number),
            ReqIdPart::Text(text) => write_string(out, text),
        }
    }
    if let Some((method, body)) = parts.method {
        separate(out);
        out.extend_from_slice(b"\"method\":");
        write_string(out, method.name());
        let params = out.len();
        let written = match method {
            Method::Subscribe => write_subscribe(out, body),
            Method::Unsubscribe => write_unsubscribe(out, body),
            Method::Auth => write_auth(out, body),
            Method::Ping => only(body, "Ping", "no field"),
            Method::Stats => only(body, "StatsRequest", "no field"),
        };
        if let Err(fault) = written {
            out.truncate(params);
            out.push(b'}');
            return Err(fault);
        }
    }
    out.push(b'}');
    read
}

#[derive(Clone, Copy)]
enum ReqIdPart<'a> {
    Number(i64),
    Text(&'a str),
}

#[derive(Default)]
struct Parts<'a> {
    req_id: Option<ReqIdPart<'a>>,
    method: Option<(Method, Fields<'a>)>,
}

impl<'a> Parts<'a> {
    fn take(&mut self, message: &'a [u8]) -> Read<()> {
        let mut fields = Fields::new(message);
        while let Some((field, value)) = fields.next()? {
            let method = match field {
                1 => {
                    self.req_id = read_req_id(value)?;
                    continue;
                }
                2 => Method::Subscribe,
                3 => Method::Unsubscribe,
                4 => Method::Auth,
                5 => Method::Ping,
                6 => Method::Stats,
                _ => return Err(unknown(field, "Request", "req_id and one method")),
            };
            if self.method.is_some() {
                return Err(ProtobufFault::new("more than one method"));
            }
            self.method = Some((method, value.fields(method.name())?));
        }
        Ok(())
    }
}

fn unknown(field: u32, message: &str, known: &str) -> ProtobufFault {
    ProtobufFault::new(format_args!("field {field} of {message} is unknown; it has {known}"))
}

fn only(mut fields: Fields<'_>, message: &str, known: &str) -> Read<()> {
    match fields.next()? {
        None => Ok(()),
        Some((field, _)) => Err(unknown(field, message, known)),
    }
}

fn read_req_id(value: FieldValue<'_>) -> Read<Option<ReqIdPart<'_>>> {
    let mut fields = value.fields("req_id")?;
    let mut req_id = None;
    while let Some((field, value)) = fields.next()? {
        req_id = Some(match field {
            1 => ReqIdPart::Number(value.signed("req_id")?),
            2 => ReqIdPart::Text(value.text("req_id")?),
            _ => return Err(unknown(field, "ReqId", "number, text")),
        });
    }
    Ok(req_id)
}

fn separate(out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
}

fn write_key(out: &mut Vec<u8>, key: &str) {
    separate(out);
    write_string(out, key);
    out.push(b':');
}

/// An enum's word, or the number where it has none: the reader refuses that and shows it.
fn write_word(out: &mut Vec<u8>, name: Option<&str>, number: u64) {
    match name {
        Some(name) => write_string(out, name),
        None => write_integer(out, number),
    }
}

fn write_channel(out: &mut Vec<u8>, number: u64) {
    if number != 0 {
        write_key(out, "channel");
        write_word(out, word(&CHANNELS, number).map(Channel::name), number);
    }
}

fn write_interval(out: &mut Vec<u8>, number: u64) {
    if number != 0 {
        write_key(out, "interval");
        write_word(out, word(&INTERVALS, number).map(Interval::name), number);
    }
}

fn write_symbols(out: &mut Vec<u8>, symbols: &[&str]) {
    if !symbols.is_empty() {
        write_key(out, "symbol");
        write_list(out, symbols, |out, symbol| write_string(out, symbol));
    }
}

fn write_subscribe(out: &mut Vec<u8>, mut body: Fields<'_>) -> Read<()> {
    let (mut channel, mut interval) = (0, 0);
    let (mut symbols, mut fields, mut since) = (Vec::new(), Vec::new(), Vec::new());
    let (mut max_rate, mut depth, mut snapshot) = (None, None, None);
    while let Some((field, value)) = body.next()? {
        match field {
            1 => channel = value.varint("params.channel")?,
            2 => symbols.push(value.text("params.symbol")?),
            3 => max_rate = Some(value.double("params.max_rate")?),
            4 => value.each("params.fields", |number| {
                fields.push(number);
                Ok(())
            })?,
            5 => depth = Some(value.varint("params.depth")?),
            6 => interval = value.varint("params.interval")?,
            7 => snapshot = Some(value.varint("params.snapshot")? != 0),
            8 => since.push(read_since(value)?),
            _ => {
                let known = "channel, symbol, max_rate, fields, depth, interval, snapshot, since";
                return Err(unknown(field, "Subscribe", known));
            }
        }
    }
    out.extend_from_slice(b",\"params\":{");
    write_channel(out, channel);
    write_symbols(out, &symbols);
    if let Some(rate) = max_rate {
        write_key(out, "max_rate");
        write_max_rate(out, rate);
    }
    if !fields.is_empty() {
        write_key(out, "fields");
        write_list(out, fields, |out, number| {
            write_word(out, word(&TICKER_FIELDS, number).map(TickerField::name), number);
        });
    }
    if let Some(depth) = depth {
        write_key(out, "depth");
        write_integer(out, depth);
    }
    write_interval(out, interval);
    if let Some(snapshot) = snapshot {
        write_key(out, "snapshot");
        out.extend_from_slice(if snapshot { b"true" } else { b"false" });
    }
    write_since(out, &since);
    out.push(b'}');
    Ok(())
}

/// What is no number in JSON becomes a string there, which the reader refuses and shows.
fn write_max_rate(out: &mut Vec<u8>, rate: f64) {
    match serde_json::Number::from_f64(rate) {
        Some(rate) => out.extend_from_slice(rate.to_string().as_bytes()),
        None => write_string(out, &rate.to_string()),
    }
}

/// What is held of one symbol: epoch and seq.
type Held<'a> = (&'a str, u64, u64);

fn read_since(entry: FieldValue<'_>) -> Read<Held<'_>> {
    let mut fields = entry.fields("params.since")?;
    let (mut symbol, mut epoch, mut seq) = ("", 0, 0);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => symbol = value.text("params.since")?,
            2 => {
                let mut mark = value.fields("params.since")?;
                while let Some((field, value)) = mark.next()? {
                    match field {
                        1 => epoch = value.varint("params.since.epoch")?,
                        2 => seq = value.varint("params.since.seq")?,
                        _ => return Err(unknown(field, "Since", "epoch, seq")),
                    }
                }
            }
            _ => return Err(unknown(field, "Subscribe.since", "key, value")),
        }
    }
    Ok((symbol, epoch, seq))
}

fn write_since(out: &mut Vec<u8>, since: &[Held<'_>]) {
    if since.is_empty() {
        return;
    }
    write_key(out, "since");
    out.push(b'{');
    for (symbol, epoch, seq) in since {
        write_key(out, symbol);
        out.extend_from_slice(b"{\"epoch\":");
        write_integer(out, *epoch);
        out.extend_from_slice(b",\"seq\":");
        write_integer(out, *seq);
        out.push(b'}');
    }
    out.push(b'}');
}

fn write_unsubscribe(out: &mut Vec<u8>, mut body: Fields<'_>) -> Read<()> {
    let (mut channel, mut interval, mut symbols) = (0, 0, Vec::new());
    while let Some((field, value)) = body.next()? {
        match field {
            1 => channel = value.varint("params.channel")?,
            2 => symbols.push(value.text("params.symbol")?),
            3 => interval = value.varint("params.interval")?,
            _ => return Err(unknown(field, "Unsubscribe", "channel, symbol, interval")),
        }
    }
    out.extend_from_slice(b",\"params\":{");
    write_channel(out, channel);
    write_symbols(out, &symbols);
    write_interval(out, interval);
    out.push(b'}');
    Ok(())
}

fn write_auth(out: &mut Vec<u8>, mut body: Fields<'_>) -> Read<()> {
    let mut token = None;
    while let Some((field, value)) = body.next()? {
        match field {
            1 => token = Some(value.text("params.token")?),
            _ => return Err(unknown(field, "Auth", "token")),
        }
    }
    out.extend_from_slice(b",\"params\":{");
    if let Some(token) = token {
        write_key(out, "token");
        write_string(out, token);
    }
    out.push(b'}');
    Ok(())
}
