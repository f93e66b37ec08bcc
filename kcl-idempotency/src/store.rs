//! [`IdempotencyStore`]: the memory of what was done.

use std::fmt;

use async_trait::async_trait;
use kcl_core::{BoxError, Timestamp};

use crate::key::IdempotencyKey;

/// Somebody wants to do the work of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The work.
    pub key: IdempotencyKey,
    /// A fingerprint of what the work is done with. If another one is stored, the key was used for something else.
    pub validation: Option<String>,
    /// What time it is.
    pub now: Timestamp,
    /// Until when nobody else may begin.
    pub lock_until: Timestamp,
    /// When the row is forgotten, whatever became of it. Rows keep whole seconds of it.
    pub expires_at: Timestamp,
}

/// The right to do the work of a key. Its end tells it from locks of others before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The work.
    pub key: IdempotencyKey,
    /// Until when nobody else may begin.
    pub until: Timestamp,
}

/// The answer to a [`Claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Begun {
    /// Nobody did the work yet, or who began let its lock expire: it is the caller's to do.
    Started(Lock),
    /// Somebody is at it.
    InProgress {
        /// When the lock expires; `None` if it only does with the row, as with Powertools outside of a Lambda context.
        until: Option<Timestamp>,
    },
    /// It was done, with this result, which is JSON. `None` if the row has none.
    Completed(Option<String>),
    /// The key was used with another fingerprint.
    Mismatch,
}

/// The work of a key is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The right by which it was done.
    pub lock: Lock,
    /// The fingerprint that was claimed with.
    pub validation: Option<String>,
    /// The result, which is JSON.
    pub result: String,
    /// What time it is.
    pub now: Timestamp,
    /// When the result is forgotten. Rows keep whole seconds of it.
    pub expires_at: Timestamp,
}

/// The answer to a [`Completion`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recorded {
    /// The result is stored.
    Stored,
    /// The lock had expired, and somebody else was faster: this result stands.
    Earlier(Option<String>),
}

/// What was asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreStep {
    /// To open it.
    Open,
    /// [`IdempotencyStore::begin`].
    Begin,
    /// [`IdempotencyStore::complete`].
    Complete,
    /// [`IdempotencyStore::forget`].
    Forget,
}

impl fmt::Display for StoreStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Begin => "begin",
            Self::Complete => "complete",
            Self::Forget => "forget",
        })
    }
}

/// A store could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdempotencyStoreError {
    /// It could not be reached, was busy, or the answer was lost: what was asked may have been done. Trying again may help.
    #[error("the idempotency store is unavailable ({step})")]
    Unavailable {
        /// What was asked.
        step: StoreStep,
        /// Why.
        source: BoxError,
    },
    /// It cannot be used as it is; the message says what to do.
    #[error("the idempotency store cannot be used: {problem}")]
    Unusable {
        /// What is wrong, and what to do.
        problem: String,
        /// Who says so.
        source: Option<BoxError>,
    },
}

impl IdempotencyStoreError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// A memory of what was done, shared by all who might do it again. Each call is one conditional write.
///
/// A row is *in progress*, with the end of its lock, or *completed*, with a result; both expire. A row is free, as if it were
/// not there, if it expired, or if it is in progress and its lock expired. A row is expired when its second is over.
///
/// Stores have no clock: what time it is comes with each call.
#[async_trait]
pub trait IdempotencyStore: fmt::Debug + Send + Sync {
    /// Puts a row in progress in the place of none or a free one, atomically: of all who ask at the same time, one starts.
    ///
    /// # Errors
    /// If it is not known whether that was done. If it was, the key is locked until the lock expires.
    async fn begin(&self, claim: &Claim) -> Result<Begun, IdempotencyStoreError>;

    /// Makes the row completed, unless a completed one is there that has not expired. That the lock has expired meanwhile is no
    /// hindrance, nor is that somebody else is at it now: the work was done. To ask twice is the same as to ask once.
    ///
    /// # Errors
    /// If it is not known whether that was done.
    async fn complete(&self, completion: &Completion) -> Result<Recorded, IdempotencyStoreError>;

    /// Removes the row, if it is in progress by this very lock, so that anybody can begin at once.
    ///
    /// # Errors
    /// If it is not known whether that was done.
    async fn forget(&self, lock: &Lock) -> Result<(), IdempotencyStoreError>;
}
