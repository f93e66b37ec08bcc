//! What a simulated fleet acts on: a lease table and a stream, with a ledger of what was handled. Every write is judged as
//! it lands.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use crate::{
    Batch, ChildShard, HashKey, HashKeyRange, Lease, LeaseKey, LeaseListing, LeaseWrite, Position, Record, Session,
    Shard, ShardFilter, ShardId, StreamId, StreamName, Timestamp, WorkerId, WriteOutcome, fetch::Fetch,
};

pub(super) const FAILOVER_MS: u64 = 5_000;

pub(super) struct SimShard {
    pub(super) id: ShardId,
    /// The key of its lease.
    pub(super) key: LeaseKey,
    /// The index of its stream.
    stream: usize,
    pub(super) parents: Vec<usize>,
    children: Vec<usize>,
    range: HashKeyRange,
    /// Sequence number and arrival.
    pub(super) records: Vec<(u64, u64)>,
    handled: BTreeSet<usize>,
    /// Everything before this index was handled, or came before the application began.
    pub(super) solid: usize,
    delivered: bool,
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) rng: Rng,
    pub(super) table: BTreeMap<LeaseKey, Lease>,
    /// One without a name, or several.
    streams: Vec<Option<StreamId>>,
    pub(super) shards: Vec<SimShard>,
    pub(super) updates: u64,
    renewed: BTreeMap<LeaseKey, u64>,
    /// The rows in the order of their creation, and where their shards began.
    births: Vec<(LeaseKey, Position)>,
    sequence: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let (rng, table) = (Rng::with_seed(seed), BTreeMap::new());
        // A third of the lives have two streams, with shards of the same ids.
        let streams = if seed.is_multiple_of(3) {
            ["1:a:7", "2:a:7"].map(|text| Some(text.parse().unwrap())).to_vec()
        } else {
            vec![None]
        };
        let mut world = Self {
            now: 0,
            rng,
            table,
            streams,
            shards: Vec::new(),
            updates: 0,
            renewed: BTreeMap::new(),
            births: Vec::new(),
            sequence: 0,
        };
        for stream in 0..world.streams.len() {
            world.fill(stream);
        }
        world
    }

    fn fill(&mut self, stream: usize) {
        let count = self.rng.u128(1..=4);
        let width = u128::MAX / count;
        for i in 0..count {
            let end = if i + 1 == count { u128::MAX } else { (i + 1) * width - 1 };
            self.add_shard(
                stream,
                Vec::new(),
                HashKeyRange {
                    start: HashKey(i * width),
                    end: HashKey(end),
                },
            );
        }
    }

    /// The streams, if there are several.
    pub(super) fn several(&self) -> Option<Vec<StreamId>> {
        self.streams.iter().cloned().collect()
    }

    pub(super) fn wall(&self) -> Timestamp {
        Timestamp::from_epoch_millis(i64::try_from(1_000_000 + self.now).unwrap())
    }

    fn add_shard(&mut self, stream: usize, parents: Vec<usize>, range: HashKeyRange) -> usize {
        let number = self.shards.iter().filter(|shard| shard.stream == stream).count();
        let id = ShardId::new(format!("shardId-{number:012}")).unwrap();
        let key = match &self.streams[stream] {
            Some(stream) => stream.key_of(&id),
            None => LeaseKey::of_shard(&id),
        };
        let (children, records, handled) = (Vec::new(), Vec::new(), BTreeSet::new());
        self.shards.push(SimShard {
            id,
            key,
            stream,
            parents,
            children,
            range,
            records,
            handled,
            solid: 0,
            delivered: false,
        });
        self.shards.len() - 1
    }

    fn open_shards(&self) -> Vec<usize> {
        (0..self.shards.len())
            .filter(|i| self.shards[*i].children.is_empty())
            .collect()
    }

    pub(super) fn produce(&mut self) {
        for shard in self.open_shards() {
            for _ in 0..self.rng.usize(0..3) {
                self.sequence += self.rng.u64(1..5);
                self.shards[shard].records.push((self.sequence, self.now));
            }
        }
    }

    /// Splits a shard, or merges two neighbours.
    pub(super) fn reshard(&mut self) {
        let mut open = self.open_shards();
        let one = open[self.rng.usize(0..open.len())];
        let stream = self.shards[one].stream;
        open.retain(|shard| self.shards[*shard].stream == stream);
        let HashKeyRange { start, end } = self.shards[one].range;
        let next = open
            .iter()
            .copied()
            .find(|i| Some(self.shards[*i].range.start.0) == end.0.checked_add(1));
        if let Some(other) = next.filter(|_| self.rng.bool()) {
            let range = HashKeyRange {
                start,
                end: self.shards[other].range.end,
            };
            let child = self.add_shard(stream, vec![one, other], range);
            self.shards[one].children = vec![child];
            self.shards[other].children = vec![child];
        } else if open.len() < 6 && end.0 > start.0 {
            let middle = start.0 + (end.0 - start.0) / 2;
            let left = self.add_shard(
                stream,
                vec![one],
                HashKeyRange {
                    start,
                    end: HashKey(middle),
                },
            );
            let right = self.add_shard(
                stream,
                vec![one],
                HashKeyRange {
                    start: HashKey(middle + 1),
                    end,
                },
            );
            self.shards[one].children = vec![left, right];
        }
    }

    pub(super) fn list_shards(&self, stream: Option<&StreamId>, filter: ShardFilter) -> Vec<Shard> {
        let is_of = |shard: &&SimShard| self.streams[shard.stream].as_ref() == stream;
        let listed = |shard: &&SimShard| match filter {
            ShardFilter::AtTrimHorizon => shard.parents.is_empty(),
            ShardFilter::AtLatest => shard.children.is_empty(),
            _ => true,
        };
        let describe = |shard: &SimShard| {
            let mut parents = shard.parents.iter().map(|parent| self.shards[*parent].id.clone());
            let mut described = Shard::new(shard.id.clone(), shard.range);
            (described.parent, described.adjacent_parent) = (parents.next(), parents.next());
            described.ending_sequence_number = (!shard.children.is_empty()).then(|| "9".parse().unwrap());
            described
        };
        self.shards.iter().filter(is_of).filter(listed).map(describe).collect()
    }

    pub(super) fn shard_of(&self, key: &LeaseKey) -> usize {
        self.shards.iter().position(|shard| shard.key == *key).unwrap()
    }

    /// How many records of the shard lie before a position.
    pub(super) fn covered(&self, shard: usize, position: &Position) -> usize {
        let records = &self.shards[shard].records;
        match position {
            Position::TrimHorizon => 0,
            Position::Latest | Position::ShardEnd => records.len(),
            Position::AtTimestamp(at) => records.partition_point(|(_, ms)| 1_000_000 + *ms < at.epoch_millis() as u64),
            Position::Record(position) => {
                let number: u64 = position.sequence_number.as_str().parse().unwrap();
                records.partition_point(|(sequence, _)| *sequence <= number)
            }
        }
    }

    pub(super) fn open(&mut self, shard: usize, position: &Position) -> usize {
        let cursor = self.covered(shard, position);
        let row = self.table.get(&self.shards[shard].key);
        let unpinned = row.is_some_and(|row| row.checkpoint == Position::Latest);
        if *position == Position::Latest && unpinned && !self.shards[shard].delivered {
            // The application begins here: what came before is none of its business.
            self.shards[shard].solid = cursor;
        }
        // A reader may be placed at the record itself instead of after it.
        if position.record().is_some() && self.rng.bool() {
            cursor.saturating_sub(1)
        } else {
            cursor
        }
    }

    pub(super) fn fetch(&mut self, shard: usize, cursor: usize, at_most: u32) -> (usize, Fetch) {
        let most = self.rng.usize(1..=20).min(at_most as usize);
        let SimShard {
            id, records, children, ..
        } = &self.shards[shard];
        let next = (cursor + most).min(records.len());
        let record = |(sequence, at): &(u64, u64)| {
            let at = Timestamp::from_epoch_millis(i64::try_from(1_000_000 + at).unwrap());
            Record::new(sequence.to_string().parse().unwrap(), "key", at, "data")
        };
        let batch = Batch::new(
            StreamName::new("s").unwrap(),
            id.clone(),
            records[cursor..next].iter().map(record).collect(),
        );
        let behind = if next == records.len() { 0 } else { 1_000 };
        let child = |child: &usize| ChildShard {
            id: self.shards[*child].id.clone(),
            parents: self.shards[*child]
                .parents
                .iter()
                .map(|parent| self.shards[*parent].id.clone())
                .collect(),
            hash_key_range: Some(self.shards[*child].range),
        };
        let end = (!children.is_empty() && next == records.len()).then(|| children.iter().map(child).collect());
        (
            next,
            Fetch {
                batch: batch.with_millis_behind_latest(Some(behind)),
                end,
                continuation: None,
            },
        )
    }

    /// Lineage: checked when records are delivered.
    pub(super) fn delivered(&mut self, shard: usize) {
        self.shards[shard].delivered = true;
        for parent in &self.shards[shard].parents {
            let key = &self.shards[*parent].key;
            let row = self.table.get(key);
            // Two workers that fill an empty table at LATEST may see the stream before and after a split. The child that got
            // its lease first may have begun before the parent had one.
            let birth = |key: &LeaseKey| self.births.iter().position(|(born, _)| born == key).unwrap();
            let child = birth(&self.shards[shard].key);
            let first = self.births[child].1 == Position::Latest && row.is_some() && child < birth(key);
            assert!(
                first || row.is_none_or(Lease::is_finished),
                "lineage: {shard} is read before its parent {key} is finished: {row:?} {:?}",
                self.births
            );
        }
    }

    pub(super) fn handled(&mut self, shard: usize, from: usize, to: usize) {
        let shard = &mut self.shards[shard];
        shard.handled.extend(from..to);
        while shard.handled.contains(&shard.solid) {
            shard.solid += 1;
        }
    }

    pub(super) fn list(&self) -> LeaseListing {
        self.table.values().cloned().collect()
    }

    pub(super) fn create(&mut self, lease: &Lease) -> WriteOutcome {
        if let Some(row) = self.table.get(&lease.key) {
            return WriteOutcome::Conflict(Some(row.clone()));
        }
        self.births.push((lease.key.clone(), lease.checkpoint.clone()));
        self.table.insert(lease.key.clone(), lease.clone());
        WriteOutcome::Applied(lease.clone())
    }

    pub(super) fn delete(&mut self, key: &LeaseKey, expect: &crate::Expect) -> WriteOutcome {
        if !expect.holds(self.table.get(key)) {
            return WriteOutcome::Conflict(self.table.get(key).cloned());
        }
        let row = self.table.remove(key).unwrap();
        assert!(
            row.is_finished(),
            "the lease of a shard that is not finished was removed: {row:?}"
        );
        WriteOutcome::Applied(row)
    }

    pub(super) fn update(&mut self, worker: &WorkerId, session: Session, write: &LeaseWrite) -> WriteOutcome {
        self.updates += 1;
        let stored = self.table.get(&write.key).cloned();
        let Some(before) = stored.filter(|row| write.expect.holds(Some(row))) else {
            return WriteOutcome::Conflict(self.table.get(&write.key).cloned());
        };
        let after = write.patch.apply(&before);
        self.judge(worker, session, write, &before, &after);
        if before.holder() == after.holder() && before.counter != after.counter || before.session != after.session {
            self.renewed.insert(write.key.clone(), self.now);
        }
        self.table.insert(write.key.clone(), after.clone());
        WriteOutcome::Applied(after)
    }

    fn judge(&self, worker: &WorkerId, session: Session, write: &LeaseWrite, before: &Lease, after: &Lease) {
        let holds = before.holder() == Some(worker) && before.session.is_none_or(|holder| holder <= session);
        let keeps = write.patch.owner.is_none() || write.patch.checkpoint.is_some() || after.owner.is_none();
        assert!(
            holds || !keeps,
            "fenced: {worker}/{session} wrote {:?} to {before:?}",
            write.patch
        );
        let key = &write.key;
        // A row without a session was passed on, and its receiver has not begun: nobody's work is taken with it.
        let is_read = before.session.is_some();
        if is_read && after.holder() == Some(worker) && before.holder().is_some_and(|holder| holder != worker) {
            let still = self.now - self.renewed.get(key).copied().unwrap_or(0);
            assert!(
                still >= FAILOVER_MS,
                "stolen: {worker} took {before:?}, renewed {still} ms ago"
            );
        }
        let pins = before.checkpoint == Position::Latest && matches!(after.checkpoint, Position::AtTimestamp(_));
        let grows = before.checkpoint < after.checkpoint && !after.checkpoint.is_start();
        let (from, to) = (&before.checkpoint, &after.checkpoint);
        assert!(from == to || pins || grows, "monotonic: {key} went from {from} to {to}");
        let shard = self.shard_of(&after.key);
        if !to.is_start() {
            let (covered, solid) = (self.covered(shard, to), self.shards[shard].solid);
            assert!(
                covered <= solid,
                "no-loss: {key} is at {to}, {covered} records, and {solid} are handled"
            );
        }
        if after.is_finished() {
            for child in &self.shards[shard].children {
                let child = &self.shards[*child].key;
                assert!(
                    self.table.contains_key(child),
                    "{key} is finished before {child} has a lease"
                );
            }
        }
    }
}
