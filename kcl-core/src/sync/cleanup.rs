//! The leases that are over.

use std::collections::{BTreeMap, BTreeSet};

use super::by_shard;
use crate::{
    catalog::Shard,
    ids::{LeaseKey, ShardId},
    lease::Lease,
    lineage::ShardGraph,
};

/// Finds the finished leases that nothing needs any more, given an unfiltered listing of the stream's shards.
///
/// A finished lease goes when its parents' leases are gone and every child has a lease that stands at a record or at its
/// end. Until then it tells where the child starts, and that it has to be created at all. One whose children are unknown
/// stays, as does the last lease of a table: an empty table means an application that has never run. The listing
/// may be old.
///
/// ```
/// use kcl_core::{HashKeyRange, Lease, Position, Shard, ShardId, sync::plan_cleanup};
///
/// let parent = Lease::new(ShardId::new("shardId-000000000000")?, Position::ShardEnd);
/// let mut child = Lease::new(ShardId::new("shardId-000000000001")?, Position::TrimHorizon).with_parents([parent.shard.clone()]);
/// let listing = [Shard::new(child.shard.clone(), HashKeyRange::FULL)];
/// assert!(plan_cleanup(&[parent.clone(), child.clone()], &listing).is_empty());
///
/// child.checkpoint = Position::after("7".parse()?);
/// assert_eq!(plan_cleanup(&[parent.clone(), child], &listing), [parent.key]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn plan_cleanup(leases: &[Lease], shards: &[Shard]) -> Vec<LeaseKey> {
    // A stream always has a shard: an empty listing tells nothing.
    if shards.is_empty() {
        return Vec::new();
    }
    let graph = ShardGraph::new(shards);
    let leased = by_shard(leases);
    let children = known_children(leases, &graph);
    let begun = |child: &&ShardId| match leased.get(child) {
        Some(lease) => !lease.checkpoint.is_start(),
        // If retention removed it there is nothing left to start.
        None => graph.get(child).is_none() && graph.knows(child),
    };
    let over = |lease: &&Lease| {
        let first = !lease.parents.iter().any(|parent| leased.contains_key(parent));
        let followed = children
            .get(&lease.shard)
            .is_some_and(|children| children.iter().all(begun));
        lease.is_finished() && first && followed
    };
    let over: Vec<LeaseKey> = leases.iter().filter(over).map(|lease| lease.key.clone()).collect();
    if over.len() == leases.len() { Vec::new() } else { over }
}

/// The children of each shard: those that its lease names, those whose leases name it, and those that are listed.
fn known_children<'a>(leases: &'a [Lease], graph: &ShardGraph<'a>) -> BTreeMap<&'a ShardId, BTreeSet<&'a ShardId>> {
    let mut children: BTreeMap<&ShardId, BTreeSet<&ShardId>> = BTreeMap::new();
    for lease in leases {
        if !lease.children.is_empty() {
            children.entry(&lease.shard).or_default().extend(&lease.children);
        }
        for parent in &lease.parents {
            children.entry(parent).or_default().insert(&lease.shard);
        }
    }
    for shard in graph.shards() {
        for parent in shard.parents() {
            children.entry(parent).or_default().insert(&shard.id);
        }
    }
    children
}
