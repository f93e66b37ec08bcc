//! Consumers, described and listed.

use kcl_core::Timestamp;

/// In which state of its life a consumer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsumerStatus {
    /// It is registered, but cannot read yet.
    Creating,
    /// It can read.
    Active,
    /// It is being removed, and cannot read any more.
    Deleting,
}

impl ConsumerStatus {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Deleting => "DELETING",
        }
    }
}

/// What all descriptions of a consumer have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerSummary {
    /// The name.
    pub consumer_name: String,
    /// The Amazon Resource Name. A consumer that is registered again has another.
    pub consumer_arn: String,
    /// The state.
    pub consumer_status: ConsumerStatus,
    /// When the consumer was registered.
    pub consumer_creation_timestamp: Timestamp,
}

/// Answers [`RegisterStreamConsumer`](crate::api::RegisterStreamConsumer).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegisterStreamConsumerOutput {
    /// The consumer, which is always being created as far as this answer knows.
    pub consumer: ConsumerSummary,
}

/// Answers [`DescribeStreamConsumer`](crate::api::DescribeStreamConsumer).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DescribeStreamConsumerOutput {
    /// The consumer.
    pub consumer: ConsumerSummary,
    /// The ARN of its stream.
    pub stream_arn: String,
}

/// Answers [`ListStreamConsumers`](crate::api::ListStreamConsumers).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListStreamConsumersOutput {
    /// The consumers, by name.
    pub consumers: Vec<ConsumerSummary>,
    /// Continues the listing, if there is more.
    pub next_token: Option<String>,
}
