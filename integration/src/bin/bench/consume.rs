//! The two consumers that are compared. Both touch every record's data, so that neither can leave it undecoded.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_kinesis::{Client, types::ShardIteratorType};
use kcl_checkpoint::MemoryLeaseStore;
use kcl_core::{ApplicationName, Batch, StreamName, WorkerId};
use kcl_runtime::{Config, KinesisSource, Worker};
use tokio::task::JoinSet;

/// One task per shard, asking for the next records as soon as it has the last.
pub(crate) async fn with_loop(client: Client, stream: &str, records: usize) -> Result<usize, Box<dyn Error>> {
    let seen = Arc::new(AtomicUsize::new(0));
    let sum = Arc::new(AtomicU64::new(0));
    let shards = client
        .list_shards()
        .stream_name(stream)
        .send()
        .await?
        .shards
        .unwrap_or_default();
    let mut tasks = JoinSet::new();
    for shard in shards {
        let (client, stream, seen, sum) = (client.clone(), stream.to_owned(), Arc::clone(&seen), Arc::clone(&sum));
        tasks.spawn(async move {
            let open = client.get_shard_iterator().stream_name(stream).shard_id(shard.shard_id);
            let open = open
                .shard_iterator_type(ShardIteratorType::TrimHorizon)
                .send()
                .await
                .map_err(Box::new);
            let mut iterator = open.map_err(|error| error.to_string())?.shard_iterator;
            while seen.load(Ordering::Relaxed) < records {
                let Some(place) = iterator else { break };
                let read = client.get_records().shard_iterator(place).limit(10_000).send().await;
                let read = read.map_err(|error| error.to_string())?;
                if read.records.is_empty() {
                    break;
                }
                let touched = read.records.iter().map(|record| touch(record.data.as_ref())).sum();
                sum.fetch_add(touched, Ordering::Relaxed);
                seen.fetch_add(read.records.len(), Ordering::Relaxed);
                iterator = read.next_shard_iterator;
            }
            Ok::<_, String>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(seen.load(Ordering::Relaxed))
}

/// A worker without pauses between reads; everything else as by default.
pub(crate) async fn with_worker(client: Client, stream: &str, records: usize) -> Result<usize, Box<dyn Error>> {
    let seen = Arc::new(AtomicUsize::new(0));
    let sum = Arc::new(AtomicU64::new(0));
    let mut config = Config::default();
    config.idle_time_between_reads = Duration::ZERO;
    config.idle_time_at_tip = Duration::from_millis(20);
    let source = KinesisSource::new(client, StreamName::new(stream)?);
    let (counted, summed) = (Arc::clone(&seen), Arc::clone(&sum));
    let (done, finished) = tokio::sync::watch::channel(false);
    let worker = Worker::builder(
        ApplicationName::new("bench")?,
        source,
        Arc::new(MemoryLeaseStore::new()),
    )
    .worker_id(WorkerId::new("bench")?)
    .config(config)
    .function(move |batch: Batch| {
        let touched = batch.iter().map(|record| touch(&record.data)).sum();
        summed.fetch_add(touched, Ordering::Relaxed);
        if counted.fetch_add(batch.len(), Ordering::Relaxed) + batch.len() >= records {
            done.send_replace(true);
        }
        async {}
    })
    .build()?;
    let mut finished = finished;
    worker
        .run_until(async move {
            // The sender lives in the worker, which runs as long as this waits.
            let _ = finished.wait_for(|done| *done).await;
        })
        .await?;
    Ok(seen.load(Ordering::Relaxed))
}

fn touch(data: &[u8]) -> u64 {
    data.first().map_or(0, |byte| u64::from(*byte))
}
