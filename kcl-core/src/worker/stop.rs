//! The end of a worker: consumers finish their batch, leases are given back, then it exits.

use std::time::Duration;

use super::{
    Exit, LossReason, TenureId, WorkerEffect, WorkerEvent, WorkerFailure, WorkerMachine,
    tenure::{LastWrite, Stage},
    writes::OpKind,
};
use crate::{ids::LeaseKey, shard::StopReason, time::Tick};

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
        if let Some(stopping) = &mut self.stopping {
            if stopping.failure.is_none() {
                stopping.failure = failure;
            }
            return;
        }
        self.event(WorkerEvent::Stopping { failure: failure.clone() });
        let table_works = !matches!(failure, Some(WorkerFailure::StoreUnusable { .. }));
        let grace_ends = now + self.config.shutdown_grace;
        self.stopping = Some(Stopping { failure, exits: grace_ends + LAST_WRITES });
        let held: Vec<TenureId> = self.tenures.keys().copied().collect();
        for id in held {
            if table_works {
                self.stop_tenure(now, id, grace_ends);
            } else {
                self.lose(id, LossReason::Lapsed, None);
            }
        }
    }

    fn stop_tenure(&mut self, now: Tick, id: TenureId, deadline: Tick) {
        let Some(tenure) = self.tenures.get_mut(&id) else { return };
        match &mut tenure.stage {
            Stage::WaitingForParents => tenure.stage = Stage::Closing(LastWrite::Release),
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
        let writing = self.ops.values().any(|op| matches!(op.kind, OpKind::Take | OpKind::Tenure(_)));
        let done = self.tenures.is_empty() && !writing;
        if !done && now < stopping.exits {
            return;
        }
        let failure = stopping.failure.clone();
        let unreleased: Vec<LeaseKey> = self.tenures.values().map(|tenure| tenure.lease.key.clone()).collect();
        let ids: Vec<TenureId> = self.tenures.keys().copied().collect();
        for id in ids {
            self.lose(id, LossReason::Lapsed, None);
        }
        self.exited = true;
        self.push(WorkerEffect::Exit(Exit { failure, unreleased }));
    }
}
