//! How the figures of a report follow from counts and looks.

use crate::report::{Age, Clients, Own, Report, Returns, Seen, Server, Spread};
use crate::run::Looks;
use crate::tally::{Tally, Times};

impl Report {
    pub(crate) fn fill(&mut self, tally: &Tally, looks: &Looks) {
        let flow = tally.flow;
        self.subscriptions = tally.subscriptions;
        self.deliveries = flow.deliveries;
        self.deliveries_per_second = flow.deliveries as f64 / self.seconds;
        self.bytes = flow.bytes;
        self.bytes_per_second = flow.bytes as f64 / self.seconds;
        self.reads = flow.reads;
        self.frames = flow.frames;
        self.frames_per_read = ratio(flow.frames as f64, flow.reads);
        self.age_us = Age {
            p50: tally.age.quantile(0.5),
            p90: tally.age.quantile(0.9),
            p99: tally.age.quantile(0.99),
            p999: tally.age.quantile(0.999),
            p9999: tally.age.quantile(0.9999),
            max: tally.age.max(),
            mean: tally.age.mean(),
        };
        self.connect.us = spread(&tally.connect);
        self.welcome_us = spread(&tally.welcome);
        self.first_snapshot_us = spread(&tally.first_snapshot);
        self.returns = Returns {
            count: tally.returned.len(),
            failed: tally.correctness.return_failed,
            us: spread(&tally.returned),
        };
        self.clients = clients(&tally.clients);
        self.server = self.server(looks);
        let own = tally.own_cpu_us as f64;
        self.own = Own {
            cpu_us_per_delivery: ratio(own, flow.deliveries),
            cpu_cores: Some(own / 1e6 / self.seconds),
            cpu_us_per_read: ratio(own, flow.reads),
        };
        let seen = &tally.correctness;
        self.correctness = Seen {
            gaps: seen.gaps,
            duplicates: seen.duplicates,
            overlaps: seen.overlaps,
            violations: seen.violations(),
            broken: seen.broken.clone(),
            reconnects: seen.reconnects,
            asked_again: seen.asked_again,
            refused: seen.refused.clone(),
            compared: seen.compared,
            mismatched: seen.mismatched,
            not_compared: seen.not_compared,
            closed: seen.closed.clone(),
            slow_closed: seen.slow_closed.clone(),
            examples: seen.examples.clone(),
        };
    }

    fn server(&self, looks: &Looks) -> Server {
        let used = |from: Option<crate::server::Usage>, upto: Option<crate::server::Usage>| {
            Some(upto?.cpu_us - from?.cpu_us)
        };
        let measured = used(looks.first, looks.last);
        let per = |value: Option<f64>, count: u64| value.and_then(|value| ratio(value, count));
        let rss = |usage: Option<crate::server::Usage>| usage.map(|usage| usage.rss_bytes);
        let grown = rss(looks.settled).zip(rss(looks.before));
        Server {
            source: looks.source.clone(),
            cpu_us_per_delivery: per(measured, self.deliveries),
            cpu_cores: measured.map(|used| used / 1e6 / self.seconds),
            rss_before_bytes: rss(looks.before),
            rss_connected_bytes: rss(looks.settled),
            rss_after_bytes: rss(looks.last),
            rss_per_connection_bytes: per(
                grown.map(|(settled, before)| settled - before),
                self.connected,
            ),
            cpu_us_per_connect: per(used(looks.before, looks.connected), self.connected),
        }
    }
}

fn ratio(value: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| value / count as f64)
}

fn spread(times: &Times) -> Spread {
    Spread {
        p50: times.quantile(0.5),
        p90: times.quantile(0.9),
        p99: times.quantile(0.99),
        max: times.max(),
    }
}

fn clients(watched: &[(u64, u64)]) -> Clients {
    let sorted = |mut values: Vec<u64>| {
        values.sort_unstable();
        values
    };
    let over = |values: &[u64]| {
        let at = |quantile: f64| {
            let rank = (quantile * values.len() as f64).ceil() as usize;
            values.get(rank.saturating_sub(1)).copied()
        };
        Spread { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: values.last().copied() }
    };
    let p99 = sorted(watched.iter().map(|(p99, _)| *p99).collect());
    let p50 = sorted(watched.iter().map(|(_, p50)| *p50).collect());
    Clients {
        watched: watched.len() as u64,
        age_p50_us: over(&p50),
        age_p99_us: over(&p99),
        p99_us: p99,
    }
}
