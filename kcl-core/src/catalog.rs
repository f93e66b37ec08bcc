//! What the service tells about a stream's shards.

use crate::{
    ids::{HashKeyRange, ShardId},
    sequence::SequenceNumber,
    time::Timestamp,
};

/// A shard, as `ListShards` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shard {
    /// The shard's id.
    pub id: ShardId,
    /// The shard that was split, or one of the two that were merged, into this one.
    pub parent: Option<ShardId>,
    /// The other one of two shards that were merged into this one.
    pub adjacent_parent: Option<ShardId>,
    /// The hash keys that the shard serves.
    pub hash_key_range: HashKeyRange,
    /// The number from which the shard's records count, where the service told.
    pub starting_sequence_number: Option<SequenceNumber>,
    /// The number at which the shard was closed; `None` while it is open.
    pub ending_sequence_number: Option<SequenceNumber>,
}

impl Shard {
    /// An open shard without parents.
    #[must_use]
    pub fn new(id: ShardId, hash_key_range: HashKeyRange) -> Self {
        Self {
            id,
            parent: None,
            adjacent_parent: None,
            hash_key_range,
            starting_sequence_number: None,
            ending_sequence_number: None,
        }
    }

    /// The shards that this one was made of: none, one after a split, two after a merge.
    pub fn parents(&self) -> impl Iterator<Item = &ShardId> {
        self.parent.iter().chain(&self.adjacent_parent)
    }

    /// Whether the shard still takes records.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ending_sequence_number.is_none()
    }
}

/// A child that the service names when a closed shard has been read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildShard {
    /// The child's id.
    pub id: ShardId,
    /// The shards it was made of: one after a split, two after a merge.
    pub parents: Vec<ShardId>,
    /// The hash keys that the child serves, where the service told.
    pub hash_key_range: Option<HashKeyRange>,
}

/// Which shards to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShardFilter {
    /// All that hold records within retention, closed ones included.
    All,
    /// Those that were open at the trim horizon.
    AtTrimHorizon,
    /// Those that are open.
    AtLatest,
    /// Those that were open at this time.
    AtTimestamp(Timestamp),
}
