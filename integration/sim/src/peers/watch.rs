//! Who lives, as a worker of Java judges it: by when it last saw a counter move, on its own clock.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kcl_core::{Lease, LeaseKey, Tick};

/// When each counter was last seen to move. `None`: never, for a lease that had no owner when it was first seen, which
/// makes it as old as can be.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: BTreeMap<LeaseKey, (u64, Option<Tick>)>,
}

impl Watch {
    /// Takes in a scan. What it does not show is forgotten.
    pub(crate) fn observe(&mut self, now: Tick, leases: &[Arc<Lease>]) {
        let mut before = std::mem::take(&mut self.seen);
        for lease in leases {
            let seen = match before.remove(&lease.key) {
                Some(seen) if seen.0 == lease.counter => seen,
                Some(_) => (lease.counter, Some(now)),
                None => (lease.counter, lease.owner.is_some().then_some(now)),
            };
            self.seen.insert(lease.key.clone(), seen);
        }
    }

    /// For how long the counter has stood still.
    pub(crate) fn age(&self, now: Tick, key: &LeaseKey) -> Duration {
        match self.seen.get(key) {
            Some((_, Some(moved))) => now.since(*moved),
            _ => Duration::MAX,
        }
    }

    /// Whether anybody may have the lease: nobody owns it, or its owner is gone.
    pub(crate) fn is_available(&self, now: Tick, lease: &Lease, failover: Duration) -> bool {
        lease.owner.is_none() || self.age(now, &lease.key) > failover
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kcl_core::{Position, ShardId, WorkerId};

    fn at(seconds: u64) -> Tick {
        Tick::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn a_counter_that_stands_still_makes_a_lease_available_and_one_that_moves_does_not() {
        let failover = Duration::from_secs(10);
        let mut lease = Lease::new(ShardId::new("shardId-000000000000").unwrap(), Position::TrimHorizon);
        lease.owner = Some(WorkerId::new("a").unwrap());
        let mut watch = Watch::default();
        watch.observe(at(0), &[Arc::new(lease.clone())]);
        assert!(!watch.is_available(at(10), &lease, failover));
        assert!(watch.is_available(at(11), &lease, failover));
        lease.counter += 1;
        watch.observe(at(11), &[Arc::new(lease.clone())]);
        assert!(!watch.is_available(at(12), &lease, failover));
    }

    #[test]
    fn a_lease_that_was_never_seen_owned_is_as_old_as_can_be() {
        let lease = Lease::new(ShardId::new("shardId-000000000000").unwrap(), Position::TrimHorizon);
        let mut watch = Watch::default();
        watch.observe(at(0), &[Arc::new(lease.clone())]);
        assert_eq!(watch.age(at(0), &lease.key), Duration::MAX);
    }
}
