//! What a worker answers when asked how its fleet is: for every lease who holds it, in which state, since when.

use std::{fmt, time::Duration};

use super::{TenureId, WorkerMachine, tenure::Stage};
use crate::{ids::WorkerId, lease::Lease, lineage, shard::StopReason, stream::StreamId, time::Tick};

/// The states of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WorkerPhase {
    /// It has not seen the lease table yet.
    Starting,
    /// It takes part in the fleet.
    Running,
    /// It finishes what is under way and gives its leases back.
    Stopping,
    /// It is done.
    Stopped,
}

/// The states of a lease, as one worker sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseState {
    /// This worker holds it, and a parent of the shard is not finished.
    HeldWaitingForParents,
    /// This worker holds it and consumes the shard.
    HeldConsuming,
    /// This worker holds it, and its consumer finishes the last batch.
    HeldStopping,
    /// This worker holds it, and goes on at another place as soon as the call under way has ended.
    HeldSeeking,
    /// This worker holds it and writes the last word on it.
    HeldClosing,
    /// Another worker holds it and is alive.
    HeldBy(WorkerId),
    /// Another worker holds it, says the table; whether that worker lives will be seen.
    Unproven(WorkerId),
    /// Another worker passes it on.
    HandOff {
        /// The holder.
        from: WorkerId,
        /// The next owner.
        to: Option<WorkerId>,
    },
    /// Its holder is gone; whoever has room takes it.
    Expired(WorkerId),
    /// Nobody holds it.
    Free,
    /// Nobody holds it, since a parent of the shard is not finished.
    WaitingForParents,
    /// The shard was handled to its end.
    Finished,
}

impl fmt::Display for LeaseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeldWaitingForParents => f.write_str("held, waiting for parents"),
            Self::HeldConsuming => f.write_str("held, consuming"),
            Self::HeldStopping => f.write_str("held, stopping"),
            Self::HeldSeeking => f.write_str("held, going to another place"),
            Self::HeldClosing => f.write_str("held, closing"),
            Self::HeldBy(worker) => write!(f, "held by {worker}"),
            Self::Unproven(worker) => write!(f, "held by {worker}, who was not seen lately"),
            Self::HandOff { from, to: Some(to) } => write!(f, "passed on by {from} to {to}"),
            Self::HandOff { from, to: None } => write!(f, "passed on by {from}"),
            Self::Expired(worker) => write!(f, "expired, was held by {worker}"),
            Self::Free => f.write_str("free"),
            Self::WaitingForParents => f.write_str("waiting for parents"),
            Self::Finished => f.write_str("finished"),
        }
    }
}

/// A lease, as one worker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseStatus {
    /// The row.
    pub lease: Lease,
    /// Its state.
    pub state: LeaseState,
    /// For how long nothing about it changed, as far as this worker knows.
    pub unchanged_for: Option<Duration>,
    /// The tenure, if this worker holds it.
    pub tenure: Option<TenureId>,
}

/// A worker and its fleet's leases, as it sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// What the worker does.
    pub phase: WorkerPhase,
    /// Every lease of the worker's streams.
    pub leases: Vec<LeaseStatus>,
    /// Of several streams those that have no lease yet: they were added just now, or their shards cannot be listed.
    pub without_leases: Vec<StreamId>,
    /// The keys of rows that are no leases, in order. If a shard of the stream is among them, nobody reads it.
    pub unreadable: Vec<String>,
}

impl WorkerMachine {
    /// How the worker and its fleet's leases are.
    #[must_use]
    pub fn status(&self, now: Tick) -> WorkerStatus {
        let phase = match (&self.stopping, self.exited, self.scanned) {
            (_, true, _) => WorkerPhase::Stopped,
            (Some(_), ..) => WorkerPhase::Stopping,
            (None, _, true) => WorkerPhase::Running,
            (None, _, false) => WorkerPhase::Starting,
        };
        WorkerStatus {
            phase,
            leases: self.table.values().map(|lease| self.lease_status(now, lease)).collect(),
            without_leases: self.streams.waiting(&self.table),
            unreadable: self.unreadable.iter().cloned().collect(),
        }
    }

    fn lease_status(&self, now: Tick, lease: &Lease) -> LeaseStatus {
        if let Some(tenure) = self.held.get(&lease.key).and_then(|id| self.tenures.get(id)) {
            let state = match tenure.stage {
                Stage::WaitingForParents => LeaseState::HeldWaitingForParents,
                Stage::Consuming => LeaseState::HeldConsuming,
                Stage::Stopping {
                    reason: StopReason::Seek,
                    ..
                } => LeaseState::HeldSeeking,
                Stage::Stopping { .. } => LeaseState::HeldStopping,
                Stage::CreatingChildren { .. } | Stage::Closing(_) => LeaseState::HeldClosing,
            };
            let unchanged_for = Some(now.since(tenure.since));
            return LeaseStatus {
                lease: Lease::clone(&tenure.lease),
                state,
                unchanged_for,
                tenure: Some(tenure.id),
            };
        }
        let state = match lease.holder() {
            _ if lease.is_finished() => LeaseState::Finished,
            Some(holder) if self.watch.is_expired(now, lease, self.config.failover_time) => {
                LeaseState::Expired(holder.clone())
            }
            Some(from) if lease.is_in_hand_off() => LeaseState::HandOff {
                from: from.clone(),
                to: lease.owner.clone(),
            },
            // A live holder renews in less than half of the failover time.
            Some(holder) if self.watch.moved_within(now, &lease.key, self.config.failover_time / 2) => {
                LeaseState::HeldBy(holder.clone())
            }
            Some(holder) => LeaseState::Unproven(holder.clone()),
            None if lineage::is_ready(lease, &self.table) => LeaseState::Free,
            None => LeaseState::WaitingForParents,
        };
        let unchanged_for = self.watch.unchanged_for(now, lease);
        LeaseStatus {
            lease: lease.clone(),
            state,
            unchanged_for,
            tenure: None,
        }
    }
}
