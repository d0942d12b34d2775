//! A run from its first connection to its report: phases, events, the service's usage.

use crate::crew::Crew;
use crate::error::{Error, Result};
use crate::job::{News, Order, State};
use crate::progress::Progress;
use crate::report::{Herd, Report, Row};
use crate::scenario::Scenario;
use crate::server::{Probe, Usage};
use crate::tally::{Flow, Tally, Times};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Snapshots that do not come for so long will not come.
const STALLED: Duration = Duration::from_secs(20);

/// Between the last snapshot and the look at the memory.
const SETTLE: Duration = Duration::from_secs(1);

/// How long the sampled clients may look for a moment to compare in.
const COMPARE_SECONDS: u64 = 15;

/// What an engine says of its end comes within this.
const ENDING: Duration = Duration::from_secs(30);

/// How often the service's usage is looked at.
const PROBE: Duration = Duration::from_millis(1_000);

/// A second as all engines together saw it.
#[derive(Default)]
struct Second {
    flow: Flow,
    age: Times,
    connected: u64,
}

pub(crate) struct Run<'a> {
    crew: Crew,
    scenario: &'a Scenario,
    probe: Probe,
    progress: Progress,
    states: Vec<State>,
    seconds: BTreeMap<u64, Second>,
    /// The service's usage at each look since the measurement began.
    usages: Vec<(f64, Usage)>,
    compared: usize,
    finals: Vec<Tally>,
    /// What was seen of the cut that is under way.
    herd: Vec<Herd>,
    recovering: Option<Recovering>,
}

struct Recovering {
    began: Instant,
    snapshots: u64,
    cpu_us: Option<f64>,
    /// States that do not count so many cuts are of before.
    cuts: u64,
}

impl<'a> Run<'a> {
    pub(crate) fn new(crew: Crew, scenario: &'a Scenario, probe: Probe, is_quiet: bool) -> Run<'a> {
        let states = vec![State::default(); crew.len()];
        Run {
            progress: Progress::new(scenario, is_quiet),
            crew,
            scenario,
            probe,
            states,
            seconds: BTreeMap::new(),
            usages: Vec::new(),
            compared: 0,
            finals: Vec::new(),
            herd: Vec::new(),
            recovering: None,
        }
    }

    /// Runs all phases.
    ///
    /// # Errors
    /// Nobody could connect, or an engine could not go on.
    pub(crate) fn run(mut self, before: Option<Usage>) -> Result<Report> {
        let mut report = Report { scenario: self.scenario.name.clone(), ..Report::default() };
        let began = Instant::now();
        self.connect(&mut report, began)?;
        let connected = self.probe.read();
        self.wait(SETTLE)?;
        let settled = self.probe.read();
        self.progress.phase("warming up", self.scenario.warmup);
        self.wait(Duration::from_secs(self.scenario.warmup))?;

        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        report.started = started.as_secs();
        self.progress.phase("measuring", self.scenario.seconds);
        let first = self.probe.read();
        self.crew.order(&Order::Measure);
        let measuring = Instant::now();
        self.measure(measuring, first)?;
        self.crew.order(&Order::Freeze);
        report.seconds = measuring.elapsed().as_secs_f64();
        let last = self.probe.read();

        self.progress.phase("comparing", 0);
        self.compare()?;
        self.crew.order(&Order::Stop);
        let tally = self.finish()?;
        self.progress.finish();
        let source = self.probe.words();
        let server = Looks { source, before, connected, settled, first, last };
        self.fill(&mut report, &tally, &server);
        Ok(report)
    }

    fn sum(&self) -> State {
        let mut sum = State { is_settled: true, cuts: u64::MAX, ..State::default() };
        for state in &self.states {
            sum.connected += state.connected;
            sum.failed += state.failed;
            sum.missing += state.missing;
            sum.deliveries += state.deliveries;
            sum.snapshots += state.snapshots;
            sum.faults += state.faults;
            sum.is_settled &= state.is_settled;
            sum.cuts = sum.cuts.min(state.cuts);
        }
        sum
    }

    /// Takes in what engines tell until a moment.
    fn listen(&mut self, until: Instant) -> Result<()> {
        loop {
            let within = until.saturating_duration_since(Instant::now());
            let Some((number, news)) = self.crew.hear(within)? else { return Ok(()) };
            match news {
                News::State(state) => self.states[number] = state,
                News::Second { second, flow, age, connected } => {
                    let row = self.seconds.entry(second).or_default();
                    row.flow.add(flow);
                    row.age.add(&age);
                    row.connected += connected as u64;
                }
                News::Compared => self.compared += 1,
                News::Final(tally) => self.finals.push(*tally),
                News::Failed(words) => return Err(Error::Process(words)),
            }
            let sum = self.sum();
            self.progress.show(&sum);
            self.recover(&sum);
            let is_over = self.finals.len() == self.crew.len() || self.compared == self.crew.len();
            if within.is_zero() || is_over {
                return Ok(());
            }
        }
    }

    fn wait(&mut self, span: Duration) -> Result<()> {
        let until = Instant::now() + span;
        while Instant::now() < until {
            self.listen(until)?;
        }
        Ok(())
    }

    /// Until everybody is connected and every subscription has its first message, or nothing
    /// moves any more.
    fn connect(&mut self, report: &mut Report, began: Instant) -> Result<()> {
        self.progress.phase("connecting", 0);
        let mut last = (State::default(), Instant::now());
        let mut all_connected = None;
        loop {
            self.listen(Instant::now() + Duration::from_millis(20))?;
            let sum = self.sum();
            if sum.is_settled && all_connected.is_none() && sum.connected > 0 {
                all_connected = Some(began.elapsed());
            }
            if sum.is_settled && sum.connected + sum.failed > 0 && sum.missing == 0 {
                report.all_snapshots_ms = Some(began.elapsed().as_secs_f64() * 1e3);
                break;
            }
            let moved = (sum.connected, sum.failed, sum.missing)
                != (last.0.connected, last.0.failed, last.0.missing);
            if moved {
                last = (sum, Instant::now());
            } else if last.1.elapsed() > STALLED {
                break;
            }
        }
        let sum = self.sum();
        report.connected = sum.connected as u64;
        report.connect.failed = sum.failed as u64;
        report.connect.per_second =
            all_connected.map(|span| sum.connected as f64 / span.as_secs_f64());
        Ok(())
    }

    /// The measured seconds, with what the scenario has happen in them.
    fn measure(&mut self, began: Instant, first: Option<Usage>) -> Result<()> {
        let mut events: Vec<(u64, Order)> = Vec::new();
        if let Some(bell) = &self.scenario.bell {
            events.push((bell.at, Order::Bell { is_open: true }));
            events.push((bell.at + bell.seconds, Order::Bell { is_open: false }));
        }
        for cut in &self.scenario.herd {
            events.push((cut.at, Order::Cut { since: cut.since }));
        }
        events.sort_by_key(|(at, _)| *at);
        self.usages.extend(first.map(|usage| (0.0, usage)));
        let end = began + Duration::from_secs(self.scenario.seconds);
        let mut next_probe = began + PROBE;
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            if now >= next_probe {
                next_probe += PROBE;
                let usage = self.probe.read();
                self.usages.extend(usage.map(|usage| (began.elapsed().as_secs_f64(), usage)));
            }
            let due = |at: u64| began + Duration::from_secs(at);
            while events.first().is_some_and(|(at, _)| due(*at) <= now) {
                let (_, order) = events.remove(0);
                self.happens(&order, began);
            }
            let next = events.first().map_or(end, |(at, _)| due(*at));
            self.listen(end.min(next_probe).min(next))?;
        }
    }

    fn happens(&mut self, order: &Order, began: Instant) {
        if let Order::Cut { since } = order {
            let second = began.elapsed().as_secs_f64();
            self.herd.push(Herd { second, since: *since, ..Herd::default() });
            self.recovering = Some(Recovering {
                began: Instant::now(),
                snapshots: self.sum().snapshots,
                cpu_us: self.probe.read().map(|usage| usage.cpu_us),
                cuts: self.herd.len() as u64,
            });
        }
        self.crew.order(order);
    }

    /// How far a cut herd has come.
    fn recover(&mut self, sum: &State) {
        let Some(recovering) = &self.recovering else { return };
        let Some(herd) = self.herd.last_mut() else { return };
        if sum.cuts < recovering.cuts || !sum.is_settled {
            return;
        }
        let elapsed = recovering.began.elapsed().as_secs_f64() * 1e3;
        herd.connected_ms.get_or_insert(elapsed);
        if sum.missing == 0 {
            herd.current_ms = Some(elapsed);
            herd.snapshots = sum.snapshots - recovering.snapshots;
            let used = self.probe.read().map(|usage| usage.cpu_us).zip(recovering.cpu_us);
            herd.server_cpu_us_per_connect =
                used.map(|(now, before)| (now - before) / sum.connected.max(1) as f64);
            self.recovering = None;
        }
    }

    fn compare(&mut self) -> Result<()> {
        self.crew.order(&Order::Compare { seconds: COMPARE_SECONDS });
        let until = Instant::now() + Duration::from_secs(COMPARE_SECONDS) + ENDING;
        while self.compared < self.crew.len() {
            if Instant::now() > until {
                return Err(Error::Process("an engine does not end its comparison".into()));
            }
            self.listen(until)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Tally> {
        let until = Instant::now() + ENDING;
        self.compared = 0;
        while self.finals.len() < self.crew.len() {
            if Instant::now() > until {
                return Err(Error::Process("an engine does not report".into()));
            }
            self.listen(until)?;
        }
        let mut sum = Tally::default();
        self.finals.iter().for_each(|tally| sum.add(tally));
        Ok(sum)
    }

    fn fill(&mut self, report: &mut Report, tally: &Tally, looks: &Looks) {
        report.connections = self.scenario.connections as u64;
        report.processes = self.crew.len() as u64;
        report.fill(tally, looks);
        report.herd = std::mem::take(&mut self.herd);
        for (second, row) in &self.seconds {
            let (from, upto) = (*second as f64, *second as f64 + 1.0);
            let usage = self.usage_within(from, upto);
            report.series.push(Row {
                second: *second,
                deliveries: row.flow.deliveries,
                bytes: row.flow.bytes,
                age_p50_us: row.age.quantile(0.5),
                age_p99_us: row.age.quantile(0.99),
                server_cpu_cores: usage.map(|(cores, _)| cores),
                server_rss_bytes: usage.map(|(_, rss)| rss),
                connected: row.connected,
            });
        }
        let mut thresholds = self.scenario.thresholds.clone();
        if self.scenario.sample == 0 {
            thresholds.compared_min = None; // Nobody was asked to compare.
        }
        report.judge(&thresholds);
    }

    /// Cores between the two looks that are closest to a second, and memory at the latter.
    fn usage_within(&self, from: f64, upto: f64) -> Option<(f64, f64)> {
        let closest = |moment: f64| {
            self.usages
                .iter()
                .min_by(|one, other| (one.0 - moment).abs().total_cmp(&(other.0 - moment).abs()))
        };
        let ((began, before), (ended, after)) = (closest(from)?, closest(upto)?);
        let span = ended - began;
        (span > 0.2).then(|| ((after.cpu_us - before.cpu_us) / 1e6 / span, after.rss_bytes))
    }
}

/// The service's usage at the turns of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Looks {
    /// Whom was looked at.
    pub(crate) source: Option<String>,
    pub(crate) before: Option<Usage>,
    /// Everybody connected, every first message there.
    pub(crate) connected: Option<Usage>,
    /// A second later.
    pub(crate) settled: Option<Usage>,
    /// At the beginning and the end of the measured seconds.
    pub(crate) first: Option<Usage>,
    pub(crate) last: Option<Usage>,
}
