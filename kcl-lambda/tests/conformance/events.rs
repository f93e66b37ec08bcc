//! Events that functions are invoked with.

use std::time::Duration;

use aws_lambda_events_1::event::kinesis::{KinesisEvent, KinesisTimeWindowEvent};
use kcl_core::{Record, ShardId, Timestamp};
use kcl_lambda::{
    WindowState,
    event::{EventSource, EventWriter, Window, WindowInvoke, parse_event},
};
use serde_json::{Value, json};

use super::{
    Evidence::{Community, Documented, Observed, OurChoice},
    Row, SAME, check,
};

fn writer() -> EventWriter {
    let source = EventSource {
        event_source_arn: "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry".to_owned(),
        region: "eu-west-1".to_owned(),
        invoke_identity_arn: "arn:aws:iam::111122223333:role/esm".to_owned(),
    };
    EventWriter::new(&source, &ShardId::new("shardId-000000000003").unwrap())
}

fn record(number: &str, key: &str, millis: i64, data: &[u8]) -> Record {
    Record::new(
        number.parse().unwrap(),
        key,
        Timestamp::from_epoch_millis(millis),
        data.to_vec(),
    )
}

fn written(record: Record) -> Value {
    serde_json::from_slice(&writer().event(&[record])).unwrap()
}

fn window(state: &str) -> WindowInvoke {
    WindowInvoke {
        window: Window::of("2025-11-21T04:41:07.310Z".parse().unwrap(), Duration::from_secs(120)).unwrap(),
        state: WindowState::new(state).unwrap(),
        is_final: false,
        is_terminated_early: false,
    }
}

fn row(name: &'static str, aws: &'static str, evidence: super::Evidence, ours: &'static str, check: fn()) -> Row {
    Row {
        name,
        aws,
        evidence,
        ours,
        check: Box::new(check),
    }
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = records();
    rows.extend(windows());
    rows
}

fn records() -> Vec<Row> {
    vec![
        row(
            "shape",
            "`Records` with `kinesis` and what is around it",
            Documented,
            "the same, members in the same order",
            || {
                let number = "49650000000000000000000000000000000000000000000000000001";
                let event = writer().event(&[record(number, "sensor-7", 1_763_700_000_125, br#"{"kind":"ok"}"#)]);
                let expected = r#"{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"sensor-7",
                "sequenceNumber":"49650000000000000000000000000000000000000000000000000001",
                "data":"eyJraW5kIjoib2sifQ==","approximateArrivalTimestamp":1763700000.125},
                "eventSource":"aws:kinesis","eventVersion":"1.0",
                "eventID":"shardId-000000000003:49650000000000000000000000000000000000000000000000000001",
                "eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::111122223333:role/esm",
                "awsRegion":"eu-west-1","eventSourceARN":"arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry"}]}"#;
                let expected: String = expected.split_whitespace().collect();
                assert_eq!(event, expected);
            },
        ),
        row(
            "time of arrival",
            "a number of seconds, three decimals in examples",
            Documented,
            "always three decimals, never more",
            || {
                for (millis, text) in [(0, "0.000"), (1_763_700_000_050, "1763700000.050")] {
                    let event = writer().event(&[record("1", "k", millis, b"")]);
                    let event = str::from_utf8(&event).unwrap();
                    assert!(
                        event.contains(&format!("\"approximateArrivalTimestamp\":{text}}}")),
                        "{event}"
                    );
                }
            },
        ),
        row("data", "base64 of the bytes, padded", Documented, SAME, || {
            for (data, text) in [
                (&b""[..], ""),
                (b"a", "YQ=="),
                (b"ab", "YWI="),
                (b"\xff\xfe\xfd", "//79"),
            ] {
                assert_eq!(
                    written(record("1", "k", 0, data))["Records"][0]["kinesis"]["data"],
                    text
                );
            }
        }),
        row(
            "keys with quotes, controls and any script",
            "JSON text",
            Documented,
            SAME,
            || {
                let key = "a\"\\\u{1}\n\u{7f}ü日😀";
                assert_eq!(
                    written(record("1", key, 0, b""))["Records"][0]["kinesis"]["partitionKey"],
                    key
                );
            },
        ),
        row("`encryptionType`", "absent", Observed, SAME, || {
            let event = writer().event(&[record("1", "k", 0, b"")]);
            assert!(!str::from_utf8(&event).unwrap().contains("encryptionType"));
        }),
        row(
            "records of one KPL aggregate",
            "the aggregate is handed on as it is",
            Documented,
            "records of their own with the aggregate's number, and ids such as `shard:number/1`",
            || {
                let mut second = record("7", "k", 0, b"");
                second.sub_sequence_number = 1;
                let event = written(second);
                assert_eq!(event["Records"][0]["kinesis"]["sequenceNumber"], "7");
                assert_eq!(event["Records"][0]["eventID"], "shardId-000000000003:7/1");
            },
        ),
        row(
            "size",
            "6 MB of JSON, after base64",
            Documented,
            "known exactly before it is written",
            || {
                let records = [
                    record("1", "k\n", 5, b"data"),
                    record("22", "ü", 1_763_700_000_125, b""),
                ];
                assert_eq!(writer().event(&records).len(), writer().event_bytes(&records));
            },
        ),
        row(
            "read by `aws_lambda_events`",
            "its types are what Rust functions use",
            Documented,
            SAME,
            || {
                let records = [
                    record("98", "a\"b", 1_763_700_000_125, b"\x00\xff"),
                    record("99", "", 1_000, b""),
                ];
                let event: KinesisEvent = serde_json::from_slice(&writer().event(&records)).unwrap();
                assert_eq!(event.records.len(), 2);
                for (theirs, ours) in event.records.iter().zip(&records) {
                    assert_eq!(theirs.kinesis.data.0, ours.data);
                    assert_eq!(theirs.kinesis.partition_key, *ours.partition_key);
                    assert_eq!(theirs.kinesis.sequence_number, ours.sequence_number.as_str());
                    assert_eq!(
                        theirs.kinesis.approximate_arrival_timestamp.0.timestamp_millis(),
                        ours.approximate_arrival_timestamp.epoch_millis()
                    );
                    assert_eq!(theirs.event_source.as_deref(), Some("aws:kinesis"));
                    assert_eq!(theirs.event_name.as_deref(), Some("aws:kinesis:record"));
                }
                let read: Vec<_> = parse_event(&writer().event(&records))
                    .unwrap()
                    .into_iter()
                    .map(|read| read.record)
                    .collect();
                assert_eq!(read, records);
            },
        ),
    ]
}

fn windows() -> Vec<Row> {
    vec![
        row(
            "window: shape",
            "`window`, `state`, `shardId`, `eventSourceARN` and two flags behind `Records`",
            Documented,
            SAME,
            || {
                let event: Value = serde_json::from_slice(&writer().window_event(&[], &window("{}"))).unwrap();
                assert_eq!(
                    event,
                    json!({
                        "Records": [],
                        "window": {"start": "2025-11-21T04:40:00Z", "end": "2025-11-21T04:42:00Z"},
                        "state": {},
                        "shardId": "shardId-000000000003",
                        "eventSourceARN": "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry",
                        "isFinalInvokeForWindow": false,
                        "isWindowTerminatedEarly": false,
                    })
                );
            },
        ),
        row(
            "window: edges",
            "by time of arrival",
            Documented,
            "the same; the start is in the window, the end is not",
            || {
                let size = Duration::from_secs(120);
                let of = |text: &str| Window::of(text.parse().unwrap(), size).unwrap();
                let window = of("2025-11-21T04:40:00Z");
                assert_eq!(of("2025-11-21T04:41:59.999Z"), window);
                assert_eq!(of("2025-11-21T04:42:00Z").start(), window.end());
                assert!(window.contains(window.start()) && !window.contains(window.end()));
            },
        ),
        row(
            "window: alignment",
            "multiples of the size, it is told",
            Community,
            "multiples of the size since 1970",
            || {
                let at = "2025-11-21T04:41:07.310Z".parse().unwrap();
                let window = Window::of(at, Duration::from_secs(7)).unwrap();
                assert_eq!(window.start().epoch_millis() % 7_000, 0);
                assert_eq!(window.end().millis_since(window.start()), 7_000);
            },
        ),
        row(
            "window: state",
            "handed on from invocation to invocation",
            Documented,
            "the same, byte for byte",
            || {
                let state = r#"{"n": 1.0, "big": 123456789012345678901234567890}"#;
                let event = writer().window_event(&[record("1", "k", 0, b"")], &window(state));
                assert!(str::from_utf8(&event).unwrap().contains(&format!("\"state\":{state},")));
            },
        ),
        row(
            "window: size of the state",
            "1 MB",
            Documented,
            "events and answers as there; what a worker keeps is less, see below",
            || {
                let state =
                    |bytes: usize| WindowState::new(&format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8))).unwrap();
                assert!(!state(1_048_576).is_too_large() && state(1_048_577).is_too_large());
            },
        ),
        row(
            "window: read by `aws_lambda_events`",
            "its state has text only",
            Documented,
            SAME,
            || {
                let event =
                    writer().window_event(&[record("1", "k", 1_763_700_000_125, b"d")], &window(r#"{"n":"1"}"#));
                let event: KinesisTimeWindowEvent = serde_json::from_slice(&event).unwrap();
                assert_eq!(event.kinesis_event.records.len(), 1);
                assert_eq!(event.time_window_properties.state["n"], "1");
                assert_eq!(event.time_window_properties.window.start.timestamp(), 1_763_700_000);
                assert!(!event.time_window_properties.is_final_invoke_for_window);
            },
        ),
        row(
            "no time beyond windows",
            "not known",
            OurChoice,
            "a time that no window can hold has none",
            || {
                assert_eq!(
                    Window::of(Timestamp::from_epoch_millis(i64::MAX), Duration::from_secs(60)),
                    None
                );
            },
        ),
    ]
}

#[test]
fn events() {
    check(rows());
}
