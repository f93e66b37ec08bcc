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

/// For how much throughput an on-demand stream has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WarmThroughput {
    /// The mebibytes a second that it is to have room for.
    pub target_mibps: usize,
    /// The mebibytes a second that it has room for.
    pub current_mibps: usize,
}

/// Answers [`UpdateStreamWarmThroughput`](crate::api::UpdateStreamWarmThroughput).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpdateStreamWarmThroughputOutput {
    /// The stream's name.
    pub stream_name: StreamName,
    /// The stream's Amazon Resource Name.
    pub stream_arn: String,
    /// For how much it has room, and will have.
    pub warm_throughput: WarmThroughput,
}
