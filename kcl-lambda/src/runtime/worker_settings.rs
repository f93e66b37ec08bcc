//! What a mapping says, in the settings of a worker.

use std::sync::Arc;

use kcl_core::{
    ShardId,
    delivery::{BreakerConfig, DeliveryPolicy, DeliverySettings, Exhausted, FailedItems},
    shard::Lanes,
};
use kcl_runtime::{Config, ConsumerSelector, RetrievalMode};

use super::admission::MappingAdmission;
use crate::{
    event::{EventSource, EventWriter},
    mapping::{EventSourceMapping, InvalidMapping, OnExhausted},
};

/// Sets what the mapping has a setting for, and leaves the rest as it is.
pub(super) fn apply(mapping: &EventSourceMapping, config: &mut Config) {
    let extensions = &mapping.extensions;
    config.initial_position = mapping.starting_position;
    config.batch_size = mapping.batch_size as usize;
    config.lanes = match (extensions.lanes_per_key, mapping.parallelization_factor) {
        (Some(calls), _) => Lanes::PerKey { calls: calls as usize },
        (None, 1) => Lanes::One,
        (None, factor) => Lanes::Hashed(factor as usize),
    };
    config.handler_backoff = extensions.backoff;
    config.deaggregate = extensions.deaggregate_before_filtering;
    if mapping.event_source_arn.consumer().is_some() {
        config.retrieval_mode = RetrievalMode::FanOut;
        config.consumer = mapping
            .event_source_arn
            .as_str()
            .parse()
            .map(ConsumerSelector::Arn)
            .ok()
            .or_else(|| config.consumer.take());
    }
}

pub(super) fn delivery(
    mapping: &EventSourceMapping,
    source: &EventSource,
    admission: MappingAdmission,
) -> Result<DeliverySettings, InvalidMapping> {
    let extensions = &mapping.extensions;
    let policy = DeliveryPolicy {
        batching_window: mapping.maximum_batching_window,
        max_payload: extensions.payload_limit.map(|limit| room_for_records(limit, source)),
        max_retries: mapping.maximum_retry_attempts,
        max_record_age: mapping.maximum_record_age,
        bisect: mapping.bisect_batch_on_function_error,
        failed_items: match extensions.retry_items {
            true => FailedItems::Each,
            false => FailedItems::FromFirst,
        },
        exhausted: match extensions.on_exhausted {
            OnExhausted::QuarantineKey => Exhausted::Quarantine,
            OnExhausted::Discard => Exhausted::Discard,
        },
        breaker: extensions.circuit_breaker.map(|breaker| BreakerConfig {
            failures: breaker.failures,
            pause: breaker.open_for,
        }),
    };
    Ok(DeliverySettings {
        policy,
        admission: Arc::new(admission),
    })
}

/// What an event of `limit` bytes leaves for its records, each with a comma.
fn room_for_records(limit: usize, _source: &EventSource) -> u64 {
    (limit + 1).saturating_sub(EventWriter::envelope_bytes()) as u64
}

/// Names of shards are of one length, but for streams with more than 10^12 of them.
pub(super) fn any_shard() -> ShardId {
    ShardId::new("shardId-000000000000").expect("a name as the service gives them")
}
