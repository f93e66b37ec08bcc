//! [`MemoryIdempotencyStore`]: a memory that lives as long as the process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use kcl_core::Timestamp;

use crate::{
    key::IdempotencyKey,
    row::Row,
    store::{Begun, Claim, Completion, IdempotencyStore, IdempotencyStoreError, Lock, Recorded},
};

/// How many rows there are before expired ones are looked for.
const ROWS_BEFORE_CLEANING: usize = 1024;

/// A memory in this process. Clones share it. For tests, and for work that need not outlive the process: after a crash nothing is
/// known. It holds what has not expired, and not more than as much again of what has.
#[derive(Clone, Debug, Default)]
pub struct MemoryIdempotencyStore {
    rows: Arc<Mutex<Rows>>,
}

#[derive(Debug, Default)]
struct Rows {
    by_key: BTreeMap<IdempotencyKey, Row>,
    /// How many were left by the last cleaning.
    cleaned: usize,
}

impl Rows {
    /// Looks for expired rows when there are twice as many as last time, so that a row is looked at about once.
    fn clean(&mut self, now: Timestamp) {
        if self.by_key.len() >= ROWS_BEFORE_CLEANING.max(self.cleaned.saturating_mul(2)) {
            self.by_key.retain(|_, row| !row.is_expired(now));
            self.cleaned = self.by_key.len();
        }
    }
}

impl MemoryIdempotencyStore {
    /// An empty memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing panics while it holds the lock: poison is no news.
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl IdempotencyStore for MemoryIdempotencyStore {
    async fn begin(&self, claim: &Claim) -> Result<Begun, IdempotencyStoreError> {
        let mut rows = self.rows();
        if let Some(row) = rows.by_key.get(&claim.key)
            && !row.is_free(claim.now)
        {
            return Ok(row.answer(claim));
        }
        rows.clean(claim.now);
        rows.by_key.insert(claim.key.clone(), Row::claimed(claim));
        Ok(Begun::Started(Lock {
            key: claim.key.clone(),
            until: claim.lock_until,
        }))
    }

    async fn complete(&self, completion: &Completion) -> Result<Recorded, IdempotencyStoreError> {
        let mut rows = self.rows();
        let key = &completion.lock.key;
        if let Some(result) = rows.by_key.get(key).and_then(|row| row.standing_result(completion.now)) {
            return Ok(Recorded::Earlier(result.clone()));
        }
        rows.by_key.insert(key.clone(), Row::completed(completion));
        Ok(Recorded::Stored)
    }

    async fn forget(&self, lock: &Lock) -> Result<(), IdempotencyStoreError> {
        let mut rows = self.rows();
        if rows.by_key.get(&lock.key).is_some_and(|row| row.is_locked_by(lock)) {
            rows.by_key.remove(&lock.key);
        }
        Ok(())
    }
}
