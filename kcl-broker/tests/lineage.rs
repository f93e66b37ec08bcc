//! Whatever is written, split and merged: every record is reachable from the trim horizon through the lineage of its
//! shard, exactly once and in order.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use kcl_broker::{
    Engine, EngineConfig,
    api::{CreateStream, GetRecords, GetShardIterator, ListShards, MergeShards, PutRecord, SplitShard},
};
use kcl_core::{HashKey, HashKeyRange, SequenceNumber, Shard, ShardFilter, Timestamp};
use proptest::prelude::*;

const STREAM: &str = "s";

#[derive(Clone, Debug)]
enum Step {
    Put(u128),
    /// Splits the open shard that serves the hash key, in its middle.
    Split(u128),
    /// Merges the open shard that serves the hash key with the one above.
    Merge(u128),
    /// Reads so many records with the reader that stands in the shard that serves the hash key.
    Read(u128, i32),
    /// Lets milliseconds pass: so few that no iterator expires, however many steps it rests.
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<u128>().prop_map(Step::Put),
        3 => (0..4_u128).prop_map(|quarter| Step::Put(quarter << 126)),
        1 => any::<u128>().prop_map(Step::Split),
        1 => any::<u128>().prop_map(Step::Merge),
        2 => (any::<u128>(), 1..4).prop_map(|(at, count)| Step::Read(at, count)),
        1 => (0..3000_u16).prop_map(Step::Wait),
    ]
}

/// An engine, what was written to it, and one reader a shard that follows the lineage.
struct World {
    engine: Engine,
    now: Timestamp,
    written: Vec<HashKey>,
    /// Iterators of shards whose parents have been read to their ends.
    readers: BTreeMap<String, Option<String>>,
    read: Vec<(String, usize, SequenceNumber)>,
}

impl World {
    fn new(shards: i32) -> Self {
        let mut engine = Engine::new(EngineConfig::default());
        let now = Timestamp::from_epoch_millis(1_357_034_400_000);
        engine.call(now, CreateStream::new(STREAM, shards)).unwrap();
        let mut world = Self {
            engine,
            now,
            written: Vec::new(),
            readers: BTreeMap::new(),
            read: Vec::new(),
        };
        let first = world.list(ShardFilter::AtTrimHorizon);
        for shard in first {
            world.open(shard.id.as_str());
        }
        world
    }

    fn list(&mut self, filter: ShardFilter) -> Vec<Shard> {
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

    fn open(&mut self, shard: &str) {
        let opened = self
            .engine
            .call(self.now, GetShardIterator::trim_horizon(STREAM, shard))
            .unwrap();
        self.readers.insert(shard.to_owned(), Some(opened.shard_iterator));
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Put(at) => self.put(HashKey(at)),
            Step::Split(at) => self.split(HashKey(at)),
            Step::Merge(at) => self.merge(HashKey(at)),
            Step::Read(at, count) => {
                let standing = self.readers.iter().filter(|(_, iterator)| iterator.is_some());
                let shards: Vec<_> = standing.map(|(shard, _)| shard.clone()).collect();
                let place = usize::try_from(at % shards.len().max(1) as u128).unwrap();
                if let Some(shard) = shards.get(place) {
                    self.read(shard, count);
                }
            }
            Step::Wait(millis) => self.now = self.now.saturating_add(Duration::from_millis(u64::from(millis))),
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

    /// Reads on in `shard`; at its end opens the children whose other parent has ended too.
    fn read(&mut self, shard: &str, count: i32) {
        let Some(Some(iterator)) = self.readers.get(shard).cloned() else {
            panic!("a reader stands in {shard}")
        };
        let get = GetRecords {
            limit: Some(count),
            ..GetRecords::new(iterator)
        };
        let output = self.engine.call(self.now, get).unwrap();
        assert_eq!(output.next_shard_iterator.is_none(), !output.child_shards.is_empty());
        for record in &output.records {
            let index = str::from_utf8(&record.data).unwrap().parse().unwrap();
            self.read
                .push((shard.to_owned(), index, record.sequence_number.clone()));
        }
        self.readers.insert(shard.to_owned(), output.next_shard_iterator);
        for child in output.child_shards {
            let ended = |parent: &kcl_core::ShardId| matches!(self.readers.get(parent.as_str()), Some(None));
            if child.parents.iter().all(ended) && !self.readers.contains_key(child.id.as_str()) {
                self.open(child.id.as_str());
            }
        }
    }

    /// Reads until every reader has nothing left.
    fn drain(&mut self) {
        let mut idle = BTreeSet::new();
        let mut waiting: VecDeque<_> = self.readers.keys().cloned().collect();
        while let Some(shard) = waiting.pop_front() {
            if idle.contains(&shard) || self.readers[&shard].is_none() {
                continue;
            }
            let before = self.read.len();
            let known: BTreeSet<_> = self.readers.keys().cloned().collect();
            self.read(&shard, 7);
            if self.read.len() == before {
                idle.insert(shard.clone());
            }
            waiting.extend(self.readers.keys().filter(|shard| !known.contains(*shard)).cloned());
            waiting.push_back(shard);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_record_is_reachable_once_and_in_order(shards in 1..4, steps in prop::collection::vec(step(), 0..80)) {
        let mut world = World::new(shards);
        for step in &steps {
            world.take(step);
        }

        // The open shards serve every hash key exactly once.
        let open = world.open_shards();
        prop_assert_eq!(open[0].hash_key_range.start, HashKey::MIN);
        prop_assert_eq!(open[open.len() - 1].hash_key_range.end, HashKey::MAX);
        for pair in open.windows(2) {
            prop_assert_eq!(pair[0].hash_key_range.end.0 + 1, pair[1].hash_key_range.start.0);
        }

        world.drain();
        prop_assert_eq!(world.read.len(), world.written.len());
        let distinct: BTreeSet<_> = world.read.iter().map(|(_, index, _)| *index).collect();
        prop_assert_eq!(distinct.len(), world.written.len());
        let numbers: BTreeSet<_> = world.read.iter().map(|(_, _, number)| number.clone()).collect();
        prop_assert_eq!(numbers.len(), world.written.len());

        // In every shard, records come in the order in which they were written, and so do their numbers.
        let mut last = BTreeMap::new();
        for (shard, index, number) in &world.read {
            if let Some((before, smaller)) = last.insert(shard, (index, number)) {
                prop_assert!(before < index && smaller < number);
            }
        }
        // Wherever the ranges moved, records of one hash key come in the order in which they were written, and their
        // numbers grow.
        let mut of_key: BTreeMap<HashKey, (usize, &SequenceNumber)> = BTreeMap::new();
        for (_, index, number) in &world.read {
            if let Some((before, smaller)) = of_key.insert(world.written[*index], (*index, number)) {
                prop_assert!(before < *index && smaller < number);
            }
        }
        // The shards at the horizon serve every hash key exactly once too.
        let mut horizon = world.list(ShardFilter::AtTrimHorizon);
        horizon.sort_by_key(|shard| shard.hash_key_range);
        prop_assert_eq!(horizon.len(), usize::try_from(shards).unwrap());
    }
}
