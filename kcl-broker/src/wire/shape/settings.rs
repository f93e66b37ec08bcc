//! Settings of streams and of the account.

use std::collections::BTreeSet;

use kcl_core::Timestamp;
use serde::{Serialize, Serializer};

use super::{Output, epoch};
use crate::{
    api::{
        AccountSettings, BillingCommitment, DescribeLimitsOutput, EncryptionType, EnhancedMonitoringOutput,
        ShardLevelMetric,
    },
    wire::Format,
};

/// The type of encryption, which is not shown where there is none.
pub(super) fn shown(encryption: EncryptionType) -> Option<&'static str> {
    (encryption != EncryptionType::None).then_some(encryption.as_str())
}

/// Names of metrics.
pub(super) struct MetricsShape<'a>(pub(super) &'a BTreeSet<ShardLevelMetric>);

impl Serialize for MetricsShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|metric| metric.as_str()))
    }
}

impl Output for EnhancedMonitoringOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            stream_name: &'a str,
            #[serde(rename = "StreamARN")]
            stream_arn: &'a str,
            current_shard_level_metrics: MetricsShape<'a>,
            desired_shard_level_metrics: MetricsShape<'a>,
        }
        format.encode(&Shape {
            stream_name: self.stream_name.as_str(),
            stream_arn: &self.stream_arn,
            current_shard_level_metrics: MetricsShape(&self.current_shard_level_metrics),
            desired_shard_level_metrics: MetricsShape(&self.desired_shard_level_metrics),
        })
    }
}

impl Output for DescribeLimitsOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape {
            shard_limit: usize,
            open_shard_count: usize,
            on_demand_stream_count: usize,
            on_demand_stream_count_limit: usize,
        }
        format.encode(&Shape {
            shard_limit: self.shard_limit,
            open_shard_count: self.open_shard_count,
            on_demand_stream_count: self.on_demand_stream_count,
            on_demand_stream_count_limit: self.on_demand_stream_count_limit,
        })
    }
}

#[derive(Serialize)]
struct EpochShape(#[serde(serialize_with = "epoch")] Timestamp);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CommitmentShape {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<EpochShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<EpochShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest_allowed_end_at: Option<EpochShape>,
}

impl CommitmentShape {
    fn of(commitment: &BillingCommitment) -> Self {
        Self {
            status: commitment.status.as_str(),
            started_at: commitment.started_at.map(EpochShape),
            ended_at: commitment.ended_at.map(EpochShape),
            earliest_allowed_end_at: commitment.earliest_allowed_end_at.map(EpochShape),
        }
    }
}

impl Output for AccountSettings {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape {
            minimum_throughput_billing_commitment: CommitmentShape,
        }
        format.encode(&Shape {
            minimum_throughput_billing_commitment: CommitmentShape::of(&self.minimum_throughput_billing_commitment),
        })
    }
}
