//! Answers: each fits its request, and changes what the client has subscribed to.

use super::{Court, Judged, Pending, Session, granted};
use crate::message::{INTERVALS, Kind};
use crate::request::{Request, Subscribe};
use crate::truth::Mark;
use crate::wishes::{Wishes, matches};
use rustc_hash::FxHashMap;
use serde_json::Value;

/// A name of which no feed ever speaks.
pub(crate) const NEVER: &str = "sim:NEVER-USD";

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

impl Session {
    pub(super) fn take_answer(&mut self, answer: &Value, court: Court<'_>) -> Judged {
        let has_id = answer.get("req_id").is_some();
        if self.floods && !has_id && (answer["method"] == "pong" || answer["code"] == 4529) {
            return Ok(());
        }
        if answer["code"] == 4404 && !has_id {
            return self.give_up_name(answer, court);
        }
        let pending = self.pending.pop_front();
        let pending = pending.ok_or_else(|| format!("{answer} answers nothing"))?;
        if answer.get("req_id").and_then(Value::as_u64) != pending.req_id {
            return Err(format!("{answer} answers another request than {pending:?}"));
        }
        if let Request::Wrong(code) = pending.request {
            let fine = answer["success"] == false && answer["code"] == code;
            return if fine { Ok(()) } else { Err(format!("{answer} is no refusal")) };
        }
        if answer["success"] == false {
            return Err(format!("{pending:?} was refused: {answer}"));
        }
        let (method, result) = (&answer["method"], &answer["result"]);
        match &pending.request {
            Request::Subscribe(subscribe) if method == "subscribe" => {
                self.subscribed(subscribe, &pending, result, court)
            }
            Request::Unsubscribe { kind, symbols } if method == "unsubscribe" => {
                self.unsubscribed(*kind, symbols, result, court)
            }
            Request::Ping if method == "pong" => Ok(()),
            Request::Stats if method == "stats" => self.check_stats(result),
            _ => Err(format!("{answer} does not answer {pending:?}")),
        }
    }

    /// The list of instruments is complete and a name is not in it.
    fn give_up_name(&mut self, answer: &Value, court: Court<'_>) -> Judged {
        let error = answer["error"].as_str().unwrap_or_default();
        let fits = answer["code"] == 4404 && error.contains(NEVER) && court.complete;
        let kind = Kind::ALL.into_iter().find(|kind| self.wishes.has(*kind, NEVER));
        match kind.filter(|_| fits) {
            // Which of several is gone is not told; all of them will be.
            Some(kind) => {
                self.wishes.remove(kind, NEVER);
                Ok(())
            }
            None => Err(format!("{answer} came unasked")),
        }
    }

    fn subscribed(
        &mut self,
        subscribe: &Subscribe,
        pending: &Pending,
        result: &Value,
        court: Court<'_>,
    ) -> Judged {
        let kind = subscribe.kind;
        let names = strings(&result["fields"]);
        let options = match kind {
            Kind::Ticker => granted(subscribe, &names)?,
            _ => subscribe.options(),
        };
        let rate = result.get("max_rate").and_then(Value::as_f64);
        let apart = rate.map_or(0, |rate| (1e6 / rate) as i64);
        let interval = if let Kind::Bars(at) = kind { INTERVALS[usize::from(at)] } else { "" };
        let fine = result["channel"] == kind.channel()
            && apart == options.apart
            && (kind != Kind::Book || result["depth"] == options.depth)
            && result["interval"].as_str().unwrap_or_default() == interval;
        if !fine {
            return Err(format!("{result} was granted for {subscribe:?}"));
        }
        let served = self.served(subscribe, pending, result, court)?;
        let change = |wishes: &mut Wishes| {
            served.iter().for_each(|pattern| wishes.set(kind, pattern, options));
        };
        let renewed = |before: &Wishes, name: &str| -> Option<Option<Mark>> {
            let asked = served.iter().filter(|pattern| matches(pattern, name));
            let since = subscribe.since.get(name).copied();
            let is_new = asked.clone().any(|pattern| !before.has(kind, pattern));
            let is_asked_for = asked.count() > 0 && (is_new || since.is_some());
            // Fields that were not asked for are not held, for all that the service knows.
            let resumes = !subscribe.lies && options.fields & !subscribe.fields == 0;
            is_asked_for.then_some(since.filter(|_| resumes))
        };
        let had = self.wishes.clone();
        self.change(kind, court, change, renewed);
        let is_new = |name: &&String| !had.has(kind, name) && !name.contains('*');
        for name in served
            .iter()
            .filter(is_new)
            .filter(|name| kind == Kind::Trades && !subscribe.since.contains_key(*name))
        {
            let stream = court.market.find(name).and_then(|at| self.streams.get_mut(&(at, kind)));
            stream.into_iter().for_each(|stream| stream.expect_bare(subscribe.bare));
        }
        Ok(())
    }

    /// The patterns of a request that were not refused, names in full.
    fn served(
        &self,
        subscribe: &Subscribe,
        pending: &Pending,
        result: &Value,
        court: Court<'_>,
    ) -> Judged<Vec<String>> {
        let names = strings(&result["symbol"]);
        let failed = result["failed"].as_array().into_iter().flatten();
        let failed: FxHashMap<&str, &Value> =
            failed.filter_map(|failed| Some((failed["symbol"].as_str()?, failed))).collect();
        let mut served = Vec::new();
        for symbol in &subscribe.symbols {
            let failed = failed.get(&**symbol);
            let wrong = || Err(format!("{symbol} in {result}"));
            let instruments = &court.market.instruments;
            if symbol.contains('*') {
                let count = |all: &[_]| {
                    let known = all.iter().map(|known: &crate::market::Instrument| &known.name);
                    known.filter(|name| matches(symbol, name)).count() as u64
                };
                let globs = result["globs"].as_array().into_iter().flatten();
                let mut matched = globs.filter(|glob| glob["pattern"] == **symbol);
                let matched = matched.next().and_then(|glob| glob["matched"].as_u64());
                let range = count(&instruments[..pending.listed])..=count(instruments);
                if !matched.is_some_and(|matched| range.contains(&matched)) {
                    return wrong();
                }
                served.push(symbol.clone());
            } else if symbol.contains(':') {
                let was_known = instruments[..pending.listed].iter().any(|i| i.name == **symbol);
                match failed {
                    None if names.contains(&&**symbol) => served.push(symbol.clone()),
                    Some(failed) if failed["code"] == 4404 && !was_known && court.complete => {}
                    _ => return wrong(),
                }
            } else {
                let venues = |all: &[crate::market::Instrument]| {
                    let ends = |name: &str| name.split(':').nth(1) == Some(symbol);
                    let names = all.iter().map(|known| known.name.clone());
                    names.filter(|name| ends(name)).collect::<Vec<_>>()
                };
                let full = venues(&instruments[..pending.listed]);
                let now = venues(instruments);
                match failed {
                    None if full.len() <= 1 => {
                        let known = now.into_iter().find(|name| names.contains(&&**name));
                        served.push(known.unwrap_or_else(|| symbol.clone()));
                    }
                    Some(failed) if failed["code"] == 4400 && now.len() > 1 => {}
                    _ => return wrong(),
                }
            }
        }
        Ok(served)
    }

    fn unsubscribed(
        &mut self,
        kind: Kind,
        symbols: &[String],
        result: &Value,
        court: Court<'_>,
    ) -> Judged {
        let globs = result["globs"].as_array().into_iter().flatten();
        let globs = globs.filter_map(|glob| glob["pattern"].as_str());
        let ended: Vec<&str> = strings(&result["symbol"]).into_iter().chain(globs).collect();
        for symbol in symbols {
            if ended.contains(&&**symbol) != self.wishes.has(kind, symbol) {
                return Err(format!("{result} where {:?} was subscribed", self.wishes));
            }
        }
        let change = |wishes: &mut Wishes| {
            symbols.iter().for_each(|pattern| wishes.remove(kind, pattern));
        };
        self.change(kind, court, change, |_, _| None);
        Ok(())
    }

    /// Figures of a connection on which nothing is under way.
    fn check_stats(&self, stats: &Value) -> Judged {
        if !self.is_served() {
            return Ok(());
        }
        let fine = stats["subscriptions"] == self.wishes.count()
            && stats["instruments"] == self.streams.len()
            && stats["owed_topics"] == 0
            && stats["lagging"] == false;
        if fine {
            return Ok(());
        }
        let (wishes, streams) = (self.wishes.count(), self.streams.len());
        Err(format!("{stats} where {wishes} subscriptions are {streams} streams"))
    }
}
