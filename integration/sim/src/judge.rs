//! Looking at what lasts, and the judgement at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kcl_core::{
    Lease, LeaseKey, WorkerId,
    worker::{LeaseState, WorkerFailure},
};

use crate::{
    event::Event,
    node::{Node, State},
    peers::Peer,
    world::{COUNTED, LOOK_EVERY, World},
};

/// How often a worker looks at what others say beside the leases, and says something itself.
const BESIDE_EVERY: Duration = Duration::from_secs(30);

impl World<'_> {
    /// Looks at what lasts: whoever holds a lease and says that it is consumed, consumes it. Once in a while a look falls
    /// between the end of a consumer and its worker's hearing of it; two in a row do not.
    pub(super) fn look(&mut self) {
        self.at(LOOK_EVERY, Event::Look);
        self.switch_retrieval();
        let mut silent = BTreeSet::new();
        for node in self.nodes.iter().filter(|node| node.state == State::Running) {
            self.oracle.checks += 1;
            let Some(worker) = node.mind.worker() else { continue };
            let status = worker.status(node.clock.tick(self.now));
            for lease in &status.leases {
                let held = lease.state == LeaseState::HeldConsuming;
                if held && lease.tenure.is_none_or(|tenure| !node.consumers.contains_key(&tenure)) {
                    silent.insert((node.id.clone(), lease.tenure, lease.lease.key.clone()));
                }
            }
        }
        if let Some((worker, _, key)) = silent.intersection(&self.silent).next() {
            self.oracle
                .broken("visible", format!("{worker} holds {key} and nothing consumes it"));
        }
        self.silent = silent;
    }

    pub(super) fn judge_end(&mut self) {
        if self.deleted || self.oracle.has_stranded(&self.table.rows) {
            return self.judge_deletion();
        }
        if self.oracle.is_recreated() {
            // Nothing of the former stream was checkpointed: the fleet may go on with the new one.
            return;
        }
        let mut consumed = BTreeMap::new();
        for node in self.nodes.iter().filter(|node| node.state != State::Gone) {
            for consumer in node.consumers.values() {
                *consumed.entry(consumer.shard.clone()).or_insert(0) += 1;
            }
            for shard in node.mind.peer().into_iter().flat_map(Peer::reads) {
                *consumed.entry(shard.clone()).or_insert(0) += 1;
            }
        }
        for key in self.on_the_way() {
            if let Some(lease) = self.table.rows.get(&key) {
                consumed.insert(lease.shard.clone(), 1);
            }
        }
        self.oracle.settled(&self.table.rows, &consumed);
        if self.delivery.is_some() {
            self.oracle.all_passed(&self.table.rows);
        }
        self.judge_hand_offs();
        let leases = self.table.rows.values().filter(|lease| !lease.is_finished()).count();
        let lives = |node: &&Node| node.state != State::Gone && node.mind.worker().is_some();
        let workers = self.nodes.iter().filter(lives).count();
        let used = self.table.requests - self.requests_before;
        let budget = self.budget(leases, workers);
        self.oracle.checks += 1;
        if used > budget {
            let what =
                format!("{used} requests in {COUNTED:?} for {leases} leases and {workers} workers, not {budget}");
            self.oracle.broken("frugal", what);
        }
    }

    /// Whoever was asked for a lease has passed it on, or it was taken. Where a thief of 2.x left the name of a giver in a row
    /// that it reads itself, nobody waits for anything.
    fn judge_hand_offs(&mut self) {
        let patience = self.scenario.failover_time * 3 + Duration::from_secs(120);
        let waiting: Vec<String> = self
            .table
            .asked_since
            .iter()
            .filter(|(_, since)| **since + patience < self.now)
            .filter_map(|(key, since)| Some((self.table.rows.get(key)?, since)))
            .filter(|(row, _)| !row.is_finished() && !row.owner.as_ref().is_some_and(|owner| self.reads(owner, row)))
            .map(|(row, since)| {
                let (key, owner, giver) = (&row.key, &row.owner, &row.checkpoint_owner);
                format!("{key}: {owner:?} waits for {giver:?} since {:.3}", since.as_secs_f64())
            })
            .collect();
        self.oracle.checks += 1;
        if !waiting.is_empty() {
            self.oracle
                .broken("liveness", format!("asked for, and never passed on: {waiting:?}"));
        }
    }

    /// The leases that went to or from a peer so lately that it need not know yet: of what it was given it learns when it
    /// looks, after the failover time, and of what it lost when it renews.
    fn on_the_way(&self) -> Vec<LeaseKey> {
        if self.peer_ids.is_empty() {
            return Vec::new();
        }
        let patience = self.scenario.failover_time * 2 + Duration::from_secs(30);
        let lately = |at: &Duration| *at + patience > self.now;
        let moved = self.table.moved_at.iter().filter(|(_, at)| lately(at));
        moved.map(|(key, _)| key.clone()).collect()
    }

    /// Whether this worker reads the shard of this lease.
    fn reads(&self, worker: &WorkerId, lease: &Lease) -> bool {
        let lives = |node: &&Node| node.state != State::Gone && node.id == *worker;
        self.nodes.iter().filter(lives).any(|node| {
            let peer = node
                .mind
                .peer()
                .is_some_and(|peer| peer.reads().any(|shard| *shard == lease.shard));
            peer || node.consumers.values().any(|consumer| consumer.shard == lease.shard)
        })
    }

    /// The stream is gone, or another is in its place: so are the workers, and no lease is left with an owner.
    pub(super) fn judge_deletion(&mut self) {
        let left: Vec<String> = self
            .nodes
            .iter()
            .filter(|node| node.state != State::Gone)
            .map(|node| node.id.to_string())
            .collect();
        let owned: Vec<String> = self
            .table
            .rows
            .values()
            // What was passed on last, its receiver may never have seen, and all who could find it expired are gone.
            .filter(|lease| lease.session.is_some())
            .filter(|lease| lease.owner.as_ref().is_some_and(|owner| !self.lapsed.contains(owner)))
            .map(|lease| lease.key.to_string())
            .collect();
        self.oracle.checks += 2;
        if !left.is_empty() {
            self.oracle
                .broken("liveness", format!("the stream is gone, and {left:?} did not end"));
        } else if !owned.is_empty() {
            self.oracle
                .broken("single-owner", format!("every worker ended, and {owned:?} have owners"));
        }
    }

    /// What the table may be asked in an idle fleet: a renewal per lease and third of the failover time, a scan per worker
    /// and scan interval, what workers say and want to know beside the leases, and a quarter more for everything else.
    pub(super) fn budget(&self, leases: usize, workers: usize) -> u64 {
        let renewals = 3.0 * COUNTED.div_duration_f64(self.scenario.failover_time);
        let scans = COUNTED.div_duration_f64(self.scenario.scan_interval);
        let beside = COUNTED.div_duration_f64(BESIDE_EVERY) * 2.0;
        #[expect(clippy::cast_precision_loss, reason = "fleets are small")]
        let requests = renewals * leases as f64 + (scans + beside) * workers as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive and small"
        )]
        let requests = (requests * 1.25) as u64;
        requests + 20
    }

    /// A process ended by itself.
    pub(super) fn exited(&mut self, node: usize, failure: Option<&WorkerFailure>) {
        let process = &mut self.nodes[node];
        process.state = State::Gone;
        process.consumers.clear();
        let (slot, id, twin, told) = (process.slot, process.id.clone(), process.has_twin, process.stopping);
        match failure {
            Some(WorkerFailure::DuplicateWorker { .. }) if twin => {}
            Some(WorkerFailure::StreamNotFound { .. }) if self.deleted => {}
            Some(WorkerFailure::StreamNotFound { .. } | WorkerFailure::StreamReplaced { .. })
                if self.oracle.is_recreated() => {}
            Some(failure) => self
                .oracle
                .broken("liveness", format!("{id} ended by itself: {failure}")),
            None if told => {}
            None => self.oracle.broken("liveness", format!("{id} ended without being told")),
        }
        if self.slots[slot] == Some(node) {
            self.slots[slot] = None;
        }
    }
}
