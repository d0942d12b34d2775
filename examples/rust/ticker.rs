//! The smallest complete client: prints every change of the symbols that it is given.
//!
//! `cargo run -p tickcast-client --example ticker -- ws://127.0.0.1:8080 'sim:*'`

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "ws://127.0.0.1:8080".into());
    let mut symbols: Vec<String> = arguments.collect();
    if symbols.is_empty() {
        symbols.push("sim:*".into());
    }
    let tick = tickcast_client::connect(url).await?;
    let mut tickers = tick.ticker(symbols).max_rate(4.0).subscribe().await?;
    while let Some(t) = tickers.next().await {
        let [last, bid, ask] = [t.last, t.bid, t.ask].map(|price| price.unwrap_or("-".into()));
        println!("{} last {last} bid {bid} ask {ask} {}", t.symbol, t.state.name());
    }
    Err(tickers.error().map_or("the client is closed".into(), |why| why.into()))
}
