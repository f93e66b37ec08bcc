//! What writing and reading records answers.

use std::{ops::Range, sync::Arc};

use kcl_core::{ChildShard, Record, SequenceNumber, ShardId};

use super::EncryptionType;

/// Answers [`PutRecord`](crate::api::PutRecord).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutRecordOutput {
    /// The shard that took the record.
    pub shard_id: ShardId,
    /// The record's number.
    pub sequence_number: SequenceNumber,
    /// Whether the record was encrypted.
    pub encryption_type: EncryptionType,
}

/// Answers [`PutRecords`](crate::api::PutRecords).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutRecordsOutput {
    /// How many of the records were not written.
    pub failed_record_count: usize,
    /// What became of each record, in the order of the request.
    pub records: Vec<PutRecordsResult>,
    /// Whether the records were encrypted.
    pub encryption_type: EncryptionType,
}

/// What became of one record of [`PutRecords`](crate::api::PutRecords).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PutRecordsResult {
    /// It was written.
    Written(PutRecordOutput),
    /// It was not written, and may be put again.
    Failed {
        /// The type of the error, as on the wire.
        error_code: String,
        /// What the service says about it.
        error_message: String,
    },
}

/// Answers [`GetShardIterator`](crate::api::GetShardIterator).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetShardIteratorOutput {
    /// Good for five minutes.
    pub shard_iterator: String,
}

/// Answers [`GetRecords`](crate::api::GetRecords).
///
/// There are children exactly where there is no next iterator: at the end of a closed shard.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetRecordsOutput {
    /// The records, in sequence order. They share their memory with the broker.
    pub records: Vec<Arc<Record>>,
    /// The places of those among the records that were encrypted when they were written.
    pub encrypted: Vec<Range<usize>>,
    /// Where to read on; none at the end of a closed shard.
    pub next_shard_iterator: Option<String>,
    /// How long the next unread record has been waiting; 0 at the tip.
    pub millis_behind_latest: u64,
    /// The shards that go on where this one ends.
    pub child_shards: Vec<ChildShard>,
}
