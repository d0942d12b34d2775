//! Reads one event from a line of JSON: the same fields as in the schema, prices and sizes as
//! decimals, sides and states by name, a level as `["price","size"]`.

use crate::decode::scan::{Fault, Scan};
use crate::nats::event::{
    Body, Declared, Lists, Number, Reason, Refusal, Written, WrittenLevel, WrittenTrade, refused,
};
use tickcast_market::{BookSide, Decimal, NumberError, Side, TradingState};

/// What is not JSON, or not to its end.
const CUT: &str = "not JSON, or cut off";
/// What is JSON, and not what the field takes.
const OTHER_KIND: &str = "a value of another kind";
/// Bytes of a line that are shown, up to where it could not be read and behind that.
const NEAR_BYTES: (usize, usize) = (40, 20);

/// Reads one line into `written` and `lists`; what was read before an error stays there.
pub(crate) fn read<'a>(
    line: &'a [u8],
    written: &mut Written<'a>,
    lists: &mut Lists,
) -> Result<(), Refusal> {
    let mut scan = Scan::new(line);
    event(&mut scan, written, lists).map_err(|refusal| near(refusal, line, scan.place()))
}

/// Shows the place where no value could be named.
#[cold]
fn near(mut refusal: Refusal, line: &[u8], at: usize) -> Refusal {
    if [CUT, OTHER_KIND].contains(&refusal.value.as_str()) {
        let (before, after) = NEAR_BYTES;
        let part = &line[at.saturating_sub(before)..line.len().min(at + after)];
        refusal.value = format!("{}, near {}", refusal.value, shown(part));
    }
    refusal
}

fn event<'a>(
    scan: &mut Scan<'a>,
    written: &mut Written<'a>,
    lists: &mut Lists,
) -> Result<(), Refusal> {
    scan.object().map_err(broken("event"))?;
    while let Some(key) = scan.key().map_err(broken("event"))? {
        if is_null(scan) {
            continue;
        }
        match key {
            b"venue" => written.venue = scan.text().map_err(of("venue"))?,
            b"symbol" => written.symbol = scan.text().map_err(of("symbol"))?,
            b"seq" => written.seq = scan.integer().map_err(of("seq"))?,
            b"ts_event" => written.ts_event = time(scan, "ts_event")?,
            b"instrument" => written.declared = Some(instrument(scan)?),
            b"trades" => {
                written.begin(Body::Trades)?;
                trades(scan, lists)?;
            }
            b"quote" => {
                written.begin(Body::Quote)?;
                quote(scan, lists)?;
            }
            b"book_snapshot" => {
                written.begin(Body::BookSnapshot)?;
                book(scan, "book_snapshot", lists)?;
            }
            b"book_changes" => {
                written.begin(Body::BookChanges)?;
                book(scan, "book_changes", lists)?;
            }
            b"status" => {
                written.begin(Body::Status)?;
                written.status = match scan.text().map_err(of("status"))? {
                    b"live" => TradingState::Live,
                    b"halted" => TradingState::Halted,
                    b"closed" => TradingState::Closed,
                    other => return Err(refused(Reason::Value, "status", &shown(other))),
                };
            }
            b"heartbeat" => {
                written.begin(Body::Heartbeat)?;
                scan.skip().map_err(broken("heartbeat"))?;
            }
            _ => scan.skip().map_err(broken("event"))?,
        }
    }
    scan.end().map_err(broken("event"))
}

fn instrument(scan: &mut Scan<'_>) -> Result<Declared, Refusal> {
    let mut declared = Declared::default();
    scan.object().map_err(of("instrument"))?;
    while let Some(key) = scan.key().map_err(broken("instrument"))? {
        if is_null(scan) {
            continue;
        }
        match key {
            b"price_scale" => {
                declared.price_scale = scan.integer().map_err(of("instrument.price_scale"))?;
            }
            b"size_scale" => {
                declared.size_scale = scan.integer().map_err(of("instrument.size_scale"))?;
            }
            b"tick_size" => declared.tick_size = Some(decimal(scan, "instrument.tick_size")?),
            b"lot_size" => declared.lot_size = Some(decimal(scan, "instrument.lot_size")?),
            _ => scan.skip().map_err(broken("instrument"))?,
        }
    }
    Ok(declared)
}

fn trades(scan: &mut Scan<'_>, lists: &mut Lists) -> Result<(), Refusal> {
    scan.array().map_err(of("trades"))?;
    while scan.item().map_err(broken("trades"))? {
        lists.trade(trade(scan)?)?;
    }
    Ok(())
}

fn trade(scan: &mut Scan<'_>) -> Result<WrittenTrade, Refusal> {
    let (mut id, mut price, mut size, mut side, mut ts_event) = (0, None, None, None, 0);
    scan.object().map_err(of("trades"))?;
    while let Some(key) = scan.key().map_err(broken("trades"))? {
        if is_null(scan) {
            continue;
        }
        match key {
            b"id" => id = scan.integer().map_err(of("trades.id"))?,
            b"price" => price = Some(decimal(scan, "trades.price")?),
            b"size" => size = Some(decimal(scan, "trades.size")?),
            b"side" => {
                side = match scan.text().map_err(of("trades.side"))? {
                    b"buy" => Some(Side::Buy),
                    b"sell" => Some(Side::Sell),
                    other => return Err(refused(Reason::Value, "trades.side", &shown(other))),
                }
            }
            b"ts_event" => ts_event = time(scan, "trades.ts_event")?,
            _ => scan.skip().map_err(broken("trades"))?,
        }
    }
    let needed = |field| move || refused(Reason::Missing, field, "");
    Ok(WrittenTrade {
        id,
        price: Number::Decimal(price.ok_or_else(needed("trades.price"))?),
        size: Number::Decimal(size.ok_or_else(needed("trades.size"))?),
        side: side.ok_or_else(needed("trades.side"))?,
        ts_event,
    })
}

fn quote(scan: &mut Scan<'_>, lists: &mut Lists) -> Result<(), Refusal> {
    scan.object().map_err(of("quote"))?;
    while let Some(key) = scan.key().map_err(broken("quote"))? {
        let (side, field) = match key {
            b"bid" => (BookSide::Bid, "quote.bid"),
            b"ask" => (BookSide::Ask, "quote.ask"),
            _ => {
                scan.skip().map_err(broken("quote"))?;
                continue;
            }
        };
        if is_null(scan) {
            continue;
        }
        lists.level(level(scan, side, field)?, field)?;
    }
    Ok(())
}

fn book(scan: &mut Scan<'_>, name: &'static str, lists: &mut Lists) -> Result<(), Refusal> {
    scan.object().map_err(of(name))?;
    while let Some(key) = scan.key().map_err(broken(name))? {
        let (side, field) = match key {
            b"bids" => (BookSide::Bid, "bids"),
            b"asks" => (BookSide::Ask, "asks"),
            _ => {
                scan.skip().map_err(broken(name))?;
                continue;
            }
        };
        if is_null(scan) {
            continue;
        }
        scan.array().map_err(of(field))?;
        while scan.item().map_err(broken(field))? {
            lists.level(level(scan, side, field)?, name)?;
        }
    }
    Ok(())
}

fn level(
    scan: &mut Scan<'_>,
    side: BookSide,
    field: &'static str,
) -> Result<WrittenLevel, Refusal> {
    scan.array().map_err(of(field))?;
    let next = |scan: &mut Scan<'_>| match scan.item().map_err(broken(field))? {
        true => decimal(scan, field).map(Number::Decimal),
        false => Err(refused(Reason::Missing, field, "a level is [\"price\",\"size\"]")),
    };
    let (price, size) = (next(scan)?, next(scan)?);
    if scan.item().map_err(broken(field))? {
        return Err(refused(Reason::Value, field, "a level of more than price and size"));
    }
    Ok(WrittenLevel { side, price, size })
}

fn decimal(scan: &mut Scan<'_>, field: &'static str) -> Result<Decimal, Refusal> {
    // Where a value follows its colon or bracket directly this reads it at once.
    if let Some(number) = scan.decimal() {
        return Ok(number);
    }
    let text = scan.token().map_err(of(field))?;
    Decimal::parse(text).map_err(|error| match error {
        NumberError::Overflow => refused(Reason::Misfit, field, &shown(text)),
        NumberError::Syntax | NumberError::Finer => refused(Reason::Value, field, &shown(text)),
    })
}

/// Passes over a `null`: what is null is absent.
fn is_null(scan: &mut Scan<'_>) -> bool {
    scan.peek() == Some(b'n') && scan.literal(b"null").is_some()
}

fn time(scan: &mut Scan<'_>, field: &'static str) -> Result<i64, Refusal> {
    let micros = scan.integer().map_err(of(field))?;
    i64::try_from(micros).map_err(|_| refused(Reason::Misfit, field, &micros.to_string()))
}

fn shown(text: &[u8]) -> String {
    crate::roster::faults::excerpt(text)
}

/// Not JSON at all, in that field.
fn broken(field: &'static str) -> impl Fn(Fault) -> Refusal {
    move |_| refused(Reason::Json, field, CUT)
}

/// A fault of reading, in that field.
fn of(field: &'static str) -> impl Fn(Fault) -> Refusal {
    move |fault| match fault {
        Fault::Syntax => refused(Reason::Json, field, CUT),
        Fault::Missing => refused(Reason::Missing, field, ""),
        Fault::Value | Fault::Time => refused(Reason::Value, field, OTHER_KIND),
    }
}
