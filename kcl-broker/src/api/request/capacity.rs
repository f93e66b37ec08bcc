//! How much a stream can take.

use serde::Deserialize;

use super::StreamModeDetails;
use crate::api::field;

/// Splits and merges shards until there are so many of the same width.
///
/// ```
/// use kcl_broker::{Broker, api::{CreateStream, DescribeStreamSummary, UpdateShardCount}};
///
/// let broker = Broker::new();
/// broker.call(CreateStream::new("rides", 2))?;
/// let update = broker.call(UpdateShardCount::new("rides", 3))?;
/// assert_eq!((update.current_shard_count, update.target_shard_count), (2, 3));
/// assert_eq!(broker.call(DescribeStreamSummary::new("rides"))?.open_shard_count, 3);
/// # Ok::<(), kcl_broker::ApiError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UpdateShardCount {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// How many, from half of the open shards to their double.
    #[serde(deserialize_with = "field::integer")]
    pub target_shard_count: Option<i32>,
    /// `UNIFORM_SCALING`, the only one there is.
    #[serde(deserialize_with = "field::text")]
    pub scaling_type: Option<String>,
}

impl UpdateShardCount {
    /// Gives the stream so many shards.
    #[must_use]
    pub fn new(stream_name: impl Into<String>, target_shard_count: i32) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            stream_arn: None,
            target_shard_count: Some(target_shard_count),
            scaling_type: Some("UNIFORM_SCALING".to_owned()),
        }
    }
}

/// Lets the service count the shards of a stream, or its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UpdateStreamMode {
    /// The stream.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// The mode that it is to have.
    #[serde(deserialize_with = "field::structure")]
    pub stream_mode_details: Option<StreamModeDetails>,
    /// For how many mebibytes a second to make room, if the mode is to be on-demand.
    #[serde(deserialize_with = "field::integer", rename = "WarmThroughputMiBps")]
    pub warm_throughput_mibps: Option<i32>,
}

impl UpdateStreamMode {
    /// Gives the stream the mode `PROVISIONED` or `ON_DEMAND`.
    #[must_use]
    pub fn new(stream_arn: impl Into<String>, mode: impl Into<String>) -> Self {
        Self {
            stream_arn: Some(stream_arn.into()),
            stream_mode_details: Some(StreamModeDetails {
                stream_mode: Some(mode.into()),
            }),
            warm_throughput_mibps: None,
        }
    }
}

/// Changes the size of the largest record that a stream takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UpdateMaxRecordSize {
    /// The stream.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// The new size, key included, 1024 to 10240.
    #[serde(deserialize_with = "field::integer", rename = "MaxRecordSizeInKiB")]
    pub max_record_size_in_kib: Option<i32>,
}

impl UpdateMaxRecordSize {
    /// Lets the stream take records of so many kibibytes.
    #[must_use]
    pub fn new(stream_arn: impl Into<String>, max_record_size_in_kib: i32) -> Self {
        Self {
            stream_arn: Some(stream_arn.into()),
            max_record_size_in_kib: Some(max_record_size_in_kib),
        }
    }
}

/// Lets the service spread the records of an on-demand stream over its shards, or the partition keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UpdateStreamRecordDistributionStrategy {
    /// The stream.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// `AUTO` or `USER_PARTITION_KEY`.
    #[serde(deserialize_with = "field::text")]
    pub record_distribution_strategy: Option<String>,
}

impl UpdateStreamRecordDistributionStrategy {
    /// Gives the stream the strategy `AUTO` or `USER_PARTITION_KEY`.
    #[must_use]
    pub fn new(stream_arn: impl Into<String>, strategy: impl Into<String>) -> Self {
        Self {
            stream_arn: Some(stream_arn.into()),
            record_distribution_strategy: Some(strategy.into()),
        }
    }
}

/// Makes room for more throughput in an on-demand stream before it is needed, or gives room up.
///
/// The account must have made the commitment to pay for a minimum of throughput.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UpdateStreamWarmThroughput {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// How many mebibytes a second can be written at once.
    #[serde(deserialize_with = "field::integer", rename = "WarmThroughputMiBps")]
    pub warm_throughput_mibps: Option<i32>,
}

impl UpdateStreamWarmThroughput {
    /// Makes room for so many mebibytes a second.
    #[must_use]
    pub fn new(stream_name: impl Into<String>, warm_throughput_mibps: i32) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            stream_arn: None,
            warm_throughput_mibps: Some(warm_throughput_mibps),
        }
    }
}
