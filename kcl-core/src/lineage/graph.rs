//! [`ShardGraph`]: a listing of shards as a family tree.

use std::collections::{BTreeMap, BTreeSet};

use crate::{catalog::Shard, ids::ShardId};

/// The shards of one listing, by descent.
///
/// A listing holds what retention has left: parents may be named that are not listed any more, and these count as absent.
/// Nothing loops for ever or panics on a listing that contradicts itself, such as one with a cycle.
///
/// ```
/// use kcl_core::{HashKeyRange, Shard, ShardId, lineage::ShardGraph};
///
/// let old = ShardId::new("shardId-000000000000")?;
/// let new = ShardId::new("shardId-000000000001")?;
/// let mut closed = Shard::new(old.clone(), HashKeyRange::FULL);
/// closed.ending_sequence_number = Some("7".parse()?);
/// let mut open = Shard::new(new.clone(), HashKeyRange::FULL);
/// open.parent = Some(old.clone());
///
/// let listing = [closed, open];
/// let graph = ShardGraph::new(&listing);
/// assert!(graph.children(&old).eq([&listing[1]]));
/// assert!(graph.open_shards().eq([&listing[1]]));
/// assert_eq!(graph.oldest_ancestors(&new), [&listing[0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ShardGraph<'a> {
    shards: BTreeMap<&'a ShardId, &'a Shard>,
    children: BTreeMap<&'a ShardId, Vec<&'a Shard>>,
}

impl<'a> ShardGraph<'a> {
    /// The family tree of a listing.
    #[must_use]
    pub fn new(listing: &'a [Shard]) -> Self {
        let shards: BTreeMap<&ShardId, &Shard> = listing.iter().map(|shard| (&shard.id, shard)).collect();
        let mut children: BTreeMap<&ShardId, Vec<&Shard>> = BTreeMap::new();
        for shard in shards.values() {
            let parents: BTreeSet<&ShardId> = shard.parents().filter(|parent| **parent != shard.id).collect();
            for parent in parents {
                children.entry(parent).or_default().push(shard);
            }
        }
        Self { shards, children }
    }

    /// The shard with this id, if it is listed.
    #[must_use]
    pub fn get(&self, id: &ShardId) -> Option<&'a Shard> {
        self.shards.get(id).copied()
    }

    /// Whether the listing is from after the shard was made: it shows the shard itself, or one of its children. If the
    /// shard is not listed then, it is because retention removed it, and not because the listing is too old.
    #[must_use]
    pub fn knows(&self, id: &ShardId) -> bool {
        self.get(id).is_some() || self.children(id).next().is_some()
    }

    /// All shards that are listed, by id.
    pub fn shards(&self) -> impl Iterator<Item = &'a Shard> {
        self.shards.values().copied()
    }

    /// The shards that still take records, by id.
    pub fn open_shards(&self) -> impl Iterator<Item = &'a Shard> {
        self.shards().filter(|shard| shard.is_open())
    }

    /// The parents of a shard that are still listed.
    pub fn parents(&self, id: &ShardId) -> impl Iterator<Item = &'a Shard> {
        let shard = self.get(id);
        let ids = shard.into_iter().flat_map(Shard::parents);
        ids.filter_map(|parent| self.get(parent))
            .filter(move |parent| Some(&parent.id) != shard.map(|shard| &shard.id))
    }

    /// The listed shards that name `id`, which need not be listed itself, as a parent.
    pub fn children(&self, id: &ShardId) -> impl Iterator<Item = &'a Shard> {
        self.children.get(id).into_iter().flatten().copied()
    }

    /// All listed shards that `id` descends from, near ones first.
    #[must_use]
    pub fn ancestors(&self, id: &ShardId) -> Vec<&'a Shard> {
        let mut seen: BTreeSet<&ShardId> = BTreeSet::from([id]);
        let mut ancestors: Vec<&Shard> = self.parents(id).filter(|parent| seen.insert(&parent.id)).collect();
        let mut next = 0;
        while let Some(shard) = ancestors.get(next) {
            ancestors.extend(self.parents(&shard.id).filter(|parent| seen.insert(&parent.id)));
            next += 1;
        }
        ancestors
    }

    /// The ancestors of a shard, or the shard itself, that have no listed parent: where its history begins.
    ///
    /// A shard of a cycle has no beginning; it stands for itself, so that no shard is without one.
    #[must_use]
    pub fn oldest_ancestors(&self, id: &ShardId) -> Vec<&'a Shard> {
        self.oldest_ancestors_among(id, |_| true)
    }

    /// [`oldest_ancestors`](Self::oldest_ancestors), as if only those shards were listed that `counts` accepts.
    pub(crate) fn oldest_ancestors_among(&self, id: &ShardId, counts: impl Fn(&ShardId) -> bool) -> Vec<&'a Shard> {
        let Some(itself) = self.get(id).filter(|shard| counts(&shard.id)) else {
            return Vec::new();
        };
        let mut seen: BTreeSet<&ShardId> = BTreeSet::from([&itself.id]);
        let mut open = vec![itself];
        let mut oldest = Vec::new();
        while let Some(shard) = open.pop() {
            let parents: Vec<&Shard> = self.parents(&shard.id).filter(|parent| counts(&parent.id)).collect();
            if parents.is_empty() {
                oldest.push(shard);
            }
            open.extend(parents.into_iter().filter(|parent| seen.insert(&parent.id)));
        }
        if oldest.is_empty() { vec![itself] } else { oldest }
    }

    /// The shards without a listed parent, by id.
    pub fn roots(&self) -> impl Iterator<Item = &'a Shard> {
        self.shards().filter(|shard| self.parents(&shard.id).next().is_none())
    }

    /// All listed shards that descend from one of `ids`, without these unless they descend from another.
    #[must_use]
    pub fn descendants<'b>(&self, ids: impl IntoIterator<Item = &'b ShardId>) -> BTreeSet<&'a ShardId> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&Shard> = ids.into_iter().flat_map(|id| self.children(id)).collect();
        while let Some(shard) = open.pop() {
            if found.insert(&shard.id) {
                open.extend(self.children(&shard.id));
            }
        }
        found
    }
}
