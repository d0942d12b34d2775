//! Ingest: recorded bytes to normalised events on one core, beside the same with `serde_json`.
//!
//! `cargo bench -p tickcast-benches --bench ingest`, with `TICKCAST_FEEDS` naming the folder of
//! recordings. divan's table gives the spread; the `ratio` lines at the end come from interleaved
//! rounds and are the result. Goals: at least twice as fast as `serde_json`, and a million
//! bookTickers a second and core. A word after `--` chooses the cases with it in their names. Another venue is one more entry in [`CASES`].

use divan::counter::{BytesCount, ItemsCount};
use std::time::{Duration, Instant};
use tickcast_benches::plain::{Binance, Coinbase, CoinbaseExchange, Kraken, Plain};
use tickcast_benches::{Counted, Part, Recorded, Timed, ratio_of_times, recordings};
use tickcast_feed::{
    BinanceConfig, BinanceHandler, CoinbaseConfig, CoinbaseExchangeConfig, CoinbaseExchangeHandler,
    CoinbaseHandler, Handler, KrakenConfig, KrakenHandler,
};

/// A round plays its recording until it has read so many bytes.
const ROUND_BYTES: usize = 16 << 20;

type MakeHandler = fn() -> Box<dyn Handler>;

/// One recording and who decodes it; the first decoder is ours, the ratios are to it.
struct Case {
    name: &'static str,
    file: &'static str,
    part: Part,
    decoders: &'static [(&'static str, MakeHandler)],
}

const BINANCE: &[(&str, MakeHandler)] = &[
    ("tickcast", || Box::new(BinanceHandler::new(BinanceConfig::default()))),
    ("simd-json alone", || Box::new(BinanceHandler::new(BinanceConfig::default()).general_only())),
    ("serde_json", || Box::<Plain<Binance>>::default()),
];

const COINBASE: &[(&str, MakeHandler)] = &[
    ("tickcast", || Box::new(CoinbaseHandler::new(CoinbaseConfig::default()))),
    ("serde_json", || Box::<Plain<Coinbase>>::default()),
];

const COINBASE_EXCHANGE: &[(&str, MakeHandler)] = &[
    ("tickcast", || Box::new(CoinbaseExchangeHandler::new(CoinbaseExchangeConfig::default()))),
    ("serde_json", || Box::<Plain<CoinbaseExchange>>::default()),
];

const KRAKEN: &[(&str, MakeHandler)] = &[
    ("tickcast", || Box::new(KrakenHandler::new(KrakenConfig::default()))),
    ("serde_json", || Box::<Plain<Kraken>>::default()),
];

const ALL: Part = Part { only: "", has_rest: false, after_bytes: 0 };
const WITH_REST: Part = Part { has_rest: true, ..ALL };

const CASES: &[Case] = &[
    Case {
        name: "binance btcusdt",
        file: "binance_btcusdt_650s.rec.gz",
        part: WITH_REST,
        decoders: BINANCE,
    },
    Case {
        name: "binance btcusdt bookTicker",
        file: "binance_btcusdt_650s.rec.gz",
        part: Part { only: "@bookTicker", ..WITH_REST },
        decoders: BINANCE,
    },
    Case {
        name: "binance btcusdt depth",
        file: "binance_btcusdt_650s.rec.gz",
        part: Part { only: "@depth", ..WITH_REST },
        decoders: BINANCE,
    },
    Case {
        name: "binance 3 symbols",
        file: "binance_3sym_91s.rec.gz",
        part: WITH_REST,
        decoders: BINANCE,
    },
    Case {
        name: "coinbase",
        file: "coinbase_advanced_2sym_24s.rec.gz",
        part: ALL,
        decoders: COINBASE,
    },
    Case {
        name: "coinbase after snapshots",
        file: "coinbase_advanced_2sym_24s.rec.gz",
        part: Part { after_bytes: 1 << 20, ..ALL },
        decoders: COINBASE,
    },
    Case {
        name: "coinbase-exchange",
        file: "coinbase_exchange_10sym_31s.rec.gz",
        part: ALL,
        decoders: COINBASE_EXCHANGE,
    },
    Case { name: "kraken", file: "kraken_btcusd_d25_51s.rec.gz", part: ALL, decoders: KRAKEN },
];

fn read(case: &Case) -> Option<Recorded> {
    match Recorded::read(&recordings()?.join(case.file), &case.part) {
        Ok(recorded) => Some(recorded),
        Err(error) => {
            println!("SKIPPED: {}: {error}", case.name);
            None
        }
    }
}

/// Every case with every one of its decoders, as `case / decoder`.
fn runs() -> impl Iterator<Item = Run> {
    CASES.iter().flat_map(|case| {
        case.decoders.iter().map(move |(decoder, make)| Run { case, decoder, make: *make })
    })
}

struct Run {
    case: &'static Case,
    decoder: &'static str,
    make: MakeHandler,
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} / {}", self.case.name, self.decoder)
    }
}

#[divan::bench(args = runs(), sample_count = 10, sample_size = 1)]
fn bytes_to_events(bencher: divan::Bencher<'_, '_>, run: &Run) {
    let Some(recorded) = read(run.case) else { return };
    bencher
        .counter(ItemsCount::new(recorded.messages()))
        .counter(BytesCount::new(recorded.byte_count()))
        .with_inputs(|| recorded.prepare((run.make)()))
        .bench_local_refs(|round| recorded.play(round));
}

/// Everything that a decoder says of a recording.
fn said(recorded: &Recorded, make: MakeHandler) -> Counted {
    let mut round = recorded.prepare(make());
    recorded.play(&mut round);
    round.sink
}

/// How long `times` plays take, each with a new handler.
fn time_of(recorded: &Recorded, make: MakeHandler, times: usize) -> Duration {
    let mut time = Duration::ZERO;
    for _ in 0..times {
        let mut round = recorded.prepare(make());
        let start = Instant::now();
        recorded.play(&mut round);
        time += start.elapsed();
        divan::black_box(round);
    }
    time
}

fn main() {
    if recordings().is_none() {
        println!("SKIPPED: no recordings; TICKCAST_FEEDS names their folder");
        return;
    }
    divan::main();
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = wanted.unwrap_or_default();
    for case in CASES.iter().filter(|case| case.name.contains(&wanted)) {
        let Some(recorded) = read(case) else { continue };
        let expected = said(&recorded, case.decoders[0].1);
        for (name, make) in case.decoders {
            assert_eq!(said(&recorded, *make), expected, "{}: {name} differs", case.name);
        }
        let times = ROUND_BYTES.div_ceil(recorded.byte_count());
        let mut contenders: Vec<Timed<'_>> = Vec::new();
        for (name, make) in case.decoders {
            let run = || time_of(&recorded, *make, times);
            contenders.push(Timed { name, run: Box::new(run) });
        }
        ratio_of_times(case.name, recorded.messages() * times, &mut contenders);
    }
}
