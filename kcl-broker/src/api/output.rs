//! What the operations answer. Operations without output answer `()`.

use std::sync::Arc;

use kcl_core::{ChildShard, Record, SequenceNumber, Shard, ShardId, StreamName, Timestamp};

/// Whether the number of shards is chosen by the owner of the stream or by the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamMode {
    /// By the owner.
    Provisioned,
    /// By the service.
    OnDemand,
}

/// In which state of its life a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamStatus {
    /// Ready for everything.
    Active,
}

/// What all descriptions of a stream have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamSummary {
    /// The name.
    pub stream_name: StreamName,
    /// The Amazon Resource Name.
    pub stream_arn: String,
    /// The state.
    pub stream_status: StreamStatus,
    /// The mode.
    pub stream_mode: StreamMode,
    /// When the stream was made.
    pub stream_creation_timestamp: Timestamp,
}

/// Answers [`DescribeStream`](super::DescribeStream).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DescribeStreamOutput {
    /// The stream.
    pub stream: StreamSummary,
    /// A page of its shards.
    pub shards: Vec<Shard>,
    /// Whether there are shards after these.
    pub has_more_shards: bool,
    /// How long records are kept.
    pub retention_period_hours: u64,
}

/// Answers [`DescribeStreamSummary`](super::DescribeStreamSummary).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DescribeStreamSummaryOutput {
    /// The stream.
    pub stream: StreamSummary,
    /// How long records are kept.
    pub retention_period_hours: u64,
    /// How many shards take records.
    pub open_shard_count: usize,
    /// The largest record the stream takes, key included.
    pub max_record_size_in_kib: u32,
}

/// Answers [`ListStreams`](super::ListStreams).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListStreamsOutput {
    /// The names, in order.
    pub stream_names: Vec<StreamName>,
    /// Whether there are streams after these.
    pub has_more_streams: bool,
    /// Continues the listing, if there is more.
    pub next_token: Option<String>,
    /// The same streams, described.
    pub stream_summaries: Vec<StreamSummary>,
}

/// Answers [`ListShards`](super::ListShards).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListShardsOutput {
    /// The shards, oldest first.
    pub shards: Vec<Shard>,
    /// Continues the listing, if there is more.
    pub next_token: Option<String>,
}

/// Answers [`PutRecord`](super::PutRecord).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutRecordOutput {
    /// The shard that took the record.
    pub shard_id: ShardId,
    /// The record's number.
    pub sequence_number: SequenceNumber,
}

/// Answers [`PutRecords`](super::PutRecords).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutRecordsOutput {
    /// How many of the records were not written.
    pub failed_record_count: usize,
    /// What became of each record, in the order of the request.
    pub records: Vec<PutRecordsResult>,
}

/// What became of one record of [`PutRecords`](super::PutRecords).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PutRecordsResult {
    /// It was written.
    Written(PutRecordOutput),
}

/// Answers [`GetShardIterator`](super::GetShardIterator).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetShardIteratorOutput {
    /// Good for five minutes.
    pub shard_iterator: String,
}

/// Answers [`GetRecords`](super::GetRecords).
///
/// There are children exactly where there is no next iterator: at the end of a closed shard.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetRecordsOutput {
    /// The records, in sequence order. They share their memory with the broker.
    pub records: Vec<Arc<Record>>,
    /// Where to read on; none at the end of a closed shard.
    pub next_shard_iterator: Option<String>,
    /// How long the next unread record has been waiting; 0 at the tip.
    pub millis_behind_latest: u64,
    /// The shards that go on where this one ends.
    pub child_shards: Vec<ChildShard>,
}
