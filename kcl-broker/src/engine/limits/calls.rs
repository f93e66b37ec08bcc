//! [`CallMeters`]: how often operations may be called.

use std::collections::BTreeMap;

use kcl_core::Timestamp;

use super::{Bucket, Rate};

/// How often an operation may be called.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallLimit {
    pub(super) rate: Rate,
    /// By stream, rather than for all streams of the account together.
    pub(super) per_stream: bool,
}

/// The limit of an operation, if it has one that counts calls.
pub(super) fn limit_of(operation: &str) -> Option<CallLimit> {
    let (per_second, per_stream) = match operation {
        // Records are limited by shard.
        "PutRecord" | "PutRecords" | "GetRecords" | "GetShardIterator" | "SubscribeToShard" => return None,
        "DescribeLimits" => (1, false),
        "DescribeStream" | "UpdateShardCount" => (10, false),
        "DescribeStreamSummary" => (20, false),
        "ListShards" => (1000, true),
        "DescribeStreamConsumer" => (20, true),
        "RegisterStreamConsumer" | "DeregisterStreamConsumer" | "ListStreamConsumers" => (5, true),
        // All that remain change or list streams, their settings, tags and policies.
        _ => (5, false),
    };
    Some(CallLimit {
        rate: Rate::per_second(per_second),
        per_stream,
    })
}

/// Meters the calls to an account or to a stream, each operation by itself. There are only so many operations.
#[derive(Debug, Default)]
pub(in crate::engine) struct CallMeters(BTreeMap<&'static str, Bucket>);

impl CallMeters {
    pub(super) fn take(&mut self, operation: &'static str, rate: Rate, now: Timestamp) -> bool {
        self.0.entry(operation).or_default().take(rate, 1, now)
    }
}
