//! Which shard takes which hash key, as far as is known.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    catalog::Shard,
    ids::{HashKey, HashKeyRange, ShardId},
    time::Tick,
};

/// From one listing to the next, at least: a reshard is told by many answers at once.
const LISTINGS_APART: Duration = Duration::from_secs(1);

/// How long to wait after a listing that failed.
const LIST_AGAIN: Duration = Duration::from_secs(5);

/// The open shards, by the ends of their ranges.
#[derive(Debug, Default)]
pub(super) struct ShardMap {
    open: BTreeMap<HashKey, (HashKeyRange, ShardId)>,
    /// Those of all shards, closed ones too.
    ranges: BTreeMap<ShardId, HashKeyRange>,
    listing: bool,
    /// Something changed while the shards were being listed.
    outdated: bool,
    listed_at: Option<Tick>,
    /// When the shards are to be listed.
    list_at: Option<Tick>,
}

impl ShardMap {
    pub(super) fn shard_of(&self, key: HashKey) -> Option<&(HashKeyRange, ShardId)> {
        let (_, found) = self.open.range(key..).next()?;
        found.0.contains(key).then_some(found)
    }

    pub(super) fn range_of(&self, shard: &ShardId) -> Option<HashKeyRange> {
        self.ranges.get(shard).copied()
    }

    pub(super) fn list_at(&self) -> Option<Tick> {
        self.list_at
    }

    /// The shards are not what they were: list them as soon as may be.
    pub(super) fn is_outdated(&mut self, now: Tick) {
        if self.listing {
            self.outdated = true;
        } else {
            let earliest = self.listed_at.map_or(now, |at| at + LISTINGS_APART);
            self.list_at.get_or_insert_with(|| earliest.max(now));
        }
    }

    /// False if a listing is under way.
    pub(super) fn begin_listing(&mut self, now: Tick) -> bool {
        self.list_at = None;
        self.outdated = false;
        self.listed_at = Some(now);
        !std::mem::replace(&mut self.listing, true)
    }

    pub(super) fn listed(&mut self, now: Tick, shards: Vec<Shard>) {
        self.listing = false;
        self.ranges = shards
            .iter()
            .map(|shard| (shard.id.clone(), shard.hash_key_range))
            .collect();
        let by_end = |shard: Shard| (shard.hash_key_range.end, (shard.hash_key_range, shard.id));
        self.open = shards.into_iter().filter(Shard::is_open).map(by_end).collect();
        if std::mem::take(&mut self.outdated) {
            self.is_outdated(now);
        }
    }

    pub(super) fn listing_failed(&mut self, now: Tick) {
        self.listing = false;
        self.list_at = Some(now + LIST_AGAIN);
    }
}
