//! The taker of 2.x: every worker for itself takes what nobody has, and steals from the one that has most.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fastrand::Rng;
use kcl_core::{Lease, Tick, WorkerId};

use super::watch::Watch;

/// What a taker sees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) leases: &'a [Arc<Lease>],
    pub(crate) watch: &'a Watch,
    pub(crate) me: &'a WorkerId,
    pub(crate) now: Tick,
    pub(crate) failover: Duration,
}

/// Which leases to take now. A worker counts whom the rows name as owners, finished leases included; givers it does not
/// know.
pub(crate) fn plan<'a>(view: &View<'a>, rng: &mut Rng) -> Vec<&'a Lease> {
    let is_available = |lease: &Lease| view.watch.is_available(view.now, lease, view.failover);
    let (mut available, held): (Vec<&Lease>, Vec<&Lease>) = view
        .leases
        .iter()
        .map(AsRef::as_ref)
        .partition(|lease| is_available(lease));
    let very_old = |lease: &&Lease| view.watch.age(view.now, &lease.key) > view.failover * 3;
    let urgent: Vec<&Lease> = available.iter().copied().filter(very_old).collect();
    if !urgent.is_empty() {
        return urgent;
    }
    let mut loads: BTreeMap<&WorkerId, usize> = BTreeMap::from([(view.me, 0)]);
    for owner in held.iter().filter_map(|lease| lease.owner.as_ref()) {
        *loads.entry(owner).or_insert(0) += 1;
    }
    let (leases, workers) = (view.leases.len(), loads.len());
    let target = if leases >= workers { leases.div_ceil(workers) } else { 1 };
    let needed = target.saturating_sub(loads[view.me]);
    if needed == 0 {
        return Vec::new();
    }
    if !available.is_empty() {
        rng.shuffle(&mut available);
        available.truncate(needed);
        return available;
    }
    let Some((most, load)) = loads
        .iter()
        .filter(|(worker, _)| **worker != view.me)
        .max_by_key(|(_, load)| **load)
    else {
        return Vec::new();
    };
    // One at a time. One that is exactly at its target is robbed too, if this worker lacks more than one.
    if *load < target || (*load == target && needed < 2) {
        return Vec::new();
    }
    let theirs: Vec<&Lease> = held
        .into_iter()
        .filter(|lease| lease.owner.as_ref() == Some(most))
        .collect();
    theirs.get(rng.usize(..theirs.len())).copied().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixtures::{FAILOVER, at, id, table},
        *,
    };

    fn planned(leases: &[Arc<Lease>], seen: u64, now: u64) -> usize {
        let mut watch = Watch::default();
        watch.observe(at(seen), leases);
        let me = id("me");
        let view = View {
            leases,
            watch: &watch,
            me: &me,
            now: at(now),
            failover: FAILOVER,
        };
        plan(&view, &mut Rng::with_seed(1)).len()
    }

    #[test]
    fn what_nobody_ever_had_is_taken_at_once_and_all_of_it() {
        assert_eq!(planned(&table(&[None; 5]), 0, 0), 5);
    }

    #[test]
    fn what_expired_is_taken_up_to_the_target_and_what_is_very_old_beyond_it() {
        let leases = table(&[Some("a"); 4]);
        assert_eq!(planned(&leases, 0, 11), 4);
        let mut watch = Watch::default();
        watch.observe(at(0), &leases);
        let mut moved = leases.clone();
        for lease in &mut moved[..3] {
            Arc::make_mut(lease).counter += 1;
        }
        watch.observe(at(11), &moved);
        let me = id("me");
        let view = View {
            leases: &moved,
            watch: &watch,
            me: &me,
            now: at(12),
            failover: FAILOVER,
        };
        let taken = plan(&view, &mut Rng::with_seed(1));
        assert_eq!(
            taken.iter().map(|lease| &lease.key).collect::<Vec<_>>(),
            [&moved[3].key]
        );
    }

    #[test]
    fn one_lease_is_stolen_from_the_most_loaded_worker_and_none_in_a_balanced_fleet() {
        assert_eq!(planned(&table(&[Some("a"), Some("a"), Some("a"), Some("b")]), 0, 1), 1);
        assert_eq!(
            planned(&table(&[Some("a"), Some("a"), Some("me"), Some("me")]), 0, 1),
            0
        );
        assert_eq!(planned(&table(&[Some("a"), Some("b")]), 0, 1), 0);
    }
}
