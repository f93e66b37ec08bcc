//! The requests. A stream is addressed by name, by ARN, or by both.

mod consumers;
mod fanout;
mod records;
mod streams;

pub use self::{
    consumers::{DeregisterStreamConsumer, DescribeStreamConsumer, ListStreamConsumers, RegisterStreamConsumer},
    fanout::{StartingPosition, SubscribeToShard},
    records::{GetRecords, GetShardIterator, PutRecord, PutRecords, PutRecordsEntry},
    streams::{
        CreateStream, DeleteStream, DescribeStream, DescribeStreamSummary, ListShards, ListStreams, MergeShards,
        ShardFilter, SplitShard, StreamModeDetails,
    },
};
