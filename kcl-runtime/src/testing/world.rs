//! [`TestWorld`]: a stream, a lease table and a clock, ready for workers.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_sdk_kinesis::{
    Client,
    config::{
        BehaviorVersion, Credentials, Region,
        retry::{RetryConfig, RetryPartition},
    },
};
use kcl_broker::{Broker, trouble::Trouble};
use kcl_checkpoint::{FaultPlan, FaultyLeaseStore, MemoryLeaseStore};
use kcl_core::{ApplicationName, LeaseStore, StreamName, Timestamp, WorkerId};

use super::{Link, Recorder, VirtualClock, worker::Member};
use crate::{KinesisSource, RetrievalMode, Worker, WorkerBuilder};

/// Retry tokens are shared by all clients of a process unless each has a partition of its own.
static PARTITIONS: AtomicU64 = AtomicU64::new(0);

/// A stream in a broker of its own, a lease table, and one virtual clock for everything. Clones are the same world.
///
/// See the [module](super) for what it looks like in use.
#[derive(Clone)]
pub struct TestWorld {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) clock: VirtualClock,
    pub(super) broker: Broker,
    pub(super) stream: StreamName,
    pub(super) table: Arc<dyn LeaseStore>,
    pub(super) table_faults: FaultPlan,
    pub(super) service: Link,
    pub(super) deadline: Duration,
    pub(super) members: Mutex<Vec<Arc<Member>>>,
    nodes: Mutex<BTreeMap<WorkerId, Node>>,
    application: ApplicationName,
    retrieval_mode: RetrievalMode,
    seed: u64,
    lives: AtomicU64,
}

/// The ways of one worker to the service and the lease table.
#[derive(Clone)]
struct Node {
    service: Link,
    table_faults: FaultPlan,
}

impl TestWorld {
    /// A world with a stream of `shards` shards and everything else by default.
    ///
    /// # Panics
    /// If tokio's time is not paused, or there can be no such stream.
    pub async fn new(stream: &str, shards: u32) -> Self {
        Self::builder(stream, shards).build().await
    }

    /// Begins a world in which more is chosen.
    pub fn builder(stream: &str, shards: u32) -> TestWorldBuilder {
        TestWorldBuilder {
            stream: stream.to_owned(),
            shards,
            application: "test".to_owned(),
            seed: 0,
            deadline: Duration::from_mins(30),
            table: None,
            retention: None,
            retrieval_mode: RetrievalMode::default(),
        }
    }

    /// Begins a worker, as [`Worker::builder`] does: it reads the stream, shares the lease table, and lives on the
    /// world's time. Choose on, and give it to [`start`](Self::start).
    #[must_use]
    pub fn worker(&self, name: &str) -> WorkerBuilder {
        let (inner, name) = (&*self.inner, worker_id(name));
        let node = self.node(&name);
        let source = KinesisSource::new(
            self.client_over(&node.service, RetryConfig::disabled()),
            inner.stream.clone(),
        );
        let shared = FaultyLeaseStore::with_plan(Arc::clone(&inner.table), inner.table_faults.clone());
        let own = FaultyLeaseStore::with_plan(Arc::new(shared), node.table_faults);
        let life = inner.lives.fetch_add(1, Ordering::Relaxed);
        Worker::builder(inner.application.clone(), source, Arc::new(own))
            .seed(inner.seed_of(name.as_str()) ^ life.rotate_left(32))
            .started_at(inner.clock.now())
            .retrieval_mode(inner.retrieval_mode)
            .worker_id(name)
    }

    /// An SDK client of the world's service, for code that writes to the stream. It meets the faults of
    /// [`service`](Self::service).
    #[must_use]
    pub fn client(&self) -> Client {
        self.client_over(&self.inner.service, RetryConfig::standard())
    }

    /// The way of all clients to the service: cut it, and heal it again with [`LinkState::Up`](super::LinkState::Up).
    #[must_use]
    pub fn service(&self) -> &Link {
        &self.inner.service
    }

    /// The way of one worker to the service, in all its lives.
    #[must_use]
    pub fn service_of(&self, worker: &str) -> Link {
        self.node(&worker_id(worker)).service
    }

    /// The faults that all clients meet at the service: what happens to which of their calls, how often and by which
    /// chance. [`service`](Self::service) cuts the way there as a whole.
    ///
    /// ```
    /// # use kcl_runtime::testing::{ServiceFault, TestWorld};
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let world = TestWorld::new("orders", 1).await;
    /// world.service_faults().add(ServiceFault::throttle().on("GetRecords").probability(0.5).seed(7))?;
    /// world.service_faults().add(ServiceFault::expired_iterator().after(10).times(1))?;
    /// # let seen = world.recorder();
    /// # world.start(world.worker("w1").function(seen.succeed()));
    /// # world.put("customer-7", "two apples");
    /// # world.until_idle().await;
    /// # assert_eq!(seen.data(), ["two apples"]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn service_faults(&self) -> &Trouble {
        self.inner.broker.trouble()
    }

    /// The faults that all workers meet at the lease table.
    #[must_use]
    pub fn table_faults(&self) -> &FaultPlan {
        &self.inner.table_faults
    }

    /// The faults that one worker meets at the lease table, in all its lives.
    #[must_use]
    pub fn table_faults_of(&self, worker: &str) -> FaultPlan {
        self.node(&worker_id(worker)).table_faults
    }

    /// The lease table itself, without faults.
    #[must_use]
    pub fn table(&self) -> &Arc<dyn LeaseStore> {
        &self.inner.table
    }

    /// The broker, for what has no helper here. Calls of its own meet the [`service_faults`](Self::service_faults), and
    /// [`Broker::operations`] tells what clients called.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.inner.broker
    }

    /// The broker behind all faults: for what happens there, whatever its clients go through.
    pub(super) fn behind(&self) -> Broker {
        self.inner.broker.untroubled()
    }

    /// The stream's name.
    #[must_use]
    pub fn stream(&self) -> &StreamName {
        &self.inner.stream
    }

    /// Notes for what handlers see, on the world's time.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        Recorder::new(self.inner.clock)
    }

    /// The wall-clock time, which begins at the same moment in every world.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The time since the world began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.inner.clock.elapsed()
    }

    /// Lets virtual time pass, with everything that happens meanwhile.
    pub async fn advance(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn node(&self, worker: &WorkerId) -> Node {
        let inner = &*self.inner;
        let new = || Node {
            service: inner.service.branch(),
            table_faults: FaultPlan::new(inner.seed_of(worker.as_str())),
        };
        lock(&inner.nodes).entry(worker.clone()).or_insert_with(new).clone()
    }

    /// Workers try again by themselves, as their seed says; the SDK's own pauses are drawn by nobody's seed.
    fn client_over(&self, link: &Link, retries: RetryConfig) -> Client {
        let partition = format!("test-world-{}", PARTITIONS.fetch_add(1, Ordering::Relaxed));
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("any", "any", None, None, "test world"))
            .endpoint_url("http://kinesis.local")
            .retry_config(retries)
            .retry_partition(RetryPartition::new(partition))
            .time_source(self.inner.clock)
            .http_client(link.clone())
            .build();
        Client::from_conf(config)
    }
}

impl fmt::Debug for TestWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestWorld")
            .field("stream", &self.inner.stream)
            .field("elapsed", &self.elapsed())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn seed_of(&self, name: &str) -> u64 {
        let mix = |salt: u64, byte| salt.wrapping_mul(31).wrapping_add(u64::from(byte));
        name.bytes().fold(self.seed, mix)
    }
}

/// A [`TestWorld`] to be.
#[derive(Clone, Debug)]
#[must_use]
pub struct TestWorldBuilder {
    stream: String,
    shards: u32,
    application: String,
    seed: u64,
    deadline: Duration,
    table: Option<Arc<dyn LeaseStore>>,
    retention: Option<Duration>,
    retrieval_mode: RetrievalMode,
}

impl TestWorldBuilder {
    /// How workers read: by polling, by enhanced fan-out, or by whichever is to be had. Workers may choose for themselves with
    /// [`WorkerBuilder::retrieval_mode`].
    pub const fn retrieval_mode(mut self, mode: RetrievalMode) -> Self {
        self.retrieval_mode = mode;
        self
    }

    /// What every choice in the world follows from. 0 by default.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How long anything is waited for, in virtual time. 30 minutes by default.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The application's name. `test` by default.
    pub fn application(mut self, application: impl Into<String>) -> Self {
        self.application = application.into();
        self
    }

    /// The lease table. By default one in memory; it may be shared with another world, or be filled already.
    pub fn table(mut self, table: Arc<dyn LeaseStore>) -> Self {
        self.table = Some(table);
        self
    }

    /// How long the stream keeps records. 24 hours by default.
    pub const fn retention(mut self, retention: Duration) -> Self {
        self.retention = Some(retention);
        self
    }

    /// Makes the world and its stream.
    ///
    /// # Panics
    /// If tokio's time is not paused, or there can be no such stream.
    pub async fn build(self) -> TestWorld {
        // The SDK draws its retry jitter from the thread.
        fastrand::seed(self.seed);
        let clock = VirtualClock::start();
        assert!(
            clock.is_paused(),
            "a TestWorld needs paused time: write #[tokio::test(start_paused = true)], with tokio's feature `test-util`"
        );
        let mut broker = Broker::builder().clock(Arc::new(move || clock.now())).seed(self.seed);
        if let Some(retention) = self.retention {
            broker = broker.retention(retention);
        }
        let broker = broker.build();
        let world = TestWorld {
            inner: Arc::new(Inner {
                clock,
                service: Link::new(&broker),
                broker,
                stream: StreamName::new(self.stream).unwrap_or_else(|error| panic!("{error}")),
                table: self.table.unwrap_or_else(|| Arc::new(MemoryLeaseStore::new())),
                table_faults: FaultPlan::new(self.seed),
                deadline: self.deadline,
                members: Mutex::default(),
                nodes: Mutex::default(),
                retrieval_mode: self.retrieval_mode,
                application: ApplicationName::new(self.application).unwrap_or_else(|error| panic!("{error}")),
                seed: self.seed,
                lives: AtomicU64::new(0),
            }),
        };
        let (name, shards) = (world.stream().as_str(), i32::try_from(self.shards).unwrap_or(i32::MAX));
        let created = world
            .client()
            .create_stream()
            .stream_name(name)
            .shard_count(shards)
            .send()
            .await;
        if let Err(error) = created {
            panic!(
                "the stream {name} of {shards} shards cannot be created: {}",
                error.into_service_error()
            );
        }
        world
    }
}

pub(super) fn worker_id(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap_or_else(|error| panic!("{error}"))
}

/// Nothing here panics while it holds a lock: poison is no news.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
