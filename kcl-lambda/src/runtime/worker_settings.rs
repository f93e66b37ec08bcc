//! What a mapping says, in the settings of a worker.

use std::sync::Arc;

use kcl_core::{
    ShardId, Timestamp,
    delivery::{BreakerConfig, DeliveryPolicy, DeliverySettings, Exhausted, FailedItems, LARGEST_WINDOW_STATE},
    shard::Lanes,
};
use kcl_runtime::{Config, ConsumerSelector, RetrievalMode};

use super::admission::MappingAdmission;
use crate::{
    event::{EventSource, EventWriter, Window, WindowInvoke},
    mapping::{EventSourceMapping, InvalidMapping, OnExhausted},
    response::WindowState,
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
        max_payload: match extensions.payload_limit {
            Some(limit) => Some(room_for_records(limit, mapping, source)?),
            None => None,
        },
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
        tumbling_window: mapping.tumbling_window,
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
fn room_for_records(limit: usize, mapping: &EventSourceMapping, source: &EventSource) -> Result<u64, InvalidMapping> {
    let envelope = match mapping.tumbling_window {
        None => EventWriter::envelope_bytes(),
        Some(size) => {
            let window = Window::of(Timestamp::from_epoch_millis(0), size);
            let invoke = window.map(|window| WindowInvoke {
                window,
                state: WindowState::default(),
                is_final: false,
                is_terminated_early: false,
            });
            let members = invoke.map_or(0, |invoke| {
                EventWriter::new(source, &any_shard()).window_envelope_bytes(&invoke)
            });
            let envelope = members + LARGEST_WINDOW_STATE;
            if limit < 2 * envelope {
                return Err(InvalidMapping::of_payload_with_window(limit, 2 * envelope));
            }
            envelope
        }
    };
    Ok((limit + 1).saturating_sub(envelope) as u64)
}

/// Names of shards are of one length, but for streams with more than 10^12 of them.
pub(super) fn any_shard() -> ShardId {
    ShardId::new("shardId-000000000000").expect("a name as the service gives them")
}
