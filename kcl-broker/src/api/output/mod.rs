//! What the operations answer. Operations without output answer `()`.

mod records;
mod streams;

pub use self::{
    records::{GetRecordsOutput, GetShardIteratorOutput, PutRecordOutput, PutRecordsOutput, PutRecordsResult},
    streams::{
        DescribeStreamOutput, DescribeStreamSummaryOutput, ListShardsOutput, ListStreamsOutput, StreamMode,
        StreamStatus, StreamSummary,
    },
};
