//! What goes into a [`WorkerMachine`](super::WorkerMachine) and what comes out of it.

use std::{fmt, time::Duration};

use bytes::Bytes;

use super::streams::StreamConfig;
use crate::{
    catalog::{Shard, ShardFilter},
    coordination::Coordination,
    fetch::FetchFailure,
    ids::{LeaseKey, Session, ShardId, StreamName, WorkerId},
    lease::{Expect, Lease, LeaseWrite, PendingCheckpoint},
    sequence::Position,
    shard::{Finish, StopReason},
    store::{LeaseListing, StoreError, StoreOperation, WriteOutcome},
    stream::StreamId,
};

/// Names one request to the lease table, so that its answer finds its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// Names one tenure: one time that this worker holds one lease. Never used again within a worker's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenureId(pub u64);

impl fmt::Display for TenureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Why the lease table did not answer, by what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreFailure {
    /// Nothing was changed; try again.
    Retry(String),
    /// A write may have been applied; read the row.
    Ambiguous(String),
    /// The table cannot be used.
    Unusable(String),
}

impl StoreFailure {
    /// What the table or the library said.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Retry(message) | Self::Ambiguous(message) | Self::Unusable(message) => message,
        }
    }
}

impl From<&StoreError> for StoreFailure {
    fn from(error: &StoreError) -> Self {
        let mut message = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        match (error.may_have_applied(), error.is_retryable()) {
            (true, _) => Self::Ambiguous(message),
            (false, true) => Self::Retry(message),
            (false, false) => Self::Unusable(message),
        }
    }
}

/// What a shard's consumer tells its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardReport {
    /// This far everything is handled; commit it when something is written anyway.
    Progress(Position),
    /// The same, and this is the state of the windows as of there: whatever is written next that has this position as its
    /// checkpoint has both.
    ProgressWith {
        /// How far.
        position: Position,
        /// The state; none is to be kept if there is none.
        state: Option<Bytes>,
    },
    /// Commit this position now.
    Checkpoint(Position),
    /// Note now that this is about to be committed.
    Prepare(PendingCheckpoint),
    /// The service does not know the shard or the stream any more.
    Missing,
    /// The service refuses the checkpoint for this shard, for this reason, and keeps doing so.
    Rejected(String),
    /// The consumer ended.
    Finished(Finish),
}

/// Which shards a worker is to read no more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseScope {
    /// All that it holds, now and later.
    Worker,
    /// Those of one of its streams.
    Stream(StreamId),
    /// That of one lease.
    Lease(LeaseKey),
}

/// What happened, as told to the machine.
#[derive(Clone, Debug)]
pub enum WorkerInput {
    /// A scan of the lease table ended.
    Leases(Result<LeaseListing, StoreFailure>),
    /// A listing of a stream's shards ended.
    Shards {
        /// The stream; an application of one stream calls it `None`.
        stream: Option<StreamId>,
        /// How.
        result: Result<Vec<Shard>, FetchFailure>,
    },
    /// From now on these are the streams to read, where the application reads several.
    Streams(Vec<StreamConfig>),
    /// A look at what Java's workers keep beside the leases ended.
    Coordination(Result<Coordination, StoreFailure>),
    /// The worker's metrics were published, or not.
    Published(Result<(), StoreFailure>),
    /// The worker's metrics were taken back, or cannot be.
    Withdrawn,
    /// A write ended.
    Written {
        /// Which.
        op: OpId,
        /// How.
        result: Result<WriteOutcome, StoreFailure>,
    },
    /// A read of one row ended.
    Read {
        /// Which.
        op: OpId,
        /// How.
        result: Result<Option<Lease>, StoreFailure>,
    },
    /// A consumer reports.
    Shard {
        /// The tenure that it works for.
        tenure: TenureId,
        /// What it says.
        report: ShardReport,
    },
    /// A row was changed by somebody whom this process knows of; what it is now. Else the next scan or renewal would tell.
    Changed(Lease),
    /// Read some shards no more, or again. Their leases stay.
    Pause {
        /// Which.
        scope: PauseScope,
        /// Whether they are not to be read.
        paused: bool,
    },
    /// Stop: finish what is under way, commit it, give the leases back.
    Shutdown,
    /// Time passed.
    Wake,
}

/// What a machine wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerEffect {
    /// Scan the lease table; answer with [`WorkerInput::Leases`].
    ListLeases,
    /// List a stream's shards; answer with [`WorkerInput::Shards`].
    ListShards {
        /// The stream; an application of one stream calls it `None`.
        stream: Option<StreamId>,
        /// Which shards.
        filter: ShardFilter,
    },
    /// Read what Java's workers keep beside the leases; answer with [`WorkerInput::Coordination`].
    Coordinate,
    /// Publish how busy this worker is; answer with [`WorkerInput::Published`].
    Publish {
        /// Whether the others publish their CPU, so that it is what they can be compared by.
        cpu: bool,
    },
    /// Take back what was published, once; answer with [`WorkerInput::Withdrawn`] also if that failed.
    Withdraw,
    /// Add a row; answer with [`WorkerInput::Written`].
    Create {
        /// For the answer.
        op: OpId,
        /// The row.
        lease: Lease,
    },
    /// Change a row; answer with [`WorkerInput::Written`].
    Update {
        /// For the answer.
        op: OpId,
        /// The row, what must hold, and what changes.
        write: LeaseWrite,
    },
    /// Remove a row; answer with [`WorkerInput::Written`].
    Delete {
        /// For the answer.
        op: OpId,
        /// The row.
        key: LeaseKey,
        /// What must hold.
        expect: Expect,
    },
    /// Read one row; answer with [`WorkerInput::Read`].
    Get {
        /// For the answer.
        op: OpId,
        /// The row.
        key: LeaseKey,
    },
    /// Start a consumer.
    StartShard {
        /// For its reports.
        tenure: TenureId,
        /// The lease as it was taken.
        lease: Lease,
        /// Where to start: the lease's checkpoint, or the place that it stands for.
        start: Position,
    },
    /// Tell a consumer that this checkpoint is in the table now.
    ShardStored {
        /// Whom.
        tenure: TenureId,
        /// The checkpoint.
        position: Position,
    },
    /// Tell a consumer that this prepared checkpoint is in the table now.
    ShardPrepared {
        /// Whom.
        tenure: TenureId,
        /// What was prepared.
        pending: PendingCheckpoint,
    },
    /// Tell a consumer to read and call no more, or to go on.
    PauseShard {
        /// Whom.
        tenure: TenureId,
        /// Whether it is to rest.
        paused: bool,
    },
    /// Tell a consumer to stop.
    StopShard {
        /// Whom.
        tenure: TenureId,
        /// Why.
        reason: StopReason,
    },
    /// Something worth telling happened.
    Event(WorkerEvent),
    /// The worker is done; nothing follows.
    Exit(Exit),
}

/// How a worker ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// Why it stopped on its own, if it did.
    pub failure: Option<WorkerFailure>,
    /// Leases that could not be given back in time. Others take them when the failover time has passed.
    pub unreleased: Vec<LeaseKey>,
}

/// Why a worker stops on its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerFailure {
    /// The stream does not exist, or was deleted.
    #[error("the stream does not exist: {message}; create it, or check its name, the region and the endpoint")]
    StreamNotFound {
        /// What the service said.
        message: String,
    },
    /// The service refuses the caller.
    #[error("the service denies access to the stream: {message}; check the credentials and their permissions")]
    AccessDenied {
        /// What the service said.
        message: String,
    },
    /// The lease table cannot be used.
    #[error("{message}")]
    StoreUnusable {
        /// What is wrong and what to do about it.
        message: String,
    },
    /// The application's leases are those of another stream.
    #[error(
        "the application's leases are those of the stream {other}, not of {stream}: an application reads one stream; \
         use another application name or another lease table"
    )]
    OtherStream {
        /// The stream that the worker was to read.
        stream: StreamName,
        /// The stream that the leases are of.
        other: StreamName,
    },
    /// The worker reads one stream, and the application's leases are of several.
    #[error(
        "the lease {key} is one of an application that reads several streams: give this worker its streams as several, or \
         use another application name or another lease table"
    )]
    SeveralStreams {
        /// One of the leases.
        key: LeaseKey,
    },
    /// The worker reads several streams, and the application's leases are of one.
    #[error(
        "the lease {key} is one of an application that reads one stream: an application of several streams has rows of \
         another form and would read everything again; use another application name or another lease table"
    )]
    OneStream {
        /// One of the leases.
        key: LeaseKey,
    },
    /// A lease does not fit the stream: its shard never was there, or its checkpoint is not of this shard.
    #[error(
        "the lease {key} is not of this stream ({message}): the stream was deleted and created again since, or the lease \
         table is that of another one, or the checkpoint was set to a place that the shard does not have. Use another \
         application name, remove the application's leases to begin anew, or set the checkpoint again"
    )]
    StreamReplaced {
        /// The lease.
        key: LeaseKey,
        /// What the service said.
        message: String,
    },
    /// Another worker runs under the same id.
    #[error(
        "another worker runs under the id {worker} (it took the lease {key}): give every worker an id of its own; \
         this one, which started earlier, stops"
    )]
    DuplicateWorker {
        /// The id.
        worker: WorkerId,
        /// A lease that both wanted.
        key: LeaseKey,
    },
}

/// Why a lease is no longer held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LossReason {
    /// Somebody else took it.
    Taken,
    /// It could not be renewed within the failover time, so others may have taken it.
    Lapsed,
    /// Its row vanished from the table.
    RowDeleted,
}

impl LossReason {
    /// The name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Lapsed => "lapsed",
            Self::RowDeleted => "row_deleted",
        }
    }
}

/// Something worth a log line or a metric.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum WorkerEvent {
    /// A lease was taken.
    LeaseTaken {
        /// Which.
        key: LeaseKey,
        /// Whose it was before.
        from: Option<WorkerId>,
        /// How far the shard has been handled.
        checkpoint: Position,
    },
    /// A lease was lost.
    LeaseLost {
        /// Which.
        key: LeaseKey,
        /// Why.
        reason: LossReason,
        /// Who holds it now, if known.
        to: Option<WorkerId>,
    },
    /// A lease was given back.
    LeaseReleased {
        /// Which.
        key: LeaseKey,
        /// How far the shard has been handled.
        checkpoint: Position,
    },
    /// This worker asked another for a lease.
    HandOffRequested {
        /// Which.
        key: LeaseKey,
        /// Whom.
        from: WorkerId,
    },
    /// Another worker asked this one for a lease; the consumer finishes its batch.
    HandOffStarted {
        /// Which.
        key: LeaseKey,
        /// Who asks.
        to: WorkerId,
    },
    /// A lease was passed on.
    HandOffFinished {
        /// Which.
        key: LeaseKey,
        /// To whom.
        to: Option<WorkerId>,
        /// How far the shard has been handled.
        checkpoint: Position,
    },
    /// A shard was handled to its end.
    ShardFinished {
        /// Its lease.
        key: LeaseKey,
        /// The shards that follow.
        children: Vec<ShardId>,
    },
    /// A shard fell out of retention before it was handled to its end: what it still held is gone.
    ShardExpired {
        /// Its lease.
        key: LeaseKey,
        /// How far it had been handled.
        checkpoint: Position,
    },
    /// A lease was added for a shard.
    LeaseCreated {
        /// Which.
        key: LeaseKey,
        /// Where its shard starts.
        checkpoint: Position,
    },
    /// A row that had vanished was put back with the progress that this worker knew.
    LeaseRestored {
        /// Which.
        key: LeaseKey,
        /// How far the shard has been handled.
        checkpoint: Position,
    },
    /// The lease of a shard that is over was removed.
    LeaseDeleted {
        /// Which.
        key: LeaseKey,
    },
    /// An operator moved the checkpoint of a held lease; its consumer ends, and another one goes on there.
    Sought {
        /// The lease.
        key: LeaseKey,
        /// Where it stood.
        from: Position,
        /// Where it goes on.
        to: Position,
    },
    /// A held lease is not read any more, as was asked, or is read again.
    Paused {
        /// The lease.
        key: LeaseKey,
        /// Whether it is not read.
        paused: bool,
    },
    /// A checkpoint was written.
    Checkpointed {
        /// Its lease.
        key: LeaseKey,
        /// The checkpoint.
        position: Position,
    },
    /// The lease table has trouble.
    StoreTrouble {
        /// What was tried.
        operation: StoreOperation,
        /// What the table or the library said.
        message: String,
        /// How often in a row.
        failures: u32,
    },
    /// A row of the table is no lease.
    UnreadableRow {
        /// Its key.
        key: String,
        /// Why it cannot be read.
        reason: String,
    },
    /// A stream is read from now on, beside others.
    StreamAdded {
        /// Which.
        stream: StreamId,
    },
    /// A stream is read no more, as was asked; what is held of it is given back.
    StreamRemoved {
        /// Which.
        stream: StreamId,
    },
    /// One of several streams cannot be read any more: it was deleted, or is another one by now. The worker forgets it, gives
    /// back what it holds of it, and goes on with the others.
    StreamLost {
        /// Which.
        stream: StreamId,
        /// What would end the worker if it had only this stream.
        failure: WorkerFailure,
    },
    /// The shards of a stream cannot be listed.
    ServiceTrouble {
        /// The stream; an application of one stream calls it `None`.
        stream: Option<StreamId>,
        /// What the service or the library said.
        message: String,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// A new life of this worker takes over from an older one.
    Resumed {
        /// The lease.
        key: LeaseKey,
        /// The older life.
        session: Option<Session>,
    },
    /// The worker stops.
    Stopping {
        /// Why, if on its own.
        failure: Option<WorkerFailure>,
    },
}
