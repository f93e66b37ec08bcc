//! [`Chance`]: luck that is the same in every run.

use crate::mix::{STEP, mix};

/// Says of numbered events which of them happen. An event's luck depends on nothing but the seed and its number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Chance {
    seed: u64,
    probability: f64,
}

impl Chance {
    pub(crate) const fn new(seed: u64, probability: f64) -> Self {
        Self { seed, probability }
    }

    /// Luck of its own for what is within the event of this number.
    pub(crate) const fn within(seed: u64, number: u64, probability: f64) -> Self {
        Self::new(draw(seed, !number), probability)
    }

    /// Whether the event of this number happens.
    pub(crate) fn hits(self, number: u64) -> bool {
        // 53 bits, which is what a double holds: from 0 to less than 1.
        let drawn = draw(self.seed, number) >> 11;
        (drawn as f64) < self.probability * (1_u64 << 53) as f64
    }
}

/// The number of this place in the sequence of a seed.
const fn draw(seed: u64, number: u64) -> u64 {
    mix(mix(seed.wrapping_add(STEP)).wrapping_add(number.wrapping_add(1).wrapping_mul(STEP)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(chance: Chance) -> usize {
        (0..10_000).filter(|number| chance.hits(*number)).count()
    }

    #[test]
    fn as_many_events_happen_as_the_probability_says() {
        assert_eq!(hits(Chance::new(1, 0.0)), 0);
        assert_eq!(hits(Chance::new(1, 1.0)), 10_000);
        for seed in 0..20 {
            let hits = hits(Chance::new(seed, 0.3));
            assert!((2_800..3_200).contains(&hits), "{hits} with seed {seed}");
        }
    }

    #[test]
    fn seeds_and_surroundings_have_luck_of_their_own() {
        let lot = |chance: Chance| (0..64).map(|number| chance.hits(number)).collect::<Vec<_>>();
        assert_eq!(lot(Chance::new(1, 0.5)), lot(Chance::new(1, 0.5)));
        assert_ne!(lot(Chance::new(1, 0.5)), lot(Chance::new(2, 0.5)));
        assert_ne!(lot(Chance::within(1, 0, 0.5)), lot(Chance::within(1, 1, 0.5)));
    }
}
