//! Many subscriptions, few requests: what is asked for at once goes into one, each subscription
//! hears of its own part, and a new connection says everything in few.

mod scripted;
mod service;

use scripted::{Peer, serve};
use service::{Service, binary, own_address, soon, until};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use tickcast_client::{Backoff, Error, Options, Subscription, Tickcast, Ticker, TradingState};

const MANY: usize = 300;

/// More would not be few.
const REQUESTS_MAX: usize = 4;

fn name(at: usize) -> String {
    format!("sim:S{at}-USD")
}

async fn connected(address: SocketAddr) -> Tickcast {
    let backoff = Backoff { base: Duration::from_millis(20), max: Duration::from_millis(100) };
    let options = Options::new(format!("ws://{address}")).backoff(backoff);
    soon("a connection", options.connect()).await.unwrap()
}

fn each(tick: &Tickcast, symbols: impl IntoIterator<Item = String>) -> Vec<Subscription<Ticker>> {
    symbols.into_iter().map(|symbol| tick.ticker([symbol]).begin().unwrap()).collect()
}

fn symbols(request: &serde_json::Value) -> Vec<String> {
    serde_json::from_value(request["params"]["symbol"].clone()).expect("a list of texts")
}

/// Serves subscribes and tells of each, until so many symbols were asked for.
fn serve_all(peer: &mut Peer, tell: &Sender<serde_json::Value>, until: usize) {
    peer.welcome(60_000);
    let mut served = 0;
    while served < until {
        let Some(request) = peer.grant() else { return };
        for symbol in symbols(&request) {
            if request["params"]["since"][&symbol].is_null() {
                peer.status(&symbol);
                peer.ticker(&symbol, None, 5, "1.5");
            }
            served += 1;
        }
        let _ = tell.send(request);
    }
}

/// Waits for requests that name so many symbols.
async fn told(
    requests: Receiver<serde_json::Value>,
    count: usize,
) -> (Vec<serde_json::Value>, Receiver<serde_json::Value>) {
    // Elsewhere, or nothing would ever be sent.
    let waiting = tokio::task::spawn_blocking(move || {
        let mut told = Vec::new();
        while told.iter().map(|request| symbols(request).len()).sum::<usize>() < count {
            let next = requests.recv_timeout(service::PATIENCE);
            let next = next.unwrap_or_else(|why| panic!("another request: {why}, after {told:?}"));
            told.push(next);
        }
        (told, requests)
    });
    waiting.await.expect("no panic")
}

#[tokio::test]
async fn hundreds_of_calls_take_a_few_requests_and_so_does_a_new_connection() {
    let (tell, requests) = channel();
    let address = serve(move |mut peer| {
        serve_all(&mut peer, &tell, MANY);
        if peer.number > 0 {
            peer.wait();
        }
    });
    let tick = connected(address).await;
    let subscriptions = each(&tick, (0..MANY).map(name));
    for (at, subscription) in subscriptions.iter().enumerate() {
        let granted = until("its part", || subscription.granted().pop()).await;
        assert_eq!(granted.symbol, [name(at)]);
    }
    let (first, requests) = told(requests, MANY).await;
    assert!(first.len() <= REQUESTS_MAX, "{}", first.len());
    let all: Vec<String> = first.iter().flat_map(symbols).collect();
    assert_eq!(all, (0..MANY).map(name).collect::<Vec<_>>());

    let (again, _) = told(requests, MANY).await;
    assert!(again.len() <= REQUESTS_MAX, "{}", again.len());
    let all: BTreeSet<String> = again.iter().flat_map(symbols).collect();
    assert_eq!(all, (0..MANY).map(name).collect());
}

#[tokio::test]
async fn a_name_that_fails_is_told_to_whoever_asked_for_it() {
    let address = serve(|mut peer| {
        peer.welcome(60_000);
        while let Some(request) = peer.hear() {
            let (failed, served): (Vec<String>, Vec<String>) =
                symbols(&request).into_iter().partition(|symbol| symbol == "sim:NOPE");
            let failed: Vec<_> = failed
                .iter()
                .map(|symbol| serde_json::json!({ "symbol": symbol, "code": 4404, "error": "no" }))
                .collect();
            let result =
                serde_json::json!({ "channel": "ticker", "symbol": served, "failed": failed });
            peer.answer(&request, &serde_json::json!({ "success": true, "result": result }));
        }
    });
    let tick = connected(address).await;
    let all = each(&tick, ["sim:A".into(), "sim:NOPE".into(), "sim:B".into()]);
    until("the answers", || all.iter().all(|one| one.granted().len() == 1).then_some(())).await;
    let failed: Vec<Vec<String>> = all
        .iter()
        .map(|one| one.failed().into_iter().map(|failed| failed.symbol).collect())
        .collect();
    assert_eq!(failed, [vec![], vec!["sim:NOPE".to_owned()], vec![]]);
    assert_eq!(all[0].granted()[0].symbol, ["sim:A"]);
    assert!(all[0].granted()[0].failed.is_empty());
}

#[tokio::test]
async fn a_refusal_is_of_the_one_that_is_to_blame() {
    let address = serve(|mut peer| {
        peer.welcome(60_000);
        loop {
            let Some(request) = peer.hear() else { return };
            let all = symbols(&request);
            let answer = if all.contains(&name(5)) {
                serde_json::json!({ "success": false, "code": 4400, "error": "a bad name" })
            } else {
                let result = serde_json::json!({ "channel": "ticker", "symbol": all });
                serde_json::json!({ "success": true, "result": result })
            };
            peer.answer(&request, &answer);
        }
    });
    let tick = connected(address).await;
    let all = each(&tick, (0..8).map(name));
    let settled = |one: &Subscription<Ticker>| one.error().is_some() || !one.granted().is_empty();
    until("the answers", || all.iter().all(settled).then_some(())).await;
    for (at, one) in all.iter().enumerate() {
        let refused = Error::Request { code: 4400, error: "a bad name".into() };
        assert_eq!(one.error(), (at == 5).then_some(refused), "{at}");
    }
}

#[tokio::test]
async fn what_is_dropped_at_once_ends_in_a_few_requests() {
    let (tell, requests) = channel();
    let address = serve(move |mut peer| {
        let (ignored, _) = channel();
        serve_all(&mut peer, &ignored, MANY);
        // Data that was late for a while has been asked for again; that ends nothing.
        while let Some(request) = peer.hear() {
            if request["method"] == "unsubscribe" {
                let _ = tell.send(request);
            }
        }
    });
    let tick = connected(address).await;
    let all = each(&tick, (0..MANY).map(name));
    until("the data", || (tick.latest().symbols().len() == MANY).then_some(())).await;
    drop(all);
    let (ended, _) = told(requests, MANY).await;
    assert!(ended.len() <= REQUESTS_MAX, "{}", ended.len());
    assert!(tick.latest().symbols().is_empty());
}

#[tokio::test]
async fn the_service_sees_few_requests_and_serves_them_all_also_after_it_was_killed() {
    let Some(binary) = binary() else { return };
    let address = own_address();
    let arguments = ["--sim-instruments", "300", "--sim-rate", "100"];
    let mut service = Service::start_at(&binary, address, &arguments);
    let tick = connected(address).await;
    let subscriptions = each(&tick, (0..MANY).map(name));
    let are_live = || {
        let state = |at: usize| subscriptions[at].get(&name(at)).map(|ticker| ticker.state);
        (0..MANY).all(|at| state(at) == Some(TradingState::Live)).then_some(())
    };
    until("all of them", are_live).await;
    let asked = service.requests("subscribe");
    assert!((1..=REQUESTS_MAX as u64).contains(&asked), "{asked}");
    service.kill();
    drop(service);
    let service = Service::start_at(&binary, address, &arguments);
    until("the next connection", || (tick.connection().reconnects >= 1).then_some(())).await;
    until("all of them again", are_live).await;
    let asked = service.requests("subscribe");
    assert!((1..=REQUESTS_MAX as u64).contains(&asked), "{asked}");
    drop(subscriptions);
    assert_eq!(soon("stats", tick.stats()).await.unwrap().subscriptions, 0);
    let ended = service.requests("unsubscribe");
    assert!((1..=REQUESTS_MAX as u64).contains(&ended), "{ended}");
}
