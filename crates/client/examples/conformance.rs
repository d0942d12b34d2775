//! The driver of this SDK for the conformance script that all SDKs pass: it subscribes to what the
//! environment names, and tells on request what it holds.
//!
//! `TICKCAST_URL`, `TICKCAST_ENCODING` (`json`, `protobuf`), `TICKCAST_TOKEN_URL` (GET gives a
//! token), `TICKCAST_SUBSCRIPTIONS` (the `params` of subscribe requests, a JSON array). Prints
//! `ready`; answers `state` with a line of JSON; ends with `stop`.

use serde_json::{Map, Value, json};
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;
use tickcast_client::{
    Backoff, Bars, Book, Channel, Depth, Encoding, Interval, Item, Options, Subscribing,
    Subscription, Tickcast, Ticker, TickerField, Trades, TradingState,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

type Fault = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let encoding = std::env::var("TICKCAST_ENCODING").unwrap_or_else(|_| "json".into());
    let Some(chosen) = Encoding::ALL.into_iter().find(|known| known.name() == encoding) else {
        println!("unsupported {encoding}");
        return ExitCode::from(3);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ran = runtime.map_err(Fault::from).and_then(|runtime| runtime.block_on(run(chosen)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("conformance: {fault}");
            ExitCode::FAILURE
        }
    }
}

async fn run(encoding: Encoding) -> Result<(), Fault> {
    let mut options = Options::new(std::env::var("TICKCAST_URL")?)
        .encoding(encoding)
        .verify_checksums(true)
        .backoff(Backoff { base: Duration::from_millis(50), max: Duration::from_millis(500) });
    if let Ok(url) = std::env::var("TICKCAST_TOKEN_URL") {
        options = options.token(move || get(url.clone()));
    }
    let tick = options.connect_lazily()?;
    let wanted: Vec<Value> = serde_json::from_str(&std::env::var("TICKCAST_SUBSCRIPTIONS")?)?;
    let mut held = Held::default();
    for params in &wanted {
        held.subscribe(&tick, params).await?;
    }
    println!("ready");
    let mut lines = commands();
    while let Some(line) = lines.recv().await {
        match line.trim() {
            "state" => println!("{}", held.state(&tick)),
            "stop" => break,
            other => return Err(format!("{other:?} is neither state nor stop").into()),
        }
    }
    tick.close().await;
    Ok(())
}

/// The lines of standard input, which can only be waited for in a thread.
fn commands() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The body of a plain HTTP answer.
async fn get(url: String) -> Result<String, Fault> {
    let rest = url.strip_prefix("http://").ok_or("TICKCAST_TOKEN_URL: not http://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut socket = tokio::net::TcpStream::connect(host).await?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let status = head.lines().next().unwrap_or_default();
    if status.contains(" 200 ") { Ok(body.trim().to_owned()) } else { Err(status.into()) }
}

#[derive(Default)]
struct Held {
    ticker: Vec<Subscription<Ticker>>,
    book: Vec<Subscription<Book>>,
    trades: Vec<Subscription<Trades>>,
    bars: Vec<Subscription<Bars>>,
}

impl Held {
    async fn subscribe(&mut self, tick: &Tickcast, params: &Value) -> Result<(), Fault> {
        let symbols: Vec<String> = match &params["symbol"] {
            Value::String(symbol) => vec![symbol.clone()],
            list => serde_json::from_value(list.clone())?,
        };
        let name = params["channel"].as_str().unwrap_or_default();
        match Channel::from_name(name) {
            Some(Channel::Ticker) => {
                let fields = params["fields"].as_array().map(|fields| {
                    let names = fields.iter().filter_map(Value::as_str);
                    names.filter_map(TickerField::from_name).collect::<Vec<_>>()
                });
                let mut asked = rate(tick.ticker(symbols), params);
                if let Some(fields) = fields {
                    asked = asked.fields(fields);
                }
                self.ticker.push(asked.subscribe().await?);
            }
            Some(Channel::Book) => {
                let levels = params["depth"].as_u64().unwrap_or(10);
                let depth = u16::try_from(levels).ok().and_then(Depth::new);
                let depth = depth.ok_or("depth: none that is offered")?;
                self.book.push(rate(tick.book(symbols).depth(depth), params).subscribe().await?);
            }
            Some(Channel::Trades) => {
                self.trades.push(rate(tick.trades(symbols), params).subscribe().await?);
            }
            Some(Channel::Bars) => {
                let name = params["interval"].as_str().unwrap_or("1m");
                let interval = Interval::from_name(name).ok_or("interval: unknown")?;
                let asked = rate(tick.bars(symbols).interval(interval), params);
                self.bars.push(asked.subscribe().await?);
            }
            _ => return Err(format!("channel: {name:?} cannot be subscribed to").into()),
        }
        Ok(())
    }

    fn state(&self, tick: &Tickcast) -> Value {
        let connection = tick.connection();
        let latest = tick.latest();
        let status: Map<String, Value> = latest
            .symbols()
            .into_iter()
            .filter_map(|symbol| Some((latest.status(&symbol)?, symbol)))
            .map(|(state, symbol)| (symbol, json!(state.name())))
            .collect();
        let mut bars: Map<String, Value> = Map::new();
        for (symbol, item) in all(&self.bars) {
            let of = bars.entry(symbol).or_insert_with(|| json!({}));
            of[item.interval.name()] = bars_json(&item);
        }
        let tickers = all(&self.ticker).map(|(symbol, item)| (symbol, ticker_json(&item)));
        let books = all(&self.book).map(|(symbol, item)| (symbol, book_json(&item)));
        let trades = all(&self.trades).map(|(symbol, item)| (symbol, trades_json(&item)));
        json!({
            "connection": {
                "state": connection.state.name(),
                "transport": connection.transport,
                "encoding": connection.encoding.name(),
                "reconnects": connection.reconnects,
                "resyncs": connection.resyncs,
                "checksum_failures": connection.checksum_failures,
                "missed_trades": connection.missed_trades,
            },
            "status": status,
            "ticker": tickers.collect::<Map<_, _>>(),
            "book": books.collect::<Map<_, _>>(),
            "trades": trades.collect::<Map<_, _>>(),
            "bars": bars,
        })
    }
}

fn rate<T: Item>(asked: Subscribing<T>, params: &Value) -> Subscribing<T> {
    match params["max_rate"].as_f64() {
        Some(rate) => asked.max_rate(rate),
        None => asked,
    }
}

/// All that is held, by symbol.
fn all<T: Item>(subscriptions: &[Subscription<T>]) -> impl Iterator<Item = (String, T)> {
    subscriptions
        .iter()
        .flat_map(|subscription| {
            let symbols = subscription.symbols().into_iter();
            symbols.filter_map(|symbol| Some((subscription.get(&symbol)?, symbol)))
        })
        .map(|(item, symbol)| (symbol, item))
}

fn head(epoch: u64, seq: u64, state: TradingState) -> Value {
    json!({ "epoch": epoch, "seq": seq, "state": state.name() })
}

fn ticker_json(item: &Ticker) -> Value {
    let mut json = head(item.epoch.0, item.seq.0, item.state);
    let values = [
        &item.last,
        &item.last_size,
        &item.bid,
        &item.bid_size,
        &item.ask,
        &item.ask_size,
        &item.open,
        &item.high,
        &item.low,
        &item.volume,
    ];
    for (field, value) in TickerField::ALL.into_iter().zip(values) {
        if item.fields.contains(field) {
            json[field.name()] = json!(value);
        }
    }
    json["symbol"] = json!(item.symbol);
    json["ts_event"] = json!(item.ts_event.micros());
    json
}

fn book_json(item: &Book) -> Value {
    let side = |levels: &[tickcast_client::Level]| -> Vec<[String; 2]> {
        levels.iter().map(|level| [level.price.to_string(), level.size.to_string()]).collect()
    };
    let mut json = head(item.epoch.0, item.seq.0, item.state);
    json["depth"] = json!(item.depth.levels());
    json["bids"] = json!(side(&item.bids));
    json["asks"] = json!(side(&item.asks));
    json["checksum"] = json!(item.checksum);
    json
}

fn trades_json(item: &Trades) -> Value {
    let mut json = head(item.epoch.0, item.seq.0, item.state);
    let trade = |trade: &tickcast_client::TradeRow| {
        json!({
            "seq": trade.seq.0,
            "id": trade.id,
            "price": trade.price,
            "size": trade.size,
            "side": if trade.side == tickcast_client::Side::Buy { "buy" } else { "sell" },
            "ts_event": trade.ts_event.micros(),
        })
    };
    json["trades"] = item.trades.iter().map(trade).collect();
    json
}

fn bars_json(item: &Bars) -> Value {
    let mut json = head(item.epoch.0, item.seq.0, item.state);
    let bar = |bar: &tickcast_client::BarRow| {
        json!({
            "start": bar.start.micros(),
            "open": bar.open,
            "high": bar.high,
            "low": bar.low,
            "close": bar.close,
            "volume": bar.volume,
            "trades": bar.trades,
            "closed": bar.closed,
        })
    };
    json["bars"] = item.bars.iter().map(bar).collect();
    json
}
