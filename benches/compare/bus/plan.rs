//! Which trials are made: pairs, the publisher under more and more clients, those that the model is
//! fitted to, those that it is checked against, and those about memory.

use super::trial::{Layout, Trial};

/// What a trial is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// All in one, one gateway and four gateways under the same load, in every round.
    Pair,
    /// The same market, more and more clients, in every round.
    Publisher,
    /// For the model, once.
    Fit,
    /// Not for the model: what it would have said is compared with what was measured.
    Check,
    /// Many clients in a quiet market.
    Memory,
}

const fn trial(gateways: usize, instruments: u32, rate: u32, clients: u32, symbols: u32) -> Trial {
    Trial { layout: Layout::Bus { gateways }, instruments, rate, clients, symbols, seconds: 5 }
}

/// What all in one is compared under.
const PAIR: Trial = trial(4, 100, 100, 1_000, 20);

/// Loads that leave both of two cores some rest: what is saturated measures something else.
pub(super) const TRIALS: [(Purpose, Trial); 18] = [
    (Purpose::Pair, Trial { layout: Layout::Alone, ..PAIR }),
    (Purpose::Pair, Trial { layout: Layout::Bus { gateways: 1 }, ..PAIR }),
    (Purpose::Pair, PAIR),
    (Purpose::Publisher, trial(4, 100, 200, 100, 2)),
    (Purpose::Publisher, trial(4, 100, 200, 1_000, 2)),
    (Purpose::Publisher, trial(4, 100, 200, 4_000, 2)),
    (Purpose::Fit, trial(1, 200, 2_000, 100, 10)),
    (Purpose::Fit, trial(2, 500, 300, 1_000, 10)),
    (Purpose::Fit, trial(4, 1_000, 2_000, 40, 1)),
    (Purpose::Fit, trial(1, 50, 3_000, 60, 20)),
    (Purpose::Fit, trial(4, 100, 20, 1_000, 20)),
    (Purpose::Fit, trial(1, 100, 10_000, 4, 100)),
    (Purpose::Fit, trial(2, 2_000, 1_000, 200, 20)),
    (Purpose::Check, trial(2, 300, 400, 800, 10)),
    (Purpose::Check, trial(4, 1_000, 1_000, 200, 10)),
    (Purpose::Memory, Trial { seconds: 1, ..trial(1, 100, 10, 8_000, 0) }),
    (Purpose::Memory, Trial { seconds: 1, ..trial(1, 100, 10, 8_000, 20) }),
    (Purpose::Memory, Trial { seconds: 1, ..trial(1, 5_000, 10, 2_000, 20) }),
];

/// Whether a trial is made in this round.
pub(super) fn is_due(purpose: Purpose, round: u32) -> bool {
    match purpose {
        Purpose::Pair => true,
        Purpose::Publisher => round <= 2,
        Purpose::Fit | Purpose::Check | Purpose::Memory => round == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::load::LOADS;

    #[test]
    fn what_checks_the_model_is_no_part_of_it() {
        let of = |purpose| TRIALS.iter().filter(move |(other, _)| *other == purpose);
        assert_eq!((of(Purpose::Pair).count(), of(Purpose::Check).count()), (3, 2));
        for (_, check) in of(Purpose::Check) {
            assert!(TRIALS.iter().filter(|(_, trial)| trial == check).count() == 1);
        }
        for (_, trial) in TRIALS {
            assert_eq!(trial.clients as usize % LOADS, 0, "every tester has as many");
        }
        assert!(is_due(Purpose::Pair, 9) && !is_due(Purpose::Fit, 2));
    }
}
