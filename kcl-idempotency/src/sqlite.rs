//! [`SqliteIdempotencyStore`]: a memory in one file, shared by the processes of one machine.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use kcl_core::{BoxError, Timestamp};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::Mutex;

use crate::{
    key::IdempotencyKey,
    row::{COMPLETED, IN_PROGRESS, Row, Status, seconds},
    store::{Begun, Claim, Completion, IdempotencyStore, IdempotencyStoreError, Lock, Recorded, StoreStep},
};

/// Columns are named and mean what the attributes of Powertools' table do.
const CREATE: &str = "
CREATE TABLE IF NOT EXISTS idempotency (
    id                     TEXT NOT NULL PRIMARY KEY,
    status                 TEXT NOT NULL,
    expiration             INTEGER,
    in_progress_expiration INTEGER,
    data                   TEXT,
    validation             TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idempotency_expiration ON idempotency (expiration);
";

/// How long a call waits for other processes: well above what a write takes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many expired rows every new one takes with it: more than one, so that the file does not grow for ever.
const CLEANED_PER_CLAIM: u32 = 4;

/// A memory in an SQLite file: the table `idempotency`, in a file of its own or beside tables of yours. Clones share the
/// connection; processes share the file, which must be on a local disk. Expired rows are removed as new ones come.
///
/// An acknowledged write survives the end of the process, and the loss of power as far as the disk keeps its word.
///
/// ```
/// use kcl_idempotency::SqliteIdempotencyStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("done.db");
/// let store = SqliteIdempotencyStore::open(&path).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteIdempotencyStore {
    path: Arc<PathBuf>,
    /// An asynchronous lock, so that a hundred waiting calls hold no thread.
    connection: Arc<Mutex<Connection>>,
}

/// A step that failed, before it is known for which file.
enum Failure {
    Sqlite(rusqlite::Error),
    Row { problem: String },
    Lost(BoxError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl SqliteIdempotencyStore {
    /// Opens the file at `path`; creates it and the table if they are not there.
    ///
    /// # Errors
    /// [`IdempotencyStoreError::Unusable`] if the file is no SQLite database, or cannot be opened or written.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, IdempotencyStoreError> {
        let path = Arc::new(path.into());
        let opened = blocking({
            let path = Arc::clone(&path);
            move || open(&path)
        });
        let connection = opened
            .await
            .map_err(|failure| failed(failure, StoreStep::Open, &path))?;
        Ok(Self {
            path,
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    /// Runs `step` in a transaction that holds the file's write lock, away from the runtime's own threads.
    async fn write<T: Send + 'static>(
        &self,
        step: StoreStep,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, IdempotencyStoreError> {
        let mut connection = Arc::clone(&self.connection).lock_owned().await;
        let done = blocking(move || {
            // The lock first: a transaction that read before it wrote could find its row changed in between.
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = work(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        });
        done.await.map_err(|failure| failed(failure, step, &self.path))
    }
}

#[async_trait]
impl IdempotencyStore for SqliteIdempotencyStore {
    async fn begin(&self, claim: &Claim) -> Result<Begun, IdempotencyStoreError> {
        let claim = claim.clone();
        let begin = move |transaction: &Transaction<'_>| {
            if let Some(row) = select(transaction, &claim.key)?
                && !row.is_free(claim.now)
            {
                return Ok(row.answer(&claim));
            }
            clean(transaction, claim.now)?;
            put(transaction, &claim.key, &Row::claimed(&claim))?;
            Ok(Begun::Started(Lock {
                key: claim.key,
                until: claim.lock_until,
            }))
        };
        self.write(StoreStep::Begin, begin).await
    }

    async fn complete(&self, completion: &Completion) -> Result<Recorded, IdempotencyStoreError> {
        let completion = completion.clone();
        let complete = move |transaction: &Transaction<'_>| {
            let key = &completion.lock.key;
            let stored = select(transaction, key)?;
            if let Some(result) = stored.as_ref().and_then(|row| row.standing_result(completion.now)) {
                return Ok(Recorded::Earlier(result.clone()));
            }
            put(transaction, key, &Row::completed(&completion))?;
            Ok(Recorded::Stored)
        };
        self.write(StoreStep::Complete, complete).await
    }

    async fn forget(&self, lock: &Lock) -> Result<(), IdempotencyStoreError> {
        let lock = lock.clone();
        let forget = move |transaction: &Transaction<'_>| {
            let mut delete = transaction.prepare_cached(
                "DELETE FROM idempotency WHERE id = ?1 AND status = ?2 AND in_progress_expiration = ?3",
            )?;
            delete.execute(params![lock.key.as_str(), IN_PROGRESS, lock.until.epoch_millis()])?;
            Ok(())
        };
        self.write(StoreStep::Forget, forget).await
    }
}

fn open(path: &Path) -> Result<Connection, Failure> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Answers with the mode: a file system without it keeps the old one, which works too, more slowly. If another process is
    // switching right now, SQLite says so without waiting, and there is nothing left to do.
    match connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {}
        switched => switched?,
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(CREATE)?;
    Ok(connection)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Failure::Lost(error.into())),
    }
}

fn failed(failure: Failure, step: StoreStep, path: &Path) -> IdempotencyStoreError {
    let file = path.display();
    match failure {
        Failure::Sqlite(error) => match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => IdempotencyStoreError::Unusable {
                problem: format!(
                    "{file} is not an SQLite database; give the path of one, or of a file that does not exist"
                ),
                source: Some(error.into()),
            },
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                IdempotencyStoreError::Unusable {
                    problem: format!(
                        "{file} cannot be opened for writing; check that its directory exists and may be written to"
                    ),
                    source: Some(error.into()),
                }
            }
            Some(ErrorCode::DatabaseCorrupt) => IdempotencyStoreError::Unusable {
                problem: format!("{file} is damaged; restore it from a backup"),
                source: Some(error.into()),
            },
            _ => IdempotencyStoreError::Unavailable {
                step,
                source: error.into(),
            },
        },
        Failure::Row { problem } => IdempotencyStoreError::Unusable {
            problem: format!("{file}: {problem}; correct or delete the row"),
            source: None,
        },
        Failure::Lost(source) => IdempotencyStoreError::Unavailable { step, source },
    }
}

fn select(connection: &Connection, key: &IdempotencyKey) -> Result<Option<Row>, Failure> {
    let mut select = connection.prepare_cached(
        "SELECT status, expiration, in_progress_expiration, data, validation FROM idempotency WHERE id = ?1",
    )?;
    let found = select.query_row([key.as_str()], |row| {
        let status: String = row.get(0)?;
        let until: Option<i64> = row.get(2)?;
        let status = match status.as_str() {
            IN_PROGRESS => Ok(Status::InProgress {
                until: until.map(Timestamp::from_epoch_millis),
            }),
            COMPLETED => Ok(Status::Completed { result: row.get(3)? }),
            _ => Err(status),
        };
        Ok((status, row.get(1)?, row.get(4)?))
    });
    match found.optional()? {
        None => Ok(None),
        Some((Ok(status), expiration, validation)) => Ok(Some(Row {
            status,
            expiration,
            validation,
        })),
        Some((Err(status), ..)) => Err(Failure::Row {
            problem: format!(
                "the row {key:?} has the status {status:?}, which is neither {IN_PROGRESS} nor {COMPLETED}"
            ),
        }),
    }
}

fn put(connection: &Connection, key: &IdempotencyKey, row: &Row) -> Result<(), Failure> {
    let (status, until, data) = match &row.status {
        Status::InProgress { until } => (IN_PROGRESS, until.map(Timestamp::epoch_millis), None),
        Status::Completed { result } => (COMPLETED, None, result.as_deref()),
    };
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO idempotency (id, status, expiration, in_progress_expiration, data, validation)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    put.execute(params![
        key.as_str(),
        status,
        row.expiration,
        until,
        data,
        row.validation
    ])?;
    Ok(())
}

fn clean(connection: &Connection, now: Timestamp) -> Result<(), Failure> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM idempotency WHERE id IN (SELECT id FROM idempotency WHERE expiration < ?1 LIMIT ?2)",
    )?;
    delete.execute(params![seconds(now), CLEANED_PER_CLAIM])?;
    Ok(())
}
