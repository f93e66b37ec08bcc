//! The leases that are missing from a table that is not empty.

use std::collections::{BTreeMap, BTreeSet};

use super::{by_shard, lease_for};
use crate::{
    catalog::Shard,
    ids::ShardId,
    lease::Lease,
    lineage::ShardGraph,
    sequence::{InitialPosition, Position},
};

pub(super) fn missing_leases(graph: &ShardGraph<'_>, leases: &[Lease], initial: InitialPosition) -> Vec<Lease> {
    let leased = by_shard(leases);
    let following = graph.descendants(leased.keys().copied());
    let mut search = Search {
        graph,
        leased,
        following,
        passed: leases.iter().flat_map(|lease| &lease.parents).collect(),
        initial,
        create: BTreeMap::new(),
    };
    search.run(leases);
    search.create.into_values().collect()
}

struct Search<'a> {
    graph: &'a ShardGraph<'a>,
    leased: BTreeMap<&'a ShardId, &'a Lease>,
    /// The shards that descend from a leased one.
    following: BTreeSet<&'a ShardId>,
    /// The shards whose children have leases. Whatever an old listing says, these are not new to the application: they
    /// were handled and cleaned up, or lie before the position where it began.
    passed: BTreeSet<&'a ShardId>,
    initial: InitialPosition,
    create: BTreeMap<&'a ShardId, Lease>,
}

impl<'a> Search<'a> {
    fn run(&mut self, leases: &'a [Lease]) {
        let mut wanted: Vec<&Shard> = self.graph.open_shards().collect();
        for lease in leases {
            wanted.extend(self.awaited_parents(lease));
        }
        // Every shard is looked at once, however many ways lead to it.
        let mut seen = BTreeSet::new();
        while let Some(shard) = wanted.pop() {
            if self.leased.contains_key(&shard.id) || !seen.insert(&shard.id) {
                continue;
            }
            if self.following.contains(&shard.id) {
                wanted.extend(self.follow(shard));
            } else {
                self.begin(shard);
            }
        }
    }

    /// A shard whose history has no lease at all: it is new to the application.
    fn begin(&mut self, shard: &'a Shard) {
        let is_new = |id: &ShardId| !self.passed.contains(id);
        let first = match self.initial {
            InitialPosition::Latest => Some(shard).filter(|shard| is_new(&shard.id)).into_iter().collect(),
            InitialPosition::TrimHorizon | InitialPosition::AtTimestamp(_) => {
                self.graph.oldest_ancestors_among(&shard.id, is_new)
            }
        };
        for shard in first {
            self.create.insert(&shard.id, lease_for(shard, self.initial.into()));
        }
    }

    /// A shard that comes after a leased one. It is due when its parents had leases and one is finished; before that it
    /// waits for its parents, and these, where they have no leases themselves, are looked at next.
    fn follow(&mut self, shard: &'a Shard) -> Vec<&'a Shard> {
        let waiting: Vec<&Shard> = self
            .graph
            .parents(&shard.id)
            .filter(|parent| !self.leased.contains_key(&parent.id))
            .collect();
        let finished = |parent| self.leased.get(parent).is_some_and(|lease| lease.is_finished());
        if waiting.is_empty() && shard.parents().any(finished) {
            self.create.insert(&shard.id, lease_for(shard, Position::TrimHorizon));
            let gone = shard.parents().filter(|parent| !self.leased.contains_key(parent));
            for parent in gone.collect::<Vec<_>>() {
                self.bury(parent);
            }
        }
        waiting
    }

    /// The parents without a lease of a merged shard that has not started, though one of its parents has a lease. Those
    /// that are still listed were not handled, so they are to be looked at. Those that are listed no more cannot be read;
    /// where the merged shard waits for them, see [`is_ready`](crate::lineage::is_ready), they get a lease that is
    /// finished from the start.
    fn awaited_parents(&mut self, lease: &'a Lease) -> Vec<&'a Shard> {
        let follows = lease.parents.iter().any(|parent| self.leased.contains_key(parent));
        let mut listed = Vec::new();
        if !follows || !lease.checkpoint.is_start() {
            return listed;
        }
        // A listing from before the merge does not show its parents because it is old, not because they are gone.
        let tells_who_is_gone = self.graph.knows(&lease.shard) && lease.checkpoint == Position::TrimHorizon;
        for parent in &lease.parents {
            match self.graph.get(parent) {
                _ if self.leased.contains_key(parent) => {}
                Some(shard) => {
                    self.passed.remove(parent);
                    listed.push(shard);
                }
                None if tells_who_is_gone => self.bury(parent),
                None => {}
            }
        }
        listed
    }

    fn bury(&mut self, gone: &'a ShardId) {
        self.create.insert(gone, Lease::new(gone.clone(), Position::ShardEnd));
    }
}
