//! [`WorldReport`]: every worker, lease and shard at one moment, to be asked and to be read.

use std::{collections::BTreeMap, fmt, time::Duration};

use kcl_core::{
    Lease, Position, Shard, ShardId, WorkerId,
    worker::{LeaseState, LeaseStatus, WorkerPhase},
};

use super::LinkState;
use crate::{Report, ShardReportStatus, WorkerError};

/// How a worker is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerState {
    /// It runs, and says this.
    Running(Report),
    /// It answers no more, and has not ended yet.
    Ending,
    /// It ended on its own, or was stopped.
    Ended(Result<(), WorkerError>),
    /// The test crashed it.
    Crashed,
}

/// A worker of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerView {
    /// Its name.
    pub id: WorkerId,
    /// How it is.
    pub state: WorkerState,
}

/// A shard of a world: what the service, the lease table and the worker that holds it say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardView {
    /// The shard.
    pub id: ShardId,
    /// Whether it takes records; nothing if the stream does not have it any more.
    pub is_open: Option<bool>,
    /// Its row in the lease table.
    pub lease: Option<Lease>,
    /// The lease, as the worker that holds it sees it, if that one runs.
    pub held: Option<LeaseStatus>,
    /// Its consumer.
    pub consumer: Option<ShardReportStatus>,
    /// Whether the service has records that were not handled, as far as a consumer can tell.
    pub has_more: bool,
}

/// Every worker, lease and shard of a world at one moment. Its text is what a wait shows that took too long.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorldReport {
    /// When, since the world began.
    pub at: Duration,
    /// The workers, in the order in which they started.
    pub workers: Vec<WorkerView>,
    /// The shards, in the order of their ids.
    pub shards: Vec<ShardView>,
    service: LinkState,
    table_is_out: bool,
}

/// What a report is made of.
pub(super) struct Observed<'a> {
    pub(super) at: Duration,
    pub(super) service: LinkState,
    pub(super) table_is_out: bool,
    pub(super) workers: Vec<(WorkerId, WorkerState)>,
    pub(super) shards: Vec<Shard>,
    pub(super) leases: Vec<Lease>,
    pub(super) has_more: &'a dyn Fn(&ShardId, &Position) -> bool,
}

impl WorldReport {
    pub(super) fn new(observed: Observed<'_>) -> Self {
        let mut views = BTreeMap::new();
        for shard in observed.shards {
            let view = ShardView {
                is_open: Some(shard.is_open()),
                ..ShardView::of(&shard.id)
            };
            views.insert(shard.id, view);
        }
        let reports: Vec<(&WorkerId, &Report)> = observed
            .workers
            .iter()
            .filter_map(|(id, state)| match state {
                WorkerState::Running(report) => Some((id, report)),
                _ => None,
            })
            .collect();
        for lease in observed.leases {
            let view = views.entry(lease.shard.clone()).or_insert_with_key(ShardView::of);
            let holder = reports.iter().rev().find(|(id, _)| Some(*id) == lease.holder());
            if let Some((_, report)) = holder {
                let mut held = report.worker.leases.iter();
                view.held = held
                    .find(|held| held.lease.key == lease.key && held.tenure.is_some())
                    .cloned();
                view.consumer = report
                    .shards
                    .iter()
                    .find(|consumer| consumer.shard == lease.shard)
                    .cloned();
            }
            // Asking the service is the dear part, and tells nothing new where a consumer knows of more.
            view.has_more = match &view.consumer {
                Some(consumer) if consumer.status.is_caught_up() => {
                    (observed.has_more)(&lease.shard, &consumer.status.handled)
                }
                Some(_) => true,
                None => !lease.is_finished(),
            };
            view.lease = Some(lease);
        }
        Self {
            at: observed.at,
            workers: observed
                .workers
                .into_iter()
                .map(|(id, state)| WorkerView { id, state })
                .collect(),
            shards: views.into_values().collect(),
            service: observed.service,
            table_is_out: observed.table_is_out,
        }
    }

    /// Whether everything is done that there is to do: every worker that runs takes part in the fleet; every open shard
    /// is held by one of them, which has handled every record that the service has for it; and closed shards are
    /// finished. Checkpoints may still be under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let takes_part = |view: &WorkerView| match &view.state {
            WorkerState::Running(report) => report.worker.phase == WorkerPhase::Running,
            WorkerState::Ending => false,
            WorkerState::Ended(_) | WorkerState::Crashed => true,
        };
        self.workers.iter().all(takes_part) && self.shards.iter().all(ShardView::is_idle)
    }

    /// Whether everything is done, and the lease table says so.
    #[must_use]
    pub fn is_checkpointed(&self) -> bool {
        let stored = |view: &ShardView| match (&view.consumer, &view.lease) {
            (Some(consumer), Some(lease)) => lease.checkpoint == consumer.status.handled,
            _ => true,
        };
        self.is_idle() && self.shards.iter().all(stored)
    }

    /// The shards that a worker holds and consumes.
    #[must_use]
    pub fn held_by(&self, worker: &str) -> Vec<&ShardId> {
        let consumes = |view: &&ShardView| {
            let holder = view.lease.as_ref().and_then(Lease::holder);
            holder.is_some_and(|holder| holder.as_str() == worker) && view.is_consumed()
        };
        self.shards.iter().filter(consumes).map(|view| &view.id).collect()
    }

    /// One shard.
    #[must_use]
    pub fn shard(&self, id: &ShardId) -> Option<&ShardView> {
        self.shards.iter().find(|view| view.id == *id)
    }
}

impl ShardView {
    fn of(id: &ShardId) -> Self {
        Self {
            id: id.clone(),
            is_open: None,
            lease: None,
            held: None,
            consumer: None,
            has_more: false,
        }
    }

    /// Whether a worker that runs holds the lease and reads the shard.
    #[must_use]
    pub fn is_consumed(&self) -> bool {
        self.consumer.is_some()
            && self
                .held
                .as_ref()
                .is_some_and(|held| held.state == LeaseState::HeldConsuming)
    }

    /// Whether there is nothing to do for this shard.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match (&self.lease, self.is_open) {
            (Some(lease), _) if lease.is_finished() => true,
            (Some(lease), _) => self.is_consumed() && !lease.is_in_hand_off() && !self.has_more,
            // The rows of shards that are finished go away after a while, and some shards were never to be read.
            (None, is_open) => is_open != Some(true),
        }
    }
}

impl fmt::Display for WorldReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the world after {:.3} s of virtual time:", self.at.as_secs_f64())?;
        if self.workers.is_empty() {
            writeln!(f, "  no worker was started")?;
        }
        for worker in &self.workers {
            writeln!(f, "  {worker}")?;
        }
        for shard in &self.shards {
            writeln!(f, "  {shard}")?;
        }
        if self.service != LinkState::Up {
            writeln!(f, "  the way to the service: {:?}", self.service)?;
        }
        if self.table_is_out {
            writeln!(f, "  the lease table: out")?;
        }
        Ok(())
    }
}

impl fmt::Display for WorkerView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.id)?;
        match &self.state {
            WorkerState::Running(report) => {
                let leases = &report.worker.leases;
                let held = leases.iter().filter(|lease| lease.tenure.is_some()).count();
                write!(f, "{:?}, holds {held} of {} leases", report.worker.phase, leases.len())
            }
            WorkerState::Ending => f.write_str("ending"),
            WorkerState::Ended(Ok(())) => f.write_str("stopped"),
            WorkerState::Ended(Err(error)) => write!(f, "ended: {error}"),
            WorkerState::Crashed => f.write_str("crashed"),
        }
    }
}

impl fmt::Display for ShardView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.is_open {
            Some(true) => "open",
            Some(false) => "closed",
            None => "not in the stream",
        };
        write!(f, "{} ({kind}): ", self.id)?;
        let Some(lease) = &self.lease else {
            return f.write_str("no lease");
        };
        match lease.holder() {
            _ if lease.is_finished() => return f.write_str("finished"),
            Some(holder) if lease.is_in_hand_off() => write!(f, "passed on by {holder}")?,
            Some(holder) => write!(f, "of {holder}")?,
            None => f.write_str("free")?,
        }
        if let Some(held) = &self.held {
            write!(f, ", {}", held.state)?;
            if let Some(since) = held.unchanged_for {
                write!(f, " for {:.3} s", since.as_secs_f64())?;
            }
        } else if lease.holder().is_some() {
            f.write_str(", which does not have it or does not run")?;
        }
        write!(f, ", checkpoint {}", lease.checkpoint)?;
        let Some(consumer) = &self.consumer else { return Ok(()) };
        let status = &consumer.status;
        write!(f, "; {}", status.waiting)?;
        write!(
            f,
            "; {} records handled, up to {}",
            status.handled_records, status.handled
        )?;
        if status.buffered_records > 0 {
            write!(f, "; {} records read and not handled", status.buffered_records)?;
        } else if self.has_more {
            f.write_str("; there are records to read")?;
        }
        Ok(())
    }
}
