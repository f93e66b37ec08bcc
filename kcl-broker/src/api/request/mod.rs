//! The requests. A stream is addressed by name, by ARN, or by both.

mod capacity;
mod consumers;
mod fanout;
mod records;
mod retention;
mod streams;

pub use self::{
    capacity::UpdateShardCount,
    consumers::{DeregisterStreamConsumer, DescribeStreamConsumer, ListStreamConsumers, RegisterStreamConsumer},
    fanout::{StartingPosition, SubscribeToShard},
    records::{GetRecords, GetShardIterator, PutRecord, PutRecords, PutRecordsEntry},
    retention::{DecreaseStreamRetentionPeriod, IncreaseStreamRetentionPeriod},
    streams::{
        CreateStream, DeleteStream, DescribeStream, DescribeStreamSummary, ListShards, ListStreams, MergeShards,
        ShardFilter, SplitShard, StreamModeDetails,
    },
};
