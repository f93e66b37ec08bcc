//! The same test on every kind of lease table.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryPartition},
};
use integration::World;
use kcl_checkpoint::{DynamoDbLeaseStore, SqliteConfig, SqliteLeaseStore};
use kcl_core::ApplicationName;
use tempfile::TempDir;

/// Retry tokens are shared by all clients of a process unless each has a partition of its own.
static PARTITIONS: AtomicU64 = AtomicU64::new(0);

/// Worlds with the same stream, whose lease tables are in memory, in a file, and in DynamoDB. The directory has the file.
pub(crate) async fn worlds(seed: u64, shards: i32) -> (TempDir, Vec<World>) {
    let directory = tempfile::tempdir().unwrap();
    let mut worlds: Vec<World> = (0..3).map(|kind| World::new(seed + kind, shards)).collect();
    let mut config = SqliteConfig::default();
    // Else the clock of the test runs ahead while another thread works.
    config.inline = true;
    let path = directory.path().join("leases.db");
    let application = ApplicationName::new("billing").unwrap();
    let sqlite = SqliteLeaseStore::open_with(path, application, config).await.unwrap();
    worlds[1].store = Arc::new(sqlite);
    let partition = format!("place-{}", PARTITIONS.fetch_add(1, Ordering::Relaxed));
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "world"))
        .endpoint_url("http://dynamodb.local")
        .retry_partition(RetryPartition::new(partition))
        .time_source(worlds[2].clock)
        .http_client(worlds[2].broker.http_client())
        .build();
    let dynamodb = DynamoDbLeaseStore::open(Client::from_conf(config), "billing").await;
    worlds[2].store = Arc::new(dynamodb.unwrap());
    (directory, worlds)
}
