//! Enhanced fan-out against the built-in broker, on virtual time.

mod consumers;
mod reading;
mod trouble;

use std::time::Duration;

use kcl_core::{ShardId, fetch::Retrieval, shard::ShardStatus};
use kcl_runtime::{
    RetrievalMode,
    broker::{
        api,
        operations_log::{OperationFilter, Outcome},
    },
    testing::{TestWorker, TestWorld},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

async fn world(shards: u32) -> TestWorld {
    world_of(shards, RetrievalMode::FanOut).await
}

async fn world_of(shards: u32, mode: RetrievalMode) -> TestWorld {
    TestWorld::builder("orders", shards).retrieval_mode(mode).build().await
}

/// How often the service was asked for this, and how often it did it.
fn calls(world: &TestWorld, operation: &str) -> (usize, usize) {
    let entries = world
        .broker()
        .operations()
        .entries(&OperationFilter::default().operation(operation));
    let done = entries.iter().filter(|entry| entry.outcome == Outcome::Ok).count();
    (entries.len(), done)
}

fn stream_arn(world: &TestWorld) -> String {
    let broker = world.broker().untroubled();
    let summary = broker
        .call(api::DescribeStreamSummary::new(world.stream().as_str()))
        .expect("the stream is there");
    summary.stream.stream_arn
}

fn register(world: &TestWorld, name: &str) -> String {
    let request = api::RegisterStreamConsumer::new(stream_arn(world), name);
    let registered = world.broker().untroubled().call(request);
    registered.expect("there is room for it").consumer.consumer_arn
}

async fn status_of(worker: &TestWorker, shard: &ShardId) -> ShardStatus {
    let report = worker.report().await;
    let shard = report.shards.into_iter().find(|report| report.shard == *shard);
    shard.expect("the worker holds the shard").status
}

async fn until_read_by(worker: &TestWorker, retrieval: Retrieval) {
    let what = format!("every shard is read by {retrieval}");
    worker
        .until(&what, |report| {
            let reads = |status: &ShardStatus| {
                status.retrieval == retrieval && status.fallback.is_none() && status.is_caught_up()
            };
            !report.shards.is_empty() && report.shards.iter().all(|shard| reads(&shard.status))
        })
        .await;
}

/// The records, put in order under one key, were each handled once and in order.
fn assert_exact(data: &[String], count: usize) {
    let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    assert_eq!(data, expected);
}
