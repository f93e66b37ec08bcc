//! A stream that is resharded, and an application that reads it by the protocol, crashes included.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::{
    catalog::{ChildShard, Shard, ShardFilter},
    ids::{HashKey, HashKeyRange, LeaseKey, ShardId},
    lease::{Lease, LeaseWrite},
    lineage,
    sequence::{InitialPosition, Position},
    sync::{SyncInput, child_leases, filter_for_empty_table, plan_cleanup, plan_shard_sync},
};

/// A record: the index of its shard, and its own within the shard.
pub(super) type RecordId = (usize, usize);

#[derive(Clone, Debug)]
struct SimShard {
    parents: Vec<usize>,
    range: HashKeyRange,
    records: usize,
    born: i64,
    closed: Option<i64>,
}

#[derive(Clone, Debug)]
pub(super) struct Stream {
    shards: Vec<SimShard>,
    now: i64,
}

fn shard_id(index: usize) -> ShardId {
    ShardId::new(format!("shardId-{index:012}")).unwrap()
}

fn index_of(shard: &ShardId) -> usize {
    shard.as_str()["shardId-".len()..].parse().unwrap()
}

impl Stream {
    pub(super) fn new(shards: usize) -> Self {
        let width = u128::MAX / shards as u128;
        let range = |index: usize| HashKeyRange {
            start: HashKey(width * index as u128 + u128::from(index > 0)),
            end: if index + 1 == shards {
                HashKey::MAX
            } else {
                HashKey(width * (index as u128 + 1))
            },
        };
        let shard = |index| SimShard {
            parents: Vec::new(),
            range: range(index),
            records: 0,
            born: 0,
            closed: None,
        };
        Self {
            shards: (0..shards).map(shard).collect(),
            now: 1,
        }
    }

    pub(super) fn put(&mut self, shard: usize) {
        assert!(self.shards[shard].closed.is_none());
        self.shards[shard].records += 1;
    }

    pub(super) fn split(&mut self, shard: usize) {
        let HashKeyRange { start, end } = self.shards[shard].range;
        let middle = start.0 + (end.0 - start.0) / 2;
        self.replace(
            &[shard],
            &[
                HashKeyRange {
                    start,
                    end: HashKey(middle),
                },
                HashKeyRange {
                    start: HashKey(middle + 1),
                    end,
                },
            ],
        );
    }

    fn merge(&mut self, first: usize) {
        let next = |end: HashKey| {
            self.open()
                .find(|shard| end.0.checked_add(1) == Some(self.shards[*shard].range.start.0))
        };
        let Some(second) = next(self.shards[first].range.end) else {
            return;
        };
        let range = HashKeyRange {
            start: self.shards[first].range.start,
            end: self.shards[second].range.end,
        };
        self.replace(&[first, second], &[range]);
    }

    fn replace(&mut self, parents: &[usize], ranges: &[HashKeyRange]) {
        self.now += 1;
        for parent in parents {
            self.shards[*parent].closed = Some(self.now);
        }
        for range in ranges {
            let shard = SimShard {
                parents: parents.to_vec(),
                range: *range,
                records: 0,
                born: self.now,
                closed: None,
            };
            self.shards.push(shard);
        }
    }

    fn open(&self) -> impl Iterator<Item = usize> {
        (0..self.shards.len()).filter(|shard| self.shards[*shard].closed.is_none())
    }

    pub(super) fn step(&mut self, step: &Step) {
        let pick = |choice: usize| self.open().nth(choice % self.open().count()).unwrap();
        match step {
            Step::Put(choice) => self.put(pick(*choice)),
            Step::Split(choice) => self.split(pick(*choice)),
            Step::Merge(choice) => self.merge(pick(*choice)),
            _ => {}
        }
    }

    pub(super) fn all_records(&self) -> Vec<RecordId> {
        let records =
            |(shard, it): (usize, &SimShard)| (0..it.records).map(move |record| (shard, record)).collect::<Vec<_>>();
        self.shards.iter().enumerate().flat_map(records).collect()
    }

    pub(super) fn listing(&self, filter: ShardFilter) -> Vec<Shard> {
        let open_at = |shard: &SimShard, at: i64| shard.born <= at && shard.closed.is_none_or(|closed| closed > at);
        let listed = |shard: &SimShard| match filter {
            ShardFilter::All => true,
            ShardFilter::AtTrimHorizon => open_at(shard, 0),
            ShardFilter::AtLatest => shard.closed.is_none(),
            ShardFilter::AtTimestamp(at) => open_at(shard, at.epoch_millis()),
        };
        let describe = |index: usize| {
            let it = &self.shards[index];
            let mut shard = Shard::new(shard_id(index), it.range);
            shard.parent = it.parents.first().map(|parent| shard_id(*parent));
            shard.adjacent_parent = it.parents.get(1).map(|parent| shard_id(*parent));
            shard.ending_sequence_number = it.closed.map(|_| "999999".parse().unwrap());
            shard
        };
        (0..self.shards.len())
            .filter(|index| listed(&self.shards[*index]))
            .map(describe)
            .collect()
    }

    fn children(&self, shard: usize) -> Vec<ChildShard> {
        let child = |index: usize| ChildShard {
            id: shard_id(index),
            parents: self.shards[index]
                .parents
                .iter()
                .map(|parent| shard_id(*parent))
                .collect(),
            hash_key_range: Some(self.shards[index].range),
        };
        (0..self.shards.len())
            .filter(|index| self.shards[*index].parents.contains(&shard))
            .map(child)
            .collect()
    }
}

/// All workers of an application as one: what matters here is the table.
#[derive(Clone, Debug)]
pub(super) struct Application {
    pub(super) leases: BTreeMap<LeaseKey, Lease>,
    pub(super) delivered: Vec<RecordId>,
    initial: InitialPosition,
}

impl Application {
    pub(super) fn new(initial: InitialPosition) -> Self {
        Self {
            leases: BTreeMap::new(),
            delivered: Vec::new(),
            initial,
        }
    }

    pub(super) fn table(&self) -> Vec<Lease> {
        self.leases.values().cloned().collect()
    }

    /// What shard sync creates, if the listing shows the stream like this.
    pub(super) fn plan(&self, stream: &Stream) -> Vec<Lease> {
        let leases = self.table();
        let filter = if leases.is_empty() {
            filter_for_empty_table(self.initial)
        } else {
            ShardFilter::All
        };
        let shards = stream.listing(filter);
        plan_shard_sync(&SyncInput {
            shards: &shards,
            leases: &leases,
            initial: self.initial,
        })
        .unwrap()
        .create
    }

    pub(super) fn create(&mut self, leases: &[Lease]) {
        for lease in leases {
            self.leases.entry(lease.key.clone()).or_insert_with(|| lease.clone());
        }
    }

    pub(super) fn delete(&mut self, keys: &[LeaseKey]) {
        for key in keys {
            self.leases.remove(key);
        }
    }

    fn ready(&self) -> Vec<LeaseKey> {
        let ready = |lease: &&Lease| !lease.is_finished() && lineage::is_ready(lease, &self.leases);
        self.leases
            .values()
            .filter(ready)
            .map(|lease| lease.key.clone())
            .collect()
    }

    /// Reads up to `most` records of one lease. At the end of the shard the children get leases, unless they are not
    /// among the first `children`: then the worker dies, before or (as other clients may) after it marks the end.
    fn read(&mut self, stream: &Stream, key: &LeaseKey, most: usize, children: usize, finish: bool) {
        let shard = index_of(&self.leases[key].shard);
        let it = &stream.shards[shard];
        let next = match lineage::start_position(&self.leases[key], &self.leases) {
            Position::Record(at) => at.sequence_number.as_str().parse::<usize>().unwrap() - 100,
            // Opened at LATEST, it stays where it was opened: a position before the first record yet to come.
            Position::Latest => it.records,
            _ => 0,
        };
        let end = it.records.min(next + most);
        self.delivered.extend((next..end).map(|record| (shard, record)));
        let checkpoint = Position::after((end + 100).to_string().parse().unwrap());
        let opened_at_latest = self.leases[key].checkpoint == Position::Latest;
        if end > next || opened_at_latest {
            self.leases.get_mut(key).unwrap().checkpoint = checkpoint;
        }
        if end < it.records || it.closed.is_none() {
            return;
        }
        let born = stream.children(shard);
        let leases = child_leases(&shard_id(shard), &born);
        self.create(&leases[..children.min(leases.len())]);
        if finish || children >= leases.len() {
            let children = born.into_iter().map(|child| child.id).collect();
            let lease = self.leases.get_mut(key).unwrap();
            *lease = LeaseWrite::finish_shard(lease, children).patch.apply(lease);
        }
    }

    pub(super) fn read_all(&mut self, stream: &Stream) {
        for key in self.ready() {
            self.read(stream, &key, usize::MAX / 2, usize::MAX, true);
        }
    }

    /// Checks that whatever comes after a record in the stream was delivered after it.
    pub(super) fn check_parents_first(&self, stream: &Stream) {
        let first = |shard: usize| self.delivered.iter().position(|(it, _)| *it == shard);
        let last = |shard: usize| self.delivered.iter().rposition(|(it, _)| *it == shard);
        for shard in 0..stream.shards.len() {
            let mut above: Vec<usize> = stream.shards[shard].parents.clone();
            let mut seen = BTreeSet::new();
            while let Some(ancestor) = above.pop() {
                if let (Some(first), Some(last)) = (first(shard), last(ancestor)) {
                    assert!(
                        last < first,
                        "shard {shard} began before its ancestor {ancestor} was done: {:?}",
                        self.delivered
                    );
                }
                if seen.insert(ancestor) {
                    above.extend(&stream.shards[ancestor].parents);
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Put(usize),
    Split(usize),
    Merge(usize),
    /// Sync with a listing that is so many steps old, of which only some creations happen before the worker dies.
    Sync {
        age: usize,
        creations: usize,
    },
    /// Read some of one lease; see [`Application::read`].
    Read {
        choice: usize,
        most: usize,
        children: usize,
        finish: bool,
    },
    /// Cleanup with a listing that is so many steps old.
    Cleanup(usize),
}

impl Step {
    pub(super) fn is_of_the_stream(&self) -> bool {
        matches!(self, Self::Put(_) | Self::Split(_) | Self::Merge(_))
    }
}

pub(super) fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let read = (0..100usize, 0..4usize, 0..4usize, prop::bool::weighted(0.3));
    let step = prop_oneof![
        4 => (0..100usize).prop_map(Step::Put),
        2 => (0..100usize).prop_map(Step::Split),
        2 => (0..100usize).prop_map(Step::Merge),
        2 => (0..6usize, 0..4usize).prop_map(|(age, creations)| Step::Sync { age, creations }),
        6 => read.prop_map(|(choice, most, children, finish)| Step::Read { choice, most, children, finish }),
        2 => (0..6usize).prop_map(Step::Cleanup),
    ];
    prop::collection::vec(step, 0..60)
}

pub(super) fn step(stream: &mut Stream, history: &mut Vec<Stream>, application: &mut Application, step: &Step) {
    stream.step(step);
    match step {
        Step::Sync { age, creations } => {
            let seen = &history[history.len().saturating_sub(age + 1)];
            let plan = application.plan(seen);
            application.create(&plan[..(*creations).min(plan.len())]);
        }
        Step::Read {
            choice,
            most,
            children,
            finish,
        } => {
            let ready = application.ready();
            if let Some(key) = ready.get(choice % ready.len().max(1)) {
                application.read(stream, key, *most, *children, *finish);
            }
        }
        Step::Cleanup(age) => {
            let seen = &history[history.len().saturating_sub(age + 1)];
            let over = plan_cleanup(&application.table(), &seen.listing(ShardFilter::All));
            application.delete(&over);
        }
        Step::Put(_) | Step::Split(_) | Step::Merge(_) => {}
    }
    history.push(stream.clone());
}

/// Plays the steps, then lets the application go on undisturbed until it is done.
pub(super) fn play(mut stream: Stream, mut application: Application, steps: &[Step]) -> (Stream, Application) {
    let mut history = vec![stream.clone()];
    for one in steps {
        step(&mut stream, &mut history, &mut application, one);
    }
    for _ in 0..2 * stream.shards.len() + 2 {
        let plan = application.plan(&stream);
        application.create(&plan);
        application.read_all(&stream);
        let over = plan_cleanup(&application.table(), &stream.listing(ShardFilter::All));
        application.delete(&over);
    }
    (stream, application)
}
