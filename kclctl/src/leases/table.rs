//! The table that a command is about: scans and writes that are tried again, and whose lost answers are looked up.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use kcl_core::{
    ApplicationName, Expect, Lease, LeaseKey, LeaseListing, LeaseStore, LeaseWrite, StoreError, WriteOutcome,
};

use super::error::LeasesError;
use crate::{aws::ConnectionArgs, error::Error, lease_table::LeaseTable};

/// How often a request is made, and the first pause; each one is twice the one before.
const ATTEMPTS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(100);

/// Which table, and whose leases in it.
#[derive(Debug, clap::Args)]
pub(crate) struct TableArgs {
    /// The application, as `kclctl consume --app` or the worker names it.
    #[arg(long, value_name = "NAME")]
    pub(crate) app: ApplicationName,

    /// The lease table: `sqlite:PATH`, `dynamodb:NAME`, or `dynamodb`, where the table has the application's name.
    #[arg(long, value_name = "TABLE")]
    pub(crate) lease_table: LeaseTable,
}

impl TableArgs {
    /// Opens the table, which must exist.
    pub(crate) async fn open(&self, connection: &ConnectionArgs) -> Result<Table, Error> {
        if self.lease_table == LeaseTable::Memory {
            let problem = "the lease table `memory` lives in its worker and cannot be looked at; use sqlite:PATH or \
                           dynamodb:NAME";
            return Err(Error::Usage(problem.to_owned()));
        }
        let store = self.lease_table.open_existing(&self.app, connection).await?;
        Ok(Table { store })
    }
}

impl fmt::Display for TableArgs {
    /// As options of a command.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (app, table) = (self.app.as_str(), self.lease_table.to_string());
        write!(f, "--app {} --lease-table {}", quoted(app), quoted(&table))
    }
}

/// A word that a shell takes as it is.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=@,+".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// An open table.
#[derive(Debug)]
pub(crate) struct Table {
    store: Arc<dyn LeaseStore>,
}

impl Table {
    pub(crate) async fn list(&self) -> Result<LeaseListing, Error> {
        Ok(again(|| self.store.list()).await?)
    }

    pub(crate) async fn get(&self, key: &LeaseKey) -> Result<Option<Lease>, Error> {
        Ok(again(|| self.store.get(key)).await?)
    }

    /// Writes `before`. An answer that was lost is looked up: only the row as the write makes it proves that it was made.
    pub(crate) async fn update(&self, before: &Lease, write: &LeaseWrite) -> Result<WriteOutcome, Error> {
        let mut attempt = 1;
        loop {
            match self.store.update(write).await {
                Ok(outcome) => return Ok(outcome),
                Err(error) if !error.is_retryable() || attempt == ATTEMPTS => return Err(error.into()),
                Err(error) if error.may_have_applied() => match self.get(&write.key).await? {
                    Some(row) if row == write.patch.apply(before) => return Ok(WriteOutcome::Applied(row)),
                    Some(row) if row == *before => {}
                    row => return Ok(WriteOutcome::Conflict(row)),
                },
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
                Err(error) if !error.is_retryable() || attempt == ATTEMPTS => return Err(error.into()),
                Err(error) if error.may_have_applied() => match self.get(&row.key).await? {
                    None => return Ok(WriteOutcome::Applied(row.clone())),
                    Some(there) if there == *row => {}
                    there => return Ok(WriteOutcome::Conflict(there)),
                },
                Err(_) => {}
            }
            pause(attempt).await;
            attempt += 1;
        }
    }
}

/// The leases with these keys, in their order.
pub(crate) fn find(listing: &LeaseListing, keys: &[LeaseKey]) -> Result<Vec<Arc<Lease>>, LeasesError> {
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
            None => LeasesError::Unknown { key },
        });
    }
    Ok(found)
}

async fn again<T, F>(mut request: impl FnMut() -> F) -> Result<T, StoreError>
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
    use super::*;

    #[test]
    fn given_words_when_quoted_then_a_shell_takes_each_as_one() {
        assert_eq!(quoted("sqlite:/a/b.db"), "sqlite:/a/b.db");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
