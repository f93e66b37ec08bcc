//! Streams and their shards, described and listed.

use std::fmt;

use kcl_core::{Shard, StreamName, Timestamp};

use super::{StreamSettings, WarmThroughput};

/// Whether the number of shards is chosen by the owner of the stream or by the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamMode {
    /// By the owner.
    Provisioned,
    /// By the service.
    OnDemand,
}

/// Who decides to which shard a record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordDistributionStrategy {
    /// The service, which spreads the records over all shards.
    Auto,
    /// The partition key, or the explicit hash key.
    UserPartitionKey,
}

/// In which state of its life a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamStatus {
    /// It is being made. Nothing can be written to it or read from it yet.
    Creating,
    /// It is being removed.
    Deleting,
    /// Ready for everything.
    Active,
    /// It is being changed, and meanwhile takes and gives records, but no other change.
    Updating,
}

impl StreamStatus {
    /// The state's name, as the service has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Deleting => "DELETING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
        }
    }
}

impl fmt::Display for StreamStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
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

/// Answers [`DescribeStream`](crate::api::DescribeStream).
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
    /// What is switched on.
    pub settings: StreamSettings,
}

/// Answers [`DescribeStreamSummary`](crate::api::DescribeStreamSummary).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DescribeStreamSummaryOutput {
    /// The stream.
    pub stream: StreamSummary,
    /// How long records are kept.
    pub retention_period_hours: u64,
    /// What is switched on.
    pub settings: StreamSettings,
    /// How many shards take records.
    pub open_shard_count: usize,
    /// How many consumers are registered.
    pub consumer_count: usize,
    /// The largest record the stream takes, key included.
    pub max_record_size_in_kib: u32,
    /// Who decides to which shard a record goes, if the stream is in the mode in which this can be chosen.
    pub record_distribution_strategy: Option<RecordDistributionStrategy>,
    /// For how much throughput the stream has room, if the account has made the commitment that entitles it to ask.
    pub warm_throughput: Option<WarmThroughput>,
}

/// Answers [`ListStreams`](crate::api::ListStreams).
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

/// Answers [`ListShards`](crate::api::ListShards).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListShardsOutput {
    /// The shards, oldest first.
    pub shards: Vec<Shard>,
    /// Continues the listing, if there is more.
    pub next_token: Option<String>,
}
