//! Mappings as AWS answers them: every setting is there, whether it was set or not.

use kcl_core::{InitialPosition, Timestamp};
use serde_json::{Map, Value, json};

use super::{extensions::KclExtensions, settings::MappingSettings};

pub(super) fn members(settings: &MappingSettings) -> Map<String, Value> {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| {
        members.insert(name.to_owned(), value);
    };
    if let Some(uuid) = settings.uuid {
        put("UUID", json!(uuid.to_string()));
    }
    put("EventSourceArn", json!(settings.event_source_arn.as_str()));
    put("FunctionName", json!(settings.function_name.as_str()));
    put("Enabled", json!(settings.enabled));
    put("BatchSize", json!(settings.batch_size));
    let window = settings.maximum_batching_window;
    let is_whole = window.subsec_nanos() == 0;
    put(
        "MaximumBatchingWindowInSeconds",
        json!(if is_whole { window.as_secs() } else { 0 }),
    );
    put("ParallelizationFactor", json!(settings.parallelization_factor));
    let (position, at) = match settings.starting_position {
        InitialPosition::Latest => ("LATEST", None),
        InitialPosition::AtTimestamp(at) => ("AT_TIMESTAMP", Some(at)),
        _ => ("TRIM_HORIZON", None),
    };
    put("StartingPosition", json!(position));
    if let Some(at) = at {
        put("StartingPositionTimestamp", seconds(at));
    }
    put(
        "BisectBatchOnFunctionError",
        json!(settings.bisect_batch_on_function_error),
    );
    put("MaximumRetryAttempts", or_infinite(settings.maximum_retry_attempts));
    put(
        "MaximumRecordAgeInSeconds",
        or_infinite(settings.maximum_record_age.map(|age| age.as_secs())),
    );
    put(
        "DestinationConfig",
        match &settings.on_failure {
            Some(destination) => json!({"OnFailure": {"Destination": destination.arn()}}),
            None => json!({"OnFailure": {}}),
        },
    );
    put("FunctionResponseTypes", json!(settings.function_response_types));
    put(
        "TumblingWindowInSeconds",
        json!(settings.tumbling_window.map_or(0, |window| window.as_secs())),
    );
    if !settings.filter_criteria.filters.is_empty() {
        put("FilterCriteria", json!(settings.filter_criteria));
    }
    if let Some(arn) = &settings.kms_key_arn {
        put("KMSKeyArn", json!(arn));
    }
    if !settings.metrics.is_empty() {
        put("MetricsConfig", json!({"Metrics": settings.metrics}));
    }
    let mut extensions = extensions(&settings.extensions);
    if !is_whole {
        let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        extensions.insert("MaximumBatchingWindowInMilliseconds".to_owned(), json!(millis));
    }
    if !extensions.is_empty() {
        put("KclExtensions", Value::Object(extensions));
    }
    members
}

/// Only what is set to something else than what Lambda does: a mapping of AWS's stays one.
fn extensions(extensions: &KclExtensions) -> Map<String, Value> {
    let default = KclExtensions::default();
    let KclExtensions {
        lanes_per_key,
        payload_limit,
        on_exhausted,
        retry_items,
        strict_responses,
        backoff,
        circuit_breaker,
        deaggregate_before_filtering,
        filter_by_metadata,
        filter_quota,
        filter_dry_run,
        dead_letters,
        shadow_function_name,
        replay_until,
    } = extensions;
    let mut members = Map::new();
    let mut put = |name: &str, is_set: bool, value: Value| {
        if is_set {
            members.insert(name.to_owned(), value);
        }
    };
    put("LanesPerKey", lanes_per_key.is_some(), json!(lanes_per_key));
    let limit = or_infinite(*payload_limit);
    put("PayloadLimitInBytes", *payload_limit != default.payload_limit, limit);
    put(
        "OnExhausted",
        *on_exhausted != default.on_exhausted,
        json!(on_exhausted.name()),
    );
    put("RetryItems", *retry_items, json!(true));
    put("StrictResponses", *strict_responses, json!(true));
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let steps = json!({
        "InitialInMilliseconds": millis(backoff.initial), "LongestInMilliseconds": millis(backoff.longest),
    });
    put("Backoff", *backoff != default.backoff, steps);
    let breaker = circuit_breaker
        .map(|breaker| json!({"Failures": breaker.failures, "OpenForInMilliseconds": millis(breaker.open_for)}));
    put("CircuitBreaker", breaker.is_some(), json!(breaker));
    put(
        "DeaggregateBeforeFiltering",
        !deaggregate_before_filtering,
        json!(false),
    );
    put("FilterByMetadata", *filter_by_metadata, json!(true));
    put(
        "FilterQuota",
        *filter_quota != default.filter_quota,
        json!(filter_quota),
    );
    put("FilterDryRun", *filter_dry_run, json!(true));
    let place = dead_letters.as_ref().map(ToString::to_string);
    put("DeadLetters", place.is_some(), json!(place));
    let shadow = shadow_function_name.as_ref().map(|name| name.as_str());
    put("ShadowFunctionName", shadow.is_some(), json!(shadow));
    put(
        "ReplayUntilTimestamp",
        replay_until.is_some(),
        replay_until.map_or(Value::Null, seconds),
    );
    members
}

fn or_infinite<N: Into<Value>>(limit: Option<N>) -> Value {
    limit.map_or_else(|| json!(-1), Into::into)
}

/// Seconds since 1970, whole if they are.
fn seconds(at: Timestamp) -> Value {
    let millis = at.epoch_millis();
    if millis % 1_000 == 0 {
        return json!(millis / 1_000);
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds of our times have far fewer than 53 bits"
    )]
    let seconds = millis as f64 / 1_000.0;
    json!(seconds)
}
