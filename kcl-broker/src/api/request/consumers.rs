//! Consumers with dedicated throughput.

use std::collections::BTreeMap;

use kcl_core::Timestamp;
use serde::Deserialize;

use crate::api::field;

/// Registers a consumer with a stream, which it can then follow by [`SubscribeToShard`](crate::api::SubscribeToShard).
///
/// ```
/// use kcl_broker::{Broker, api::{CreateStream, DescribeStreamSummary, RegisterStreamConsumer}};
///
/// let broker = Broker::new();
/// broker.call(CreateStream::new("rides", 1))?;
/// let stream = broker.call(DescribeStreamSummary::new("rides"))?.stream;
/// let registered = broker.call(RegisterStreamConsumer::new(stream.stream_arn, "billing"))?;
/// assert!(registered.consumer.consumer_arn.contains("stream/rides/consumer/billing:"));
/// # Ok::<(), kcl_broker::ApiError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RegisterStreamConsumer {
    /// The stream.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// The consumer's name, which no other consumer of the stream has.
    #[serde(deserialize_with = "field::text")]
    pub consumer_name: Option<String>,
    /// The tags that it has from the beginning, by key.
    #[serde(deserialize_with = "field::text_map")]
    pub tags: Option<BTreeMap<String, String>>,
}

impl RegisterStreamConsumer {
    /// Registers a consumer of this name with the stream of this ARN.
    #[must_use]
    pub fn new(stream_arn: impl Into<String>, consumer_name: impl Into<String>) -> Self {
        Self {
            stream_arn: Some(stream_arn.into()),
            consumer_name: Some(consumer_name.into()),
            tags: None,
        }
    }
}

/// Describes a consumer, which is addressed by its ARN, by its name and that of its stream, or by all three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DescribeStreamConsumer {
    /// The stream.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// The consumer's name.
    #[serde(deserialize_with = "field::text")]
    pub consumer_name: Option<String>,
    /// The consumer, as its registration named it.
    #[serde(deserialize_with = "field::text", rename = "ConsumerARN")]
    pub consumer_arn: Option<String>,
}

impl DescribeStreamConsumer {
    /// Describes the consumer of this ARN.
    #[must_use]
    pub fn by_arn(consumer_arn: impl Into<String>) -> Self {
        Self {
            consumer_arn: Some(consumer_arn.into()),
            ..Self::default()
        }
    }

    /// Describes the consumer of this name.
    #[must_use]
    pub fn by_name(stream_arn: impl Into<String>, consumer_name: impl Into<String>) -> Self {
        Self {
            stream_arn: Some(stream_arn.into()),
            consumer_name: Some(consumer_name.into()),
            consumer_arn: None,
        }
    }
}

/// Removes a consumer and ends its subscriptions. It is addressed as for [`DescribeStreamConsumer`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeregisterStreamConsumer {
    /// The stream.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// The consumer's name.
    #[serde(deserialize_with = "field::text")]
    pub consumer_name: Option<String>,
    /// The consumer, as its registration named it.
    #[serde(deserialize_with = "field::text", rename = "ConsumerARN")]
    pub consumer_arn: Option<String>,
}

impl DeregisterStreamConsumer {
    /// Removes the consumer of this ARN.
    #[must_use]
    pub fn by_arn(consumer_arn: impl Into<String>) -> Self {
        Self {
            consumer_arn: Some(consumer_arn.into()),
            ..Self::default()
        }
    }

    /// Removes the consumer of this name.
    #[must_use]
    pub fn by_name(stream_arn: impl Into<String>, consumer_name: impl Into<String>) -> Self {
        Self {
            stream_arn: Some(stream_arn.into()),
            consumer_name: Some(consumer_name.into()),
            consumer_arn: None,
        }
    }
}

/// Lists the consumers of a stream by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ListStreamConsumers {
    /// The stream.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// Continue an earlier listing.
    #[serde(deserialize_with = "field::text")]
    pub next_token: Option<String>,
    /// The most consumers to give; 100 unless told otherwise.
    #[serde(deserialize_with = "field::integer")]
    pub max_results: Option<i32>,
    /// Tells this life of the stream from others of the same name.
    #[serde(deserialize_with = "field::timestamp")]
    pub stream_creation_timestamp: Option<Timestamp>,
}

impl ListStreamConsumers {
    /// Lists the consumers of the stream of this ARN.
    #[must_use]
    pub fn new(stream_arn: impl Into<String>) -> Self {
        Self {
            stream_arn: Some(stream_arn.into()),
            ..Self::default()
        }
    }
}
