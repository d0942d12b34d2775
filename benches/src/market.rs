//! The workload of the naive servers: instruments whose quotes walk at random, the most active
//! first by Zipf's law, updates evenly spaced in time; and the messages that tell of it.

use crate::subset::{EPOCH, now_micros};
use clap::Args;
use fastrand::Rng;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How many updates may be made up for after a delay; what is older is left out.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// What happens in the market.
#[derive(Clone, Debug, Args)]
pub struct Workload {
    /// Instruments, `sim:S0-USD` being the most active
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub instruments: u32,
    /// Ticker updates a second over all instruments; 0 is quiet
    #[arg(long, default_value_t = 500.0)]
    pub rate: f64,
    /// Activity by rank: exponent of the Zipf distribution
    #[arg(long, default_value_t = 1.0)]
    pub zipf: f64,
    /// How updates are spaced
    #[arg(long, default_value = "steady", value_parser = ["steady"])]
    pub pace: String,
    /// Seed of everything that is random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// One instrument's quote.
#[derive(Clone, Debug)]
pub struct Instrument {
    /// Its name.
    pub symbol: String,
    /// Of the latest change.
    pub seq: u64,
    /// In cents.
    bid: i64,
    ask: i64,
    bid_size: i64,
    ask_size: i64,
}

impl Instrument {
    fn new(rank: u32, rng: &mut Rng) -> Instrument {
        let bid = rng.i64(1_000_000..9_000_000);
        let symbol = format!("sim:S{rank}-USD");
        Instrument { symbol, seq: 1, bid, ask: bid + 1, bid_size: 100, ask_size: 100 }
    }

    /// The next quote: the bid, sometimes the ask too, has moved.
    pub fn step(&mut self, rng: &mut Rng) {
        self.seq += 1;
        self.bid_size = rng.i64(1..10_000);
        if rng.u8(..4) == 0 {
            self.bid = (self.bid + rng.i64(-3..=3)).max(100);
            self.ask = self.bid + rng.i64(1..=3);
            self.ask_size = rng.i64(1..10_000);
        }
    }

    /// Everything there is to say.
    pub fn snapshot(&self) -> String {
        let mut out = String::with_capacity(320);
        self.open(&mut out, "snapshot", "");
        out.push_str(",\"state\":\"live\"");
        self.write_side(&mut out, "bid", self.bid, self.bid_size);
        self.write_side(&mut out, "ask", self.ask, self.ask_size);
        close(&mut out);
        out
    }

    /// What has changed by the latest step, as `before` shows.
    pub fn update(&self, before: &Instrument) -> String {
        let mut out = String::with_capacity(320);
        let mut number = itoa::Buffer::new();
        self.open(&mut out, "update", number.format(before.seq));
        self.write_side(&mut out, "bid", self.bid, self.bid_size);
        if (self.ask, self.ask_size) != (before.ask, before.ask_size) {
            self.write_side(&mut out, "ask", self.ask, self.ask_size);
        }
        close(&mut out);
        out
    }

    fn open(&self, out: &mut String, kind: &str, prev: &str) {
        let (symbol, seq) = (&self.symbol, self.seq);
        let comma = if prev.is_empty() { "" } else { ",\"prev\":" };
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "{{\"channel\":\"ticker\",\"type\":\"{kind}\",\"data\":[{{\"symbol\":\"{symbol}\",\
             \"epoch\":{EPOCH}{comma}{prev},\"seq\":{seq}"
        );
    }

    fn write_side(&self, out: &mut String, name: &str, price: i64, size: i64) {
        let (whole, cents) = (price / 100, price % 100);
        let (units, parts) = (size / 1000, size % 1000);
        let _ = write!(
            out,
            ",\"{name}\":\"{whole}.{cents:02}\",\"{name}_size\":\"{units}.{parts:03}\""
        );
    }
}

fn close(out: &mut String) {
    let now = now_micros();
    let _ = write!(out, ",\"ts_event\":{now},\"ts_publish\":{now}}}]}}");
}

/// All instruments, and which is next.
#[derive(Clone, Debug)]
pub struct Market {
    /// The most active first.
    pub instruments: Vec<Instrument>,
    /// The chance that an instrument or a more active one is next.
    upto: Vec<f64>,
    rng: Rng,
}

impl Market {
    /// A market in which nothing has happened.
    pub fn new(workload: &Workload) -> Market {
        let mut rng = Rng::with_seed(workload.seed);
        let instruments =
            (0..workload.instruments).map(|rank| Instrument::new(rank, &mut rng)).collect();
        let weight = |rank: u32| f64::from(rank).powf(-workload.zipf);
        let total: f64 = (1..=workload.instruments).map(weight).sum();
        let mut sum = 0.0;
        let upto = (1..=workload.instruments)
            .map(|rank| {
                sum += weight(rank) / total;
                sum
            })
            .collect();
        Market { instruments, upto, rng }
    }

    /// The place of the instrument that changes next.
    pub fn choose(&mut self) -> usize {
        let shot = self.rng.f64();
        self.upto.partition_point(|upto| *upto < shot).min(self.instruments.len() - 1)
    }

    /// Lets that instrument change: its quote before and after.
    pub fn step(&mut self, place: usize) -> (Instrument, &Instrument) {
        let before = self.instruments[place].clone();
        self.instruments[place].step(&mut self.rng);
        (before, &self.instruments[place])
    }
}

/// The moments of updates, evenly spaced whatever the receiver takes.
#[derive(Clone, Copy, Debug)]
pub struct Updates {
    step: Duration,
    due: Instant,
}

impl Updates {
    /// From now on; `None` in a quiet market.
    pub fn new(rate: f64) -> Option<Updates> {
        let step = (rate > 0.0).then(|| Duration::from_secs_f64(1.0 / rate))?;
        Some(Updates { step, due: Instant::now() + step })
    }

    /// Blocks until the next.
    pub fn wait(&mut self) {
        let now = Instant::now();
        match self.due.checked_duration_since(now) {
            Some(wait) => std::thread::sleep(wait),
            None if now - self.due > BEHIND_MAX => self.due = now,
            None => {}
        }
        self.due += self.step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn workload() -> Workload {
        Workload { instruments: 20, rate: 100.0, zipf: 1.0, pace: "steady".into(), seed: 3 }
    }

    #[test]
    fn updates_connect_and_say_what_the_next_snapshot_says() {
        let mut market = Market::new(&workload());
        let mut sizes = 0;
        let first = market.instruments[3].snapshot();
        let mut held: Value = serde_json::from_str::<Value>(&first).unwrap()["data"][0].clone();
        for _ in 0..1000 {
            let (before, now) = market.step(3);
            let text = now.update(&before);
            sizes += text.len();
            let update: Value = serde_json::from_str(&text).unwrap();
            let data = update["data"][0].as_object().unwrap();
            assert_eq!(data["prev"], held["seq"]);
            for (key, value) in data.iter().filter(|(key, _)| *key != "prev") {
                held[key] = value.clone();
            }
        }
        let snapshot: Value = serde_json::from_str(&market.instruments[3].snapshot()).unwrap();
        for key in ["seq", "bid", "bid_size", "ask", "ask_size"] {
            assert_eq!(snapshot["data"][0][key], held[key], "{key}");
        }
        let mean = sizes / 1000;
        assert!((200..=230).contains(&mean), "as long as tickcast's: {mean}");
    }

    #[test]
    fn the_most_active_is_chosen_by_zipf_s_law() {
        let mut market = Market::new(&workload());
        let mut counts = [0; 20];
        for _ in 0..100_000 {
            counts[market.choose()] += 1;
        }
        let expect = 100_000.0 / (1..=20).map(|rank| 1.0 / f64::from(rank)).sum::<f64>();
        assert!((f64::from(counts[0]) / expect - 1.0).abs() < 0.03, "{counts:?}");
        assert!((f64::from(counts[9]) / (expect / 10.0) - 1.0).abs() < 0.1, "{counts:?}");
    }
}
