//! Streams and their listings.

use kcl_core::Timestamp;
use serde::Serialize;

use super::{Output, capacity::WarmThroughputShape, epoch, settings::MetricsShape, shards::ShardShape};
use crate::{
    api::{
        DescribeStreamOutput, DescribeStreamSummaryOutput, Encryption, ListStreamsOutput, RecordDistributionStrategy,
        StreamMode, StreamSettings, StreamSummary,
    },
    wire::Format,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ModeShape {
    stream_mode: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MonitoringShape<'a> {
    shard_level_metrics: MetricsShape<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryShape<'a> {
    stream_name: &'a str,
    #[serde(rename = "StreamARN")]
    stream_arn: &'a str,
    stream_status: &'static str,
    stream_mode_details: ModeShape,
    #[serde(serialize_with = "epoch")]
    stream_creation_timestamp: Timestamp,
}

impl<'a> SummaryShape<'a> {
    fn of(stream: &'a StreamSummary) -> Self {
        Self {
            stream_name: stream.stream_name.as_str(),
            stream_arn: &stream.stream_arn,
            stream_status: stream.stream_status.name(),
            stream_mode_details: ModeShape {
                stream_mode: match stream.stream_mode {
                    StreamMode::Provisioned => "PROVISIONED",
                    StreamMode::OnDemand => "ON_DEMAND",
                },
            },
            stream_creation_timestamp: stream.stream_creation_timestamp,
        }
    }
}

/// What both descriptions of a stream have.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescriptionShape<'a> {
    #[serde(flatten)]
    stream: SummaryShape<'a>,
    retention_period_hours: u64,
    enhanced_monitoring: [MonitoringShape<'a>; 1],
    encryption_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
}

impl<'a> DescriptionShape<'a> {
    fn of(stream: &'a StreamSummary, retention_period_hours: u64, settings: &'a StreamSettings) -> Self {
        Self {
            stream: SummaryShape::of(stream),
            retention_period_hours,
            enhanced_monitoring: [MonitoringShape {
                shard_level_metrics: MetricsShape(&settings.shard_level_metrics),
            }],
            encryption_type: settings.encryption.encryption_type().as_str(),
            key_id: match &settings.encryption {
                Encryption::None => None,
                Encryption::Kms { key_id } => Some(key_id),
            },
        }
    }
}

impl Output for DescribeStreamOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Description<'a> {
            #[serde(flatten)]
            description: DescriptionShape<'a>,
            shards: Vec<ShardShape<'a>>,
            has_more_shards: bool,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            stream_description: Description<'a>,
        }
        format.encode(&Shape {
            stream_description: Description {
                description: DescriptionShape::of(&self.stream, self.retention_period_hours, &self.settings),
                shards: self.shards.iter().map(ShardShape::of).collect(),
                has_more_shards: self.has_more_shards,
            },
        })
    }
}

impl Output for DescribeStreamSummaryOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Description<'a> {
            #[serde(flatten)]
            description: DescriptionShape<'a>,
            open_shard_count: usize,
            consumer_count: usize,
            #[serde(rename = "MaxRecordSizeInKiB")]
            max_record_size_in_kib: u32,
            #[serde(skip_serializing_if = "Option::is_none")]
            record_distribution_strategy: Option<&'static str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            warm_throughput: Option<WarmThroughputShape>,
            channel_count: u32,
            queue_count: u32,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            stream_description_summary: Description<'a>,
        }
        format.encode(&Shape {
            stream_description_summary: Description {
                description: DescriptionShape::of(&self.stream, self.retention_period_hours, &self.settings),
                open_shard_count: self.open_shard_count,
                consumer_count: self.consumer_count,
                max_record_size_in_kib: self.max_record_size_in_kib,
                record_distribution_strategy: self.record_distribution_strategy.map(|strategy| match strategy {
                    RecordDistributionStrategy::Auto => "AUTO",
                    RecordDistributionStrategy::UserPartitionKey => "USER_PARTITION_KEY",
                }),
                warm_throughput: self.warm_throughput.map(WarmThroughputShape::of),
                // There are neither channels nor queues here.
                channel_count: 0,
                queue_count: 0,
            },
        })
    }
}

impl Output for ListStreamsOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            stream_names: Vec<&'a str>,
            has_more_streams: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            next_token: Option<&'a str>,
            stream_summaries: Vec<SummaryShape<'a>>,
        }
        format.encode(&Shape {
            stream_names: self.stream_names.iter().map(|name| name.as_str()).collect(),
            has_more_streams: self.has_more_streams,
            next_token: self.next_token.as_deref(),
            stream_summaries: self.stream_summaries.iter().map(SummaryShape::of).collect(),
        })
    }
}
