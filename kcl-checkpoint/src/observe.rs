//! [`ObservedLeaseStore`]: counts what is asked of a store and how it answers.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use kcl_core::{
    Expect, Lease, LeaseKey, LeaseListing, LeaseStore, LeaseWrite, StoreError, StoreOperation, WorkerId, WriteOutcome,
    coordination::{Coordination, WorkerMetrics},
};

/// How a call on a lease store ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CallOutcome {
    /// A read was answered.
    Read,
    /// A write was applied.
    Applied,
    /// A write was refused, because its condition did not hold.
    Conflict,
    /// The table could not be reached.
    Unavailable,
    /// The table asked for fewer requests.
    Throttled,
    /// The answer was lost.
    Ambiguous,
    /// The table cannot be used.
    Unusable,
    /// Some other error.
    Failed,
}

impl CallOutcome {
    /// The name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Applied => "applied",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::Throttled => "throttled",
            Self::Ambiguous => "ambiguous",
            Self::Unusable => "unusable",
            Self::Failed => "failed",
        }
    }

    const fn of_error(error: &StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } => Self::Unavailable,
            StoreError::Throttled { .. } => Self::Throttled,
            StoreError::Ambiguous { .. } => Self::Ambiguous,
            StoreError::Unusable { .. } => Self::Unusable,
            _ => Self::Failed,
        }
    }

    fn of_read<T>(answer: &Result<T, StoreError>) -> Self {
        answer.as_ref().map_or_else(Self::of_error, |_| Self::Read)
    }

    fn of_write(answer: &Result<WriteOutcome, StoreError>) -> Self {
        match answer {
            Ok(WriteOutcome::Applied(_)) => Self::Applied,
            Ok(WriteOutcome::Conflict(_)) => Self::Conflict,
            Err(error) => Self::of_error(error),
        }
    }
}

impl fmt::Display for CallOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Counts of calls by operation and outcome. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct StoreCounts {
    counts: Arc<Mutex<BTreeMap<(StoreOperation, CallOutcome), u64>>>,
}

impl StoreCounts {
    /// Counts that start at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How often `operation` ended in `outcome`.
    #[must_use]
    pub fn count(&self, operation: StoreOperation, outcome: CallOutcome) -> u64 {
        self.lock().get(&(operation, outcome)).copied().unwrap_or(0)
    }

    /// How often `operation` was called, however it ended.
    #[must_use]
    pub fn calls(&self, operation: StoreOperation) -> u64 {
        self.sum(|called, _| called == operation)
    }

    /// How often a call ended in `outcome`, whatever the operation.
    #[must_use]
    pub fn outcomes(&self, outcome: CallOutcome) -> u64 {
        self.sum(|_, ended| ended == outcome)
    }

    /// How many calls there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.sum(|_, _| true)
    }

    /// All counts that are not zero, in order.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<(StoreOperation, CallOutcome), u64> {
        self.lock().clone()
    }

    /// Starts again from zero, and gives the counts until now.
    #[must_use = "the counts are gone otherwise; drop them if that is wanted"]
    pub fn take(&self) -> BTreeMap<(StoreOperation, CallOutcome), u64> {
        std::mem::take(&mut *self.lock())
    }

    pub(crate) fn read<T>(&self, operation: StoreOperation, answer: &Result<T, StoreError>) {
        self.add(operation, CallOutcome::of_read(answer));
    }

    pub(crate) fn write(&self, operation: StoreOperation, answer: &Result<WriteOutcome, StoreError>) {
        self.add(operation, CallOutcome::of_write(answer));
    }

    /// Metrics that are published or withdrawn: nothing is expected of what they replace, so that none is refused.
    pub(crate) fn publication(&self, answer: &Result<(), StoreError>) {
        let outcome = answer
            .as_ref()
            .map_or_else(CallOutcome::of_error, |()| CallOutcome::Applied);
        self.add(StoreOperation::Publish, outcome);
    }

    fn add(&self, operation: StoreOperation, outcome: CallOutcome) {
        *self.lock().entry((operation, outcome)).or_default() += 1;
    }

    fn sum(&self, counted: impl Fn(StoreOperation, CallOutcome) -> bool) -> u64 {
        let counts = self.lock();
        let chosen = counts
            .iter()
            .filter(|((operation, outcome), _)| counted(*operation, *outcome));
        chosen.map(|(_, count)| count).sum()
    }

    /// Every change is a single call on the map: poison is no news.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(StoreOperation, CallOutcome), u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lease store that counts the calls that it passes on, when they are answered.
///
/// ```
/// use std::sync::Arc;
///
/// use kcl_checkpoint::{CallOutcome, MemoryLeaseStore, ObservedLeaseStore};
/// use kcl_core::{LeaseStore, StoreOperation};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), kcl_core::StoreError> {
/// let store = ObservedLeaseStore::new(Arc::new(MemoryLeaseStore::new()));
/// let counts = store.counts().clone();
/// store.list().await?;
/// assert_eq!(counts.count(StoreOperation::List, CallOutcome::Read), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ObservedLeaseStore {
    inner: Arc<dyn LeaseStore>,
    counts: StoreCounts,
}

impl ObservedLeaseStore {
    /// Counts the calls on `inner` from zero.
    #[must_use]
    pub fn new(inner: Arc<dyn LeaseStore>) -> Self {
        Self::with_counts(inner, StoreCounts::new())
    }

    /// Adds the calls on `inner` to `counts`, for instance those of the whole fleet.
    #[must_use]
    pub fn with_counts(inner: Arc<dyn LeaseStore>, counts: StoreCounts) -> Self {
        Self { inner, counts }
    }

    /// The counts.
    #[must_use]
    pub const fn counts(&self) -> &StoreCounts {
        &self.counts
    }
}

#[async_trait]
impl LeaseStore for ObservedLeaseStore {
    async fn list(&self) -> Result<LeaseListing, StoreError> {
        let answer = self.inner.list().await;
        self.counts.read(StoreOperation::List, &answer);
        answer
    }

    async fn get(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        let answer = self.inner.get(key).await;
        self.counts.read(StoreOperation::Get, &answer);
        answer
    }

    async fn create(&self, lease: &Lease) -> Result<WriteOutcome, StoreError> {
        let answer = self.inner.create(lease).await;
        self.counts.write(StoreOperation::Create, &answer);
        answer
    }

    async fn update(&self, write: &LeaseWrite) -> Result<WriteOutcome, StoreError> {
        let answer = self.inner.update(write).await;
        self.counts.write(StoreOperation::Update, &answer);
        answer
    }

    async fn delete(&self, key: &LeaseKey, expect: &Expect) -> Result<WriteOutcome, StoreError> {
        let answer = self.inner.delete(key, expect).await;
        self.counts.write(StoreOperation::Delete, &answer);
        answer
    }

    async fn coordination(&self) -> Result<Coordination, StoreError> {
        let answer = self.inner.coordination().await;
        self.counts.read(StoreOperation::Coordinate, &answer);
        answer
    }

    async fn publish(&self, metrics: &WorkerMetrics) -> Result<(), StoreError> {
        let answer = self.inner.publish(metrics).await;
        self.counts.publication(&answer);
        answer
    }

    async fn withdraw(&self, worker: &WorkerId) -> Result<(), StoreError> {
        let answer = self.inner.withdraw(worker).await;
        self.counts.publication(&answer);
        answer
    }
}
