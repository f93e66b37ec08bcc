//! [`Broker`]: the handle that everything else stands on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::{Duration, SystemTime},
};

use kcl_core::Timestamp;

use crate::{
    api::{ApiError, SubscribeToShard},
    attempt::Attempt,
    cloudwatch::Metrics,
    dynamodb::{Tables, TablesConfig},
    engine::{Engine, EngineConfig, Limits, Operation, Quirk, Step, SubscriptionId},
    local::LocalHttpClient,
    operations_log::Operations,
    subscription::Subscription,
    trouble::Trouble,
    wire::RequestIds,
};

/// How many calls the log of operations keeps unless one says otherwise.
const OPERATIONS_MAX: usize = 10_000;

/// How many data points of metrics are kept unless one says otherwise.
const METRIC_DATA_MAX: usize = 100_000;

type WallClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A broker: all streams of one account, in memory. Clones are handles to the same streams.
///
/// Three doors lead in: [`Broker::call`] with typed requests, [`Broker::http_client`] for an AWS SDK in the same process,
/// and [`Server`](crate::Server) for everybody else.
///
/// ```
/// use kcl_broker::{Broker, api::{CreateStream, GetRecords, GetShardIterator, PutRecord}};
///
/// let broker = Broker::new();
/// broker.call(CreateStream::new("rides", 1))?;
/// broker.call(PutRecord::new("rides", "taxi-7", "from A to B"))?;
///
/// let opened = broker.call(GetShardIterator::trim_horizon("rides", "shardId-000000000000"))?;
/// let read = broker.call(GetRecords::new(opened.shard_iterator))?;
/// assert_eq!(read.records[0].data, "from A to B");
/// # Ok::<(), kcl_broker::ApiError>(())
/// ```
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
    /// Whether calls of this handle meet no faults and leave no trace.
    is_untroubled: bool,
}

struct Shared {
    engine: Mutex<Engine>,
    /// Who waits for which subscription. Locked after the engine, if both are.
    readers: Mutex<BTreeMap<SubscriptionId, Waker>>,
    /// Never locked together with the engine.
    tables: Mutex<Tables>,
    /// Never locked together with the engine.
    metrics: Mutex<Metrics>,
    clock: WallClock,
    request_ids: RequestIds,
    trouble: Trouble,
    operations: Operations,
}

impl Broker {
    /// A broker with defaults, on the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A broker with choices.
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder::default()
    }

    /// Carries out one operation.
    ///
    /// # Errors
    /// As the service has it for the operation, and as [`trouble`](Self::trouble) wants it. Then nothing has changed.
    pub fn call<O: Operation>(&self, operation: O) -> Result<O::Output, ApiError> {
        Attempt::typed(self, &operation).carry_out(operation)
    }

    /// The faults that clients meet.
    #[must_use]
    pub fn trouble(&self) -> &Trouble {
        &self.shared.trouble
    }

    /// The log of what clients called.
    #[must_use]
    pub fn operations(&self) -> &Operations {
        &self.shared.operations
    }

    /// A handle to the same streams whose calls meet no faults and are not logged: for a test that looks at what is there.
    ///
    /// ```
    /// use kcl_broker::{Broker, api::ListStreams, trouble::Fault};
    ///
    /// let broker = Broker::new();
    /// broker.trouble().add(Fault::internal_error())?;
    /// broker.call(ListStreams::default()).unwrap_err();
    /// broker.untroubled().call(ListStreams::default())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn untroubled(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            is_untroubled: true,
        }
    }

    /// Whether there is anything that wants to know of calls.
    pub(crate) fn is_watched(&self) -> bool {
        !self.is_untroubled && (self.shared.operations.is_on() || self.shared.trouble.is_planned())
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.shared.clock)()
    }

    /// The shards that a request is about.
    pub(crate) fn shards_of<O: Operation>(&self, request: &O) -> Vec<String> {
        request.shards(&self.shared.engine.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has the engine carry out one operation, with what is to go wrong; gives the time at which it did.
    pub(crate) fn execute<O: Operation>(
        &self,
        operation: O,
        quirk: Option<Quirk>,
    ) -> (Timestamp, Result<O::Output, ApiError>) {
        // The clock is read under the lock: then the engine sees times in the order in which it is called.
        let mut engine = self.shared.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.shared.clock)();
        let answer = match quirk {
            None => engine.call(now, operation),
            Some(quirk) => engine.call_with(now, operation, quirk),
        };
        let woken = engine.take_woken();
        drop(engine);
        self.wake(&woken);
        (now, answer)
    }

    /// Lets a registered consumer follow a shard: what [`SubscribeToShard`] is for those who need no HTTP.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), kcl_broker::ApiError> {
    /// use kcl_broker::{Broker, api::{CreateStream, PutRecord, RegisterStreamConsumer, StartingPosition, SubscribeToShard}};
    ///
    /// let broker = Broker::new();
    /// broker.call(CreateStream::new("rides", 1))?;
    /// let stream = "arn:aws:kinesis:us-east-1:000000000000:stream/rides";
    /// let consumer = broker.call(RegisterStreamConsumer::new(stream, "billing"))?.consumer.consumer_arn;
    ///
    /// let first = StartingPosition::trim_horizon();
    /// let mut rides = broker.subscribe(SubscribeToShard::new(consumer, "shardId-000000000000", first))?;
    /// broker.call(PutRecord::new("rides", "taxi-7", "from A to B"))?;
    /// if let Some(event) = rides.next().await {
    ///     assert_eq!(event?.records[0].data, "from A to B");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As the service has it for the operation.
    pub fn subscribe(&self, subscribe: SubscribeToShard) -> Result<Subscription, ApiError> {
        let attempt = Attempt::typed(self, &subscribe);
        let effect = attempt.effect().cloned();
        let id = attempt.carry_out(subscribe)?;
        Ok(Subscription::new(self.clone(), id, effect.as_ref()))
    }

    /// The subscription's next step and the time of it. If it is to wait, `waker` is woken when there is something.
    pub(crate) fn poll_subscription(&self, id: SubscriptionId, waker: &Waker) -> (Timestamp, Step) {
        let mut engine = self.shared.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.shared.clock)();
        let step = engine.poll_subscription(now, id);
        if matches!(step, Step::Idle { .. }) {
            let mut readers = self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner);
            readers.insert(id, waker.clone());
        }
        // A change whose time has come may have been found by this reader first.
        let woken = engine.take_woken();
        drop(engine);
        self.wake(&woken);
        (now, step)
    }

    fn wake(&self, woken: &BTreeSet<SubscriptionId>) {
        if woken.is_empty() {
            return;
        }
        let mut readers = self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let wakers: Vec<_> = woken.iter().filter_map(|id| readers.remove(id)).collect();
        drop(readers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Forgets a subscription whose reader is gone.
    pub(crate) fn end_subscription(&self, id: SubscriptionId) {
        let mut engine = self.shared.engine.lock().unwrap_or_else(PoisonError::into_inner);
        engine.cancel_subscription(id);
        drop(engine);
        let mut readers = self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.remove(&id);
    }

    /// An HTTP client for an AWS SDK, which comes here without a socket whatever endpoint the SDK is given.
    ///
    /// It needs no runtime of its own, and waits only between the events of a subscription, on tokio's timer, so that it
    /// works with paused time.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), aws_sdk_kinesis::Error> {
    /// use aws_sdk_kinesis::{
    ///     Client, Config,
    ///     config::{BehaviorVersion, Credentials, Region},
    /// };
    /// use kcl_broker::Broker;
    ///
    /// let broker = Broker::new();
    /// let config = Config::builder()
    ///     .behavior_version(BehaviorVersion::v2026_01_12())
    ///     .region(Region::new("us-east-1"))
    ///     .credentials_provider(Credentials::new("any", "any", None, None, "local"))
    ///     .http_client(broker.http_client())
    ///     .build();
    /// let client = Client::from_conf(config);
    /// client.create_stream().stream_name("rides").shard_count(1).send().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn http_client(&self) -> LocalHttpClient {
        LocalHttpClient::new(self.clone())
    }

    /// The bytes that the records of all streams take, as they count against the limit.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.shared
            .engine
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stored_bytes()
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.shared.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn metrics(&self) -> MutexGuard<'_, Metrics> {
        self.shared.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn request_ids(&self) -> &RequestIds {
        &self.shared.request_ids
    }
}

impl Default for Broker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

/// Makes a [`Broker`] with choices.
///
/// ```
/// use std::{sync::{Arc, atomic::{AtomicI64, Ordering}}, time::Duration};
/// use kcl_broker::Broker;
/// use kcl_core::Timestamp;
///
/// let millis = Arc::new(AtomicI64::new(1_357_034_400_000));
/// let clock = Arc::clone(&millis);
/// let broker = Broker::builder()
///     .clock(Arc::new(move || Timestamp::from_epoch_millis(clock.load(Ordering::Relaxed))))
///     .retention(Duration::from_secs(3600))
///     .build();
/// # assert_eq!(broker.stored_bytes(), 0);
/// ```
#[must_use]
#[derive(Clone, Default)]
pub struct BrokerBuilder {
    config: EngineConfig,
    clock: Option<WallClock>,
    seed: u64,
    operations_max: Option<usize>,
    table_bytes_max: Option<usize>,
    metric_data_max: Option<usize>,
}

impl BrokerBuilder {
    /// Replaces everything that can be chosen about the engine.
    pub fn config(mut self, config: EngineConfig) -> Self {
        self.config = config;
        self
    }

    /// How long records are kept.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.config.retention = retention;
        self
    }

    /// How long streams, consumers and tables take to change from one state to another. By default they change at once.
    pub fn transition(mut self, transition: Duration) -> Self {
        self.config.transition = transition;
        self
    }

    /// The most bytes that all records may take.
    pub fn stored_bytes_max(mut self, bytes: u64) -> Self {
        self.config.stored_bytes_max = bytes;
        self
    }

    /// The most bytes that the items and indexes of all tables of DynamoDB may take: 1 GiB by default.
    pub fn table_bytes_max(mut self, bytes: usize) -> Self {
        self.table_bytes_max = Some(bytes);
        self
    }

    /// How many data points of CloudWatch are kept: 100,000 by default, in at most 64 MiB. The oldest are dropped first.
    pub fn metric_data_max(mut self, points: usize) -> Self {
        self.metric_data_max = Some(points);
        self
    }

    /// Whether the limits of the service's throughput hold. By default they do not.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// What tells the time. The default is the system's clock.
    ///
    /// It is called with the broker locked, and must not call the broker.
    pub fn clock(mut self, clock: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// How many calls the log of operations keeps: 10,000 by default, which take a few megabytes. With 0 nothing is logged.
    pub fn operations_max(mut self, operations: usize) -> Self {
        self.operations_max = Some(operations);
        self
    }

    /// What the ids of responses are made from.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes the broker.
    #[must_use]
    pub fn build(self) -> Broker {
        let defaults = TablesConfig::default();
        let tables = TablesConfig {
            account: self.config.account.clone(),
            region: self.config.region.clone(),
            stored_bytes_max: self.table_bytes_max.unwrap_or(defaults.stored_bytes_max),
            transition: self.config.transition,
        };
        Broker {
            shared: Arc::new(Shared {
                engine: Mutex::new(Engine::new(self.config)),
                tables: Mutex::new(Tables::new(tables)),
                metrics: Mutex::new(Metrics::new(self.metric_data_max.unwrap_or(METRIC_DATA_MAX))),
                clock: self.clock.unwrap_or_else(|| Arc::new(system_time)),
                readers: Mutex::new(BTreeMap::new()),
                request_ids: RequestIds::new(self.seed),
                trouble: Trouble::default(),
                operations: Operations::new(self.operations_max.unwrap_or(OPERATIONS_MAX)),
            }),
            is_untroubled: false,
        }
    }
}

impl fmt::Debug for BrokerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerBuilder")
            .field("config", &self.config)
            .field("seed", &self.seed)
            .field("operations_max", &self.operations_max)
            .field("table_bytes_max", &self.table_bytes_max)
            .field("metric_data_max", &self.metric_data_max)
            .finish_non_exhaustive()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the default of the clock that callers can replace"
)]
fn system_time() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_epoch_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
