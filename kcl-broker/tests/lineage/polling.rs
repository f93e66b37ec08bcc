//! Reading with iterators.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use kcl_broker::api::{GetRecords, GetShardIterator};
use kcl_core::ShardFilter;
use proptest::prelude::*;

use crate::stream::{Change, STREAM, Stream, change, transition};

#[derive(Clone, Debug)]
enum Step {
    Change(Change),
    /// Reads so many records with one of the readers.
    Read(usize, i32),
    /// Lets milliseconds pass: so few that no iterator expires, however many steps it rests.
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => change().prop_map(Step::Change),
        2 => (any::<usize>(), 1..4).prop_map(|(which, count)| Step::Read(which, count)),
        1 => (0..3000_u16).prop_map(Step::Wait),
    ]
}

/// A stream and one reader a shard that follows the lineage.
pub(crate) struct World {
    pub(crate) stream: Stream,
    /// Iterators of shards whose parents have been read to their ends.
    readers: BTreeMap<String, Option<String>>,
}

impl World {
    /// One reader each for the shards at the horizon.
    pub(crate) fn new(stream: Stream) -> Self {
        let mut world = Self {
            stream,
            readers: BTreeMap::new(),
        };
        let first = world.stream.list(ShardFilter::AtTrimHorizon);
        for shard in first {
            world.open(shard.id.as_str());
        }
        world
    }

    fn open(&mut self, shard: &str) {
        let opened = self
            .stream
            .engine
            .call(self.stream.now, GetShardIterator::trim_horizon(STREAM, shard))
            .unwrap();
        self.readers.insert(shard.to_owned(), Some(opened.shard_iterator));
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Change(change) => self.stream.make(change),
            Step::Read(which, count) => {
                let standing = self.readers.iter().filter(|(_, iterator)| iterator.is_some());
                let shards: Vec<_> = standing.map(|(shard, _)| shard.clone()).collect();
                if let Some(shard) = shards.get(which % shards.len().max(1)) {
                    self.read(shard, *count);
                }
            }
            Step::Wait(millis) => self.stream.pass(Duration::from_millis(u64::from(*millis))),
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
        let output = self.stream.engine.call(self.stream.now, get).unwrap();
        assert_eq!(output.next_shard_iterator.is_none(), !output.child_shards.is_empty());
        for record in &output.records {
            self.stream.note(shard, record);
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
    pub(crate) fn drain(&mut self) {
        let mut idle = BTreeSet::new();
        let mut waiting: VecDeque<_> = self.readers.keys().cloned().collect();
        while let Some(shard) = waiting.pop_front() {
            if idle.contains(&shard) || self.readers[&shard].is_none() {
                continue;
            }
            let before = self.stream.read_count();
            let known: BTreeSet<_> = self.readers.keys().cloned().collect();
            self.read(&shard, 7);
            if self.stream.read_count() == before {
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
    fn every_record_is_reachable_once_and_in_order(
        shards in 1..4,
        transition in transition(),
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut world = World::new(Stream::new(shards, transition));
        for step in &steps {
            world.take(step);
        }
        world.stream.check_shards(usize::try_from(shards).unwrap())?;
        world.drain();
        world.stream.check_reading()?;
    }
}
