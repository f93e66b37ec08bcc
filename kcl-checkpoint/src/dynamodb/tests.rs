//! Rows as Java KCL writes them, and the expressions of our writes.

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use bytes::Bytes;
use kcl_core::{
    Expect, HashKey, HashKeyRange, Lease, LeaseWrite, Patch, PendingCheckpoint, Position, RecordPosition, Session,
    ShardId, StreamId, Timestamp, UnreadableRow, WorkerId,
};
use serde_json::Value;

use super::{
    codec::{self, Item, Row},
    expression::Expressions,
};

/// A row in the service's JSON.
pub(super) fn item(json: &str) -> Item {
    let row: serde_json::Map<String, Value> = serde_json::from_str(json).unwrap();
    row.iter()
        .map(|(name, value)| (name.clone(), attribute(value)))
        .collect()
}

fn attribute(value: &Value) -> AttributeValue {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    let text = || value.as_str().unwrap().to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "B" => AttributeValue::B(Blob::new(text())),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap()),
        "NULL" => AttributeValue::Null(true),
        "SS" => AttributeValue::Ss(
            value
                .as_array()
                .unwrap()
                .iter()
                .map(|text| text.as_str().unwrap().to_owned())
                .collect(),
        ),
        "L" => AttributeValue::L(value.as_array().unwrap().iter().map(attribute).collect()),
        "M" => AttributeValue::M(
            value
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.clone(), attribute(value)))
                .collect(),
        ),
        other => panic!("{other}"),
    }
}

fn decode(json: &str) -> Row {
    codec::decode(&item(json), None)
}

fn lease(row: Row) -> Lease {
    match row {
        Row::Lease(lease) => *lease,
        other => panic!("{other:?}"),
    }
}

fn shard(number: u32) -> ShardId {
    ShardId::new(format!("shardId-{number:012}")).unwrap()
}

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

fn record(digits: &str, sub_sequence_number: u64) -> Position {
    Position::Record(RecordPosition {
        sequence_number: digits.parse().unwrap(),
        sub_sequence_number,
    })
}

/// A row of a fleet that reads one stream, in the middle of a shard.
const SINGLE: &str = r#"{
    "leaseKey": {"S": "shardId-000000000003"},
    "leaseOwner": {"S": "10.0.0.7:5d0f2b6e-9f7a-4d5c-8a6e-0d8b4b5f7a11"},
    "leaseCounter": {"N": "1812"},
    "ownerSwitchesSinceCheckpoint": {"N": "1"},
    "checkpoint": {"S": "49590338271490256608559692538361571095921575989136588898"},
    "checkpointSubSequenceNumber": {"N": "4"},
    "parentShardId": {"SS": ["shardId-000000000001", "shardId-000000000000"]},
    "startingHashKey": {"S": "170141183460469231731687303715884105728"},
    "endingHashKey": {"S": "340282366920938463463374607431768211455"},
    "throughputKBps": {"N": "12.345678"},
    "entityType": {"S": "LEASE"}
}"#;

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

/// The expression with its values in place.
fn shown(expression: &str, expressions: &Expressions) -> String {
    let mut places: Vec<_> = expressions.values.iter().flatten().collect();
    // From behind, so that `:v1` is not found in `:v10`.
    places.sort_by_key(|(place, _)| std::cmp::Reverse(place.len()));
    let shown = places.into_iter().fold(expression.to_owned(), |text, (place, value)| {
        let value = match value {
            AttributeValue::S(text) => format!("'{text}'"),
            AttributeValue::N(digits) => digits.clone(),
            other => format!("{other:?}"),
        };
        text.replace(place, &value)
    });
    for name in shown.split(['(', ')', ' ', ',']).filter(|word| word.starts_with('#')) {
        assert_eq!(expressions.names.get(name).map(String::as_str), Some(&name[1..]));
    }
    shown.replace('#', "")
}

fn check(write: &LeaseWrite, condition: &str, update: &str) {
    let expressions = Expressions::update(write).unwrap();
    assert_eq!(shown(&expressions.condition, &expressions), condition);
    assert_eq!(
        shown(expressions.update.as_deref().unwrap_or_default(), &expressions),
        update
    );
}

fn held() -> Lease {
    let mut lease = Lease::new(shard(0), Position::TrimHorizon);
    lease.owner = Some(worker("a"));
    lease.counter = 5;
    lease
}

const UNCHANGED: &str =
    "attribute_exists(leaseKey) AND leaseCounter = 5 AND leaseOwner = 'a' AND attribute_not_exists(checkpointOwner)";

#[test]
fn given_the_writes_of_a_worker_when_expressed_then_they_expect_and_change_what_java_does() {
    let lease = held();
    check(
        &LeaseWrite::renew(&lease, None),
        UNCHANGED,
        "ADD leaseCounter 1, ownerSessionCounter 1",
    );
    check(
        &LeaseWrite::renew(&lease, Some(record("100", 2))),
        UNCHANGED,
        "SET checkpoint = '100', checkpointSubSequenceNumber = 2, ownerSwitchesSinceCheckpoint = 0 \
         REMOVE checkpointTimestamp, pendingCheckpoint, pendingCheckpointSubSequenceNumber, pendingCheckpointTimestamp, \
         pendingCheckpointState ADD leaseCounter 1, ownerSessionCounter 1",
    );
    check(
        &LeaseWrite::take(&lease, &worker("b"), Session(255)),
        UNCHANGED,
        "SET ownerSession = '00000000000000ff', ownerSessionCounter = 6, leaseOwner = 'b' REMOVE checkpointOwner \
         ADD leaseCounter 1, ownerSwitchesSinceCheckpoint 1",
    );
    check(
        &LeaseWrite::take(&lease, &worker("b"), Session(255)).with_failover_time(std::time::Duration::from_secs(10)),
        UNCHANGED,
        "SET ownerSession = '00000000000000ff', ownerSessionCounter = 6, ownerFailoverMillis = 10000, leaseOwner = 'b' \
         REMOVE checkpointOwner ADD leaseCounter 1, ownerSwitchesSinceCheckpoint 1",
    );
    check(
        &LeaseWrite::request_hand_off(&lease, &worker("b")),
        UNCHANGED,
        "SET leaseOwner = 'b', checkpointOwner = 'a'",
    );
    check(
        &LeaseWrite::release(&lease, None),
        UNCHANGED,
        "REMOVE ownerSession, ownerSessionCounter, ownerFailoverMillis, leaseOwner, checkpointOwner ADD leaseCounter 1",
    );
    let mut free = lease;
    free.owner = None;
    let write = LeaseWrite::take(&free, &worker("b"), Session(1));
    let condition = Expressions::update(&write).unwrap();
    assert_eq!(
        shown(&condition.condition, &condition),
        "attribute_exists(leaseKey) AND leaseCounter = 5 AND attribute_not_exists(leaseOwner) \
         AND attribute_not_exists(checkpointOwner)"
    );
}

#[test]
fn given_a_write_that_expects_no_counter_when_it_sets_a_session_then_the_row_itself_says_as_of_when() {
    let patch = Patch {
        session: Some(Some(Session(1))),
        ..Patch::renewal()
    };
    let mut write = LeaseWrite {
        key: held().key,
        expect: Expect::exists(),
        patch,
    };
    check(
        &write,
        "attribute_exists(leaseKey)",
        "SET ownerSession = '0000000000000001', ownerSessionCounter = leaseCounter + 1 ADD leaseCounter 1",
    );
    write.patch.increment_counter = false;
    check(
        &write,
        "attribute_exists(leaseKey)",
        "SET ownerSession = '0000000000000001', ownerSessionCounter = leaseCounter",
    );
    write.patch = Patch::default();
    check(&write, "attribute_exists(leaseKey)", "");
    assert_eq!(Expressions::update(&write).unwrap().values, None);
}

#[test]
fn given_sets_of_children_when_written_then_an_empty_one_is_removed() {
    let patch = |children: Vec<ShardId>| LeaseWrite {
        key: held().key,
        expect: Expect::exists(),
        patch: Patch {
            children: Some(children),
            ..Patch::default()
        },
    };
    check(&patch(Vec::new()), "attribute_exists(leaseKey)", "REMOVE childShardIds");
    let two = Expressions::update(&patch(vec![shard(2), shard(1)])).unwrap();
    let wanted = AttributeValue::Ss(vec![shard(1).to_string(), shard(2).to_string()]);
    assert_eq!(two.values.unwrap()[":v0"], wanted);
}
