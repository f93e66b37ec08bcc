use std::sync::Arc;

use kcl_core::{ChildShard, HashKeyRange, Record, ShardId};
use serde_json::{Value, json};

use super::*;
use crate::api::{CreateStream, GetRecords, GetShardIterator, PutRecord, PutRecords};

#[track_caller]
fn assert_refused<T: DeserializeOwned + std::fmt::Debug>(body: &str, message: Option<&str>) {
    let error = decode::<T>(body.as_bytes()).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Serialization, message),
        "{body}"
    );
}

#[test]
fn null_is_absent_and_unknown_members_are_ignored() {
    let body = r#"{"StreamName": null, "Data": "AAEC", "PartitionKey": "k\u00e9", "Unknown": {"a": [1, {}]}}"#;
    let put: PutRecord = decode(body.as_bytes()).unwrap();
    assert_eq!(put.stream_name, None);
    assert_eq!(put.data.unwrap().as_ref(), [0, 1, 2]);
    assert_eq!(put.partition_key.unwrap(), "ké");
}

#[test]
fn timestamps_are_seconds_with_a_fraction() {
    for (text, millis) in [
        ("1441215410.867", 1_441_215_410_867),
        ("5", 5_000),
        ("-1.5", -1_500),
        ("1.44E9", 1_440_000_000_000),
    ] {
        let request: GetShardIterator = decode(format!(r#"{{"Timestamp": {text}}}"#).as_bytes()).unwrap();
        assert_eq!(request.timestamp, Some(Timestamp::from_epoch_millis(millis)), "{text}");
    }
}

#[test]
fn numbers_are_floored_and_cut_to_what_an_integer_holds() {
    for (text, limit) in [
        ("3.9", 3),
        ("-0.5", -1),
        ("1e300", i32::MAX),
        ("99999999999999999999", i32::MAX),
    ] {
        let request: GetRecords = decode(format!(r#"{{"Limit": {text}}}"#).as_bytes()).unwrap();
        assert_eq!(request.limit, Some(limit), "{text}");
    }
}

#[test]
fn values_of_the_wrong_type_are_refused_in_the_words_of_the_service() {
    let number = "com.amazon.coral.value.json.numbers.TruncatingBigNumber";
    let to_string = |class| format!("class {class} can not be converted to an String");
    assert_refused::<GetRecords>(r#"{"ShardIterator": true}"#, Some(&to_string("java.lang.Boolean")));
    assert_refused::<GetRecords>(r#"{"ShardIterator": 5}"#, Some(&to_string(number)));
    assert_refused::<GetRecords>(r#"{"ShardIterator": -5.5}"#, Some(&to_string(number)));
    assert_refused::<GetRecords>(
        r#"{"ShardIterator": []}"#,
        Some("Start of list found where not expected"),
    );
    let structure = "Start of structure or map found where not expected.";
    assert_refused::<GetRecords>(r#"{"ShardIterator": {}}"#, Some(structure));
    let integer = "class java.lang.String can not be converted to an Integer";
    assert_refused::<GetRecords>(r#"{"Limit": "1"}"#, Some(integer));
    let time = "class java.lang.String can not be converted to milliseconds since epoch";
    assert_refused::<GetShardIterator>(r#"{"Timestamp": "now"}"#, Some(time));
    assert_refused::<PutRecords>(r#"{"Records": "x"}"#, Some("Expected list or null"));
    assert_refused::<PutRecords>(r#"{"Records": {}}"#, Some(structure));
    assert_refused::<PutRecords>(r#"{"Records": [7]}"#, Some("Expected null"));
    assert_refused::<PutRecords>(r#"{"Records": [[]]}"#, Some("Start of list found where not expected"));
    assert_refused::<CreateStream>(r#"{"StreamModeDetails": "x"}"#, Some("Expected null"));
}

#[test]
fn blobs_that_are_not_base64_are_refused() {
    let refusal = |text: &str, reason| format!("'{text}' can not be converted to a Blob: {reason}");
    for (text, reason) in [
        ("=x==", "Invalid Base64 character: '='"),
        ("A*==", "Invalid Base64 character: '*'"),
        (
            "abc",
            "Base64 encoded length is expected a multiple of 4 bytes but found: 3",
        ),
        ("abd=", "Invalid last non-pad Base64 character dectected"),
    ] {
        assert_refused::<PutRecord>(&format!(r#"{{"Data": "{text}"}}"#), Some(&refusal(text, reason)));
    }
}

#[test]
fn bodies_that_are_no_structure_are_refused() {
    for body in ["{", "x", "{}{}", "null", "7", r#"{"a": }"#, r#"{"ShardIterator": true"#] {
        assert_refused::<GetRecords>(body, None);
    }
    assert_refused::<GetRecords>("[]", Some("Start of list found where not expected"));
}

#[test]
fn what_is_read_is_written_as_any_json_parser_understands_it() {
    let record = |data: &[u8], key: &'static str, millis| {
        let number = "49590338271490256608559692538361571095921575989136588898"
            .parse()
            .unwrap();
        Arc::new(Record::new(
            number,
            key,
            Timestamp::from_epoch_millis(millis),
            data.to_vec(),
        ))
    };
    let records = vec![
        record(b"a", "quote\" and \\ and \u{1}", 1_441_215_410_867),
        record(b"", "é", -5),
        record(&[255; 5], "k", 7),
    ];
    let children = vec![ChildShard {
        id: ShardId::new("shardId-000000000001").unwrap(),
        parents: vec![ShardId::new("shardId-000000000000").unwrap()],
        hash_key_range: Some(HashKeyRange::FULL),
    }];
    let mut output = GetRecordsOutput {
        records,
        encrypted: Vec::new(),
        next_shard_iterator: None,
        millis_behind_latest: 42,
        child_shards: children,
    };
    let body: Value = serde_json::from_slice(&encode_records(&output)).unwrap();
    let number = "49590338271490256608559692538361571095921575989136588898";
    let expected = |at: f64, data, key| json!({"SequenceNumber": number, "ApproximateArrivalTimestamp": at, "Data": data, "PartitionKey": key});
    assert_eq!(
        body,
        json!({
            "Records": [
                expected(1_441_215_410.867, "YQ==", "quote\" and \\ and \u{1}"),
                expected(-0.005, "", "é"),
                expected(0.007, "//////8=", "k"),
            ],
            "MillisBehindLatest": 42,
            "ChildShards": [{
                "ShardId": "shardId-000000000001",
                "ParentShards": ["shardId-000000000000"],
                "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": u128::MAX.to_string()},
            }],
        })
    );

    output.records.clear();
    output.child_shards.clear();
    output.next_shard_iterator = Some("token".to_owned());
    let body: Value = serde_json::from_slice(&encode_records(&output)).unwrap();
    assert_eq!(
        body,
        json!({"Records": [], "MillisBehindLatest": 42, "NextShardIterator": "token"})
    );
}
