//! Rows as Java KCL writes them, and the expressions of our writes.

mod expressions;
mod odd_rows;
mod rows;

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use kcl_core::{Lease, Position, RecordPosition, ShardId, WorkerId};
use serde_json::Value;

use super::codec::{self, Item, Row};

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
