//! Reads that stand still, and what keeps a lease from being held in vain.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use integration::{LinkState, World, buffered_bytes, consumer, held, shard_id};
use kcl_checkpoint::MemoryLeaseStore;
use kcl_core::{
    ApplicationName, Batch, Position, Shard, ShardFilter, ShardId, StreamId, StreamName,
    fetch::{Fetch, FetchFailure, SubscribeAt},
    shard::Waiting,
};
use kcl_runtime::{ConsumerSelector, KinesisSource, RecordSource, ShardReader, Worker};

const MINUTE: Duration = Duration::from_secs(60);

/// A source whose reads and opens hang for ever while its connection is the first one.
#[derive(Clone, Debug)]
struct Hanging {
    inner: KinesisSource,
    connection: Arc<AtomicU32>,
    /// Every so manieth read of an old connection hangs; opens too if it is one.
    every: u32,
    asked: Arc<AtomicU32>,
    heals: bool,
}

impl Hanging {
    async fn maybe_hang(&self) {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        if self.connection.load(Ordering::Relaxed) == 0 && number.is_multiple_of(self.every) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl RecordSource for Hanging {
    fn stream(&self) -> &StreamName {
        self.inner.stream()
    }

    async fn identify(&self) -> Result<StreamId, FetchFailure> {
        self.inner.identify().await
    }

    async fn list_shards(&self, filter: ShardFilter) -> Result<Vec<Shard>, FetchFailure> {
        self.inner.list_shards(filter).await
    }

    async fn subscribe(
        &self,
        shard: &ShardId,
        at: &SubscribeAt,
        consumer: &ConsumerSelector,
    ) -> Result<Box<dyn ShardReader>, FetchFailure> {
        self.inner.subscribe(shard, at, consumer).await
    }

    async fn deregister(&self, consumer: &ConsumerSelector) -> Result<(), FetchFailure> {
        self.inner.deregister(consumer).await
    }

    fn reconnect(&self) {
        self.connection.fetch_add(u32::from(self.heals), Ordering::Relaxed);
    }

    async fn open(&self, shard: &ShardId, position: &Position) -> Result<Box<dyn ShardReader>, FetchFailure> {
        if self.every == 1 {
            self.maybe_hang().await;
        }
        let (source, reader) = (self.clone(), self.inner.open(shard, position).await?);
        Ok(Box::new(HangingReader { source, reader }))
    }
}

#[derive(Debug)]
struct HangingReader {
    source: Hanging,
    reader: Box<dyn ShardReader>,
}

#[async_trait]
impl ShardReader for HangingReader {
    async fn read(&mut self, max_records: u32) -> Result<Fetch, FetchFailure> {
        self.source.maybe_hang().await;
        self.reader.read(max_records).await
    }
}

fn start(world: &World, every: u32, heals: bool) -> (integration::Running, Hanging) {
    let source = Hanging {
        inner: KinesisSource::new(world.worker("one").client(), world.stream.clone()),
        connection: Arc::default(),
        every,
        asked: Arc::default(),
        heals,
    };
    let log = world.log.clone();
    let worker = Worker::builder(
        ApplicationName::new("billing").unwrap(),
        source.clone(),
        Arc::new(MemoryLeaseStore::new()),
    );
    let worker = worker
        .seed(7)
        .started_at(world.clock.now())
        .function(move |batch: Batch| {
            log.note("one", &batch);
            async {}
        });
    (integration::Running::start(worker.build().unwrap()), source)
}

#[tokio::test(start_paused = true)]
async fn wound_39_reads_that_are_never_answered_are_dropped_and_nothing_is_lost_or_repeated() {
    let world = World::new(790, 2);
    let (worker, _) = start(&world, 7, false);
    for _ in 0..30 {
        world.put(10);
        world.pass(MINUTE).await;
    }
    world.log.complete(300).await;
    let report = worker.report().await;
    assert_eq!(held(&report), 2);
    worker.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
    world.log.assert_ordered();
}

#[tokio::test(start_paused = true)]
async fn wound_40_opens_that_are_never_answered_say_so_and_end_with_a_new_connection() {
    let world = World::new(791, 1);
    world.put(10);
    let (worker, source) = start(&world, 1, true);
    let report = worker
        .until(|report| {
            let status = consumer(report, &shard_id(0)).map(|shard| &shard.status);
            status.is_some_and(|status| matches!(status.waiting, Waiting::Stalled { cures: 1, .. }))
        })
        .await;
    let said = consumer(&report, &shard_id(0)).unwrap().status.waiting.to_string();
    assert_eq!(said, "the service has not answered for 45 s; opened again 1 times");
    world.log.complete(10).await;
    assert_eq!(source.connection.load(Ordering::Relaxed), 1);
    worker.idle().await;
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wound_36_whatever_hangs_no_lease_is_held_in_silence() {
    let world = World::new(792, 3);
    let worker = world.worker("one").request_timeout(MINUTE * 60).logging();
    world.put(30);
    worker.idle().await;
    world.link.set(LinkState::Hanging);
    world.pass(MINUTE * 5).await;
    let report = worker.report().await;
    assert_eq!(held(&report), 3);
    for shard in &report.shards {
        // Some clients of the service give up by themselves what hangs. Where they do not, the watchdog does.
        let waiting = &shard.status.waiting;
        let told = matches!(waiting, Waiting::Stalled { .. } | Waiting::ForService { .. });
        assert!(told, "{waiting}");
    }
    assert!(!report.is_idle());
    world.link.set(LinkState::Up);
    world.put(30);
    world.log.complete(60).await;
    worker.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_shard_of_a_megabyte_a_second_with_a_handler_that_stalls_for_five_minutes_keeps_lease_memory_and_place() {
    const MIB: u64 = 1024 * 1024;
    const BUDGET: u64 = 16 * MIB;
    let world = World::new(793, 1);
    let log = world.log.clone();
    let calls = Arc::new(AtomicU32::new(0));
    let spec = world.worker("one").config(|config| {
        config.memory_budget = BUDGET;
        config.failover_time = Duration::from_secs(5);
    });
    let worker = spec.function(move |batch: Batch| {
        log.note("one", &batch);
        let stalls = calls.fetch_add(1, Ordering::Relaxed) == 5;
        tokio::time::sleep(if stalls { MINUTE * 5 } else { Duration::from_millis(100) })
    });
    let mut most = 0;
    let owner = |row: kcl_core::Lease| (row.owner, row.owner_switches_since_checkpoint);
    for second in 0..330_u32 {
        world.put_into(&shard_id(0), 8, 128 * 1024);
        world.pass(Duration::from_secs(1)).await;
        let report = worker.report().await;
        most = most.max(buffered_bytes(&report));
        if second > 5 {
            assert_eq!(held(&report), 1, "after {second} s");
            assert!(owner(world.lease(&shard_id(0)).await).0.is_some());
        }
    }
    // One read gives up to 10 MiB, and a read may begin when a little room is left.
    assert!(most > MIB && most <= BUDGET + 10 * MIB, "{} MiB", most / MIB);
    world.log.complete(world.put_so_far()).await;
    worker.idle().await;
    worker.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0, "the place was kept");
    world.log.assert_ordered();
}
