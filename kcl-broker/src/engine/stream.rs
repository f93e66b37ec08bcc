//! One stream: its shards, which of them are open, and how they come from each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kcl_core::{ChildShard, HashKey, HashKeyRange, StreamName, Timestamp};

use super::{
    attached::Attached, consumers::Consumer, lifecycle::Transition, limits::CallMeters, scaling::Daily,
    sequence::second_of, shard::ShardLog, token::Life,
};
use crate::api::{RecordDistributionStrategy, StreamMode, StreamSettings, StreamStatus};

/// A stream of the engine.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: StreamName,
    pub(super) life: Life,
    /// The change that has begun and has not taken effect.
    pub(super) transition: Option<Transition>,
    pub(super) mode: StreamMode,
    pub(super) strategy: RecordDistributionStrategy,
    /// The throughput that an on-demand stream was to have room for.
    pub(super) warm_target_mibps: Option<u32>,
    /// How many records were taken, or would have been if their shards had had room.
    pub(super) records_taken: u64,
    pub(super) max_record_size_in_kib: u32,
    pub(super) retention: Duration,
    /// What is older was gone when the retention was changed, and does not come back.
    trimmed_before: Timestamp,
    /// When the number of shards was changed.
    pub(super) scaled: Daily,
    pub(super) mode_changed: Daily,
    pub(super) settings: StreamSettings,
    pub(super) encryption_started: Daily,
    pub(super) encryption_stopped: Daily,
    pub(super) attached: Attached,
    /// The consumers by name, with those that are gone by now.
    pub(super) consumers: BTreeMap<String, Consumer>,
    /// Meters the operations that are limited for each stream.
    pub(super) calls: CallMeters,
    pub(super) shards: BTreeMap<u32, ShardLog>,
    /// The open shards, by the hash key at which their ranges start. The ranges have no holes.
    open: BTreeMap<HashKey, u32>,
    next_index: u32,
}

impl Stream {
    /// A stream of `shard_count` shards whose numbers begin in `created_second`.
    pub(super) fn new(
        name: StreamName,
        life: Life,
        mode: StreamMode,
        max_record_size_in_kib: u32,
        retention: Duration,
        (shard_count, created_second): (u32, u64),
    ) -> Self {
        let mut stream = Self {
            name,
            life,
            transition: None,
            mode,
            strategy: RecordDistributionStrategy::UserPartitionKey,
            warm_target_mibps: None,
            records_taken: 0,
            max_record_size_in_kib,
            retention,
            trimmed_before: Timestamp::from_epoch_millis(i64::MIN),
            scaled: Daily::default(),
            mode_changed: Daily::default(),
            settings: StreamSettings::default(),
            encryption_started: Daily::default(),
            encryption_stopped: Daily::default(),
            attached: Attached::default(),
            consumers: BTreeMap::new(),
            calls: CallMeters::default(),
            shards: BTreeMap::new(),
            open: BTreeMap::new(),
            next_index: 0,
        };
        for range in even_ranges(shard_count) {
            stream.open_shard(&[], range, life.created_at, created_second);
        }
        stream
    }

    /// The open shards, as descriptions count them.
    pub(super) fn open_shard_count(&self) -> usize {
        if self.is_creating() { 0 } else { self.open.len() }
    }

    /// The open shards, as the account's limit counts them: with those that are on their way.
    pub(super) fn claimed_shard_count(&self) -> usize {
        self.open.len() + self.transition.as_ref().map_or(0, Transition::additional_shards)
    }

    /// Whether this life of the stream began at the time that a client gives. Some clients tell whole seconds only.
    pub(super) fn was_created_at(&self, at: Timestamp) -> bool {
        second_of(at) == second_of(self.life.created_at)
    }

    pub(super) fn is_creating(&self) -> bool {
        self.status() == StreamStatus::Creating
    }

    /// The index of the open shard that serves `key`.
    pub(super) fn route(&self, key: HashKey) -> u32 {
        let (_, index) = self
            .open
            .range(..=key)
            .next_back()
            .expect("the ranges of the open shards have no holes");
        *index
    }

    /// The open shard whose range starts at `start`.
    pub(super) fn open_at(&self, start: HashKey) -> Option<&ShardLog> {
        self.shards.get(self.open.get(&start)?)
    }

    /// A shard of which something is retained. While the stream is being made, it shows none.
    pub(super) fn shard(&self, index: u32, now: Timestamp) -> Option<&ShardLog> {
        self.shards
            .get(&index)
            .filter(|shard| !self.is_creating() && !shard.is_gone(self.horizon(now)))
    }

    /// The shards of which something is retained, oldest first, after `after` if that is given. While the stream is being
    /// made, it shows none.
    pub(super) fn retained(&self, after: Option<u32>, now: Timestamp) -> impl Iterator<Item = &ShardLog> {
        let from = after.map_or(0, |after| after.saturating_add(1));
        let from = Some(from).filter(|_| after != Some(u32::MAX) && !self.is_creating());
        from.into_iter()
            .flat_map(|from| self.shards.range(from..))
            .map(|(_, shard)| shard)
            .filter(move |shard| !shard.is_gone(self.horizon(now)))
    }

    /// The shards that were made of `parent`.
    pub(super) fn children(&self, parent: u32) -> Vec<ChildShard> {
        // A child is younger than its parents, and indices count up.
        self.shards
            .range(parent..)
            .filter(|(_, shard)| shard.parents.contains(&parent))
            .map(|(_, shard)| ChildShard {
                id: shard.id().clone(),
                parents: shard.description.parents().cloned().collect(),
                hash_key_range: Some(shard.range()),
            })
            .collect()
    }

    /// The oldest time that is retained.
    pub(super) fn horizon(&self, now: Timestamp) -> Timestamp {
        now.saturating_sub(self.retention).max(self.trimmed_before)
    }

    /// Keeps records for so long from now on.
    pub(super) fn set_retention(&mut self, retention: Duration, now: Timestamp) {
        self.trimmed_before = self.horizon(now);
        self.retention = retention;
    }

    /// The ranges of the open shards, in order.
    pub(super) fn open_ranges(&self) -> impl Iterator<Item = HashKeyRange> {
        self.open
            .values()
            .filter_map(|index| self.shards.get(index))
            .map(ShardLog::range)
    }

    /// Closes the open shards `parents` and opens shards that serve `ranges` in their place.
    pub(super) fn reshard(&mut self, parents: &[u32], ranges: &[HashKeyRange], now: Timestamp) {
        let mut created_second = 0;
        for index in parents {
            if let Some(parent) = self.shards.get_mut(index) {
                created_second = created_second.max(parent.close(now) + 1);
                self.open.remove(&parent.range().start);
            }
        }
        for range in ranges {
            self.open_shard(parents, *range, now, created_second);
        }
    }

    fn open_shard(&mut self, parents: &[u32], range: HashKeyRange, now: Timestamp, created_second: u64) {
        let index = self.next_index;
        let mut shard = ShardLog::new(index, range, now, created_second);
        let mut ids = parents
            .iter()
            .filter_map(|parent| self.shards.get(parent))
            .map(|parent| parent.id().clone());
        shard.description.parent = ids.next();
        shard.description.adjacent_parent = ids.next();
        shard.parents = parents.to_vec();
        self.shards.insert(index, shard);
        self.open.insert(range.start, index);
        self.next_index += 1;
    }

    /// Drops what is no longer retained, of all shards, and gives the bytes it counted.
    pub(super) fn trim(&mut self, now: Timestamp) -> u64 {
        let horizon = self.horizon(now);
        let mut freed = 0;
        self.shards.retain(|_, shard| {
            freed += shard.trim(horizon);
            !shard.is_gone(horizon)
        });
        freed
    }

    /// The bytes that all records count.
    pub(super) fn footprint(&self) -> u64 {
        self.shards.values().map(ShardLog::footprint).sum()
    }

    /// The latest second in which numbers of this stream begin.
    pub(super) fn last_created_second(&self) -> u64 {
        self.shards
            .values()
            .map(|shard| shard.created_second)
            .max()
            .unwrap_or(0)
    }

    /// The retained shards that have a retained parent.
    pub(super) fn retained_children(&self, now: Timestamp) -> BTreeSet<u32> {
        self.retained(None, now)
            .filter(|shard| shard.parents.iter().any(|parent| self.shard(*parent, now).is_some()))
            .map(|shard| shard.index)
            .collect()
    }
}

/// `count` ranges of the same width, the last one wider by what division leaves over.
pub(super) fn even_ranges(count: u32) -> impl Iterator<Item = HashKeyRange> {
    let count = u128::from(count.max(1));
    // floor(2^128 / count), without the number that does not fit in 128 bits.
    let width = if count.is_power_of_two() {
        u128::MAX / count + u128::from(count > 1)
    } else {
        u128::MAX / count
    };
    (0..count).map(move |i| HashKeyRange {
        start: HashKey(i * width),
        end: if i + 1 == count {
            HashKey::MAX
        } else {
            HashKey((i + 1) * width - 1)
        },
    })
}
