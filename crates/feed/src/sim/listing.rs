//! What is listed: price levels from ten-thousandths to tens of thousands, with the tick and
//! lot sizes that a venue would choose for them.

use super::random::Random;
use tickcast_market::Scales;

/// Powers of ten of the price by rank, over and over: the most active one is expensive, its
/// neighbours are of all kinds.
const MAGNITUDES: [i32; 13] = [4, 3, 2, 0, 1, -1, 3, -2, 0, 2, -4, 1, -3];

/// An instrument as the venue lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listing {
    /// Tick size as a mantissa at the price scale, 1 or 5; the lot size is 1 at the size scale.
    pub(super) tick: i64,
    pub(super) scales: Scales,
    /// First price, in tick sizes: 10,000 to 200,000.
    pub(super) price: i32,
    /// A usual level's size, in lots.
    pub(super) size_unit: u32,
    /// The spread that quotes return to, in tick sizes.
    pub(super) spread: i32,
}

/// The instrument of that rank (from 0).
pub(super) fn list(rank: u32, random: &mut Random) -> Listing {
    let magnitude = MAGNITUDES[rank as usize % MAGNITUDES.len()];
    // Four significant digits and what the tick size adds; the price is in [1, 10) × 10^magnitude.
    let lead = 1_000 + random.below(9_000) as i32;
    let (tick, digits, per_lead) =
        if random.below(2) == 0 { (1, 4 - magnitude, 10) } else { (5, 5 - magnitude, 20) };
    // A level is worth some thousands: expensive instruments trade in fractions.
    let finer = if magnitude < 0 { 0 } else { random.below(3) };
    let size_digits = magnitude.max(0) as u32 + finer;
    let cheap = 10u32.pow(magnitude.min(0).unsigned_abs() / 2);
    let wide = 2 + (rank / 64).min(6);
    Listing {
        tick,
        scales: Scales { price: digits as u8, size: size_digits as u8, volume: size_digits as u8 },
        price: lead * per_lead + random.below(per_lead as u32) as i32,
        size_unit: (2_000 + random.below(8_000)) * 10u32.pow(finer) * cheap,
        spread: if rank == 0 { 1 } else { 1 + random.below(wide) as i32 },
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Purpose;
    use super::*;

    #[test]
    fn prices_spread_over_magnitudes_and_have_room_below_them() {
        let mut random = Random::new(1, Purpose::Build);
        let mut magnitudes = std::collections::BTreeSet::new();
        for rank in 0..20_000 {
            let listing = list(rank, &mut random);
            assert!((10_000..200_000).contains(&listing.price), "{listing:?}");
            assert!((1_000..=1_000_000).contains(&listing.size_unit), "{listing:?}");
            assert!(listing.scales.price <= 9 && listing.scales.size <= 6, "{listing:?}");
            let price = f64::from(listing.price) * listing.tick as f64
                / 10f64.powi(i32::from(listing.scales.price));
            magnitudes.insert(price.log10().floor() as i32);
        }
        assert_eq!(magnitudes.into_iter().collect::<Vec<_>>(), (-4..=4).collect::<Vec<_>>());
    }
}
