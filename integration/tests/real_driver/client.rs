//! The AWS SDK's client, with nothing of the outside in it.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_kinesis::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryPartition},
};
use integration::{TroubledLink, WorldClock};

/// Retry tokens are shared by all clients of a process unless each has a partition of its own.
static PARTITIONS: AtomicU64 = AtomicU64::new(0);

pub(crate) fn client(link: TroubledLink, clock: WorldClock) -> Client {
    let partition = format!("real-driver-{}", PARTITIONS.fetch_add(1, Ordering::Relaxed));
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "world"))
        .endpoint_url("http://kinesis.local")
        .retry_partition(RetryPartition::new(partition))
        .time_source(clock)
        .http_client(link)
        .build();
    Client::from_conf(config)
}
