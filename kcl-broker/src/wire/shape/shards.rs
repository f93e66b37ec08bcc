//! Shards and their listings.

use kcl_core::{ChildShard, HashKeyRange, Shard};
use serde::Serialize;

use super::Output;
use crate::{api::ListShardsOutput, wire::Format};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RangeShape {
    starting_hash_key: String,
    ending_hash_key: String,
}

impl RangeShape {
    fn of(range: &HashKeyRange) -> Self {
        Self {
            starting_hash_key: range.start.to_string(),
            ending_hash_key: range.end.to_string(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NumbersShape<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    starting_sequence_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_sequence_number: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShardShape<'a> {
    shard_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_shard_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adjacent_parent_shard_id: Option<&'a str>,
    hash_key_range: RangeShape,
    sequence_number_range: NumbersShape<'a>,
}

impl<'a> ShardShape<'a> {
    pub(super) fn of(shard: &'a Shard) -> Self {
        Self {
            shard_id: shard.id.as_str(),
            parent_shard_id: shard.parent.as_ref().map(|id| id.as_str()),
            adjacent_parent_shard_id: shard.adjacent_parent.as_ref().map(|id| id.as_str()),
            hash_key_range: RangeShape::of(&shard.hash_key_range),
            sequence_number_range: NumbersShape {
                starting_sequence_number: shard.starting_sequence_number.as_ref().map(|number| number.as_str()),
                ending_sequence_number: shard.ending_sequence_number.as_ref().map(|number| number.as_str()),
            },
        }
    }
}

impl Output for ListShardsOutput {
    fn encode(&self, format: Format) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            shards: Vec<ShardShape<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            next_token: Option<&'a str>,
        }
        let shards = self.shards.iter().map(ShardShape::of).collect();
        format.encode(&Shape {
            shards,
            next_token: self.next_token.as_deref(),
        })
    }
}

/// A child, as the last read of its parent names it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::wire) struct ChildShardShape<'a> {
    shard_id: &'a str,
    parent_shards: Vec<&'a str>,
    hash_key_range: Option<RangeShape>,
}

impl<'a> ChildShardShape<'a> {
    pub(in crate::wire) fn of(child: &'a ChildShard) -> Self {
        Self {
            shard_id: child.id.as_str(),
            parent_shards: child.parents.iter().map(|id| id.as_str()).collect(),
            hash_key_range: child.hash_key_range.as_ref().map(RangeShape::of),
        }
    }
}
