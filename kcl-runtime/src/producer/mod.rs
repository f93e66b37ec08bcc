//! Writing to a stream: many records in few calls, aggregated by shard, sent again until they are taken.

mod call;
mod measure;
mod task;

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use aws_sdk_kinesis::Client;
use kcl_core::{
    StreamName,
    aggregate::UserRecord,
    producer::{InvalidProducerConfig, InvalidRecord, Placed, ProducerConfig, PutFailure},
};
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use self::measure::describe;
use self::task::{Command, ProducerTask};
use crate::clock::Clock;

/// The most commands that wait for the producer's task; what they hold is bounded by what may be outstanding.
const COMMAND_QUEUE: usize = 1024;

/// Permits for bytes count in pieces of this size, since a semaphore counts no further than 2^32.
const BYTES_PER_PERMIT: usize = 64;

/// Names of metrics, through the `metrics` facade. All carry the label `stream`.
pub mod metrics {
    /// Counter, with the label `outcome` (written, expired, refused): records that are done.
    pub const RECORDS: &str = "kcl_producer_records_total";
    /// Counter, bytes: data and keys of the records that were put.
    pub const BYTES: &str = "kcl_producer_bytes_total";
    /// Counter, with the label `outcome` (answered, failed): calls of `PutRecords`.
    pub const CALLS: &str = "kcl_producer_calls_total";
    /// Histogram, Kinesis records: how many a call held.
    pub const CALL_RECORDS: &str = "kcl_producer_call_records";
    /// Histogram, records: how many user records a call held.
    pub const CALL_USER_RECORDS: &str = "kcl_producer_call_user_records";
    /// Counter, with the label `code` (the service's error code, or WrongShard): records that are sent again.
    pub const AGAIN: &str = "kcl_producer_retried_records_total";
    /// Gauge: records that are accepted and not done.
    pub const OUTSTANDING: &str = "kcl_producer_outstanding_records";
    /// Histogram, seconds: from acceptance to the end, written or not.
    pub const SECONDS: &str = "kcl_producer_record_seconds";
}

/// Writes records to a stream. Clones write through the same producer.
///
/// [`put`](Self::put) accepts a record, waiting while too many are outstanding, and gives a future of where it went. What
/// was accepted is written or comes back as an error; nothing is dropped in silence. Close the producer before the runtime
/// ends.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?.block_on(async {
/// use kcl_core::{StreamName, aggregate::UserRecord};
/// use kcl_runtime::producer::Producer;
/// # let broker = kcl_broker::Broker::new();
/// # let config = aws_sdk_kinesis::Config::builder()
/// #     .behavior_version(aws_sdk_kinesis::config::BehaviorVersion::latest())
/// #     .region(aws_sdk_kinesis::config::Region::new("us-east-1"))
/// #     .credentials_provider(aws_sdk_kinesis::config::Credentials::new("any", "any", None, None, "docs"))
/// #     .endpoint_url("http://kinesis.local")
/// #     .http_client(broker.http_client())
/// #     .build();
/// # let client = aws_sdk_kinesis::Client::from_conf(config);
/// client.create_stream().stream_name("rides").shard_count(2).send().await?;
///
/// let producer = Producer::builder(client, StreamName::new("rides")?).build()?;
/// let left = producer.put(UserRecord::new("taxi-7", "left")).await?;
/// let arrived = producer.put(UserRecord::new("taxi-7", "arrived")).await?;
/// let (left, arrived) = (left.await?, arrived.await?);
/// assert_eq!(left.shard, arrived.shard);
///
/// producer.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Producer {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
}

struct Shared {
    config: ProducerConfig,
    stream: StreamName,
    records: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// A producer that is being put together.
#[derive(Debug)]
pub struct ProducerBuilder {
    client: Client,
    stream: StreamName,
    config: ProducerConfig,
    call_timeout: Duration,
    seed: Option<u64>,
}

/// A record was not accepted, or not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// The service would refuse it.
    #[error(transparent)]
    Invalid(#[from] InvalidRecord),
    /// It was accepted and not written.
    #[error(transparent)]
    Failed(#[from] PutFailure),
    /// The producer is closed, or its runtime is gone.
    #[error("the producer is closed: whether the record was written is not known")]
    Closed,
}

impl Producer {
    /// Begins a producer that writes to `stream` through `client`.
    #[must_use]
    pub fn builder(client: Client, stream: StreamName) -> ProducerBuilder {
        ProducerBuilder {
            client,
            stream,
            config: ProducerConfig::default(),
            call_timeout: Duration::from_secs(30),
            seed: None,
        }
    }

    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &StreamName {
        &self.shared.stream
    }

    /// Accepts a record, once there is room for it. The future that is given back ends when the record is written or given
    /// up; whoever does not care may drop it.
    ///
    /// Records that one task puts one after the other are accepted in that order.
    ///
    /// # Errors
    /// If the service would refuse the record, or the producer is closed.
    pub async fn put(&self, record: UserRecord) -> Result<Putting, PutError> {
        self.shared.config.check(&record)?;
        let pieces = u32::try_from(record.size() / BYTES_PER_PERMIT + 1).unwrap_or(u32::MAX);
        let records = Arc::clone(&self.shared.records).acquire_owned().await;
        let bytes = Arc::clone(&self.shared.bytes).acquire_many_owned(pieces).await;
        let (Ok(records), Ok(bytes)) = (records, bytes) else {
            return Err(PutError::Closed);
        };
        let (answer, answered) = oneshot::channel();
        let command = Command::Put {
            record,
            answer,
            room: (records, bytes),
        };
        self.commands.send(command).await.map_err(|_| PutError::Closed)?;
        Ok(Putting { answered })
    }

    /// Sends everything that was accepted so far without waiting for more to go with it, and returns when it is written or
    /// given up.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.commands.send(Command::Flush { done }).await.is_ok() {
            // A producer that is gone has nothing left to flush.
            let _ = flushed.await;
        }
    }

    /// Accepts nothing more, of clones either, and returns when everything that was accepted is written or given up.
    pub async fn close(self) {
        self.shared.records.close();
        self.flush().await;
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("stream", &self.shared.stream)
            .finish_non_exhaustive()
    }
}

impl ProducerBuilder {
    /// Sets everything that is data.
    #[must_use]
    pub fn config(mut self, config: ProducerConfig) -> Self {
        self.config = config;
        self
    }

    /// How long one call may take, the client's own retries included. 30 s by default.
    #[must_use]
    pub fn call_timeout(mut self, limit: Duration) -> Self {
        self.call_timeout = limit;
        self
    }

    /// Makes every choice repeatable. By default the seed is drawn from the clock.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Starts the producer, on the runtime in which this is called.
    ///
    /// # Errors
    /// If a setting is out of range.
    pub fn build(self) -> Result<Producer, InvalidProducerConfig> {
        self.config.validate()?;
        describe();
        let shared = Shared {
            stream: self.stream.clone(),
            records: Arc::new(Semaphore::new(self.config.max_outstanding_records)),
            // A record may be as large as all that may be outstanding, and takes one piece more than it fills.
            bytes: Arc::new(Semaphore::new(self.config.max_outstanding_bytes / BYTES_PER_PERMIT + 1)),
            config: self.config.clone(),
        };
        let (commands, receiver) = mpsc::channel(COMMAND_QUEUE);
        let clock = Clock::start(None);
        let seed = self.seed.unwrap_or_else(|| clock.wall().epoch_millis().unsigned_abs());
        let writer = call::Writer::new(self.client, self.stream, self.call_timeout);
        let task = ProducerTask::new(self.config, seed, clock, writer, receiver);
        drop(tokio::spawn(task.run()));
        Ok(Producer {
            commands,
            shared: Arc::new(shared),
        })
    }
}

/// The future of a record: where it is in the stream, or why it is not.
#[derive(Debug)]
#[must_use = "dropping it is fine, but says nothing about failures"]
pub struct Putting {
    answered: oneshot::Receiver<Result<Placed, PutFailure>>,
}

impl Future for Putting {
    type Output = Result<Placed, PutError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answered).poll(context).map(|answer| match answer {
            Ok(result) => result.map_err(PutError::Failed),
            Err(_) => Err(PutError::Closed),
        })
    }
}
