//! Requests as a client writes them, as a `Request` of the schema.

use super::answer::write_req_id;
use super::field::{
    write_double, write_item_text, write_nested, write_present, write_text, write_unsigned,
    write_varint,
};
use super::words::{CHANNELS, INTERVALS, TICKER_FIELDS, number};
use crate::channel::{FieldSet, View};
use crate::pattern::Pattern;
use crate::request::{Request, Subscribe};

/// Appends a request. Options at their defaults are left out; `since` is in order of symbols.
pub(crate) fn write_request(out: &mut Vec<u8>, request: &Request) {
    if let Some(req_id) = request.req_id() {
        write_nested(out, 1, |out| write_req_id(out, req_id));
    }
    match request {
        Request::Subscribe { params, .. } => {
            write_nested(out, 2, |out| write_subscribe(out, params));
        }
        Request::Unsubscribe { params, .. } => write_nested(out, 3, |out| {
            write_names(out, params.view, &params.symbols);
            if let View::Bars(interval) = params.view {
                write_unsigned(out, 3, number(&INTERVALS, interval));
            }
        }),
        Request::Auth { token, .. } => write_nested(out, 4, |out| write_text(out, 1, token)),
        Request::Ping { .. } => write_nested(out, 5, |_| {}),
        Request::Stats { .. } => write_nested(out, 6, |_| {}),
    }
}

fn write_names(out: &mut Vec<u8>, view: View, symbols: &[Pattern]) {
    write_unsigned(out, 1, number(&CHANNELS, view.channel()));
    for symbol in symbols {
        write_item_text(out, 2, symbol.as_str());
    }
}

fn write_subscribe(out: &mut Vec<u8>, params: &Subscribe) {
    write_names(out, params.view, &params.symbols);
    if let Some(rate) = params.max_rate {
        write_double(out, 3, rate);
    }
    if params.fields != FieldSet::ALL {
        write_nested(out, 4, |out| {
            params.fields.iter().for_each(|field| write_varint(out, number(&TICKER_FIELDS, field)));
        });
    }
    match params.view {
        View::Book(depth) => write_unsigned(out, 5, depth.levels() as u64),
        View::Bars(interval) => write_unsigned(out, 6, number(&INTERVALS, interval)),
        View::Status | View::Ticker | View::Trades => {}
    }
    if !params.snapshot {
        write_present(out, 7, 0);
    }
    let mut since: Vec<_> = params.since.iter().collect();
    since.sort_unstable_by_key(|(symbol, _)| *symbol);
    for (symbol, mark) in since {
        write_nested(out, 8, |out| {
            write_text(out, 1, symbol);
            write_nested(out, 2, |out| {
                write_unsigned(out, 1, mark.epoch.0);
                write_unsigned(out, 2, mark.seq.0);
            });
        });
    }
}
