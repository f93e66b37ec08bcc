//! What the operations answer. Operations without output answer `()`.

mod account;
mod capacity;
mod consumers;
mod fanout;
mod policies;
mod records;
mod settings;
mod streams;
mod tags;

pub use self::{
    account::{AccountSettings, BillingCommitment, BillingCommitmentStatus, DescribeLimitsOutput},
    capacity::{UpdateShardCountOutput, UpdateStreamWarmThroughputOutput, WarmThroughput},
    consumers::{
        ConsumerStatus, ConsumerSummary, DescribeStreamConsumerOutput, ListStreamConsumersOutput,
        RegisterStreamConsumerOutput,
    },
    fanout::SubscribeToShardEvent,
    policies::GetResourcePolicyOutput,
    records::{GetRecordsOutput, GetShardIteratorOutput, PutRecordOutput, PutRecordsOutput, PutRecordsResult},
    settings::{Encryption, EncryptionType, EnhancedMonitoringOutput, ShardLevelMetric, StreamSettings},
    streams::{
        DescribeStreamOutput, DescribeStreamSummaryOutput, ListShardsOutput, ListStreamsOutput,
        RecordDistributionStrategy, StreamMode, StreamStatus, StreamSummary,
    },
    tags::{ListTagsForResourceOutput, ListTagsForStreamOutput, Tag},
};
