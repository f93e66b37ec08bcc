//! What goes into a [`ShardMachine`](super::ShardMachine) and what comes out of it.

use std::{fmt, time::Duration};

use bytes::Bytes;
use bytestring::ByteString;

use super::Stall;
use crate::{
    aggregate::OutOfRange,
    catalog::ChildShard,
    delivery::{Discard, DiscardReason, WindowCall},
    fetch::{Fetch, FetchFailure, FetchFailureKind, Retrieval, RetrievalMode, SubscribeAt},
    lease::PendingCheckpoint,
    record::Batch,
    sequence::Position,
};

/// Why a consumer has to stop. Ordered: a later reason overrides an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopReason {
    /// The worker shuts down: finish the batch, then give the lease back.
    Shutdown,
    /// Another worker asked for the lease: finish the batch, then pass it on.
    HandOff,
    /// An operator moved the checkpoint: stop now, nothing counts any more; another consumer goes on at the new place.
    Seek,
    /// The lease is lost or about to be given up: stop now, nothing counts any more.
    LeaseLost,
}

impl StopReason {
    /// Whether what the consumer did since the last checkpoint counts no more.
    #[must_use]
    pub const fn is_void(self) -> bool {
        matches!(self, Self::Seek | Self::LeaseLost)
    }

    /// The name in lower case, as logs and metrics carry it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::HandOff => "hand_off",
            Self::Seek => "seek",
            Self::LeaseLost => "lease_lost",
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Names a call to the user's code among those of its consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What became of a call to the user's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was handled.
    Success,
    /// The records before this index were handled; it and everything after it were not.
    SuccessBefore(usize),
    /// Everything was handled but the records at these indices.
    FailedItems(Vec<usize>),
    /// The records before the first that failed, if one did, were handled, and this is the state of their window since.
    /// Where the first record failed, nothing was handled, and the state is what it was.
    Windowed {
        /// The new state.
        state: Bytes,
        /// The index of the first record that failed.
        failed: Option<usize>,
    },
    /// Nothing was handled, for this reason.
    Failure(String),
    /// The user's code was not called: it could not be, for now. That is no try.
    NotCalled {
        /// When to try again, from now; by default after the usual wait.
        wait: Option<Duration>,
        /// Why.
        reason: String,
    },
    /// Nothing was handled, and the user's code said when it wants the records again.
    Postponed {
        /// From now.
        wait: Duration,
        /// Why.
        reason: String,
    },
    /// The call was given up on request, after the lease was lost.
    Cancelled,
}

/// The calls that are made to the user's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Before the first batch.
    Initialize {
        /// How far the shard has been handled.
        checkpoint: Position,
    },
    /// A batch, for the `attempt`-th time (from 1).
    Process {
        /// The records.
        batch: Batch,
        /// How often the first record of the batch has been tried, this time included.
        attempt: u32,
        /// The window that the call is for, with [tumbling windows](crate::delivery::DeliveryPolicy::tumbling_window). The
        /// call that ends a window has no records.
        window: Option<WindowCall>,
    },
    /// Give records to the dead letters, for good. They are passed when that is done, and not before.
    Discard(Discard),
    /// The shard was read and handled to its end.
    ShardEnded,
    /// The worker gives the lease up on its own will: the last chance to checkpoint.
    ShutdownRequested,
    /// The lease is gone.
    LeaseLost,
}

impl Call {
    /// The name of the method that is called.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Initialize { .. } => "initialize",
            Self::Process { .. } => "process_records",
            Self::Discard(_) => "discard",
            Self::ShardEnded => "shard_ended",
            Self::ShutdownRequested => "shutdown_requested",
            Self::LeaseLost => "lease_lost",
        }
    }
}

/// What happened to a shard, as told to its machine.
#[derive(Clone, Debug)]
pub enum ShardInput {
    /// The shard was opened at the position that was asked for, or subscribed to, or not.
    Opened(Result<(), FetchFailure>),
    /// A read ended.
    Fetched(Result<Fetch, FetchFailure>),
    /// A call to the user's code ended.
    Called(CallId, Outcome),
    /// The lease table now holds this checkpoint.
    Stored(Position),
    /// The consumer has to stop.
    Stop(StopReason),
    /// Read no more and call the user's code no more once the call under way has ended; or go on.
    Pause(bool),
    /// So many bytes of records may be buffered for this shard.
    Share(u64),
    /// The shard is to be read like this from now on.
    Retrieval(RetrievalMode),
    /// The partition keys of the shard that are in quarantine: these, and no others.
    Quarantined(Vec<ByteString>),
    /// Time passed.
    Wake,
}

/// What a machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardEffect {
    /// Place a reader so that it reads everything after this position (it may read the position itself again).
    Open(Position),
    /// Begin a subscription, as a reader whose reads give its events. Answered as an open is.
    Subscribe(SubscribeAt),
    /// Read at most so many records, or the next event of the subscription, however many that has.
    Fetch {
        /// The most records that the answer may hold.
        max_records: u32,
    },
    /// Drop the reader, and the open or the read that is under way: no answer to these is awaited any more.
    Close,
    /// Opening again did not help: make new connections before the next open, where the source can.
    Reconnect,
    /// Call the user's code, and answer with [`ShardInput::Called`]. Deliveries may run beside each other as far as the
    /// lanes allow; every other call runs alone.
    Call {
        /// Its name in the answer.
        id: CallId,
        /// What to call.
        call: Call,
    },
    /// Tell all running calls that their results no longer count, and end them.
    CancelCalls,
    /// This far everything is handled: commit it when something is written anyway.
    Progress(Position),
    /// This far everything is handled, and this is what the windows came to: when something is written anyway, commit both with
    /// one write, as the checkpoint and as a [`PendingCheckpoint`] of the same position. The state may change where the
    /// position does not, and must be written then too.
    ProgressWith {
        /// How far.
        position: Position,
        /// The state as of there; none is to be kept if there is none.
        state: Option<Bytes>,
    },
    /// Commit this position now, with the state that was told last as of there, and answer with [`ShardInput::Stored`].
    Checkpoint(Position),
    /// Note in the table that this is about to be committed.
    Prepare(PendingCheckpoint),
    /// The service does not know the shard or the stream any more.
    Missing,
    /// The service refuses the position for this shard, for this reason, and keeps doing so.
    Rejected(String),
    /// The machine is done; nothing follows.
    Finished(Finish),
    /// Something worth telling happened.
    Event(ShardEvent),
}

/// How a consumer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Stopped on request between two batches.
    Drained,
    /// Everything up to the shard's end was handled; these shards follow.
    Ended(Vec<ChildShard>),
    /// Stopped because the lease is gone, or its checkpoint was moved.
    Lost,
}

/// The states of a consumer, as status, logs and metrics name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ShardPhase {
    /// The user's `initialize` runs.
    Initializing,
    /// The place to read from is being looked up.
    Opening,
    /// Records are read and handled.
    Reading,
    /// The end was read; the last records are handled.
    Ending,
    /// A stop was asked for; the running call is waited for.
    Stopping,
    /// Nothing happens any more.
    Finished,
}

impl ShardPhase {
    /// The name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Opening => "opening",
            Self::Reading => "reading",
            Self::Ending => "ending",
            Self::Stopping => "stopping",
            Self::Finished => "finished",
        }
    }
}

impl fmt::Display for ShardPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something worth a log line or a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShardEvent {
    /// The consumer changed its state.
    Phase(ShardPhase),
    /// The shard was opened.
    Opened {
        /// Reading goes on after this position.
        position: Position,
    },
    /// The shard is read in another way than before.
    Retrieval {
        /// The way.
        retrieval: Retrieval,
        /// Why it is polled, where it was to be subscribed to.
        fallback: Option<FetchFailure>,
        /// Whether polling is what is not wanted.
        insists: bool,
    },
    /// A read gave records or told how far behind it is.
    Fetched {
        /// How many records.
        records: usize,
        /// Their bytes.
        bytes: u64,
        /// How far behind the tip, if the service told.
        millis_behind_latest: Option<u64>,
    },
    /// Opening or reading failed and is tried again.
    FetchFailed {
        /// What to do about it.
        kind: FetchFailureKind,
        /// What the service or the library said.
        message: String,
        /// How often in a row.
        failures: u32,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// Aggregates held records whose hash keys are those of other shards.
    OutOfRange {
        /// How many records.
        records: u64,
        /// How many in this tenure, these included.
        total: u64,
        /// What becomes of them.
        rule: OutOfRange,
    },
    /// Nothing comes though something should; the shard is opened again.
    Stalled {
        /// What stands still.
        stall: Stall,
        /// For how long.
        time: Duration,
        /// How often it was opened again, this time included.
        cures: u32,
        /// When it is opened.
        retry_in: Duration,
    },
    /// What had stood still goes on.
    Flows {
        /// What had stood still.
        stall: Stall,
        /// For how long.
        time: Duration,
        /// How often it was opened again.
        cures: u32,
    },
    /// A call of the user's code runs for long; it is not disturbed. Told once for a call.
    CallSlow {
        /// The method.
        call: &'static str,
        /// For how long it has run.
        time: Duration,
    },
    /// Reading stopped, as asked.
    Paused,
    /// Reading goes on, as asked.
    Resumed,
    /// The user's code handled records.
    Handled {
        /// How many records.
        records: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// Records were left out, as was asked for.
    Filtered {
        /// How many were not asked for.
        records: u64,
        /// How many could not be read, so that nobody knows.
        unreadable: u64,
    },
    /// The dead letters hold records that were given up.
    Discarded {
        /// How many.
        records: usize,
        /// Why.
        reason: DiscardReason,
        /// How many calls with them had failed.
        attempts: u32,
    },
    /// So many calls failed that the user's code is left alone for a while, or it works again.
    Circuit {
        /// Whether it is left alone.
        open: bool,
    },
    /// The user's code failed and is called again with the same records.
    CallFailed {
        /// The method.
        call: &'static str,
        /// How often the first record has been tried.
        attempt: u32,
        /// The first record, if records were delivered.
        first: Option<Position>,
        /// What the code said.
        error: String,
        /// When it is called again; `None` if it is not, because the consumer stops.
        retry_in: Option<Duration>,
    },
    /// All that may wait in lanes waits behind lanes that fail: the shard stands still until one of them succeeds.
    HeldUp {
        /// The first record that is not handled.
        first: Position,
        /// How often it was tried.
        attempts: u32,
        /// Records between it and the newest that was delivered, handled ones included.
        records: usize,
    },
    /// The consumer ended while handled records lay behind a gap: whoever reads the shard next handles them again.
    Repeats {
        /// How many.
        records: usize,
    },
}
