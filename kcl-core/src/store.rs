//! [`LeaseStore`]: the table of leases as a dumb compare-and-swap table. Policy lives elsewhere in this crate.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::{
    coordination::{Coordination, WorkerMetrics},
    ids::{LeaseKey, WorkerId},
    lease::{Expect, Lease, LeaseWrite},
};

/// The answer to a conditional write that reached the table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum WriteOutcome {
    /// The condition held; the row is now this.
    Applied(Lease),
    /// The condition did not hold and nothing changed; the row is this, or does not exist.
    Conflict(Option<Lease>),
}

/// A row that is there and cannot be read as a lease. It never hides the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableRow {
    /// The row's key, as text.
    pub key: String,
    /// Why it cannot be read.
    pub reason: String,
}

/// What a scan of the table found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseListing {
    /// The leases, by key. They are shared, because a large table that is scanned often changes little between scans.
    pub leases: Vec<Arc<Lease>>,
    /// The rows that are no leases.
    pub unreadable: Vec<UnreadableRow>,
}

impl FromIterator<Lease> for LeaseListing {
    /// A listing of these leases, in this order, without unreadable rows.
    fn from_iter<I: IntoIterator<Item = Lease>>(leases: I) -> Self {
        Self {
            leases: leases.into_iter().map(Arc::new).collect(),
            unreadable: Vec::new(),
        }
    }
}

/// The operations of a [`LeaseStore`], as errors and metrics name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StoreOperation {
    /// Making the table ready.
    Open,
    /// Reading all rows.
    List,
    /// Reading one row.
    Get,
    /// Adding a row.
    Create,
    /// Changing a row.
    Update,
    /// Removing a row.
    Delete,
    /// Reading what is kept beside the leases.
    Coordinate,
    /// Publishing a worker's metrics, or taking them back.
    Publish,
}

impl StoreOperation {
    /// The name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::List => "list",
            Self::Get => "get",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Coordinate => "coordinate",
            Self::Publish => "publish",
        }
    }
}

impl fmt::Display for StoreOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The error of a library that a store stands on.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A lease table could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The table could not be reached or was busy; nothing was changed. Try again.
    #[error("the lease table cannot be reached ({operation}): nothing was changed, and trying again may help")]
    Unavailable {
        /// What was tried.
        operation: StoreOperation,
        /// What the library below said.
        #[source]
        source: BoxError,
    },
    /// The table asks for fewer requests; nothing was changed. Try again, later.
    #[error("the lease table throttles ({operation}): nothing was changed, and trying again may help")]
    Throttled {
        /// What was tried.
        operation: StoreOperation,
    },
    /// The answer was lost: the write may have been applied or not. Read the row to find out.
    #[error("no answer from the lease table ({operation}): the write may have happened; the row tells")]
    Ambiguous {
        /// What was tried.
        operation: StoreOperation,
        /// What the library below said.
        #[source]
        source: BoxError,
    },
    /// The table cannot be used, and trying again will not help: not ours, too new, not writable, damaged.
    #[error("the lease table cannot be used: {problem}")]
    Unusable {
        /// What is wrong and what to do about it.
        problem: String,
        /// What the library below said, if it said anything.
        #[source]
        source: Option<BoxError>,
    },
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Unusable { .. })
    }

    /// Whether a write may have been applied although it failed.
    #[must_use]
    pub fn may_have_applied(&self) -> bool {
        matches!(self, Self::Ambiguous { .. })
    }
}

/// A table of leases, shared by the workers of one application.
///
/// Implementations are dumb: they compare and swap, and know nothing of time, expiry or balance. Every write must be
/// atomic for its row, and a read must see the writes that were answered before it began. A store for your own database
/// is right when it passes the conformance suite of `kcl-checkpoint`.
#[async_trait]
pub trait LeaseStore: fmt::Debug + Send + Sync + 'static {
    /// Reads all rows, ordered by key. Rows that are no leases are reported beside the others.
    async fn list(&self) -> Result<LeaseListing, StoreError>;

    /// Reads one row.
    async fn get(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError>;

    /// Adds a row unless there is one with its key: then the answer is `Conflict` with that one.
    async fn create(&self, lease: &Lease) -> Result<WriteOutcome, StoreError>;

    /// Changes a row if the expectation holds, as [`Expect::holds`] and [`Patch::apply`](crate::Patch::apply) define it.
    async fn update(&self, write: &LeaseWrite) -> Result<WriteOutcome, StoreError>;

    /// Removes a row if the expectation holds; `Applied` gives the row that was removed.
    async fn delete(&self, key: &LeaseKey, expect: &Expect) -> Result<WriteOutcome, StoreError>;

    /// Reads what the workers of Java KCL keep beside the leases. In a table that they cannot share there is none of it.
    async fn coordination(&self) -> Result<Coordination, StoreError> {
        Ok(Coordination::default())
    }

    /// Puts a worker's metrics where the workers of Java KCL look for them, in place of those it published before. Where no such
    /// worker can look, nothing is written.
    async fn publish(&self, _metrics: &WorkerMetrics) -> Result<(), StoreError> {
        Ok(())
    }

    /// Removes the metrics that this worker published: it is about to end, and nobody should count on it.
    async fn withdraw(&self, _worker: &WorkerId) -> Result<(), StoreError> {
        Ok(())
    }
}
