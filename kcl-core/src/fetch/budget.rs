//! One budget of memory for all shards of a worker: what quiet ones do not use, busy ones may.

/// Divides `budget` among shards that hold so many bytes now. Gives the shares, in the same order.
///
/// A quarter of an even share is always a shard's own. Shards that use half of that are busy, and divide evenly what the
/// others leave. What a shard holds beyond its new share counts against the others until it is handled: all together never
/// hold more than the budget, give or take the one batch that a shard may always have.
///
/// ```
/// use kcl_core::fetch::shares;
///
/// assert_eq!(shares(1_000, &[0, 0]), [500, 500]);
/// assert_eq!(shares(1_000, &[0, 300]), [125, 875]);
/// assert_eq!(shares(1_000, &[100, 875]), [125, 500], "the second gives back what it has handled");
/// ```
#[must_use]
pub fn shares(budget: u64, held: &[u64]) -> Vec<u64> {
    let count = held.len() as u64;
    let Some(even) = budget.checked_div(count) else {
        return Vec::new();
    };
    let own = own_share(budget, held.len());
    let is_busy = |held: u64| held > own / 2;
    let busy = held.iter().filter(|held| is_busy(**held)).count() as u64;
    let lent = (budget - own * (count - busy)).checked_div(busy).unwrap_or(even);
    let target = |held: u64| match busy {
        0 => even,
        _ if is_busy(held) => lent,
        _ => own,
    };
    // What is held or nobody else's is taken already. What is left goes to those that are not at their target.
    let taken = |held: u64| held.max(own);
    let gap = |held: u64| target(held).saturating_sub(taken(held));
    let left = held.iter().fold(budget, |left, held| left.saturating_sub(taken(*held)));
    let gaps: u64 = held.iter().map(|held| gap(*held)).sum();
    held.iter()
        .map(|held| match gap(*held) {
            0 => target(*held),
            gap => taken(*held) + part(gap, left, gaps),
        })
        .collect()
}

/// What is a shard's own among `count`, whatever the others do.
#[must_use]
pub fn own_share(budget: u64, count: usize) -> u64 {
    budget / (count as u64).max(1) / 4
}

/// The part of `left` that falls to `gap` of all `gaps`, and no more than that.
fn part(gap: u64, left: u64, gaps: u64) -> u64 {
    let part = u128::from(gap) * u128::from(left.min(gaps)) / u128::from(gaps.max(1));
    u64::try_from(part).unwrap_or(gap)
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    const BUDGET: u64 = 1 << 20;

    #[test]
    fn given_one_busy_shard_among_many_when_divided_then_it_gets_most_and_no_other_less_than_its_own() {
        let mut held = vec![0; 64];
        held[7] = BUDGET / 64;
        let shares = shares(BUDGET, &held);
        assert!(shares[7] > BUDGET * 3 / 4 - 64, "{shares:?}");
        let own = own_share(BUDGET, 64);
        assert!(shares.iter().all(|share| *share >= own), "{shares:?}");
    }

    #[test]
    fn given_no_shard_or_all_of_them_busy_when_divided_then_the_shares_are_even() {
        assert_eq!(shares(BUDGET, &[]), [0; 0]);
        assert_eq!(shares(BUDGET, &[0; 4]), [BUDGET / 4; 4]);
        assert_eq!(shares(BUDGET, &[BUDGET / 8; 4]), [BUDGET / 4; 4]);
    }

    #[test]
    fn given_shards_that_fill_and_empty_when_divided_again_and_again_then_the_budget_is_never_exceeded() {
        for seed in 0..200 {
            let mut rng = Rng::with_seed(seed);
            let mut held = vec![0_u64; rng.usize(1..40)];
            let mut given = shares(BUDGET, &held);
            for step in 0..200 {
                for (held, share) in held.iter_mut().zip(&given) {
                    match rng.u8(..4) {
                        // It reads as much as it may.
                        0 => *held = (*held).max(*share),
                        1 => *held = rng.u64(..=*held),
                        _ => {}
                    }
                }
                given = shares(BUDGET, &held);
                let most: u64 = held.iter().zip(&given).map(|(held, share)| held.max(share)).sum();
                assert!(most <= BUDGET, "{seed} {step}: {most} of {BUDGET}");
                let own = own_share(BUDGET, held.len());
                assert!(given.iter().all(|share| *share >= own), "{seed} {step}: {given:?}");
            }
        }
    }
}
