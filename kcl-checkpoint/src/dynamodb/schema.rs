//! The names of a row's attributes, and the keys of the table and its index.
//!
//! Attributes, types and sentinels are those of Java KCL 2.x and 3.x. The last block is this crate's own: Java reads rows
//! by name and changes them attribute by attribute, so it neither minds these nor removes them.

use aws_sdk_dynamodb::types::{AttributeDefinition, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription};

pub(super) const LEASE_KEY: &str = "leaseKey";
pub(super) const LEASE_OWNER: &str = "leaseOwner";
pub(super) const LEASE_COUNTER: &str = "leaseCounter";
pub(super) const OWNER_SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const CHECKPOINT_SUB: &str = "checkpointSubSequenceNumber";
pub(super) const PENDING: &str = "pendingCheckpoint";
pub(super) const PENDING_SUB: &str = "pendingCheckpointSubSequenceNumber";
pub(super) const PENDING_STATE: &str = "pendingCheckpointState";
pub(super) const PARENTS: &str = "parentShardId";
pub(super) const CHILDREN: &str = "childShardIds";
pub(super) const STARTING_HASH_KEY: &str = "startingHashKey";
pub(super) const ENDING_HASH_KEY: &str = "endingHashKey";
/// In units of 1,024 bytes a second, with up to six decimals.
pub(super) const THROUGHPUT: &str = "throughputKBps";
pub(super) const CHECKPOINT_OWNER: &str = "checkpointOwner";
/// Where an application reads several streams: `account:stream:epoch`, in spite of its name.
pub(super) const STREAM_IDENTIFIER: &str = "streamName";
/// Where an application reads several streams; otherwise the key is the shard.
pub(super) const SHARD_ID: &str = "shardId";
/// What a row is, since a table may hold others than leases; rows without it are leases.
pub(super) const ENTITY_TYPE: &str = "entityType";
pub(super) const ENTITY_LEASE: &str = "LEASE";

/// The life of the owner: 16 hex digits, as logs show it.
pub(super) const SESSION: &str = "ownerSession";
/// The counter as of which the session is true: whoever knows nothing of sessions moves `leaseCounter` away from it.
pub(super) const SESSION_COUNTER: &str = "ownerSessionCounter";
/// How long the owner may go without renewal, in milliseconds; as true as the session.
pub(super) const FAILOVER_TIME: &str = "ownerFailoverMillis";
/// The stream's name, where an application reads one stream.
pub(super) const STREAM: &str = "stream";
/// The time of `AT_TIMESTAMP` in milliseconds since 1970, which Java keeps in its workers' configuration.
pub(super) const CHECKPOINT_TIMESTAMP: &str = "checkpointTimestamp";
pub(super) const PENDING_TIMESTAMP: &str = "pendingCheckpointTimestamp";
/// How often an operator moved the checkpoint.
pub(super) const SEEKS: &str = "checkpointSeeks";
/// Since when nobody is to read the shard, in milliseconds since 1970.
pub(super) const PAUSED: &str = "pausedSince";
/// The sequence number at which the shard begins, as a listing gave it. One row of a stream has it.
pub(super) const SHARD_START: &str = "shardStart";

/// The key of the table of leaders and migrations, where there is one.
pub(super) const COORDINATOR_KEY: &str = "key";
/// The key of the table of workers' metrics, where there is one.
pub(super) const WORKER_KEY: &str = "wid";

pub(super) const AT_TIMESTAMP: &str = "AT_TIMESTAMP";
pub(super) const TRIM_HORIZON: &str = "TRIM_HORIZON";
pub(super) const LATEST: &str = "LATEST";
pub(super) const SHARD_END: &str = "SHARD_END";

/// The index by which workers of Java KCL 3.x find their leases.
pub(super) const OWNER_INDEX: &str = "LeaseOwnerToLeaseKeyIndex";

/// An attribute that is a part of a key.
pub(super) fn text_attribute(name: &str) -> AttributeDefinition {
    AttributeDefinition::builder()
        .attribute_name(name)
        .attribute_type(ScalarAttributeType::S)
        .build()
        .expect("name and type are set")
}

/// A part of a key.
pub(super) fn key_part(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder()
        .attribute_name(name)
        .key_type(kind)
        .build()
        .expect("name and type are set")
}

/// Says how the key of a table differs from `key`, if it does.
pub(super) fn foreign_key(table: &TableDescription, key: &str) -> Option<String> {
    let type_of = |name: &str| {
        let definitions = table.attribute_definitions().iter();
        let found = definitions.filter(|attribute| attribute.attribute_name() == name);
        found
            .map(|attribute| attribute.attribute_type().clone())
            .next()
            .unwrap_or(ScalarAttributeType::S)
    };
    let parts = table.key_schema();
    if let [only] = parts
        && only.attribute_name() == key
        && type_of(key) == ScalarAttributeType::S
    {
        return None;
    }
    let shown = parts.iter().map(|part| {
        let name = part.attribute_name();
        format!("{name} ({}, {})", type_of(name), part.key_type())
    });
    Some(shown.collect::<Vec<_>>().join(" and "))
}

/// Whether the table has the index by owner, in whatever state.
pub(super) fn has_owner_index(table: &TableDescription) -> bool {
    let mut indexes = table.global_secondary_indexes().iter();
    indexes.any(|index| index.index_name() == Some(OWNER_INDEX))
}
