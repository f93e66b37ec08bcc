//! The end of a worker: consumers finish their batch, leases are given back, then it exits.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

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
    /// What was published is being taken back.
    withdrawing: bool,
    /// The worker exits here, whatever is under way.
    exits: Tick,
}

/// A row of which it is not known whether it names this worker.
#[derive(Debug)]
pub(super) struct Doubt {
    /// When to look, if the worker stops.
    again: Tick,
    failures: u32,
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
            // First of all: Java's leader gives leases to whom it takes for alive.
            let withdrawing = table_works && self.has_published();
            if withdrawing {
                self.push(WorkerEffect::Withdraw);
            }
            self.stopping = Some(Stopping {
                failure,
                withdrawing,
                exits: grace_ends + LAST_WRITES,
            });
            self.decline_hand_offs(now);
            for id in self.tenure_ids() {
                self.stop_tenure(now, id, grace_ends);
            }
        }
        if !table_works {
            self.doubts.clear();
            self.withdrawn();
            // Nothing can be committed or given back any more, so there is nothing to wait for.
            for id in self.tenure_ids() {
                self.lose(id, LossReason::Lapsed, None);
            }
            self.ops.clear();
        }
    }

    /// What was published is taken back, or cannot be.
    pub(super) fn withdrawn(&mut self) {
        if let Some(stopping) = &mut self.stopping {
            stopping.withdrawing = false;
        }
    }

    fn tenure_ids(&self) -> Vec<TenureId> {
        self.tenures.keys().copied().collect()
    }

    /// Leases that are on their way to this worker would wait for the failover time if nobody awaited them.
    fn decline_hand_offs(&mut self, now: Tick) {
        let rows: Vec<Arc<Lease>> = self.table.values().cloned().collect();
        for row in rows {
            self.decline(now, &row);
        }
    }

    /// Turns down a lease that is passed on, or was passed on, to this worker while it stops, or is of a stream that it does
    /// not read any more.
    pub(super) fn decline(&mut self, now: Tick, row: &Arc<Lease>) {
        if !self.gives_back() && self.streams.have(row) {
            return;
        }
        if self.held.contains_key(&row.key) || self.busy.contains(&row.key) {
            return;
        }
        let me = &self.config.worker;
        let (owned, giving) = (
            row.owner.as_ref() == Some(me),
            row.checkpoint_owner.as_ref() == Some(me),
        );
        let idle = row.session.is_none_or(|session| session == self.config.session);
        if owned && row.is_in_hand_off() && !giving {
            self.send(now, OpKind::Decline, row, LeaseWrite::cancel_hand_off(row));
        } else if owned && !row.is_in_hand_off() && idle {
            self.send(now, OpKind::Decline, row, LeaseWrite::release(row, None));
        } else if giving && idle {
            // Passed on to this worker, which does not read it, and asked for by the next one since.
            self.send(now, OpKind::HandOffOrphan, row, LeaseWrite::finish_hand_off(row, None));
        }
    }

    /// Whether this worker stops and gives back what names it. A newer life under the same id still wants those leases.
    fn gives_back(&self) -> bool {
        self.stopping
            .as_ref()
            .is_some_and(|stopping| !matches!(stopping.failure, Some(WorkerFailure::DuplicateWorker { .. })))
    }

    /// Notes that it is not known what a row says: a write may have made it this worker's, or failed to give it back.
    pub(super) fn doubt(&mut self, now: Tick, key: LeaseKey) {
        if self.unreadable.contains(key.as_str()) {
            // It names nobody, and to look again and again would only hold up the end.
            self.doubts.remove(&key);
            return;
        }
        let failures = self
            .doubts
            .get(&key)
            .map_or(0, |doubt| doubt.failures)
            .saturating_add(1);
        let again = now + self.config.tenure_backoff().wait(failures, &mut self.rng);
        self.doubts.insert(key, Doubt { again, failures });
    }

    /// When the next row has to be looked at before this worker may exit.
    pub(super) fn next_doubt(&self) -> Option<Tick> {
        let open = self.doubts.iter().filter(|(key, _)| !self.busy.contains(*key));
        open.map(|(_, doubt)| doubt.again).min().filter(|_| self.gives_back())
    }

    /// A worker that goes on learns from its scans what became of a write. One that stops has to look, or else the lease
    /// would wait for the failover time.
    fn look_into_doubts(&mut self, now: Tick) {
        if !self.gives_back() {
            return;
        }
        let due: Vec<LeaseKey> = self
            .doubts
            .iter()
            .filter(|(key, doubt)| doubt.again <= now && !self.busy.contains(*key))
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            self.send_look(now, key);
        }
    }

    pub(super) fn stop_tenure(&mut self, now: Tick, id: TenureId, deadline: Tick) {
        let waits = self.waits_for_other_parent(id);
        let Some(tenure) = self.tenures.get_mut(&id) else {
            return;
        };
        match &mut tenure.stage {
            // That may take long. Whoever takes the shard next finds its end again.
            Stage::CreatingChildren { .. } if waits => tenure.stage = Stage::Closing(LastWrite::GiveBack),
            Stage::WaitingForParents => tenure.stage = Stage::Closing(LastWrite::GiveBack),
            Stage::Consuming => {
                let reason = StopReason::Shutdown;
                tenure.stage = Stage::Stopping { reason, deadline };
                tenure.since = now;
                self.push(WorkerEffect::StopShard { tenure: id, reason });
            }
            Stage::Stopping {
                deadline: current,
                reason,
            } => {
                *current = deadline.min(*current);
                if *reason == StopReason::Seek {
                    // It ends already, and is not to begin again here.
                    *reason = StopReason::Shutdown;
                }
            }
            Stage::CreatingChildren { .. } | Stage::Closing(_) => {}
        }
    }

    pub(super) fn advance_stop(&mut self, now: Tick) {
        self.look_into_doubts(now);
        let Some(stopping) = &self.stopping else { return };
        // Rows that are added or removed matter to nobody's start, unless they are in the way of others; the rest says who
        // holds what.
        let of_rows = |kind: OpKind| matches!(kind, OpKind::Create | OpKind::CreateChild | OpKind::Delete);
        let open = self.ops.values().filter(|op| !of_rows(op.kind));
        let giving_way = self.kinds.is_giving_way() && self.ops.values().any(|op| of_rows(op.kind));
        let done = !stopping.withdrawing
            && !giving_way
            && self.tenures.is_empty()
            && open.clone().next().is_none()
            && self.next_doubt().is_none();
        if !done && now < stopping.exits {
            return;
        }
        let failure = stopping.failure.clone();
        let doubtful = self.doubts.keys().filter(|_| self.gives_back());
        let held = self.tenures.values().map(|tenure| &tenure.lease.key);
        let unreleased: BTreeSet<LeaseKey> = held.chain(doubtful).chain(open.map(|op| &op.key)).cloned().collect();
        for id in self.tenure_ids() {
            self.lose(id, LossReason::Lapsed, None);
        }
        self.exited = true;
        self.push(WorkerEffect::Exit(Exit {
            failure,
            unreleased: unreleased.into_iter().collect(),
        }));
    }
}
