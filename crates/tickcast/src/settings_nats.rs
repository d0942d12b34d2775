//! Settings of the feed of events from NATS.

use crate::settings_bus::{BusPlace, check_urls};
use anyhow::{Result, ensure};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use tickcast_feed::{NATS_SUBJECTS_MAX, NatsConfig};
use tickcast_market::Nanos;
use tickcast_nats::Place;

/// Where events are published; absent means "not said here".
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NatsSettings {
    /// NATS subject whose messages the feed nats takes, such as `prices.>`; repeatable
    #[arg(long, env = "TICKCAST_SUBJECT", value_delimiter = ',', value_name = "SUBJECT")]
    pub(crate) subject: Vec<String>,
    /// NATS server of the feed nats, several with commas [default: the bus's, else
    /// nats://127.0.0.1:4222]
    #[arg(
        id = "feed_nats",
        long = "feed-nats-url",
        env = "TICKCAST_FEED_NATS_URL",
        value_name = "URL"
    )]
    pub(crate) url: Option<String>,
    /// Its credentials: a file as nsc writes it, or one with an nkey seed
    #[arg(
        id = "feed_nats_creds",
        long = "feed-nats-creds",
        env = "TICKCAST_FEED_NATS_CREDS",
        value_name = "FILE"
    )]
    pub(crate) creds: Option<PathBuf>,
    /// PEM file with certificates to trust for its tls:// besides the system's
    #[arg(
        id = "feed_nats_ca",
        long = "feed-nats-ca",
        env = "TICKCAST_FEED_NATS_CA",
        value_name = "FILE"
    )]
    pub(crate) ca: Option<PathBuf>,
    /// Time without any message, heartbeats included, after which its instruments are stale
    /// [default: 30s]
    #[arg(
        id = "feed_nats_silence",
        long = "feed-nats-silence",
        env = "TICKCAST_FEED_NATS_SILENCE",
        value_name = "TIME"
    )]
    pub(crate) silence: Option<String>,
}

/// The feed of events from NATS, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NatsFeed {
    pub(crate) place: BusPlace,
    pub(crate) subjects: Vec<String>,
    pub(crate) silence: Duration,
}

impl NatsFeed {
    /// What its handler is told.
    pub(crate) fn config(&self) -> NatsConfig {
        NatsConfig {
            url: self.named("").shown(),
            subjects: self.subjects.clone(),
            symbols: Vec::new(),
            silence_max: Nanos(self.silence.as_nanos() as i64),
        }
    }

    /// Where its driver connects to, under this name.
    pub(crate) fn named(&self, name: &str) -> Place {
        let BusPlace { url, creds, ca } = self.place.clone();
        Place { url, creds, ca, name: name.to_owned() }
    }
}

/// A shorter silence is no silence.
const SILENCE_MIN: Duration = Duration::from_millis(100);

impl NatsSettings {
    /// These settings, and where they say nothing those of `under`.
    pub(crate) fn over(self, under: NatsSettings) -> NatsSettings {
        NatsSettings {
            subject: if self.subject.is_empty() { under.subject } else { self.subject },
            url: self.url.or(under.url),
            creds: self.creds.or(under.creds),
            ca: self.ca.or(under.ca),
            silence: self.silence.or(under.silence),
        }
    }

    /// Checks them. `None` where the feed is not among those that run. *Errors* name the setting
    /// and the value.
    pub(crate) fn resolve(self, runs: bool, bus: Option<&BusPlace>) -> Result<Option<NatsFeed>> {
        let subjects: Vec<String> =
            self.subject.iter().map(|text| text.trim().to_owned()).collect();
        let subjects: Vec<String> = subjects.into_iter().filter(|text| !text.is_empty()).collect();
        ensure!(
            subjects.len() <= NATS_SUBJECTS_MAX,
            "nats.subject: {} of them, at most {NATS_SUBJECTS_MAX}",
            subjects.len()
        );
        for (at, subject) in subjects.iter().enumerate() {
            ensure!(
                is_subject(subject),
                "nats.subject: {subject:?} is not a subject such as prices.eu.* or prices.>"
            );
            ensure!(
                !is_of_nats(subject),
                "nats.subject: {subject:?} matches NATS's own subjects; begin it with a name of yours"
            );
            for other in &subjects[..at] {
                ensure!(
                    !overlap(subject, other),
                    "nats.subject: {subject:?} and {other:?} match the same messages"
                );
            }
        }
        let silence = crate::settings::time("nats.silence", self.silence.as_deref(), "30s")?;
        ensure!(silence >= SILENCE_MIN, "nats.silence: {silence:?} is below {SILENCE_MIN:?}");
        let url = self.url.filter(|url| !url.trim().is_empty());
        let place = match (url, bus) {
            (Some(url), _) => {
                check_urls("nats.url", &url)?;
                BusPlace { url, creds: self.creds, ca: self.ca }
            }
            (None, Some(bus)) => BusPlace {
                creds: self.creds.or_else(|| bus.creds.clone()),
                ca: self.ca.or_else(|| bus.ca.clone()),
                url: bus.url.clone(),
            },
            (None, None) => {
                BusPlace { url: "nats://127.0.0.1:4222".into(), creds: self.creds, ca: self.ca }
            }
        };
        if !runs {
            ensure!(subjects.is_empty(), "nats.subject: without the feed nats");
            return Ok(None);
        }
        ensure!(!subjects.is_empty(), "nats.subject: the feed nats needs one, such as prices.>");
        Ok(Some(NatsFeed { place, subjects, silence }))
    }
}

/// Tokens between points; `*` stands for one, a last `>` for all that follow.
fn is_subject(text: &str) -> bool {
    let count = text.split('.').count();
    text.split('.').enumerate().all(|(at, token)| match token {
        ">" => at + 1 == count,
        "*" => true,
        _ => {
            !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic() && !b"*>".contains(&b))
        }
    })
}

/// Whether requests and answers of NATS itself would match: `$JS.…`, `_INBOX.…`.
fn is_of_nats(subject: &str) -> bool {
    subject.starts_with(['>', '*', '$', '_'])
}

/// Whether a message may match both.
fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(subjects: &[&str]) -> Result<Option<NatsFeed>> {
        let subject = subjects.iter().map(|text| (*text).to_owned()).collect();
        NatsSettings { subject, ..NatsSettings::default() }.resolve(true, None)
    }

    #[test]
    fn subjects_that_would_bring_a_message_twice_are_refused() {
        for (subjects, part) in [
            (&[][..], "nats.subject: the feed nats needs one"),
            (&["prices.>", "prices.eu"], "match the same messages"),
            (&["prices.*", "prices.eu"], "match the same messages"),
            (&[">"], "nats.subject: \">\" matches NATS's own subjects"),
            (&["*.eu"], "matches NATS's own subjects"),
            (&["$JS.>"], "matches NATS's own subjects"),
            (&["prices..eu"], "nats.subject: \"prices..eu\" is not a subject"),
            (&["prices.>.eu"], "is not a subject"),
            (&["prices. eu"], "is not a subject"),
        ] {
            let error = resolve(subjects).unwrap_err().to_string();
            assert!(error.contains(part), "{subjects:?}: {error}");
        }
        let feed = resolve(&["prices.eu.>", "prices.us.>", "prices.eu"]).unwrap().unwrap();
        assert_eq!((feed.subjects.len(), feed.silence), (3, Duration::from_secs(30)));
        assert_eq!(feed.place.url, "nats://127.0.0.1:4222");
    }

    #[test]
    fn without_a_server_of_its_own_the_feed_goes_to_the_buss() {
        let bus = BusPlace {
            url: "tls://bus:4222".into(),
            creds: Some("a".into()),
            ca: Some("b".into()),
        };
        let settings = |url: Option<&str>| NatsSettings {
            subject: vec!["x".into()],
            url: url.map(str::to_owned),
            ..NatsSettings::default()
        };
        let place = |url| settings(url).resolve(true, Some(&bus)).unwrap().unwrap().place;
        assert_eq!(place(None), bus);
        let own = BusPlace { url: "nats://other:4222".into(), creds: None, ca: None };
        assert_eq!(place(Some("nats://other:4222")), own);
        assert!(settings(Some("http://x")).resolve(true, None).is_err());
    }
}
