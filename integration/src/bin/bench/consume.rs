//! The consumers that are compared: bare loops over the SDK, and workers. All touch every record's data, so that none can leave
//! it undecoded.

use std::{error::Error, sync::Arc, time::Duration};

use aws_sdk_kinesis::{
    Client,
    error::ProvideErrorMetadata,
    types::{ShardIteratorType, StartingPosition, SubscribeToShardEventStream},
};
use bytes::Bytes;
use integration::bench::now;
use kcl_checkpoint::MemoryLeaseStore;
use kcl_core::{ApplicationName, Batch, StreamName, WorkerId, aggregate::Aggregate};
use kcl_runtime::{Config, KinesisSource, RetrievalMode, Worker};
use tokio::{sync::watch, task::JoinSet};

/// How long a loop leaves a shard alone whose limits it has met.
const THROTTLED: Duration = Duration::from_secs(1);

/// Who reads, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    LoopPolling,
    WorkerPolling,
    LoopFanOut,
    WorkerFanOut,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [
        Self::LoopPolling,
        Self::WorkerPolling,
        Self::LoopFanOut,
        Self::WorkerFanOut,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LoopPolling => "loop-polling",
            Self::WorkerPolling => "worker-polling",
            Self::LoopFanOut => "loop-fan-out",
            Self::WorkerFanOut => "worker-fan-out",
        }
    }
}

/// What is done with a record's data.
pub(crate) type Sink = Arc<dyn Fn(Bytes) + Send + Sync>;

/// How it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) kind: Kind,
    /// From poll to poll while there is more.
    pub(crate) between: Duration,
    /// From poll to poll at the tip of a shard.
    pub(crate) at_tip: Duration,
    /// Whether the loops take aggregates apart. Workers see by themselves what is one.
    pub(crate) aggregated: bool,
    /// The workers' memory budget in MiB, if not the default.
    pub(crate) budget_mib: Option<u64>,
}

/// Reads a stream from its oldest record on, until `stop` says so.
pub(crate) async fn consume(
    manner: Manner,
    client: Client,
    stream: &str,
    sink: Sink,
    stop: watch::Receiver<bool>,
) -> Result<(), Box<dyn Error>> {
    let sink: Sink = match manner.kind {
        Kind::LoopPolling | Kind::LoopFanOut if manner.aggregated => taken_apart(sink),
        _ => sink,
    };
    match manner.kind {
        Kind::LoopPolling => {
            let read = |shard: String| poll(client.clone(), stream.to_owned(), shard, manner, Arc::clone(&sink));
            each_shard(&client, stream, stop, read).await
        }
        Kind::LoopFanOut => {
            let arn = consumer(&client, stream).await?;
            let read = |shard: String| follow(client.clone(), arn.clone(), shard, Arc::clone(&sink));
            each_shard(&client, stream, stop, read).await
        }
        Kind::WorkerPolling => Box::pin(work(RetrievalMode::Polling, client, stream, manner, sink, stop)).await,
        Kind::WorkerFanOut => Box::pin(work(RetrievalMode::FanOut, client, stream, manner, sink, stop)).await,
    }
}

/// Hands on what is in aggregates, with the reader that workers use too.
fn taken_apart(sink: Sink) -> Sink {
    Arc::new(move |data: Bytes| match Aggregate::read(&data) {
        Some(aggregate) => aggregate.for_each(|record| sink(record.data)),
        None => sink(data),
    })
}

/// One task per shard.
async fn each_shard<F>(
    client: &Client,
    stream: &str,
    mut stop: watch::Receiver<bool>,
    read: impl Fn(String) -> F,
) -> Result<(), Box<dyn Error>>
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let shards = client.list_shards().stream_name(stream).send().await?.shards;
    let mut tasks: JoinSet<_> = shards
        .unwrap_or_default()
        .into_iter()
        .map(|shard| read(shard.shard_id))
        .collect();
    tokio::select! {
        ended = tasks.join_next() => match ended {
            Some(ended) => Err(ended?.err().unwrap_or_else(|| "a shard ended".to_owned()).into()),
            None => Err("the stream has no shards".into()),
        },
        stopped = stop.wait_for(|stop| *stop) => Ok(stopped.map(drop)?),
    }
}

/// Asks for the next records as soon as it has the last and the time is up, and again after a second where the limits say no.
async fn poll(client: Client, stream: String, shard: String, manner: Manner, sink: Sink) -> Result<(), String> {
    let open = client.get_shard_iterator().stream_name(stream).shard_id(shard);
    let open = open.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await;
    let mut iterator = open.map_err(|error| error.to_string())?.shard_iterator;
    while let Some(place) = iterator {
        let begun = now();
        let read = client.get_records().shard_iterator(&place).limit(10_000).send().await;
        let read = match read {
            Ok(read) => read,
            Err(error) if error.code() == Some("ProvisionedThroughputExceededException") => {
                tokio::time::sleep(THROTTLED).await;
                iterator = Some(place);
                continue;
            }
            Err(error) => return Err(error.to_string()),
        };
        let at_tip = read.millis_behind_latest == Some(0);
        for record in read.records {
            sink(record.data.into_inner().into());
        }
        let pause = if at_tip { manner.at_tip } else { manner.between };
        tokio::time::sleep(pause.saturating_sub(begun.elapsed())).await;
        iterator = read.next_shard_iterator;
    }
    Ok(())
}

/// Takes events as they come.
async fn follow(client: Client, consumer: String, shard: String, sink: Sink) -> Result<(), String> {
    let start = StartingPosition::builder()
        .r#type(ShardIteratorType::TrimHorizon)
        .build();
    let request = client.subscribe_to_shard().consumer_arn(consumer).shard_id(shard);
    let request = request.starting_position(start.map_err(|error| error.to_string())?);
    let mut events = request.send().await.map_err(|error| error.to_string())?.event_stream;
    while let Some(event) = events.recv().await.map_err(|error| error.to_string())? {
        if let SubscribeToShardEventStream::SubscribeToShardEvent(event) = event {
            for record in event.records {
                sink(record.data.into_inner().into());
            }
        }
    }
    Ok(())
}

/// A consumer of this process's own, as the worker has one.
async fn consumer(client: &Client, stream: &str) -> Result<String, Box<dyn Error>> {
    let summary = client.describe_stream_summary().stream_name(stream).send().await?;
    let arn = summary.stream_description_summary.ok_or("no stream")?.stream_arn;
    let registered = client
        .register_stream_consumer()
        .stream_arn(arn)
        .consumer_name(format!("loop-{}", std::process::id()));
    let registered = registered.send().await?.consumer.ok_or("no consumer")?;
    Ok(registered.consumer_arn)
}

/// A worker with these pauses between polls; everything else as by default.
async fn work(
    mode: RetrievalMode,
    client: Client,
    stream: &str,
    manner: Manner,
    sink: Sink,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    config.idle_time_between_reads = manner.between;
    config.idle_time_at_tip = manner.at_tip;
    if let Some(mib) = manner.budget_mib {
        config.memory_budget = mib << 20;
    }
    config.retrieval_mode = mode;
    let source = KinesisSource::new(client, StreamName::new(stream)?);
    let store = Arc::new(MemoryLeaseStore::new());
    let worker = Worker::builder(ApplicationName::new("bench")?, source, store)
        .worker_id(WorkerId::new("bench")?)
        .config(config)
        .function(move |batch: Batch| {
            for record in &batch {
                sink(record.data.clone());
            }
            async {}
        })
        .build()?;
    worker
        .run_until(async move {
            // Whoever stops it lives as long as this.
            let _ = stop.wait_for(|stop| *stop).await;
        })
        .await?;
    Ok(())
}
