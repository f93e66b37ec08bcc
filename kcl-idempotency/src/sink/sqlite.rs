//! [`SqliteSink`]: a sink in an SQLite file.

use std::{fmt, sync::Arc};

use kcl_core::{Batch, BoxError, Record, RecordPosition, SequenceNumber};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::Mutex;

use super::{Applied, SinkShard, TransactionalSink, beyond, last_position};

const CREATE: &str = "
CREATE TABLE IF NOT EXISTS kcl_applied (
    application         TEXT NOT NULL,
    stream              TEXT NOT NULL,
    shard               TEXT NOT NULL,
    sequence_number     TEXT NOT NULL,
    sub_sequence_number INTEGER NOT NULL,
    PRIMARY KEY (application, stream, shard)
) STRICT, WITHOUT ROWID;
";

/// A sink in an SQLite file of yours, with the positions in the table `kcl_applied`.
///
/// The effect is a closure that gets the transaction and the records that have had no effect yet, in order. It runs on tokio's
/// threads for blocking work, one batch at a time, and holds the file's write lock. If it fails or panics, nothing is changed and the
/// records come again.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # use kcl_runtime::testing::TestWorld;
/// # let world = TestWorld::new("orders", 1).await;
/// # let worker = world.worker("w1");
/// use std::sync::Arc;
/// use kcl_core::{ApplicationName, Record};
/// use kcl_idempotency::{rusqlite::{Connection, Transaction}, sink::{EffectivelyOnce, SqliteSink}};
///
/// let connection = Connection::open_in_memory()?; // a file, in earnest
/// connection.execute_batch("CREATE TABLE orders (data BLOB)")?;
/// let sink = SqliteSink::new(connection, |transaction: &Transaction<'_>, records: &[Record]| {
///     let mut insert = transaction.prepare_cached("INSERT INTO orders VALUES (?1)")?;
///     for record in records {
///         insert.execute([&record.data[..]])?;
///     }
///     Ok(())
/// })
/// .await?;
/// let worker = worker.processor(EffectivelyOnce::new(ApplicationName::new("billing")?, Arc::new(sink)));
/// # world.start(worker);
/// # world.put("customer-7", "two apples");
/// # world.until_idle().await;
/// # Ok(())
/// # }
/// ```
pub struct SqliteSink<F> {
    connection: Arc<Mutex<Connection>>,
    effect: Arc<F>,
}

impl<F> fmt::Debug for SqliteSink<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSink").finish_non_exhaustive()
    }
}

/// The database could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// SQLite says why.
    #[error("the table kcl_applied cannot be used")]
    Sqlite(#[from] rusqlite::Error),
    /// A stored position is none.
    #[error("the position of {shard:?} in the table kcl_applied is damaged; correct or delete the row")]
    Position {
        /// The shard that it is of.
        shard: SinkShard,
        /// What is wrong with it.
        source: BoxError,
    },
    /// The call did not come to its end: the runtime shut down, or the effect panicked.
    #[error("the call was lost")]
    Lost(#[source] BoxError),
}

impl<F> SqliteSink<F>
where
    F: Fn(&Transaction<'_>, &[Record]) -> Result<(), BoxError> + Send + Sync + 'static,
{
    /// A sink that writes through this connection, which is set up as you like. Creates the table of positions if it is not there.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub async fn new(connection: Connection, effect: F) -> Result<Self, SinkError> {
        let sink = Self {
            connection: Arc::new(Mutex::new(connection)),
            effect: Arc::new(effect),
        };
        sink.call(|connection| Ok::<_, SinkError>(connection.execute_batch(CREATE)?))
            .await?;
        Ok(sink)
    }

    /// How far a shard was applied; `None` if nothing was.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn position(&self, shard: &SinkShard) -> Result<Option<RecordPosition>, SinkError> {
        let shard = shard.clone();
        self.call(move |connection| select(connection, &shard)).await
    }

    /// Removes the position of a shard, so that whatever comes of it has its effect: for shards that are gone, or to apply
    /// everything again.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub async fn forget(&self, shard: &SinkShard) -> Result<(), SinkError> {
        let shard = shard.clone();
        self.call(move |connection| {
            connection.execute(
                "DELETE FROM kcl_applied WHERE application = ?1 AND stream = ?2 AND shard = ?3",
                params![
                    shard.application.as_str(),
                    shard.stream.to_string(),
                    shard.shard.as_str()
                ],
            )?;
            Ok(())
        })
        .await
    }

    /// Runs `work` away from the runtime's own threads.
    async fn call<T: Send + 'static, E: From<Lost> + Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let mut connection = Arc::clone(&self.connection).lock_owned().await;
        match tokio::task::spawn_blocking(move || work(&mut connection)).await {
            Ok(done) => done,
            Err(error) => Err(Lost(error.into()).into()),
        }
    }
}

/// A call that did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("the call was lost")]
struct Lost(#[source] BoxError);

impl From<Lost> for SinkError {
    fn from(Lost(source): Lost) -> Self {
        Self::Lost(source)
    }
}

/// What fails while a batch is applied: the table's errors, and the user's as they are.
struct ApplyFailure(BoxError);

impl<E: Into<BoxError>> From<E> for ApplyFailure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl<F> TransactionalSink for SqliteSink<F>
where
    F: Fn(&Transaction<'_>, &[Record]) -> Result<(), BoxError> + Send + Sync + 'static,
{
    async fn apply(&self, shard: &SinkShard, batch: &Batch) -> Result<Applied, BoxError> {
        let (shard, batch, effect) = (shard.clone(), batch.clone(), Arc::clone(&self.effect));
        let apply = move |connection: &mut Connection| {
            // The write lock first: nobody moves the position between the look at it and the commit.
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let fresh = beyond(&batch, select(&transaction, &shard)?.as_ref());
            if let Some(end) = last_position(&fresh) {
                effect(&transaction, &fresh).map_err(ApplyFailure)?;
                put(&transaction, &shard, &end)?;
                transaction.commit()?;
            }
            Ok(Applied {
                applied: fresh.len(),
                skipped: batch.len() - fresh.len(),
            })
        };
        self.call(apply).await.map_err(|ApplyFailure(error)| error)
    }
}

fn select(connection: &Connection, shard: &SinkShard) -> Result<Option<RecordPosition>, SinkError> {
    let mut select = connection.prepare_cached(
        "SELECT sequence_number, sub_sequence_number FROM kcl_applied
         WHERE application = ?1 AND stream = ?2 AND shard = ?3",
    )?;
    let key = params![
        shard.application.as_str(),
        shard.stream.to_string(),
        shard.shard.as_str()
    ];
    let found = select.query_row(key, |row| Ok((row.get(0)?, row.get(1)?)));
    let Some((sequence_number, sub_sequence_number)): Option<(String, i64)> = found.optional()? else {
        return Ok(None);
    };
    let damaged = |source| SinkError::Position {
        shard: shard.clone(),
        source,
    };
    Ok(Some(RecordPosition {
        sequence_number: SequenceNumber::new(sequence_number).map_err(|error| damaged(error.into()))?,
        sub_sequence_number: u64::try_from(sub_sequence_number).map_err(|error| damaged(error.into()))?,
    }))
}

fn put(connection: &Connection, shard: &SinkShard, position: &RecordPosition) -> Result<(), ApplyFailure> {
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO kcl_applied (application, stream, shard, sequence_number, sub_sequence_number)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    put.execute(params![
        shard.application.as_str(),
        shard.stream.to_string(),
        shard.shard.as_str(),
        position.sequence_number.as_str(),
        i64::try_from(position.sub_sequence_number)?,
    ])?;
    Ok(())
}
