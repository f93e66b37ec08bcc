//! Workers of Java KCL in the same fleet: what they can be asked for, who of them balances, and what they want to see.
//!
//! Workers of this crate mark their rows with a session, and Java's do not. Those of 3.x pass a lease on when they are
//! asked for it, and one of them, the leader, balances the fleet by what all publish about themselves. Those of 2.x (and those of
//! 3.x as long as the application has not left 2.x behind) hear no request: between them, leases are stolen.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{StoreFailure, WorkerEffect, WorkerMachine};
use crate::{
    assign::{Manner, Move, PeerView},
    coordination::{CPU, ClientVersion, Coordination, LeaderLock},
    ids::{LeaseKey, WorkerId},
    lease::Lease,
    store::StoreOperation,
    time::{Tick, Timestamp},
};

/// How often Java's workers publish their metrics, and how often this one looks for them.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);

/// Java's leader takes a worker for gone when its metrics are this old.
const METRICS_LAPSE: Duration = Duration::from_secs(60);

/// Java's leaders hold their lock for two minutes. What somebody wrote into the row must not keep leases where they are for ever.
const LONGEST_LEASE: Duration = Duration::from_secs(600);

/// What this worker knows of its neighbours from Java, and what it does for them.
#[derive(Debug)]
pub(super) struct Peers {
    looking: bool,
    looked: bool,
    /// Whether a scan of the table was taken in.
    noted: bool,
    failures: u32,
    next_look: Tick,
    /// The workers that publish metrics.
    reporting: BTreeMap<WorkerId, Report>,
    /// The leader's lock, and since when it is as it is.
    leader: Option<(LeaderLock, Tick)>,
    version: Option<ClientVersion>,
    /// The holders of rows without a session, since when they are seen and no row of theirs has one.
    strangers: BTreeMap<WorkerId, Tick>,
    /// Workers that are seen to be of this kind, and those of them that still have metrics.
    kin: BTreeSet<WorkerId>,
    /// Leases that strangers were asked for, by whomever: by whom, and since when.
    requests: BTreeMap<LeaseKey, (Option<WorkerId>, Tick)>,
    /// The holders of leases that strangers have, and the counter with which they were first seen to have them; none for those
    /// that had them before this worker looked.
    given: BTreeMap<LeaseKey, (WorkerId, Option<u64>)>,
    /// Whether this worker ever had its share. From then on a leader's balance is not disturbed.
    settled: bool,
    /// Whether somebody reads what this worker would publish.
    audience: bool,
    publishing: bool,
    published: bool,
    publish_failures: u32,
    next_publish: Tick,
}

/// A worker's metrics, as seen over time.
#[derive(Debug)]
struct Report {
    measures_cpu: bool,
    updated_at: Option<Timestamp>,
    since: Tick,
    moved: bool,
}

impl Peers {
    pub(super) fn new(now: Tick) -> Self {
        Self {
            looking: false,
            looked: false,
            noted: false,
            failures: 0,
            next_look: now,
            reporting: BTreeMap::new(),
            leader: None,
            version: None,
            strangers: BTreeMap::new(),
            kin: BTreeSet::new(),
            requests: BTreeMap::new(),
            given: BTreeMap::new(),
            settled: false,
            audience: false,
            publishing: false,
            published: false,
            publish_failures: 0,
            next_publish: now,
        }
    }

    /// Whether somebody reads what this worker measures.
    pub(super) const fn has_readers(&self) -> bool {
        self.audience
    }

    /// When to look, or to publish, next.
    pub(super) fn next_deadline(&self) -> Option<Tick> {
        let look = (!self.looking).then_some(self.next_look);
        let publish = (!self.publishing && self.audience).then_some(self.next_publish);
        [look, publish].into_iter().flatten().min()
    }

    /// Whether the Java workers of this application use the algorithms of 2.x, where nobody leads and nobody passes on.
    fn is_2x(&self) -> bool {
        matches!(self.version, Some(ClientVersion::UpgradeFrom2x | ClientVersion::TwoX))
    }

    /// Whether a leader balances this fleet: its lock was seen to change within the time that the lock gives it.
    fn is_led(&self, now: Tick) -> bool {
        let lives = |(lock, since): &(LeaderLock, Tick)| now.since(*since) <= lock.lease_duration.min(LONGEST_LEASE);
        !self.is_2x() && self.leader.as_ref().is_some_and(lives)
    }

    /// Whether a Java worker may live that reads what workers publish. What was seen but once may be alive.
    fn has_audience(&self, now: Tick) -> bool {
        let lately = |report: &Report| now.since(report.since) <= METRICS_LAPSE;
        self.is_led(now)
            || self.reporting.values().any(lately)
            || (self.version == Some(ClientVersion::UpgradeFrom2x) && !self.strangers.is_empty())
    }

    fn accept(&mut self, now: Tick, me: &WorkerId, coordination: Coordination) {
        self.version = coordination.client_version;
        self.leader = coordination.leader.map(|lock| match self.leader.take() {
            Some((known, since)) if known == lock => (lock, since),
            _ => (lock, now),
        });
        let published: BTreeSet<&WorkerId> = coordination.workers.iter().map(|metrics| &metrics.worker).collect();
        // Those that have rows come back with the next scan.
        self.kin.retain(|worker| published.contains(worker));
        let mut before = std::mem::take(&mut self.reporting);
        for metrics in coordination.workers {
            // Workers of this crate publish for those of Java, and not for each other.
            if metrics.worker == *me || self.kin.contains(&metrics.worker) {
                continue;
            }
            let updated_at = metrics.updated_at;
            let measures_cpu = metrics.values.contains_key(CPU);
            let report = match before.remove(&metrics.worker) {
                Some(known) if known.updated_at == updated_at => known,
                known => Report {
                    measures_cpu,
                    updated_at,
                    since: now,
                    moved: known.is_some(),
                },
            };
            self.reporting.insert(metrics.worker, report);
        }
        self.audience = self.has_audience(now);
    }

    /// Takes in a scan of the table.
    fn note_rows(&mut self, now: Tick, me: &WorkerId, table: &BTreeMap<LeaseKey, Arc<Lease>>) {
        let mut strangers = BTreeSet::new();
        let mut kin = BTreeSet::new();
        let mut given = BTreeMap::new();
        let mut requests = BTreeMap::new();
        let is_first_look = !std::mem::replace(&mut self.noted, true);
        for lease in table.values() {
            let Some(holder) = lease.holder().filter(|holder| *holder != me) else {
                continue;
            };
            if lease.session.is_some() {
                kin.insert(holder);
                continue;
            }
            strangers.insert(holder);
            let had = self.given.get(&lease.key).filter(|(had, _)| had == holder);
            let since = match had {
                Some((_, since)) => *since,
                None => (!is_first_look).then_some(lease.counter),
            };
            given.insert(lease.key.clone(), (holder.clone(), since));
            if lease.is_in_hand_off() {
                let known = self.requests.get(&lease.key).filter(|(by, _)| *by == lease.owner);
                let since = known.map_or(now, |(_, since)| *since);
                requests.insert(lease.key.clone(), (lease.owner.clone(), since));
            }
        }
        self.strangers = strangers
            .difference(&kin)
            .map(|worker| ((*worker).clone(), *self.strangers.get(*worker).unwrap_or(&now)))
            .collect();
        self.reporting.retain(|worker, _| !kin.contains(worker));
        self.kin.extend(kin.into_iter().cloned());
        self.requests = requests;
        self.given = given;
    }

    /// Whether a lease was given to a worker of 3.x that has not renewed it yet. Such a worker looks for what it was given once in a
    /// failover time, and renews a third of that later: until then it is not gone.
    pub(super) fn may_not_know_yet(&self, lease: &Lease) -> bool {
        let Some((holder, since)) = self.given.get(&lease.key) else {
            return false;
        };
        lease.holder() == Some(holder) && *since == Some(lease.counter) && self.reporting.contains_key(holder)
    }

    /// How a stranger answers to requests.
    fn manner(&self, now: Tick, worker: &WorkerId, since: Tick, patience: Duration) -> Option<Manner> {
        let has_algorithms_of_3x = self.reporting.contains_key(worker) && !self.is_2x();
        if has_algorithms_of_3x || (self.looked && self.failures > 0) {
            // Where one cannot find out, asking does no harm: after a while what was asked for is taken.
            return None;
        }
        // A lease that was just passed on has no session either, until its receiver has seen it.
        let certain = self.looked && now.since(since) >= patience;
        Some(if certain { Manner::Deaf } else { Manner::Unknown })
    }

    fn view(&self, now: Tick, patience: Duration, hand_off: Duration) -> PeerView {
        let manners = self.strangers.iter().filter_map(|(worker, since)| {
            let manner = self.manner(now, worker, *since, patience)?;
            Some((worker.clone(), manner))
        });
        // Only one that was seen to move is certain to live, and to take what is meant for it.
        let idle = self
            .reporting
            .iter()
            .filter(|(_, report)| report.moved && now.since(report.since) <= METRICS_LAPSE);
        // Twice as long as whoever asked waits: then that one is gone, or the name of the giver was left behind by a thief.
        let stuck = self
            .requests
            .iter()
            .filter(|(_, (_, since))| now.since(*since) >= hand_off * 2);
        PeerView {
            stuck: stuck.map(|(key, _)| key.clone()).collect(),
            manners: manners.collect(),
            idle: idle
                .filter(|_| !self.is_2x())
                .map(|(worker, _)| worker.clone())
                .collect(),
        }
    }
}

impl WorkerMachine {
    pub(super) fn advance_peers(&mut self, now: Tick) {
        if self.peers.next_look <= now && !self.peers.looking {
            self.peers.looking = true;
            self.push(WorkerEffect::Coordinate);
        }
        if self.peers.audience && self.peers.next_publish <= now && !self.peers.publishing {
            (self.peers.publishing, self.peers.published) = (true, true);
            // The leader compares workers by what they have in common. Where Java's find no CPU to measure, which is anywhere but
            // on ECS, EKS and EC2, one that does would be compared with none.
            let cpu = self.peers.reporting.values().any(|report| report.measures_cpu);
            self.push(WorkerEffect::Publish { cpu });
        }
    }

    pub(super) fn coordination_read(&mut self, now: Tick, result: Result<Coordination, StoreFailure>) {
        (self.peers.looking, self.peers.looked) = (false, true);
        self.peers.next_look = now + REPORT_INTERVAL;
        match result {
            Ok(coordination) => {
                self.peers.failures = 0;
                self.peers.accept(now, &self.config.worker, coordination);
            }
            Err(failure) => {
                self.peers.failures = self.peers.failures.saturating_add(1);
                self.coordination_failed(StoreOperation::Coordinate, &failure, self.peers.failures);
            }
        }
    }

    pub(super) fn published(&mut self, now: Tick, result: Result<(), StoreFailure>) {
        self.peers.publishing = false;
        self.peers.next_publish = now + REPORT_INTERVAL;
        match result {
            Ok(()) => self.peers.publish_failures = 0,
            Err(failure) => {
                self.peers.publish_failures = self.peers.publish_failures.saturating_add(1);
                self.coordination_failed(StoreOperation::Publish, &failure, self.peers.publish_failures);
            }
        }
    }

    /// Nothing of it stops a worker: its leases are safe without. A trouble that goes on, such as a permission that is
    /// missing where no Java worker ever was, is told once.
    fn coordination_failed(&mut self, operation: StoreOperation, failure: &StoreFailure, failures: u32) {
        if failures == 1 {
            self.trouble(operation, failure.message().to_owned(), failures);
        }
    }

    /// Whether this worker published metrics that it should take back before it ends.
    pub(super) fn has_published(&self) -> bool {
        self.peers.published
    }

    pub(super) fn note_peers(&mut self, now: Tick) {
        self.peers.note_rows(now, &self.config.worker, &self.table);
    }

    pub(super) fn peer_view(&self, now: Tick) -> PeerView {
        let hand_off = self.config.hand_off_timeout + self.config.failover_time;
        self.peers.view(now, self.config.renew_interval(), hand_off)
    }

    /// Where a leader of Java's balances the fleet, this worker asks for its share once, when it is new, and leaves the
    /// balance to the leader then: two that balance by different measures would move leases to and fro for ever.
    pub(super) fn defer_to_leader(&mut self, now: Tick, view: &PeerView, moves: &mut Vec<Move>) {
        let is_known = self.peers.looked && !view.manners.values().any(|manner| *manner == Manner::Unknown);
        self.peers.settled |= is_known && moves.is_empty();
        if self.peers.settled && self.peers.is_led(now) {
            moves.retain(|planned| matches!(planned, Move::Take(_)));
        }
    }

    /// Takes leases that strangers were asked for and did not pass on. One of 2.x never does; one of 3.x is given as long as
    /// Java's leader would give it.
    pub(super) fn claim_unanswered(&mut self, now: Tick) {
        let patience = self.config.hand_off_timeout + self.config.failover_time;
        let me = Some(&self.config.worker);
        let asked = self.peers.requests.iter().filter(|(_, (by, _))| by.as_ref() == me);
        let asked: Vec<_> = asked.map(|(key, (_, since))| (key, since)).collect();
        if asked.is_empty() {
            return;
        }
        let view = self.peer_view(now);
        let due: Vec<Arc<Lease>> = asked
            .into_iter()
            .filter_map(|(key, since)| Some((self.table.get(key)?, since)))
            // Java goes on to own leases that are finished, and its leader goes on to assign them.
            .filter(|(row, _)| !row.is_finished())
            .filter(|(row, since)| {
                let deaf = row.holder().and_then(|holder| view.manners.get(holder)) == Some(&Manner::Deaf);
                deaf || now.since(**since) >= patience
            })
            .map(|(row, _)| Arc::clone(row))
            .filter(|row| !self.busy.contains(&row.key))
            .collect();
        for row in due {
            self.take(now, &row);
        }
    }
}
