//! Putting a worker together: [`Worker`] and its builders.

use std::{fmt, sync::Arc, time::Duration};

use kcl_core::{
    ApplicationName, Batch, InitialPosition, LeaseStore, Session, Timestamp, WorkerId,
    delivery::DeliverySettings,
    fetch::{RetrievalMode, consumer::ConsumerSelector},
    shard::{CheckpointPolicy, Lanes},
    worker::WorkerMachine,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    batch_handler::{BatchHandler, handler_factory},
    clock::Clock,
    config::Config,
    dead_letter::DeadLetters,
    error::{ConfigError, WorkerError},
    function::{IntoBatchOutcome, function_factory},
    handle::{COMMAND_QUEUE, Command, WorkerHandle},
    kcl_metrics::{KclMetrics, Recorder, Reporter},
    metrics,
    processor::{DynFactory, RecordProcessorFactory, erase},
    source::RecordSource,
    stream_builder::StreamWorkerBuilder,
    streams::{StreamConfig, StreamDefaults, Streams},
    worker_task::{Parts, WorkerTask},
};

/// A start that lies ahead by less than this is taken for a difference of clocks.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// A worker of a fleet: it leases shards, reads them in order, and calls the user's code with what it reads.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?.block_on(async {
/// use std::sync::Arc;
/// use kcl_checkpoint::MemoryLeaseStore;
/// use kcl_core::{ApplicationName, Batch, StreamName, WorkerId};
/// use kcl_runtime::{KinesisSource, Worker};
/// # let broker = kcl_broker::Broker::new();
/// # let config = aws_sdk_kinesis::Config::builder()
/// #     .behavior_version(aws_sdk_kinesis::config::BehaviorVersion::latest())
/// #     .region(aws_sdk_kinesis::config::Region::new("us-east-1"))
/// #     .credentials_provider(aws_sdk_kinesis::config::Credentials::new("any", "any", None, None, "docs"))
/// #     .endpoint_url("http://kinesis.local")
/// #     .http_client(broker.http_client())
/// #     .build();
/// # let client = aws_sdk_kinesis::Client::from_conf(config);
/// client.create_stream().stream_name("orders").shard_count(1).send().await?;
///
/// let source = KinesisSource::new(client, StreamName::new("orders")?);
/// let worker = Worker::builder(ApplicationName::new("billing")?, source, Arc::new(MemoryLeaseStore::new()))
///     .worker_id(WorkerId::new("worker-1")?)
///     .function(|batch: Batch| async move {
///         println!("{} records of {}", batch.len(), batch.shard());
///     })
///     .build()?;
///
/// let handle = worker.handle();
/// let running = tokio::spawn(worker.run());
/// handle.wait_until(|report| report.is_idle()).await;
/// handle.shutdown().await;
/// running.await??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Worker {
    task: WorkerTask,
    handle: WorkerHandle,
    id: WorkerId,
    /// Ends when nobody takes deliveries any more.
    pub(crate) abandoned: Option<CancellationToken>,
    reporter: Option<Reporter>,
}

impl Worker {
    /// Begins a worker of `application` that reads `source` and shares `store` with the rest of its fleet.
    #[must_use]
    pub fn builder(
        application: ApplicationName,
        source: impl RecordSource,
        store: Arc<dyn LeaseStore>,
    ) -> WorkerBuilder {
        WorkerBuilder::new(application, Sources::One(Arc::new(source)), store)
    }

    /// As [`builder`](Self::builder), for a source that is shared already.
    pub(crate) fn of_source(
        application: ApplicationName,
        source: Arc<dyn RecordSource>,
        store: Arc<dyn LeaseStore>,
    ) -> WorkerBuilder {
        WorkerBuilder::new(application, Sources::One(source), store)
    }

    /// Begins a worker of `application` that reads several streams, and shares `store` with the rest of its fleet. The
    /// streams may be of several accounts and regions, and come and go while it runs: see [`WorkerHandle::add_stream`].
    ///
    /// All leases are spread over the fleet together. The rows have another form than those of an application of one stream,
    /// also where there is only one by now.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?.block_on(async {
    /// use std::sync::Arc;
    /// use kcl_checkpoint::MemoryLeaseStore;
    /// use kcl_core::{ApplicationName, Batch, InitialPosition, StreamArn, StreamName};
    /// use kcl_runtime::{KinesisSource, StreamConfig, Worker};
    /// # let broker = kcl_broker::Broker::new();
    /// # let config = aws_sdk_kinesis::Config::builder()
    /// #     .behavior_version(aws_sdk_kinesis::config::BehaviorVersion::latest())
    /// #     .region(aws_sdk_kinesis::config::Region::new("us-east-1"))
    /// #     .credentials_provider(aws_sdk_kinesis::config::Credentials::new("any", "any", None, None, "docs"))
    /// #     .endpoint_url("http://kinesis.local")
    /// #     .http_client(broker.http_client())
    /// #     .build();
    /// # let (ours, theirs) = (aws_sdk_kinesis::Client::from_conf(config.clone()), aws_sdk_kinesis::Client::from_conf(config));
    /// # for stream in ["orders", "invoices"] {
    /// #     ours.create_stream().stream_name(stream).shard_count(1).send().await?;
    /// # }
    /// # let arn = ours.describe_stream_summary().stream_name("invoices").send().await?;
    /// # let arn = arn.stream_description_summary.ok_or("no stream")?.stream_arn;
    /// let orders = KinesisSource::new(ours, StreamName::new("orders")?);
    /// let invoices = KinesisSource::by_arn(theirs, arn.parse::<StreamArn>()?);
    /// let streams = [
    ///     StreamConfig::new(orders),
    ///     StreamConfig::new(invoices).initial_position(InitialPosition::Latest),
    /// ];
    /// let store = Arc::new(MemoryLeaseStore::new());
    /// let worker = Worker::of_streams(ApplicationName::new("billing")?, streams, store)
    ///     .function(|batch: Batch| async move {
    ///         println!("{} records of {}", batch.len(), batch.stream());
    ///     })
    ///     .build()?;
    ///
    /// let handle = worker.handle();
    /// let running = tokio::spawn(worker.run());
    /// handle.wait_until(|report| report.is_idle()).await;
    /// assert_eq!(handle.remove_stream(StreamName::new("invoices")?).await, 1);
    /// handle.shutdown().await;
    /// running.await??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of_streams(
        application: ApplicationName,
        streams: impl IntoIterator<Item = StreamConfig>,
        store: Arc<dyn LeaseStore>,
    ) -> WorkerBuilder {
        let streams = streams.into_iter().collect();
        WorkerBuilder::new(application, Sources::Several(streams), store)
    }

    /// Talks to this worker while it runs.
    #[must_use]
    pub fn handle(&self) -> WorkerHandle {
        self.handle.clone()
    }

    /// The worker's id.
    #[must_use]
    pub fn id(&self) -> &WorkerId {
        &self.id
    }

    /// Runs until [`WorkerHandle::shutdown`] or a failure that trying again cannot mend.
    ///
    /// # Errors
    /// If the worker stopped on its own, or could not give its leases back in time.
    pub async fn run(self) -> Result<(), WorkerError> {
        let stop = CancellationToken::new();
        // Ends with the worker, also with one that is dropped.
        let _stopped = stop.clone().drop_guard();
        let reporting = self.reporter.map(|reporter| tokio::spawn(reporter.run(stop.clone())));
        let mut run = Box::pin(self.task.run());
        let exit = match self.abandoned {
            None => run.await,
            Some(abandoned) => tokio::select! {
                biased;
                exit = &mut run => exit,
                () = abandoned.cancelled() => {
                    self.handle.shutdown().await;
                    run.await
                }
            },
        };
        stop.cancel();
        if let Some(reporting) = reporting {
            // It ends by itself, and what it met it has told.
            let _ = reporting.await;
        }
        if let Some(failure) = exit.failure {
            return Err(failure.into());
        }
        if exit.unreleased.is_empty() {
            Ok(())
        } else {
            Err(WorkerError::Unreleased {
                leases: exit.unreleased,
            })
        }
    }

    /// Runs until `signal` ends, then shuts down cleanly; see [`shutdown_signal`](crate::shutdown_signal).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_until(self, signal: impl Future<Output = ()>) -> Result<(), WorkerError> {
        let handle = self.handle();
        let mut run = std::pin::pin!(self.run());
        tokio::select! {
            biased;
            result = &mut run => return result,
            () = signal => handle.shutdown().await,
        }
        run.await
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Where a worker reads.
#[derive(Debug)]
enum Sources {
    One(Arc<dyn RecordSource>),
    Several(Vec<StreamConfig>),
}

/// A worker whose handler is not chosen yet.
#[derive(Debug)]
pub struct WorkerBuilder {
    application: ApplicationName,
    sources: Sources,
    store: Arc<dyn LeaseStore>,
    pub(crate) config: Config,
    retrieval_mode: Option<RetrievalMode>,
    worker: Option<WorkerId>,
    seed: Option<u64>,
    started_at: Option<Timestamp>,
    kcl_metrics: Option<KclMetrics>,
    delivery: Option<DeliverySettings>,
    dead_letters: Option<Arc<dyn DeadLetters>>,
}

impl WorkerBuilder {
    fn new(application: ApplicationName, sources: Sources, store: Arc<dyn LeaseStore>) -> Self {
        Self {
            application,
            sources,
            store,
            config: Config::default(),
            retrieval_mode: None,
            worker: None,
            seed: None,
            started_at: None,
            kcl_metrics: None,
            delivery: None,
            dead_letters: None,
        }
    }

    /// Names the worker. Workers that run at the same time must not share a name; one that is started again under its
    /// old name resumes its leases at once. By default a name is drawn.
    #[must_use]
    pub fn worker_id(mut self, worker: WorkerId) -> Self {
        self.worker = Some(worker);
        self
    }

    /// Sets everything that is data.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Changes what is data.
    pub fn configure(&mut self, change: impl FnOnce(&mut Config)) -> &mut Self {
        change(&mut self.config);
        self
    }

    /// Reads shards like this, whatever the [`Config`] says.
    #[must_use]
    pub fn retrieval_mode(mut self, mode: RetrievalMode) -> Self {
        self.retrieval_mode = Some(mode);
        self
    }

    /// Makes every choice of the worker repeatable. By default the seed is drawn from the clock.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// What the wall clock says now; it goes on with tokio's timer. By default the system's clock is asked.
    ///
    /// For tests under paused time, where the system's clock stands still while hours pass: give the time of the
    /// simulated service, so that lives of a worker are told apart and arrival times mean something.
    #[must_use]
    pub fn started_at(mut self, now: Timestamp) -> Self {
        self.started_at = Some(now);
        self
    }

    /// Emits KCL's own metrics, beside those of [`metrics`](crate::metrics). By default none.
    #[must_use]
    pub fn kcl_metrics(mut self, metrics: KclMetrics) -> Self {
        self.kcl_metrics = Some(metrics);
        self
    }

    /// Handles batches with an async function. What it handled is checkpointed by the runtime.
    #[must_use]
    pub fn function<F, R>(self, function: F) -> FunctionWorkerBuilder
    where
        F: Fn(Batch) -> R + Send + Sync + 'static,
        R: Future<Output: IntoBatchOutcome> + Send + 'static,
    {
        self.checkpointed(function_factory(function), false)
    }

    /// Gives records out as a stream, and waits for an answer to each. What was acknowledged is checkpointed by the
    /// runtime.
    #[must_use]
    pub fn stream(self) -> StreamWorkerBuilder {
        StreamWorkerBuilder::new(self)
    }

    /// Handles batches with a processor per shard, which checkpoints itself through the
    /// [`Checkpointer`](crate::Checkpointer) that it gets.
    #[must_use]
    pub fn processor(self, factory: impl RecordProcessorFactory) -> ProcessorWorkerBuilder {
        ProcessorWorkerBuilder {
            builder: self,
            factory: erase(factory),
        }
    }

    /// Handles batches with a runtime for others' functions; see [`BatchHandler`]. What it handled is checkpointed by this one.
    #[must_use]
    pub fn handler(self, handler: impl BatchHandler) -> FunctionWorkerBuilder {
        self.checkpointed(handler_factory(handler), true)
    }

    fn checkpointed(self, factory: DynFactory, knows_windows: bool) -> FunctionWorkerBuilder {
        let CheckpointPolicy::Automatic { interval, records } = CheckpointPolicy::default() else {
            unreachable!("the default policy is automatic")
        };
        FunctionWorkerBuilder {
            builder: self,
            factory,
            knows_windows,
            interval,
            records,
        }
    }

    pub(crate) fn build(self, factory: DynFactory, checkpoint: CheckpointPolicy) -> Result<Worker, ConfigError> {
        self.config.validate()?;
        let policy = self.delivery.as_ref().map(|settings| settings.policy);
        if policy.is_some_and(|policy| policy.discards()) && self.dead_letters.is_none() {
            return Err(ConfigError::NoDeadLetters);
        }
        metrics::describe();
        let clock = Clock::start(self.started_at);
        check_start(&clock, Some(self.config.initial_position))?;
        let one = match &self.sources {
            Sources::One(source) => Some(source.stream().clone()),
            Sources::Several(streams) => {
                for stream in streams {
                    check_start(&clock, stream.initial_position)?;
                }
                None
            }
        };
        let started = u64::try_from(clock.wall().epoch_millis()).unwrap_or_default();
        let seed = self
            .seed
            .unwrap_or_else(|| started ^ u64::from(std::process::id()).rotate_left(40));
        let mut rng = fastrand::Rng::with_seed(seed);
        let id = match self.worker {
            Some(id) => id,
            None => WorkerId::new(format!("worker-{:016x}", rng.u64(..))).expect("a drawn name is a valid one"),
        };
        // Later lives have larger sessions; the lowest bits tell lives of the same millisecond apart.
        let session = Session((started << 16) | u64::from(rng.u16(..)));
        let machine = WorkerMachine::new(self.config.worker(id.clone(), session, one), clock.now(), rng.u64(..));
        let (commands, receiver) = mpsc::channel::<Command>(COMMAND_QUEUE);
        let changes = Arc::new(watch::Sender::new(0));
        let handle = WorkerHandle {
            commands,
            changes: Arc::clone(&changes),
        };
        let defaults = StreamDefaults {
            initial_position: self.config.initial_position,
            retrieval_mode: self.retrieval_mode.unwrap_or(self.config.retrieval_mode),
            consumer: self
                .config
                .consumer
                .clone()
                .unwrap_or_else(|| ConsumerSelector::of_application(&self.application)),
            interval: self.config.shard_sync_interval,
        };
        let streams = match self.sources {
            Sources::One(source) => Streams::one(source, defaults),
            Sources::Several(several) => {
                let mut streams = Streams::several(defaults, rng.u64(..));
                for stream in several {
                    // The worker tells its machine which are known by now when it begins to run.
                    let _ = streams.add(clock.now(), stream);
                }
                streams
            }
        };
        let recorder = match &self.kcl_metrics {
            Some(metrics) => Recorder::new(metrics, &id),
            None => Recorder::default(),
        };
        let reporter = self.kcl_metrics.filter(|_| recorder.is_on());
        let reporter = reporter.map(|metrics| Reporter::new(metrics, &self.application, recorder.clone(), clock));
        let task = WorkerTask::new(Parts {
            application: self.application,
            kcl_metrics: recorder,
            machine,
            shard_config: self.config.shard(checkpoint),
            delivery: self.delivery,
            dead_letters: self.dead_letters,
            streams,
            store: self.store,
            factory,
            clock,
            memory_budget: self.config.memory_budget,
            seed: rng.u64(..),
            commands: receiver,
            changes,
        });
        Ok(Worker {
            task,
            handle,
            id,
            abandoned: None,
            reporter,
        })
    }
}

/// The service starts at no time in the future.
fn check_start(clock: &Clock, position: Option<InitialPosition>) -> Result<(), ConfigError> {
    match position {
        Some(InitialPosition::AtTimestamp(at)) if at > clock.wall().saturating_add(CLOCKS_DIFFER) => {
            Err(ConfigError::OutOfRange {
                setting: "initial_position",
                value: at.to_string(),
                rule: "the service starts at no time in the future; use LATEST",
            })
        }
        _ => Ok(()),
    }
}

/// A worker that handles batches with a function.
pub struct FunctionWorkerBuilder {
    builder: WorkerBuilder,
    factory: DynFactory,
    /// Whether what handles batches is told of tumbling windows, and can return their state.
    knows_windows: bool,
    interval: Duration,
    records: u64,
}

impl FunctionWorkerBuilder {
    /// Lets several calls work on one shard at once; see [`Config::lanes`](crate::Config::lanes).
    #[must_use]
    pub fn lanes(mut self, lanes: Lanes) -> Self {
        self.builder.config.lanes = lanes;
        self
    }

    /// Delivers by rules: batching windows, retry budgets, bisection, age limits, filters. What they give up goes to the
    /// [dead letters](Self::dead_letters).
    #[must_use]
    pub fn delivery(mut self, settings: DeliverySettings) -> Self {
        self.builder.delivery = Some(settings);
        self
    }

    /// Who keeps the records that are given up. Rules that give records up need one.
    #[must_use]
    pub fn dead_letters(mut self, letters: Arc<dyn DeadLetters>) -> Self {
        self.builder.dead_letters = Some(letters);
        self
    }

    /// Checkpoints at the latest so long after a record was handled. 5 s by default; every renewal of a lease, a third
    /// of the failover time, carries a checkpoint too.
    #[must_use]
    pub fn checkpoint_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Checkpoints at the latest when so many records of a shard were handled. 10,000 by default; 1 checkpoints after
    /// every batch.
    #[must_use]
    pub fn checkpoint_records(mut self, records: u64) -> Self {
        self.records = records;
        self
    }

    /// Makes the worker.
    ///
    /// # Errors
    /// If a setting is out of range, or settings do not go together: see [`ConfigError`].
    pub fn build(self) -> Result<Worker, ConfigError> {
        let delivery = self.builder.delivery.as_ref();
        if delivery.is_some_and(|settings| settings.policy.tumbling_window.is_some()) {
            if !self.knows_windows {
                let with = "a function that is given batches alone";
                return Err(ConfigError::NoWindows { with });
            }
            if self.builder.config.lanes != Lanes::One {
                let with = "a shard with several lanes";
                return Err(ConfigError::NoWindows { with });
            }
        }
        let policy = CheckpointPolicy::Automatic {
            interval: self.interval,
            records: self.records,
        };
        self.builder.build(self.factory, policy)
    }
}

impl fmt::Debug for FunctionWorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionWorkerBuilder")
            .field("builder", &self.builder)
            .finish_non_exhaustive()
    }
}

/// A worker that handles batches with a processor per shard.
pub struct ProcessorWorkerBuilder {
    builder: WorkerBuilder,
    factory: DynFactory,
}

impl ProcessorWorkerBuilder {
    /// Makes the worker.
    ///
    /// # Errors
    /// If a setting is out of range, or asks for lanes: a processor is called one batch at a time.
    pub fn build(self) -> Result<Worker, ConfigError> {
        let lanes = self.builder.config.lanes;
        if lanes != Lanes::One {
            return Err(ConfigError::LanesWithProcessor { lanes });
        }
        self.builder.build(self.factory, CheckpointPolicy::Manual)
    }
}

impl fmt::Debug for ProcessorWorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessorWorkerBuilder")
            .field("builder", &self.builder)
            .finish_non_exhaustive()
    }
}
