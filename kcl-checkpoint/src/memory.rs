//! [`MemoryLeaseStore`]: the lease table of tests and simulations, and of fleets within one process.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use kcl_core::{Expect, Lease, LeaseKey, LeaseListing, LeaseStore, LeaseWrite, StoreError, WriteOutcome};

/// A lease table in memory. Clones share the table; it is gone when the last one is dropped.
///
/// Checkpoints do not survive the process: a worker that is started again begins at its initial position.
///
/// ```
/// use kcl_checkpoint::MemoryLeaseStore;
/// use kcl_core::{Lease, LeaseStore, Position, ShardId, WriteOutcome};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryLeaseStore::new();
/// let lease = Lease::new(ShardId::new("shardId-000000000000")?, Position::TrimHorizon);
/// assert_eq!(store.create(&lease).await?, WriteOutcome::Applied(lease.clone()));
///
/// let other_handle = store.clone();
/// assert_eq!(other_handle.get(&lease.key).await?, Some(lease));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryLeaseStore {
    table: Arc<Mutex<BTreeMap<LeaseKey, Lease>>>,
}

impl MemoryLeaseStore {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every change to the map is a single call, so a panic elsewhere cannot have left it half done: poison is no news.
    fn table(&self) -> MutexGuard<'_, BTreeMap<LeaseKey, Lease>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl LeaseStore for MemoryLeaseStore {
    async fn list(&self) -> Result<LeaseListing, StoreError> {
        Ok(self.table().values().cloned().collect())
    }

    async fn get(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        Ok(self.table().get(key).cloned())
    }

    async fn create(&self, lease: &Lease) -> Result<WriteOutcome, StoreError> {
        Ok(match self.table().entry(lease.key.clone()) {
            Entry::Occupied(stored) => WriteOutcome::Conflict(Some(stored.get().clone())),
            Entry::Vacant(place) => WriteOutcome::Applied(place.insert(lease.clone()).clone()),
        })
    }

    async fn update(&self, write: &LeaseWrite) -> Result<WriteOutcome, StoreError> {
        let mut table = self.table();
        let Some(stored) = table.get_mut(&write.key) else {
            return Ok(WriteOutcome::Conflict(None));
        };
        if !write.expect.holds(Some(stored)) {
            return Ok(WriteOutcome::Conflict(Some(stored.clone())));
        }
        *stored = write.patch.apply(stored);
        Ok(WriteOutcome::Applied(stored.clone()))
    }

    async fn delete(&self, key: &LeaseKey, expect: &Expect) -> Result<WriteOutcome, StoreError> {
        let mut table = self.table();
        Ok(match table.get(key).cloned() {
            Some(stored) if expect.holds(Some(&stored)) => {
                table.remove(key);
                WriteOutcome::Applied(stored)
            }
            stored => WriteOutcome::Conflict(stored),
        })
    }
}
