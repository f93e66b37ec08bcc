//! The consumers that are compared: bare loops over the SDK, and workers. All touch every record's data, so that none can leave
//! it undecoded.

use std::{error::Error, sync::Arc, time::Duration};

use aws_sdk_kinesis::{
    Client,
    types::{ShardIteratorType, StartingPosition, SubscribeToShardEventStream},
};
use kcl_checkpoint::MemoryLeaseStore;
use kcl_core::{ApplicationName, Batch, StreamName, WorkerId};
use kcl_runtime::{Config, KinesisSource, RetrievalMode, Worker};
use tokio::{sync::watch, task::JoinSet};

/// The consumer of the loops in fan-out; the worker registers its own.
const CONSUMER: &str = "loop";

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
pub(crate) type Sink = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Reads a stream from its oldest record on, until `stop` says so. Whoever polls waits `idle` at the tip of a shard.
pub(crate) async fn consume(
    kind: Kind,
    client: Client,
    stream: &str,
    idle: Duration,
    sink: Sink,
    stop: watch::Receiver<bool>,
) -> Result<(), Box<dyn Error>> {
    match kind {
        Kind::LoopPolling => {
            let read = |shard: String| poll(client.clone(), stream.to_owned(), shard, idle, Arc::clone(&sink));
            each_shard(&client, stream, stop, read).await
        }
        Kind::LoopFanOut => {
            let arn = consumer(&client, stream).await?;
            let read = |shard: String| follow(client.clone(), arn.clone(), shard, Arc::clone(&sink));
            each_shard(&client, stream, stop, read).await
        }
        Kind::WorkerPolling => Box::pin(work(RetrievalMode::Polling, client, stream, idle, sink, stop)).await,
        Kind::WorkerFanOut => Box::pin(work(RetrievalMode::FanOut, client, stream, idle, sink, stop)).await,
    }
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

/// Asks for the next records as soon as it has the last, and waits at the tip.
async fn poll(client: Client, stream: String, shard: String, idle: Duration, sink: Sink) -> Result<(), String> {
    let open = client.get_shard_iterator().stream_name(stream).shard_id(shard);
    let open = open.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await;
    let mut iterator = open.map_err(|error| error.to_string())?.shard_iterator;
    while let Some(place) = iterator {
        let read = client.get_records().shard_iterator(place).limit(10_000).send().await;
        let read = read.map_err(|error| error.to_string())?;
        for record in &read.records {
            sink(record.data.as_ref());
        }
        if read.millis_behind_latest == Some(0) {
            tokio::time::sleep(idle).await;
        }
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
            for record in &event.records {
                sink(record.data.as_ref());
            }
        }
    }
    Ok(())
}

async fn consumer(client: &Client, stream: &str) -> Result<String, Box<dyn Error>> {
    let summary = client.describe_stream_summary().stream_name(stream).send().await?;
    let arn = summary.stream_description_summary.ok_or("no stream")?.stream_arn;
    let registered = client
        .register_stream_consumer()
        .stream_arn(arn)
        .consumer_name(CONSUMER);
    let registered = registered.send().await?.consumer.ok_or("no consumer")?;
    Ok(registered.consumer_arn)
}

/// A worker without pauses between polls while there is more; everything else as by default.
async fn work(
    mode: RetrievalMode,
    client: Client,
    stream: &str,
    idle: Duration,
    sink: Sink,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    config.idle_time_between_reads = Duration::ZERO;
    config.idle_time_at_tip = idle;
    config.retrieval_mode = mode;
    let source = KinesisSource::new(client, StreamName::new(stream)?);
    let store = Arc::new(MemoryLeaseStore::new());
    let worker = Worker::builder(ApplicationName::new("bench")?, source, store)
        .worker_id(WorkerId::new("bench")?)
        .config(config)
        .function(move |batch: Batch| {
            for record in &batch {
                sink(&record.data);
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
