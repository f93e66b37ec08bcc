//! What the operations answer. Operations without output answer `()`.

mod consumers;
mod records;
mod streams;

pub use self::{
    consumers::{
        ConsumerStatus, ConsumerSummary, DescribeStreamConsumerOutput, ListStreamConsumersOutput,
        RegisterStreamConsumerOutput,
    },
    records::{GetRecordsOutput, GetShardIteratorOutput, PutRecordOutput, PutRecordsOutput, PutRecordsResult},
    streams::{
        DescribeStreamOutput, DescribeStreamSummaryOutput, ListShardsOutput, ListStreamsOutput, StreamMode,
        StreamStatus, StreamSummary,
    },
};
