//! How much a stream can take.

use kcl_core::StreamName;

/// Answers [`UpdateShardCount`](crate::api::UpdateShardCount).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpdateShardCountOutput {
    /// The stream's name.
    pub stream_name: StreamName,
    /// The stream's Amazon Resource Name.
    pub stream_arn: String,
    /// How many shards were open before.
    pub current_shard_count: usize,
    /// How many will be.
    pub target_shard_count: usize,
}
