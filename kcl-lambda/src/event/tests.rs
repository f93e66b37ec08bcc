use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::response::WindowState;

fn source() -> EventSource {
    EventSource {
        event_source_arn: "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry".to_owned(),
        region: "eu-west-1".to_owned(),
        invoke_identity_arn: "arn:aws:iam::111122223333:role/esm".to_owned(),
    }
}

fn writer() -> EventWriter {
    EventWriter::new(&source(), &ShardId::new("shardId-000000000003").unwrap())
}

fn record(number: u64, key: &str, millis: i64, data: &[u8]) -> Record {
    Record::new(
        number.to_string().parse().unwrap(),
        key,
        Timestamp::from_epoch_millis(millis),
        data.to_vec(),
    )
}

fn invoke(state: &str) -> WindowInvoke {
    let at = "2025-11-21T04:41:00Z".parse().unwrap();
    WindowInvoke {
        window: Window::of(at, Duration::from_secs(120)).unwrap(),
        state: WindowState::new(state).unwrap(),
        is_final: true,
        is_terminated_early: false,
    }
}

#[test]
fn given_a_window_when_written_then_its_members_follow_the_records_in_awss_order() {
    let event = writer().window_event(&[], &invoke(r#"{"n": 1.0}"#));
    assert_eq!(
        event,
        concat!(
            r#"{"Records":[],"window":{"start":"2025-11-21T04:40:00Z","end":"2025-11-21T04:42:00Z"},"state":{"n": 1.0},"#,
            r#""shardId":"shardId-000000000003","#,
            r#""eventSourceARN":"arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry","#,
            r#""isFinalInvokeForWindow":true,"isWindowTerminatedEarly":false}"#
        )
    );
}

#[test]
fn given_records_of_one_aggregate_when_written_then_their_ids_differ_and_their_numbers_do_not() {
    let mut second = record(7, "k", 0, b"");
    second.sub_sequence_number = 12;
    let event: Value = serde_json::from_slice(&writer().event(&[record(7, "k", 0, b""), second])).unwrap();
    let ids: Vec<_> = (0..2).map(|place| event["Records"][place]["eventID"].clone()).collect();
    assert_eq!(
        ids,
        [json!("shardId-000000000003:7"), json!("shardId-000000000003:7/12")]
    );
    assert_eq!(event["Records"][1]["kinesis"]["sequenceNumber"], "7");
}

#[test]
fn given_times_when_written_then_they_have_three_decimals() {
    for (millis, text) in [
        (0, "0.000"),
        (5, "0.005"),
        (1_763_700_000_050, "1763700000.050"),
        (1_763_700_000_500, "1763700000.500"),
        (-1, "-0.001"),
        (-1_500, "-1.500"),
    ] {
        assert_eq!(time(Timestamp::from_epoch_millis(millis)), text);
    }
}

#[test]
fn given_negative_times_when_put_into_windows_then_every_time_lies_in_its_window() {
    let size = Duration::from_secs(60);
    let window = Window::of(Timestamp::from_epoch_millis(-1), size).unwrap();
    assert_eq!(
        (window.start().epoch_millis(), window.end().epoch_millis()),
        (-60_000, 0)
    );
    assert!(window.contains(window.start()) && !window.contains(window.end()));
    assert_eq!(Window::of(Timestamp::from_epoch_millis(0), Duration::ZERO), None);
    assert_eq!(Window::of(Timestamp::from_epoch_millis(i64::MAX), size), None);
}

#[test]
fn given_what_is_no_event_when_parsed_then_the_error_says_what_is_wrong() {
    let with = |data: &str, number: &str, id: &str| {
        let event = json!({"Records": [{"kinesis": {"partitionKey": "k", "sequenceNumber": number, "data": data,
            "approximateArrivalTimestamp": 1.5}, "eventID": id}]});
        parse_event(event.to_string().as_bytes())
    };
    assert!(with("YQ==", "1", "shardId-0:1").is_ok());
    assert!(matches!(
        with("!", "1", "shardId-0:1"),
        Err(InvalidEvent::Data { record: 0, .. })
    ));
    assert!(matches!(
        with("", "x", "shardId-0:1"),
        Err(InvalidEvent::Number { record: 0, .. })
    ));
    assert!(matches!(
        with("", "1", "nothing"),
        Err(InvalidEvent::Shard { record: 0, .. })
    ));
    assert!(matches!(parse_event(b"{}"), Err(InvalidEvent::Shape(_))));
}

prop_compose! {
    fn any_record()(
        number in any::<u64>(),
        sub in prop_oneof![Just(0), 1..12_u64, any::<u64>()],
        key in any::<String>(),
        millis in prop_oneof![-10_000..10_000_i64, 0..4_000_000_000_000_i64],
        data in prop::collection::vec(any::<u8>(), 0..50),
    ) -> Record {
        let mut record = record(number, &key, millis, &data);
        record.sub_sequence_number = sub;
        record.aggregated = sub > 0;
        record
    }
}

proptest! {
    /// What is written is what was given, and as large as it was said to be.
    #[test]
    fn any_batch_comes_back(records in prop::collection::vec(any_record(), 0..5)) {
        let event = writer().event(&records);
        prop_assert_eq!(event.len(), writer().event_bytes(&records));
        let parsed: Vec<_> = parse_event(&event).unwrap().into_iter().map(|parsed| parsed.record).collect();
        prop_assert_eq!(&parsed, &records);

        let invoke = invoke("{}");
        let sizes: usize = records.iter().map(|record| writer().record_bytes(record)).sum();
        let commas = records.len().saturating_sub(1);
        let event = writer().window_event(&records, &invoke);
        prop_assert_eq!(event.len(), writer().window_envelope_bytes(&invoke) + sizes + commas);

        let value: Value = serde_json::from_slice(&event).unwrap();
        for (place, record) in records.iter().enumerate() {
            prop_assert_eq!(&value["Records"][place]["kinesis"]["partitionKey"], &*record.partition_key);
        }
    }
}
