//! One lease while this worker holds it. All writes to its row go through here, one at a time, so that renewals,
//! checkpoints and the last write never race with each other.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{OpId, TenureId};
use crate::{
    catalog::ChildShard,
    ids::{LeaseKey, ShardId},
    lease::{Lease, LeaseWrite, PendingCheckpoint},
    sequence::Position,
    shard::StopReason,
    time::Tick,
};

/// Where a tenure stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A parent of the shard has not been handled to its end.
    WaitingForParents,
    /// A consumer runs.
    Consuming,
    /// The consumer was told to stop and is waited for until the deadline.
    Stopping { reason: StopReason, deadline: Tick },
    /// The children of the finished shard get their leases first: a crash in between must not lose them.
    CreatingChildren {
        children: Vec<ShardId>,
        missing: Vec<LeaseKey>,
    },
    /// No consumer runs; one write remains.
    Closing(LastWrite),
}

/// The write that ends a tenure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LastWrite {
    /// To the worker that asked for it, or to whoever takes it.
    GiveBack,
    FinishShard(Vec<ShardId>),
}

#[derive(Debug)]
pub(super) struct Tenure {
    pub(super) id: TenureId,
    /// The row as this worker wrote or saw it last.
    pub(super) lease: Arc<Lease>,
    pub(super) stage: Stage,
    pub(super) since: Tick,
    /// When the last write that was applied was sent. Nobody may take the lease within the failover time from then on.
    pub(super) confirmed: Tick,
    /// A write that is under way, and when it was sent.
    pub(super) write: Option<(OpId, Tick)>,
    /// After a failed write: not before this.
    pub(super) not_before: Tick,
    pub(super) failures: u32,
    /// The position to commit with the next write.
    pub(super) wanted: Option<Position>,
    /// At least this has to be committed now.
    pub(super) urgent: Option<Position>,
    /// What to note with the next write as about to be committed.
    pub(super) prepared: Option<PendingCheckpoint>,
    /// The state of the consumer's windows, and the position that it is as of: the two are written together or not at all.
    pub(super) carried: Option<(Position, Option<Bytes>)>,
    /// The consumer works at a place from before a seek: nothing that it says counts, but that it ended.
    pub(super) deaf: bool,
    /// The consumer may start once the scan of this number is in.
    pub(super) after_scan: u64,
    /// Whether the consumer was told to rest.
    pub(super) paused: bool,
    /// How many bytes its consumer has handled.
    pub(super) handled_bytes: u64,
    /// How many that were when it was last written how many a second they are.
    measured: (Tick, u64),
}

impl Tenure {
    pub(super) fn new(id: TenureId, lease: Arc<Lease>, sent: Tick, now: Tick) -> Self {
        Self {
            id,
            lease,
            stage: Stage::WaitingForParents,
            since: now,
            confirmed: sent,
            write: None,
            not_before: Tick::ZERO,
            failures: 0,
            wanted: None,
            urgent: None,
            prepared: None,
            carried: None,
            deaf: false,
            after_scan: 0,
            paused: false,
            handled_bytes: 0,
            measured: (now, 0),
        }
    }

    pub(super) fn has_consumer(&self) -> bool {
        matches!(self.stage, Stage::Consuming | Stage::Stopping { .. })
    }

    /// When the lease may be somebody else's.
    pub(super) fn lapses_at(&self, failover_time: Duration) -> Tick {
        self.confirmed + failover_time
    }

    /// Remembers a position to commit; positions that go back are not progress.
    pub(super) fn want(&mut self, position: Position, urgent: bool) {
        let current = self.wanted.as_ref().unwrap_or(&self.lease.checkpoint);
        if current.may_advance_to(&position) && *current != position {
            self.wanted = Some(position);
        }
        if urgent {
            self.urgent.clone_from(&self.wanted);
            // What is committed after something was prepared takes its place.
            self.prepared = None;
        }
    }

    /// Remembers the state that goes with a position.
    pub(super) fn carry(&mut self, position: Position, state: Option<Bytes>) {
        self.carried = Some((position, state));
    }

    /// What the row says beside `checkpoint` when it holds that: for consumers with windows, the state as of there.
    fn beside(&self, checkpoint: &Position) -> Option<Option<PendingCheckpoint>> {
        let (position, state) = self.carried.as_ref().filter(|(position, _)| position == checkpoint)?;
        Some(state.clone().map(|state| PendingCheckpoint {
            position: position.clone(),
            state: Some(state),
        }))
    }

    /// Remembers what is about to be committed, unless the table says so already.
    pub(super) fn prepare(&mut self, pending: PendingCheckpoint) {
        let known = self.wanted.is_none() && self.lease.pending_checkpoint.as_ref() == Some(&pending);
        self.prepared = (!known).then_some(pending);
    }

    /// When the next write is due; `None` while one is under way or nothing may be written.
    pub(super) fn write_due(&self, renew_interval: Duration) -> Option<Tick> {
        if self.write.is_some() {
            return None;
        }
        let due = match self.stage {
            Stage::Closing(_) => self.not_before,
            _ if self.urgent.is_some() || self.prepared.is_some() => self.not_before,
            _ => (self.confirmed + renew_interval).max(self.not_before),
        };
        Some(due)
    }

    /// How many bytes a second were handled lately: the average of that since the last renewal and that before, as with KCL.
    pub(super) fn throughput(&mut self, now: Tick) -> Option<u64> {
        let (since, before) = std::mem::replace(&mut self.measured, (now, self.handled_bytes));
        let millis = u64::try_from(now.since(since).as_millis()).ok()?;
        let current = self
            .handled_bytes
            .saturating_sub(before)
            .saturating_mul(1_000)
            .checked_div(millis)?;
        let earlier = self.lease.throughput.unwrap_or(current);
        Some(earlier / 2 + current / 2)
    }

    /// Whether the next write keeps the lease.
    pub(super) fn renews(&self) -> bool {
        !matches!(self.stage, Stage::Closing(_))
    }

    /// The write to send now.
    pub(super) fn next_write(&self) -> LeaseWrite {
        let wanted = self.wanted.clone();
        let write = match &self.stage {
            Stage::Closing(LastWrite::FinishShard(children)) => {
                return LeaseWrite::finish_shard(&self.lease, children.clone());
            }
            Stage::Closing(LastWrite::GiveBack) if self.is_in_hand_off() => {
                LeaseWrite::finish_hand_off(&self.lease, wanted)
            }
            Stage::Closing(LastWrite::GiveBack) => LeaseWrite::release(&self.lease, wanted),
            _ => LeaseWrite::renew(&self.lease, wanted),
        };
        let mut write = self.prepared.iter().cloned().fold(write, LeaseWrite::preparing);
        let checkpoint = self.wanted.as_ref().unwrap_or(&self.lease.checkpoint);
        if let Some(pending) = self.beside(checkpoint)
            && (self.wanted.is_some() || pending != self.lease.pending_checkpoint)
        {
            write.patch.pending_checkpoint = Some(pending);
        }
        write
    }

    /// Takes over the row that is now in the table, and says whether it holds a new checkpoint.
    pub(super) fn adopt(&mut self, row: Arc<Lease>) -> bool {
        let moved = row.checkpoint != self.lease.checkpoint;
        self.lease = row;
        let pending = &self.lease.pending_checkpoint;
        self.prepared.take_if(|prepared| pending.as_ref() == Some(prepared));
        let checkpoint = &self.lease.checkpoint;
        let open = |position: &Position| *position != *checkpoint && checkpoint.may_advance_to(position);
        self.wanted.take_if(|wanted| !open(wanted));
        // What became known since the write was sent can wait for the next renewal.
        self.urgent.take_if(|urgent| !open(urgent));
        moved
    }

    /// Whether the lease goes to another worker when it is given back.
    fn is_in_hand_off(&self) -> bool {
        self.lease.is_in_hand_off() && self.lease.owner != self.lease.checkpoint_owner
    }

    /// The consumer reached the end of its shard: the children need leases, then the shard is finished.
    pub(super) fn end(&mut self, children: &[ChildShard]) {
        let ids: Vec<ShardId> = children.iter().map(|child| child.id.clone()).collect();
        let missing: Vec<LeaseKey> = ids.iter().map(|child| self.lease.key_of(child)).collect();
        self.stage = if missing.is_empty() {
            Stage::Closing(LastWrite::FinishShard(ids))
        } else {
            Stage::CreatingChildren { children: ids, missing }
        };
    }

    /// The row to put back if it vanishes: with the progress that this worker knows.
    pub(super) fn restored(&self) -> Lease {
        let mut row = Lease::new(
            self.lease.shard.clone(),
            self.wanted.as_ref().unwrap_or(&self.lease.checkpoint).clone(),
        );
        row.key.clone_from(&self.lease.key);
        row.stream.clone_from(&self.lease.stream);
        row.parents.clone_from(&self.lease.parents);
        row.hash_key_range = self.lease.hash_key_range;
        row.shard_start.clone_from(&self.lease.shard_start);
        (row.seeks, row.paused) = (self.lease.seeks, self.lease.paused);
        row.pending_checkpoint = self
            .beside(&row.checkpoint)
            .unwrap_or_else(|| self.lease.pending_checkpoint.clone());
        if let Stage::Closing(LastWrite::FinishShard(children)) = &self.stage {
            // It may have vanished because it was finished, by a write whose answer was lost, and cleaned up.
            row.checkpoint = Position::ShardEnd;
            row.pending_checkpoint = None;
            row.children.clone_from(children);
        }
        row
    }

    /// Notes that a child has its lease; when all have, the shard can be finished.
    pub(super) fn child_exists(&mut self, key: &LeaseKey) {
        if let Stage::CreatingChildren { children, missing } = &mut self.stage {
            missing.retain(|child| child != key);
            if missing.is_empty() {
                self.stage = Stage::Closing(LastWrite::FinishShard(std::mem::take(children)));
            }
        }
    }
}
