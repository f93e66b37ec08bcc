//! Reading a shard, as decisions: when to read again, how much to ask for, what a failure means.

use std::time::Duration;

use crate::{catalog::ChildShard, record::Batch, time::Tick};

/// The most records that the service gives in one read.
pub const MAX_RECORDS_PER_READ: u32 = 10_000;

/// What one read of a shard gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The records, possibly none.
    pub batch: Batch,
    /// The shard's children, if this read reached the end of a closed shard.
    pub end: Option<Vec<ChildShard>>,
}

/// Why a read failed, by what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FetchFailureKind {
    /// The service cannot be reached or has trouble of its own: try again.
    Unavailable,
    /// Others read the same shard, or too much is read: try again, later.
    Throttled,
    /// The place in the shard is no longer remembered by the service: open the shard again at the exact position.
    Expired,
    /// The answer contradicts the protocol (an end without children, children without parents): open the shard again.
    Malformed,
    /// The stream or the shard does not exist.
    NotFound,
    /// The position is not one of this shard: the checkpoint belongs to another life of the stream.
    InvalidPosition,
    /// The caller may not read the shard.
    Denied,
}

impl FetchFailureKind {
    /// The name in lower case, as metrics carry it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Throttled => "throttled",
            Self::Expired => "expired_iterator",
            Self::Malformed => "malformed",
            Self::NotFound => "not_found",
            Self::InvalidPosition => "invalid_position",
            Self::Denied => "denied",
        }
    }

    /// Whether the place in the shard is still good, so that the same read can be tried again.
    #[must_use]
    pub const fn keeps_place(self) -> bool {
        matches!(self, Self::Throttled)
    }
}

/// A read that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchFailure {
    /// What to do about it.
    pub kind: FetchFailureKind,
    /// What the service or the library said.
    pub message: String,
}

/// How often a shard is read.
///
/// The service allows five reads a second and shard, shared by all applications that poll it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollPacing {
    /// From the start of one read to the start of the next while there is more to read. The default of 200 ms uses what
    /// the service allows.
    pub while_behind: Duration,
    /// From the start of one read to the start of the next at the tip of the shard. The default of 1 s leaves room for
    /// others.
    pub at_tip: Duration,
}

impl Default for PollPacing {
    fn default() -> Self {
        Self {
            while_behind: Duration::from_millis(200),
            at_tip: Duration::from_secs(1),
        }
    }
}

impl PollPacing {
    /// When to read next, after a read that began at `started` and gave `batch`.
    #[must_use]
    pub fn next_read(&self, started: Tick, batch: &Batch) -> Tick {
        let at_tip = match batch.millis_behind_latest() {
            Some(millis) => millis == 0,
            None => batch.is_empty(),
        };
        started + if at_tip { self.at_tip } else { self.while_behind }
    }
}

/// Chooses how many records to ask for, so that an answer fits in the shard's share of memory.
///
/// It learns the weight of records from the answers; before the first it assumes 1 KiB.
#[derive(Clone, Copy, Debug)]
pub struct ReadSize {
    weight_per_record: u64,
}

impl Default for ReadSize {
    fn default() -> Self {
        Self {
            weight_per_record: 1024,
        }
    }
}

impl ReadSize {
    /// Learns from an answer. Growth counts at once, shrinking slowly: memory matters more than speed.
    pub fn observe(&mut self, batch: &Batch) {
        let Ok(records @ 1..) = u64::try_from(batch.len()) else {
            return;
        };
        let seen = (batch.weight() / records).max(1);
        let known = self.weight_per_record;
        self.weight_per_record = if seen > known { seen } else { (known * 3 + seen) / 4 };
    }

    /// How many records to ask for when `free` bytes may still be buffered.
    #[must_use]
    pub fn records_for(&self, free: u64, at_most: u32) -> u32 {
        let fitting = free / self.weight_per_record.max(1);
        u32::try_from(fitting).unwrap_or(u32::MAX).clamp(1, at_most.max(1))
    }
}
