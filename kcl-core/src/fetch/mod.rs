//! Reading a shard, as decisions: when to read again, how much to ask for, what a failure means.

mod budget;
pub mod consumer;
mod poll;
mod retrieval;
mod subscription;

pub use self::{
    budget::{own_share, shares},
    poll::{Pace, PollPacing, ReadSize},
    retrieval::{InvalidRetrievalMode, Retrieval, RetrievalMode, SubscribeAt},
    subscription::{FLOOR, Fallback, IDLE, LET_GO, Retriever, UNHEARD},
};
use crate::{catalog::ChildShard, record::Batch, sequence::SequenceNumber};

/// The most records that the service gives in one read.
pub const MAX_RECORDS_PER_READ: u32 = 10_000;

/// What one read of a shard gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The records, possibly none.
    pub batch: Batch,
    /// The shard's children, if this read reached the end of a closed shard.
    pub end: Option<Vec<ChildShard>>,
    /// Where the next subscription goes on after this event; `None` from a poll.
    pub continuation: Option<SequenceNumber>,
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
    /// Another subscription of the same consumer has the shard, or the consumer is not ready yet.
    InUse,
    /// The subscription is over, as each is after a while.
    Ended,
    /// The subscription said nothing for so long that it must be dead.
    Silent,
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
            Self::InUse => "in_use",
            Self::Ended => "ended",
            Self::Silent => "silent",
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
