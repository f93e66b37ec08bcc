//! The life of the leases that this worker holds.

use std::sync::Arc;

use super::{
    LossReason, ShardReport, StoreFailure, TenureId, WorkerEffect, WorkerEvent, WorkerFailure, WorkerMachine,
    tenure::{LastWrite, Stage, Tenure},
    writes::OpKind,
};
use crate::{
    assign::LeaseAssignment,
    ids::LeaseKey,
    lease::Lease,
    lineage,
    shard::{Finish, StopReason},
    time::Tick,
};

/// A row that is to be put back.
#[derive(Debug)]
pub(super) struct Vanished {
    /// With the progress that this worker knew.
    pub(super) row: Lease,
    /// How often in a row that failed, and when it is tried again. Something else may have the key, for good.
    failures: u32,
    not_before: Tick,
}

impl WorkerMachine {
    pub(super) fn tenure_deadline(&self, tenure: &Tenure) -> Option<Tick> {
        let lapse = tenure.lapses_at(self.config.failover_time);
        let stop = match tenure.stage {
            Stage::Stopping { deadline, .. } => Some(deadline),
            _ => None,
        };
        [Some(lapse), stop, tenure.write_due(self.config.renew_interval())]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn advance_tenures(&mut self, now: Tick) {
        self.fence(now);
        let due: Vec<TenureId> = self
            .tenures
            .values()
            .filter(|tenure| self.tenure_deadline(tenure).is_some_and(|at| at <= now))
            .map(|tenure| tenure.id)
            .collect();
        for id in due {
            self.advance_tenure(now, id);
        }
    }

    /// Gives up what has lapsed. Before anything else is done at `now`: a worker that slept must not act on leases that
    /// others may have by now.
    pub(super) fn fence(&mut self, now: Tick) {
        let lapsed: Vec<TenureId> = self
            .tenures
            .values()
            .filter(|tenure| tenure.lapses_at(self.config.failover_time) <= now)
            .map(|tenure| tenure.id)
            .collect();
        for id in lapsed {
            self.lose(id, LossReason::Lapsed, None);
        }
    }

    fn advance_tenure(&mut self, now: Tick, id: TenureId) {
        let Some(tenure) = self.tenures.get_mut(&id) else {
            return;
        };
        if let Stage::Stopping { deadline, .. } = tenure.stage
            && deadline <= now
        {
            // The consumer took too long. What it committed counts; the rest is handled again by whoever comes next.
            tenure.stage = Stage::Closing(LastWrite::GiveBack);
            self.push(WorkerEffect::StopShard {
                tenure: id,
                reason: StopReason::LeaseLost,
            });
        }
        let measures = self.peers.has_readers() || self.config.assignment == LeaseAssignment::Throughput;
        let Some(tenure) = self.tenures.get_mut(&id) else {
            return;
        };
        if tenure
            .write_due(self.config.renew_interval())
            .is_some_and(|due| due <= now)
        {
            let (row, mut write) = (tenure.lease.clone(), tenure.next_write());
            if measures && tenure.renews() {
                write.patch.throughput = tenure.throughput(now);
            }
            let op = self.send(now, OpKind::Tenure(id), &row, write);
            if let Some(tenure) = self.tenures.get_mut(&id) {
                tenure.write = Some((op, now));
            }
        }
    }

    /// A lease was taken: it is held from when the write was sent.
    pub(super) fn taken(&mut self, now: Tick, before: Option<Arc<Lease>>, row: Arc<Lease>, sent: Tick) {
        if sent + self.config.failover_time <= now {
            // The answer came so late that others may have it already. If not, the next scan shows the row as this one's.
            return;
        }
        self.next_tenure += 1;
        let id = TenureId(self.next_tenure);
        self.newer_lives.remove(&row.key);
        self.held.insert(row.key.clone(), id);
        let from = before.and_then(|before| before.holder().cloned());
        let (key, checkpoint) = (row.key.clone(), row.checkpoint.clone());
        self.event(WorkerEvent::LeaseTaken { key, from, checkpoint });
        let mut tenure = Tenure::new(id, row, sent, now);
        if self.stopping.is_some() || !self.streams.have(&tenure.lease) {
            // Taken by a write that was under way when the worker began to stop, or when its stream was removed.
            tenure.stage = Stage::Closing(LastWrite::GiveBack);
        }
        self.tenures.insert(id, tenure);
        if self.stopping.is_none() {
            self.start_ready(now);
        }
    }

    /// Starts the consumers of held leases whose parents are done.
    pub(super) fn start_ready(&mut self, now: Tick) {
        let waiting: Vec<TenureId> = self
            .tenures
            .values()
            .filter(|tenure| tenure.stage == Stage::WaitingForParents)
            .map(|tenure| tenure.id)
            .collect();
        for id in waiting {
            let Some(tenure) = self.tenures.get_mut(&id) else {
                continue;
            };
            if tenure.after_scan > self.scans_seen || !lineage::is_ready(&tenure.lease, &self.table) {
                continue;
            }
            tenure.stage = Stage::Consuming;
            tenure.since = now;
            tenure.paused = false;
            let start = lineage::start_position(&tenure.lease, &self.table);
            let lease = Lease::clone(&tenure.lease);
            self.push(WorkerEffect::StartShard {
                tenure: id,
                lease,
                start,
            });
        }
    }

    pub(super) fn shard_reported(&mut self, now: Tick, id: TenureId, report: ShardReport) {
        let Some(tenure) = self.tenures.get_mut(&id).filter(|tenure| tenure.has_consumer()) else {
            return;
        };
        if tenure.deaf {
            if matches!(report, ShardReport::Finished(_)) {
                self.begin_again(now, id);
            }
            return;
        }
        match report {
            ShardReport::Progress(position) => tenure.want(position, false),
            ShardReport::ProgressWith { position, state } => {
                tenure.want(position.clone(), false);
                tenure.carry(position, state);
            }
            ShardReport::Checkpoint(position) => {
                tenure.want(position, true);
                if tenure.wanted.is_none() {
                    // There is nothing to write, so no write will tell the consumer.
                    let position = tenure.lease.checkpoint.clone();
                    self.push(WorkerEffect::ShardStored { tenure: id, position });
                }
            }
            ShardReport::Prepare(pending) => {
                tenure.prepare(pending.clone());
                if tenure.prepared.is_none() {
                    self.push(WorkerEffect::ShardPrepared { tenure: id, pending });
                }
            }
            ShardReport::Missing => self.check_missing(now, id),
            ShardReport::Rejected(message) => {
                let (key, stream) = (tenure.lease.key.clone(), tenure.lease.stream_id().cloned());
                self.lose_stream(now, stream, WorkerFailure::StreamReplaced { key, message });
            }
            ShardReport::Finished(Finish::Ended(children)) => {
                tenure.end(&children);
                self.create_children(now, id, &children);
            }
            ShardReport::Finished(Finish::Drained | Finish::Lost) => tenure.stage = Stage::Closing(LastWrite::GiveBack),
        }
    }

    /// A write of a tenure was applied.
    pub(super) fn tenure_written(&mut self, now: Tick, id: TenureId, row: &Arc<Lease>, sent: Tick) {
        let Some(tenure) = self.tenures.get_mut(&id) else {
            return;
        };
        tenure.write = None;
        tenure.failures = 0;
        tenure.not_before = Tick::ZERO;
        tenure.confirmed = sent;
        let ended = match &tenure.stage {
            // A renewal that was sent before the tenure began to close is not yet the last write.
            Stage::Closing(last) if row.holder() != Some(&self.config.worker) => Some(last.clone()),
            _ => None,
        };
        let key = row.key.clone();
        let checkpoint = row.checkpoint.clone();
        let prepared = tenure.prepared.clone();
        let moved = tenure.adopt(row.clone());
        if let Some(pending) = prepared.filter(|_| tenure.prepared.is_none()) {
            self.push(WorkerEffect::ShardPrepared { tenure: id, pending });
        }
        if moved {
            let position = checkpoint.clone();
            self.event(WorkerEvent::Checkpointed {
                key: key.clone(),
                position: position.clone(),
            });
            self.push(WorkerEffect::ShardStored { tenure: id, position });
        }
        let Some(last) = ended else { return };
        self.forget(id);
        match last {
            LastWrite::GiveBack => self.event(match row.owner.clone() {
                Some(to) => WorkerEvent::HandOffFinished {
                    key,
                    to: Some(to),
                    checkpoint,
                },
                None => WorkerEvent::LeaseReleased { key, checkpoint },
            }),
            LastWrite::FinishShard(children) => {
                self.event(WorkerEvent::ShardFinished { key, children });
                if self.stopping.is_none() {
                    // The children are free now: whoever has room takes them, this worker first.
                    self.balance(now);
                    self.start_ready(now);
                }
            }
        }
    }

    /// The row of a tenure is not what this worker wrote last.
    pub(super) fn row_changed(&mut self, now: Tick, id: TenureId, row: Option<Arc<Lease>>) {
        let Some(tenure) = self.tenures.get_mut(&id) else {
            return;
        };
        // Somebody else is there: from now on scans tell something.
        self.next_scan = self.next_scan.min(now + self.config.scan_interval);
        let Some(row) = row else {
            return self.row_vanished(now, id);
        };
        if row.holder() != Some(&self.config.worker) || row.session != Some(self.config.session) {
            let (key, holder) = (row.key.clone(), row.holder().cloned());
            let duplicate = holder.as_ref() == Some(&self.config.worker) && row.session > Some(self.config.session);
            self.lose(id, LossReason::Taken, holder);
            if duplicate {
                self.duplicate(now, key);
            }
            return;
        }
        // Still this worker's: somebody asked for a hand-off, or an own write was applied whose answer was lost.
        let hand_off = row.is_in_hand_off().then(|| row.owner.clone()).flatten();
        self.table.insert(row.key.clone(), row.clone());
        if row.seeks != tenure.lease.seeks {
            self.sought(now, id, row);
            if let Some(to) = hand_off {
                self.start_hand_off(now, id, to);
            }
            return;
        }
        let position = row.checkpoint.clone();
        let prepared = tenure.prepared.clone();
        let moved = tenure.adopt(row);
        if let Some(pending) = prepared.filter(|_| tenure.prepared.is_none()) {
            self.push(WorkerEffect::ShardPrepared { tenure: id, pending });
        }
        if moved {
            self.push(WorkerEffect::ShardStored { tenure: id, position });
        }
        if let Some(to) = hand_off {
            self.start_hand_off(now, id, to);
        }
    }

    fn start_hand_off(&mut self, now: Tick, id: TenureId, to: crate::ids::WorkerId) {
        let deadline = now + self.config.hand_off_timeout;
        let Some(tenure) = self.tenures.get_mut(&id) else {
            return;
        };
        let key = tenure.lease.key.clone();
        match tenure.stage {
            Stage::WaitingForParents => tenure.stage = Stage::Closing(LastWrite::GiveBack),
            // It ends already, and is not to begin again here.
            Stage::Stopping {
                reason: StopReason::Seek,
                deadline,
            } => {
                let reason = StopReason::HandOff;
                tenure.stage = Stage::Stopping { reason, deadline };
            }
            Stage::Consuming => {
                let reason = StopReason::HandOff;
                tenure.stage = Stage::Stopping { reason, deadline };
                tenure.since = now;
                self.push(WorkerEffect::StopShard { tenure: id, reason });
            }
            _ => return,
        }
        self.event(WorkerEvent::HandOffStarted { key, to });
    }

    /// The lease is gone: the consumer stops, and nothing more is written.
    pub(super) fn lose(&mut self, id: TenureId, reason: LossReason, to: Option<crate::ids::WorkerId>) {
        let Some(tenure) = self.forget(id) else { return };
        if tenure.has_consumer() {
            self.push(WorkerEffect::StopShard {
                tenure: id,
                reason: StopReason::LeaseLost,
            });
        }
        self.event(WorkerEvent::LeaseLost {
            key: tenure.lease.key.clone(),
            reason,
            to,
        });
    }

    /// Somebody deleted the row of a held lease. The progress that this worker knows goes back into the table: starting
    /// again from the initial position would repeat everything, or with LATEST skip records.
    fn row_vanished(&mut self, now: Tick, id: TenureId) {
        let Some(tenure) = self.tenures.get(&id) else { return };
        if tenure.lapses_at(self.config.failover_time) <= now {
            // Others may have gone on since, to the shard's end and the clean-up even: this progress is out of date.
            return self.lose(id, LossReason::Lapsed, None);
        }
        let row = tenure.restored();
        self.lose(id, LossReason::RowDeleted, None);
        let vanished = Vanished {
            row,
            failures: 0,
            not_before: now,
        };
        self.vanished.insert(vanished.row.key.clone(), vanished);
        self.restore_vanished(now);
    }

    pub(super) fn restore_vanished(&mut self, now: Tick) {
        let rows: Vec<Lease> = self
            .vanished
            .values()
            .filter(|vanished| vanished.not_before <= now)
            .map(|vanished| &vanished.row)
            // A row that cannot be read is there.
            .filter(|row| !self.busy.contains(&row.key) && !self.unreadable.contains(row.key.as_str()))
            .cloned()
            .collect();
        for row in rows {
            self.send_create(now, OpKind::Restore, row);
        }
    }

    /// A row was not put back. Says how often in a row.
    pub(super) fn not_restored(&mut self, now: Tick, key: &LeaseKey) -> u32 {
        let backoff = self.config.service_backoff;
        let Some(vanished) = self.vanished.get_mut(key) else {
            return 1;
        };
        vanished.failures = vanished.failures.saturating_add(1);
        vanished.not_before = now + backoff.wait(vanished.failures, &mut self.rng);
        vanished.failures
    }

    fn forget(&mut self, id: TenureId) -> Option<Tenure> {
        let tenure = self.tenures.remove(&id)?;
        self.held.remove(&tenure.lease.key);
        self.streams.forget(&tenure);
        if !self.streams.have(&tenure.lease) {
            // Its stream was removed: the row is none of this worker's business any more.
            self.table.remove(&tenure.lease.key);
        }
        Some(tenure)
    }

    /// A merged shard has two parents, and both may end here: whoever asked for the lease, it is there for both.
    pub(super) fn child_created(&mut self, child: &LeaseKey) {
        for tenure in self.tenures.values_mut() {
            tenure.child_exists(child);
        }
    }

    /// Notes a failed request of a tenure, which is tried again. Says how often in a row it failed.
    pub(super) fn tenure_write_failed(&mut self, now: Tick, kind: OpKind, failure: Option<&StoreFailure>) -> u32 {
        match (kind, failure) {
            (OpKind::Tenure(id), _) => {
                let backoff = self.config.tenure_backoff();
                let Some(tenure) = self.tenures.get_mut(&id) else {
                    return 1;
                };
                tenure.write = None;
                tenure.failures = tenure.failures.saturating_add(1);
                tenure.not_before = now + backoff.wait(tenure.failures, &mut self.rng);
                tenure.failures
            }
            (OpKind::CreateChild, Some(_)) => {
                self.child_failed(now);
                1
            }
            _ => 1,
        }
    }
}
