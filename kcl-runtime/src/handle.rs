//! Talking to a worker that runs: [`WorkerHandle`].

use std::{sync::Arc, time::Duration};

use kcl_core::{
    Lease, ShardId, StreamId, StreamName, Timestamp,
    fetch::{FetchFailure, RetrievalMode},
    seek::SeekTarget,
    shard::ShardStatus,
    worker::{LeaseState, WorkerPhase, WorkerStatus},
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    places::{Held, SeekError, ShardSelector, Sought},
    streams::{Reading, StreamConfig, StreamSelector, StreamStatus},
};

/// The most commands that wait for a worker.
pub(crate) const COMMAND_QUEUE: usize = 16;

/// What a handle asks of its worker.
#[derive(Debug)]
pub(crate) enum Command {
    Shutdown,
    AddStream(StreamConfig),
    RemoveStream(StreamSelector, oneshot::Sender<usize>),
    SetRetrieval(StreamSelector, RetrievalMode, oneshot::Sender<Vec<Reading>>),
    /// A row was written beside the worker.
    Changed(Box<Lease>),
    Pause {
        which: ShardSelector,
        paused: bool,
        answer: oneshot::Sender<()>,
    },
    Held(ShardSelector, oneshot::Sender<Held>),
    Report(oneshot::Sender<Report>),
}

/// One consumer of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardReportStatus {
    /// The stream's name.
    pub stream: StreamName,
    /// Which stream it is, where the worker reads several.
    pub stream_id: Option<StreamId>,
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
    /// The streams, where the worker reads several.
    pub streams: Vec<StreamStatus>,
}

impl Report {
    /// Whether there is nothing to do: every lease is finished or held by a live worker, and every shard that this
    /// worker consumes is handled up to its tip. A stream that is still looked for is something to do. Rows that are no leases are not looked at; they are in
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
        let found = self.streams.iter().all(|stream| stream.id.is_some()) && self.worker.without_leases.is_empty();
        running
            && found
            && settled
            && held == self.shards.len()
            && self.shards.iter().all(|shard| shard.status.is_caught_up())
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

    /// Reads one more stream from now on, beside the others. Returns at once: whether the stream exists, the worker finds
    /// out, and looks for it again and again where it does not. A worker that reads one stream keeps to it.
    pub async fn add_stream(&self, stream: StreamConfig) {
        // A worker that is gone reads nothing more.
        let _ = self.commands.send(Command::AddStream(stream)).await;
    }

    /// Reads a stream no more: its batches under way are finished and checkpointed, and its leases given back. Its rows stay
    /// in the lease table, unless [`Config::former_streams`](crate::Config::former_streams) says otherwise. Returns at once
    /// with how many streams that concerns.
    pub async fn remove_stream(&self, stream: impl Into<StreamSelector>) -> usize {
        let (answer, answered) = oneshot::channel();
        // A worker that is gone has no streams.
        let _ = self.commands.send(Command::RemoveStream(stream.into(), answer)).await;
        answered.await.unwrap_or(0)
    }

    /// Reads the shards of a stream like this from now on, those that it holds and those that it will. Each goes on exactly
    /// where it is. Returns at once with how many streams that concerns.
    pub async fn set_retrieval_mode(&self, stream: impl Into<StreamSelector>, mode: RetrievalMode) -> usize {
        self.set_retrieval(stream.into(), mode).await.len()
    }

    async fn set_retrieval(&self, stream: StreamSelector, mode: RetrievalMode) -> Vec<Reading> {
        let (answer, answered) = oneshot::channel();
        // A worker that is gone reads nothing.
        let _ = self.commands.send(Command::SetRetrieval(stream, mode, answer)).await;
        answered.await.unwrap_or_default()
    }

    /// Polls the shards of a stream from now on, and deregisters the consumer that the worker subscribed as. Other workers
    /// that want enhanced fan-out would register it again: change their mode first.
    ///
    /// # Errors
    /// If the service does not deregister the consumer. The shards are polled all the same.
    pub async fn deregister_consumer(&self, stream: impl Into<StreamSelector>) -> Result<(), FetchFailure> {
        for reading in self.set_retrieval(stream.into(), RetrievalMode::Polling).await {
            reading.source.deregister(&reading.consumer).await?;
        }
        Ok(())
    }

    /// Moves shards that this worker holds to another place: their checkpoints are set there, wherever they were, and reading
    /// goes on there. The leases stay. The batch under way is cancelled as when a lease is lost, with the same few seconds to
    /// end by itself; [`lease_lost`](crate::RecordProcessor::lease_lost) is called, and a new processor begins at the new
    /// place. Nothing that was done at the old place is checkpointed any more. Returns when the lease table has the new
    /// places; the worker is on its way there then.
    ///
    /// For shards that other workers hold, or that were read to their end, there is `kclctl leases seek`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use kcl_core::{ShardId, seek::SeekTarget};
    /// use kcl_runtime::testing::TestWorld;
    ///
    /// let world = TestWorld::new("orders", 1).await;
    /// let seen = world.recorder();
    /// let worker = world.start(world.worker("w1").function(seen.succeed()));
    /// world.put("customer-7", "two apples");
    /// world.until_idle().await;
    ///
    /// let shard = ShardId::new("shardId-000000000000")?;
    /// worker.handle().seek(shard, SeekTarget::TrimHorizon).await?;
    /// world.until_idle().await;
    /// assert_eq!(seen.data(), ["two apples", "two apples"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the worker holds none of these shards, the place is none of theirs, or the lease table cannot be written. What was
    /// moved before a failure stays moved; the error says which could not be.
    pub async fn seek(
        &self,
        shards: impl Into<ShardSelector>,
        to: impl Into<SeekTarget>,
    ) -> Result<Vec<Sought>, SeekError> {
        let (answer, answered) = oneshot::channel();
        // A worker that is gone holds nothing.
        let _ = self.commands.send(Command::Held(shards.into(), answer)).await;
        let held = answered.await.map_err(|_| SeekError::WorkerGone)?;
        let mut sought = Vec::new();
        for (lease, planned) in held.plan(&to.into()).await? {
            let row = held.move_to(lease, planned).await?;
            sought.push(Sought::of(&row));
            // A worker that ended meanwhile need not be told.
            let _ = self.commands.send(Command::Changed(Box::new(row))).await;
        }
        Ok(sought)
    }

    /// Reads these shards no more, until they are resumed: the call under way goes on to its end and counts, then nothing is
    /// read or delivered. Their leases are kept and renewed; asked for them, the worker passes them on, and whoever gets them
    /// reads them: a pause is this worker's alone. Returns when the worker knows.
    pub async fn pause(&self, shards: impl Into<ShardSelector>) {
        self.set_paused(shards.into(), true).await;
    }

    /// Goes on with these shards at the exact place. What was paused by name is resumed by that name, by that of its stream, or with
    /// all; what was paused with all is resumed with all.
    pub async fn resume(&self, shards: impl Into<ShardSelector>) {
        self.set_paused(shards.into(), false).await;
    }

    async fn set_paused(&self, which: ShardSelector, paused: bool) {
        let (answer, answered) = oneshot::channel();
        let command = Command::Pause { which, paused, answer };
        // A worker that is gone reads nothing.
        let _ = self.commands.send(command).await;
        let _ = answered.await;
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
