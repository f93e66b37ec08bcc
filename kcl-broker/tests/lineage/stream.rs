//! A stream that is written to and resharded, and what must be true of whatever is read from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kcl_broker::{
    ApiError, Engine, EngineConfig, ErrorKind, Operation,
    api::{
        CreateStream, DecreaseStreamRetentionPeriod, DescribeStreamSummary, IncreaseStreamRetentionPeriod, ListShards,
        MergeShards, PutRecord, SplitShard, StreamStatus, UpdateShardCount,
    },
};
use kcl_core::{HashKey, HashKeyRange, Record, SequenceNumber, Shard, ShardFilter, Timestamp};
use proptest::prelude::*;

pub(crate) const STREAM: &str = "s";
const SHARDS_MAX: usize = 12;

/// What happens to the stream, whoever reads it.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put(u128),
    /// Splits the open shard that serves the hash key, in its middle.
    Split(u128),
    /// Merges the open shard that serves the hash key with the one above.
    Merge(u128),
    /// Gives the stream another number of shards, even ones: the choice picks one of those that are allowed.
    Scale(usize),
    /// Keeps records for so many hours.
    Keep(i32),
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => any::<u128>().prop_map(Change::Put),
        3 => (0..4_u128).prop_map(|quarter| Change::Put(quarter << 126)),
        1 => any::<u128>().prop_map(Change::Split),
        1 => any::<u128>().prop_map(Change::Merge),
        1 => any::<usize>().prop_map(Change::Scale),
        1 => prop::sample::select(vec![24, 25, 36, 48]).prop_map(Change::Keep),
    ]
}

/// How long changes of the stream may take.
pub(crate) fn transition() -> impl Strategy<Value = Duration> {
    prop::sample::select(vec![Duration::ZERO, Duration::from_millis(700), Duration::from_secs(8)])
}

/// An engine with one stream, what was written to it, and what was read of it.
pub(crate) struct Stream {
    pub(crate) engine: Engine,
    pub(crate) now: Timestamp,
    pub(crate) transition: Duration,
    written: Vec<(HashKey, Timestamp)>,
    read: Vec<(String, usize, SequenceNumber)>,
}

impl Stream {
    /// A stream of so many shards that can be used.
    pub(crate) fn new(shards: i32, transition: Duration) -> Self {
        let mut engine = Engine::new(EngineConfig {
            transition,
            ..EngineConfig::default()
        });
        let now = Timestamp::from_epoch_millis(1_357_034_400_000);
        engine.call(now, CreateStream::new(STREAM, shards)).unwrap();
        Self {
            engine,
            now: now.saturating_add(transition),
            transition,
            written: Vec::new(),
            read: Vec::new(),
        }
    }

    pub(crate) fn pass(&mut self, duration: Duration) {
        self.now = self.now.saturating_add(duration);
    }

    pub(crate) fn retention(&mut self) -> Duration {
        let summary = DescribeStreamSummary::new(STREAM);
        let hours = self.engine.call(self.now, summary).unwrap().retention_period_hours;
        Duration::from_hours(hours)
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
            Change::Scale(choice) => self.scale(choice),
            Change::Keep(hours) => self.keep(hours),
        }
    }

    /// Asks for a change, which is refused only while another one is on its way.
    fn control<O: Operation<Output: std::fmt::Debug>>(&mut self, operation: O) {
        let summary = DescribeStreamSummary::new(STREAM);
        let status = self.engine.call(self.now, summary).unwrap().stream.stream_status;
        let kind = self.engine.call(self.now, operation).err().as_ref().map(ApiError::kind);
        let expected = (status == StreamStatus::Updating).then_some(ErrorKind::ResourceInUse);
        assert_eq!(kind, expected);
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
        self.written.push((at, self.now));
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
            self.control(SplitShard::new(STREAM, shard.id.as_str(), middle));
        }
    }

    fn merge(&mut self, at: HashKey) {
        let open = self.open_shards();
        if let Some([one, other]) = open.windows(2).find(|pair| pair[0].hash_key_range.contains(at)) {
            self.control(MergeShards::new(STREAM, one.id.as_str(), other.id.as_str()));
        }
    }

    fn scale(&mut self, choice: usize) {
        let open = self.open_shards().len();
        let (least, most) = (open.div_ceil(2), (2 * open).min(SHARDS_MAX.max(open)));
        let target = least + choice % (most - least + 1);
        self.control(UpdateShardCount::new(STREAM, i32::try_from(target).unwrap()));
    }

    fn keep(&mut self, hours: i32) {
        if Duration::from_hours(u64::try_from(hours).unwrap()) < self.retention() {
            self.control(DecreaseStreamRetentionPeriod::new(STREAM, hours));
        } else {
            self.control(IncreaseStreamRetentionPeriod::new(STREAM, hours));
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
        self.check_reading_since(Timestamp::from_epoch_millis(i64::MIN))
    }

    /// Whether every record that arrived at this time or later was read once and in order, and no other was.
    pub(crate) fn check_reading_since(&self, horizon: Timestamp) -> Result<(), TestCaseError> {
        let written = self.written.iter().enumerate();
        let expected: Vec<_> = written
            .filter(|(_, (_, at))| *at >= horizon)
            .map(|(index, _)| index)
            .collect();
        let mut read: Vec<_> = self.read.iter().map(|(_, index, _)| *index).collect();
        read.sort_unstable();
        prop_assert_eq!(read, expected);
        let numbers: BTreeSet<_> = self.read.iter().map(|(_, _, number)| number.clone()).collect();
        prop_assert_eq!(numbers.len(), self.read.len());

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
            if let Some((before, smaller)) = of_key.insert(self.written[*index].0, (*index, number)) {
                prop_assert!(before < *index && smaller < number);
            }
        }
        Ok(())
    }
}
