//! How long a record takes from `PutRecord` to the event of a subscription.

use std::time::Duration;

use aws_sdk_kinesis::{
    Client,
    primitives::Blob,
    types::{ConsumerStatus, ShardIteratorType, StartingPosition, SubscribeToShardEventStream},
};
use integration::bench::now;
use tokio::sync::mpsc;

use crate::Failure;

const PAUSE: Duration = Duration::from_millis(5);
/// A record that takes longer is lost for this purpose.
const PATIENCE: Duration = Duration::from_secs(10);

/// p50 and p99 in milliseconds, of records put one after the other into the first shard.
pub(crate) async fn latency(sdk: &Client, stream: &str, arn: &str, count: usize) -> Result<(f64, f64), Failure> {
    let consumer = register(sdk, arn).await?;
    let position = StartingPosition::builder().r#type(ShardIteratorType::Latest).build()?;
    let subscribed = sdk
        .subscribe_to_shard()
        .consumer_arn(&consumer)
        .shard_id("shardId-000000000000")
        .starting_position(position)
        .send()
        .await?;
    let mut events = subscribed.event_stream;
    let (seen, mut arrivals) = mpsc::channel(16);
    let reader = tokio::spawn(async move {
        while let Ok(Some(event)) = events.recv().await {
            if let SubscribeToShardEventStream::SubscribeToShardEvent(event) = event {
                for record in event.records() {
                    if seen.send((record.sequence_number().to_owned(), now())).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    let mut millis = Vec::with_capacity(count);
    for round in 0..count {
        let started = now();
        let put = sdk
            .put_record()
            .stream_name(stream)
            .partition_key("latency")
            .explicit_hash_key("0")
            .data(Blob::new(vec![b'x'; 100]))
            .send()
            .await?;
        let (number, at) = tokio::time::timeout(PATIENCE, arrivals.recv())
            .await
            .map_err(|_| format!("record {round} did not come within {PATIENCE:?}"))?
            .ok_or("the subscription ended")?;
        if number != put.sequence_number() {
            return Err("another record came first".into());
        }
        millis.push((at - started).as_secs_f64() * 1000.0);
        tokio::time::sleep(PAUSE).await;
    }
    reader.abort();
    millis.sort_by(f64::total_cmp);
    Ok((millis[count / 2], millis[count * 99 / 100]))
}

async fn register(sdk: &Client, arn: &str) -> Result<String, Failure> {
    let registered = sdk
        .register_stream_consumer()
        .stream_arn(arn)
        .consumer_name("bench")
        .send()
        .await?;
    let consumer = registered.consumer.ok_or("no consumer")?.consumer_arn;
    for _ in 0..200 {
        let described = sdk.describe_stream_consumer().consumer_arn(&consumer).send().await?;
        let active = |status: &ConsumerStatus| *status == ConsumerStatus::Active;
        if described
            .consumer_description
            .is_some_and(|described| active(&described.consumer_status))
        {
            return Ok(consumer);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("the consumer does not become active".into())
}
