//! Rows as Java KCL writes them, read and written.

use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use kcl_core::{HashKey, HashKeyRange, Lease, PendingCheckpoint, Position, StreamId, Timestamp, UnreadableRow};

use super::{SINGLE, decode, item, lease, record, shard, worker};
use crate::dynamodb::codec::{self, Row};

#[test]
fn given_a_row_of_java_with_one_stream_when_read_then_every_attribute_has_its_place() {
    let mut wanted = Lease::new(
        shard(3),
        record("49590338271490256608559692538361571095921575989136588898", 4),
    )
    .with_parents([shard(0), shard(1)])
    .with_hash_key_range(HashKeyRange {
        start: HashKey(1 << 127),
        end: HashKey::MAX,
    });
    wanted.owner = Some(worker("10.0.0.7:5d0f2b6e-9f7a-4d5c-8a6e-0d8b4b5f7a11"));
    wanted.counter = 1812;
    wanted.owner_switches_since_checkpoint = 1;
    wanted.throughput = Some(12_642);
    assert_eq!(lease(decode(SINGLE)), wanted);
}

#[test]
fn given_a_row_of_java_with_several_streams_when_read_then_stream_and_shard_come_from_it() {
    let json = r#"{
        "leaseKey": {"S": "123456789012:rides:1357034400:shardId-000000000000"},
        "streamName": {"S": "123456789012:rides:1357034400"},
        "shardId": {"S": "shardId-000000000000"},
        "leaseCounter": {"N": "0"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        "checkpoint": {"S": "TRIM_HORIZON"},
        "checkpointSubSequenceNumber": {"N": "0"}
    }"#;
    let found = lease(decode(json));
    let stream: StreamId = "123456789012:rides:1357034400".parse().unwrap();
    let wanted = Lease::new(shard(0), Position::TrimHorizon).in_stream(stream);
    assert_eq!(found, wanted);
    // The other way round it is the same row, with the mark that Java's latest gives its own.
    let mut same = item(json);
    same.insert("entityType".to_owned(), AttributeValue::S("LEASE".to_owned()));
    assert_eq!(codec::encode(&wanted).unwrap(), same);
}

#[test]
fn given_a_row_of_several_streams_with_parents_when_written_then_it_is_java_s_attribute_for_attribute() {
    let stream: StreamId = "123456789012:rides:1357034400".parse().unwrap();
    let mut row = Lease::new(shard(2), Position::TrimHorizon)
        .with_parents([shard(0), shard(1)])
        .with_hash_key_range(HashKeyRange::FULL)
        .in_stream(stream);
    row.owner = Some(worker("10.0.0.7:5d"));
    row.counter = 3;
    let json = r#"{
        "leaseKey": {"S": "123456789012:rides:1357034400:shardId-000000000002"},
        "streamName": {"S": "123456789012:rides:1357034400"},
        "shardId": {"S": "shardId-000000000002"},
        "leaseOwner": {"S": "10.0.0.7:5d"},
        "leaseCounter": {"N": "3"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        "checkpoint": {"S": "TRIM_HORIZON"},
        "checkpointSubSequenceNumber": {"N": "0"},
        "parentShardId": {"SS": ["shardId-000000000000", "shardId-000000000001"]},
        "startingHashKey": {"S": "0"},
        "endingHashKey": {"S": "340282366920938463463374607431768211455"},
        "entityType": {"S": "LEASE"}
    }"#;
    assert_eq!(codec::encode(&row).unwrap(), item(json));
    assert_eq!(lease(decode(json)), row);
    // Without the first attribute the key would be the shard, and with other ones its parents would be looked for elsewhere.
    for (attribute, other) in [
        ("shardId", "shardId-000000000003"),
        ("streamName", "123456789012:rides:1357034401"),
    ] {
        let mut odd = item(json);
        odd.insert(attribute.to_owned(), AttributeValue::S(other.to_owned()));
        let Row::Unreadable(UnreadableRow { reason, .. }) = codec::decode(&odd, None) else {
            panic!("{attribute} {other} reads")
        };
        assert_eq!(reason, "leaseKey: is not streamName:shardId");
    }
}

#[test]
fn given_the_sentinels_of_java_when_read_then_each_is_its_position() {
    let at = Timestamp::from_epoch_millis(1_357_034_400_250);
    for (text, wanted) in [
        ("TRIM_HORIZON", Position::TrimHorizon),
        ("LATEST", Position::Latest),
        ("AT_TIMESTAMP", Position::AtTimestamp(at)),
        ("SHARD_END", Position::ShardEnd),
        ("0", record("0", 0)),
    ] {
        let row = item(&format!(
            r#"{{"leaseKey": {{"S": "shardId-000000000000"}}, "leaseCounter": {{"N": "3"}}, "checkpoint": {{"S": "{text}"}}}}"#
        ));
        assert_eq!(lease(codec::decode(&row, Some(at))).checkpoint, wanted, "{text}");
    }
}

#[test]
fn given_a_hand_off_and_a_prepared_checkpoint_of_java_when_read_then_both_are_found() {
    let json = r#"{
        "leaseKey": {"S": "shardId-000000000000"},
        "leaseOwner": {"S": "b"},
        "checkpointOwner": {"S": "a"},
        "leaseCounter": {"N": "9"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        "checkpoint": {"S": "100"},
        "checkpointSubSequenceNumber": {"N": "0"},
        "pendingCheckpoint": {"S": "200"},
        "pendingCheckpointSubSequenceNumber": {"N": "5"},
        "pendingCheckpointState": {"B": "half way"},
        "childShardIds": {"SS": ["shardId-000000000002", "shardId-000000000001"]}
    }"#;
    let found = lease(decode(json));
    assert_eq!(found.holder(), Some(&worker("a")));
    assert_eq!(found.children, [shard(1), shard(2)]);
    let pending = PendingCheckpoint {
        position: record("200", 5),
        state: Some(Bytes::from_static(b"half way")),
    };
    assert_eq!(found.pending_checkpoint, Some(pending));
}

#[test]
fn given_a_new_lease_when_written_then_the_row_is_what_java_writes_and_reads() {
    let lease = Lease::new(shard(3), Position::TrimHorizon).with_parents([shard(1), shard(0), shard(1)]);
    let wanted = item(
        r#"{
            "leaseKey": {"S": "shardId-000000000003"},
            "leaseCounter": {"N": "0"},
            "ownerSwitchesSinceCheckpoint": {"N": "0"},
            "checkpoint": {"S": "TRIM_HORIZON"},
            "checkpointSubSequenceNumber": {"N": "0"},
            "parentShardId": {"SS": ["shardId-000000000000", "shardId-000000000001"]},
            "entityType": {"S": "LEASE"}
        }"#,
    );
    assert_eq!(codec::encode(&lease).unwrap(), wanted);
}
