//! Looking at what lasts, and the judgement at the end.

use std::collections::{BTreeMap, BTreeSet};

use kcl_core::worker::{LeaseState, WorkerFailure};

use crate::{
    node::State,
    world::{COUNTED, Event, LOOK_EVERY, World},
};

impl World<'_> {
    /// Looks at what lasts: whoever holds a lease and says that it is consumed, consumes it. Once in a while a look falls
    /// between the end of a consumer and its worker's hearing of it; two in a row do not.
    pub(super) fn look(&mut self) {
        self.at(LOOK_EVERY, Event::Look);
        let mut silent = BTreeSet::new();
        for node in self.nodes.iter().filter(|node| node.state == State::Running) {
            self.oracle.checks += 1;
            let status = node.worker.status(node.clock.tick(self.now));
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
        }
        self.oracle.settled(&self.table.rows, &consumed);
        let leases = self.table.rows.values().filter(|lease| !lease.is_finished()).count();
        let workers = self.nodes.iter().filter(|node| node.state != State::Gone).count();
        let used = self.table.requests - self.requests_before;
        let budget = self.budget(leases, workers);
        self.oracle.checks += 1;
        if used > budget {
            let what =
                format!("{used} requests in {COUNTED:?} for {leases} leases and {workers} workers, not {budget}");
            self.oracle.broken("frugal", what);
        }
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
    /// and scan interval, and a quarter more for everything else.
    pub(super) fn budget(&self, leases: usize, workers: usize) -> u64 {
        let renewals = 3.0 * COUNTED.div_duration_f64(self.scenario.failover_time);
        let scans = COUNTED.div_duration_f64(self.scenario.scan_interval);
        #[expect(clippy::cast_precision_loss, reason = "fleets are small")]
        let requests = renewals * leases as f64 + scans * workers as f64;
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
