//! What is seen while a run lasts: one line on standard error, where that is a terminal; else a
//! line for each phase.

use crate::job::State;
use crate::scenario::Scenario;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Instant;

pub(crate) struct Progress {
    bar: ProgressBar,
    /// Says phases in lines of their own.
    is_plain: bool,
    connections: usize,
    phase: String,
    began: Instant,
    seconds: u64,
    rate: f64,
    last: (Instant, u64),
}

impl Progress {
    pub(crate) fn new(scenario: &Scenario, is_quiet: bool) -> Progress {
        let bar = ProgressBar::new(1);
        if is_quiet || !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template("{prefix:>12} [{bar:24}] {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        let now = Instant::now();
        Progress {
            is_plain: !is_quiet && !std::io::stderr().is_terminal(),
            bar,
            connections: scenario.connections,
            phase: String::new(),
            began: now,
            seconds: 0,
            rate: 0.0,
            last: (now, 0),
        }
    }

    /// A new phase begins; 0 seconds is one whose end is not known.
    pub(crate) fn phase(&mut self, name: &str, seconds: u64) {
        if self.is_plain {
            eprintln!("loadtest: {name}");
        }
        name.clone_into(&mut self.phase);
        self.began = Instant::now();
        self.seconds = seconds;
        self.bar.set_prefix(name.to_owned());
    }

    /// Shows how far the engines are.
    pub(crate) fn show(&mut self, state: &State) {
        if self.bar.is_hidden() {
            return;
        }
        let span = self.last.0.elapsed().as_secs_f64();
        if span >= 0.5 {
            self.rate = state.deliveries.saturating_sub(self.last.1) as f64 / span;
            self.last = (Instant::now(), state.deliveries);
        }
        if self.seconds > 0 {
            self.bar.set_length(self.seconds * 10);
            self.bar.set_position((self.began.elapsed().as_secs_f64() * 10.0) as u64);
        } else {
            self.bar.set_length(self.connections as u64);
            self.bar.set_position(state.connected as u64);
        }
        self.bar.set_message(format!(
            "{} of {} connected, {} first messages missing, {:.0} deliveries/s, {} faults",
            state.connected, self.connections, state.missing, self.rate, state.faults
        ));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
