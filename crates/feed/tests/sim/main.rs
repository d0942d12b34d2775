//! The simulator as its users see it: through a sink, against a book that is applied apart.

mod watch;

use std::collections::BTreeMap;
use tickcast_feed::{Pace, Sim, SimConfig, SimError};
use tickcast_market::{
    BookSide, Event, EventBody, InstrumentIndex, InstrumentSpec, Interval, Nanos, Scales, Sink,
    TradingState, Venue,
};
use watch::Watch;

/// Half past an hour in 2026, so that no hour ends within the shorter tests.
const START: Nanos = Nanos::from_secs(1_780_000_200);

fn config(instruments: u32, rate: f64, pace: Pace) -> SimConfig {
    SimConfig { instruments, rate, pace, ..SimConfig::default() }
}

/// Runs a market for a span, a second or less at a time, as a driver would.
fn run<S: Sink>(config: SimConfig, span: Nanos, sink: &mut S) {
    let mut sim = Sim::new(config).unwrap();
    sim.start(START, sink);
    let end = START.plus(span);
    let mut now = START;
    while now < end {
        now = now.plus(Nanos::from_millis(250)).min(end);
        while sim.next_due().is_some_and(|due| due <= now) {
            assert_eq!(sim.advance(now, sink).skipped, Nanos::ZERO);
        }
    }
}

fn watch(config: SimConfig, span: Nanos) -> Watch {
    let mut watch = Watch::default();
    run(config, span, &mut watch);
    watch.close();
    watch
}

#[test]
fn the_same_seed_gives_the_same_events_on_every_platform() {
    let market = |seed| {
        let config = SimConfig { seed, ..config(20, 300.0, Pace::Natural) };
        watch(config, Nanos::from_secs(5)).hash
    };
    assert_eq!(market(1), market(1));
    assert_ne!(market(1), market(2));
    // Changes when the order flow is changed; must not differ between machines.
    assert_eq!(market(1), 0x71A8_61BB_4C9D_E8EA);
}

#[test]
fn how_often_it_is_advanced_changes_nothing_but_the_time_of_receipt() {
    #[derive(Default)]
    struct Bodies(Vec<String>);
    impl Sink for Bodies {
        fn instrument(&mut self, _: &InstrumentSpec) -> InstrumentIndex {
            InstrumentIndex(0)
        }
        fn event(&mut self, event: &Event<'_>) {
            self.0.push(format!("{:?} {:?}", event.ts_event, event.body));
        }
    }
    let (mut coarse, mut fine) = (Bodies::default(), Bodies::default());
    run(config(5, 200.0, Pace::Natural), Nanos::from_secs(3), &mut coarse);
    let mut sim = Sim::new(config(5, 200.0, Pace::Natural)).unwrap();
    sim.start(START, &mut fine);
    while let Some(due) = sim.next_due().filter(|due| *due <= START.plus(Nanos::from_secs(3))) {
        assert_eq!(sim.advance(due, &mut fine).updates, 1);
    }
    assert!(coarse.0.len() > 500);
    assert_eq!(coarse.0, fine.0);
}

#[test]
fn every_update_changes_the_ticker_and_the_book_stays_whole() {
    // The sink checks every event; here is what it counted.
    for (instruments, rate, zipf, seed) in
        [(1, 2_000.0, 1.0, 1), (50, 2_000.0, 1.0, 2), (300, 2_000.0, 0.0, 3), (3, 900.0, 2.0, 4)]
    {
        let config = SimConfig { zipf, seed, ..config(instruments, rate, Pace::Steady) };
        let watch = watch(config, Nanos::from_secs(30));
        assert_eq!(watch.total(), 30 * rate as u64);
        assert_eq!(watch.unchanged, 0);
        let share = watch.trades as f64 / watch.total() as f64;
        assert!((0.15..0.45).contains(&share), "{share} trades per update");
        assert!(watch.walked > watch.trades / 50, "some orders eat more than one level");
    }
}

#[test]
fn steady_updates_are_evenly_spaced_and_exactly_as_many_as_asked_for() {
    let watch = watch(config(50, 500.0, Pace::Steady), Nanos::from_secs(10));
    assert_eq!((watch.total(), watch.unchanged), (5_000, 0));
    for (n, time) in watch.times.iter().enumerate() {
        assert_eq!(*time, START.plus(Nanos::from_millis(2 * (n as i64 + 1))));
    }
}

#[test]
fn natural_updates_come_at_the_rate_in_the_mean() {
    let watch = watch(config(50, 500.0, Pace::Natural), Nanos::from_secs(120));
    let mean = watch.total() as f64 / 120.0;
    assert!((450.0..550.0).contains(&mean), "{mean}");
    assert!(watch.times.is_sorted());
    assert_eq!(watch.unchanged, 0);
}

#[test]
fn activity_falls_with_the_rank() {
    let watch = watch(config(100, 10_000.0, Pace::Steady), Nanos::from_secs(20));
    let harmonic: f64 = (1..=100).map(|rank| 1.0 / f64::from(rank)).sum();
    for rank in [1u32, 2, 3, 10, 30, 100] {
        let expected = 200_000.0 / harmonic / f64::from(rank);
        let seen = watch.seen[rank as usize - 1].updates as f64;
        assert!((seen - expected).abs() < 5.0 * expected.sqrt(), "{rank}: {seen} of {expected}");
    }
}

#[test]
fn a_start_declares_everything_and_brings_every_instrument_to_life() {
    let watch = watch(config(200, 0.0, Pace::Natural), Nanos::ZERO);
    assert_eq!(watch.specs[0].symbol, "S0-USD");
    assert_eq!(watch.specs[199].symbol, "S199-USD");
    for (spec, watched) in watch.specs.iter().zip(&watch.seen) {
        assert_eq!(spec.venue, Venue::Sim);
        assert_ne!(spec.scales, Scales::default());
        assert_eq!(watched.state, Some(TradingState::Live));
        let bars: Vec<_> = watched.bars.iter().map(|(i, n)| (i.name(), *n)).collect();
        assert_eq!(bars, [("1m", 60), ("5m", 60), ("1h", 60)]);
        let day = watched.day.expect("day statistics");
        assert!(day.low <= day.open && day.open <= day.high);
        assert!(day.low <= day.last && day.last <= day.high);
        assert!(day.volume.expect("a volume").0 > 0);
        let bid = watched.book.best(BookSide::Bid).expect("a bid").price;
        assert_eq!(day.last, Some(bid), "the past leads to the present");
    }
}

#[test]
fn bars_of_the_past_fit_each_other_and_end_before_the_start() {
    #[derive(Default)]
    struct Bars(BTreeMap<Interval, Vec<tickcast_market::Bar>>);
    impl Sink for Bars {
        fn instrument(&mut self, _: &InstrumentSpec) -> InstrumentIndex {
            InstrumentIndex(0)
        }
        fn event(&mut self, event: &Event<'_>) {
            if let EventBody::Bars(interval, bars) = event.body {
                self.0.insert(interval, bars.to_vec());
            }
        }
    }
    let mut bars = Bars::default();
    run(config(1, 0.0, Pace::Natural), Nanos::ZERO, &mut bars);
    for (interval, bars) in &bars.0 {
        for (n, bar) in bars.iter().enumerate() {
            assert_eq!(bar.start, interval.start_of(bar.start));
            assert!(bar.start.plus(interval.span()) <= START && bar.closed && bar.trades > 0);
            assert!(bar.low <= bar.open.min(bar.close) && bar.high >= bar.open.max(bar.close));
            if let Some(next) = bars.get(n + 1) {
                assert_eq!(next.start, bar.start.plus(interval.span()));
                assert_eq!(next.open, bar.close);
            }
        }
    }
    let (short, long) = (&bars.0[&Interval::M1], &bars.0[&Interval::M5]);
    let five = short.windows(5).find(|w| w[0].start == long[55].start).expect("minutes of it");
    assert_eq!(long[55].high, five.iter().map(|bar| bar.high).max().unwrap());
    assert_eq!(long[55].volume.0, five.iter().map(|bar| bar.volume.0).sum::<i128>());
}

#[test]
fn day_statistics_agree_with_the_trades_and_come_every_second() {
    // That they agree is checked by the sink, each time that they come.
    let watch = watch(config(10, 2_000.0, Pace::Steady), Nanos::from_secs(60));
    let end = START.plus(Nanos::from_secs(60));
    for watched in &watch.seen {
        let silent = end.since(watched.day_at);
        assert!(silent < Nanos::from_millis(1_500), "{silent:?}");
    }
    // Ten instruments, a minute, the start; and some new highs and lows.
    assert!((560..1_200).contains(&watch.days), "{}", watch.days);
}

#[test]
fn a_day_rolls_on_while_the_market_runs() {
    let mut watch = Watch { is_rolling: true, ..Watch::default() };
    let config = config(2, 50.0, Pace::Steady);
    run(config, Nanos::from_secs(26 * 3_600), &mut watch);
    watch.close();
    for watched in &watch.seen {
        // After more than a day nothing is left of the past that was made up.
        let volume = watched.day.and_then(|day| day.volume).expect("a volume").0;
        assert!(volume < watched.traded && volume * 10 > watched.traded * 8, "{volume}");
    }
}

#[test]
fn twenty_thousand_instruments_start_and_run() {
    let watch = watch(config(20_000, 5_000.0, Pace::Natural), Nanos::from_secs(1));
    assert_eq!(watch.specs.len(), 20_000);
    assert!(watch.seen.iter().all(|watched| watched.state == Some(TradingState::Live)));
    assert!(watch.seen.iter().all(|watched| watched.bars.is_empty()), "no bars for so many");
    assert!(watch.total() > 2_000 && watch.unchanged == 0);
}

#[test]
fn a_quiet_market_says_nothing_after_the_start() {
    let mut watch = Watch::default();
    let mut sim = Sim::new(config(5, 0.0, Pace::Natural)).unwrap();
    sim.start(START, &mut watch);
    let events = watch.events;
    assert_eq!(sim.next_due(), None);
    assert_eq!(sim.advance(START.plus(Nanos::from_secs(3_600)), &mut watch).updates, 0);
    assert_eq!(watch.events, events);
}

#[test]
fn nothing_is_due_before_the_start() {
    let mut sim = Sim::new(config(5, 100.0, Pace::Steady)).unwrap();
    assert_eq!(sim.next_due(), None);
    assert_eq!(sim.advance(START, &mut Watch::default()).updates, 0);
}

#[test]
fn one_call_is_bounded_and_who_is_too_late_misses_what_was() {
    let mut watch = Watch::default();
    let mut sim = Sim::new(config(5, 10_000.0, Pace::Steady)).unwrap();
    sim.start(START, &mut watch);
    let late = START.plus(Nanos::from_secs(1));
    let mut updates = Vec::new();
    while sim.next_due().is_some_and(|due| due <= late) {
        updates.push(sim.advance(late, &mut watch).updates);
    }
    assert_eq!(updates, [Sim::ADVANCE_UPDATES_MAX, Sim::ADVANCE_UPDATES_MAX, 1_808]);

    let later = START.plus(Nanos::from_secs(60));
    let advanced = sim.advance(later, &mut watch);
    assert_eq!(advanced.updates, 0);
    assert_eq!(advanced.skipped, later.since(late).since(Nanos(100_000)));
    assert_eq!(sim.next_due(), Some(later.plus(Nanos(100_000))), "and it goes on");
    assert_eq!(sim.advance(later.plus(Nanos::from_secs(1)), &mut watch).skipped, Nanos::ZERO);
    watch.close();
    assert_eq!(watch.unchanged, 0);
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    let base = SimConfig::default();
    for (config, error, text) in [
        (SimConfig { instruments: 0, ..base }, SimError::Instruments(0), "instruments: 0"),
        (
            SimConfig { instruments: 20_001, ..base },
            SimError::Instruments(20_001),
            "instruments: 20001 is not from 1 to 20000",
        ),
        (SimConfig { rate: -1.0, ..base }, SimError::Rate(-1.0), "rate: -1 "),
        (SimConfig { rate: 2e6, ..base }, SimError::Rate(2e6), "rate: 2000000 "),
        (SimConfig { zipf: -0.5, ..base }, SimError::Zipf(-0.5), "zipf: -0.5 "),
    ] {
        let found = Sim::new(config).unwrap_err();
        assert_eq!(found, error);
        assert!(found.to_string().starts_with(text), "{found}");
    }
    assert!(Sim::new(SimConfig { rate: f64::NAN, ..base }).is_err());
    assert!(Sim::new(SimConfig { zipf: f64::INFINITY, ..base }).is_err());
}
