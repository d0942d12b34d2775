//! Requests as a client writes them.

use crate::channel::{Encoding, FieldSet, TickerField, View};
use crate::pattern::Pattern;
use crate::request::{ReqId, Request, Subscribe};
use crate::text::{write_integer, write_list, write_rate, write_string};

/// Appends a request. Options at their defaults are left out; `since` is in order of symbols.
///
/// *Cost:* proportional to the text; sorting `since`. No limit is checked: the service's
/// `message_bytes` is the caller's to keep.
pub fn write_request(out: &mut Vec<u8>, encoding: Encoding, request: &Request) {
    match encoding {
        Encoding::Json => write_json(out, request),
        Encoding::Protobuf => crate::protobuf::write_request(out, request),
    }
}

fn write_json(out: &mut Vec<u8>, request: &Request) {
    out.extend_from_slice(b"{\"method\":");
    write_string(out, request.method().name());
    if let Some(req_id) = request.req_id() {
        out.extend_from_slice(b",\"req_id\":");
        out.extend_from_slice(ReqId::as_json(req_id).as_bytes());
    }
    match request {
        Request::Subscribe { params, .. } => {
            open_params(out, params.view, &params.symbols);
            write_options(out, params);
            out.push(b'}');
        }
        Request::Unsubscribe { params, .. } => {
            open_params(out, params.view, &params.symbols);
            write_view(out, params.view);
            out.push(b'}');
        }
        Request::Auth { token, .. } => {
            out.extend_from_slice(b",\"params\":{\"token\":");
            write_string(out, token);
            out.push(b'}');
        }
        Request::Ping { .. } | Request::Stats { .. } => {}
    }
    out.push(b'}');
}

fn open_params(out: &mut Vec<u8>, view: View, symbols: &[Pattern]) {
    out.extend_from_slice(b",\"params\":{\"channel\":");
    write_string(out, view.channel().name());
    out.extend_from_slice(b",\"symbol\":");
    write_list(out, symbols, |out, symbol| write_string(out, symbol.as_str()));
}

fn write_view(out: &mut Vec<u8>, view: View) {
    match view {
        View::Book(depth) => {
            out.extend_from_slice(b",\"depth\":");
            write_integer(out, depth.levels());
        }
        View::Bars(interval) => {
            out.extend_from_slice(b",\"interval\":");
            write_string(out, interval.name());
        }
        View::Status | View::Ticker | View::Trades => {}
    }
}

fn write_options(out: &mut Vec<u8>, params: &Subscribe) {
    if let Some(rate) = params.max_rate {
        out.extend_from_slice(b",\"max_rate\":");
        write_rate(out, rate);
    }
    if params.fields != FieldSet::ALL {
        out.extend_from_slice(b",\"fields\":");
        let names = params.fields.iter().map(TickerField::name);
        write_list(out, names, write_string);
    }
    write_view(out, params.view);
    if !params.snapshot {
        out.extend_from_slice(b",\"snapshot\":false");
    }
    if params.since.is_empty() {
        return;
    }
    let mut since: Vec<_> = params.since.iter().collect();
    since.sort_unstable_by_key(|(symbol, _)| *symbol);
    out.extend_from_slice(b",\"since\":{");
    for (at, (symbol, mark)) in since.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_string(out, symbol);
        out.extend_from_slice(b":{\"epoch\":");
        write_integer(out, mark.epoch.0);
        out.extend_from_slice(b",\"seq\":");
        write_integer(out, mark.seq.0);
        out.push(b'}');
    }
    out.push(b'}');
}
