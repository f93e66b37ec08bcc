//! The engine's semantics, without any encoding.

mod account;
mod capacity;
mod consumers;
mod fanout;
mod growth;
mod lifecycle;
mod limits;
mod listing;
mod policies;
mod reading;
mod resharding;
mod retention;
mod scaling;
mod settings;
mod streams;
mod tags;
mod writing;

use std::time::Duration;

use bytes::Bytes;
use kcl_core::{HashKey, Shard, Timestamp};

use super::{Engine, EngineConfig, Operation};
use crate::api::{
    ApiError, CreateStream, ErrorKind, GetRecords, GetRecordsOutput, GetShardIterator, ListShards, PutRecord,
    PutRecordOutput, SplitShard,
};

const START: Timestamp = Timestamp::from_epoch_millis(1_357_034_400_250);
const STREAM: &str = "rides";
const FIRST: &str = "shardId-000000000000";
const SECOND: &str = "shardId-000000000001";
const THIRD: &str = "shardId-000000000002";
const MIDDLE: HashKey = HashKey(1 << 127);

/// An engine and the time, which stands still until it is told to pass.
struct World {
    engine: Engine,
    now: Timestamp,
}

impl World {
    fn with_shards(count: i32) -> Self {
        Self::with_config(EngineConfig::default(), count)
    }

    fn with_config(config: EngineConfig, count: i32) -> Self {
        let mut world = Self {
            engine: Engine::new(config),
            now: START,
        };
        world.call(CreateStream::new(STREAM, count)).unwrap();
        world
    }

    fn call<O: Operation>(&mut self, operation: O) -> Result<O::Output, ApiError> {
        self.engine.call(self.now, operation)
    }

    fn pass(&mut self, duration: Duration) {
        self.now = self.now.saturating_add(duration);
    }

    fn put(&mut self, key: &str, data: &'static str) -> PutRecordOutput {
        self.call(PutRecord::new(STREAM, key, data)).unwrap()
    }

    /// Writes to the shard that serves the hash key.
    fn put_at(&mut self, hash_key: HashKey, data: impl Into<Bytes>) -> PutRecordOutput {
        let explicit_hash_key = Some(hash_key.to_string());
        self.call(PutRecord {
            explicit_hash_key,
            ..PutRecord::new(STREAM, "key", data)
        })
        .unwrap()
    }

    fn split(&mut self, shard: &str, at: HashKey) {
        self.call(SplitShard::new(STREAM, shard, at)).unwrap();
    }

    fn open(&mut self, iterator: GetShardIterator) -> String {
        self.call(iterator).unwrap().shard_iterator
    }

    fn read(&mut self, iterator: &str) -> GetRecordsOutput {
        self.call(GetRecords::new(iterator)).unwrap()
    }

    fn read_from(&mut self, iterator: GetShardIterator) -> GetRecordsOutput {
        let iterator = self.open(iterator);
        self.read(&iterator)
    }

    fn shards(&mut self) -> Vec<Shard> {
        self.call(ListShards::new(STREAM)).unwrap().shards
    }
}

fn data(read: &GetRecordsOutput) -> Vec<&str> {
    read.records
        .iter()
        .map(|record| str::from_utf8(&record.data).unwrap())
        .collect()
}

fn ids(shards: &[Shard]) -> Vec<&str> {
    shards.iter().map(|shard| shard.id.as_str()).collect()
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(answer: Result<T, ApiError>, kind: ErrorKind, message: &str) {
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), error.message().unwrap_or("")), (kind, message));
}

#[track_caller]
fn assert_kind<T: std::fmt::Debug>(answer: Result<T, ApiError>, kind: ErrorKind) {
    assert_eq!(answer.unwrap_err().kind(), kind);
}
