//! Ingest: recorded bytes to normalised events on one core, beside the same with `serde_json`.
//!
//! `cargo bench -p tickcast-benches --bench ingest`, with `TICKCAST_FEEDS` naming the folder of
//! recordings. divan's table gives the spread; the `ratio` lines at the end come from interleaved
//! rounds and are the result. Goals: at least twice as fast as `serde_json`, and a million
//! bookTickers a second and core. Another venue is one more entry in [`CASES`].

use divan::counter::{BytesCount, ItemsCount};
use tickcast_benches::serde_binance::SerdeBinance;
use tickcast_benches::{Contender, Recorded, ratio, recordings};
use tickcast_feed::{BinanceConfig, BinanceHandler, Handler};

type MakeHandler = fn() -> Box<dyn Handler>;

/// One recording and who decodes it; the first decoder is ours, the ratios are to it.
struct Case {
    name: &'static str,
    file: &'static str,
    /// Only messages with this in them; empty for all.
    only: &'static str,
    decoders: &'static [(&'static str, MakeHandler)],
}

const BINANCE: &[(&str, MakeHandler)] = &[
    ("tickcast", || Box::new(BinanceHandler::new(BinanceConfig::default()))),
    ("simd-json alone", || Box::new(BinanceHandler::new(BinanceConfig::default()).general_only())),
    ("serde_json", || Box::new(SerdeBinance::default())),
];

const CASES: &[Case] = &[
    Case {
        name: "binance btcusdt",
        file: "binance_btcusdt_650s.rec.gz",
        only: "",
        decoders: BINANCE,
    },
    Case {
        name: "binance btcusdt bookTicker",
        file: "binance_btcusdt_650s.rec.gz",
        only: "@bookTicker",
        decoders: BINANCE,
    },
    Case {
        name: "binance btcusdt depth",
        file: "binance_btcusdt_650s.rec.gz",
        only: "@depth",
        decoders: BINANCE,
    },
    Case {
        name: "binance 3 symbols",
        file: "binance_3sym_91s.rec.gz",
        only: "",
        decoders: BINANCE,
    },
];

fn read(case: &Case) -> Option<Recorded> {
    let path = recordings()?.join(case.file);
    let only = case.only.as_bytes();
    let keep = |message: &[u8]| only.is_empty() || message.windows(only.len()).any(|w| w == only);
    match Recorded::read(&path, keep) {
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
        .counter(ItemsCount::new(recorded.messages))
        .counter(BytesCount::new(recorded.byte_count()))
        .bench(|| recorded.play(&mut *(run.make)()));
}

fn main() {
    if recordings().is_none() {
        println!("SKIPPED: no recordings; TICKCAST_FEEDS names their folder");
        return;
    }
    divan::main();
    for case in CASES {
        let Some(recorded) = read(case) else { continue };
        let expected = recorded.play(&mut *(case.decoders[0].1)());
        for (name, make) in case.decoders {
            assert_eq!(recorded.play(&mut *make()), expected, "{}: {name} differs", case.name);
        }
        let mut contenders: Vec<Contender<'_>> = Vec::new();
        for (name, make) in case.decoders {
            let run = || {
                divan::black_box(recorded.play(&mut *make()));
            };
            contenders.push(Contender { name, run: Box::new(run) });
        }
        ratio(case.name, recorded.messages, &mut contenders);
    }
}
