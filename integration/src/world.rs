//! [`World`]: a stream, a lease table and a clock, ready for workers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use kcl_broker::{
    Broker,
    api::{CreateStream, DeleteStream, ListShards, MergeShards, PutRecord, SplitShard},
};
use kcl_checkpoint::MemoryLeaseStore;
use kcl_core::{HashKey, Lease, LeaseKey, LeaseStore, Shard, ShardId, StreamName};

use crate::{Link, Log, WorkerSpec, WorldClock};

/// How many partition keys [`World::put`] spreads records over.
const KEYS: u64 = 16;

/// The id of a stream's `number`-th shard, from 0.
#[must_use]
pub fn shard_id(number: u64) -> ShardId {
    ShardId::new(format!("shardId-{number:012}")).unwrap()
}

/// A broker with a stream, a lease table, and one clock for everything. Clones are the same world.
#[derive(Clone, Debug)]
pub struct World {
    /// The service.
    pub broker: Broker,
    /// The time.
    pub clock: WorldClock,
    /// The lease table.
    pub store: Arc<dyn LeaseStore>,
    /// The way to the service that workers take unless they get another.
    pub link: Link,
    /// What handlers got.
    pub log: Log,
    /// The stream's name.
    pub stream: StreamName,
    /// What every choice follows from.
    pub seed: u64,
    numbers: Arc<AtomicU64>,
}

impl World {
    /// A world with a stream of `shards` shards.
    #[must_use]
    pub fn new(seed: u64, shards: i32) -> Self {
        let world = Self::without_stream(seed);
        world.create_stream(shards);
        world
    }

    /// A world whose stream does not exist yet.
    #[must_use]
    pub fn without_stream(seed: u64) -> Self {
        // The SDK draws its retry jitter from the thread.
        fastrand::seed(seed);
        let clock = WorldClock::start();
        let broker = Broker::builder()
            .clock(Arc::new(move || clock.now()))
            .seed(seed)
            .build();
        Self {
            clock,
            store: Arc::new(MemoryLeaseStore::new()),
            link: Link::new(&broker),
            log: Log::new(clock),
            stream: StreamName::new("rides").unwrap(),
            seed,
            numbers: Arc::default(),
            broker,
        }
    }

    /// The same world with another stream, whose records are numbered and noted apart.
    #[must_use]
    pub fn beside(&self, stream: &str, shards: i32) -> Self {
        let world = Self {
            stream: StreamName::new(stream).unwrap(),
            log: Log::new(self.clock),
            numbers: Arc::default(),
            ..self.clone()
        };
        world.create_stream(shards);
        world
    }

    /// Creates the stream.
    pub fn create_stream(&self, shards: i32) {
        self.broker
            .call(CreateStream::new(self.stream.as_str(), shards))
            .unwrap();
    }

    /// Deletes the stream.
    pub fn delete_stream(&self) {
        self.broker.call(DeleteStream::new(self.stream.as_str())).unwrap();
    }

    /// Puts records, numbered on and spread over keys.
    pub fn put(&self, count: u64) {
        for _ in 0..count {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            self.put_numbered(number, &format!("key-{}", number % KEYS), 0);
        }
    }

    /// Puts records, numbered on, into one open shard, each with so many bytes of padding.
    ///
    /// # Panics
    /// If the shard does not exist.
    pub fn put_into(&self, shard: &ShardId, count: u64, padding: usize) {
        let range = self
            .shards()
            .into_iter()
            .find(|listed| listed.id == *shard)
            .unwrap()
            .hash_key_range;
        let key = (0..10_000)
            .map(|n| format!("into-{n}"))
            .find(|key| range.contains(HashKey::of_partition_key(key)));
        let key = key.unwrap();
        for _ in 0..count {
            self.put_numbered(self.numbers.fetch_add(1, Ordering::Relaxed), &key, padding);
        }
    }

    /// Puts records, numbered on, with this key.
    pub fn put_keyed(&self, key: &str, count: u64) {
        for _ in 0..count {
            self.put_numbered(self.numbers.fetch_add(1, Ordering::Relaxed), key, 0);
        }
    }

    fn put_numbered(&self, number: u64, key: &str, padding: usize) {
        let data = format!("{number} {}", "x".repeat(padding));
        self.broker
            .call(PutRecord::new(self.stream.as_str(), key, data))
            .unwrap();
    }

    /// How many records were put.
    #[must_use]
    pub fn put_so_far(&self) -> u64 {
        self.numbers.load(Ordering::Relaxed)
    }

    /// All shards of the stream.
    #[must_use]
    pub fn shards(&self) -> Vec<Shard> {
        self.broker.call(ListShards::new(self.stream.as_str())).unwrap().shards
    }

    /// The shards that take records.
    #[must_use]
    pub fn open_shards(&self) -> Vec<Shard> {
        self.shards().into_iter().filter(Shard::is_open).collect()
    }

    /// Splits a shard in its middle.
    ///
    /// # Panics
    /// If the shard does not exist or is closed.
    pub fn split(&self, shard: &ShardId) {
        let range = self
            .shards()
            .into_iter()
            .find(|listed| listed.id == *shard)
            .unwrap()
            .hash_key_range;
        let middle = HashKey(range.start.0 + (range.end.0 - range.start.0) / 2 + 1);
        self.broker
            .call(SplitShard::new(self.stream.as_str(), shard.as_str(), middle))
            .unwrap();
    }

    /// Merges a shard with the one above it.
    ///
    /// # Panics
    /// If they are not adjacent and open.
    pub fn merge(&self, shard: &ShardId, above: &ShardId) {
        self.broker
            .call(MergeShards::new(self.stream.as_str(), shard.as_str(), above.as_str()))
            .unwrap();
    }

    /// Begins a worker.
    #[must_use]
    pub fn worker(&self, name: &str) -> WorkerSpec {
        WorkerSpec::new(self, name)
    }

    /// The rows of the lease table.
    pub async fn leases(&self) -> Vec<Lease> {
        let listing = self.store.list().await.unwrap();
        listing.leases.into_iter().map(Arc::unwrap_or_clone).collect()
    }

    /// The row of a shard.
    ///
    /// # Panics
    /// If there is none.
    pub async fn lease(&self, shard: &ShardId) -> Lease {
        self.store.get(&LeaseKey::of_shard(shard)).await.unwrap().unwrap()
    }

    /// Lets virtual time pass.
    pub async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Waits until the lease table satisfies `condition`, which is looked at every 10 ms; gives how long that took.
    ///
    /// # Panics
    /// If that does not happen within a virtual while.
    pub async fn table_until(&self, condition: impl Fn(&[Lease]) -> bool) -> Duration {
        let from = self.clock.elapsed();
        let waited = tokio::time::timeout(crate::running::DEADLINE, async {
            while !condition(&self.leases().await) {
                self.pass(Duration::from_millis(10)).await;
            }
        });
        if waited.await.is_err() {
            panic!(
                "the lease table never came to be as expected: {:#?}",
                self.leases().await
            );
        }
        self.clock.elapsed() - from
    }
}
