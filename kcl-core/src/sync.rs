//! Shard sync: which leases are missing for the shards of a stream, and which are over.
//!
//! Rows are only ever created where there is none, so the plans of several workers may be carried out at once: whoever
//! is second changes nothing.

mod cleanup;
mod missing;

use std::collections::{BTreeMap, BTreeSet};

pub use self::cleanup::plan_cleanup;
use crate::{
    catalog::{ChildShard, Shard, ShardFilter},
    ids::{HashKeyRange, ShardId},
    lease::Lease,
    lineage::{ShardGraph, hash_range_holes},
    sequence::{InitialPosition, Position},
};

/// What shard sync looks at.
#[derive(Clone, Copy, Debug)]
pub struct SyncInput<'a> {
    /// The stream's shards: listed with [`filter_for_empty_table`] if there are no leases, with [`ShardFilter::All`]
    /// otherwise.
    pub shards: &'a [Shard],
    /// All leases of the stream.
    pub leases: &'a [Lease],
    /// Where to start with shards that nobody has read before.
    pub initial: InitialPosition,
}

/// What shard sync wants done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncPlan {
    /// Leases to create unless there is one with the same key, by shard id.
    pub create: Vec<Lease>,
}

/// A listing that cannot be the whole truth. Nothing is planned; list again, later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// Some hash keys belong to no listed shard, so their records would not be read.
    #[error(
        "the listing of shards is incomplete: no shard serves the hash keys {} ({} gaps in all)",
        holes.first().map_or_else(String::new, ToString::to_string), holes.len()
    )]
    Incomplete {
        /// The hash keys that no listed shard serves.
        holes: Vec<HashKeyRange>,
    },
    /// A shard is open together with its parent, which the service rules out: the listing mixes two points in time.
    #[error("the listing of shards is inconsistent: {child} is open, and so is its parent {parent}")]
    OpenParent {
        /// The open shard.
        child: ShardId,
        /// Its parent, which must be closed.
        parent: ShardId,
    },
}

/// How to list the shards while there is no lease at all: those that were open where reading starts.
#[must_use]
pub fn filter_for_empty_table(initial: InitialPosition) -> ShardFilter {
    match initial {
        InitialPosition::TrimHorizon => ShardFilter::AtTrimHorizon,
        InitialPosition::Latest => ShardFilter::AtLatest,
        InitialPosition::AtTimestamp(at) => ShardFilter::AtTimestamp(at),
    }
}

/// Finds the leases that are missing.
///
/// - *No lease at all*: one for each listed shard, at the initial position. The first says where its shard begins, by which the stream
///   is told from one that is made in its place ([`contradiction`]).
/// - *Otherwise* only what no other step of the protocol creates. A descendant of a lease gets its own when its parent has
///   been read to the end. If that has happened and it has none, the lease is created now, at the trim horizon, one
///   generation at a time. A shard without any leased ancestor is new to the application and starts at the initial
///   position: with `LATEST` itself, else with its oldest ancestors that are still listed.
///
/// ```
/// use kcl_core::{HashKeyRange, InitialPosition, Position, Shard, ShardId, sync::{SyncInput, plan_shard_sync}};
///
/// let shards = [Shard::new(ShardId::new("shardId-000000000000")?, HashKeyRange::FULL)];
/// let plan = plan_shard_sync(&SyncInput { shards: &shards, leases: &[], initial: InitialPosition::Latest })?;
/// assert_eq!(plan.create[0].shard, shards[0].id);
/// assert_eq!(plan.create[0].checkpoint, Position::Latest);
///
/// let again = plan_shard_sync(&SyncInput { shards: &shards, leases: &plan.create, initial: InitialPosition::Latest })?;
/// assert!(again.create.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the listing contradicts itself, or does not cover all hash keys where it has to.
pub fn plan_shard_sync(input: &SyncInput<'_>) -> Result<SyncPlan, SyncError> {
    let graph = ShardGraph::new(input.shards);
    check_consistency(&graph)?;
    if !input.leases.is_empty() {
        return Ok(SyncPlan {
            create: missing::missing_leases(&graph, input.leases, input.initial),
        });
    }
    let holes = hash_range_holes(input.shards.iter().map(|shard| shard.hash_key_range));
    if !holes.is_empty() {
        return Err(SyncError::Incomplete { holes });
    }
    let mut create: Vec<Lease> = graph
        .shards()
        .map(|shard| lease_for(shard, input.initial.into()))
        .collect();
    // One row is enough to know the stream again, and every scan pays for what is in a row.
    if let (Some(lease), Some(shard)) = (create.first_mut(), graph.shards().next()) {
        lease.shard_start.clone_from(&shard.starting_sequence_number);
    }
    Ok(SyncPlan { create })
}

/// Finds the leases of shards that must have one though it is not their turn: a merged shard gets its lease when one of its
/// parents was read to the end, and by then the other one must have its own, to be waited for.
///
/// They start at the trim horizon, after leases of their own ancestors. Where these have none, they get theirs first, one generation
/// in a plan: whoever saw the row of a shard and not yet that of its parent would take it for one that may be read. A shard that
/// is not listed gets none, and one that descends from no lease only by [`plan_shard_sync`].
///
/// ```
/// use std::collections::BTreeSet;
/// use kcl_core::{HashKeyRange, InitialPosition, Lease, Position, Shard, ShardId, sync::{SyncInput, plan_awaited_parents}};
///
/// let (old, new) = (ShardId::new("shardId-000000000000")?, ShardId::new("shardId-000000000001")?);
/// let mut child = Shard::new(new.clone(), HashKeyRange::FULL);
/// child.parent = Some(old.clone());
/// let shards = [Shard::new(old.clone(), HashKeyRange::FULL), child];
///
/// let leases = [Lease::new(old, Position::TrimHorizon)];
/// let input = SyncInput { shards: &shards, leases: &leases, initial: InitialPosition::Latest };
/// let create = plan_awaited_parents(&input, &BTreeSet::from([new.clone()]));
/// assert_eq!((&create[0].shard, &create[0].checkpoint), (&new, &Position::TrimHorizon));
/// # Ok::<(), kcl_core::InvalidId>(())
/// ```
#[must_use]
pub fn plan_awaited_parents(input: &SyncInput<'_>, awaited: &BTreeSet<ShardId>) -> Vec<Lease> {
    let graph = ShardGraph::new(input.shards);
    let leased = by_shard(input.leases);
    let following = graph.descendants(leased.keys().copied());
    let mut open: Vec<&ShardId> = awaited.iter().collect();
    let mut create = BTreeMap::new();
    while let Some(id) = open.pop() {
        let Some(shard) = graph.get(id) else { continue };
        let is_new = !leased.contains_key(&shard.id) && following.contains(&shard.id);
        if is_new && !create.contains_key(&shard.id) {
            create.insert(&shard.id, lease_for(shard, Position::TrimHorizon));
            open.extend(graph.parents(&shard.id).map(|parent| &parent.id));
        }
    }
    let ids: BTreeSet<&ShardId> = create.keys().copied().collect();
    create.retain(|id, _| !graph.parents(id).any(|parent| ids.contains(&parent.id)));
    create.into_values().collect()
}

/// The leases that the children of a shard get when it has been read to its end, before it is marked as finished.
///
/// They start at the trim horizon wherever the application began: everything in a child comes after its parents.
///
/// ```
/// use kcl_core::{ChildShard, HashKeyRange, Position, ShardId, sync::child_leases};
///
/// let parent = ShardId::new("shardId-000000000000")?;
/// let child = ShardId::new("shardId-000000000001")?;
/// let told = ChildShard { id: child, parents: vec![parent.clone()], hash_key_range: Some(HashKeyRange::FULL) };
/// let leases = child_leases(&parent, &[told]);
/// assert_eq!(leases[0].checkpoint, Position::TrimHorizon);
/// assert_eq!(leases[0].parents, [parent]);
/// # Ok::<(), kcl_core::InvalidId>(())
/// ```
#[must_use]
pub fn child_leases(parent: &ShardId, children: &[ChildShard]) -> Vec<Lease> {
    let lease = |child: &ChildShard| {
        let unnamed = (!child.parents.contains(parent)).then_some(parent);
        let parents = child.parents.iter().chain(unnamed).cloned();
        let mut lease = Lease::new(child.id.clone(), Position::TrimHorizon).with_parents(parents);
        lease.hash_key_range = child.hash_key_range;
        lease
    };
    children.iter().map(lease).collect()
}

/// Finds a lease whose shard is listed, and is another one: it began after the lease's checkpoint, or has another beginning, other
/// hash keys or parents, which never change. So the stream was deleted and created again, or is not the one that the leases are of.
/// What a row or the listing does not say contradicts nothing.
///
/// ```
/// use kcl_core::{HashKey, HashKeyRange, Lease, Position, Shard, ShardId, sync::contradiction};
///
/// let shard = Shard::new(ShardId::new("shardId-000000000001")?, HashKeyRange::FULL);
/// let lease = Lease::new(shard.id.clone(), Position::TrimHorizon);
/// assert_eq!(contradiction(&[lease.clone()], &[shard.clone()]), None);
///
/// let other = lease.with_hash_key_range(HashKeyRange { start: HashKey::MIN, end: HashKey::MIN });
/// assert_eq!(contradiction(&[other.clone()], &[shard]), Some(&other));
/// # Ok::<(), kcl_core::InvalidId>(())
/// ```
#[must_use]
pub fn contradiction<'a>(leases: &'a [Lease], shards: &[Shard]) -> Option<&'a Lease> {
    let listed: BTreeMap<&ShardId, &Shard> = shards.iter().map(|shard| (&shard.id, shard)).collect();
    leases.iter().find(|lease| {
        let shard = listed.get(&lease.shard);
        shard.is_some_and(|shard| is_another(lease, shard) || begins_after(shard, &lease.checkpoint))
    })
}

/// Whether a lease is of a shard with other hash keys or other parents than the listed one of its id, or one that began
/// elsewhere. (A checkpoint at a record says enough itself about where its shard began.)
pub(crate) fn is_another(lease: &Lease, shard: &Shard) -> bool {
    let leased: BTreeSet<&ShardId> = lease.parents.iter().collect();
    let parents: BTreeSet<&ShardId> = shard.parents().collect();
    let starts = lease.shard_start.as_ref().zip(shard.starting_sequence_number.as_ref());
    let starts = starts.filter(|_| lease.checkpoint.record().is_none());
    lease.hash_key_range.is_some_and(|range| range != shard.hash_key_range)
        || starts.is_some_and(|(then, now)| then != now)
        || (!leased.is_empty() && !parents.is_empty() && leased.is_disjoint(&parents))
}

fn begins_after(shard: &Shard, checkpoint: &Position) -> bool {
    let (at, start) = (checkpoint.record(), shard.starting_sequence_number.as_ref());
    at.zip(start).is_some_and(|(at, start)| at.sequence_number < *start)
}

/// Whether a shard may have a record at a checkpoint.
pub(crate) fn covers(shard: &Shard, checkpoint: &Position) -> bool {
    let (at, end) = (checkpoint.record(), shard.ending_sequence_number.as_ref());
    let ends_before = at.zip(end).is_some_and(|(at, end)| at.sequence_number > *end);
    !ends_before && !begins_after(shard, checkpoint)
}

/// A lease that nobody holds, with all that the listing tells of its shard.
fn lease_for(shard: &Shard, checkpoint: Position) -> Lease {
    Lease::new(shard.id.clone(), checkpoint)
        .with_parents(shard.parents().cloned())
        .with_hash_key_range(shard.hash_key_range)
}

fn by_shard(leases: &[Lease]) -> BTreeMap<&ShardId, &Lease> {
    leases.iter().map(|lease| (&lease.shard, lease)).collect()
}

fn check_consistency(graph: &ShardGraph<'_>) -> Result<(), SyncError> {
    for child in graph.open_shards() {
        if let Some(parent) = graph.parents(&child.id).find(|parent| parent.is_open()) {
            return Err(SyncError::OpenParent {
                child: child.id.clone(),
                parent: parent.id.clone(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
