//! Reading a stretch of time once more, beside the application and without touching its checkpoints: [`Replay`].
//!
//! A replay is a worker of its own, with a lease table in memory that ends with it: shards are read in the order of their
//! descent, parents before children, and a handler that fails gets the same records again. It ends by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kcl_checkpoint::MemoryLeaseStore;
use kcl_core::{ApplicationName, Batch, BoxError, InitialPosition, ShardId, Timestamp, worker::LeaseState};

use crate::{
    builder::Worker,
    config::Config,
    error::{ConfigError, WorkerError},
    function::{BatchOutcome, IntoBatchOutcome},
    handle::{Report, WorkerHandle},
    source::RecordSource,
};

/// Records arrive in a shard roughly in the order of their times: so far beyond the end a shard is read all the same.
const DISORDER: Duration = Duration::from_secs(10);

/// A replay cannot be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The end lies before the beginning.
    #[error("there is nothing from {from} until {until}: the end has to come after the beginning")]
    Empty {
        /// The beginning.
        from: Timestamp,
        /// The end.
        until: Timestamp,
    },
    /// What has not arrived yet cannot be read again.
    #[error("{until} has not come yet: a replay is of what is there; to read on, use a worker")]
    Future {
        /// The end.
        until: Timestamp,
    },
    /// A setting is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The worker of the replay ended before the replay did.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The replay was told to stop.
    #[error("the replay was stopped")]
    Stopped,
}

/// What a replay came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
    /// How many records the handler handled, and how many bytes.
    pub records: u64,
    /// Their data and partition keys, in bytes.
    pub bytes: u64,
    /// How many records of each shard; shards that had none in the range are left out.
    pub shards: BTreeMap<ShardId, u64>,
}

/// Reads a stretch of time of a stream, once, into a handler of its own.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use kcl_core::StreamName;
/// use kcl_runtime::{KinesisSource, replay::Replay, testing::TestWorld};
///
/// let world = TestWorld::new("orders", 2).await;
/// world.put("customer-7", "two apples");
/// tokio::time::sleep(Duration::from_secs(60)).await;
/// let from = world.now();
/// world.put("customer-8", "a pear");
/// tokio::time::sleep(Duration::from_secs(60)).await;
/// let until = world.now();
/// world.put("customer-9", "a plum");
///
/// let seen = world.recorder();
/// let source = KinesisSource::new(world.client(), StreamName::new("orders")?);
/// let replayed = Replay::new(source)
///     .from(from)
///     .until(until)
///     .started_at(world.now())
///     .function(seen.succeed())
///     .await?;
/// assert_eq!((replayed.records, seen.data()), (1, vec!["a pear".to_owned()]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Replay {
    source: Arc<dyn RecordSource>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    config: Config,
    seed: Option<u64>,
    started_at: Option<Timestamp>,
}

impl Replay {
    /// Replays `source`: by default from its oldest record to now.
    #[must_use]
    pub fn new(source: impl RecordSource) -> Self {
        Self {
            source: Arc::new(source),
            from: None,
            until: None,
            config: Config::default(),
            seed: None,
            started_at: None,
        }
    }

    /// Begins with the first record that arrived at or after this time.
    #[must_use]
    pub fn from(mut self, from: Timestamp) -> Self {
        self.from = Some(from);
        self
    }

    /// Ends with the last record that arrived before this time, which must have come.
    #[must_use]
    pub fn until(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }

    /// Sets everything that is data: the memory, the pace, the size of batches. Where to start, the replay knows.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Makes every choice repeatable, as [`WorkerBuilder::seed`](crate::WorkerBuilder::seed).
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// What the wall clock says now, as [`WorkerBuilder::started_at`](crate::WorkerBuilder::started_at).
    #[must_use]
    pub fn started_at(mut self, now: Timestamp) -> Self {
        self.started_at = Some(now);
        self
    }

    /// Runs the replay with an async function, and returns when everything is handled. A batch holds records of the range only,
    /// and is delivered again if it fails, for ever: the function decides what it gives up.
    ///
    /// # Errors
    /// If the range is none, or the stream cannot be read.
    pub async fn function<F, R>(self, function: F) -> Result<Replayed, ReplayError>
    where
        F: Fn(Batch) -> R + Send + Sync + 'static,
        R: Future<Output: IntoBatchOutcome + Send> + Send + 'static,
    {
        self.function_until(function, std::future::pending()).await
    }

    /// As [`function`](Self::function), unless `stopped` ends first: then the batches under way are finished, and what is left
    /// is not read.
    ///
    /// # Errors
    /// If the range is none, the stream cannot be read, or the replay was stopped.
    pub async fn function_until<F, R>(
        self,
        function: F,
        stopped: impl Future<Output = ()>,
    ) -> Result<Replayed, ReplayError>
    where
        F: Fn(Batch) -> R + Send + Sync + 'static,
        R: Future<Output: IntoBatchOutcome + Send> + Send + 'static,
    {
        let now = crate::clock::Clock::start(self.started_at).wall();
        let until = self.until.unwrap_or(now);
        if until > now {
            return Err(ReplayError::Future { until });
        }
        if let Some(from) = self.from.filter(|from| *from >= until) {
            return Err(ReplayError::Empty { from, until });
        }
        let mut config = self.config;
        config.initial_position = self
            .from
            .map_or(InitialPosition::TrimHorizon, InitialPosition::AtTimestamp);
        let tally = Tally {
            from: self.from,
            until,
            counts: Arc::default(),
        };
        let application = ApplicationName::new("replay").expect("a short name of letters is one");
        let builder = Worker::of_source(application, self.source, Arc::new(MemoryLeaseStore::new()));
        let builder = self
            .seed
            .into_iter()
            .fold(builder.config(config), |builder, seed| builder.seed(seed));
        let builder = self
            .started_at
            .into_iter()
            .fold(builder, |builder, now| builder.started_at(now));
        let (counting, function) = (tally.clone(), Arc::new(function));
        let worker = builder
            .function(move |batch: Batch| {
                let (tally, function) = (counting.clone(), Arc::clone(&function));
                async move { tally.handle(batch, &*function).await }
            })
            .build()?;
        let handle = worker.handle();
        let mut running = std::pin::pin!(worker.run());
        let finished = tokio::select! {
            biased;
            ended = &mut running => return Err(ended.err().map_or(ReplayError::Stopped, ReplayError::Worker)),
            () = tally.complete(&handle) => true,
            () = stopped => false,
        };
        let (ended, ()) = tokio::join!(running, handle.shutdown());
        // A lease of a table that nobody else sees need not be given back.
        if let Err(failure @ WorkerError::Failed(_)) = ended {
            return Err(failure.into());
        }
        if finished {
            Ok(tally.lock().replayed.clone())
        } else {
            Err(ReplayError::Stopped)
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    replayed: Replayed,
    /// Shards that were read beyond the end.
    passed: BTreeSet<ShardId>,
}

/// What is counted, and when it is enough.
#[derive(Clone)]
struct Tally {
    from: Option<Timestamp>,
    until: Timestamp,
    counts: Arc<Mutex<Counts>>,
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tally")
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles the part of a batch that is in the range.
    async fn handle<F, R>(&self, batch: Batch, function: &F) -> Result<BatchOutcome, BoxError>
    where
        F: Fn(Batch) -> R,
        R: Future<Output: IntoBatchOutcome + Send>,
    {
        let (until, beyond) = (self.until, self.until.saturating_add(DISORDER));
        let arrivals = |at: &kcl_core::Record| at.approximate_arrival_timestamp;
        let passes = batch.iter().any(|record| arrivals(record) >= beyond);
        let is_wanted = |record: &&kcl_core::Record| {
            arrivals(record) < until && self.from.is_none_or(|from| arrivals(record) >= from)
        };
        let records: Vec<_> = batch.iter().filter(is_wanted).cloned().collect();
        let shard = batch.shard().clone();
        if !records.is_empty() {
            let wanted = Batch::new(batch.stream().clone(), shard.clone(), records)
                .with_millis_behind_latest(batch.millis_behind_latest());
            let outcome = function(wanted.clone()).await.into_batch_outcome()?;
            let failed = outcome.clone().indices(&wanted)?;
            let first = failed.into_iter().min().unwrap_or(wanted.len());
            let (handled, rest) = wanted.split_at(first);
            let mut counts = self.lock();
            counts.replayed.records += handled.len() as u64;
            counts.replayed.bytes += handled.size() as u64;
            *counts.replayed.shards.entry(shard.clone()).or_default() += handled.len() as u64;
            if !rest.is_empty() {
                return Ok(outcome);
            }
        }
        if passes {
            self.lock().passed.insert(shard);
        }
        Ok(BatchOutcome::success())
    }

    /// Ends when every shard is read to its end, to its tip, or beyond the end of the range. Those beyond it rest until then:
    /// their children have nothing of the range.
    async fn complete(&self, handle: &WorkerHandle) {
        let mut rested = BTreeSet::new();
        loop {
            let news = |report: &Report| {
                let passed = self.lock().passed.clone();
                self.is_complete(report, &passed) || !passed.is_subset(&rested)
            };
            let Some(report) = handle.wait_until(news).await else {
                return std::future::pending().await;
            };
            let passed = self.lock().passed.clone();
            if self.is_complete(&report, &passed) {
                return;
            }
            for shard in passed {
                if rested.insert(shard.clone()) {
                    handle.pause(shard).await;
                }
            }
        }
    }

    fn is_complete(&self, report: &Report, passed: &BTreeSet<ShardId>) -> bool {
        let leases = &report.worker.leases;
        let done = |lease: &kcl_core::worker::LeaseStatus| match lease.state {
            LeaseState::Finished => true,
            // What follows a shard that was read beyond the end came later still.
            LeaseState::WaitingForParents | LeaseState::HeldWaitingForParents => {
                self.follows_passed(report, lease, passed)
            }
            LeaseState::HeldConsuming => {
                let shard = &lease.lease.shard;
                let consumer = report.shards.iter().find(|consumer| consumer.shard == *shard);
                passed.contains(shard) || consumer.is_some_and(|consumer| consumer.status.is_caught_up())
            }
            _ => false,
        };
        !leases.is_empty() && leases.iter().all(done)
    }

    /// Whether every parent that is not finished was read beyond the end, or waits for one that was.
    fn follows_passed(
        &self,
        report: &Report,
        lease: &kcl_core::worker::LeaseStatus,
        passed: &BTreeSet<ShardId>,
    ) -> bool {
        let parents =
            report.worker.leases.iter().filter(|other| {
                lease.lease.parents.contains(&other.lease.shard) && other.state != LeaseState::Finished
            });
        let mut parents = parents.peekable();
        parents.peek().is_some()
            && parents.all(|parent| passed.contains(&parent.lease.shard) || self.follows_passed(report, parent, passed))
    }
}
