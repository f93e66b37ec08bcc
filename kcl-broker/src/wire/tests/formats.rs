//! Both formats say the same: of requests, and of what is answered.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::de::DeserializeOwned;

use super::{
    node::{Node, Read, node_of, value_of},
    *,
};
use crate::{
    api::{GetShardIterator, ListShards, PutRecord, PutRecords},
    wire::{Format, routes::NAMES},
};

#[track_caller]
fn assert_reads_the_same<T: DeserializeOwned + PartialEq + std::fmt::Debug>(request: &Node) {
    let of_json = Format::Json.decode::<T>(&Format::Json.encode(request));
    assert_eq!(of_json, Format::Cbor.decode::<T>(&Format::Cbor.encode(request)));
    assert_eq!(of_json, Format::Cbor.decode::<T>(&request.as_java()));
}

fn text() -> impl Strategy<Value = Node> {
    prop_oneof!["[a-zA-Z_0-9.-]{0,60}", any::<String>()].prop_map(Node::Text)
}

fn int() -> impl Strategy<Value = Node> {
    prop_oneof![
        any::<i64>().prop_map(Node::Int),
        (-3..1000_i64).prop_map(Node::Int),
        (-1e12..1e12).prop_map(Node::Float),
    ]
}

fn time() -> impl Strategy<Value = Node> {
    prop_oneof![-5_000..5_000_i64, 0..9_999_999_999_999_i64].prop_map(Node::Millis)
}

fn blob() -> impl Strategy<Value = Node> {
    proptest::collection::vec(any::<u8>(), 0..300).prop_map(Node::Blob)
}

fn texts() -> impl Strategy<Value = Node> {
    proptest::collection::vec(text(), 0..4).prop_map(Node::List)
}

fn structure(members: Vec<(&'static str, BoxedStrategy<Node>)>) -> BoxedStrategy<Node> {
    let members = members
        .into_iter()
        .map(|(name, value)| (Just(name), proptest::option::of(member(name, value))));
    members
        .collect::<Vec<_>>()
        .prop_map(|members| {
            let present = members
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)));
            Node::Map(present.collect())
        })
        .boxed()
}

/// Mostly what the member is for, sometimes something else.
fn member(name: &str, value: BoxedStrategy<Node>) -> BoxedStrategy<Node> {
    let empty = |node: Node| Just(node).boxed();
    let mut others = vec![
        empty(Node::Null),
        empty(Node::List(vec![])),
        empty(Node::Map(BTreeMap::new())),
    ];
    // What a number means depends on the format where a time is, and what a text means where bytes are.
    if !name.ends_with("Timestamp") {
        others.push(int().boxed());
    }
    if name != "Data" {
        others.push(text().boxed());
    }
    others.push(any::<bool>().prop_map(Node::Bool).boxed());
    prop_oneof![30 => value, 1 => proptest::strategy::Union::new(others)].boxed()
}

/// A request with members of all operations.
fn request() -> BoxedStrategy<Node> {
    let record = vec![
        ("Data", blob().boxed()),
        ("PartitionKey", text().boxed()),
        ("ExplicitHashKey", text().boxed()),
    ];
    let mut members = record.clone();
    let filter = vec![
        ("Type", text().boxed()),
        ("ShardId", text().boxed()),
        ("Timestamp", time().boxed()),
    ];
    let position = vec![
        ("Type", text().boxed()),
        ("SequenceNumber", text().boxed()),
        ("Timestamp", time().boxed()),
    ];
    members.extend([
        (
            "Records",
            proptest::collection::vec(structure(record), 0..4)
                .prop_map(Node::List)
                .boxed(),
        ),
        ("ShardFilter", structure(filter)),
        ("StartingPosition", structure(position)),
        ("StreamModeDetails", structure(vec![("StreamMode", text().boxed())])),
        ("TagKeys", texts().boxed()),
        (
            "Tags",
            proptest::collection::btree_map("[a-z]{0,5}", text(), 0..4)
                .prop_map(Node::Map)
                .boxed(),
        ),
        ("Unknown", structure(vec![("Data", texts().boxed())])),
        ("Timestamp", time().boxed()),
        ("StreamCreationTimestamp", time().boxed()),
        ("EnforceConsumerDeletion", any::<bool>().prop_map(Node::Bool).boxed()),
    ]);
    for name in [
        "StreamName",
        "StreamARN",
        "ShardId",
        "ShardIteratorType",
        "StartingSequenceNumber",
        "ShardIterator",
        "NextToken",
        "ExclusiveStartShardId",
        "ShardToSplit",
        "NewStartingHashKey",
        "ShardToMerge",
        "AdjacentShardToMerge",
        "ConsumerARN",
    ] {
        members.push((name, text().boxed()));
    }
    for name in ["ShardCount", "Limit", "MaxResults", "MaxRecordSizeInKiB"] {
        members.push((name, int().boxed()));
    }
    structure(members)
}

proptest! {
    #[test]
    fn requests_are_the_same_in_either_format(request in request()) {
        assert_reads_the_same::<GetShardIterator>(&request);
        assert_reads_the_same::<ListShards>(&request);
        assert_reads_the_same::<PutRecord>(&request);
        assert_reads_the_same::<PutRecords>(&request);
        let twins = Twins::new();
        for operation in NAMES {
            twins.call(operation, &request);
        }
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_refused(
        noise in proptest::collection::vec(any::<u8>(), 0..200),
        request in request(),
        cut in any::<prop::sample::Index>(),
        flip in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let mut body = request.as_java();
        let _ = Format::Cbor.decode::<PutRecords>(&noise);
        let _ = Format::Cbor.decode::<PutRecords>(&[b"\xa1\x67Records", &noise[..]].concat());
        let whole = Format::Cbor.is_well_formed(&body);
        prop_assert!(whole && !Format::Cbor.is_well_formed(&body[..cut.index(body.len())]));
        let at = flip.index(body.len());
        body[at] = to;
        let _ = Format::Cbor.decode::<PutRecords>(&body);
    }
}

/// Two brokers that live the same life, one in each format.
struct Twins {
    json: Broker,
    cbor: Broker,
}

impl Twins {
    fn new() -> Self {
        Self {
            json: broker(),
            cbor: broker(),
        }
    }

    #[track_caller]
    fn ask(&self, operation: &str, request: &Value) -> Value {
        self.call(operation, &node_of(request))
    }

    /// What both answer, as JSON with times in milliseconds.
    #[track_caller]
    fn call(&self, operation: &str, request: &Node) -> Value {
        let ask = |broker: &Broker, format: Format| {
            let mut headers = headers(None, Some(format.content_type()));
            headers.insert(TARGET, format!("{SERVICE_PREFIX}{operation}").parse().unwrap());
            let answer = respond(broker, &Method::POST, &headers, &format.encode(request));
            assert_eq!(answer.headers()[CONTENT_TYPE], format.content_type());
            (answer.status(), answer.into_body())
        };
        let (json_status, json) = ask(&self.json, Format::Json);
        let (cbor_status, cbor) = ask(&self.cbor, Format::Cbor);
        let json = match json.is_empty() {
            true => Value::Null,
            false => in_millis("", serde_json::from_slice(&json).unwrap()),
        };
        let cbor = match cbor.is_empty() {
            true => Value::Null,
            false => value_of(Format::Cbor.decode::<Read>(&cbor).unwrap().0),
        };
        assert_eq!((json_status, &json), (cbor_status, &cbor), "{operation}");
        json
    }
}

/// Turns the seconds of JSON into milliseconds.
fn in_millis(key: &str, value: Value) -> Value {
    match value {
        Value::Number(seconds) if key.ends_with("Timestamp") => {
            json!((seconds.as_f64().unwrap() * 1000.0).round() as i64)
        }
        Value::Array(list) => list.into_iter().map(|value| in_millis(key, value)).collect(),
        Value::Object(map) => {
            let entry = |(key, value): (String, Value)| {
                let value = in_millis(&key, value);
                (key, value)
            };
            Value::Object(map.into_iter().map(entry).collect())
        }
        other => other,
    }
}

#[test]
fn answers_are_the_same_in_either_format() {
    let twins = Twins::new();
    let named = json!({"StreamName": "s"});
    twins.ask("CreateStream", &json!({"StreamName": "s", "ShardCount": 2}));
    twins.ask(
        "PutRecord",
        &json!({"StreamName": "s", "Data": "x", "PartitionKey": "ké"}),
    );
    let records = [("", "a"), ("\u{0}\u{7f}", "b"), (&"long".repeat(100), "c")];
    let records = records.map(|(data, key)| json!({"Data": data, "PartitionKey": key}));
    twins.ask("PutRecords", &json!({"StreamName": "s", "Records": records}));
    twins.ask(
        "SplitShard",
        &json!({"StreamName": "s", "ShardToSplit": "0", "NewStartingHashKey": "5"}),
    );
    let described = twins.ask("DescribeStream", &named);
    assert_eq!(
        described["StreamDescription"]["StreamCreationTimestamp"],
        1_357_034_400_250_i64
    );
    twins.ask("DescribeStream", &json!({"StreamName": "s", "Limit": 1}));
    twins.ask("DescribeStreamSummary", &named);
    twins.ask("ListStreams", &json!({}));
    twins.ask("ListShards", &named);
    twins.ask("ListShards", &json!({"StreamName": "s", "MaxResults": 1}));
    let mut records_read = 0;
    for shard in ["0", "1"] {
        for (kind, timestamp) in [
            ("TRIM_HORIZON", Value::Null),
            ("AT_TIMESTAMP", json!(1_357_034_400_250_i64)),
        ] {
            let position = json!({
                "StreamName": "s", "ShardId": shard, "ShardIteratorType": kind, "Timestamp": timestamp,
            });
            let iterator = twins.ask("GetShardIterator", &position)["ShardIterator"].clone();
            let read = twins.ask("GetRecords", &json!({"ShardIterator": iterator}));
            records_read += read["Records"].as_array().unwrap().len();
        }
    }
    assert_eq!(records_read, 8);
    for (operation, request, error) in [
        (
            "DescribeStream",
            json!({"StreamName": "none"}),
            "ResourceNotFoundException",
        ),
        ("DescribeStream", json!({"StreamName": true}), "SerializationException"),
        ("CreateStream", json!({}), "ValidationException"),
        ("GetRecords", json!({"ShardIterator": "x"}), "InvalidArgumentException"),
    ] {
        assert_eq!(twins.ask(operation, &request)["__type"], error);
    }
    twins.ask("DeleteStream", &named);
}

#[test]
fn answers_of_the_control_plane_are_the_same_in_either_format() {
    let twins = Twins::new();
    let named = json!({"StreamName": "s"});
    twins.ask("CreateStream", &json!({"StreamName": "s", "ShardCount": 1}));
    let stream = twins.ask("DescribeStreamSummary", &named)["StreamDescriptionSummary"]["StreamARN"].clone();
    for (operation, request) in [
        (
            "RegisterStreamConsumer",
            json!({"StreamARN": stream, "ConsumerName": "c"}),
        ),
        (
            "DescribeStreamConsumer",
            json!({"StreamARN": stream, "ConsumerName": "c"}),
        ),
        ("ListStreamConsumers", json!({"StreamARN": stream})),
        (
            "DeregisterStreamConsumer",
            json!({"StreamARN": stream, "ConsumerName": "c"}),
        ),
        (
            "AddTagsToStream",
            json!({"StreamName": "s", "Tags": {"a": "é", "b": ""}}),
        ),
        ("ListTagsForStream", json!({"StreamName": "s", "Limit": 1})),
        ("RemoveTagsFromStream", json!({"StreamName": "s", "TagKeys": ["a"]})),
        ("ListTagsForResource", json!({"ResourceARN": stream})),
        (
            "IncreaseStreamRetentionPeriod",
            json!({"StreamName": "s", "RetentionPeriodHours": 48}),
        ),
        (
            "DecreaseStreamRetentionPeriod",
            json!({"StreamName": "s", "RetentionPeriodHours": 24}),
        ),
        (
            "UpdateMaxRecordSize",
            json!({"StreamARN": stream, "MaxRecordSizeInKiB": 2048}),
        ),
        (
            "UpdateShardCount",
            json!({"StreamName": "s", "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"}),
        ),
        (
            "UpdateStreamMode",
            json!({"StreamARN": stream, "StreamModeDetails": {"StreamMode": "ON_DEMAND"}}),
        ),
        ("DescribeStreamSummary", named),
    ] {
        let answer = twins.ask(operation, &request);
        assert_eq!(answer.get("__type"), None, "{operation}: {answer}");
    }
}
