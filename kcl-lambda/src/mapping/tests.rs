use std::time::Duration;

use kcl_core::Timestamp;
use serde_json::json;

use super::*;
use crate::filter::FilterCriteria;

fn members() -> Map<String, Value> {
    let Value::Object(members) = json!({
        "EventSourceArn": "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry",
        "FunctionName": "probe",
        "StartingPosition": "TRIM_HORIZON",
    }) else {
        unreachable!()
    };
    members
}

/// A mapping with these settings besides what it must have.
fn with(more: &Value) -> Result<EventSourceMapping, InvalidMapping> {
    let mut members = members();
    members.extend(more.as_object().unwrap().clone());
    EventSourceMapping::try_from(members)
}

fn builder() -> MappingBuilder {
    let stream = "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry"
        .parse()
        .unwrap();
    EventSourceMapping::builder(stream, "probe".parse().unwrap(), InitialPosition::TrimHorizon)
}

#[test]
fn given_the_least_when_written_then_it_is_as_aws_answers_it() {
    let mapping = with(&json!({})).unwrap();
    assert_eq!(mapping, builder().build().unwrap());
    let expected = json!({
        "EventSourceArn": "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry",
        "FunctionName": "probe",
        "Enabled": true,
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 0,
        "ParallelizationFactor": 1,
        "StartingPosition": "TRIM_HORIZON",
        "BisectBatchOnFunctionError": false,
        "MaximumRetryAttempts": -1,
        "MaximumRecordAgeInSeconds": -1,
        "DestinationConfig": {"OnFailure": {}},
        "FunctionResponseTypes": [],
        "TumblingWindowInSeconds": 0,
    });
    assert_eq!(serde_json::to_value(&mapping).unwrap(), expected);
}

fn everything() -> MappingBuilder {
    builder()
        .uuid(uuid::Uuid::max())
        .enabled(false)
        .batch_size(10_000)
        .maximum_batching_window(Duration::from_millis(1_250))
        .bisect_batch_on_function_error(true)
        .maximum_retry_attempts(Some(0))
        .maximum_record_age(Some(Duration::from_secs(60)))
        .report_batch_item_failures()
        .filter_criteria(FilterCriteria::of_patterns([r#"{"partitionKey":["a"]}"#]))
        .kms_key_arn("arn:aws:kms:eu-west-1:111122223333:key/1".to_owned())
        .count_events()
        .lanes_per_key(64)
        .payload_limit(None)
        .on_exhausted(OnExhausted::QuarantineKey)
        .retry_items(true)
        .strict_responses(true)
        .backoff(kcl_core::retry::Backoff {
            initial: Duration::from_millis(5),
            longest: Duration::from_secs(7),
        })
        .circuit_breaker(CircuitBreaker {
            failures: 5,
            open_for: Duration::from_secs(30),
        })
        .deaggregate_before_filtering(false)
        .filter_by_metadata(true)
        .filter_quota(10)
        .filter_dry_run(true)
        .dead_letters("sqlite:letters.db".parse().unwrap())
        .shadow_function_name("probe:next".parse().unwrap())
        .replay_until(Timestamp::from_epoch_millis(1_763_700_000_125))
}

#[test]
fn given_every_setting_when_written_and_read_then_it_is_the_same_in_json_and_toml() {
    let at = EventSourceMapping::builder(
        "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry/consumer/probe:1763700000"
            .parse()
            .unwrap(),
        "arn:aws:lambda:eu-west-1:111122223333:function:probe:live"
            .parse()
            .unwrap(),
        InitialPosition::AtTimestamp(Timestamp::from_epoch_millis(1_763_700_000_125)),
    )
    .tumbling_window(Some(Duration::from_secs(900)))
    .on_failure("arn:aws:s3:::letters".parse().unwrap())
    .maximum_batching_window(Duration::from_secs(300))
    .parallelization_factor(1);
    for mapping in [everything().build().unwrap(), at.build().unwrap()] {
        let json = serde_json::to_string(&mapping).unwrap();
        assert_eq!(
            serde_json::from_str::<EventSourceMapping>(&json).unwrap(),
            mapping,
            "{json}"
        );
        let toml = toml::to_string(&mapping).unwrap();
        assert_eq!(toml::from_str::<EventSourceMapping>(&toml).unwrap(), mapping, "{toml}");
        assert_eq!(mapping.to_builder().build().unwrap(), mapping);
    }
}

#[test]
fn given_what_aws_answers_when_read_then_it_is_a_mapping() {
    let answered = json!({
        "UUID": "14e0db71-0000-0000-0000-1234567890ab",
        "StartingPosition": "AT_TIMESTAMP",
        "StartingPositionTimestamp": 1_763_700_000.5,
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 0,
        "ParallelizationFactor": 1,
        "EventSourceArn": "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry",
        "FunctionArn": "arn:aws:lambda:eu-west-1:111122223333:function:probe:live",
        "LastModified": 1_763_700_000.25,
        "LastProcessingResult": "No records processed",
        "State": "Disabled",
        "StateTransitionReason": "User action",
        "DestinationConfig": {"OnFailure": {}},
        "MaximumRecordAgeInSeconds": -1,
        "BisectBatchOnFunctionError": false,
        "MaximumRetryAttempts": -1,
        "TumblingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
        "FilterCriteria": null,
    });
    let mapping: EventSourceMapping = serde_json::from_value(answered).unwrap();
    assert!(!mapping.enabled);
    assert_eq!(mapping.function_name.qualifier(), Some("live"));
    assert_eq!(
        mapping.starting_position,
        InitialPosition::AtTimestamp(Timestamp::from_epoch_millis(1_763_700_000_500))
    );
    let as_text = json!({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": "2025-11-21T04:40:00.5Z"});
    assert_eq!(with(&as_text).unwrap().starting_position, mapping.starting_position);
}

#[test]
fn given_settings_that_are_no_ones_when_read_then_the_error_says_what_was_meant() {
    let rule = |more: &Value| with(more).unwrap_err().to_string();
    assert_eq!(
        rule(&json!({"BatchSzie": 5})),
        "BatchSzie is 5: there is no such setting; is it BatchSize?"
    );
    assert_eq!(
        rule(&json!({"batch_size": 5})),
        "batch_size is 5: there is no such setting; is it BatchSize?"
    );
    assert_eq!(
        rule(&json!({"ScalingConfig": {}})),
        "ScalingConfig is {}: leave it out: it is for SQS, and this source is a stream"
    );
    assert_eq!(
        rule(&json!({"LanesPerKey": 5})),
        "LanesPerKey is 5: write it into the table KclExtensions: LanesPerKey is not a setting of AWS's"
    );
    assert_eq!(
        rule(&json!({"DestinationConfig": {"OnFailure": {"Destinaton": "x"}}})),
        "DestinationConfig.OnFailure.Destinaton is \"x\": there is no such setting; is it Destination?"
    );
    assert!(rule(&json!({"KclExtensions": {"Nonsense": 1}})).contains("there are Backoff, CircuitBreaker"));
    assert!(
        rule(&json!({"KclExtensions": {"CircuitBreaker": {"Failures": 1}}}))
            .contains("OpenForInMilliseconds is missing")
    );
}

#[test]
fn given_a_mapping_without_what_it_must_have_when_read_then_the_error_names_it() {
    for name in ["EventSourceArn", "FunctionName", "StartingPosition"] {
        let mut members = members();
        members.remove(name);
        let error = EventSourceMapping::try_from(members).unwrap_err();
        assert_eq!((error.setting(), error.value()), (name, "missing"));
    }
}

#[test]
fn given_values_of_the_wrong_kind_when_read_then_the_setting_is_named() {
    for (more, setting) in [
        (json!({"BatchSize": "100"}), "BatchSize"),
        (json!({"BatchSize": 1.5}), "BatchSize"),
        (json!({"Enabled": "yes"}), "Enabled"),
        (json!({"UUID": "7"}), "UUID"),
        (json!({"State": "Broken"}), "State"),
        (json!({"DestinationConfig": []}), "DestinationConfig"),
        (
            json!({"DestinationConfig": {"OnFailure": {"Destination": 7}}}),
            "DestinationConfig.OnFailure.Destination",
        ),
        (
            json!({"FunctionResponseTypes": "ReportBatchItemFailures"}),
            "FunctionResponseTypes",
        ),
        (json!({"FilterCriteria": {"Filters": [{}]}}), "FilterCriteria"),
        (
            json!({"FilterCriteria": {"Filters": [{"Pattern": {}}]}}),
            "FilterCriteria",
        ),
        (
            json!({"MetricsConfig": {"Metrics": ["KafkaMetrics"]}}),
            "MetricsConfig.Metrics",
        ),
        (json!({"KclExtensions": 7}), "KclExtensions"),
        (
            json!({"KclExtensions": {"OnExhausted": "Explode"}}),
            "KclExtensions.OnExhausted",
        ),
        (
            json!({"KclExtensions": {"Backoff": {"InitialInMilliseconds": 0}}}),
            "KclExtensions.Backoff.InitialInMilliseconds",
        ),
    ] {
        assert_eq!(with(&more).unwrap_err().setting(), setting, "{more}");
    }
}

#[test]
fn given_durations_that_no_setting_has_when_built_then_they_are_refused() {
    let nanos = Duration::from_nanos(1);
    let setting = |builder: MappingBuilder| builder.build().unwrap_err().setting().to_owned();
    let half = Duration::from_millis(60_500);
    assert_eq!(
        setting(builder().maximum_record_age(Some(half))),
        "MaximumRecordAgeInSeconds"
    );
    assert_eq!(
        setting(builder().tumbling_window(Some(half))),
        "TumblingWindowInSeconds"
    );
    assert_eq!(
        setting(builder().tumbling_window(Some(Duration::ZERO))),
        "TumblingWindowInSeconds"
    );
    assert_eq!(
        setting(builder().maximum_batching_window(nanos)),
        "KclExtensions.MaximumBatchingWindowInMilliseconds"
    );
    let twice = builder().filter_criteria(FilterCriteria::of_patterns([r#"{"data":{"a":[{"wildcard":"*"}]}}"#]));
    assert_eq!(setting(twice), "FilterCriteria.Filters[0].Pattern");
}

#[test]
fn given_rules_for_responses_when_asked_then_they_follow_from_the_settings() {
    let rules = builder()
        .report_batch_item_failures()
        .strict_responses(true)
        .build()
        .unwrap()
        .response_rules();
    assert!(rules.item_failures && rules.strict && !rules.window_state);
    let window = builder()
        .tumbling_window(Some(Duration::from_secs(1)))
        .build()
        .unwrap()
        .response_rules();
    assert!(!window.item_failures && window.window_state);
}
