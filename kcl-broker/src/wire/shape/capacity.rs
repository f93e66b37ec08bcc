//! How much a stream can take.

use serde::Serialize;

use super::Output;
use crate::{
    api::{UpdateShardCountOutput, UpdateStreamWarmThroughputOutput, WarmThroughput},
    wire::Format,
};

impl Output for UpdateShardCountOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            stream_name: &'a str,
            #[serde(rename = "StreamARN")]
            stream_arn: &'a str,
            current_shard_count: usize,
            target_shard_count: usize,
        }
        format.encode(&Shape {
            stream_name: self.stream_name.as_str(),
            stream_arn: &self.stream_arn,
            current_shard_count: self.current_shard_count,
            target_shard_count: self.target_shard_count,
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WarmThroughputShape {
    #[serde(rename = "TargetMiBps")]
    target_mibps: usize,
    #[serde(rename = "CurrentMiBps")]
    current_mibps: usize,
}

impl WarmThroughputShape {
    pub(super) fn of(warm: WarmThroughput) -> Self {
        Self {
            target_mibps: warm.target_mibps,
            current_mibps: warm.current_mibps,
        }
    }
}

impl Output for UpdateStreamWarmThroughputOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            stream_name: &'a str,
            #[serde(rename = "StreamARN")]
            stream_arn: &'a str,
            warm_throughput: WarmThroughputShape,
        }
        format.encode(&Shape {
            stream_name: self.stream_name.as_str(),
            stream_arn: &self.stream_arn,
            warm_throughput: WarmThroughputShape::of(self.warm_throughput),
        })
    }
}
