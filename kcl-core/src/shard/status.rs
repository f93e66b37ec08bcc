//! What a consumer answers when asked how it is.

use std::{fmt, time::Duration};

use crate::{
    fetch::{FetchFailure, FetchFailureKind, Retrieval},
    sequence::Position,
    shard::{ShardPhase, Stall},
    time::Timestamp,
};

/// What a shard waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// For records: everything that is there has been handled.
    ForRecords,
    /// For the service: the last answers were failures.
    ForService {
        /// What kind of failure.
        kind: FetchFailureKind,
        /// What the service or the library said.
        message: String,
    },
    /// For the user's code, which is running.
    ForHandler {
        /// The method.
        call: &'static str,
        /// The how-manieth call with the same records.
        attempt: u32,
    },
    /// For the next call to the user's code, which failed.
    ForRetry {
        /// The method.
        call: &'static str,
        /// How often it failed in a row.
        failures: u32,
        /// The last error.
        error: String,
        /// From now.
        retry_in: Duration,
    },
    /// For the next read: there is more.
    ForNextRead,
    /// For records or answers that should have come. The shard was opened again meanwhile, and will be once more.
    Stalled {
        /// What stands still.
        stall: Stall,
        /// For how long.
        time: Duration,
        /// How often it was opened again.
        cures: u32,
    },
    /// For somebody to resume it.
    Paused {
        /// For how long it has been paused.
        time: Duration,
    },
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForRecords => f.write_str("waiting for records"),
            Self::ForService { kind, message } => write!(f, "waiting for the service ({}): {message}", kind.as_str()),
            Self::ForHandler { call, attempt: 1 } => write!(f, "{call} is running"),
            Self::ForHandler { call, attempt } => write!(f, "{call} is running, attempt {attempt}"),
            Self::ForRetry {
                call,
                failures,
                error,
                retry_in,
            } => {
                write!(
                    f,
                    "{call} failed {failures} times, again in {:.1} s: {error}",
                    retry_in.as_secs_f64()
                )
            }
            Self::ForNextRead => f.write_str("waiting for the next read"),
            Self::Stalled { stall, time, cures } => {
                write!(f, "{stall} for {:.0} s; opened again {cures} times", time.as_secs_f64())
            }
            Self::Paused { time } => write!(f, "paused for {:.0} s", time.as_secs_f64()),
        }
    }
}

/// What the lanes of a shard do. A consumer that makes one call at a time has one lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LanesStatus {
    /// Lanes whose records the user's code works on.
    pub running: usize,
    /// Lanes whose records wait for a call to become free.
    pub ready: usize,
    /// Lanes whose last call failed, and which go on with the same records.
    pub failing: usize,
    /// Records from the first that is not handled to the newest that is delivered. Those among them that are handled are
    /// repeated after a crash.
    pub window_records: usize,
    /// Nothing more is delivered until one of the lanes that fail succeeds.
    pub held_up: bool,
    /// So many calls failed that the user's code is left alone for a while.
    pub circuit_open: bool,
    /// Of the lanes that fail, the one whose record is the oldest.
    pub oldest_failing: Option<FailingLane>,
}

/// A lane that fails. The partition key is not told: it may be private.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailingLane {
    /// The first record of the delivery that fails.
    pub first: Position,
    /// How often it was tried, the attempt under way included.
    pub attempts: u32,
    /// The last error.
    pub error: String,
    /// From now; `None` while it is tried.
    pub retry_in: Option<Duration>,
}

/// A consumer's state at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardStatus {
    /// What it does.
    pub phase: ShardPhase,
    /// What it waits for.
    pub waiting: Waiting,
    /// For how long it has been paused, if it is; the call under way goes on to its end all the same.
    pub paused: Option<Duration>,
    /// For how long the call of the user's code has run that is under way.
    pub calling: Option<Duration>,
    /// How far records have been read.
    pub read: Position,
    /// How far records have been handled.
    pub handled: Position,
    /// How far the lease table says records have been handled.
    pub checkpoint: Position,
    /// How far behind the tip of the shard the last read was, if the service told.
    pub millis_behind_latest: Option<u64>,
    /// How the shard is read, or was read last.
    pub retrieval: Retrieval,
    /// Why it is polled, where it was to be subscribed to: what stood in the way last.
    pub fallback: Option<FetchFailure>,
    /// When the oldest record that is read and not yet handled arrived.
    pub oldest_unhandled: Option<Timestamp>,
    /// Records that are read and not yet handled. An aggregate counts as one until its records are delivered.
    pub buffered_records: usize,
    /// The memory that they take, roughly.
    pub buffered_bytes: u64,
    /// Records handled in this tenure.
    pub handled_records: u64,
    /// Their bytes.
    pub handled_bytes: u64,
    /// Records that were left out on request in this tenure.
    pub filtered_records: u64,
    /// Records that were given to the dead letters in this tenure.
    pub discarded_records: u64,
    /// What its lanes do.
    pub lanes: LanesStatus,
}

impl ShardStatus {
    /// The same state, so much later: nothing happened since but that time passed.
    #[must_use]
    pub fn after(mut self, passed: Duration) -> Self {
        for time in [&mut self.paused, &mut self.calling].into_iter().flatten() {
            *time += passed;
        }
        match &mut self.waiting {
            Waiting::Paused { time } | Waiting::Stalled { time, .. } => *time += passed,
            Waiting::ForRetry { retry_in, .. } => *retry_in = retry_in.saturating_sub(passed),
            _ => {}
        }
        self
    }

    /// Whether every record that the service had at the last read has been handled.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.buffered_records == 0 && self.paused.is_none() && self.waiting == Waiting::ForRecords
    }
}
