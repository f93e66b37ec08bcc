//! Rows that are no leases, lack something, or say what is not true any more.

use aws_sdk_dynamodb::types::AttributeValue;
use kcl_core::{Lease, Position, Session, Timestamp, UnreadableRow};

use super::{SINGLE, attribute, decode, item, lease, record, shard, worker};
use crate::dynamodb::codec::{self, Row};

#[test]
fn given_at_timestamp_without_a_time_when_read_then_the_row_says_what_is_missing() {
    let json = r#"{"leaseKey": {"S": "shardId-000000000000"}, "leaseCounter": {"N": "0"}, "checkpoint": {"S": "AT_TIMESTAMP"}}"#;
    let Row::Unreadable(row) = decode(json) else {
        panic!("it reads")
    };
    assert_eq!(
        row.reason,
        "checkpoint: is AT_TIMESTAMP, and neither checkpointTimestamp nor the configuration says which time"
    );
    // A row with its own time does not need the configuration's.
    let mut row = item(json);
    row.insert("checkpointTimestamp".to_owned(), AttributeValue::N("-1".to_owned()));
    let other = Timestamp::from_epoch_millis(7);
    let wanted = Position::AtTimestamp(Timestamp::from_epoch_millis(-1));
    assert_eq!(lease(codec::decode(&row, Some(other))).checkpoint, wanted);
}

#[test]
fn given_rows_of_other_kinds_when_read_then_they_are_no_leases_and_no_errors() {
    for (entity, json) in [
        (
            "LEADER",
            r#"{"leaseKey": {"S": "Leader"}, "ownerName": {"S": "a"}, "leaseDuration": {"S": "120000"}, "recordVersionNumber": {"S": "u"}, "entityType": {"S": "LEADER"}}"#,
        ),
        (
            "CLIENT_VERSION_MIGRATION",
            r#"{"leaseKey": {"S": "Migration3.0"}, "cv": {"S": "CLIENT_VERSION_3X"}, "entityType": {"S": "CLIENT_VERSION_MIGRATION"}}"#,
        ),
        (
            "TABLE_MIGRATION",
            r#"{"leaseKey": {"S": "TableMigration3.5"}, "tm": {"S": "TABLE_MIGRATION_STATUS_INIT"}, "entityType": {"S": "TABLE_MIGRATION"}}"#,
        ),
        (
            "WORKER_METRIC_STATS",
            r#"{"leaseKey": {"S": "10.0.0.7:5d"}, "lut": {"N": "1357034400"}, "opr": {"M": {}}, "entityType": {"S": "WORKER_METRIC_STATS"}}"#,
        ),
        (
            "STREAM",
            r#"{"leaseKey": {"S": "123456789012:rides:1"}, "streamId": {"S": "x"}, "entityType": {"S": "STREAM"}}"#,
        ),
        (
            "OF_THE_FUTURE",
            r#"{"leaseKey": {"S": "x"}, "entityType": {"S": "OF_THE_FUTURE"}}"#,
        ),
    ] {
        let entity = entity.to_owned();
        assert_eq!(decode(json), Row::Foreign { entity });
    }
}

#[test]
fn given_a_wrong_attribute_when_read_then_the_reason_begins_with_its_name() {
    for (name, json, wanted) in [
        (
            "leaseCounter",
            r#"{"N": "9223372036854775807"}"#,
            "leaseCounter: 9223372036854775807 leaves no room to count on; set it to 0",
        ),
        ("leaseCounter", "null", "leaseCounter: missing"),
        (
            "leaseCounter",
            r#"{"S": "7"}"#,
            "leaseCounter: is of type S, and should be N",
        ),
        (
            "leaseCounter",
            r#"{"N": "-1"}"#,
            "leaseCounter: -1 is no whole number in range",
        ),
        (
            "leaseCounter",
            r#"{"N": "1.5"}"#,
            "leaseCounter: 1.5 is no whole number in range",
        ),
        ("checkpoint", "null", "checkpoint: missing"),
        (
            "checkpoint",
            r#"{"N": "100"}"#,
            "checkpoint: is of type N, and should be S",
        ),
        (
            "checkpoint",
            r#"{"S": "soon"}"#,
            "checkpoint: \"soon\" is not a sequence number",
        ),
        (
            "checkpointSubSequenceNumber",
            r#"{"BOOL": true}"#,
            "checkpointSubSequenceNumber: is of type BOOL",
        ),
        (
            "leaseOwner",
            r#"{"S": ""}"#,
            "leaseOwner: \"\" is not a valid worker id",
        ),
        (
            "parentShardId",
            r#"{"S": "shardId-000000000000"}"#,
            "parentShardId: is of type S, and should be SS",
        ),
        (
            "parentShardId",
            r#"{"SS": ["a b"]}"#,
            "parentShardId: \"a b\" is not a valid shard id",
        ),
        ("startingHashKey", "null", "startingHashKey: missing"),
        (
            "endingHashKey",
            r#"{"S": "many"}"#,
            "endingHashKey: \"many\" is not a valid hash key",
        ),
        (
            "streamName",
            r#"{"S": "rides"}"#,
            "streamName: \"rides\" is not account:stream:epoch",
        ),
        ("ownerSession", r#"{"S": "x"}"#, "ownerSession: invalid digit"),
        (
            "leaseKey",
            r#"{"S": "no shard"}"#,
            "leaseKey: \"no shard\" is not a valid shard id",
        ),
    ] {
        let mut row = item(SINGLE);
        match json {
            "null" => drop(row.remove(name)),
            json => drop(row.insert(name.to_owned(), attribute(&serde_json::from_str(json).unwrap()))),
        }
        let Row::Unreadable(UnreadableRow { key, reason }) = codec::decode(&row, None) else {
            panic!("{name} {json} reads")
        };
        assert!(reason.starts_with(wanted), "{name} {json}: {reason}");
        assert!(["shardId-000000000003", "no shard"].contains(&&*key), "{key}");
    }
}

#[test]
fn given_what_java_leaves_out_when_read_then_the_row_is_a_lease() {
    let json = r#"{"leaseKey": {"S": "shardId-000000000000"}, "leaseCounter": {"N": "0"}, "checkpoint": {"S": "100"},
        "leaseOwner": {"NULL": true}}"#;
    assert_eq!(lease(decode(json)), Lease::new(shard(0), record("100", 0)));
    // What only a finished lease needs, and the stream tells as well, makes no row unreadable.
    let mut row = item(SINGLE);
    row.insert("childShardIds".to_owned(), AttributeValue::S("shardId-7".to_owned()));
    assert_eq!(lease(codec::decode(&row, None)).children, []);
    let mut row = item(SINGLE);
    row.insert("shardStart".to_owned(), AttributeValue::S("somewhere".to_owned()));
    assert_eq!(lease(codec::decode(&row, None)).shard_start, None);
    // By mistake Java creates leases with a number where the state of a pending checkpoint belongs.
    let mut row = item(SINGLE);
    row.insert("pendingCheckpoint".to_owned(), AttributeValue::S("200".to_owned()));
    row.insert("pendingCheckpointState".to_owned(), AttributeValue::N("0".to_owned()));
    assert_eq!(lease(codec::decode(&row, None)).pending_checkpoint.unwrap().state, None);
}

#[test]
fn given_a_session_when_somebody_who_knows_none_moves_the_counter_then_it_is_void() {
    let mut held = Lease::new(shard(0), Position::TrimHorizon);
    held.owner = Some(worker("a"));
    held.counter = 5;
    held.session = Some(Session(7));
    let mut row = codec::encode(&held).unwrap();
    assert_eq!(lease(codec::decode(&row, None)).session, Some(Session(7)));
    row.insert("leaseCounter".to_owned(), AttributeValue::N("6".to_owned()));
    assert_eq!(lease(codec::decode(&row, None)).session, None);
}
