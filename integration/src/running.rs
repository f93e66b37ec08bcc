//! [`WorkerSpec`] and [`Running`]: workers, made and watched in few words.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_sdk_kinesis::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryPartition},
};
use kcl_core::{ApplicationName, Batch, LeaseStore, ShardId, WorkerId, worker::LeaseState};
use kcl_runtime::{
    Config, Deliveries, IntoBatchOutcome, KinesisSource, RecordProcessorFactory, Report, ShardReportStatus,
    StreamWorkerBuilder, Worker, WorkerBuilder, WorkerError, WorkerHandle,
};
use tokio::task::JoinHandle;

use crate::{Link, World};

/// How long anything is waited for, in virtual time.
pub(crate) const DEADLINE: Duration = Duration::from_secs(1_800);

/// Retry tokens are shared by all clients of a process unless each has a partition of its own.
static PARTITIONS: AtomicU64 = AtomicU64::new(0);

/// A worker to be.
#[derive(Debug)]
pub struct WorkerSpec {
    world: World,
    name: String,
    store: Arc<dyn LeaseStore>,
    link: Link,
    config: Config,
    interval: Option<Duration>,
    records: Option<u64>,
    request_timeout: Option<Duration>,
}

impl WorkerSpec {
    pub(crate) fn new(world: &World, name: &str) -> Self {
        Self {
            world: world.clone(),
            name: name.to_owned(),
            store: Arc::clone(&world.store),
            link: world.link.clone(),
            config: Config::default(),
            interval: None,
            records: None,
            request_timeout: None,
        }
    }

    /// Changes settings.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Uses another door to the lease table.
    #[must_use]
    pub fn store(mut self, store: impl LeaseStore) -> Self {
        self.store = Arc::new(store);
        self
    }

    /// Uses another way to the service.
    #[must_use]
    pub fn link(mut self, link: &Link) -> Self {
        self.link = link.clone();
        self
    }

    /// Checkpoints at the latest so long after a record was handled.
    #[must_use]
    pub fn checkpoint_interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// Checkpoints at the latest when so many records of a shard were handled.
    #[must_use]
    pub fn checkpoint_records(mut self, records: u64) -> Self {
        self.records = Some(records);
        self
    }

    /// Limits how long one request to the service may take.
    #[must_use]
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.request_timeout = Some(limit);
        self
    }

    /// Runs with a handler that notes every batch in the world's log.
    #[must_use]
    pub fn logging(self) -> Running {
        let (log, name) = (self.world.log.clone(), self.name.clone());
        self.function(move |batch: Batch| {
            log.note(&name, &batch);
            async {}
        })
    }

    /// Runs with a function.
    #[must_use]
    pub fn function<F, R>(self, function: F) -> Running
    where
        F: Fn(Batch) -> R + Send + Sync + 'static,
        R: Future<Output: IntoBatchOutcome> + Send + 'static,
    {
        let mut builder = self.builder().function(function);
        if let Some(interval) = self.interval {
            builder = builder.checkpoint_interval(interval);
        }
        if let Some(records) = self.records {
            builder = builder.checkpoint_records(records);
        }
        Running::start(builder.build().unwrap())
    }

    /// Runs with a stream of deliveries.
    ///
    /// # Panics
    /// If a setting is out of range.
    #[must_use]
    pub fn stream(self, set: impl FnOnce(StreamWorkerBuilder) -> StreamWorkerBuilder) -> (Running, Deliveries) {
        let (worker, deliveries) = set(self.builder().stream()).build().unwrap();
        (Running::start(worker), deliveries)
    }

    /// Runs with a processor per shard.
    #[must_use]
    pub fn processor(self, factory: impl RecordProcessorFactory) -> Running {
        Running::start(self.builder().processor(factory).build().unwrap())
    }

    fn builder(&self) -> WorkerBuilder {
        let world = &self.world;
        let mut source = KinesisSource::new(self.client(), world.stream.clone());
        if let Some(limit) = self.request_timeout {
            source = source.with_request_timeout(limit);
        }
        let salt = self.name.bytes().fold(world.seed, |salt, byte| {
            salt.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        let millis = u64::try_from(world.clock.elapsed().as_millis()).unwrap();
        Worker::builder(
            ApplicationName::new("billing").unwrap(),
            source,
            Arc::clone(&self.store),
        )
        .worker_id(WorkerId::new(self.name.as_str()).unwrap())
        .config(self.config.clone())
        .seed(salt ^ millis.rotate_left(32))
        .started_at(world.clock.now())
    }

    /// The SDK's client of this worker, through its own link.
    pub fn client(&self) -> Client {
        let partition = format!("world-{}", PARTITIONS.fetch_add(1, Ordering::Relaxed));
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("any", "any", None, None, "world"))
            .endpoint_url("http://kinesis.local")
            .retry_partition(RetryPartition::new(partition))
            .time_source(self.world.clock)
            .http_client(self.link.clone())
            .build();
        Client::from_conf(config)
    }
}

/// A worker that runs in a task of its own.
#[derive(Debug)]
pub struct Running {
    /// Talks to it.
    pub handle: WorkerHandle,
    task: JoinHandle<Result<(), WorkerError>>,
}

impl Running {
    /// Runs a worker.
    #[must_use]
    pub fn start(worker: Worker) -> Self {
        let handle = worker.handle();
        Self {
            handle,
            task: tokio::spawn(worker.run()),
        }
    }

    /// Waits until the worker's report satisfies `condition`, and gives that report.
    ///
    /// # Panics
    /// If the worker ends first, or that does not happen within a virtual while.
    pub async fn until(&self, condition: impl FnMut(&Report) -> bool) -> Report {
        match tokio::time::timeout(DEADLINE, self.handle.wait_until(condition)).await {
            Ok(report) => report.expect("the worker ended while it was waited for"),
            Err(_) => panic!(
                "the worker never came to be as expected: {:#?}",
                self.handle.report().await
            ),
        }
    }

    /// Waits until the worker has nothing to do.
    pub async fn idle(&self) -> Report {
        self.until(Report::is_idle).await
    }

    /// How the worker is.
    ///
    /// # Panics
    /// If it ended.
    pub async fn report(&self) -> Report {
        self.handle.report().await.unwrap()
    }

    /// Shuts the worker down cleanly and waits for its end.
    ///
    /// # Errors
    /// As the worker ended.
    pub async fn stop(self) -> Result<(), WorkerError> {
        self.handle.shutdown().await;
        self.ended().await
    }

    /// Waits until the worker ends on its own.
    ///
    /// # Errors
    /// As the worker ended.
    ///
    /// # Panics
    /// If it does not within a virtual while.
    pub async fn ended(self) -> Result<(), WorkerError> {
        tokio::time::timeout(DEADLINE, self.task)
            .await
            .expect("the worker never ended")
            .unwrap()
    }

    /// Ends the worker as a crash does: nothing is finished, written or told to anybody.
    pub async fn crash(self) {
        self.task.abort();
        // Cancelled, which is what was asked for.
        let _ = self.task.await;
    }
}

/// How many leases the worker holds and consumes.
#[must_use]
pub fn held(report: &Report) -> usize {
    report
        .worker
        .leases
        .iter()
        .filter(|lease| lease.state == LeaseState::HeldConsuming)
        .count()
}

/// The memory that records take which were read and are not handled.
#[must_use]
pub fn buffered_bytes(report: &Report) -> u64 {
    report.shards.iter().map(|shard| shard.status.buffered_bytes).sum()
}

/// The worker's consumer of a shard.
#[must_use]
pub fn consumer<'a>(report: &'a Report, shard: &ShardId) -> Option<&'a ShardReportStatus> {
    report.shards.iter().find(|consumer| consumer.shard == *shard)
}
