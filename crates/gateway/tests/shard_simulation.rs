//! One seed drives events, overruns, new epochs, slow lines, reconnects and changes of rate; every
//! client follows the rule and in the end holds what a newcomer is given, without ever having
//! found something missing.

#![allow(clippy::needless_pass_by_value)] // Values written in place read best.

mod shard_kit;

use fastrand::Rng;
use shard_kit::{Client, Got, World};
use tickcast_client::Session;
use tickcast_gateway::{Rest, ShardSettings, Transport};
use tickcast_market::{
    BookChange, BookSide, EventBody, InstrumentIndex, Interval, Nanos, Price, Quote, Scales, Side,
    Size, Trade, TradingState,
};
use tickcast_wire::{
    Depth, Encoding, FieldSet, Message, Pattern, Request, Subscribe, TickerField, View,
    write_request,
};

const INSTRUMENTS: usize = 5;

/// A client with its session, and what it has subscribed to.
struct Follower {
    client: Client,
    session: Session,
    params: Vec<Subscribe>,
}

impl Follower {
    fn send(&self, request: &Request) {
        let mut text = Vec::new();
        write_request(&mut text, Encoding::Json, request);
        self.client.send(&serde_json::from_slice(&text).expect("it is JSON"));
    }

    fn subscribe(&mut self, params: Subscribe) {
        let request = self.session.subscribe(params.clone());
        self.params.retain(|held| held.view != params.view || held.symbols != params.symbols);
        self.params.push(params);
        self.send(&request);
    }

    /// Takes what has come; whatever it has to ask for again it would ask, but must not need to.
    fn follow(&mut self, seed: u64) {
        for got in self.client.take() {
            let Got::Message(value) = got else { panic!("seed {seed}: {got:?}") };
            let text = value.to_string();
            let message = Message::decode(text.as_bytes()).expect("it is ours");
            self.session.receive(&message);
            assert!(
                !self.session.must_ask_again(),
                "seed {seed}: something is missing before {text}"
            );
        }
        assert_eq!(self.session.violations(), [], "seed {seed}");
    }
}

fn websocket(random: &mut Rng) -> Transport {
    let encoding = Encoding::ALL[random.usize(0..Encoding::ALL.len())];
    Transport::WebSocket { encoding, compress: random.bool() }
}

/// Subscriptions that differ in everything that makes a topic.
fn wishes(random: &mut Rng) -> Vec<Subscribe> {
    let all = || vec![Pattern::new("sim:*")];
    let rates = [None, Some(10.0), Some(4.0), Some(1.0)];
    let mut rate = || rates[random.usize(0..4)];
    let sides = FieldSet::NONE.with(TickerField::Bid).with(TickerField::Ask);
    let depth = |levels| View::Book(Depth::new(levels).unwrap());
    let mut all_of = |view| Subscribe { max_rate: rate(), ..Subscribe::new(view, all()) };
    let mut wishes = vec![
        all_of(View::Ticker),
        Subscribe { fields: sides, ..all_of(View::Ticker) },
        all_of(depth(10)),
        all_of(depth(25)),
        all_of(View::Trades),
        all_of(View::Bars(Interval::S1)),
    ];
    random.shuffle(&mut wishes);
    wishes.truncate(3);
    wishes
}

fn change(world: &mut World, random: &mut Rng, all: &[InstrumentIndex], fine: &mut bool) {
    let instrument = all[random.usize(0..all.len())];
    let bid = random.i64(500..600);
    let book = |random: &mut Rng| {
        let is_bid = random.bool();
        let price = if is_bid { random.i64(400..500) } else { random.i64(600..700) };
        let side = if is_bid { BookSide::Bid } else { BookSide::Ask };
        BookChange { side, price: Price(price), size: Size(random.i64(0..4)) }
    };
    match random.u8(0..20) {
        0..8 => world.quote(instrument, bid),
        8..14 => {
            let changes: Vec<BookChange> = (0..random.usize(1..6)).map(|_| book(random)).collect();
            world.event(instrument, EventBody::BookUpdate(&changes));
        }
        14..17 => {
            let trade = Trade {
                id: random.u64(..),
                price: Price(bid),
                size: Size(1),
                side: Side::Sell,
                ts_event: world.now,
            };
            world.event(instrument, EventBody::Trades(&[trade]));
        }
        17 => {
            let states = [TradingState::Stale, TradingState::Live, TradingState::Resync];
            world.state(instrument, states[random.usize(0..3)]);
        }
        18 => world.event(instrument, EventBody::Quote(Quote::default())),
        // Rarely a price finer than the scale: everything of the instrument begins anew.
        _ if random.u8(0..10) == 0 && !*fine => {
            *fine = true;
            world.scales = Scales { price: 2, ..world.scales };
            world.quote(instrument, bid * 10 + 1);
            world.scales = Scales { price: 1, ..world.scales };
        }
        _ => {}
    }
}

fn play(seed: u64) {
    let mut random = Rng::with_seed(seed);
    // Passes that are full after a few frames are as good as any.
    let pass_frames_max = if random.bool() { random.usize(1..30) } else { 1 << 20 };
    let mut world = World::with(ShardSettings { pass_frames_max, ..ShardSettings::default() });
    let all = world.instruments(INSTRUMENTS);
    let mut followers: Vec<Follower> = Vec::new();
    let mut fine = false;
    for step in 0..600 {
        change(&mut world, &mut random, &all, &mut fine);
        if followers.len() < 6 && random.u8(0..10) == 0 {
            let client = world.connect_as(websocket(&mut random));
            followers.push(Follower { client, session: Session::new(), params: Vec::new() });
            let follower = followers.last_mut().unwrap();
            wishes(&mut random).into_iter().for_each(|params| follower.subscribe(params));
        }
        for follower in &mut followers {
            match random.u8(0..40) {
                0 => follower.client.line.borrow_mut().room = random.usize(0..3000),
                1 | 2 => world.give_room(&follower.client, random.usize(0..3000)),
                3 => world.give_room(&follower.client, usize::MAX),
                4 if random.u8(0..4) == 0 => {
                    follower.client.line.borrow_mut().broken = true;
                    follower.client = world.connect_as(websocket(&mut random));
                    let requests = follower.session.reconnected();
                    requests.iter().for_each(|request| follower.send(request));
                }
                5 if random.u8(0..4) == 0 && !follower.params.is_empty() => {
                    let which = random.usize(0..follower.params.len());
                    let mut params = follower.params[which].clone();
                    params.max_rate = [None, Some(10.0), Some(1.0)][random.usize(0..3)];
                    follower.subscribe(params);
                }
                _ => {}
            }
        }
        if step == 300 {
            // More batches than the channel takes.
            (0..400).for_each(|_| change(&mut world, &mut random, &all, &mut fine));
        }
        if random.bool() {
            world.now = world.now.plus(Nanos::from_millis(random.i64(0..60)));
            // Tiers and bars are due by time.
            world.partition.borrow_mut().turn(world.now, &[]);
            if random.u8(0..4) == 0 {
                world.settle();
            } else {
                world.turn();
            }
            followers.iter_mut().for_each(|follower| follower.follow(seed));
        }
    }
    finish(&mut world, &mut followers, seed);
}

/// Lets everything arrive and compares each follower with a newcomer.
fn finish(world: &mut World, followers: &mut [Follower], seed: u64) {
    for follower in followers.iter() {
        world.give_room(&follower.client, usize::MAX);
    }
    for _ in 0..120 {
        world.partition.borrow_mut().turn(world.now, &[]);
        world.pass(Nanos::from_millis(25));
        followers.iter_mut().for_each(|follower| follower.follow(seed));
    }
    assert!(world.last_rest != Rest::No);
    for follower in followers {
        assert_eq!(follower.session.counts().gaps, 0, "seed {seed}");
        let client = world.connect();
        let mut fresh = Follower { client, session: Session::new(), params: Vec::new() };
        for params in follower.params.clone() {
            fresh.subscribe(params);
        }
        world.settle();
        fresh.follow(seed);
        compare(&follower.session, &fresh.session, &format!("seed {seed}"));
    }
}

fn compare(held: &Session, fresh: &Session, seed: &str) {
    for at in 0..INSTRUMENTS {
        let symbol = format!("sim:S{at}");
        let state = |session: &Session| session.status(&symbol).map(|view| view.state());
        assert_eq!(state(held), state(fresh), "{seed} {symbol}");
        let fields = |session: &Session| {
            let ticker = session.ticker(&symbol);
            ticker.map(|view| TickerField::ALL.map(|field| view.get(field).map(str::to_owned)))
        };
        assert_eq!(fields(held), fields(fresh), "{seed} {symbol}");
        let levels = |session: &Session| {
            let book = session.book(&symbol);
            book.map(|view| (view.bids().collect::<Vec<_>>(), view.asks().collect::<Vec<_>>()))
        };
        assert_eq!(levels(held), levels(fresh), "{seed} {symbol}");
        let trade = |session: &Session| {
            let trades = session.trades(&symbol);
            trades.map(|view| view.recent().last().map(|trade| trade.seq))
        };
        assert_eq!(trade(held), trade(fresh), "{seed} {symbol}");
        let bar = |session: &Session| {
            let bars = session.bars(&symbol, Interval::S1);
            bars.map(|view| view.bars().last().map(|bar| format!("{bar:?}")))
        };
        assert_eq!(bar(held), bar(fresh), "{seed} {symbol}");
    }
}

#[test]
fn every_client_ends_with_what_a_newcomer_is_given() {
    match std::env::var("TICKCAST_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => play(seed),
        None => (0..60).for_each(play),
    }
}
