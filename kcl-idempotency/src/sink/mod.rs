//! Effectively once: the position in the transaction of the effect.
//!
//! Where all effects of a consumer are writes to one database, the database itself can keep how far each shard was applied. One
//! transaction reads that position, leaves out the records at or below it, applies the others, and moves the position. Records
//! still come at least once, and each has its effect once: after a crash at any point the transaction was committed as a whole
//! or not at all. An old worker that does not know yet that its lease is gone does no harm either, since the position is read in
//! the same transaction.
//!
//! [`TransactionalSink`] is such a database; [`SqliteSink`] is one; [`EffectivelyOnce`] makes processors for a worker out of
//! it. The lease table's checkpoint only says from where to read.
//!
//! What to know:
//!
//! - **Per shard.** The position is that of one shard: of the record's sequence number, and, inside of an aggregate, its
//!   sub-sequence number. Both only grow within a shard. That holds where records come in the order of the shard:
//!   with processors. It does not hold for functions that work on several keys of a shard at once, for records that are
//!   given up and delivered again later, or for replays: what lies below the position is left out, whether it was applied or not.
//! - **Resharding.** Children are shards with positions of their own, which begin empty. A worker begins a child when everything of
//!   its parents was applied. The parent's position stays in the database and does no harm; [`SqliteSink::forget`] removes it.
//! - **Reading again on purpose** (seeking back) has no effect, unless the positions are removed with the effects.
//! - **Streams that are created again** under their old name start with other shards' positions if their shards have the same ids.
//!   Sequence numbers grow with time, so that new ones lie above; still, remove the positions of a stream that is gone.

mod processor;
mod sqlite;

use kcl_core::{ApplicationName, Batch, BoxError, LeaseStream, RecordPosition, ShardId};

pub use self::{
    processor::{EffectivelyOnce, SinkProcessor},
    sqlite::{SinkError, SqliteSink},
};

/// A shard, as an application knows it: what a position is kept for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct SinkShard {
    /// The application: two that write to one database have positions of their own.
    pub application: ApplicationName,
    /// The stream; with its account and time of creation where the worker reads several.
    pub stream: LeaseStream,
    /// The shard.
    pub shard: ShardId,
}

impl SinkShard {
    /// A shard of a stream, as an application knows it.
    #[must_use]
    pub fn new(application: ApplicationName, stream: impl Into<LeaseStream>, shard: ShardId) -> Self {
        Self {
            application,
            stream: stream.into(),
            shard,
        }
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// How many records had their effect now.
    pub applied: usize,
    /// How many had had it before.
    pub skipped: usize,
}

/// A database that keeps effects, and how far each shard was applied, and changes both together.
///
/// An implementation does all of this in one transaction that is serializable for the row of the shard (with a lock on it, or
/// `SERIALIZABLE`), and is rolled back if any step fails:
///
/// 1. read the position of `shard`, `None` if there is none;
/// 2. [`beyond`] says which records are left; if there are none, that is all;
/// 3. apply them;
/// 4. write the position of the last one, from [`last_position`].
///
/// Sequence numbers are decimals of up to 128 digits: keep them as text, and compare them as
/// [`SequenceNumber`](kcl_core::SequenceNumber)s, not in SQL. With a pool of a database on the network, the two statements about the position
/// are `SELECT sequence_number, sub_sequence_number FROM applied WHERE ... FOR UPDATE` and an upsert.
pub trait TransactionalSink: Send + Sync + 'static {
    /// Applies the records of `batch` that lie beyond the shard's position, and moves the position to its end.
    ///
    /// An error means that nothing was changed, or that it is not known whether all was: the same records come again.
    fn apply(&self, shard: &SinkShard, batch: &Batch) -> impl Future<Output = Result<Applied, BoxError>> + Send;
}

/// The records of a batch beyond a position: those that have had no effect yet.
///
/// ```
/// use kcl_core::{Batch, Record, RecordPosition, ShardId, StreamName, Timestamp};
/// use kcl_idempotency::sink::beyond;
///
/// let record = |number: &str| Ok::<_, kcl_core::InvalidSequenceNumber>(
///     Record::new(number.parse()?, "key", Timestamp::from_epoch_millis(0), "data")
/// );
/// let records = vec![record("99")?, record("100")?, record("101")?];
/// let batch = Batch::new(StreamName::new("s")?, ShardId::new("shardId-0")?, records);
/// let position = RecordPosition { sequence_number: "100".parse()?, sub_sequence_number: 0 };
/// assert_eq!(beyond(&batch, Some(&position)).records(), &batch[2..]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn beyond(batch: &Batch, position: Option<&RecordPosition>) -> Batch {
    let applied = |position: &RecordPosition| batch.partition_point(|record| record.position() <= *position);
    batch.split_at(position.map_or(0, applied)).1
}

/// The position at which the whole batch is applied; `None` for an empty one.
#[must_use]
pub fn last_position(batch: &Batch) -> Option<RecordPosition> {
    batch.last().map(kcl_core::Record::position)
}
