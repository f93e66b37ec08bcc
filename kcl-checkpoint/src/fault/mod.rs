//! [`FaultyLeaseStore`]: a lease store with the troubles of a real one, on request and by seed.

mod plan;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use kcl_core::{
    Expect, Lease, LeaseKey, LeaseListing, LeaseStore, LeaseWrite, StoreError, StoreOperation, WorkerId, WriteOutcome,
    coordination::{Coordination, WorkerMetrics},
};

use self::plan::Verdict;
pub use self::plan::{Fault, FaultPlan, FaultRule};
use crate::observe::StoreCounts;

/// What faulty answers name as their cause, so that a test can tell them from real trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InjectedFault;

impl fmt::Display for InjectedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fault that was injected")
    }
}

impl std::error::Error for InjectedFault {}

/// A lease store that fails as its [`FaultPlan`] says, and otherwise does what the store inside does.
///
/// Without a plan it is the store inside. The same seed, the same rules and the same order of calls give the same faults.
/// Give every worker of a fleet its own wrapper around a shared store: then each has its own network.
///
/// ```
/// use std::sync::Arc;
///
/// use kcl_checkpoint::{Fault, FaultRule, FaultyLeaseStore, MemoryLeaseStore};
/// use kcl_core::{Lease, LeaseStore, Position, ShardId, StoreOperation};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = FaultyLeaseStore::new(Arc::new(MemoryLeaseStore::new()), 42);
/// let plan = store.plan().clone();
/// plan.add(FaultRule::new(Fault::LoseAnswer).on(StoreOperation::Create).times(1));
///
/// let lease = Lease::new(ShardId::new("shardId-000000000000")?, Position::TrimHorizon);
/// let lost = store.create(&lease).await.unwrap_err();
/// assert!(lost.may_have_applied());
/// assert_eq!(store.get(&lease.key).await?, Some(lease));
///
/// plan.start_outage();
/// assert!(store.list().await.is_err_and(|error| error.is_retryable()));
/// plan.end_outage();
/// assert!(store.list().await.is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FaultyLeaseStore {
    inner: Arc<dyn LeaseStore>,
    plan: FaultPlan,
    counts: StoreCounts,
    /// The last listing that the store inside gave.
    previous: Arc<Mutex<Option<LeaseListing>>>,
}

impl FaultyLeaseStore {
    /// A store around `inner` without faults yet; `seed` decides the draws of rules that have a probability.
    #[must_use]
    pub fn new(inner: Arc<dyn LeaseStore>, seed: u64) -> Self {
        Self::with_plan(inner, FaultPlan::new(seed))
    }

    /// A store around `inner` that fails as `plan` says. Stores that share a plan share its draws and its outage.
    #[must_use]
    pub fn with_plan(inner: Arc<dyn LeaseStore>, plan: FaultPlan) -> Self {
        Self {
            inner,
            plan,
            counts: StoreCounts::new(),
            previous: Arc::default(),
        }
    }

    /// The plan, to be cloned and changed while the store is in use.
    #[must_use]
    pub const fn plan(&self) -> &FaultPlan {
        &self.plan
    }

    /// How the calls ended, as the caller saw it.
    #[must_use]
    pub const fn counts(&self) -> &StoreCounts {
        &self.counts
    }

    /// Waits if the plan says so, then tells how the call goes on.
    async fn verdict(&self, operation: StoreOperation, key: Option<&LeaseKey>) -> Result<Verdict, StoreError> {
        let (delay, verdict) = self.plan.judge(operation, key);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        // An outage that began during the wait meets the call as well.
        if self.plan.is_out() {
            return Err(unavailable(operation));
        }
        match verdict {
            Verdict::Unavailable => Err(unavailable(operation)),
            Verdict::Throttled => Err(StoreError::Throttled { operation }),
            other => Ok(other),
        }
    }

    async fn faulty_list(&self) -> Result<LeaseListing, StoreError> {
        let verdict = self.verdict(StoreOperation::List, None).await?;
        let previous = || self.previous.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Verdict::StaleList, Some(listing)) = (verdict, previous().clone()) {
            return Ok(listing);
        }
        let listing = self.inner.list().await?;
        *previous() = Some(listing.clone());
        lose_read(verdict, StoreOperation::List)?;
        Ok(listing)
    }

    async fn faulty_get(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        let verdict = self.verdict(StoreOperation::Get, Some(key)).await?;
        let row = self.inner.get(key).await?;
        lose_read(verdict, StoreOperation::Get)?;
        Ok(row)
    }

    async fn faulty_coordination(&self) -> Result<Coordination, StoreError> {
        let verdict = self.verdict(StoreOperation::Coordinate, None).await?;
        let coordination = self.inner.coordination().await?;
        lose_read(verdict, StoreOperation::Coordinate)?;
        Ok(coordination)
    }

    async fn faulty_write<T, Written>(
        &self,
        operation: StoreOperation,
        key: Option<&LeaseKey>,
        write: Written,
    ) -> Result<T, StoreError>
    where
        T: Send,
        Written: Future<Output = Result<T, StoreError>> + Send,
    {
        let verdict = self.verdict(operation, key).await?;
        let outcome = write.await?;
        match verdict {
            Verdict::LoseAnswer => Err(StoreError::Ambiguous {
                operation,
                source: InjectedFault.into(),
            }),
            _ => Ok(outcome),
        }
    }
}

fn unavailable(operation: StoreOperation) -> StoreError {
    StoreError::Unavailable {
        operation,
        source: InjectedFault.into(),
    }
}

/// A read whose answer is lost has changed nothing.
fn lose_read(verdict: Verdict, operation: StoreOperation) -> Result<(), StoreError> {
    match verdict {
        Verdict::LoseAnswer => Err(unavailable(operation)),
        _ => Ok(()),
    }
}

#[async_trait]
impl LeaseStore for FaultyLeaseStore {
    async fn list(&self) -> Result<LeaseListing, StoreError> {
        let answer = self.faulty_list().await;
        self.counts.read(StoreOperation::List, &answer);
        answer
    }

    async fn get(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        let answer = self.faulty_get(key).await;
        self.counts.read(StoreOperation::Get, &answer);
        answer
    }

    async fn create(&self, lease: &Lease) -> Result<WriteOutcome, StoreError> {
        let write = self.inner.create(lease);
        let answer = self.faulty_write(StoreOperation::Create, Some(&lease.key), write).await;
        self.counts.write(StoreOperation::Create, &answer);
        answer
    }

    async fn update(&self, write: &LeaseWrite) -> Result<WriteOutcome, StoreError> {
        let key = &write.key;
        let write = self.inner.update(write);
        let answer = self.faulty_write(StoreOperation::Update, Some(key), write).await;
        self.counts.write(StoreOperation::Update, &answer);
        answer
    }

    async fn delete(&self, key: &LeaseKey, expect: &Expect) -> Result<WriteOutcome, StoreError> {
        let write = self.inner.delete(key, expect);
        let answer = self.faulty_write(StoreOperation::Delete, Some(key), write).await;
        self.counts.write(StoreOperation::Delete, &answer);
        answer
    }

    async fn coordination(&self) -> Result<Coordination, StoreError> {
        let answer = self.faulty_coordination().await;
        self.counts.read(StoreOperation::Coordinate, &answer);
        answer
    }

    async fn publish(&self, metrics: &WorkerMetrics) -> Result<(), StoreError> {
        let write = self.inner.publish(metrics);
        let answer = self.faulty_write(StoreOperation::Publish, None, write).await;
        self.counts.publication(&answer);
        answer
    }

    async fn withdraw(&self, worker: &WorkerId) -> Result<(), StoreError> {
        let write = self.inner.withdraw(worker);
        let answer = self.faulty_write(StoreOperation::Publish, None, write).await;
        self.counts.publication(&answer);
        answer
    }
}
