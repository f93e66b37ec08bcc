//! Settings that depend on each other, and extensions.

use serde_json::json;

use super::{
    super::{
        Evidence::{Community, Documented, OurChoice},
        Row, SAME,
    },
    row,
};

pub(super) fn rows() -> Vec<Row> {
    vec![
        row(
            "a tumbling window and lanes",
            "a window needs ParallelizationFactor 1",
            Community,
            SAME,
            vec![json!({"TumblingWindowInSeconds": 60, "ParallelizationFactor": 1})],
            vec![(
                json!({"TumblingWindowInSeconds": 60, "ParallelizationFactor": 2}),
                "ParallelizationFactor",
            )],
        ),
        row(
            "large batches without a window",
            "for queues a BatchSize over 10 needs a batching window; not for streams",
            Documented,
            SAME,
            vec![json!({"BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 0})],
            vec![],
        ),
        row(
            "windows in milliseconds",
            "whole seconds only",
            Documented,
            "`MaximumBatchingWindowInMilliseconds`, in its place",
            vec![json!({"KclExtensions": {"MaximumBatchingWindowInMilliseconds": 250}})],
            vec![
                (
                    json!({"MaximumBatchingWindowInSeconds": 0.25}),
                    "MaximumBatchingWindowInSeconds",
                ),
                (
                    json!({"MaximumBatchingWindowInSeconds": 1, "KclExtensions": {"MaximumBatchingWindowInMilliseconds": 250}}),
                    "KclExtensions.MaximumBatchingWindowInMilliseconds",
                ),
            ],
        ),
        row(
            "lanes per key",
            "does not have them",
            OurChoice,
            "`LanesPerKey`, in place of ParallelizationFactor and without windows",
            vec![json!({"KclExtensions": {"LanesPerKey": 64}})],
            vec![
                (
                    json!({"ParallelizationFactor": 2, "KclExtensions": {"LanesPerKey": 64}}),
                    "ParallelizationFactor",
                ),
                (
                    json!({"TumblingWindowInSeconds": 60, "KclExtensions": {"LanesPerKey": 64}}),
                    "KclExtensions.LanesPerKey",
                ),
            ],
        ),
        row(
            "retries by item",
            "does not have them",
            OurChoice,
            "`RetryItems`, with ReportBatchItemFailures and without windows",
            vec![json!({"FunctionResponseTypes": ["ReportBatchItemFailures"], "KclExtensions": {"RetryItems": true}})],
            vec![
                (
                    json!({"KclExtensions": {"RetryItems": true}}),
                    "KclExtensions.RetryItems",
                ),
                (
                    json!({"FunctionResponseTypes": ["ReportBatchItemFailures"], "TumblingWindowInSeconds": 60,
                    "KclExtensions": {"RetryItems": true}}),
                    "KclExtensions.RetryItems",
                ),
            ],
        ),
        row(
            "quarantine",
            "does not have it",
            OurChoice,
            "`OnExhausted` `QuarantineKey`, where something can be exhausted",
            vec![
                json!({"MaximumRetryAttempts": 3, "KclExtensions": {"OnExhausted": "QuarantineKey"}}),
                json!({"MaximumRecordAgeInSeconds": 60, "KclExtensions": {"OnExhausted": "QuarantineKey"}}),
            ],
            vec![(
                json!({"KclExtensions": {"OnExhausted": "QuarantineKey"}}),
                "KclExtensions.OnExhausted",
            )],
        ),
        row(
            "places for dead letters",
            "does not have these",
            OurChoice,
            "`DeadLetters`: an SQLite file or a stream, in place of OnFailure",
            vec![
                json!({"KclExtensions": {"DeadLetters": "sqlite:letters.db"}}),
                json!({"KclExtensions": {"DeadLetters": "arn:aws:kinesis:eu-west-1:111122223333:stream/letters"}}),
            ],
            vec![
                (
                    json!({"KclExtensions": {"DeadLetters": "letters"}}),
                    "KclExtensions.DeadLetters",
                ),
                (
                    json!({"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::letters"}},
                    "KclExtensions": {"DeadLetters": "sqlite:letters.db"}}),
                    "KclExtensions.DeadLetters",
                ),
            ],
        ),
        row(
            "replays",
            "a mapping of its own, without an end",
            Documented,
            "`ReplayUntilTimestamp`, after the start",
            vec![json!({"KclExtensions": {"ReplayUntilTimestamp": "2025-11-21T04:40:00Z"}})],
            vec![
                (
                    json!({"StartingPosition": "LATEST", "KclExtensions": {"ReplayUntilTimestamp": 7}}),
                    "KclExtensions.ReplayUntilTimestamp",
                ),
                (
                    json!({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 7,
                    "KclExtensions": {"ReplayUntilTimestamp": 7}}),
                    "KclExtensions.ReplayUntilTimestamp",
                ),
            ],
        ),
        row(
            "payload limit",
            "6 MB",
            Documented,
            "the same; `PayloadLimitInBytes` changes it, and -1 lifts it",
            vec![
                json!({"KclExtensions": {"PayloadLimitInBytes": -1}}),
                json!({"KclExtensions": {"PayloadLimitInBytes": 6_291_456}}),
            ],
            vec![(
                json!({"KclExtensions": {"PayloadLimitInBytes": 0}}),
                "KclExtensions.PayloadLimitInBytes",
            )],
        ),
        row(
            "strict responses",
            "does not have them",
            OurChoice,
            "`StrictResponses`, with ReportBatchItemFailures",
            vec![
                json!({"FunctionResponseTypes": ["ReportBatchItemFailures"], "KclExtensions": {"StrictResponses": true}}),
            ],
            vec![(
                json!({"KclExtensions": {"StrictResponses": true}}),
                "KclExtensions.StrictResponses",
            )],
        ),
        row(
            "backoff",
            "exponential up to about a minute, it is told",
            Community,
            "`Backoff`: doubling from half a second to a minute by default",
            vec![json!({"KclExtensions": {"Backoff": {"InitialInMilliseconds": 10, "LongestInMilliseconds": 10}}})],
            vec![(
                json!({"KclExtensions": {"Backoff": {"InitialInMilliseconds": 10, "LongestInMilliseconds": 9}}}),
                "KclExtensions.Backoff.LongestInMilliseconds",
            )],
        ),
        row(
            "dry runs of filters",
            "does not have them",
            OurChoice,
            "`FilterDryRun`, where there are filters",
            vec![
                json!({"FilterCriteria": {"Filters": [{"Pattern": r#"{"data":{"a":[1]}}"#}]}, "KclExtensions": {"FilterDryRun": true}}),
            ],
            vec![(
                json!({"KclExtensions": {"FilterDryRun": true}}),
                "KclExtensions.FilterDryRun",
            )],
        ),
    ]
}
