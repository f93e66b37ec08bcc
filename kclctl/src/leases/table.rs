//! The table that a command is about: scans and writes that are tried again, and whose lost answers are looked up.

use std::{future::Future, sync::Arc, time::Duration};

use kcl_core::{
    Expect, Lease, LeaseKey, LeaseListing, LeaseStore, LeaseWrite, StoreError, WriteOutcome, coordination::Coordination,
};

use super::{error::LeasesError, table_args::TableArgs};
use crate::error::Error;

/// How often a request is made, and the first pause; each one is twice the one before.
const ATTEMPTS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(100);

/// An open table.
#[derive(Debug)]
pub(crate) struct Table {
    store: Arc<dyn LeaseStore>,
}

impl Table {
    pub(super) fn new(store: Arc<dyn LeaseStore>) -> Self {
        Self { store }
    }

    pub(crate) async fn list(&self) -> Result<LeaseListing, Error> {
        Ok(again(|| self.store.list()).await?)
    }

    pub(crate) async fn coordination(&self) -> Result<Coordination, Error> {
        Ok(again(|| self.store.coordination()).await?)
    }

    pub(crate) async fn get(&self, key: &LeaseKey) -> Result<Option<Lease>, Error> {
        Ok(again(|| self.store.get(key)).await?)
    }

    /// Writes `before`. An answer that was lost is looked up: only the row as the write makes it proves that it was made.
    pub(crate) async fn update(&self, before: &Lease, write: &LeaseWrite) -> Result<WriteOutcome, Error> {
        let made = write.patch.apply(before);
        let mut lost = false;
        let mut attempt = 1;
        loop {
            match self.store.update(write).await {
                // A write whose answer was lost may take effect later than the look at its row.
                Ok(WriteOutcome::Conflict(Some(row))) if lost && row == made => return Ok(WriteOutcome::Applied(row)),
                Ok(outcome) => return Ok(outcome),
                Err(error) if error.may_have_applied() => match self.get(&write.key).await {
                    Ok(Some(row)) if row == made => return Ok(WriteOutcome::Applied(row)),
                    Ok(Some(row)) if row == *before && attempt < ATTEMPTS => lost = true,
                    Ok(row) if row.as_ref() != Some(before) => return Ok(WriteOutcome::Conflict(row)),
                    // The error of the look would say that nothing was changed.
                    Ok(_) | Err(_) => return Err(error.into()),
                },
                Err(error) if !error.is_retryable() || attempt == ATTEMPTS => return Err(error.into()),
                Err(_) => {}
            }
            pause(attempt).await;
            attempt += 1;
        }
    }

    /// Removes `row`, unless it changed.
    pub(crate) async fn delete(&self, row: &Lease) -> Result<WriteOutcome, Error> {
        let mut attempt = 1;
        loop {
            match self.store.delete(&row.key, &Expect::unchanged(row)).await {
                Ok(outcome) => return Ok(outcome),
                Err(error) if error.may_have_applied() => match self.get(&row.key).await {
                    Ok(None) => return Ok(WriteOutcome::Applied(row.clone())),
                    Ok(Some(there)) if there != *row => return Ok(WriteOutcome::Conflict(Some(there))),
                    Ok(Some(_)) if attempt < ATTEMPTS => {}
                    Ok(_) | Err(_) => return Err(error.into()),
                },
                Err(error) if !error.is_retryable() || attempt == ATTEMPTS => return Err(error.into()),
                Err(_) => {}
            }
            pause(attempt).await;
            attempt += 1;
        }
    }
}

/// The leases with these keys, in their order.
pub(crate) fn find(
    args: &TableArgs,
    listing: &LeaseListing,
    keys: &[LeaseKey],
) -> Result<Vec<Arc<Lease>>, LeasesError> {
    let mut found: Vec<Arc<Lease>> = Vec::new();
    for key in keys {
        if let Some(lease) = listing.leases.iter().find(|lease| lease.key == *key) {
            if !found.iter().any(|known| known.key == *key) {
                found.push(Arc::clone(lease));
            }
            continue;
        }
        let key = key.clone();
        let unreadable = listing.unreadable.iter().find(|row| row.key == key.as_str());
        return Err(match unreadable.map(|row| row.reason.clone()) {
            Some(reason) => LeasesError::Unreadable { key, reason },
            None => LeasesError::Unknown {
                key,
                table: args.clone(),
            },
        });
    }
    Ok(found)
}

pub(crate) async fn again<T, F>(mut request: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut attempt = 1;
    loop {
        match request().await {
            Err(error) if error.is_retryable() && attempt < ATTEMPTS => pause(attempt).await,
            result => return result,
        }
        attempt += 1;
    }
}

async fn pause(attempt: u32) {
    tokio::time::sleep(PAUSE * 2_u32.pow(attempt - 1)).await;
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use async_trait::async_trait;
    use kcl_checkpoint::MemoryLeaseStore;
    use kcl_core::{Position, StoreOperation};

    use super::*;

    /// What the first write and the first read come to.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Trouble {
        /// The answer to the write is lost, and the write takes effect only when the next one comes.
        Late,
        /// The answer to the write is lost, and its row cannot be read.
        Blind,
    }

    #[derive(Debug)]
    struct Troubled {
        inner: MemoryLeaseStore,
        trouble: Trouble,
        held_up: Mutex<Vec<LeaseWrite>>,
    }

    #[async_trait]
    impl LeaseStore for Troubled {
        async fn list(&self) -> Result<LeaseListing, StoreError> {
            self.inner.list().await
        }

        async fn get(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
            if self.trouble == Trouble::Blind {
                return Err(StoreError::Unusable {
                    problem: "the permission to read is missing".to_owned(),
                    source: None,
                });
            }
            self.inner.get(key).await
        }

        async fn create(&self, lease: &Lease) -> Result<WriteOutcome, StoreError> {
            self.inner.create(lease).await
        }

        async fn update(&self, write: &LeaseWrite) -> Result<WriteOutcome, StoreError> {
            let held_up = self.held_up.lock().unwrap_or_else(PoisonError::into_inner).pop();
            if let Some(earlier) = held_up {
                let _ = self.inner.update(&earlier).await?;
                return self.inner.update(write).await;
            }
            let held_up = self.held_up.lock();
            held_up.unwrap_or_else(PoisonError::into_inner).push(write.clone());
            Err(StoreError::Ambiguous {
                operation: StoreOperation::Update,
                source: "lost".into(),
            })
        }

        async fn delete(&self, key: &LeaseKey, expect: &Expect) -> Result<WriteOutcome, StoreError> {
            self.inner.delete(key, expect).await
        }
    }

    async fn write_in(trouble: Trouble) -> Result<WriteOutcome, Error> {
        let lease = Lease::new("shardId-000000000000".parse().unwrap(), Position::Latest);
        let inner = MemoryLeaseStore::new();
        let _ = inner.create(&lease).await.unwrap();
        let held_up = Mutex::default();
        let store = Arc::new(Troubled {
            inner,
            trouble,
            held_up,
        });
        let to = Some(Position::TrimHorizon);
        Table { store }.update(&lease, &LeaseWrite::release(&lease, to)).await
    }

    #[tokio::test(flavor = "current_thread")]
    async fn given_a_write_that_takes_effect_after_the_look_when_made_again_then_it_counts_as_made() {
        let outcome = write_in(Trouble::Late).await.unwrap();
        assert!(
            matches!(&outcome, WriteOutcome::Applied(row) if row.checkpoint == Position::TrimHorizon),
            "{outcome:?}"
        );
    }

    #[tokio::test(flavor = "current_thread")]
    async fn given_a_lost_answer_and_a_row_that_cannot_be_read_when_written_then_the_error_does_not_say_unchanged() {
        let error = write_in(Trouble::Blind).await.unwrap_err();
        assert!(error.to_string().contains("may have happened"), "{error}");
    }
}
