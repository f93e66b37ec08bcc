//! How much a stream can take.

use serde::Deserialize;

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
