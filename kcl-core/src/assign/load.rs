//! Balance by what leases weigh: the bytes a second that their rows say were handled lately.
//!
//! The number of leases stays as even as ever. A worker that has little to do and one that has much exchange a light lease for
//! a heavy one: the first asks for the heavy one, and the second, which then has too few, asks for a light one back.

use std::collections::BTreeMap;

use super::{
    FleetView, Move,
    census::{Census, scatter},
};
use crate::{ids::WorkerId, lease::Lease};

/// Balance by number alone, or by throughput as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseAssignment {
    /// Every worker has as many leases as any other, give or take one.
    #[default]
    LeaseCount,
    /// That, and those with much to read are spread: a worker that handles the fewest bytes a second takes a busy lease from
    /// the one that handles the most, and gives a quiet one for it. It comes into force when all workers of the fleet are
    /// set to it, since only then all rows say what they weigh.
    Throughput,
}

/// A difference smaller than this is not worth a move, in bytes a second.
const FLOOR: u64 = 32 * 1024;

/// Plans the one lease that the least loaded worker asks the most loaded one for, if it is `view.me` and that makes the largest load
/// of the two clearly smaller: by a tenth of the mean at least, and by 32 KiB a second. Meant for when
/// [`plan_assignment`](super::plan_assignment) has nothing to do.
///
/// Nothing is planned while any lease is free or being passed on, while workers of another kind are there, or
/// as long as some row does not say how much is handled.
#[must_use]
pub fn plan_load_move(view: &FleetView<'_>) -> Option<Move> {
    let alone = view
        .peers
        .is_none_or(|peers| peers.idle.is_empty() && peers.manners.is_empty());
    let mut census = Census::take(view);
    let full = view.limits.max_leases.is_some_and(|most| census.held_by_me >= most);
    if !alone || full || census.handing_off || !census.free.is_empty() {
        return None;
    }
    let weights = census.weights.take()?;
    let order = |(worker, weight): &(&&WorkerId, &u64)| (**weight, scatter(0, worker.as_str()));
    let (&idlest, &least) = weights.iter().min_by_key(order)?;
    let (&busiest, &most) = weights.iter().max_by_key(order)?;
    if idlest != view.me || idlest == busiest {
        return None;
    }
    let total = weights.values().fold(0, |sum: u64, weight| sum.saturating_add(*weight));
    let mean = total / weights.len() as u64;
    let margin = (mean / 10).max(FLOOR);
    // With one lease less the busiest has as many as the others: it asks for none back.
    let keeps_all = census.loads.get(busiest) > census.loads.get(idlest);
    let back: Vec<u64> = if keeps_all {
        vec![0]
    } else {
        census.movable(idlest).iter().map(|lease| weight(lease)).collect()
    };
    let after = |given: u64| {
        let larger = |back: &u64| {
            let (most, least) = (most.saturating_add(*back), least.saturating_add(given));
            most.saturating_sub(given).max(least.saturating_sub(*back))
        };
        back.iter().map(larger).min()
    };
    let best = census
        .movable(busiest)
        .iter()
        .filter_map(|lease| Some((after(weight(lease))?, lease)))
        .min_by_key(|(after, lease)| (*after, scatter(view.seed, lease.key.as_str())));
    let (after, lease) = best?;
    (after.saturating_add(margin) <= most).then(|| Move::RequestHandOff {
        key: lease.key.clone(),
        from: busiest.clone(),
    })
}

pub(super) fn weight(lease: &Lease) -> u64 {
    lease.throughput.unwrap_or_default()
}

/// Of `leases`, which `giver` has, the one that leaves the two loads closest to each other; `None` where weights are not known.
pub(super) fn most_even(
    leases: &[&Lease],
    weights: &BTreeMap<&WorkerId, u64>,
    giver: &WorkerId,
    receiver: &WorkerId,
) -> Option<usize> {
    let (gives, gets) = (weights.get(giver)?, weights.get(receiver)?);
    let difference = |lease: &Lease| {
        let moved = weight(lease);
        gives.saturating_sub(moved).abs_diff(gets.saturating_add(moved))
    };
    (0..leases.len()).min_by_key(|index| difference(leases[*index]))
}

#[cfg(test)]
mod tests;
