//! On real time: a lease table in a SQLite file that two workers share, and the broker over HTTP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::Path, sync::Arc, time::Duration};

use aws_sdk_kinesis::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
};
use integration::{Running, WorkerSpec, World, held, shard_id};
use kcl_broker::Server;
use kcl_checkpoint::SqliteLeaseStore;
use kcl_core::{ApplicationName, Batch, WorkerId};
use kcl_runtime::{Config, KinesisSource, Worker};

/// Quick enough for a test that waits for real.
fn lively(config: &mut Config) {
    config.failover_time = Duration::from_millis(1_500);
    config.scan_interval = Some(Duration::from_millis(100));
    config.idle_time_between_reads = Duration::from_millis(10);
    config.idle_time_at_tip = Duration::from_millis(20);
}

async fn sharing(world: &World, name: &str, file: &Path) -> WorkerSpec {
    let store = SqliteLeaseStore::open(file, ApplicationName::new("billing").unwrap())
        .await
        .unwrap();
    world.worker(name).store(store).config(lively)
}

#[tokio::test]
async fn two_workers_share_a_sqlite_file_through_a_split_a_crash_and_a_clean_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("leases.db");
    let world = World::new(141, 4);
    let one = sharing(&world, "one", &file).await.checkpoint_records(1).logging();
    let two = sharing(&world, "two", &file).await.checkpoint_records(1).logging();
    one.until(|report| held(report) == 2).await;
    two.until(|report| held(report) == 2).await;
    world.put(100);
    world.log.complete(100).await;
    world.split(&shard_id(1));
    world.put(100);
    world.log.complete(200).await;

    one.crash().await;
    world.put(100);
    world.log.complete(300).await;
    two.until(|report| held(report) == 5).await;
    two.idle().await;
    two.stop().await.unwrap();
    let replayed = world.log.replays();

    let three = sharing(&world, "three", &file).await.logging();
    world.put(50);
    world.log.complete(350).await;
    three.stop().await.unwrap();
    assert_eq!(world.log.replays(), replayed, "a clean hand-over replays nothing");
    world.log.assert_ordered();
    world.log.assert_parents_before_children(&world.shards());
}

/// A worker that goes to the broker over the network.
fn over_http(world: &World, server: &Server, name: &str) -> Running {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "world"))
        .endpoint_url(server.endpoint_url())
        .build();
    let source = KinesisSource::new(Client::from_conf(config), world.stream.clone());
    let mut config = Config::default();
    lively(&mut config);
    let (log, worker) = (world.log.clone(), name.to_owned());
    let worker = Worker::builder(
        ApplicationName::new("billing").unwrap(),
        source,
        Arc::clone(&world.store),
    )
    .worker_id(WorkerId::new(name).unwrap())
    .config(config)
    .function(move |batch: Batch| {
        log.note(&worker, &batch);
        async {}
    })
    .build()
    .unwrap();
    Running::start(worker)
}

#[tokio::test]
async fn over_http_a_broker_that_goes_away_and_comes_back_costs_no_record_and_no_replay() {
    let world = World::new(142, 2);
    let server = Server::bind(world.broker.clone(), ([127, 0, 0, 1], 0)).await.unwrap();
    let address = server.local_addr();
    let worker = over_http(&world, &server, "one");
    world.put(50);
    world.log.complete(50).await;
    worker.idle().await;

    server.shutdown().await;
    world.put(50);
    worker
        .until(|report| {
            report
                .shards
                .iter()
                .all(|shard| shard.status.waiting.to_string().contains("service"))
        })
        .await;
    let server = Server::bind(world.broker.clone(), address).await.unwrap();
    world.log.complete(100).await;
    worker.idle().await;
    worker.stop().await.unwrap();
    server.shutdown().await;
    assert_eq!(world.log.replays(), 0);
    world.log.assert_ordered();
}
