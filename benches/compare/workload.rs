//! The workloads: what happens in the market, and how many clients want which of it.

use std::fmt::Write as _;

/// How clients choose their symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The most active ones, the same for all.
    All,
    /// By Zipf's law, as activity goes.
    Zipf,
}

/// What the figures of a workload are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// CPU for each delivery, age, rate.
    Deliveries,
    /// Memory of connections on which nothing happens.
    Memory,
    /// CPU and rate of connecting.
    Connects,
}

/// A market and its clients.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) about: About,
    pub(crate) instruments: u32,
    /// Updates a second over all instruments.
    pub(crate) rate: f64,
    pub(crate) connections: u32,
    pub(crate) symbols: u32,
    pub(crate) choice: Choice,
    /// Connects a second at most; 0 is as fast as it goes.
    pub(crate) ramp: u32,
    /// The share of clients that read nothing.
    pub(crate) stalled: f64,
    pub(crate) seconds: u32,
    pub(crate) warmup: u32,
}

impl Workload {
    /// 1,000 clients, 100 updates a second of one symbol: one send for each delivery.
    pub(crate) fn w1a() -> Workload {
        Workload {
            name: "W1a",
            about: About::Deliveries,
            instruments: 1,
            rate: 100.0,
            connections: 1000,
            symbols: 1,
            choice: Choice::All,
            ramp: 0,
            stalled: 0.0,
            seconds: 2,
            warmup: 1,
        }
    }

    /// 2,000 clients with 20 of 500 symbols each, at so many updates a second.
    pub(crate) fn w2(name: &'static str, rate: f64) -> Workload {
        Workload {
            name,
            instruments: 500,
            rate,
            connections: 2000,
            symbols: 20,
            choice: Choice::Zipf,
            ..Workload::w1a()
        }
    }

    /// Connections in a quiet market. They come no faster than any server takes them, so that
    /// what is counted is what they keep, not what a crowd at the door once took.
    pub(crate) fn idle(name: &'static str, symbols: u32) -> Workload {
        Workload {
            about: About::Memory,
            connections: 10_000,
            ramp: 4000,
            symbols,
            seconds: 1,
            warmup: 1,
            ..Workload::w2(name, 0.0)
        }
    }

    /// As fast as it goes, each with one subscription, in a quiet market.
    pub(crate) fn connects() -> Workload {
        Workload {
            about: About::Connects,
            connections: 5000,
            ramp: 0,
            ..Workload::idle("connect", 1)
        }
    }

    /// The scenario for the load tester.
    pub(crate) fn scenario(&self) -> String {
        let Workload { name, connections, ramp, seconds, warmup, symbols, .. } = self;
        let choice = match self.choice {
            Choice::All => "all",
            Choice::Zipf => "zipf",
        };
        let mut text = format!(
            "name = \"{name}\"\nconnections = {connections}\nprocesses = 1\n\
             ramp = {ramp}.0\nseconds = {seconds}\n\
             warmup = {warmup}\nsymbols_per_connection = {symbols}\nchoice = \"{choice}\"\n\
             zipf = 1.0\nsample = 0\n"
        );
        if self.stalled > 0.0 {
            // Writing to a string cannot fail.
            let _ = write!(text, "[slow]\nshare = {}\nbytes_per_second = 0\n", self.stalled);
        }
        text
    }

    /// In words, for the report.
    pub(crate) fn words(&self) -> String {
        let Workload { connections, symbols, instruments, rate, .. } = self;
        let clients = match (self.choice, symbols) {
            (_, 0) => format!("{connections} clients without a subscription"),
            (Choice::All, _) => format!("{connections} clients with the same {symbols}"),
            (Choice::Zipf, _) => format!("{connections} clients with {symbols} by Zipf's law"),
        };
        let market = match *rate > 0.0 {
            true => format!("{rate} updates a second over {instruments} instruments"),
            false => "a quiet market".to_owned(),
        };
        let stalled = match self.stalled > 0.0 {
            true => format!(", {:.0} % of them reading nothing", self.stalled * 100.0),
            false => String::new(),
        };
        let ramp = match self.ramp {
            0 => String::new(),
            ramp => format!(", {ramp} connects a second"),
        };
        format!("{market}; {clients}{stalled}{ramp}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_says_what_the_workload_is() {
        let text = Workload { stalled: 0.1, ..Workload::w2("W2", 5000.0) }.scenario();
        for part in ["connections = 2000", "symbols_per_connection = 20", "share = 0.1"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(Workload::w1a().words().contains("100 updates a second over 1 instruments"));
    }
}
