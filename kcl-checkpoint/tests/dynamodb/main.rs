//! The store in DynamoDB, against the built-in broker: the promises of every store, and what is its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod beside;
mod doors;
mod layouts;
mod migration;
mod publish;
mod rows;
mod tables;
mod trouble;

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU32, Ordering},
};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType},
};
use doors::{Network, client_of};
use kcl_broker::Broker;
use kcl_checkpoint::{
    DynamoDbConfig, DynamoDbLeaseStore,
    conformance::{self, Table},
};
use kcl_core::{Lease, Position, ShardId, WorkerId};

fn shard(number: u32) -> ShardId {
    ShardId::new(format!("shardId-{number:012}")).unwrap()
}

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

fn lease(number: u32) -> Lease {
    Lease::new(shard(number), Position::TrimHorizon)
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

#[expect(clippy::needless_pass_by_value, reason = "numbers are passed as they are")]
fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

type Item = HashMap<String, AttributeValue>;

/// The tables in which Java keeps what is no lease, beside the one that these tests use.
const COORDINATOR: &str = "billing-CoordinatorState";
const METRICS: &str = "billing-WorkerMetricStats";

/// Makes a table whose key is this text.
async fn make_table(client: &Client, table: &str, key: &str) {
    let part = KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash);
    let definition = AttributeDefinition::builder()
        .attribute_name(key)
        .attribute_type(ScalarAttributeType::S);
    let create = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(part.build().unwrap())
        .attribute_definitions(definition.build().unwrap());
    create.send().await.unwrap();
}

async fn put_row(client: &Client, table: &str, (key, value): (&str, &str), attributes: &[(&str, AttributeValue)]) {
    let put = client.put_item().table_name(table).item(key, text(value));
    let put = attributes
        .iter()
        .fold(put, |put, (name, value)| put.item(*name, value.clone()));
    put.send().await.unwrap();
}

async fn rows(client: &Client, table: &str) -> Vec<Item> {
    client.scan().table_name(table).send().await.unwrap().items.unwrap()
}

/// Checks every promise, each on a table of its own that two workers open at the same time.
async fn keeps_every_promise(client: impl Fn() -> Client, config: DynamoDbConfig) {
    let next = AtomicU32::new(0);
    let kept = conformance::run_all(|| {
        let table = format!("promise-{}", next.fetch_add(1, Ordering::Relaxed));
        let first = DynamoDbLeaseStore::open_with(client(), table.clone(), config.clone());
        let second = DynamoDbLeaseStore::open_with(client(), table, config.clone());
        async move {
            let (first, second) = tokio::join!(first, second);
            Ok(Table::new(first?, second?))
        }
    })
    .await;
    kept.unwrap_or_else(|violations| panic!("{violations}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn given_a_broker_over_http_when_the_suite_runs_then_every_promise_is_kept() {
    let network = Network::start().await;
    keeps_every_promise(|| network.client(), DynamoDbConfig::default()).await;
    network.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn given_scans_in_parts_and_an_index_when_the_suite_runs_then_every_promise_is_kept() {
    let broker = Broker::new();
    let mut config = DynamoDbConfig::default();
    config.scan_segments = Some(7);
    config.owner_index = true;
    keeps_every_promise(|| client_of(&broker), config).await;
}
