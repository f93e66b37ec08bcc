//! What the operations answer. Operations without output answer `()`.

mod capacity;
mod consumers;
mod fanout;
mod policies;
mod records;
mod streams;
mod tags;

pub use self::{
    capacity::UpdateShardCountOutput,
    consumers::{
        ConsumerStatus, ConsumerSummary, DescribeStreamConsumerOutput, ListStreamConsumersOutput,
        RegisterStreamConsumerOutput,
    },
    fanout::SubscribeToShardEvent,
    policies::GetResourcePolicyOutput,
    records::{GetRecordsOutput, GetShardIteratorOutput, PutRecordOutput, PutRecordsOutput, PutRecordsResult},
    streams::{
        DescribeStreamOutput, DescribeStreamSummaryOutput, ListShardsOutput, ListStreamsOutput,
        RecordDistributionStrategy, StreamMode, StreamStatus, StreamSummary,
    },
    tags::{ListTagsForResourceOutput, ListTagsForStreamOutput, Tag},
};
