//! Talking to a worker that runs: [`WorkerHandle`].

use std::{sync::Arc, time::Duration};

use kcl_core::{
    ShardId, Timestamp,
    shard::ShardStatus,
    worker::{LeaseState, WorkerPhase, WorkerStatus},
};
use tokio::sync::{mpsc, oneshot, watch};

/// The most commands that wait for a worker.
pub(crate) const COMMAND_QUEUE: usize = 16;

/// What a handle asks of its worker.
#[derive(Debug)]
pub(crate) enum Command {
    Shutdown,
    Report(oneshot::Sender<Report>),
}

/// One consumer of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardReportStatus {
    /// The shard.
    pub shard: ShardId,
    /// Its consumer's state.
    pub status: ShardStatus,
    /// How far behind the tip of the shard the consumer is; `None` until the first read.
    pub iterator_age: Option<Duration>,
}

/// A worker, its fleet's leases as it sees them, and its consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The worker, and for every lease who holds it, in which state, since when.
    pub worker: WorkerStatus,
    /// The shards that this worker consumes.
    pub shards: Vec<ShardReportStatus>,
}

impl Report {
    /// Whether there is nothing to do: every lease is finished or held by a live worker, and every shard that this
    /// worker consumes is handled up to its tip. Rows that are no leases are not looked at; they are in
    /// [`unreadable`](WorkerStatus::unreadable).
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let settled = self.worker.leases.iter().all(|lease| {
            matches!(
                lease.state,
                LeaseState::Finished | LeaseState::HeldBy(_) | LeaseState::HeldConsuming
            )
        });
        let running = self.worker.phase == WorkerPhase::Running && !self.worker.leases.is_empty();
        let held = self
            .worker
            .leases
            .iter()
            .filter(|lease| lease.state == LeaseState::HeldConsuming)
            .count();
        running && settled && held == self.shards.len() && self.shards.iter().all(|shard| shard.status.is_caught_up())
    }
}

/// The age of the oldest record that waits for the handler, or else what the service said at the last read.
pub(crate) fn iterator_age(status: &ShardStatus, now: Timestamp) -> Option<Duration> {
    let read = status.millis_behind_latest;
    let waiting = status.oldest_unhandled.map(|arrival| now.millis_since(arrival));
    read.max(waiting).map(Duration::from_millis)
}

/// Talks to a [`Worker`](crate::Worker) that runs. Clones talk to the same worker.
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) changes: Arc<watch::Sender<u64>>,
}

impl WorkerHandle {
    /// Asks the worker to stop: it finishes the batches under way, checkpoints, gives its leases back and ends.
    /// Returns at once; [`Worker::run`](crate::Worker::run) returns when it is done.
    pub async fn shutdown(&self) {
        // A worker that is gone has stopped already.
        let _ = self.commands.send(Command::Shutdown).await;
    }

    /// How the worker is; `None` once it ended.
    pub async fn report(&self) -> Option<Report> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(Command::Report(answer)).await.ok()?;
        answered.await.ok()
    }

    /// Waits until the worker's report satisfies `condition`, and gives that report; `None` if the worker ends first.
    pub async fn wait_until(&self, mut condition: impl FnMut(&Report) -> bool) -> Option<Report> {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let report = self.report().await?;
            if condition(&report) {
                return Some(report);
            }
            tokio::select! {
                biased;
                changed = changes.changed() => changed.ok()?,
                // A worker that is dropped while it runs says nothing any more.
                () = self.commands.closed() => return None,
            }
        }
    }
}
