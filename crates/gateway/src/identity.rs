//! On whose behalf a connection speaks, and what that identity may do.
//!
//! *Invariant:* who is unknown receives nothing; an identity's rights end with it.

use crate::entitlement::Entitlements;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use tickcast_market::Nanos;
use tickcast_publisher::{Tier, Tiers};
use tickcast_wire::Channel;

/// On whose behalf a connection speaks.
#[derive(Clone, Debug, Default)]
pub enum Who {
    /// Nobody yet: it has to authenticate before it is served.
    #[default]
    Unknown,
    /// Anybody; there are no limits but the service's own.
    Anybody,
    /// This identity.
    Known(Arc<Identity>),
    /// The service's own witness: may receive everything, and counts as nobody.
    Canary,
}

/// Whom a token names, and what it allows.
#[derive(Debug)]
pub struct Identity {
    /// The token's subject.
    pub sub: Box<str>,
    /// When its rights end, on the wall clock.
    pub expires_at: Nanos,
    /// What it may receive.
    pub entitlements: Entitlements,
    /// How many subscriptions each of its connections may have, if the token says so.
    pub subscriptions_max: Option<usize>,
    /// How many connections it may have, if the token says so.
    pub connections_max: Option<usize>,
    /// The rates that it may choose from, if the token says so.
    pub rates: Option<Rates>,
}

/// Maximum rates, in updates per second and symbol; infinite is real time.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates(Vec<f64>);

impl Who {
    /// Whether a channel of the instrument of that full name may be received.
    pub fn may_receive(&self, name: &str, channel: Channel) -> bool {
        match self {
            Who::Unknown => false,
            Who::Anybody | Who::Canary => true,
            Who::Known(identity) => identity.entitlements.allow(name, channel),
        }
    }

    /// Whether it may know that the instrument of that full name exists.
    pub fn may_see(&self, name: &str) -> bool {
        self.may_receive(name, Channel::Status)
    }

    /// The identity, where there is one.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        match self {
            Who::Known(identity) => Some(identity),
            Who::Unknown | Who::Anybody | Who::Canary => None,
        }
    }
}

impl Identity {
    /// The tier that it gets when it asks for `max_rate`: the fastest one that it may choose and
    /// that is not faster, else the slowest it may choose; where there is none of those, the
    /// slowest of all.
    pub(crate) fn grant(&self, tiers: &Tiers, max_rate: Option<f64>) -> Tier {
        let Some(Rates(rates)) = &self.rates else { return tiers.grant(max_rate) };
        let rate = |tier: &Tier| tiers.rate(*tier).unwrap_or(f64::INFINITY);
        let slowest = Tier(tiers.count() as u8 - 1);
        let mut allowed = (0..=slowest.0).map(Tier).filter(|tier| rates.contains(&rate(tier)));
        let wanted = max_rate.unwrap_or(f64::INFINITY);
        let last = allowed.clone().next_back();
        allowed.find(|tier| rate(tier) <= wanted).or(last).unwrap_or(slowest)
    }
}

impl Rates {
    /// These rates. *Errors:* the one that is no rate above 0.
    pub fn new(rates: Vec<f64>) -> Result<Rates, f64> {
        match rates.iter().find(|rate| rate.is_nan() || **rate <= 0.0) {
            Some(wrong) => Err(*wrong),
            None => Ok(Rates(rates)),
        }
    }
}

/// How many connections each identity has.
///
/// There is an entry only for who has any: it is bounded by the connections there are.
#[derive(Debug, Default)]
pub struct Seats {
    taken: Mutex<FxHashMap<Box<str>, usize>>,
}

/// A connection's place among those of its identity; given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    sub: Box<str>,
}

impl Seats {
    /// A place for one more connection of `sub`, which may have `most`.
    pub(crate) fn take(self: &Arc<Seats>, sub: &str, most: usize) -> Option<Seat> {
        let mut taken = self.taken.lock();
        let count = taken.get(sub).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        taken.insert(sub.into(), count + 1);
        Some(Seat { seats: self.clone(), sub: sub.into() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock();
        if let Some(count) = taken.get_mut(&self.sub) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.sub);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_rates(rates: &[f64]) -> Identity {
        Identity {
            sub: "desk".into(),
            expires_at: Nanos::MAX,
            entitlements: Entitlements::default(),
            subscriptions_max: None,
            connections_max: None,
            rates: Some(Rates::new(rates.to_vec()).unwrap()),
        }
    }

    #[test]
    fn the_granted_rate_is_one_that_may_be_chosen() {
        let tiers = Tiers::default(); // Real time, 10, 4, 1.
        for (rates, asked, granted) in [
            (&[f64::INFINITY, 1.0][..], None, None),
            (&[f64::INFINITY, 1.0], Some(5.0), Some(1.0)),
            (&[4.0, 1.0], None, Some(4.0)),
            (&[4.0, 1.0], Some(10.0), Some(4.0)),
            (&[4.0], Some(1.0), Some(4.0)),
            (&[7.0], None, Some(1.0)),
            (&[], None, Some(1.0)),
        ] {
            let tier = of_rates(rates).grant(&tiers, asked);
            assert_eq!(tiers.rate(tier), granted, "{rates:?} {asked:?}");
        }
        assert_eq!(Rates::new(vec![1.0, 0.0]), Err(0.0));
    }

    #[test]
    fn seats_are_given_back() {
        let seats = Arc::new(Seats::default());
        let held = [seats.take("a", 2), seats.take("a", 2)];
        assert!(held.iter().all(Option::is_some));
        assert!(seats.take("a", 2).is_none());
        assert!(seats.take("b", 2).is_some());
        drop(held);
        assert!(seats.take("a", 1).is_some());
        assert!(seats.taken.lock().is_empty(), "nothing is kept of who has left");
    }
}
