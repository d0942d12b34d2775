//! Settings that have been checked: defaults filled in, every value named that cannot be.

use crate::settings::{Settings, VenueSettings, or};
use crate::settings_auth::AuthRules;
use crate::settings_bus::BusPlace;
use crate::settings_limits::Limits;
use crate::settings_nats::NatsFeed;
use crate::settings_takeover::Takeover;
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tickcast_feed::{ReplaySpeed, VenueConfig};
use tickcast_gateway::{FlushMode, Proxies};
use tickcast_market::{Nanos, Venue};
use tickcast_publisher::{ShardIndex, Tiers};

/// Prices that gather for longer are not live.
const FLUSH_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// Settings that have been checked.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub(crate) feeds: Vec<Venue>,
    pub(crate) symbols: Vec<String>,
    pub(crate) replay: Vec<PathBuf>,
    pub(crate) replay_speed: ReplaySpeed,
    pub(crate) replay_loop: bool,
    pub(crate) replay_wait: bool,
    pub(crate) sim: tickcast_feed::SimConfig,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The certificate's file and its key's.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// Where publisher and gateways meet, when they are not one process.
    pub(crate) bus: Option<BusPlace>,
    /// Where the feed of events from NATS takes them.
    pub(crate) nats: Option<NatsFeed>,
    pub(crate) auth: AuthRules,
    pub(crate) shards: usize,
    pub(crate) partitions: usize,
    pub(crate) flush_interval: Nanos,
    pub(crate) flush_mode: FlushMode,
    /// Whether `permessage-deflate` is agreed to.
    pub(crate) deflate: bool,
    /// Whether there is a canary.
    pub(crate) canary: bool,
    pub(crate) tiers: Tiers,
    pub(crate) allow_origin: Vec<String>,
    pub(crate) proxies: Proxies,
    pub(crate) limits: Limits,
    pub(crate) drain_window: Duration,
    pub(crate) takeover: Takeover,
    pub(crate) log_json: bool,
    pub(crate) venues: BTreeMap<Venue, VenueSettings>,
}

fn non_empty(texts: &[String]) -> impl Iterator<Item = &str> {
    texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty())
}

impl Settings {
    /// The public address where nothing is said.
    const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
    /// The address for metrics and health where nothing is said.
    pub(crate) const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);

    /// Fills in defaults and checks every value. *Errors* name the setting and the value.
    pub(crate) fn resolve(self) -> Result<Resolved> {
        let feeds = resolve_feeds(&self.feed, &self.replay)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let canary = match self.canary.as_deref() {
            None | Some("on") => true,
            Some("off") => false,
            Some(other) => bail!("canary: {other:?} is not one of on, off"),
        };
        // To the publisher the canary is one more.
        let shards_max = ShardIndex::COUNT_MAX - usize::from(canary);
        let shards = self.shards.unwrap_or(cores.min(shards_max));
        ensure!(
            (1..=shards_max).contains(&shards),
            "shards: {shards} is not from 1 to {shards_max}{}",
            if canary { ", one more with canary = \"off\"" } else { "" }
        );
        let partitions = self.partitions.unwrap_or(1);
        ensure!((1..=64).contains(&partitions), "partitions: {partitions} is not from 1 to 64");
        let tiers = if self.tiers.is_empty() {
            Tiers::default()
        } else {
            Tiers::new(&self.tiers).map_err(anyhow::Error::msg)?
        };
        let venues = resolve_venues(self.venues)?;
        let log_json = match self.log_format.as_deref() {
            None | Some("text") => false,
            Some("json") => true,
            Some(other) => bail!("log_format: {other:?} is not one of text, json"),
        };
        let sim = tickcast_feed::SimConfig {
            instruments: self.sim_instruments.unwrap_or(50),
            rate: self.sim_rate.unwrap_or(500.0),
            seed: self.sim_seed.unwrap_or(1),
            zipf: self.sim_zipf.unwrap_or(1.0),
            pace: match self.sim_pace.as_deref() {
                None | Some("natural") => tickcast_feed::Pace::Natural,
                Some("steady") => tickcast_feed::Pace::Steady,
                Some(other) => bail!("sim_pace: {other:?} is not one of natural, steady"),
            },
        };
        sim.check().map_err(|error| anyhow!("sim_{error}"))?;
        let tls = match (self.tls_cert, self.tls_key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(_), None) => bail!("tls_cert: without tls_key"),
            (None, Some(_)) => bail!("tls_key: without tls_cert"),
        };
        let listen = self.listen.unwrap_or(Self::LISTEN);
        let proxies = Proxies::parse(non_empty(&self.trust_proxy)).context("trust_proxy")?;
        self.allow_origin.iter().try_for_each(|origin| check_origin(origin))?;
        let bus = self.bus.resolve()?;
        Ok(Resolved {
            symbols: non_empty(&self.symbols).map(str::to_owned).collect(),
            replay: self.replay,
            replay_speed: match self.replay_speed {
                None => ReplaySpeed::Times(1.0),
                Some(text) => text.parse().map_err(|error| anyhow!("replay_speed: {error}"))?,
            },
            replay_loop: self.replay_loop.unwrap_or(false),
            replay_wait: self.replay_wait.unwrap_or(false),
            sim,
            nats: self.nats.resolve(feeds.contains(&Venue::Nats), bus.as_ref())?,
            feeds,
            bus,
            auth: self.auth.resolve(listen, !proxies.is_empty())?,
            listen,
            admin: self.admin.unwrap_or(Self::ADMIN),
            tls,
            shards,
            partitions,
            flush_interval: flush_interval(self.flush_interval.as_deref())?,
            flush_mode: match self.flush_mode {
                None => FlushMode::default(),
                Some(text) => text.parse().map_err(|error| anyhow!("flush_mode: {error}"))?,
            },
            deflate: match self.deflate.as_deref() {
                None | Some("on") => true,
                Some("off") => false,
                Some(other) => bail!("deflate: {other:?} is not one of on, off"),
            },
            canary,
            tiers,
            allow_origin: self.allow_origin,
            // An empty variable of the environment says nothing.
            proxies,
            limits: self.limits.resolve()?,
            drain_window: time("drain_window", self.drain_window.as_deref(), "30s")?,
            takeover: self.takeover.resolve()?,
            log_json,
            venues,
        })
    }
}

impl Resolved {
    /// Where a venue is and what is wanted of it.
    pub(crate) fn venue(&self, venue: Venue) -> VenueConfig {
        let own = self.venues.get(&venue).cloned().unwrap_or_default();
        VenueConfig {
            ws_url: own.ws_url,
            rest_url: own.rest_url,
            symbols: or(own.symbols, self.symbols.clone()),
            nats: self.nats.as_ref().filter(|_| venue == Venue::Nats).map(NatsFeed::config),
        }
    }
}

/// An origin as browsers send it, or it would never match.
fn check_origin(origin: &str) -> Result<()> {
    let (scheme, authority) = origin.split_once("://").unwrap_or_default();
    let is_plain = |text: &str| {
        let odd = |c: char| c.is_ascii_uppercase() || c.is_whitespace() || "/?#@".contains(c);
        !text.is_empty() && !text.contains(odd)
    };
    ensure!(
        origin.is_empty() || (is_plain(scheme) && is_plain(authority)),
        "allow_origin: {origin:?} is not an origin such as https://desk.example, in small letters \
         and without a path"
    );
    Ok(())
}

/// The simulator when nothing is asked for; no feed beside replays unless it is named.
fn resolve_feeds(names: &[String], replay: &[PathBuf]) -> Result<Vec<Venue>> {
    let mut feeds = Vec::new();
    // An empty variable of the environment says nothing.
    for name in names.iter().filter(|name| !name.is_empty()) {
        let Some(venue) = Venue::from_name(name) else {
            bail!(
                "feed: {name:?} is not one of sim, coinbase, coinbase-exchange, binance, kraken, nats"
            );
        };
        if !feeds.contains(&venue) {
            feeds.push(venue);
        }
    }
    if feeds.is_empty() && replay.is_empty() {
        feeds.push(Venue::Sim);
    }
    Ok(feeds)
}

/// Whether it is for the operator to say which of the venue's symbols there are.
pub(crate) fn has_symbols_chosen(venue: &Venue) -> bool {
    !matches!(venue, Venue::Sim | Venue::Nats)
}

fn resolve_venues(
    settings: BTreeMap<String, VenueSettings>,
) -> Result<BTreeMap<Venue, VenueSettings>> {
    let mut venues = BTreeMap::new();
    for (name, venue_settings) in settings {
        let Some(venue) = Venue::from_name(&name).filter(has_symbols_chosen) else {
            bail!("venues.{name}: not one of coinbase, coinbase-exchange, binance, kraken");
        };
        for (key, url, schemes) in [
            ("ws_url", &venue_settings.ws_url, ["ws://", "wss://"]),
            ("rest_url", &venue_settings.rest_url, ["http://", "https://"]),
        ] {
            if let Some(url) = url {
                ensure!(
                    schemes.iter().any(|scheme| url.starts_with(scheme)),
                    "venues.{name}.{key}: {url:?} does not begin with {} or {}",
                    schemes[0],
                    schemes[1]
                );
            }
        }
        venues.insert(venue, venue_settings);
    }
    Ok(venues)
}

fn flush_interval(text: Option<&str>) -> Result<Nanos> {
    let interval = time("flush_interval", text, "0ms")?;
    ensure!(interval <= FLUSH_INTERVAL_MAX, "flush_interval: {interval:?} is above 1s");
    Ok(Nanos(interval.as_nanos() as i64))
}

/// A time such as `20ms`, `30s`, `5m`; a bare number is seconds.
pub(crate) fn time(name: &str, text: Option<&str>, default: &str) -> Result<Duration> {
    let text = text.unwrap_or(default);
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = match &text[digits..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => bail!("{name}: {text:?} is not a time such as 20ms, 30s or 5m"),
    };
    match text[..digits].parse::<f64>() {
        Ok(number) if number * unit <= 86_400.0 => Ok(Duration::from_secs_f64(number * unit)),
        _ => bail!("{name}: {text:?} is not a time such as 20ms, 30s or 5m, a day at most"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(toml: &str) -> String {
        let settings: Result<Settings, _> = toml::from_str(toml);
        match settings {
            Err(error) => error.to_string(),
            Ok(settings) => match settings.resolve() {
                Err(error) => format!("{error:#}"),
                Ok(_) => String::from("no error"),
            },
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_key_and_value() {
        for (toml, part) in [
            ("sim_raet = 5", "sim_raet"),
            ("feed = [\"binnace\"]", "feed: \"binnace\" is not one of sim, coinbase"),
            ("replay_speed = \"fast\"", "replay_speed: \"fast\""),
            ("replay_speed = \"-1\"", "replay_speed: \"-1\""),
            ("shards = 0", "shards: 0"),
            ("tls_cert = \"a.pem\"", "tls_cert: without tls_key"),
            ("tls_key = \"a.pem\"", "tls_key: without tls_cert"),
            ("tiers = [0.0]", "tiers: 0 "),
            ("drain_window = \"soon\"", "drain_window: \"soon\""),
            ("sim_pace = \"wild\"", "sim_pace: \"wild\""),
            ("sim_instruments = 0", "sim_instruments: 0 is not from 1 to"),
            ("sim_zipf = -1.0", "sim_zipf: -1 is not from 0"),
            ("flush_mode = \"epoll\"", "flush_mode: \"epoll\" is not one of auto, uring, send"),
            ("deflate = \"yes\"", "deflate: \"yes\" is not one of on, off"),
            ("log_format = \"xml\"", "log_format: \"xml\""),
            (
                "allow_origin = [\"https://desk.example/\"]",
                "allow_origin: \"https://desk.example/\"",
            ),
            ("allow_origin = [\"https://Desk.example\"]", "allow_origin: \"https://Desk.example\""),
            ("allow_origin = [\"desk.example\"]", "allow_origin: \"desk.example\""),
            (
                "trust_proxy = [\"10.0.0.0/8\", \"proxy\"]",
                "trust_proxy: \"proxy\" is not an address",
            ),
            ("[limits]\nconections_max = 5", "unknown field `conections_max`"),
            ("[limits]\nconnections_max = 0", "limits.connections_max: 0 is not from 1 to 1000000"),
            ("[limits]\nhead_deadline = \"soon\"", "limits.head_deadline: \"soon\" is not a time"),
            ("[limits]\nno_progress = \"0s\"", "limits.no_progress: \"0s\" is below 10ms"),
            ("[limits]\nmessage_fragments_max = 256", "limits.message_fragments_max: 256 is not"),
            (
                "[limits]\nsend_buffer_bytes = 100",
                "limits.send_buffer_bytes: 100 is not from 32768",
            ),
            (
                "[limits]\nconnections_max = 5\naddress_connections_max = 6",
                "limits.address_connections_max: 6 is above limits.connections_max, 5",
            ),
            (
                "[limits]\nhead_deadline = \"2s\"\ntls_deadline = \"3s\"",
                "limits.tls_deadline: 3s is above limits.head_deadline, 2s",
            ),
            ("[limits]\nsubscriptions_max = 5\nglobs_max = 6", "limits.globs_max: 6 is above"),
            (
                "[limits]\nsubscriptions_max = 6\ninstruments_max = 5",
                "limits.subscriptions_max: 6 is above limits.instruments_max, 5",
            ),
            ("feed = [\"nats\"]", "nats.subject: the feed nats needs one"),
            ("[nats]\nsubject = [\"x\"]", "nats.subject: without the feed nats"),
            ("[nats]\nsubjects = [\"x\"]", "unknown field `subjects`"),
            ("[venues.nats]", "venues.nats"),
            ("[venues.binnace]", "venues.binnace"),
            ("[venues.binance]\nws_url = \"http://x\"", "venues.binance.ws_url: \"http://x\""),
            ("[venues.binance]\nws = \"ws://x\"", "unknown field `ws`"),
            ("listen = \"nowhere\"", "listen = \"nowhere\""),
        ] {
            assert!(error(toml).contains(part), "{toml}: {}", error(toml));
        }
    }

    #[test]
    fn what_is_said_nearer_wins() {
        let near = Settings { sim_seed: Some(7), ..Settings::default() };
        let far = Settings { sim_seed: Some(8), sim_rate: Some(2.0), ..Settings::default() };
        let resolved = near.over(far).resolve().unwrap();
        assert_eq!((resolved.sim.seed, resolved.sim.rate), (7, 2.0));
        assert_eq!(resolved.feeds, [Venue::Sim]);
        assert_eq!(resolved.drain_window, Duration::from_secs(30));
    }

    #[test]
    fn replays_run_without_the_simulator_unless_it_is_asked_for() {
        let settings = Settings { replay: vec!["x".into()], ..Settings::default() };
        assert_eq!(settings.resolve().unwrap().feeds, []);
    }
}
