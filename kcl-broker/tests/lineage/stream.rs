//! A stream that is written to and resharded, and what must be true of whatever is read from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kcl_broker::{
    Engine, EngineConfig,
    api::{CreateStream, ListShards, MergeShards, PutRecord, SplitShard},
};
use kcl_core::{HashKey, HashKeyRange, Record, SequenceNumber, Shard, ShardFilter, Timestamp};
use proptest::prelude::*;

pub(crate) const STREAM: &str = "s";

/// What happens to the stream, whoever reads it.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put(u128),
    /// Splits the open shard that serves the hash key, in its middle.
    Split(u128),
    /// Merges the open shard that serves the hash key with the one above.
    Merge(u128),
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => any::<u128>().prop_map(Change::Put),
        3 => (0..4_u128).prop_map(|quarter| Change::Put(quarter << 126)),
        1 => any::<u128>().prop_map(Change::Split),
        1 => any::<u128>().prop_map(Change::Merge),
    ]
}

/// An engine with one stream, what was written to it, and what was read of it.
pub(crate) struct Stream {
    pub(crate) engine: Engine,
    pub(crate) now: Timestamp,
    written: Vec<HashKey>,
    read: Vec<(String, usize, SequenceNumber)>,
}

impl Stream {
    pub(crate) fn new(shards: i32) -> Self {
        let mut engine = Engine::new(EngineConfig::default());
        let now = Timestamp::from_epoch_millis(1_357_034_400_000);
        engine.call(now, CreateStream::new(STREAM, shards)).unwrap();
        Self {
            engine,
            now,
            written: Vec::new(),
            read: Vec::new(),
        }
    }

    pub(crate) fn pass(&mut self, duration: Duration) {
        self.now = self.now.saturating_add(duration);
    }

    pub(crate) fn list(&mut self, filter: ShardFilter) -> Vec<Shard> {
        self.engine
            .call(self.now, ListShards::filtered(STREAM, filter))
            .unwrap()
            .shards
    }

    fn open_shards(&mut self) -> Vec<Shard> {
        let mut open = self.list(ShardFilter::AtLatest);
        open.sort_by_key(|shard| shard.hash_key_range);
        open
    }

    pub(crate) fn make(&mut self, change: &Change) {
        match *change {
            Change::Put(at) => self.put(HashKey(at)),
            Change::Split(at) => self.split(HashKey(at)),
            Change::Merge(at) => self.merge(HashKey(at)),
        }
    }

    fn put(&mut self, at: HashKey) {
        let mut put = PutRecord::new(STREAM, "key", self.written.len().to_string());
        put.explicit_hash_key = Some(at.to_string());
        let shard = self.engine.call(self.now, put).unwrap().shard_id;
        let serving = self
            .open_shards()
            .into_iter()
            .find(|shard| shard.hash_key_range.contains(at))
            .unwrap();
        assert_eq!(shard, serving.id);
        self.written.push(at);
    }

    fn split(&mut self, at: HashKey) {
        let shard = self
            .open_shards()
            .into_iter()
            .find(|shard| shard.hash_key_range.contains(at))
            .unwrap();
        let HashKeyRange { start, end } = shard.hash_key_range;
        if end.0 - start.0 > 4 {
            let middle = HashKey(start.0 + (end.0 - start.0) / 2);
            self.engine
                .call(self.now, SplitShard::new(STREAM, shard.id.as_str(), middle))
                .unwrap();
        }
    }

    fn merge(&mut self, at: HashKey) {
        let open = self.open_shards();
        if let Some([one, other]) = open.windows(2).find(|pair| pair[0].hash_key_range.contains(at)) {
            self.engine
                .call(self.now, MergeShards::new(STREAM, one.id.as_str(), other.id.as_str()))
                .unwrap();
        }
    }

    /// Notes that `record` was read from `shard`.
    pub(crate) fn note(&mut self, shard: &str, record: &Record) {
        let index = str::from_utf8(&record.data).unwrap().parse().unwrap();
        self.read
            .push((shard.to_owned(), index, record.sequence_number.clone()));
    }

    pub(crate) fn read_count(&self) -> usize {
        self.read.len()
    }

    /// Whether the open shards, and those at the horizon, serve every hash key exactly once.
    pub(crate) fn check_shards(&mut self, at_horizon: usize) -> Result<(), TestCaseError> {
        let open = self.open_shards();
        prop_assert_eq!(open[0].hash_key_range.start, HashKey::MIN);
        prop_assert_eq!(open[open.len() - 1].hash_key_range.end, HashKey::MAX);
        for pair in open.windows(2) {
            prop_assert_eq!(pair[0].hash_key_range.end.0 + 1, pair[1].hash_key_range.start.0);
        }
        prop_assert_eq!(self.list(ShardFilter::AtTrimHorizon).len(), at_horizon);
        Ok(())
    }

    /// Whether every record was read once and in order.
    pub(crate) fn check_reading(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.read.len(), self.written.len());
        let distinct: BTreeSet<_> = self.read.iter().map(|(_, index, _)| *index).collect();
        prop_assert_eq!(distinct.len(), self.written.len());
        let numbers: BTreeSet<_> = self.read.iter().map(|(_, _, number)| number.clone()).collect();
        prop_assert_eq!(numbers.len(), self.written.len());

        // In every shard, records come in the order in which they were written, and so do their numbers.
        let mut last = BTreeMap::new();
        for (shard, index, number) in &self.read {
            if let Some((before, smaller)) = last.insert(shard, (index, number)) {
                prop_assert!(before < index && smaller < number);
            }
        }
        // Wherever the ranges moved, records of one hash key come in the order in which they were written, and their
        // numbers grow.
        let mut of_key: BTreeMap<HashKey, (usize, &SequenceNumber)> = BTreeMap::new();
        for (_, index, number) in &self.read {
            if let Some((before, smaller)) = of_key.insert(self.written[*index], (*index, number)) {
                prop_assert!(before < *index && smaller < number);
            }
        }
        Ok(())
    }
}
