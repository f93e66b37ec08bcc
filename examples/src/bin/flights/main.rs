//! A fleet consumes a week of flights.
//!
//! Everything runs in this process, over real HTTP: the built-in broker, a producer that puts every flight that left New
//! York in the first week of 2013, and two workers that share the stream's shards through a SQLite file. While they run,
//! one shard is split, two others are merged, and one of the workers stops. At the end the program checks that nothing
//! was lost or out of order, and prints what the flights say.

mod audit;
mod data;
mod display;
mod fleet;

use std::{error::Error, process::ExitCode, sync::Arc, time::Duration};

use aws_sdk_kinesis::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
};
use kcl_broker::{Broker, Server};

use crate::{audit::Audit, data::Flight, display::Display, fleet::Fleet};

const STREAM: &str = "flights";
const SHARDS: i32 = 4;
/// Flights per PutRecords call, and the pause between two calls: slow enough to watch.
const FLIGHTS_PER_CALL: usize = 100;
const PAUSE: Duration = Duration::from_millis(60);
/// Long enough for a slow machine; the run itself takes a few seconds.
const DEADLINE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let flights = data::flights()?;
    let server = Server::bind(Broker::new(), ([127, 0, 0, 1], 0)).await?;
    println!("broker on {}", server.endpoint_url());
    let client = client(&server.endpoint_url());
    client
        .create_stream()
        .stream_name(STREAM)
        .shard_count(SHARDS)
        .send()
        .await?;
    let folder = tempfile::tempdir()?;
    let leases = folder.path().join("leases.db");
    println!("stream {STREAM} with {SHARDS} shards, leases in {}", leases.display());

    let audit = Arc::new(Audit::new(flights.len()));
    let display = Display::new(flights.len() as u64);
    let fleet = Fleet::new(client.clone(), &leases, Arc::clone(&audit), display.clone());
    let one = fleet.start("worker-1").await?;
    let two = fleet.start("worker-2").await?;

    let produced = produce(&client, &flights, &display, one);
    tokio::time::timeout(DEADLINE, async {
        produced.await?;
        audit.all_handled().await;
        two.stop().await
    })
    .await
    .map_err(|_| {
        format!(
            "after {} s there are still flights that nobody handled",
            DEADLINE.as_secs()
        )
    })??;
    display.finish();

    let shards = client
        .list_shards()
        .stream_name(STREAM)
        .send()
        .await?
        .shards
        .unwrap_or_default();
    let summary = audit.check(&flights, &shards)?;
    println!("{}", data::table(&flights, &audit.handled_once()));
    println!("{summary}");
    server.shutdown().await;
    Ok(())
}

/// Puts all flights, and meanwhile splits, merges, and stops the first worker.
async fn produce(
    client: &Client,
    flights: &[Flight],
    display: &Display,
    first_worker: fleet::Running,
) -> Result<(), Box<dyn Error>> {
    let calls = flights.len().div_ceil(FLIGHTS_PER_CALL);
    let mut first_worker = Some(first_worker);
    for (call, chunk) in flights.chunks(FLIGHTS_PER_CALL).enumerate() {
        data::put(client, STREAM, chunk).await?;
        display.put(chunk.len() as u64);
        if call == calls / 4 {
            display.say("splitting shardId-000000000000");
            data::split(client, STREAM, "shardId-000000000000").await?;
        } else if call == calls / 3 {
            display.say("merging shardId-000000000002 and shardId-000000000003");
            let merge = client
                .merge_shards()
                .stream_name(STREAM)
                .shard_to_merge("shardId-000000000002");
            merge.adjacent_shard_to_merge("shardId-000000000003").send().await?;
        } else if call == calls / 2
            && let Some(worker) = first_worker.take()
        {
            display.say("stopping worker-1");
            worker.stop().await?;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// A client for a broker on this machine: any credentials do.
fn client(endpoint: &str) -> Client {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "flights"))
        .endpoint_url(endpoint)
        .build();
    Client::from_conf(config)
}
