//! Consumers and their listings.

use kcl_core::Timestamp;
use serde::Serialize;

use super::{Output, epoch};
use crate::{
    api::{ConsumerSummary, DescribeStreamConsumerOutput, ListStreamConsumersOutput, RegisterStreamConsumerOutput},
    wire::Format,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConsumerShape<'a> {
    consumer_name: &'a str,
    #[serde(rename = "ConsumerARN")]
    consumer_arn: &'a str,
    consumer_status: &'static str,
    #[serde(serialize_with = "epoch")]
    consumer_creation_timestamp: Timestamp,
    #[serde(rename = "StreamARN", skip_serializing_if = "Option::is_none")]
    stream_arn: Option<&'a str>,
}

impl<'a> ConsumerShape<'a> {
    fn of(consumer: &'a ConsumerSummary) -> Self {
        Self {
            consumer_name: &consumer.consumer_name,
            consumer_arn: &consumer.consumer_arn,
            consumer_status: consumer.consumer_status.as_str(),
            consumer_creation_timestamp: consumer.consumer_creation_timestamp,
            stream_arn: None,
        }
    }
}

impl Output for RegisterStreamConsumerOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            consumer: ConsumerShape<'a>,
        }
        format.encode(&Shape {
            consumer: ConsumerShape::of(&self.consumer),
        })
    }
}

impl Output for DescribeStreamConsumerOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            consumer_description: ConsumerShape<'a>,
        }
        format.encode(&Shape {
            consumer_description: ConsumerShape {
                stream_arn: Some(&self.stream_arn),
                ..ConsumerShape::of(&self.consumer)
            },
        })
    }
}

impl Output for ListStreamConsumersOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            consumers: Vec<ConsumerShape<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            next_token: Option<&'a str>,
        }
        format.encode(&Shape {
            consumers: self.consumers.iter().map(ConsumerShape::of).collect(),
            next_token: self.next_token.as_deref(),
        })
    }
}
