//! The lease table at size: what a worker takes that holds a thousand leases, and how long a scan of ten thousand takes.

use std::{error::Error, sync::Arc, time::Duration};

use aws_sdk_dynamodb::{
    Client as DynamoDb, Config,
    config::{BehaviorVersion, Credentials, Region},
};
use futures::{StreamExt, TryStreamExt, stream};
use integration::bench::{client, now, own_cpu_seconds, own_peak_mib};
use kcl_checkpoint::DynamoDbLeaseStore;
use kcl_core::{ApplicationName, Batch, Lease, LeaseStore, Position, ShardId, StreamName};
use kcl_runtime::{KinesisSource, Worker};

/// A client of the broker's DynamoDB.
fn dynamodb(endpoint: &str) -> DynamoDb {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "bench"))
        .endpoint_url(endpoint)
        .build();
    DynamoDb::from_conf(config)
}

const STREAM: &str = "wide";

/// How long the worker is watched while it holds everything and has nothing to do.
const IDLE: Duration = Duration::from_secs(20);

/// A worker that holds every lease of a stream with `shards` shards: how long until it does, and what it takes then.
pub(crate) async fn hold(endpoint: &str, shards: i32) -> Result<(), Box<dyn Error>> {
    let kinesis = client(endpoint);
    kinesis
        .create_stream()
        .stream_name(STREAM)
        .shard_count(shards)
        .send()
        .await?;
    let store = Arc::new(DynamoDbLeaseStore::open(dynamodb(endpoint), "wide").await?);
    let source = KinesisSource::new(kinesis, StreamName::new(STREAM)?);
    let started = now();
    let worker = Worker::builder(ApplicationName::new("wide")?, source, store)
        .function(|_: Batch| async {})
        .build()?;
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    let wanted = usize::try_from(shards)?;
    handle
        .wait_until(|report| report.shards.len() == wanted && report.is_idle())
        .await
        .ok_or("the worker ended")?;
    let taken = started.elapsed();
    let cpu = own_cpu_seconds()?;
    tokio::time::sleep(IDLE).await;
    let busy = (own_cpu_seconds()? - cpu) / IDLE.as_secs_f64();
    println!("a worker with {shards} leases of a quiet stream");
    println!("  all held and read to the tip after {:>8.1} s", taken.as_secs_f64());
    println!("  peak resident memory               {:>8.1} MiB", own_peak_mib()?);
    println!("  CPU while idle                     {:>8.2} s/s", busy);
    let stopping = now();
    handle.shutdown().await;
    running.await??;
    println!(
        "  all given back after               {:>8.1} s",
        stopping.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Scans of a table with `leases` rows.
pub(crate) async fn scan(endpoint: &str, leases: usize) -> Result<(), Box<dyn Error>> {
    let client: DynamoDb = dynamodb(endpoint);
    let store = DynamoDbLeaseStore::open(client, "long").await?;
    let rows: Vec<Lease> = (0..leases)
        .map(|number| {
            Ok(Lease::new(
                ShardId::new(format!("shardId-{number:012}"))?,
                Position::TrimHorizon,
            ))
        })
        .collect::<Result<_, kcl_core::InvalidId>>()?;
    let store = &store;
    stream::iter(rows.iter().map(|row| async move { store.create(row).await.map(drop) }))
        .buffer_unordered(16)
        .try_collect::<()>()
        .await?;
    let mut times = Vec::new();
    for _ in 0..7 {
        let started = now();
        let listing = store.list().await?;
        if listing.leases.len() != leases {
            return Err(format!("a scan gave {} rows of {leases}", listing.leases.len()).into());
        }
        times.push(started.elapsed());
    }
    times.sort();
    println!("a table with {leases} leases");
    println!(
        "  a scan, median of 7                {:>8.0} ms",
        times[3].as_secs_f64() * 1e3
    );
    Ok(())
}
