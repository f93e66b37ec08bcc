//! Who descends from whom: when a lease may be read, where it starts, and which hash keys nobody serves.

mod graph;

use std::{borrow::Borrow, collections::BTreeMap};

pub use self::graph::ShardGraph;
use crate::{
    ids::{HashKey, HashKeyRange, LeaseKey, ShardId},
    lease::Lease,
    sequence::Position,
};

/// Whether the shard of `lease` may be read: everything that came before it has been handled.
///
/// The table may hold several streams: shards are looked for in the lease's own.
///
/// Every parent that has a lease must be at its end; a parent without one was never to be read, or was read and its row
/// cleaned up. The two parents of a merged shard can be reached at different times, though. The one that ends first
/// leaves the merged shard a lease at the trim horizon; as long as that stands there, the other parent has not been
/// cleaned up but is still to come (shard sync sees to it that it does), so the merged shard waits for it.
///
/// ```
/// use std::collections::BTreeMap;
/// use kcl_core::{Lease, Position, ShardId, lineage};
///
/// let parent = Lease::new(ShardId::new("shardId-000000000000")?, Position::TrimHorizon);
/// let child = Lease::new(ShardId::new("shardId-000000000001")?, Position::TrimHorizon).with_parents([parent.shard.clone()]);
///
/// let mut table = BTreeMap::from([(parent.key.clone(), parent.clone())]);
/// assert!(!lineage::is_ready(&child, &table));
/// table.get_mut(&parent.key).expect("it was inserted").checkpoint = Position::ShardEnd;
/// assert!(lineage::is_ready(&child, &table));
/// # Ok::<(), kcl_core::InvalidId>(())
/// ```
#[must_use]
pub fn is_ready(lease: &Lease, leases: &BTreeMap<LeaseKey, impl Borrow<Lease>>) -> bool {
    is_ready_among(lease, |shard| leases.get(&lease.key_of(shard)).map(Borrow::borrow))
}

/// [`is_ready`] for callers with an index of their own.
pub(crate) fn is_ready_among<'a>(lease: &Lease, find: impl Fn(&ShardId) -> Option<&'a Lease>) -> bool {
    let mut leased = false;
    let mut missing = false;
    for parent in &lease.parents {
        match find(parent) {
            Some(parent) if !parent.is_finished() => return false,
            Some(_) => leased = true,
            None => missing = true,
        }
    }
    !(leased && missing && lease.checkpoint == Position::TrimHorizon)
}

/// Where a lease that is ready is opened: at its checkpoint, except where that would skip records.
///
/// Two workers that fill an empty table may know the stream from before and after a split, and both the parent and its
/// children get a lease at `LATEST`. By the time the parent has been read to its end, the children hold records, which
/// belong to what follows the parent: such a child starts at the trim horizon.
///
/// ```
/// use std::collections::BTreeMap;
/// use kcl_core::{Lease, Position, ShardId, lineage};
///
/// let parent = Lease::new(ShardId::new("shardId-000000000000")?, Position::ShardEnd);
/// let child = Lease::new(ShardId::new("shardId-000000000001")?, Position::Latest).with_parents([parent.shard.clone()]);
/// let alone = BTreeMap::from([(child.key.clone(), child.clone())]);
/// let both = BTreeMap::from([(child.key.clone(), child.clone()), (parent.key.clone(), parent)]);
///
/// assert_eq!(lineage::start_position(&child, &alone), Position::Latest);
/// assert_eq!(lineage::start_position(&child, &both), Position::TrimHorizon);
/// # Ok::<(), kcl_core::InvalidId>(())
/// ```
#[must_use]
pub fn start_position(lease: &Lease, leases: &BTreeMap<LeaseKey, impl Borrow<Lease>>) -> Position {
    let follows = || {
        lease
            .parents
            .iter()
            .any(|parent| leases.contains_key(&lease.key_of(parent)))
    };
    if lease.checkpoint == Position::Latest && follows() {
        Position::TrimHorizon
    } else {
        lease.checkpoint.clone()
    }
}

/// The hash keys that none of the ranges serves, in order. The ranges may overlap and come in any order.
///
/// ```
/// use kcl_core::{HashKey, HashKeyRange, lineage::hash_range_holes};
///
/// let low = HashKeyRange { start: HashKey::MIN, end: HashKey(99) };
/// let high = HashKeyRange { start: HashKey(200), end: HashKey::MAX };
/// assert_eq!(hash_range_holes([high, low]), [HashKeyRange { start: HashKey(100), end: HashKey(199) }]);
/// assert!(hash_range_holes([HashKeyRange::FULL]).is_empty());
/// ```
#[must_use]
pub fn hash_range_holes(ranges: impl IntoIterator<Item = HashKeyRange>) -> Vec<HashKeyRange> {
    let mut ranges: Vec<HashKeyRange> = ranges.into_iter().filter(|range| range.start <= range.end).collect();
    ranges.sort_unstable();
    let mut holes = Vec::new();
    // The smallest hash key that is not yet known to be served; `None` beyond the largest.
    let mut next = Some(HashKey::MIN);
    for range in ranges {
        let Some(expected) = next else { break };
        if range.start > expected {
            holes.push(HashKeyRange {
                start: expected,
                end: HashKey(range.start.0 - 1),
            });
        }
        if range.end >= expected {
            next = range.end.0.checked_add(1).map(HashKey);
        }
    }
    holes.extend(next.map(|start| HashKeyRange {
        start,
        end: HashKey::MAX,
    }));
    holes
}

#[cfg(test)]
mod tests;
