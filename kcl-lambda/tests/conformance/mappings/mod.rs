//! Settings of event source mappings.

mod together;

use kcl_lambda::mapping::EventSourceMapping;
use serde_json::{Map, Value, json};

use super::{
    Evidence::{self, Documented, Observed, OurChoice},
    Row, SAME, check,
};

fn mapping(more: &Value) -> Result<EventSourceMapping, String> {
    let mut members: Map<String, Value> = serde_json::from_value(json!({
        "EventSourceArn": "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry",
        "FunctionName": "probe",
        "StartingPosition": "TRIM_HORIZON",
    }))
    .unwrap();
    members.extend(more.as_object().unwrap().clone());
    members.retain(|_, value| *value != json!("-"));
    serde_json::from_value(Value::Object(members)).map_err(|error| error.to_string())
}

/// A row about what is taken and what is refused; `"-"` leaves a setting out. A refusal names the setting.
fn row(
    name: &'static str,
    aws: &'static str,
    evidence: Evidence,
    ours: &'static str,
    taken: Vec<Value>,
    refused: Vec<(Value, &'static str)>,
) -> Row {
    let check = move || {
        for more in &taken {
            assert!(mapping(more).is_ok(), "{more}: {:?}", mapping(more));
        }
        for (more, setting) in &refused {
            let error = mapping(more).unwrap_err();
            assert!(error.starts_with(&format!("{setting} is ")), "{more}: {error}");
        }
    };
    Row {
        name,
        aws,
        evidence,
        ours,
        check: Box::new(check),
    }
}

/// A setting with a range: what is within is taken, and answered as it was given.
fn range(
    setting: &'static str,
    aws: &'static str,
    default: Value,
    taken: &'static [i64],
    refused: &'static [i64],
) -> Row {
    let check = move || {
        let answer = |mapping: EventSourceMapping| serde_json::to_value(mapping).unwrap()[setting].clone();
        assert_eq!(answer(mapping(&json!({})).unwrap()), default);
        for value in taken {
            assert_eq!(
                answer(mapping(&json!({setting: value})).unwrap()),
                json!(value),
                "{setting} {value}"
            );
        }
        for value in refused {
            let error = mapping(&json!({setting: value})).unwrap_err();
            assert!(
                error.starts_with(&format!("{setting} is {value}: use a whole number from ")),
                "{error}"
            );
        }
    };
    Row {
        name: setting,
        aws,
        evidence: Documented,
        ours: SAME,
        check: Box::new(check),
    }
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = vec![
        range(
            "BatchSize",
            "1 to 10,000; 100 by default",
            json!(100),
            &[1, 11, 10_000],
            &[0, -1, 10_001],
        ),
        range(
            "MaximumBatchingWindowInSeconds",
            "0 to 300; 0 by default",
            json!(0),
            &[0, 300],
            &[-1, 301],
        ),
        range(
            "ParallelizationFactor",
            "1 to 10; 1 by default",
            json!(1),
            &[1, 10],
            &[0, 11],
        ),
        range(
            "MaximumRetryAttempts",
            "-1 (without end), 0 to 10,000; -1 by default",
            json!(-1),
            &[-1, 0, 10_000],
            &[-2, 10_001],
        ),
        range(
            "MaximumRecordAgeInSeconds",
            "-1 (without limit), 60 to 604,800; -1 by default",
            json!(-1),
            &[-1, 60, 604_800],
            &[-2, 0, 59, 604_801],
        ),
        range(
            "TumblingWindowInSeconds",
            "0 (off) to 900; 0 by default",
            json!(0),
            &[0, 1, 900],
            &[-1, 901],
        ),
    ];
    rows.extend(sources());
    rows.extend(others());
    rows.extend(together::rows());
    rows
}

fn sources() -> Vec<Row> {
    let consumer = "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry/consumer/probe:1763700000";
    vec![
        row(
            "EventSourceArn",
            "a stream, or a consumer of one; must be there",
            Documented,
            SAME,
            vec![json!({"EventSourceArn": consumer})],
            vec![
                (json!({"EventSourceArn": "-"}), "EventSourceArn"),
                (json!({"EventSourceArn": "telemetry"}), "EventSourceArn"),
                (
                    json!({"EventSourceArn": "arn:aws:sqs:eu-west-1:111122223333:queue"}),
                    "EventSourceArn",
                ),
                (
                    json!({"EventSourceArn": "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry/consumer/probe"}),
                    "EventSourceArn",
                ),
            ],
        ),
        row(
            "FunctionName",
            "a name or an ARN, with a version or an alias; must be there",
            Documented,
            SAME,
            vec![
                json!({"FunctionName": "probe:live"}),
                json!({"FunctionName": "probe:$LATEST"}),
                json!({"FunctionName": "arn:aws:lambda:eu-west-1:111122223333:function:probe:7"}),
            ],
            vec![
                (json!({"FunctionName": "-"}), "FunctionName"),
                (json!({"FunctionName": "my probe"}), "FunctionName"),
            ],
        ),
        row(
            "StartingPosition",
            "LATEST, TRIM_HORIZON or AT_TIMESTAMP; must be there",
            Documented,
            SAME,
            vec![json!({"StartingPosition": "LATEST"})],
            vec![
                (json!({"StartingPosition": "-"}), "StartingPosition"),
                (json!({"StartingPosition": "latest"}), "StartingPosition"),
            ],
        ),
        row(
            "StartingPositionTimestamp",
            "seconds since 1970; with AT_TIMESTAMP and only then",
            Documented,
            "the same, or an instant as text",
            vec![
                json!({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1_763_700_000}),
                json!({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1_763_700_000.125}),
                json!({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": "2025-11-21T04:40:00Z"}),
            ],
            vec![
                (json!({"StartingPosition": "AT_TIMESTAMP"}), "StartingPositionTimestamp"),
                (
                    json!({"StartingPositionTimestamp": 1_763_700_000}),
                    "StartingPositionTimestamp",
                ),
                (
                    json!({"StartingPosition": "LATEST", "StartingPositionTimestamp": 1_763_700_000}),
                    "StartingPositionTimestamp",
                ),
            ],
        ),
    ]
}

fn destination(arn: &str) -> Value {
    json!({"DestinationConfig": {"OnFailure": {"Destination": arn}}})
}

fn others() -> Vec<Row> {
    let on_failure = "DestinationConfig.OnFailure.Destination";
    vec![
        row(
            "DestinationConfig",
            "a standard queue, a standard topic or a bucket; no FIFO",
            Documented,
            SAME,
            vec![
                json!({"DestinationConfig": {"OnFailure": {}}}),
                json!({"DestinationConfig": {"OnFailure": {}, "OnSuccess": {}}}),
                destination("arn:aws:sqs:eu-west-1:111122223333:letters"),
                destination("arn:aws:sns:eu-west-1:111122223333:letters"),
                destination("arn:aws:s3:::letters"),
            ],
            vec![
                (
                    destination("arn:aws:sqs:eu-west-1:111122223333:letters.fifo"),
                    on_failure,
                ),
                (
                    destination("arn:aws:sns:eu-west-1:111122223333:letters.fifo"),
                    on_failure,
                ),
                (
                    destination("arn:aws:lambda:eu-west-1:111122223333:function:letters"),
                    on_failure,
                ),
                (destination("letters"), on_failure),
                (
                    json!({"DestinationConfig": {"OnSuccess": {"Destination": "arn:aws:s3:::letters"}}}),
                    "DestinationConfig.OnSuccess.Destination",
                ),
            ],
        ),
        row(
            "FunctionResponseTypes",
            "ReportBatchItemFailures, or nothing",
            Documented,
            SAME,
            vec![
                json!({"FunctionResponseTypes": []}),
                json!({"FunctionResponseTypes": ["ReportBatchItemFailures"]}),
            ],
            vec![(
                json!({"FunctionResponseTypes": ["ReportItemFailures"]}),
                "FunctionResponseTypes",
            )],
        ),
        row(
            "KMSKeyArn",
            "the key with which filters are kept",
            Documented,
            "checked, kept, and without effect: filters are in your file",
            vec![json!({"KMSKeyArn": "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"})],
            vec![(json!({"KMSKeyArn": "1234abcd"}), "KMSKeyArn")],
        ),
        row(
            "MetricsConfig",
            "EventCount; ErrorCount and KafkaMetrics are for Kafka",
            Documented,
            SAME,
            vec![json!({"MetricsConfig": {"Metrics": ["EventCount"]}})],
            vec![(
                json!({"MetricsConfig": {"Metrics": ["ErrorCount"]}}),
                "MetricsConfig.Metrics",
            )],
        ),
        row(
            "FilterCriteria",
            "patterns as text; broken ones are refused when the mapping is made",
            Documented,
            SAME,
            vec![
                json!({"FilterCriteria": {}}),
                json!({"FilterCriteria": {"Filters": [{"Pattern": r#"{"data":{"a":[1]}}"#}]}}),
            ],
            vec![(
                json!({"FilterCriteria": {"Filters": [{"Pattern": "a"}]}}),
                "FilterCriteria.Filters[0].Pattern",
            )],
        ),
        Row {
            name: "Enabled",
            aws: "true by default; false pauses",
            evidence: Documented,
            ours: SAME,
            check: Box::new(|| {
                assert!(mapping(&json!({})).unwrap().enabled);
                assert!(!mapping(&json!({"Enabled": false})).unwrap().enabled);
            }),
        },
        Row {
            name: "what AWS answers",
            aws: "answers have `UUID`, `State`, `FunctionArn` and more, and -1 and empty lists where nothing is set",
            evidence: Observed,
            ours: "answers are taken as mappings, and mappings are written with the same defaults",
            check: Box::new(|| {
                let answer = json!({"State": "Disabled", "StateTransitionReason": "User action", "FunctionName": "-",
                    "LastProcessingResult": "No records processed", "LastModified": 1_763_700_000.5,
                    "FunctionArn": "arn:aws:lambda:eu-west-1:111122223333:function:probe"});
                assert!(!mapping(&answer).unwrap().enabled);
                let written = serde_json::to_value(mapping(&json!({})).unwrap()).unwrap();
                assert_eq!(written["DestinationConfig"], json!({"OnFailure": {}}));
                assert_eq!(written["FunctionResponseTypes"], json!([]));
                assert_eq!(written["MaximumRecordAgeInSeconds"], -1);
            }),
        },
        row(
            "unknown settings",
            "ignored by some clients, refused by others",
            OurChoice,
            "refused, with the setting that may have been meant",
            vec![],
            vec![
                (json!({"BatchSzie": 1}), "BatchSzie"),
                (json!({"ScalingConfig": {}}), "ScalingConfig"),
            ],
        ),
    ]
}

#[test]
fn mappings() {
    check(rows());
}
