//! The end of a worker: consumers finish their batch, leases are given back, then it exits.

use std::time::Duration;

use super::{
    Exit, LossReason, TenureId, WorkerEffect, WorkerEvent, WorkerFailure, WorkerMachine,
    tenure::{LastWrite, Stage},
    writes::OpKind,
};
use crate::{
    ids::LeaseKey,
    lease::{Lease, LeaseWrite},
    shard::StopReason,
    time::Tick,
};

/// After the grace, so long is waited for the last writes.
const LAST_WRITES: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Stopping {
    failure: Option<WorkerFailure>,
    /// The worker exits here, whatever is under way.
    exits: Tick,
}

impl Stopping {
    pub(super) fn next_deadline(&self) -> Tick {
        self.exits
    }
}

impl WorkerMachine {
    /// Begins to stop, because it was asked for or because of a failure.
    pub(super) fn stop(&mut self, now: Tick, failure: Option<WorkerFailure>) {
        let table_works = !matches!(failure, Some(WorkerFailure::StoreUnusable { .. }));
        let grace_ends = now + self.config.shutdown_grace;
        if let Some(stopping) = &mut self.stopping {
            stopping.failure = stopping.failure.take().or(failure);
        } else {
            self.event(WorkerEvent::Stopping {
                failure: failure.clone(),
            });
            self.stopping = Some(Stopping {
                failure,
                exits: grace_ends + LAST_WRITES,
            });
            self.decline_hand_offs(now);
            for id in self.tenure_ids() {
                self.stop_tenure(now, id, grace_ends);
            }
        }
        if !table_works {
            // Nothing can be committed or given back any more, so there is nothing to wait for.
            for id in self.tenure_ids() {
                self.lose(id, LossReason::Lapsed, None);
            }
            self.ops.clear();
        }
    }

    fn tenure_ids(&self) -> Vec<TenureId> {
        self.tenures.keys().copied().collect()
    }

    /// Leases that are on their way to this worker would wait for the failover time if nobody awaited them.
    fn decline_hand_offs(&mut self, now: Tick) {
        let rows: Vec<Lease> = self.table.values().cloned().collect();
        for row in rows {
            self.decline(now, &row);
        }
    }

    /// Turns down a lease that is passed on, or was passed on, to this worker while it stops.
    pub(super) fn decline(&mut self, now: Tick, row: &Lease) {
        // A newer life under the same id still wants them.
        let newer = |stopping: &Stopping| matches!(stopping.failure, Some(WorkerFailure::DuplicateWorker { .. }));
        if self.stopping.as_ref().is_none_or(newer) {
            return;
        }
        let me = &self.config.worker;
        let mine = row.owner.as_ref() == Some(me) && row.checkpoint_owner.as_ref() != Some(me);
        if !mine || self.held.contains_key(&row.key) || self.busy.contains(&row.key) {
            return;
        }
        if row.is_in_hand_off() {
            self.send(now, OpKind::Decline, row, LeaseWrite::cancel_hand_off(row));
        } else if row.session.is_none() {
            self.send(now, OpKind::Decline, row, LeaseWrite::release(row, None));
        }
    }

    fn stop_tenure(&mut self, now: Tick, id: TenureId, deadline: Tick) {
        let Some(tenure) = self.tenures.get_mut(&id) else {
            return;
        };
        match &mut tenure.stage {
            Stage::WaitingForParents => tenure.stage = Stage::Closing(LastWrite::GiveBack),
            Stage::Consuming => {
                let reason = StopReason::Shutdown;
                tenure.stage = Stage::Stopping { reason, deadline };
                tenure.since = now;
                self.push(WorkerEffect::StopShard { tenure: id, reason });
            }
            Stage::Stopping { deadline: current, .. } => *current = deadline.min(*current),
            Stage::CreatingChildren { .. } | Stage::Closing(_) => {}
        }
    }

    pub(super) fn advance_stop(&mut self, now: Tick) {
        let Some(stopping) = &self.stopping else { return };
        // Rows that are added or removed matter to nobody's start; the rest says who holds what.
        let writing = self
            .ops
            .values()
            .any(|op| !matches!(op.kind, OpKind::Create | OpKind::CreateChild | OpKind::Delete));
        let done = self.tenures.is_empty() && !writing;
        if !done && now < stopping.exits {
            return;
        }
        let failure = stopping.failure.clone();
        let unreleased: Vec<LeaseKey> = self.tenures.values().map(|tenure| tenure.lease.key.clone()).collect();
        for id in self.tenure_ids() {
            self.lose(id, LossReason::Lapsed, None);
        }
        self.exited = true;
        self.push(WorkerEffect::Exit(Exit { failure, unreleased }));
    }
}
