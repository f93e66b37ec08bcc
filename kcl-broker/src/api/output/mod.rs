//! What the operations answer. Operations without output answer `()`.

mod capacity;
mod consumers;
mod fanout;
mod records;
mod streams;

pub use self::{
    capacity::UpdateShardCountOutput,
    consumers::{
        ConsumerStatus, ConsumerSummary, DescribeStreamConsumerOutput, ListStreamConsumersOutput,
        RegisterStreamConsumerOutput,
    },
    fanout::SubscribeToShardEvent,
    records::{GetRecordsOutput, GetShardIteratorOutput, PutRecordOutput, PutRecordsOutput, PutRecordsResult},
    streams::{
        DescribeStreamOutput, DescribeStreamSummaryOutput, ListShardsOutput, ListStreamsOutput, StreamMode,
        StreamStatus, StreamSummary,
    },
};
