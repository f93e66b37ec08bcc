//! The requests. A stream is addressed by name, by ARN, or by both.

use bytes::Bytes;
use bytestring::ByteString;
use kcl_core::Timestamp;
use serde::Deserialize;

use super::field;

/// Makes a stream. Its shards share the hash keys evenly and can be used at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CreateStream {
    /// The name of the new stream.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// How many shards; an on-demand stream begins with four.
    #[serde(deserialize_with = "field::integer")]
    pub shard_count: Option<i32>,
    /// Provisioned unless told otherwise.
    #[serde(deserialize_with = "field::structure")]
    pub stream_mode_details: Option<StreamModeDetails>,
    /// The largest record the stream takes, key included.
    #[serde(deserialize_with = "field::integer", rename = "MaxRecordSizeInKiB")]
    pub max_record_size_in_kib: Option<i32>,
}

impl CreateStream {
    /// A provisioned stream.
    #[must_use]
    pub fn new(stream_name: impl Into<String>, shard_count: i32) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            shard_count: Some(shard_count),
            ..Self::default()
        }
    }
}

/// The mode that a stream is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct StreamModeDetails {
    /// `PROVISIONED` or `ON_DEMAND`.
    #[serde(deserialize_with = "field::text")]
    pub stream_mode: Option<String>,
}

/// Removes a stream and all its records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeleteStream {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
}

impl DeleteStream {
    /// Removes the stream of this name.
    #[must_use]
    pub fn new(stream_name: impl Into<String>) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            ..Self::default()
        }
    }
}

/// Describes a stream and, page by page, its shards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DescribeStream {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// The most shards to give; 100 at most are given.
    #[serde(deserialize_with = "field::integer")]
    pub limit: Option<i32>,
    /// Begin after this shard.
    #[serde(deserialize_with = "field::text")]
    pub exclusive_start_shard_id: Option<String>,
}

impl DescribeStream {
    /// Describes the stream of this name.
    #[must_use]
    pub fn new(stream_name: impl Into<String>) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            ..Self::default()
        }
    }
}

/// Describes a stream without its shards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DescribeStreamSummary {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
}

impl DescribeStreamSummary {
    /// Describes the stream of this name.
    #[must_use]
    pub fn new(stream_name: impl Into<String>) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            ..Self::default()
        }
    }
}

/// Lists the streams by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ListStreams {
    /// The most names to give; 100 at most are given.
    #[serde(deserialize_with = "field::integer")]
    pub limit: Option<i32>,
    /// Begin after this name.
    #[serde(deserialize_with = "field::text")]
    pub exclusive_start_stream_name: Option<String>,
    /// Continue an earlier listing.
    #[serde(deserialize_with = "field::text")]
    pub next_token: Option<String>,
}

/// Lists the shards of a stream, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ListShards {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// Continue an earlier listing, instead of naming the stream.
    #[serde(deserialize_with = "field::text")]
    pub next_token: Option<String>,
    /// Begin after this shard.
    #[serde(deserialize_with = "field::text")]
    pub exclusive_start_shard_id: Option<String>,
    /// The most shards to give; 1000 at most are given.
    #[serde(deserialize_with = "field::integer")]
    pub max_results: Option<i32>,
    /// Tells this life of the stream from others of the same name.
    #[serde(deserialize_with = "field::timestamp")]
    pub stream_creation_timestamp: Option<Timestamp>,
    /// Which shards; all that are retained unless told otherwise.
    #[serde(deserialize_with = "field::structure")]
    pub shard_filter: Option<ShardFilter>,
}

impl ListShards {
    /// Lists all retained shards of the stream of this name.
    #[must_use]
    pub fn new(stream_name: impl Into<String>) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            ..Self::default()
        }
    }

    /// Lists the shards that `filter` selects.
    #[must_use]
    pub fn filtered(stream_name: impl Into<String>, filter: kcl_core::ShardFilter) -> Self {
        Self {
            shard_filter: Some(filter.into()),
            ..Self::new(stream_name)
        }
    }

    /// Continues a listing.
    #[must_use]
    pub fn next(next_token: impl Into<String>) -> Self {
        Self {
            next_token: Some(next_token.into()),
            ..Self::default()
        }
    }
}

/// Which shards to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ShardFilter {
    /// `AFTER_SHARD_ID`, `AT_TRIM_HORIZON`, `FROM_TRIM_HORIZON`, `AT_LATEST`, `AT_TIMESTAMP` or `FROM_TIMESTAMP`.
    #[serde(deserialize_with = "field::text", rename = "Type")]
    pub kind: Option<String>,
    /// For `AFTER_SHARD_ID`.
    #[serde(deserialize_with = "field::text")]
    pub shard_id: Option<String>,
    /// For `AT_TIMESTAMP` and `FROM_TIMESTAMP`.
    #[serde(deserialize_with = "field::timestamp")]
    pub timestamp: Option<Timestamp>,
}

impl From<kcl_core::ShardFilter> for ShardFilter {
    fn from(filter: kcl_core::ShardFilter) -> Self {
        let (kind, timestamp) = match filter {
            kcl_core::ShardFilter::AtTrimHorizon => ("AT_TRIM_HORIZON", None),
            kcl_core::ShardFilter::AtLatest => ("AT_LATEST", None),
            kcl_core::ShardFilter::AtTimestamp(at) => ("AT_TIMESTAMP", Some(at)),
            // A filter that this crate does not know yet narrows nothing.
            _ => ("FROM_TRIM_HORIZON", None),
        };
        Self {
            kind: Some(kind.to_owned()),
            shard_id: None,
            timestamp,
        }
    }
}

/// Writes one record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PutRecord {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// What is written.
    #[serde(deserialize_with = "field::blob")]
    pub data: Option<Bytes>,
    /// Decides, by its MD5, to which shard the record goes.
    #[serde(deserialize_with = "field::shared_text")]
    pub partition_key: Option<ByteString>,
    /// Decides instead of the partition key's MD5.
    #[serde(deserialize_with = "field::text")]
    pub explicit_hash_key: Option<String>,
    /// The number of an earlier record that this one must come after.
    #[serde(deserialize_with = "field::text")]
    pub sequence_number_for_ordering: Option<String>,
}

impl PutRecord {
    /// Writes `data` under `partition_key` to the stream of this name.
    #[must_use]
    pub fn new(stream_name: impl Into<String>, partition_key: impl Into<ByteString>, data: impl Into<Bytes>) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            data: Some(data.into()),
            partition_key: Some(partition_key.into()),
            ..Self::default()
        }
    }
}

/// Writes up to 500 records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PutRecords {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// What is written.
    #[serde(deserialize_with = "field::structures")]
    pub records: Option<Vec<PutRecordsEntry>>,
}

impl PutRecords {
    /// Writes `records` to the stream of this name.
    #[must_use]
    pub fn new(stream_name: impl Into<String>, records: impl IntoIterator<Item = PutRecordsEntry>) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            records: Some(records.into_iter().collect()),
            ..Self::default()
        }
    }
}

/// One record of [`PutRecords`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PutRecordsEntry {
    /// What is written.
    #[serde(deserialize_with = "field::blob")]
    pub data: Option<Bytes>,
    /// Decides, by its MD5, to which shard the record goes.
    #[serde(deserialize_with = "field::shared_text")]
    pub partition_key: Option<ByteString>,
    /// Decides instead of the partition key's MD5.
    #[serde(deserialize_with = "field::text")]
    pub explicit_hash_key: Option<String>,
}

impl PutRecordsEntry {
    /// Writes `data` under `partition_key`.
    #[must_use]
    pub fn new(partition_key: impl Into<ByteString>, data: impl Into<Bytes>) -> Self {
        Self {
            data: Some(data.into()),
            partition_key: Some(partition_key.into()),
            explicit_hash_key: None,
        }
    }
}

/// Opens a shard for reading.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct GetShardIterator {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// The shard to read.
    #[serde(deserialize_with = "field::text")]
    pub shard_id: Option<String>,
    /// `TRIM_HORIZON`, `LATEST`, `AT_SEQUENCE_NUMBER`, `AFTER_SEQUENCE_NUMBER` or `AT_TIMESTAMP`.
    #[serde(deserialize_with = "field::text")]
    pub shard_iterator_type: Option<String>,
    /// For the two types that name a record.
    #[serde(deserialize_with = "field::text")]
    pub starting_sequence_number: Option<String>,
    /// For `AT_TIMESTAMP`.
    #[serde(deserialize_with = "field::timestamp")]
    pub timestamp: Option<Timestamp>,
}

impl GetShardIterator {
    /// Begins with the oldest retained record.
    #[must_use]
    pub fn trim_horizon(stream_name: impl Into<String>, shard_id: impl Into<String>) -> Self {
        Self::of_type("TRIM_HORIZON", stream_name, shard_id)
    }

    /// Begins with the next record that arrives.
    #[must_use]
    pub fn latest(stream_name: impl Into<String>, shard_id: impl Into<String>) -> Self {
        Self::of_type("LATEST", stream_name, shard_id)
    }

    /// Begins with the record of this number.
    #[must_use]
    pub fn at(stream_name: impl Into<String>, shard_id: impl Into<String>, number: impl Into<String>) -> Self {
        let starting_sequence_number = Some(number.into());
        Self {
            starting_sequence_number,
            ..Self::of_type("AT_SEQUENCE_NUMBER", stream_name, shard_id)
        }
    }

    /// Begins with the record that follows the one of this number.
    #[must_use]
    pub fn after(stream_name: impl Into<String>, shard_id: impl Into<String>, number: impl Into<String>) -> Self {
        let starting_sequence_number = Some(number.into());
        Self {
            starting_sequence_number,
            ..Self::of_type("AFTER_SEQUENCE_NUMBER", stream_name, shard_id)
        }
    }

    /// Begins with the first record that arrived at or after this time.
    #[must_use]
    pub fn at_timestamp(stream_name: impl Into<String>, shard_id: impl Into<String>, at: Timestamp) -> Self {
        Self {
            timestamp: Some(at),
            ..Self::of_type("AT_TIMESTAMP", stream_name, shard_id)
        }
    }

    fn of_type(kind: &str, stream_name: impl Into<String>, shard_id: impl Into<String>) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            shard_id: Some(shard_id.into()),
            shard_iterator_type: Some(kind.to_owned()),
            ..Self::default()
        }
    }
}

/// Reads on from an iterator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct GetRecords {
    /// Where to read on; good for five minutes, any number of times.
    #[serde(deserialize_with = "field::text")]
    pub shard_iterator: Option<String>,
    /// The most records to give, 1 to 10000.
    #[serde(deserialize_with = "field::integer")]
    pub limit: Option<i32>,
}

impl GetRecords {
    /// Reads as many records as one answer holds.
    #[must_use]
    pub fn new(shard_iterator: impl Into<String>) -> Self {
        Self {
            shard_iterator: Some(shard_iterator.into()),
            limit: None,
        }
    }
}

/// Closes a shard and opens two that share its hash keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SplitShard {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// The shard to split.
    #[serde(deserialize_with = "field::text")]
    pub shard_to_split: Option<String>,
    /// The first hash key of the upper child.
    #[serde(deserialize_with = "field::text")]
    pub new_starting_hash_key: Option<String>,
}

impl SplitShard {
    /// Splits the shard at this hash key.
    #[must_use]
    pub fn new(stream_name: impl Into<String>, shard: impl Into<String>, at: kcl_core::HashKey) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            stream_arn: None,
            shard_to_split: Some(shard.into()),
            new_starting_hash_key: Some(at.to_string()),
        }
    }
}

/// Closes two adjacent shards and opens one that serves the hash keys of both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MergeShards {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// One of the two.
    #[serde(deserialize_with = "field::text")]
    pub shard_to_merge: Option<String>,
    /// The other.
    #[serde(deserialize_with = "field::text")]
    pub adjacent_shard_to_merge: Option<String>,
}

impl MergeShards {
    /// Merges the two shards.
    #[must_use]
    pub fn new(stream_name: impl Into<String>, shard: impl Into<String>, adjacent: impl Into<String>) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            stream_arn: None,
            shard_to_merge: Some(shard.into()),
            adjacent_shard_to_merge: Some(adjacent.into()),
        }
    }
}
