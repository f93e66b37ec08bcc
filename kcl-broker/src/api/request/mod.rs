//! The requests. A stream is addressed by name, by ARN, or by both.

mod account;
mod capacity;
mod consumers;
mod fanout;
mod policies;
mod records;
mod retention;
mod settings;
mod streams;
mod tags;

pub use self::{
    account::{DescribeAccountSettings, DescribeLimits, MinimumThroughputBillingCommitment, UpdateAccountSettings},
    capacity::{
        UpdateMaxRecordSize, UpdateShardCount, UpdateStreamMode, UpdateStreamRecordDistributionStrategy,
        UpdateStreamWarmThroughput,
    },
    consumers::{DeregisterStreamConsumer, DescribeStreamConsumer, ListStreamConsumers, RegisterStreamConsumer},
    fanout::{StartingPosition, SubscribeToShard},
    policies::{DeleteResourcePolicy, GetResourcePolicy, PutResourcePolicy},
    records::{GetRecords, GetShardIterator, PutRecord, PutRecords, PutRecordsEntry},
    retention::{DecreaseStreamRetentionPeriod, IncreaseStreamRetentionPeriod},
    settings::{DisableEnhancedMonitoring, EnableEnhancedMonitoring, StartStreamEncryption, StopStreamEncryption},
    streams::{
        CreateStream, DeleteStream, DescribeStream, DescribeStreamSummary, ListShards, ListStreams, MergeShards,
        ShardFilter, SplitShard, StreamModeDetails,
    },
    tags::{AddTagsToStream, ListTagsForResource, ListTagsForStream, RemoveTagsFromStream, TagResource, UntagResource},
};
