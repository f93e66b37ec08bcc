//! Putting a worker with a stream of deliveries together.

use std::time::Duration;

use kcl_core::shard::{CheckpointPolicy, Lanes};

use crate::{
    builder::{Worker, WorkerBuilder},
    deliveries::{Deliveries, deliveries},
    error::ConfigError,
};

/// How many records of a shard are given out at once unless something else is asked for.
const WINDOW: usize = 100;

/// A worker that gives records out as a stream.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?.block_on(async {
/// use std::{sync::Arc, time::Duration};
/// use kcl_checkpoint::MemoryLeaseStore;
/// use kcl_core::{ApplicationName, StreamName};
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
/// # client.create_stream().stream_name("orders").shard_count(2).send().await?;
/// # for (key, data) in [("anna", "one"), ("bert", "two"), ("anna", "three")] {
/// #     let data = aws_sdk_kinesis::primitives::Blob::new(data);
/// #     client.put_record().stream_name("orders").partition_key(key).data(data).send().await?;
/// # }
/// let source = KinesisSource::new(client, StreamName::new("orders")?);
/// let (worker, mut deliveries) =
///     Worker::builder(ApplicationName::new("billing")?, source, Arc::new(MemoryLeaseStore::new()))
///         .stream()
///         .key_order()
///         .build()?;
/// let handle = worker.handle();
/// let running = tokio::spawn(worker.run());
///
/// let mut handled = 0;
/// while let Some(delivery) = deliveries.next().await {
///     if delivery.record().partition_key == "anna" && delivery.attempt() == 1 {
///         // Her next record waits for this one.
///         delivery.nack(Duration::from_secs(5))?;
///         continue;
///     }
///     println!("{} bytes of {}", delivery.record().data.len(), delivery.shard());
///     delivery.ack()?;
///     handled += 1;
///     if handled == 3 {
///         handle.shutdown().await;
///     }
/// }
/// running.await??;
/// # assert_eq!(handled, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StreamWorkerBuilder {
    builder: WorkerBuilder,
    window: usize,
    key_order: bool,
    policy: CheckpointPolicy,
}

impl StreamWorkerBuilder {
    pub(crate) fn new(builder: WorkerBuilder) -> Self {
        Self {
            builder,
            window: WINDOW,
            key_order: false,
            policy: CheckpointPolicy::default(),
        }
    }

    /// Gives out at most so many records of a shard before they are answered. 100 by default.
    ///
    /// [`Config::lane_window`](crate::Config::lane_window) says how far the shard goes on beyond a record that is not
    /// acknowledged.
    #[must_use]
    pub fn window(mut self, records: usize) -> Self {
        self.window = records;
        self
    }

    /// Gives a record out only when those of the same partition key before it are acknowledged. Without this, records
    /// come in the order of their shard, except that those that come again come later.
    #[must_use]
    pub fn key_order(mut self) -> Self {
        self.key_order = true;
        self
    }

    /// As [`FunctionWorkerBuilder::checkpoint_interval`](crate::FunctionWorkerBuilder::checkpoint_interval).
    #[must_use]
    pub fn checkpoint_interval(mut self, at_the_latest: Duration) -> Self {
        if let CheckpointPolicy::Automatic { interval, .. } = &mut self.policy {
            *interval = at_the_latest;
        }
        self
    }

    /// As [`FunctionWorkerBuilder::checkpoint_records`](crate::FunctionWorkerBuilder::checkpoint_records).
    #[must_use]
    pub fn checkpoint_records(mut self, at_the_latest: u64) -> Self {
        if let CheckpointPolicy::Automatic { records, .. } = &mut self.policy {
            *records = at_the_latest;
        }
        self
    }

    /// Makes the worker and its stream. The worker has to [run](Worker::run) for records to come.
    ///
    /// # Errors
    /// If a setting is out of range, or lanes are set besides.
    pub fn build(mut self) -> Result<(Worker, Deliveries), ConfigError> {
        let lanes = self.builder.config.lanes;
        if lanes != Lanes::One {
            return Err(ConfigError::LanesWithStream { lanes });
        }
        let calls = self.window;
        self.builder.config.lanes = if self.key_order {
            Lanes::PerKey { calls }
        } else {
            Lanes::PerRecord { calls }
        };
        // Every record is answered by itself.
        self.builder.config.batch_size = 1;
        let (deliveries, factory, dropped) = deliveries();
        let mut worker = self.builder.build(factory, self.policy)?;
        worker.abandoned = Some(dropped);
        Ok((worker, deliveries))
    }
}
