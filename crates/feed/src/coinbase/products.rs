//! Coinbase's list of products, which both of its feeds have in nearly the same form: asking for
//! it, reading it, and choosing what to subscribe to. Connections and messages are the handlers'.

use crate::decode::fields::increment;
use crate::decode::scan::{Fault, Scan};
use crate::handler::{Command, Io};
use crate::roster::faults::{Faults, excerpt};
use crate::roster::listings::{Listing, Listings, canonical};
use crate::roster::{Feed, Roster};
use tickcast_market::{Decimal, InstrumentSpec, Nanos, Scales, TradingState, Venue};

/// What is subscribed to when nothing is asked for: what is traded most against the dollar.
const DEFAULT_SYMBOLS: [&str; 10] = [
    "BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "ADA-USD", "DOGE-USD", "LINK-USD", "LTC-USD",
    "AVAX-USD", "USDT-USD",
];
/// How often the list is asked for before the feed begins without it.
const LIST_TRIES_MAX: u32 = 4;
/// The longest wait between two tries where the feed cannot begin without the list.
const LIST_WAIT_MAX: Nanos = Nanos::from_secs(60);

/// The list and what is wanted of it.
#[derive(Debug)]
pub(crate) struct Products {
    venue: Venue,
    /// Where the list is.
    url: String,
    wanted: Vec<String>,
    pub(crate) listings: Listings,
    /// A live line, not a replay: instruments are registered from the list, not as they are seen.
    is_live: bool,
    is_complete: bool,
    tries: u32,
}

impl Products {
    /// The list of a venue at `url`, of which the canonical symbols `wanted` are wanted.
    pub(crate) fn new(venue: Venue, url: String, wanted: Vec<String>) -> Products {
        let listings = Listings::default();
        Products { venue, url, wanted, listings, is_live: false, is_complete: false, tries: 0 }
    }

    /// Asks for the list.
    pub(crate) fn start(&mut self, io: &mut Io<'_>) {
        self.is_live = true;
        self.tries = 1;
        io.commands.push(Command::Get { url: self.url.clone(), after: Nanos::ZERO });
    }

    /// Whether every instrument that will be subscribed to is known.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Takes a REST answer; answers what to subscribe to, once.
    pub(crate) fn answer(
        &mut self,
        url: &str,
        body: &[u8],
        faults: &mut Faults,
        io: &mut Io<'_>,
    ) -> Vec<Listing> {
        if !url.contains("/products") {
            return Vec::new();
        }
        let chosen = match self.take(body, io) {
            Ok(chosen) => chosen,
            Err(fault) => {
                let why = not_a_list(fault, body);
                let detail = || format!("{}: {why}", self.venue);
                faults.count("not a list of products", 1, detail, io);
                self.failed(&why, io)
            }
        };
        chosen.unwrap_or_default()
    }

    /// Takes the list; answers what to subscribe to, once.
    ///
    /// *Errors:* the body is no such list; it may be asked for again.
    fn take(&mut self, body: &[u8], io: &mut Io<'_>) -> Result<Option<Vec<Listing>>, Fault> {
        for listing in read_products(self.venue, body)? {
            self.listings.put(listing);
        }
        if !self.is_live || self.is_complete {
            return Ok(None);
        }
        self.is_complete = true;
        let (chosen, unknown) = self.listings.choose(&self.wanted, &DEFAULT_SYMBOLS);
        for symbol in unknown {
            let text = format!("{}: symbols: {symbol:?} is not listed by the venue", self.venue);
            io.commands.push(Command::Report { text });
        }
        Ok(Some(chosen))
    }

    /// The list could not be had: asks again, ever more seldom; after some tries answers what to
    /// subscribe to without it, unless everything is wanted.
    pub(crate) fn failed(&mut self, why: &str, io: &mut Io<'_>) -> Option<Vec<Listing>> {
        if !self.is_live || self.is_complete {
            return None;
        }
        let venue = self.venue;
        let needs_list = self.wanted.iter().any(|symbol| symbol == "*");
        if self.tries >= LIST_TRIES_MAX && !needs_list {
            self.is_complete = true;
            let text = format!("{venue}: begins without the list of products: {why}");
            io.commands.push(Command::Report { text });
            let default = || DEFAULT_SYMBOLS.iter().map(|symbol| (*symbol).to_owned()).collect();
            let symbols = if self.wanted.is_empty() { default() } else { self.wanted.clone() };
            let unlisted = |symbol: &String| Listing::unlisted(venue, &canonical(symbol));
            return Some(symbols.iter().map(unlisted).collect());
        }
        let after = Nanos::from_secs(1 << (self.tries - 1).min(6)).min(LIST_WAIT_MAX);
        self.tries = self.tries.saturating_add(1);
        let text = format!("{venue}: no list of products: {why}; asks again");
        io.commands.push(Command::Report { text });
        io.commands.push(Command::Get { url: self.url.clone(), after });
        None
    }
}

/// Registers what was chosen, dealt to lines of at most `per_line`, and asks for those lines.
pub(crate) fn take_up<B: Default>(
    chosen: &[Listing],
    roster: &mut Roster<B>,
    ws_url: &str,
    per_line: usize,
    io: &mut Io<'_>,
) {
    let (closed, open): (Vec<_>, Vec<_>) =
        chosen.iter().partition(|listing| listing.state == TradingState::Closed);
    for listing in closed {
        roster.add(listing, 0, Feed::Unsubscribed, io);
        let spec = &listing.spec;
        let text = format!("{}:{} is not traded any more: not subscribed", spec.venue, spec.symbol);
        io.commands.push(Command::Report { text });
    }
    for (line, listings) in (0u16..).zip(open.chunks(per_line)) {
        for listing in listings {
            roster.add(listing, line, Feed::Resync, io);
        }
        io.commands.push(Command::Connect { line, url: ws_url.to_owned() });
    }
}

/// Reads either form of the list: `{"products":[..]}` of Advanced Trade, or the bare array of
/// Coinbase Exchange.
fn read_products(venue: Venue, body: &[u8]) -> Result<Vec<Listing>, Fault> {
    let mut listings = Vec::new();
    let mut scan = Scan::new(body);
    if scan.peek() == Some(b'[') {
        products(venue, &mut scan, &mut listings)?;
    } else {
        let mut is_list = false;
        scan.object()?;
        while let Some(key) = scan.key()? {
            if key == b"products" {
                products(venue, &mut scan, &mut listings)?;
                is_list = true;
            } else {
                scan.skip()?;
            }
        }
        // An error in words is an object too.
        if !is_list {
            return Err(Fault::Missing);
        }
    }
    scan.end()?;
    Ok(listings)
}

fn products(venue: Venue, scan: &mut Scan<'_>, out: &mut Vec<Listing>) -> Result<(), Fault> {
    scan.array()?;
    while scan.item()? {
        out.extend(product(venue, scan)?);
    }
    Ok(())
}

/// Reads one product; `None` where it is no spot product.
fn product(venue: Venue, scan: &mut Scan<'_>) -> Result<Option<Listing>, Fault> {
    let (mut id, mut tick_size, mut lot_size, mut is_spot) = (None, None, None, true);
    let mut state = TradingState::Live;
    let flag = |scan: &mut Scan<'_>| scan.token().map(|token| token == b"true");
    scan.object()?;
    while let Some(key) = scan.key()? {
        match key {
            b"product_id" | b"id" => id = Some(scan.text()?),
            b"quote_increment" => tick_size = increment(scan)?,
            b"base_increment" => lot_size = increment(scan)?,
            b"product_type" => is_spot = scan.text()? == b"SPOT",
            b"status" => {
                state = state.max(match scan.text()? {
                    b"online" => TradingState::Live,
                    b"delisted" => TradingState::Closed,
                    _ => TradingState::Halted,
                });
            }
            // In an auction, and where orders can only be cancelled, nothing is matched.
            b"is_disabled" | b"trading_disabled" | b"cancel_only" | b"auction_mode" => {
                if flag(scan)? {
                    state = state.max(TradingState::Halted);
                }
            }
            _ => scan.skip()?,
        }
    }
    let id = std::str::from_utf8(id.ok_or(Fault::Missing)?).map_err(|_| Fault::Value)?;
    let digits = |increment: Option<Decimal>| increment.map_or(0, |number| number.scale);
    let size = digits(lot_size);
    let spec = InstrumentSpec {
        venue,
        symbol: canonical(id),
        venue_symbol: id.to_owned(),
        tick_size,
        lot_size,
        scales: Scales { price: digits(tick_size), size, volume: size },
    };
    Ok(is_spot.then_some(Listing { spec, state }))
}

/// What is wrong with a body that is no list, in words.
fn not_a_list(fault: Fault, body: &[u8]) -> String {
    format!("{}: {}", fault.reason(), excerpt(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_list_are_read() {
        let advanced = br#"{"num_products":4,"products":[
            {"product_id":"BTC-USD","base_increment":"0.00000001","quote_increment":"0.01",
             "status":"online","is_disabled":false,"product_type":"SPOT","alias_to":["BTC-USDC"],
             "fcm_trading_session_details":null},
            {"product_id":"OLD-USD","base_increment":"1","quote_increment":"0.010",
             "status":"delisted","trading_disabled":true,"product_type":"SPOT"},
            {"product_id":"BTC-PERP","product_type":"FUTURE","status":""},
            {"product_id":"NEW-USD","status":"online","auction_mode":true,"base_increment":""}]}"#;
        let list = read_products(Venue::Coinbase, advanced).unwrap();
        let brief = |l: &Listing| {
            let text = |d: Option<Decimal>| d.map(|d| d.to_string()).unwrap_or_default();
            format!(
                "{} tick {} lot {} {:?}",
                l.spec.symbol,
                text(l.spec.tick_size),
                text(l.spec.lot_size),
                l.state
            )
        };
        assert_eq!(
            list.iter().map(brief).collect::<Vec<_>>(),
            [
                "BTC-USD tick 0.01 lot 0.00000001 Live",
                "OLD-USD tick 0.01 lot 1 Closed",
                "NEW-USD tick  lot  Halted",
            ]
        );
        assert_eq!(list[0].spec.scales, Scales { price: 2, size: 8, volume: 8 });
        let exchange = br#"[{"id":"SKL-EUR","quote_increment":"0.0001","base_increment":"0.1",
            "cancel_only":true,"status":"online"}]"#;
        let list = read_products(Venue::CoinbaseExchange, exchange).unwrap();
        assert_eq!(brief(&list[0]), "SKL-EUR tick 0.0001 lot 0.1 Halted");
        for broken in ["", "{}", "[", r#"{"error":"NOT_FOUND"}"#, r#"[{"status":"online"}]"#] {
            assert!(read_products(Venue::Coinbase, broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
