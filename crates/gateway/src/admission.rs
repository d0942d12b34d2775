//! How many connections an address may have, and how fast new ones may come.
//!
//! The door asks before it does any work for a connection; who pushes gives the place back. IPv4
//! addresses are counted singly, IPv6 by /64, which is what one customer gets. Trusted proxies
//! stand for others and are not counted, nor are loopback addresses unless a setting says so.
//!
//! *Invariant:* memory is bounded: addresses without connections are forgotten when their bucket is
//! full again, and beyond [`ADDRESSES_MAX`] a new address is let in without being counted (only the
//! limit in total holds for it). An attacker with so many addresses is not stopped by limits on
//! single ones.

use crate::connection::RequestBudget;
use crate::proxies::Proxies;
use crate::refusal::Refusal;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use tickcast_market::Nanos;

/// Addresses that are remembered at the same time, about 17 MB of them.
pub const ADDRESSES_MAX: usize = 1 << 18;

/// Each part has a lock of its own, so that forgetting takes no longer than some 100 µs.
const PARTS: usize = 16;
const PART_MAX: usize = ADDRESSES_MAX / PARTS;

/// Fewer are not worth looking through.
const SWEEP_MIN: usize = 64;

/// A part that is full is looked through so often.
const SWEEP_PAUSE: Nanos = Nanos::from_secs(1);

/// What one address may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// New connections a second.
    pub connections_per_second: u32,
    /// New connections that may come at once.
    pub connections_burst: u32,
    /// Connections at the same time, at the door and on all shards.
    pub connections_max: u32,
}

impl Default for AdmissionLimits {
    /// An office or a mobile network behind one address fits, with all its pages reloading.
    fn default() -> AdmissionLimits {
        AdmissionLimits {
            connections_per_second: 50,
            connections_burst: 500,
            connections_max: 1_000,
        }
    }
}

/// Counts connections by address; shared by the door and all shards.
pub struct Admission {
    // Each is a figure of its own; Relaxed: whoever comes during a change may see the old one.
    connections_per_second: AtomicU32,
    connections_burst: AtomicU32,
    connections_max: AtomicU32,
    proxies: Proxies,
    limits_loopback: bool,
    born: Instant,
    hasher: RandomState,
    parts: [Mutex<Part>; PARTS],
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission").field("proxies", &self.proxies).finish_non_exhaustive()
    }
}

/// Whom connections are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Network {
    V4(u32),
    /// The first 64 bits.
    V6(u64),
}

impl Network {
    fn of(address: IpAddr) -> Network {
        match address.to_canonical() {
            IpAddr::V4(address) => Network::V4(address.to_bits()),
            IpAddr::V6(address) => Network::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// Some of the addresses.
#[derive(Debug, Default)]
struct Part {
    // SipHash: the keys are other people's choice.
    known: HashMap<Network, Account>,
    /// With so many it is looked through before another is added.
    sweep_at: usize,
    swept_at: Nanos,
}

#[derive(Clone, Copy, Debug, Default)]
struct Account {
    open: u32,
    budget: RequestBudget,
}

impl Part {
    /// Whether another address can be remembered; forgets those that nothing is known of any more.
    fn has_room(&mut self, now: Nanos) -> bool {
        if self.known.len() < self.sweep_at.max(SWEEP_MIN) {
            return true;
        }
        let is_full = self.known.len() >= PART_MAX;
        if is_full && now.since(self.swept_at) < SWEEP_PAUSE {
            return false;
        }
        self.known.retain(|_, account| account.open > 0 || !account.budget.is_full(now));
        self.swept_at = now;
        self.sweep_at = (2 * self.known.len()).clamp(SWEEP_MIN, PART_MAX);
        self.known.shrink_to(self.sweep_at);
        self.known.len() < PART_MAX
    }
}

/// A connection's place among those of its address; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Option<Arc<Admission>>,
    network: Network,
}

impl Place {
    /// The shard that has the connection gives it back ([`Admission::leave`]).
    pub(crate) fn pass_on(mut self) {
        self.admission = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(admission) = &self.admission {
            admission.give_back(self.network);
        }
    }
}

impl Admission {
    /// Nobody is there yet. With `limits_loopback` loopback addresses are counted like any other.
    pub fn new(limits: AdmissionLimits, proxies: Proxies, limits_loopback: bool) -> Arc<Admission> {
        let admission = Admission {
            connections_per_second: AtomicU32::default(),
            connections_burst: AtomicU32::default(),
            connections_max: AtomicU32::default(),
            proxies,
            limits_loopback,
            born: Instant::now(), // Only a point to count from; time is an argument.
            hasher: RandomState::new(),
            parts: Default::default(),
        };
        admission.set_limits(limits);
        Arc::new(admission)
    }

    /// From now on these hold; who is there already stays.
    pub fn set_limits(&self, limits: AdmissionLimits) {
        self.connections_per_second.store(limits.connections_per_second, Ordering::Relaxed);
        self.connections_burst.store(limits.connections_burst, Ordering::Relaxed);
        self.connections_max.store(limits.connections_max, Ordering::Relaxed);
    }

    /// Whose word about addresses is believed.
    pub(crate) fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// Takes a place for a connection; `None` where nobody counts.
    ///
    /// *Errors:* the address has as many connections as it may have (`address_connections`), or
    /// they come too fast (`address_rate`).
    ///
    /// *Cost:* one lock; a refusal allocates nothing.
    pub(crate) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        now: Instant,
    ) -> Result<Option<Place>, Refusal> {
        if self.is_exempt(address) {
            return Ok(None);
        }
        let network = Network::of(address);
        let is_counted = self.count(network, now, true)?;
        Ok(is_counted.then(|| Place { admission: Some(self.clone()), network }))
    }

    /// Counts a request that came over a proxy's own connection as a new connection that ends at
    /// once.
    ///
    /// *Errors:* they come too fast.
    pub(crate) fn knock(&self, address: IpAddr, now: Instant) -> Result<(), Refusal> {
        if !self.is_exempt(address) {
            self.count(Network::of(address), now, false)?;
        }
        Ok(())
    }

    /// Gives back the place of a connection that was passed on and has ended.
    pub(crate) fn leave(&self, address: IpAddr) {
        if !self.is_exempt(address) {
            self.give_back(Network::of(address));
        }
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        (address.is_loopback() && !self.limits_loopback) || self.proxies.trust(address)
    }

    fn part(&self, network: Network) -> &Mutex<Part> {
        &self.parts[self.hasher.hash_one(network) as usize % PARTS]
    }

    fn count(&self, network: Network, now: Instant, stays: bool) -> Result<bool, Refusal> {
        let now = Nanos(now.saturating_duration_since(self.born).as_nanos() as i64);
        let mut part = self.part(network).lock();
        let has_room = part.known.contains_key(&network) || part.has_room(now);
        let account = match part.known.entry(network) {
            Entry::Vacant(_) if !has_room => return Ok(false),
            entry => entry.or_default(),
        };
        // Relaxed: see the fields.
        if stays && account.open >= self.connections_max.load(Ordering::Relaxed) {
            return Err(Refusal::too_many_connections());
        }
        let per_second = self.connections_per_second.load(Ordering::Relaxed);
        let burst = self.connections_burst.load(Ordering::Relaxed);
        if !account.budget.take(now, per_second, burst) {
            return Err(Refusal::too_fast());
        }
        account.open += u32::from(stays);
        Ok(true)
    }

    fn give_back(&self, network: Network) {
        if let Some(account) = self.part(network).lock().known.get_mut(&network) {
            // One that was let in without being counted may end after its address has become known.
            account.open = account.open.saturating_sub(1);
        }
    }

    #[cfg(test)]
    fn known(&self) -> usize {
        self.parts.iter().map(|part| part.lock().known.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal_reason::Reason;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    const LIMITS: AdmissionLimits =
        AdmissionLimits { connections_per_second: 10, connections_burst: 5, connections_max: 8 };

    fn admission(limits_loopback: bool) -> Arc<Admission> {
        let proxies = Proxies::parse(["10.9.0.0/16"]).unwrap();
        Admission::new(LIMITS, proxies, limits_loopback)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_comes_in_then_as_many_as_the_rate_allows_until_the_cap() {
        let admission = admission(false);
        let mut now = Instant::now();
        let mut places = Vec::new();
        let mut reasons = Vec::new();
        for _ in 0..7 {
            match admission.enter(ip("192.0.2.1"), now) {
                Ok(place) => places.push(place.unwrap()),
                Err(refusal) => reasons.push((refusal.status, refusal.reason)),
            }
        }
        assert_eq!((places.len(), &reasons[..]), (5, &[(429, Reason::AddressRate); 2][..]));
        for _ in 0..3 {
            now += Duration::from_millis(100);
            places.push(admission.enter(ip("192.0.2.1"), now).unwrap().unwrap());
        }
        now += Duration::from_secs(10);
        let refusal = admission.enter(ip("192.0.2.1"), now).unwrap_err();
        assert_eq!((refusal.status, refusal.reason), (429, Reason::AddressConnections));
        assert!(refusal.headers.iter().any(|(name, _)| *name == "Retry-After"));
        // Another address has limits of its own, and a place given back is free.
        assert!(admission.enter(ip("192.0.2.2"), now).is_ok());
        drop(places.pop());
        assert!(admission.enter(ip("192.0.2.1"), now).is_ok());
    }

    #[test]
    fn a_place_that_was_passed_on_is_given_back_by_whoever_has_the_connection() {
        let admission = admission(false);
        let now = Instant::now();
        admission.set_limits(AdmissionLimits { connections_max: 1, ..LIMITS });
        admission.enter(ip("192.0.2.1"), now).unwrap().unwrap().pass_on();
        assert!(admission.enter(ip("192.0.2.1"), now).is_err());
        admission.leave(ip("192.0.2.1"));
        assert!(admission.enter(ip("192.0.2.1"), now).is_ok());
        // Too many of them do no harm.
        (0..3).for_each(|_| admission.leave(ip("192.0.2.1")));
        let place = admission.enter(ip("192.0.2.1"), now).unwrap();
        assert!(admission.enter(ip("192.0.2.1"), now).is_err());
        drop(place);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_a_mapped_address_as_what_it_maps() {
        let admission = admission(false);
        let now = Instant::now();
        for host in 0..5 {
            let address = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 7, host, host, host, host));
            admission.enter(address, now).unwrap().unwrap().pass_on();
        }
        assert!(admission.enter(ip("2001:db8:0:7::99"), now).is_err());
        assert!(admission.enter(ip("2001:db8:0:8::99"), now).is_ok());
        for address in ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.1"] {
            admission.enter(ip(address), now).unwrap().unwrap().pass_on();
        }
        assert!(admission.enter(ip("::ffff:192.0.2.1"), now).is_err());
    }

    #[test]
    fn loopback_and_trusted_proxies_are_not_counted_unless_loopback_is_to_be() {
        for (limits_loopback, address, counts) in [
            (false, "127.0.0.1", false),
            (false, "127.3.2.1", false),
            (false, "::1", false),
            (false, "10.9.8.7", false),
            (false, "10.8.8.7", true),
            (true, "127.0.0.1", true),
            (true, "::1", true),
            (true, "10.9.8.7", false),
        ] {
            let admission = admission(limits_loopback);
            let now = Instant::now();
            let entered = (0..20).filter(|_| admission.enter(ip(address), now).is_ok()).count();
            assert_eq!(entered < 20, counts, "{address}");
        }
    }

    #[test]
    fn addresses_that_have_gone_are_forgotten_and_those_that_have_not_are_not() {
        let admission = admission(false);
        let begin = Instant::now();
        let address = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0B00_0000 + number));
        let stays = admission.enter(address(0), begin).unwrap().unwrap();
        for number in 1..200_000 {
            // A thousand new addresses a second: of each nothing is known after 100 ms.
            let now = begin + Duration::from_millis(number.into());
            drop(admission.enter(address(number), now).unwrap());
        }
        assert!(admission.known() <= 4 * PARTS * SWEEP_MIN, "{}", admission.known());
        let network = Network::of(address(0));
        assert_eq!(admission.part(network).lock().known[&network].open, 1);
        drop(stays);
    }

    #[test]
    fn with_as_many_addresses_as_are_remembered_others_come_in_uncounted() {
        let admission = admission(false);
        let now = Instant::now();
        let address = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0B00_0000 + number));
        let mut uncounted = 0;
        for number in 0..ADDRESSES_MAX as u32 + 20_000 {
            match admission.enter(address(number), now).unwrap() {
                Some(place) => place.pass_on(),
                None => uncounted += 1,
            }
        }
        assert!(admission.known() <= ADDRESSES_MAX);
        assert!(uncounted >= 20_000, "{uncounted}");
        // Those that are known are limited all the same.
        let known = (0..100).filter(|_| admission.enter(address(1), now).is_ok()).count();
        assert_eq!(known, 4);
    }
}
