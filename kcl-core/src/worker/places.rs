//! What operators do to shards that are read: they move their checkpoints, and have them rest.
//!
//! A seek is a write of somebody else on the row of a held lease that leaves the lease where it is, moves the checkpoint
//! wherever it likes, and counts. The holder's next write fails on the counter, and shows the row: another count of seeks
//! tells that the checkpoint is not this worker's own. From then on nothing counts that its consumer did or does, so no
//! progress from before can overwrite the seek; when the consumer has ended, another one begins at the checkpoint of the row.

use std::sync::Arc;

use super::{
    PauseScope, TenureId, WorkerEffect, WorkerEvent, WorkerMachine,
    tenure::{LastWrite, Stage},
    writes::OpKind,
};
use crate::{lease::Lease, shard::StopReason, time::Tick};

impl WorkerMachine {
    /// A row of which this process knows that it was written by others.
    pub(super) fn changed(&mut self, now: Tick, row: Lease) {
        let row = Arc::new(row);
        if self.held.contains_key(&row.key) {
            self.notice(now, &row);
        } else {
            self.next_scan = now;
        }
    }

    /// An operator moved the checkpoint of a held lease.
    pub(super) fn sought(&mut self, now: Tick, id: TenureId, row: Arc<Lease>) {
        let deadline = now + self.config.hand_off_timeout;
        let next_scan = self.scans + 1;
        let Some(tenure) = self.tenures.get_mut(&id) else {
            return;
        };
        let (key, from, to) = (row.key.clone(), tenure.lease.checkpoint.clone(), row.checkpoint.clone());
        (tenure.wanted, tenure.urgent, tenure.prepared) = (None, None, None);
        tenure.carried = None;
        let descends = !row.parents.is_empty();
        tenure.adopt(row);
        if descends {
            // The parents may have been moved with it, and then they come first: only a scan from now on shows them.
            tenure.after_scan = next_scan;
            self.next_scan = now;
        }
        let reason = StopReason::Seek;
        let tells = match &mut tenure.stage {
            Stage::Consuming => {
                tenure.stage = Stage::Stopping { reason, deadline };
                true
            }
            Stage::Stopping { .. } => true,
            // Its consumer is done with the shard and may not be gone yet: whoever takes the lease begins anew.
            Stage::CreatingChildren { .. } | Stage::Closing(_) => {
                tenure.stage = Stage::Closing(LastWrite::GiveBack);
                false
            }
            Stage::WaitingForParents => false,
        };
        tenure.since = now;
        if tells {
            tenure.deaf = true;
            self.push(WorkerEffect::StopShard { tenure: id, reason });
        }
        self.event(WorkerEvent::Sought { key, from, to });
        self.start_ready(now);
    }

    /// The consumer from before a seek ended. The next one gets a name of its own, so that nothing that was on its way to the
    /// former reaches it.
    pub(super) fn begin_again(&mut self, now: Tick, id: TenureId) {
        let Some(mut tenure) = self.tenures.remove(&id) else {
            return;
        };
        self.streams.forget(&tenure);
        self.next_tenure += 1;
        tenure.id = TenureId(self.next_tenure);
        tenure.deaf = false;
        tenure.handled_bytes = 0;
        tenure.since = now;
        tenure.stage = match tenure.stage {
            Stage::Stopping {
                reason: StopReason::Seek,
                ..
            } => Stage::WaitingForParents,
            _ => Stage::Closing(LastWrite::GiveBack),
        };
        for op in self.ops.values_mut().filter(|op| op.kind == OpKind::Tenure(id)) {
            op.kind = OpKind::Tenure(tenure.id);
        }
        self.held.insert(tenure.lease.key.clone(), tenure.id);
        self.tenures.insert(tenure.id, tenure);
        self.start_ready(now);
    }

    /// Has shards rest, or go on. What is paused by name stays so until it is resumed by the same name, or the worker is.
    pub(super) fn pause(&mut self, scope: PauseScope, paused: bool) {
        match scope {
            PauseScope::Worker if !paused => self.pauses.clear(),
            scope if paused => {
                self.pauses.insert(scope);
            }
            scope => {
                self.pauses.remove(&scope);
                self.pauses.retain(|other| match (&scope, other) {
                    (PauseScope::Stream(stream), PauseScope::Lease(key)) => {
                        crate::stream::StreamId::of_key(key.as_str()).as_ref() != Some(stream)
                    }
                    _ => true,
                });
            }
        }
    }

    /// Whether a shard is not to be read: its row says so, or somebody asked this worker.
    fn is_paused(&self, lease: &Lease) -> bool {
        if lease.paused.is_some() {
            return true;
        }
        let stream = lease.stream_id();
        self.pauses.iter().any(|scope| match scope {
            PauseScope::Worker => true,
            PauseScope::Stream(paused) => stream == Some(paused),
            PauseScope::Lease(key) => *key == lease.key,
        })
    }

    /// Tells the consumers that do not know yet.
    pub(super) fn settle_pauses(&mut self) {
        let consuming = self.tenures.values().filter(|tenure| tenure.stage == Stage::Consuming);
        let told: Vec<(TenureId, bool)> = consuming
            .map(|tenure| (tenure.id, self.is_paused(&tenure.lease)))
            .filter(|(id, paused)| self.tenures.get(id).is_some_and(|tenure| tenure.paused != *paused))
            .collect();
        for (id, paused) in told {
            let Some(tenure) = self.tenures.get_mut(&id) else {
                continue;
            };
            tenure.paused = paused;
            let key = tenure.lease.key.clone();
            self.push(WorkerEffect::PauseShard { tenure: id, paused });
            self.event(WorkerEvent::Paused { key, paused });
        }
    }
}
