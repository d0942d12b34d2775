//! Plays the script: each step on all lanes at once, until it is over on each of them.

use crate::lane::{Entry, Lane};
use crate::script::{Script, Step};
use crate::service::Service;
use crate::service::place::{ANY, own_address};
use crate::tokens::TokenDesk;
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A silent line is noticed after 15 s, a recording ends after 31 s, on a busy machine both a little
/// later; nothing takes longer.
const STEP_MAX: Duration = Duration::from_secs(90);

/// Between two looks at all drivers.
const PAUSE: Duration = Duration::from_millis(100);

/// A performance of the script.
pub(crate) struct Play {
    script: Script,
    /// Arguments of the service.
    args: Vec<String>,
    service: Service,
    tokens: TokenDesk,
    pub(crate) lanes: Vec<Lane>,
}

impl Play {
    /// Starts the service and the drivers.
    pub(crate) fn start(
        script: Script,
        recording: PathBuf,
        secret: PathBuf,
        entries: &[Entry],
    ) -> Play {
        let text = |path: PathBuf| path.to_str().expect("a path of text").to_owned();
        let args = [
            "--replay".to_owned(),
            text(recording),
            "--replay-speed".to_owned(),
            script.service.replay_speed.to_string(),
            "--replay-wait".to_owned(),
            "--drain-window".to_owned(),
            script.service.drain_window.clone(),
            "--auth-secret".to_owned(),
            text(secret),
        ];
        let args = Vec::from(args);
        let own: Vec<&str> = args.iter().map(String::as_str).collect();
        let service = Service::begin(own_address(), ANY, &own).listening();
        let tokens =
            TokenDesk::start(script.tokens, entries.iter().map(|entry| entry.name.clone()));
        let wanted = serde_json::to_string(&script.subscriptions).expect("JSON");
        let start = |entry| Lane::start(entry, service.public, &tokens, &wanted);
        let mut lanes: Vec<Lane> = entries.iter().map(start).collect();
        lanes.iter_mut().for_each(Lane::until_ready);
        Play { script, args, service, tokens, lanes }
    }

    /// Plays all of it.
    pub(crate) fn run(&mut self) {
        self.until("all are live", |lane, tokens| {
            lane.is_live() && tokens.has_given_bad(&lane.entry.name)
        });
        let began = Instant::now();
        for step in self.script.steps.clone() {
            self.step(&step);
            println!("{:5.1} s: {step:?}", began.elapsed().as_secs_f64());
        }
        self.count();
        self.lanes.iter_mut().for_each(Lane::stop);
    }

    fn step(&mut self, step: &Step) {
        for lane in &mut self.lanes {
            lane.begin(&self.tokens);
            // Events have no code to be closed with: whoever may not have them is refused by HTTP.
            if !(lane.is_sse() && matches!(step, Step::Dismiss { .. })) {
                lane.proxy.begin(step);
            }
        }
        let what = format!("{step:?}");
        match *step {
            Step::Flow { messages } => self.until(&what, |lane, _| lane.new_messages() >= messages),
            Step::Falsify { .. } => self.until(&what, |lane, _| {
                let is_noticed = lane.new_checksum_failures() > 0 || lane.entry.is_wrong;
                // All may have come while their symbols were asked for again, and been left aside.
                if lane.proxy.is_idle() && !is_noticed {
                    lane.proxy.begin(step);
                }
                lane.proxy.is_idle() && is_noticed
            }),
            Step::Delay { .. } | Step::Repeat { .. } | Step::Lose { .. } => {
                self.until(&what, |lane, _| lane.proxy.is_idle());
            }
            Step::Cut { .. } | Step::Close { .. } | Step::Stall {} => {
                self.until(&what, |lane, _| lane.proxy.is_idle() && lane.is_back());
            }
            Step::Tokens { life_s } => self.tokens.set_life(life_s),
            Step::Refresh { tokens: new } => {
                self.until(&what, |lane, tokens| lane.new_tokens(tokens) >= new);
                for lane in self.lanes.iter_mut().filter(|lane| !lane.has_stayed()) {
                    lane.blame(["it gave up its connection for a new token".to_owned()]);
                }
            }
            Step::Drain {} => {
                self.service.ask_to_stop();
                assert_eq!(self.service.wait(), Some(0), "it ends in order");
                self.again(&what);
            }
            Step::Kill {} => {
                self.service.kill();
                self.again(&what);
            }
            Step::Compare {} => self.compare(),
            Step::Dismiss { .. } => self.until(&what, |lane, _| lane.is_closed() || lane.is_sse()),
        }
    }

    /// Starts the service again where it was, and waits until everybody has come back.
    fn again(&mut self, what: &str) {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        self.service = Service::begin(self.service.public, ANY, &args).listening();
        self.until(what, |lane, _| lane.is_back());
    }

    /// Asks all drivers what they hold, until this holds for each.
    fn until(&mut self, what: &str, holds: impl Fn(&Lane, &TokenDesk) -> bool) {
        let deadline = Instant::now() + STEP_MAX;
        loop {
            let (mut missing, mut is_hopeless) = (Vec::new(), false);
            for lane in &mut self.lanes {
                lane.look();
                if !holds(lane, &self.tokens) {
                    is_hopeless |= lane.is_closed();
                    missing.push(lane.describe());
                }
            }
            if missing.is_empty() {
                return;
            }
            let is_late = Instant::now() > deadline;
            assert!(!is_late && !is_hopeless, "{what}: not so for {missing:#?}");
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until the recording is over and every driver holds what the service shows. A driver
    /// that has not come to that in time never will.
    fn compare(&mut self) {
        let deadline = Instant::now() + STEP_MAX;
        let mut shown = Vec::new();
        loop {
            let before = std::mem::replace(&mut shown, self.snapshots());
            let is_over = !shown.is_empty() && before == shown;
            self.lanes.iter_mut().for_each(Lane::look);
            let is_waited_for =
                |lane: &Lane| !lane.entry.is_wrong && !lane.differences(&shown).is_empty();
            if is_over && !self.lanes.iter().any(is_waited_for) || Instant::now() > deadline {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        assert!(!shown.is_empty(), "the recording does not end");
        for lane in &mut self.lanes {
            let differences = lane.differences(&shown);
            lane.blame(differences);
        }
    }

    /// What the service shows of every instrument on every channel; nothing while the recording
    /// goes on.
    fn snapshots(&self) -> Vec<Value> {
        let token = self.tokens.token();
        let list = self.service.json(&format!("/v1/instruments?token={token}"));
        let list = list["instruments"].as_array().expect("a list");
        assert!(!list.is_empty(), "the recording has instruments");
        if list.iter().any(|instrument| instrument["state"] != "stale") {
            return Vec::new();
        }
        let symbols: Vec<&str> =
            list.iter().filter_map(|instrument| instrument["symbol"].as_str()).collect();
        let symbols = symbols.join(",");
        let snapshot = |params: &serde_json::Map<String, Value>| {
            let channel = params["channel"].as_str().expect("text");
            let mut path = format!("/v1/snapshot?token={token}&channel={channel}&symbol={symbols}");
            for name in ["depth", "interval"] {
                if let Some(value) = params.get(name) {
                    let value = value.as_str().map_or(value.to_string(), str::to_owned);
                    path.push_str(&format!("&{name}={value}"));
                }
            }
            let mut message = self.service.json(&path);
            for item in message["data"].as_array_mut().expect("data") {
                item.as_object_mut().expect("an item").remove("ts_publish");
            }
            message
        };
        self.script.subscriptions.iter().map(snapshot).collect()
    }

    /// Judges what has been counted: that the faults have happened, and that the drivers saw them.
    fn count(&mut self) {
        let least = &self.script.least;
        let least = [
            ("reconnects", least.reconnects),
            ("resyncs", least.resyncs),
            ("checksum_failures", least.checksum_failures),
        ];
        for lane in &mut self.lanes {
            for (what, least) in least {
                let counted = lane.counted(what);
                // One that is wrong has to be found by what it holds.
                if counted < least && !lane.entry.is_wrong {
                    lane.blame([format!("{counted} {what}, at least {least} have happened")]);
                }
            }
            let early = lane.proxy.done.early.load(std::sync::atomic::Ordering::Relaxed);
            if early > 0 {
                lane.blame([format!("it came back {early} times before it should after a goaway")]);
            }
            println!("{}", lane.figures());
        }
    }
}
