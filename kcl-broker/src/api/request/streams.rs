//! Streams and their shards.

use std::collections::BTreeMap;

use kcl_core::Timestamp;
use serde::Deserialize;

use crate::api::field;

/// Makes a stream. Its shards share the hash keys evenly.
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
    /// Who decides to which shard a record goes: `AUTO`, for on-demand streams only, or `USER_PARTITION_KEY`.
    #[serde(deserialize_with = "field::text")]
    pub record_distribution_strategy: Option<String>,
    /// For how many mebibytes a second an on-demand stream has room from the beginning.
    #[serde(deserialize_with = "field::integer", rename = "WarmThroughputMiBps")]
    pub warm_throughput_mibps: Option<i32>,
    /// The tags that it has from the beginning, by key.
    #[serde(deserialize_with = "field::text_map")]
    pub tags: Option<BTreeMap<String, String>>,
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
    /// Whether to remove its consumers with it. A stream that has consumers is not removed otherwise.
    #[serde(deserialize_with = "field::boolean")]
    pub enforce_consumer_deletion: Option<bool>,
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
