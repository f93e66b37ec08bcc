//! What stands between a worker and its world: the table and the source, watched, and spoiled if a bug is planted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use kcl_core::{
    Expect, Lease, LeaseKey, LeaseListing, LeaseStore, LeaseWrite, Position, Shard, ShardFilter, ShardId, StoreError,
    StreamId, StreamName, WorkerId, WriteOutcome,
    coordination::{Coordination, WorkerMetrics},
    fetch::{Fetch, FetchFailure, SubscribeAt, consumer::ConsumerSelector},
};
use kcl_runtime::{KinesisSource, RecordSource, ShardReader};

use crate::court::{Court, Life, ends_tenure};

/// A bug planted at a seam. Each breaks a promise, and the seeds must show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// Writes are applied whatever the row has become.
    Unfenced,
    /// Parents look finished to workers.
    IgnoreParents,
    /// Now and then the first position is written again.
    StaleCheckpoint,
    /// The last write of a tenure leaves the checkpoint out.
    ForgetLastCheckpoint,
    /// A read leaves out its first record now and then.
    DropRecord,
    /// A handler that fails says that it succeeded.
    SkipFailed,
}

/// The door to the table nearest to it: what is applied here has happened.
#[derive(Debug)]
pub(crate) struct WatchedStore {
    pub(crate) life: Life,
    pub(crate) table: Arc<dyn LeaseStore>,
    pub(crate) court: Court,
    pub(crate) planted: Option<Planted>,
    pub(crate) writes: AtomicU64,
}

impl WatchedStore {
    fn spoil_write(&self, write: &LeaseWrite) -> LeaseWrite {
        let mut write = write.clone();
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let last = ends_tenure(&write);
        let patch = &mut write.patch;
        match self.planted {
            Some(Planted::Unfenced) => write.expect = Expect::exists(),
            Some(Planted::ForgetLastCheckpoint) if last && patch.checkpoint != Some(Position::ShardEnd) => {
                patch.checkpoint = None;
            }
            Some(Planted::StaleCheckpoint)
                if number.is_multiple_of(4) && matches!(patch.checkpoint, Some(Position::Record(_))) =>
            {
                patch.checkpoint = Some(Position::TrimHorizon);
            }
            _ => {}
        }
        write
    }

    fn spoil_row(&self, row: &mut Lease) {
        if self.planted == Some(Planted::IgnoreParents) {
            row.parents.clear();
        }
    }

    fn spoil(&self, mut outcome: WriteOutcome) -> WriteOutcome {
        match &mut outcome {
            WriteOutcome::Applied(row) | WriteOutcome::Conflict(Some(row)) => self.spoil_row(row),
            WriteOutcome::Conflict(None) => {}
        }
        outcome
    }
}

#[async_trait]
impl LeaseStore for WatchedStore {
    async fn list(&self) -> Result<LeaseListing, StoreError> {
        let mut listing = self.table.list().await?;
        listing
            .leases
            .iter_mut()
            .for_each(|row| self.spoil_row(Arc::make_mut(row)));
        Ok(listing)
    }

    async fn get(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        let mut row = self.table.get(key).await?;
        row.iter_mut().for_each(|row| self.spoil_row(row));
        Ok(row)
    }

    async fn create(&self, lease: &Lease) -> Result<WriteOutcome, StoreError> {
        let outcome = self.table.create(lease).await?;
        if let WriteOutcome::Applied(row) = &outcome {
            self.court.lock().created(&self.life, row);
        }
        Ok(self.spoil(outcome))
    }

    async fn update(&self, write: &LeaseWrite) -> Result<WriteOutcome, StoreError> {
        let write = self.spoil_write(write);
        let outcome = self.table.update(&write).await?;
        if let WriteOutcome::Applied(row) = &outcome {
            self.court.lock().written(&self.life, &write, row);
        }
        Ok(self.spoil(outcome))
    }

    async fn delete(&self, key: &LeaseKey, expect: &Expect) -> Result<WriteOutcome, StoreError> {
        let outcome = self.table.delete(key, expect).await?;
        if let WriteOutcome::Applied(row) = &outcome {
            self.court.lock().deleted(&self.life, row);
        }
        Ok(self.spoil(outcome))
    }

    async fn coordination(&self) -> Result<Coordination, StoreError> {
        self.table.coordination().await
    }

    async fn publish(&self, metrics: &WorkerMetrics) -> Result<(), StoreError> {
        self.table.publish(metrics).await
    }

    async fn withdraw(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.table.withdraw(worker).await
    }
}

/// The real source, with a network in front and somebody who notes where shards are opened.
#[derive(Debug)]
pub(crate) struct WatchedSource {
    pub(crate) life: Life,
    pub(crate) source: KinesisSource,
    pub(crate) court: Court,
    pub(crate) planted: Option<Planted>,
}

#[derive(Debug)]
struct WatchedReader {
    who: String,
    reader: Box<dyn ShardReader>,
    court: Court,
    planted: Option<Planted>,
}

async fn way(court: &Court) {
    let way = Duration::from_micros(court.lock().rng.u64(500..=20_000));
    tokio::time::sleep(way).await;
}

#[async_trait]
impl RecordSource for WatchedSource {
    fn stream(&self) -> &StreamName {
        self.source.stream()
    }

    async fn identify(&self) -> Result<StreamId, FetchFailure> {
        self.source.identify().await
    }

    async fn list_shards(&self, filter: ShardFilter) -> Result<Vec<Shard>, FetchFailure> {
        way(&self.court).await;
        let listing = self.source.list_shards(filter).await?;
        let stale = self.court.lock().stale_shards.clone();
        Ok(stale.filter(|_| filter == ShardFilter::All).unwrap_or(listing))
    }

    async fn open(&self, shard: &ShardId, position: &Position) -> Result<Box<dyn ShardReader>, FetchFailure> {
        way(&self.court).await;
        let reader = self.source.open(shard, position).await?;
        self.court.lock().opened(&self.life, shard, position);
        Ok(Box::new(WatchedReader {
            who: format!("{}#{} in {shard}", self.life.id, self.life.number),
            reader,
            court: self.court.clone(),
            planted: self.planted,
        }))
    }

    async fn subscribe(
        &self,
        shard: &ShardId,
        at: &SubscribeAt,
        consumer: &ConsumerSelector,
    ) -> Result<Box<dyn ShardReader>, FetchFailure> {
        way(&self.court).await;
        let reader = self.source.subscribe(shard, at, consumer).await?;
        if let SubscribeAt::Position(position) = at {
            self.court.lock().opened(&self.life, shard, position);
        }
        Ok(Box::new(WatchedReader {
            who: format!("{}#{} in {shard}", self.life.id, self.life.number),
            reader,
            court: self.court.clone(),
            planted: self.planted,
        }))
    }

    async fn deregister(&self, consumer: &ConsumerSelector) -> Result<(), FetchFailure> {
        self.source.deregister(consumer).await
    }
}

#[async_trait]
impl ShardReader for WatchedReader {
    async fn read(&mut self, max_records: u32) -> Result<Fetch, FetchFailure> {
        way(&self.court).await;
        let read = self.reader.read(max_records).await;
        if let Err(failure) = &read {
            let what = format!("{} cannot read: {}", self.who, failure.message);
            self.court.lock().note(&what);
        }
        let mut fetch = read?;
        let drops = self.planted == Some(Planted::DropRecord) && self.court.lock().rng.u8(..4) == 0;
        if drops && fetch.batch.len() > 1 {
            fetch.batch = fetch.batch.split_at(1).1;
        }
        way(&self.court).await;
        Ok(fetch)
    }
}
