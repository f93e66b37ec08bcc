//! The two servers of the world: the lease table, and the service, which is the broker's own engine.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kcl_broker::{
    ApiError, Engine, EngineConfig, ErrorKind, Limits,
    api::{
        CreateStream, DeleteStream, GetRecords, GetShardIterator, ListShards, MergeShards, PutRecord, SplitShard,
        UpdateShardCount,
    },
};
use kcl_core::{
    Batch, Expect, HashKey, Lease, LeaseKey, LeaseListing, LeaseWrite, Position, Record, SequenceNumber, Shard,
    ShardFilter, ShardId, StreamName, Timestamp, WorkerId, WriteOutcome,
    aggregate::UserRecord,
    coordination::{Coordination, LeaderLock, WorkerMetrics},
    fetch::{Fetch, FetchFailure, FetchFailureKind},
};

use crate::scenario::Scenario;

/// The stream of the world.
pub(super) const STREAM: &str = "stream";

/// A request to the lease table.
#[derive(Clone, Debug)]
pub(super) enum TableRequest {
    List,
    Get(LeaseKey),
    Create(Lease),
    Update(LeaseWrite),
    Delete(LeaseKey, Expect),
    /// What workers keep beside the leases.
    Coordinate,
    /// A worker says how it is.
    Publish(WorkerMetrics),
    /// A worker takes back what it said.
    Withdraw(WorkerId),
    Lock(LockWrite),
}

impl TableRequest {
    /// Whether a row changes, so that no answer means that it may have.
    pub(super) fn writes(&self) -> bool {
        !matches!(self, Self::List | Self::Get(_) | Self::Coordinate)
    }
}

/// A write on the leader's lock: what version it must have, or that there is none, and what it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LockWrite {
    pub(super) expect: Option<String>,
    pub(super) put: Option<LeaderLock>,
}

/// The table's answer.
#[derive(Clone, Debug)]
pub(super) enum TableAnswer {
    Listing(LeaseListing),
    Row(Option<Lease>),
    Outcome(WriteOutcome),
    Coordination(Coordination),
    /// Whether a write beside the leases was applied.
    Done(bool),
}

/// The lease table: rows, and nothing else.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) rows: BTreeMap<LeaseKey, Arc<Lease>>,
    /// Requests, less those that removed a row.
    pub(super) requests: u64,
    /// What scans give while they are stale.
    pub(super) stale: Option<LeaseListing>,
    /// What workers keep beside the leases.
    pub(super) coordination: Coordination,
    /// Since when each lease is in the hand-off that it is in.
    pub(super) asked_since: BTreeMap<LeaseKey, Duration>,
    /// When each lease last went to another holder.
    pub(super) moved_at: BTreeMap<LeaseKey, Duration>,
}

impl Table {
    pub(super) fn listing(&self) -> LeaseListing {
        LeaseListing {
            leases: self.rows.values().cloned().collect(),
            unreadable: Vec::new(),
        }
    }

    pub(super) fn call(&mut self, request: &TableRequest) -> TableAnswer {
        self.requests += 1;
        match request {
            TableRequest::List => TableAnswer::Listing(self.stale.clone().unwrap_or_else(|| self.listing())),
            TableRequest::Get(key) => TableAnswer::Row(self.rows.get(key).map(|row| Lease::clone(row))),
            TableRequest::Create(lease) => TableAnswer::Outcome(match self.rows.get(&lease.key) {
                Some(row) => WriteOutcome::Conflict(Some(Lease::clone(row))),
                None => {
                    self.rows.insert(lease.key.clone(), Arc::new(lease.clone()));
                    WriteOutcome::Applied(lease.clone())
                }
            }),
            TableRequest::Update(write) => {
                let row = self.rows.get(&write.key).map(AsRef::as_ref);
                TableAnswer::Outcome(match row {
                    Some(before) if write.expect.holds(row) => {
                        let after = write.patch.apply(before);
                        self.rows.insert(write.key.clone(), Arc::new(after.clone()));
                        WriteOutcome::Applied(after)
                    }
                    row => WriteOutcome::Conflict(row.cloned()),
                })
            }
            TableRequest::Delete(key, expect) => {
                let row = self.rows.get(key).map(|row| Lease::clone(row));
                TableAnswer::Outcome(match row {
                    Some(before) if expect.holds(Some(&before)) => {
                        self.rows.remove(key);
                        // Comes once in the life of a shard, however many shards were finished before a quiet time.
                        self.requests -= 1;
                        WriteOutcome::Applied(before)
                    }
                    row => WriteOutcome::Conflict(row),
                })
            }
            TableRequest::Coordinate => TableAnswer::Coordination(self.coordination.clone()),
            TableRequest::Publish(metrics) => {
                let workers = &mut self.coordination.workers;
                workers.retain(|other| other.worker != metrics.worker);
                workers.push(metrics.clone());
                workers.sort_by(|one, other| one.worker.cmp(&other.worker));
                TableAnswer::Done(true)
            }
            TableRequest::Withdraw(worker) => {
                self.coordination.workers.retain(|other| other.worker != *worker);
                TableAnswer::Done(true)
            }
            TableRequest::Lock(write) => {
                let lock = &mut self.coordination.leader;
                let holds = lock.as_ref().map(|lock| &lock.version) == write.expect.as_ref();
                if holds {
                    lock.clone_from(&write.put);
                }
                TableAnswer::Done(holds)
            }
        }
    }

    /// Notes when hand-offs begin and end, and when leases move.
    pub(super) fn note_hand_off(&mut self, now: Duration, before: &Lease, after: &Lease) {
        if before.holder() != after.holder() {
            self.moved_at.insert(after.key.clone(), now);
        }
        if !after.is_in_hand_off() {
            self.asked_since.remove(&after.key);
        } else if before.checkpoint_owner != after.checkpoint_owner || before.owner != after.owner {
            self.asked_since.insert(after.key.clone(), now);
        }
    }
}

/// The Kinesis service.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) engine: Engine,
    pub(super) name: StreamName,
    /// The ARN of the application's consumer, once that is registered.
    pub(super) consumer: Option<String>,
    /// What listings give while they are stale.
    pub(super) stale: Option<Vec<Shard>>,
}

impl Service {
    pub(super) fn new(now: Timestamp, scenario: &Scenario) -> Self {
        let config = EngineConfig {
            transition: scenario.transition,
            limits: if scenario.limits { Limits::Aws } else { Limits::Off },
            ..EngineConfig::default()
        };
        let mut service = Self {
            engine: Engine::new(config),
            name: StreamName::new(STREAM).expect("a valid name"),
            consumer: None,
            stale: None,
        };
        let created = service.create(now, scenario.shards);
        assert!(created, "a new service has no stream");
        service
    }

    /// Makes the stream, unless the one of this name is still being deleted.
    pub(super) fn create(&mut self, now: Timestamp, shards: usize) -> bool {
        let count = i32::try_from(shards).expect("a few shards");
        self.engine.call(now, CreateStream::new(STREAM, count)).is_ok()
    }

    /// The least sequence number that the stream can have, once it is there.
    pub(super) fn first_number(&mut self, now: Timestamp) -> Option<SequenceNumber> {
        let shards = self.shards(now, ShardFilter::All).ok()?;
        shards
            .into_iter()
            .filter_map(|shard| shard.starting_sequence_number)
            .min()
    }

    pub(super) fn delete(&mut self, now: Timestamp) {
        let mut request = DeleteStream::new(STREAM);
        request.enforce_consumer_deletion = Some(true);
        self.engine.call(now, request).expect("the stream is there");
        self.consumer = None;
        self.stale = None;
    }

    /// Puts a record, if the service takes it.
    pub(super) fn put(&mut self, now: Timestamp, record: &UserRecord) -> Option<(ShardId, SequenceNumber)> {
        let request = PutRecord::new(STREAM, record.partition_key.clone(), record.data.clone());
        let put = self.engine.call(now, request).ok()?;
        Some((put.shard_id, put.sequence_number))
    }

    pub(super) fn shards(&mut self, now: Timestamp, filter: ShardFilter) -> Result<Vec<Shard>, FetchFailure> {
        if let (Some(stale), ShardFilter::All) = (&self.stale, filter) {
            return Ok(stale.clone());
        }
        let mut page = self
            .engine
            .call(now, ListShards::filtered(STREAM, filter))
            .map_err(failure)?;
        let mut shards = page.shards;
        while let Some(token) = page.next_token {
            page = self.engine.call(now, ListShards::next(token)).map_err(failure)?;
            shards.extend(page.shards);
        }
        Ok(shards)
    }

    pub(super) fn open(
        &mut self,
        now: Timestamp,
        shard: &ShardId,
        position: &Position,
    ) -> Result<String, FetchFailure> {
        let shard = shard.as_str();
        let request = match position {
            Position::TrimHorizon => GetShardIterator::trim_horizon(STREAM, shard),
            Position::Latest => GetShardIterator::latest(STREAM, shard),
            Position::AtTimestamp(at) => GetShardIterator::at_timestamp(STREAM, shard, *at),
            Position::Record(record) => GetShardIterator::at(STREAM, shard, record.sequence_number.as_str()),
            other => unreachable!("nobody reads from {other}"),
        };
        self.engine
            .call(now, request)
            .map(|answer| answer.shard_iterator)
            .map_err(failure)
    }

    /// Reads; gives the records and the next iterator, if the shard goes on.
    pub(super) fn fetch(
        &mut self,
        now: Timestamp,
        shard: &ShardId,
        iterator: &str,
        most: u32,
    ) -> Result<(Fetch, Option<String>), FetchFailure> {
        let mut request = GetRecords::new(iterator);
        request.limit = i32::try_from(most).ok();
        let answer = self.engine.call(now, request).map_err(failure)?;
        let records: Vec<Record> = answer.records.iter().map(|record| Record::clone(record)).collect();
        let batch = Batch::new(self.name.clone(), shard.clone(), records)
            .with_millis_behind_latest(Some(answer.millis_behind_latest));
        let end = answer.next_shard_iterator.is_none().then_some(answer.child_shards);
        let fetch = Fetch {
            batch,
            end,
            continuation: None,
        };
        Ok((fetch, answer.next_shard_iterator))
    }

    /// Asks for `by` times as many shards as are open.
    pub(super) fn scale(&mut self, now: Timestamp, by: f64) -> Option<String> {
        let open = self.shards(now, ShardFilter::AtLatest).ok()?.len();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "a few shards"
        )]
        let target = ((open as f64 * by) as i32).clamp(1, 96);
        self.engine.call(now, UpdateShardCount::new(STREAM, target)).ok()?;
        Some(format!("scale from {open} to {target} shards"))
    }

    /// Splits an open shard in the middle, or merges two neighbours, whichever `choice` says and is possible.
    pub(super) fn reshard(&mut self, now: Timestamp, choice: u64) -> Option<String> {
        let mut open: Vec<Shard> = self.shards(now, ShardFilter::AtLatest).ok()?;
        open.sort_by_key(|shard| shard.hash_key_range);
        let index = usize::try_from(choice / 2).ok()? % open.len();
        let shard = &open[index];
        let next = open.get(index + 1);
        if let (Some(next), 1) = (next, choice % 2) {
            self.engine
                .call(now, MergeShards::new(STREAM, shard.id.as_str(), next.id.as_str()))
                .ok()?;
            return Some(format!("merge {} {}", shard.id, next.id));
        }
        let range = shard.hash_key_range;
        let width = range.end.0 - range.start.0;
        let middle = HashKey(range.start.0 + width / 2 + 1);
        // Shards of a few hash keys would be an oddity of the test, and fleets of hundreds of shards slow.
        if width < 1 << 100 || open.len() >= 96 {
            return None;
        }
        self.engine
            .call(now, SplitShard::new(STREAM, shard.id.as_str(), middle))
            .ok()?;
        Some(format!("split {}", shard.id))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
pub(super) fn failure(error: ApiError) -> FetchFailure {
    let kind = match error.kind() {
        ErrorKind::ExpiredIterator => FetchFailureKind::Expired,
        ErrorKind::ResourceNotFound => FetchFailureKind::NotFound,
        ErrorKind::InvalidArgument => FetchFailureKind::InvalidPosition,
        ErrorKind::ResourceInUse => FetchFailureKind::InUse,
        ErrorKind::ProvisionedThroughputExceeded => FetchFailureKind::Throttled,
        _ => FetchFailureKind::Unavailable,
    };
    FetchFailure {
        kind,
        message: error.to_string(),
    }
}
