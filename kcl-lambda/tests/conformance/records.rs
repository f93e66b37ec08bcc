//! Invocation records for failure destinations.

use kcl_core::delivery::DiscardReason;
use kcl_lambda::{
    event::parse_event,
    invocation_record::{Condition, InvocationRecord, Payload, s3_key},
};
use serde_json::{Value, json};

use super::{
    Evidence::{self, Community, Documented, Observed, OurChoice},
    Row, SAME, check,
};

/// The record of a batch that was retried too often.
fn exhausted() -> Value {
    json!({
        "requestContext": {"requestId": "6f0e", "functionArn": "arn:aws:lambda:eu-west-1:111122223333:function:probe",
            "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 4},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0", "timestamp": "2025-11-21T04:41:07.310Z",
        "KinesisBatchInfo": {"shardId": "shardId-000000000003", "startSequenceNumber": "496501",
            "endSequenceNumber": "496509", "approximateArrivalOfFirstRecord": "2025-11-21T04:40:00.125Z",
            "approximateArrivalOfLastRecord": "2025-11-21T04:40:04.900Z", "batchSize": 9,
            "streamArn": "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry"}
    })
}

const EVENT: &str = r#"{"Records":[{"kinesis":{"partitionKey":"k","sequenceNumber":"1","data":"YQ==",
    "approximateArrivalTimestamp":1.5},"eventID":"shardId-0:1"}]}"#;

/// Reads a record and writes it again.
fn again(record: &Value) -> Value {
    let record: InvocationRecord = serde_json::from_value(record.clone()).unwrap();
    serde_json::to_value(record).unwrap()
}

fn row(name: &'static str, aws: &'static str, evidence: Evidence, ours: &'static str, check: fn()) -> Row {
    Row {
        name,
        aws,
        evidence,
        ours,
        check: Box::new(check),
    }
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        row(
            "to SQS and SNS",
            "what was tried and which records, without their data",
            Observed,
            SAME,
            || {
                assert_eq!(again(&exhausted()), exhausted());
            },
        ),
        row(
            "too old",
            "`RecordAgeExceeded`, and no `responseContext`",
            Observed,
            SAME,
            || {
                let mut record = exhausted();
                record["requestContext"]["condition"] = json!("RecordAgeExceeded");
                record.as_object_mut().unwrap().remove("responseContext");
                assert_eq!(again(&record), record);
            },
        ),
        row(
            "after failures of items",
            "`functionError` is null",
            Observed,
            SAME,
            || {
                let mut record = exhausted();
                record["responseContext"]["functionError"] = Value::Null;
                assert_eq!(again(&record), record);
            },
        ),
        row(
            "to S3",
            "the same, and `payload` with the event as text",
            Community,
            "written as text",
            || {
                let mut record: InvocationRecord = serde_json::from_value(exhausted()).unwrap();
                record.payload = Some(Payload::new(EVENT.as_bytes()).unwrap());
                let written = serde_json::to_value(&record).unwrap();
                assert_eq!(written["payload"], EVENT);
                assert_eq!(again(&written), written);
            },
        ),
        row(
            "`payload` read",
            "an object by an emulator",
            Community,
            "text and objects are read",
            || {
                for payload in [json!(EVENT), serde_json::from_str(EVENT).unwrap()] {
                    let mut record = exhausted();
                    record["payload"] = payload;
                    let record: InvocationRecord = serde_json::from_str(&record.to_string()).unwrap();
                    let records = parse_event(record.payload.unwrap().as_json().as_bytes()).unwrap();
                    assert_eq!((records.len(), &records[0].record.data[..]), (1, &b"a"[..]));
                }
            },
        ),
        row(
            "other reasons to give up",
            "not known",
            OurChoice,
            "`PayloadTooLarge` and `Quarantined`, in the same shape",
            || {
                use DiscardReason::{PayloadTooLarge, Quarantined, RecordAgeExceeded, RetryAttemptsExhausted};
                for reason in [RetryAttemptsExhausted, RecordAgeExceeded, PayloadTooLarge, Quarantined] {
                    let mut record = exhausted();
                    record["requestContext"]["condition"] = json!(Condition::of(reason).unwrap());
                    assert_eq!(record["requestContext"]["condition"], reason.as_str());
                    assert_eq!(again(&record), record);
                }
            },
        ),
        row("other conditions", "not known", OurChoice, "refused when read", || {
            let mut record = exhausted();
            record["requestContext"]["condition"] = json!("Tired");
            assert!(serde_json::from_value::<InvocationRecord>(record).is_err());
        }),
        row(
            "keys in S3",
            "`aws/lambda/<mapping>/<shard>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<UUID>`, in UTC",
            Documented,
            SAME,
            || {
                let key = s3_key(
                    uuid::Uuid::nil(),
                    &"shardId-000000000003".parse().unwrap(),
                    "2025-01-02T03:04:05.678Z".parse().unwrap(),
                    uuid::Uuid::max(),
                );
                let expected = "aws/lambda/00000000-0000-0000-0000-000000000000/shardId-000000000003/2025/01/02/\
                            2025-01-02T03.04.05-ffffffff-ffff-ffff-ffff-ffffffffffff";
                assert_eq!(key, expected);
            },
        ),
    ]
}

#[test]
fn records() {
    check(rows());
}
