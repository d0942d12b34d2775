//! One connection as the client sees it, judged message by message.
//!
//! Every method that takes something from the service returns what is wrong with it, in words.

mod answer;
mod stream;

pub(crate) use answer::NEVER;

use crate::held::{Held, Verdict};
use crate::market::Market;
use crate::message::{Item, Kind, Message, Status};
use crate::request::{ALL_FIELDS, Request, Subscribe};
use crate::truth::{Mark, Truth};
use crate::wishes::{Options, Wishes, matches};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::VecDeque;
use stream::{First, Stream};

/// How late a message may reach a client whose line is free while nothing disturbs its shard, in
/// microseconds.
const LATE: i64 = 1_000_000;

/// Who has got nothing for so long while its line was free is owed nothing.
const REST: i64 = 600_000;

pub(crate) type Judged<T = ()> = Result<T, String>;

/// What everybody judges by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Court<'a> {
    pub(crate) market: &'a Market,
    pub(crate) truth: &'a Truth,
    /// In microseconds.
    pub(crate) now: i64,
    /// Until when something happened that lets messages come closer together than their rate: a
    /// shard was late or lost batches, a new instrument came.
    pub(crate) disturbed: i64,
    /// The venues have given all their instruments.
    pub(crate) complete: bool,
}

/// What became of everything that was sent so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The line took it at once, and the client did.
    Prompt,
    /// The line took it at once.
    Free,
    /// The line was full at times.
    Halting,
}

/// A request that has not been answered.
#[derive(Debug)]
struct Pending {
    req_id: Option<u64>,
    request: Request,
    /// How many instruments there were when it was sent.
    listed: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) wishes: Wishes,
    pub(crate) streams: FxHashMap<(u32, Kind), Stream>,
    /// What was held when the last connection ended.
    pub(crate) remembered: FxHashMap<(u32, Kind), Stream>,
    told: FxHashMap<u32, (Mark, String)>,
    pending: VecDeque<Pending>,
    /// Names that nobody had mentioned when they were asked for.
    awaited: FxHashSet<String>,
    answered_at: i64,
    /// When anything but a heartbeat came.
    heard_at: i64,
    is_welcome: bool,
    /// It floods the service, which need not answer everything.
    pub(crate) floods: bool,
    pub(crate) goaway: Option<u64>,
    next_req_id: u64,
}

impl Session {
    /// The session after this one, on another connection.
    pub(crate) fn next(&mut self) -> Session {
        let mut remembered = std::mem::take(&mut self.remembered);
        remembered.extend(std::mem::take(&mut self.streams));
        remembered.retain(|_, stream| stream.is_whole());
        Session { remembered, next_req_id: self.next_req_id, ..Session::default() }
    }

    /// Whether everything that was asked for has been answered and served, and nothing more comes.
    pub(crate) fn is_settled(&self, now: i64) -> bool {
        now - self.heard_at > REST && self.is_served()
    }

    fn is_served(&self) -> bool {
        self.is_welcome
            && self.pending.is_empty()
            && self.streams.values().all(|stream| stream.first == First::Done)
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.pending.is_empty()
    }

    /// Takes note of a request that is being sent; its text.
    pub(crate) fn ask(&mut self, request: Request, market: &Market) -> String {
        let req_id = self.next_req_id();
        let text = request.text(req_id);
        if let Request::Subscribe(subscribe) = &request {
            let unknown = |name: &&String| market.find(name).is_none();
            self.awaited.extend(subscribe.symbols.iter().filter(unknown).cloned());
        }
        let listed = market.instruments.len();
        self.pending.push_back(Pending { req_id: Some(req_id), request, listed });
        text
    }

    /// The same for a text that is refused.
    pub(crate) fn ask_wrongly(&mut self, text: &str) -> String {
        let req_id = self.next_req_id();
        let has_id = text.contains('#');
        let request = Request::Wrong(4400);
        self.pending.push_back(Pending { req_id: has_id.then_some(req_id), request, listed: 0 });
        text.replace('#', &req_id.to_string())
    }

    fn next_req_id(&mut self) -> u64 {
        self.next_req_id += 1;
        self.next_req_id
    }

    /// Takes a message; the verdict where it was data.
    pub(crate) fn take(&mut self, message: &Message, line: Flow, court: Court<'_>) -> Judged {
        if !self.is_welcome && !matches!(message, Message::Welcome) {
            return Err("the welcome is not the first message".to_owned());
        }
        if !matches!(message, Message::Heartbeat) {
            self.heard_at = court.now;
        }
        match message {
            Message::Data(item) => self.take_item(item, line, court),
            Message::Status(status) => self.take_status(status, court),
            Message::Heartbeat => Ok(()),
            Message::Welcome if std::mem::replace(&mut self.is_welcome, true) => {
                Err("welcome twice".to_owned())
            }
            Message::Welcome => Ok(()),
            Message::Goaway { after_ms } => {
                self.goaway = Some(*after_ms);
                Ok(())
            }
            Message::Answer(answer) => {
                self.answered_at = court.now;
                self.take_answer(answer, court)
            }
        }
    }

    fn take_status(&mut self, status: &Status, court: Court<'_>) -> Judged {
        let is_wanted =
            Kind::ALL.iter().any(|kind| self.wishes.effective(*kind, &status.name).is_some());
        if !is_wanted {
            return Err(format!("status of {} without a subscription", status.name));
        }
        let mark = (status.epoch, status.seq);
        let is_wait = status.state == "resync" && status.seq == 1;
        let awaited = is_wait && self.awaited.contains(&status.name);
        let Some(instrument) = status.instrument else {
            return if awaited { Ok(()) } else { Err("status of nothing".to_owned()) };
        };
        let told = (&*status.state, status.ts_state);
        match court.truth.check_status(instrument, mark, told) {
            Err(_) if awaited => return Ok(()),
            result => result?,
        }
        match self.told.insert(instrument, (mark, status.state.clone())) {
            Some((before, _)) if before > mark => {
                Err(format!("status {mark:?} of {} after {before:?}", status.name))
            }
            _ => Ok(()),
        }
    }

    fn take_item(&mut self, item: &Item, line: Flow, court: Court<'_>) -> Judged {
        let key = (item.instrument, item.kind);
        let name = &court.market.instruments[item.instrument as usize].name;
        if !self.streams.contains_key(&key) {
            // An instrument that came after the answer.
            let options = self.wishes.effective(item.kind, name);
            let options = options.ok_or_else(|| format!("{name} was not subscribed to"))?;
            self.streams.insert(key, Stream::new(options, None));
        }
        self.check_status_before(item, court)?;
        let Some(stream) = self.streams.get_mut(&key) else { return Ok(()) };
        stream.check_options(item)?;
        let calm_from = court.disturbed.max(self.answered_at) + 1_500_000;
        stream.check_rate(item, line != Flow::Halting, calm_from)?;
        let age = court.now - item.ts_publish;
        if line == Flow::Prompt && court.now > calm_from && age > LATE {
            return Err(format!("comes {age} us late"));
        }
        stream.check_first(item)?;
        match stream.held.take(item, court.market)? {
            Verdict::Applied => {
                let fields = stream.options.fields;
                court.truth.check(item.instrument, item.kind, fields, &mut stream.held)
            }
            Verdict::Ignored => Ok(()),
            Verdict::Gap => {
                let Held { epoch, seq, depth, .. } = stream.held;
                Err(format!("does not fit what it holds: {:?} depth {depth}", (epoch, seq)))
            }
        }
    }

    /// An instrument's status is told before its data, and is never older than it.
    fn check_status_before(&self, item: &Item, court: Court<'_>) -> Judged {
        let Some(((_, told), state)) = self.told.get(&item.instrument) else {
            return Err("data before any status".to_owned());
        };
        let mark = (item.epoch, item.seq);
        let before = court.truth.status_before(item.instrument, item.kind, mark)?;
        if *told < before {
            return Err(format!("data of status {before}, told was {told}"));
        }
        match &item.state {
            Some(shown) if shown != state => {
                Err(format!("a snapshot shows {shown}, told was {state}"))
            }
            _ => Ok(()),
        }
    }

    /// Adds to a request what is held of the streams that it asks for.
    pub(crate) fn claim(&self, subscribe: &mut Subscribe, market: &Market) {
        let kind = subscribe.kind;
        let asked = subscribe.options();
        for (instrument, known) in (0u32..).zip(&market.instruments) {
            let fits = |asked: &&String| covers(asked, &known.name);
            let Some(pattern) = subscribe.symbols.iter().find(fits) else { continue };
            let live = self.streams.get(&(instrument, kind));
            if live.is_some() && !self.wishes.governs(kind, pattern, &known.name) {
                continue;
            }
            let Some(stream) = live.or_else(|| self.remembered.get(&(instrument, kind))) else {
                continue;
            };
            // What is under way may replace what is held before this request is seen.
            let mut asked_for = self.pending.iter().filter_map(|pending| match &pending.request {
                Request::Subscribe(other) if other.kind == kind => Some(&other.symbols),
                _ => None,
            });
            if asked_for.any(|symbols| symbols.iter().any(|asked| covers(asked, &known.name))) {
                continue;
            }
            // More fields than asked for are as good, as long as they are granted.
            let Options { depth, fields, .. } = stream.options;
            let same = depth == asked.depth && fields & asked.fields == asked.fields;
            if same && stream.is_whole() {
                let mark = (stream.held.epoch, stream.held.seq);
                subscribe.since.insert(known.name.clone(), mark);
            }
        }
    }

    /// Changes the wishes as a request did and expects what follows from that.
    fn change(
        &mut self,
        kind: Kind,
        court: Court<'_>,
        change: impl FnOnce(&mut Wishes),
        renewed: impl Fn(&Wishes, &str) -> Option<Option<Mark>>,
    ) {
        let instruments = &court.market.instruments;
        let before: Vec<_> =
            instruments.iter().map(|known| self.wishes.effective(kind, &known.name)).collect();
        let wishes_before = self.wishes.clone();
        change(&mut self.wishes);
        for (instrument, (known, before)) in (0u32..).zip(instruments.iter().zip(before)) {
            let key = (instrument, kind);
            let after = self.wishes.effective(kind, &known.name);
            let renewed = renewed(&wishes_before, &known.name);
            match (before, after) {
                (None, Some(options)) => {
                    let since = renewed.flatten();
                    let mut stream = Stream::new(options, since);
                    if since.is_some()
                        && let Some(held) = self.remembered.get(&key)
                    {
                        stream.held = held.held.resumed();
                    }
                    self.streams.insert(key, stream);
                }
                (Some(_), None) => {
                    let gone = self.streams.remove(&key).filter(Stream::is_whole);
                    self.remembered.extend(gone.map(|gone| (key, gone)));
                    let wants = |kind: &Kind| self.wishes.effective(*kind, &known.name).is_some();
                    if !Kind::ALL.iter().any(wants) {
                        self.told.remove(&instrument);
                    }
                }
                (Some(old), Some(options)) if old != options || renewed.is_some() => {
                    let new = Stream::new(options, None);
                    let stream = self.streams.entry(key).or_insert(new);
                    let goes_on = renewed.is_none_or(|since| since.is_none()) && old != options;
                    stream.options = options;
                    let since = renewed.flatten();
                    stream.first = First::Awaited { since, goes_on, bare: None };
                    stream.last = i64::MAX;
                }
                _ => {}
            }
        }
    }

    /// Every stream is what is true now.
    pub(crate) fn check_present(&mut self, court: Court<'_>) -> Judged {
        for kind in Kind::ALL {
            for (instrument, known) in (0u32..).zip(&court.market.instruments) {
                let wanted = self.wishes.effective(kind, &known.name);
                let stream = self.streams.get_mut(&(instrument, kind));
                if wanted.is_some() != stream.is_some() {
                    return Err(format!("{} {}: is not served", kind.channel(), known.name));
                }
                let Some(stream) = stream else { continue };
                let context = |error| format!("{} {}: {error}", kind.channel(), known.name);
                court
                    .truth
                    .check_present(instrument, kind, stream.options.fields, &mut stream.held)
                    .map_err(context)?;
                let told = self.told.get(&instrument).map(|(mark, _)| *mark);
                if told != Some(court.truth.status_now(instrument)) {
                    return Err(context(format!("status was told as {told:?}")));
                }
            }
        }
        Ok(())
    }

    /// A stream that has not been served yet, in words.
    pub(crate) fn unsettled(&self) -> String {
        let awaited = self.streams.iter().find(|(_, stream)| stream.first != First::Done);
        format!("unanswered: {:?}; first message awaited: {awaited:?}", self.pending)
    }
}

/// Whether a name, bare or in full, or a glob may mean the instrument.
fn covers(asked: &str, name: &str) -> bool {
    matches(asked, name) || name.split(':').nth(1) == Some(asked)
}

/// Where the granted options begin: what was asked for, or all fields where there are too many
/// sets.
pub(crate) fn granted(subscribe: &Subscribe, names: &[&str]) -> Judged<Options> {
    let options = subscribe.options();
    let asked = crate::request::field_names(options.fields);
    if names == asked {
        return Ok(options);
    }
    if names == crate::request::field_names(ALL_FIELDS) {
        return Ok(Options { fields: ALL_FIELDS, ..options });
    }
    Err(format!("fields {names:?} granted for {asked:?}"))
}
