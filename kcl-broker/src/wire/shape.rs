//! How outputs are cut into members. The shapes borrow; which bytes they become is for the encoding to say.

use kcl_core::{ChildShard, HashKeyRange, Shard, Timestamp};
use serde::{Serialize, Serializer};

use super::json;
use crate::api::{
    DescribeStreamOutput, DescribeStreamSummaryOutput, GetRecordsOutput, GetShardIteratorOutput, ListShardsOutput,
    ListStreamsOutput, PutRecordOutput, PutRecordsOutput, PutRecordsResult, StreamMode, StreamStatus, StreamSummary,
};

/// What an operation answers, as a body.
pub(super) trait Output {
    fn to_json(&self) -> Vec<u8>;
}

impl Output for () {
    /// An operation without output has an empty body, not an empty structure.
    fn to_json(&self) -> Vec<u8> {
        Vec::new()
    }
}

impl Output for GetRecordsOutput {
    fn to_json(&self) -> Vec<u8> {
        json::encode_records(self)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ModeShape {
    stream_mode: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MonitoringShape {
    shard_level_metrics: [&'static str; 0],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryShape<'a> {
    stream_name: &'a str,
    #[serde(rename = "StreamARN")]
    stream_arn: &'a str,
    stream_status: &'static str,
    stream_mode_details: ModeShape,
    #[serde(serialize_with = "epoch_seconds")]
    stream_creation_timestamp: Timestamp,
}

impl<'a> SummaryShape<'a> {
    fn of(stream: &'a StreamSummary) -> Self {
        Self {
            stream_name: stream.stream_name.as_str(),
            stream_arn: &stream.stream_arn,
            stream_status: match stream.stream_status {
                StreamStatus::Active => "ACTIVE",
            },
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
    enhanced_monitoring: [MonitoringShape; 1],
    encryption_type: &'static str,
}

impl<'a> DescriptionShape<'a> {
    fn of(stream: &'a StreamSummary, retention_period_hours: u64) -> Self {
        Self {
            stream: SummaryShape::of(stream),
            retention_period_hours,
            enhanced_monitoring: [MonitoringShape {
                shard_level_metrics: [],
            }],
            encryption_type: "NONE",
        }
    }
}

impl Output for DescribeStreamOutput {
    fn to_json(&self) -> Vec<u8> {
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
        json::encode(&Shape {
            stream_description: Description {
                description: DescriptionShape::of(&self.stream, self.retention_period_hours),
                shards: self.shards.iter().map(ShardShape::of).collect(),
                has_more_shards: self.has_more_shards,
            },
        })
    }
}

impl Output for DescribeStreamSummaryOutput {
    fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Description<'a> {
            #[serde(flatten)]
            description: DescriptionShape<'a>,
            open_shard_count: usize,
            consumer_count: usize,
            #[serde(rename = "MaxRecordSizeInKiB")]
            max_record_size_in_kib: u32,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            stream_description_summary: Description<'a>,
        }
        json::encode(&Shape {
            stream_description_summary: Description {
                description: DescriptionShape::of(&self.stream, self.retention_period_hours),
                open_shard_count: self.open_shard_count,
                consumer_count: 0,
                max_record_size_in_kib: self.max_record_size_in_kib,
            },
        })
    }
}

impl Output for ListStreamsOutput {
    fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            stream_names: Vec<&'a str>,
            has_more_streams: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            next_token: Option<&'a str>,
            stream_summaries: Vec<SummaryShape<'a>>,
        }
        json::encode(&Shape {
            stream_names: self.stream_names.iter().map(|name| name.as_str()).collect(),
            has_more_streams: self.has_more_streams,
            next_token: self.next_token.as_deref(),
            stream_summaries: self.stream_summaries.iter().map(SummaryShape::of).collect(),
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RangeShape {
    starting_hash_key: String,
    ending_hash_key: String,
}

impl RangeShape {
    fn of(range: &HashKeyRange) -> Self {
        Self {
            starting_hash_key: range.start.to_string(),
            ending_hash_key: range.end.to_string(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NumbersShape<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    starting_sequence_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_sequence_number: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShardShape<'a> {
    shard_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_shard_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adjacent_parent_shard_id: Option<&'a str>,
    hash_key_range: RangeShape,
    sequence_number_range: NumbersShape<'a>,
}

impl<'a> ShardShape<'a> {
    fn of(shard: &'a Shard) -> Self {
        Self {
            shard_id: shard.id.as_str(),
            parent_shard_id: shard.parent.as_ref().map(|id| id.as_str()),
            adjacent_parent_shard_id: shard.adjacent_parent.as_ref().map(|id| id.as_str()),
            hash_key_range: RangeShape::of(&shard.hash_key_range),
            sequence_number_range: NumbersShape {
                starting_sequence_number: shard.starting_sequence_number.as_ref().map(|number| number.as_str()),
                ending_sequence_number: shard.ending_sequence_number.as_ref().map(|number| number.as_str()),
            },
        }
    }
}

impl Output for ListShardsOutput {
    fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            shards: Vec<ShardShape<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            next_token: Option<&'a str>,
        }
        let shards = self.shards.iter().map(ShardShape::of).collect();
        json::encode(&Shape {
            shards,
            next_token: self.next_token.as_deref(),
        })
    }
}

/// A child, as the last read of its parent names it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChildShardShape<'a> {
    shard_id: &'a str,
    parent_shards: Vec<&'a str>,
    hash_key_range: Option<RangeShape>,
}

impl<'a> ChildShardShape<'a> {
    pub(super) fn of(child: &'a ChildShard) -> Self {
        Self {
            shard_id: child.id.as_str(),
            parent_shards: child.parents.iter().map(|id| id.as_str()).collect(),
            hash_key_range: child.hash_key_range.as_ref().map(RangeShape::of),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WrittenShape<'a> {
    shard_id: &'a str,
    sequence_number: &'a str,
}

impl<'a> WrittenShape<'a> {
    fn of(written: &'a PutRecordOutput) -> Self {
        Self {
            shard_id: written.shard_id.as_str(),
            sequence_number: written.sequence_number.as_str(),
        }
    }
}

impl Output for PutRecordOutput {
    fn to_json(&self) -> Vec<u8> {
        json::encode(&WrittenShape::of(self))
    }
}

impl Output for PutRecordsOutput {
    fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            failed_record_count: usize,
            records: Vec<WrittenShape<'a>>,
        }
        let records = self
            .records
            .iter()
            .map(|PutRecordsResult::Written(written)| WrittenShape::of(written));
        json::encode(&Shape {
            failed_record_count: self.failed_record_count,
            records: records.collect(),
        })
    }
}

impl Output for GetShardIteratorOutput {
    fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            shard_iterator: &'a str,
        }
        json::encode(&Shape {
            shard_iterator: &self.shard_iterator,
        })
    }
}

fn epoch_seconds<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(at.epoch_millis() as f64 / 1000.0)
}
