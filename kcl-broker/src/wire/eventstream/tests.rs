use std::sync::Arc;

use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use kcl_core::{ChildShard, HashKey, HashKeyRange, Record, SequenceNumber, ShardId, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::ErrorKind;

/// Reads a frame with the SDK's own code, and checks that it writes the same bytes.
fn read(frame: &Bytes) -> (Vec<(String, String)>, Value) {
    let message = read_message_from(&mut frame.as_ref()).unwrap();
    let mut written = Vec::new();
    write_message_to(&message, &mut written).unwrap();
    assert_eq!(&written, frame);
    let text = |header: &Header| match header.value() {
        HeaderValue::String(value) => (header.name().as_str().to_owned(), value.as_str().to_owned()),
        other => panic!("not a text: {other:?}"),
    };
    let headers = message.headers().iter().map(text).collect();
    (headers, serde_json::from_slice(message.payload()).unwrap())
}

fn headers(kind: &str, name: &str, value: &str, content_type: &str) -> Vec<(String, String)> {
    [(":message-type", kind), (name, value), (":content-type", content_type)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn record(partition_key: &str, data: &[u8]) -> Arc<Record> {
    let number = SequenceNumber::new("49").unwrap();
    let at = Timestamp::from_epoch_millis(1_357_034_400_007);
    Arc::new(Record::new(number, partition_key, at, data.to_vec()))
}

#[test]
fn the_stream_begins_with_a_frame_that_says_so() {
    let (found, payload) = read(&initial_response());
    assert_eq!(
        found,
        headers("event", ":event-type", "initial-response", "application/x-amz-json-1.1")
    );
    assert_eq!(payload, json!({}));
}

#[test]
fn an_event_gives_times_in_seconds_and_data_in_base64() {
    let (found, payload) = read(&event(&SubscribeToShardEvent {
        records: vec![record("a \"key\"", &[0, 1, 2])],
        encrypted: std::iter::once(0..1).collect(),
        continuation_sequence_number: Some(SequenceNumber::new("50").unwrap()),
        millis_behind_latest: 12,
        child_shards: Vec::new(),
    }));
    assert_eq!(
        found,
        headers("event", ":event-type", "SubscribeToShardEvent", "application/json")
    );
    let record = json!({
        "SequenceNumber": "49",
        "ApproximateArrivalTimestamp": 1_357_034_400.007,
        "Data": "AAEC",
        "PartitionKey": "a \"key\"",
        "EncryptionType": "KMS",
    });
    assert_eq!(
        payload,
        json!({"Records": [record], "ContinuationSequenceNumber": "50", "MillisBehindLatest": 12})
    );
}

#[test]
fn the_last_event_has_children_and_no_continuation() {
    let (_, payload) = read(&event(&SubscribeToShardEvent {
        records: Vec::new(),
        encrypted: Vec::new(),
        continuation_sequence_number: None,
        millis_behind_latest: 0,
        child_shards: vec![ChildShard {
            id: ShardId::new("shardId-000000000001").unwrap(),
            parents: vec![ShardId::new("shardId-000000000000").unwrap()],
            hash_key_range: Some(HashKeyRange {
                start: HashKey(0),
                end: HashKey(7),
            }),
        }],
    }));
    let child = json!({
        "ShardId": "shardId-000000000001",
        "ParentShards": ["shardId-000000000000"],
        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "7"},
    });
    assert_eq!(
        payload,
        json!({"Records": [], "MillisBehindLatest": 0, "ChildShards": [child]})
    );
}

#[test]
fn an_error_is_an_exception_of_its_type() {
    let (found, payload) = read(&exception(&ApiError::new(ErrorKind::ResourceInUse, "Another one.")));
    assert_eq!(
        found,
        headers(
            "exception",
            ":exception-type",
            "ResourceInUseException",
            "application/json"
        )
    );
    assert_eq!(payload, json!({"message": "Another one."}));
}

proptest! {
    /// Whatever is in the records, the frame is the one that the SDK would have written, and gives them back.
    #[test]
    fn any_records_make_a_frame_that_the_sdk_reads(
        records in prop::collection::vec(("\\PC{1,40}", prop::collection::vec(any::<u8>(), 0..200)), 0..20),
        millis_behind_latest in 0..u64::from(u32::MAX),
    ) {
        let (_, payload) = read(&event(&SubscribeToShardEvent {
            records: records.iter().map(|(key, data)| record(key, data)).collect(),
            encrypted: Vec::new(),
            continuation_sequence_number: Some(SequenceNumber::new("50").unwrap()),
            millis_behind_latest,
            child_shards: Vec::new(),
        }));
        prop_assert_eq!(payload["Records"].as_array().unwrap().len(), records.len());
        for (found, (key, data)) in payload["Records"].as_array().unwrap().iter().zip(&records) {
            prop_assert_eq!(found["PartitionKey"].as_str().unwrap(), key);
            let decoded = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, found["Data"].as_str().unwrap());
            prop_assert_eq!(&decoded.unwrap(), data);
        }
        prop_assert_eq!(&payload["MillisBehindLatest"], &json!(millis_behind_latest));
    }
}

#[test]
fn a_damaged_frame_is_not_read() {
    let frame = initial_response();
    for at in 0..frame.len() {
        let mut damaged = frame.to_vec();
        damaged[at] ^= 1;
        let read: Result<Message, _> = read_message_from(&mut damaged.as_slice());
        assert!(read.is_err(), "altered at {at}");
    }
}
