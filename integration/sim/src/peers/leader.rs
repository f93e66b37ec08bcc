//! The leader of 3.x: a lock, and a plan for everybody.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;
use kcl_core::{
    Lease, LeaseKey, LeaseWrite, Tick, Timestamp, WorkerId,
    coordination::{Coordination, LeaderLock},
};

use super::{rows, watch::Watch};
use crate::servers::{LockWrite, TableRequest};

/// Who sees the lock unchanged for so long may take it.
pub(crate) const LOCK_LASTS: Duration = Duration::from_secs(120);
/// How often the leader moves the lock, and others look at it.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(30);
/// How often workers say how they are; twice that long ago is too long ago.
pub(crate) const REPORTS: Duration = Duration::from_secs(30);
/// How long a hand-off may take, to which the failover time is added.
pub(crate) const HAND_OFF: Duration = Duration::from_secs(30);
/// The fleet is balanced with every so many plans, the first of a leader's included.
const BALANCE_EVERY: u32 = 3;

/// One worker's part in who leads.
#[derive(Debug, Default)]
pub(crate) struct Leader {
    /// The version of the lock that this worker holds, and when it was granted.
    held: Option<(String, Tick)>,
    /// The lock of another, and since when it is as it is.
    seen: Option<(String, Tick)>,
    versions: u64,
    runs: u32,
    watch: Watch,
    /// Until when each hand-off that is under way may take.
    deadlines: BTreeMap<LeaseKey, Tick>,
}

impl Leader {
    pub(crate) fn leads(&self, now: Tick) -> bool {
        self.held.as_ref().is_some_and(|(_, at)| now.since(*at) < LOCK_LASTS)
    }

    fn next_lock(&mut self, me: &WorkerId, rng: &mut Rng) -> LeaderLock {
        self.versions += 1;
        LeaderLock {
            owner: me.clone(),
            version: format!("{me}/{}/{:08x}", self.versions, rng.u32(..)),
            lease_duration: LOCK_LASTS,
        }
    }

    /// Another version of the lock that is held.
    pub(crate) fn heartbeat(&mut self, me: &WorkerId, rng: &mut Rng) -> Option<LockWrite> {
        let expect = Some(self.held.as_ref()?.0.clone());
        let put = Some(self.next_lock(me, rng));
        Some(LockWrite { expect, put })
    }

    /// Gives the lock back.
    pub(crate) fn release(&mut self) -> Option<LockWrite> {
        let (version, _) = self.held.take()?;
        Some(LockWrite {
            expect: Some(version),
            put: None,
        })
    }

    /// Takes in the lock as it stands, and says how to get it, if it can be had.
    pub(crate) fn look(
        &mut self,
        now: Tick,
        lock: Option<&LeaderLock>,
        me: &WorkerId,
        rng: &mut Rng,
    ) -> Option<LockWrite> {
        let Some(lock) = lock else {
            self.seen = None;
            let put = Some(self.next_lock(me, rng));
            return Some(LockWrite { expect: None, put });
        };
        let since = match &self.seen {
            Some((version, since)) if *version == lock.version => *since,
            _ => now,
        };
        self.seen = Some((lock.version.clone(), since));
        if now.since(since) < lock.lease_duration {
            return None;
        }
        let put = Some(self.next_lock(me, rng));
        Some(LockWrite {
            expect: Some(lock.version.clone()),
            put,
        })
    }

    /// Whether a request for the lock was granted. A new leader knows nothing of who lives.
    pub(crate) fn granted(&mut self, now: Tick, write: Option<&LockWrite>) {
        let version = write.and_then(|write| Some(write.put.as_ref()?.version.clone()));
        if version.is_none() || self.held.is_none() {
            (self.watch, self.deadlines, self.runs) = (Watch::default(), BTreeMap::new(), 0);
        }
        self.held = version.map(|version| (version, now));
    }

    /// What to write now that the leases and the workers are known.
    pub(crate) fn plan(
        &mut self,
        now: Tick,
        failover: Duration,
        leases: &[Arc<Lease>],
        live: &BTreeSet<WorkerId>,
        rng: &mut Rng,
    ) -> Vec<LeaseWrite> {
        self.watch.observe(now, leases);
        let balances = self.runs.is_multiple_of(BALANCE_EVERY);
        self.runs += 1;
        // Hand-offs that others asked for get the same time from when they were first seen.
        let before = std::mem::take(&mut self.deadlines);
        for lease in leases.iter().filter(|lease| lease.is_in_hand_off()) {
            let deadline = before.get(&lease.key).copied().unwrap_or(now + HAND_OFF + failover);
            self.deadlines.insert(lease.key.clone(), deadline);
        }
        let is_due = |lease: &Lease| {
            let late = self.deadlines.get(&lease.key).is_some_and(|deadline| *deadline <= now);
            late || self.watch.is_available(now, lease, failover)
        };
        let (mut due, held): (Vec<&Lease>, Vec<&Lease>) =
            leases.iter().map(AsRef::as_ref).partition(|lease| is_due(lease));
        let mut loads: BTreeMap<&WorkerId, usize> = live.iter().map(|worker| (worker, 0)).collect();
        for lease in &held {
            if let Some(load) = lease.holder().and_then(|holder| loads.get_mut(holder)) {
                *load += 1;
            }
        }
        let mut writes = Vec::new();
        due.sort_by_key(|lease| std::cmp::Reverse(self.watch.age(now, &lease.key)));
        for lease in due {
            let Some((worker, load)) = loads.iter_mut().min_by_key(|(_, load)| **load) else {
                break;
            };
            *load += 1;
            writes.push(rows::assign(lease, worker));
        }
        if balances {
            writes.extend(balance(&held, loads, rng));
        }
        writes
    }
}

/// Moves leases from the most to the least loaded worker, until no two differ by more than one.
fn balance(held: &[&Lease], mut loads: BTreeMap<&WorkerId, usize>, rng: &mut Rng) -> Vec<LeaseWrite> {
    let mut movable: Vec<&Lease> = held.iter().copied().filter(|lease| !lease.is_in_hand_off()).collect();
    rng.shuffle(&mut movable);
    let mut writes = Vec::new();
    loop {
        let least = loads
            .iter()
            .min_by_key(|(_, load)| **load)
            .map(|(worker, load)| (*worker, *load));
        let most = loads
            .iter()
            .max_by_key(|(_, load)| **load)
            .map(|(worker, load)| (*worker, *load));
        let (Some((least, few)), Some((most, many))) = (least, most) else {
            return writes;
        };
        let Some(index) = movable.iter().position(|lease| lease.owner.as_ref() == Some(most)) else {
            return writes;
        };
        if many <= few + 1 {
            return writes;
        }
        writes.push(rows::hand_off(movable.swap_remove(index), least));
        loads.insert(most, many - 1);
        loads.insert(least, few + 1);
    }
}

/// The workers whose metrics are not too old to be believed.
pub(crate) fn live_workers(coordination: &Coordination, wall: Timestamp) -> BTreeSet<WorkerId> {
    let oldest = wall.saturating_sub(REPORTS * 2);
    let live = |metrics: &&kcl_core::coordination::WorkerMetrics| metrics.updated_at.is_some_and(|at| at >= oldest);
    let workers = coordination.workers.iter().filter(live);
    workers.map(|metrics| metrics.worker.clone()).collect()
}

impl From<LockWrite> for TableRequest {
    fn from(write: LockWrite) -> Self {
        Self::Lock(write)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixtures::{FAILOVER, at, id, table},
        *,
    };

    fn workers(names: &[&str]) -> BTreeSet<WorkerId> {
        names.iter().map(|name| id(name)).collect()
    }

    fn owners(writes: &[LeaseWrite]) -> Vec<WorkerId> {
        let mut owners: Vec<WorkerId> = writes.iter().filter_map(|write| write.patch.owner.clone()?).collect();
        owners.sort();
        owners
    }

    #[test]
    fn a_lock_is_taken_when_there_is_none_or_when_it_stood_still_for_its_time() {
        let (me, mut rng) = (id("me"), Rng::with_seed(1));
        let mut leader = Leader::default();
        let first = leader.look(at(0), None, &me, &mut rng).unwrap();
        assert_eq!(first.expect, None);
        let other = LeaderLock {
            owner: id("other"),
            version: "1".to_owned(),
            lease_duration: LOCK_LASTS,
        };
        assert_eq!(leader.look(at(0), Some(&other), &me, &mut rng), None);
        assert_eq!(leader.look(at(119), Some(&other), &me, &mut rng), None);
        let write = leader.look(at(120), Some(&other), &me, &mut rng).unwrap();
        assert_eq!(write.expect.as_deref(), Some("1"));
        leader.granted(at(120), Some(&write));
        assert!(leader.leads(at(121)) && !leader.leads(at(240)));
    }

    #[test]
    fn what_is_free_goes_to_workers_that_report_and_to_no_other() {
        let mut leader = Leader::default();
        let leases = table(&[None, None, Some("silent"), Some("a")]);
        let writes = leader.plan(at(0), FAILOVER, &leases, &workers(&["a", "b"]), &mut Rng::with_seed(1));
        assert_eq!(owners(&writes), [id("a"), id("b")]);
        assert!(
            leader
                .plan(at(1), FAILOVER, &leases, &BTreeSet::new(), &mut Rng::with_seed(1))
                .is_empty()
        );
    }

    #[test]
    fn every_third_plan_balances_by_asking_and_leaves_those_alone_that_do_not_report() {
        let mut leader = Leader::default();
        let leases = table(&[Some("a"), Some("a"), Some("a"), Some("silent")]);
        let live = workers(&["a", "b"]);
        let mut rng = Rng::with_seed(1);
        let writes = leader.plan(at(0), FAILOVER, &leases, &live, &mut rng);
        assert!(leader.plan(at(1), FAILOVER, &leases, &live, &mut rng).is_empty());
        assert!(leader.plan(at(2), FAILOVER, &leases, &live, &mut rng).is_empty());
        assert_eq!(leader.plan(at(3), FAILOVER, &leases, &live, &mut rng).len(), 1);
        assert_eq!(writes.len(), 1);
        assert_eq!(writes[0].patch.checkpoint_owner, Some(Some(id("a"))));
        assert!(!writes[0].patch.increment_counter);
    }

    #[test]
    fn a_hand_off_that_takes_too_long_is_cut_short() {
        let mut leader = Leader::default();
        let mut leases = table(&[Some("b")]);
        let live = workers(&["b"]);
        let mut rng = Rng::with_seed(1);
        for second in 0..40 {
            let lease = Arc::make_mut(&mut leases[0]);
            (lease.checkpoint_owner, lease.counter) = (Some(id("a")), second);
            assert!(leader.plan(at(second), FAILOVER, &leases, &live, &mut rng).is_empty());
        }
        Arc::make_mut(&mut leases[0]).counter = 40;
        let writes = leader.plan(at(40), FAILOVER, &leases, &live, &mut rng);
        assert_eq!(writes[0].patch.checkpoint_owner, Some(None));
        assert!(writes[0].patch.increment_counter);
    }
}
