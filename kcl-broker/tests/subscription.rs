//! Subscriptions on virtual time: the broker's clock is tokio's, and tokio's stands still while anybody works.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use aws_sdk_kinesis::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
    types::{self, ShardIteratorType},
};
use kcl_broker::{
    Broker, ErrorKind, Limits, Subscription,
    api::{
        CreateStream, PutRecord, PutRecords, PutRecordsEntry, RegisterStreamConsumer, SplitShard, StartingPosition,
        SubscribeToShard,
    },
};
use kcl_core::{HashKey, Timestamp};
use tokio::time::Instant;

const STREAM: &str = "rides";
const FIRST: &str = "shardId-000000000000";
const LIFETIME: Duration = Duration::from_mins(5);

#[expect(clippy::disallowed_methods, reason = "this is the clock of these tests")]
fn now() -> Instant {
    Instant::now()
}

/// A broker with a stream of one shard, and the ARN of a consumer.
fn world(limits: Limits) -> (Broker, String) {
    let start = now();
    let clock = move || {
        let millis = i64::try_from(start.elapsed().as_millis()).unwrap();
        Timestamp::from_epoch_millis(1_357_034_400_000 + millis)
    };
    let broker = Broker::builder().clock(Arc::new(clock)).limits(limits).build();
    broker.call(CreateStream::new(STREAM, 1)).unwrap();
    let stream = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}");
    let registered = broker.call(RegisterStreamConsumer::new(stream, "billing")).unwrap();
    (broker, registered.consumer.consumer_arn)
}

fn subscribe(broker: &Broker, consumer: &str, start: StartingPosition) -> Subscription {
    broker.subscribe(SubscribeToShard::new(consumer, FIRST, start)).unwrap()
}

fn put(broker: &Broker, data: &'static str) {
    broker.call(PutRecord::new(STREAM, "key", data)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_quiet_subscription_says_so_every_second_and_ends_after_five_minutes() {
    let (broker, consumer) = world(Limits::Off);
    let start = now();
    let mut subscription = subscribe(&broker, &consumer, StartingPosition::latest());
    let mut times = Vec::new();
    while let Some(event) = subscription.next().await {
        assert!(event.unwrap().records.is_empty());
        times.push(start.elapsed());
    }
    assert_eq!(times, (0..300).map(Duration::from_secs).collect::<Vec<_>>());
    assert_eq!(start.elapsed(), LIFETIME);
    assert!(subscription.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_record_is_given_at_the_very_time_at_which_it_is_written() {
    let (broker, consumer) = world(Limits::Off);
    let start = now();
    let mut subscription = subscribe(&broker, &consumer, StartingPosition::latest());
    let reader = tokio::spawn(async move {
        let mut given = Vec::new();
        while let Some(event) = subscription.next().await {
            let event = event.unwrap();
            let data = event
                .records
                .iter()
                .map(|record| (start.elapsed(), record.data.clone()));
            given.extend(data);
        }
        given
    });
    let mut written = Vec::new();
    for (pause, data) in [(10, "a"), (333, "b"), (4_321, "c"), (1, "d")] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        put(&broker, data);
        written.push((start.elapsed(), data.into()));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    broker.call(SplitShard::new(STREAM, FIRST, HashKey(1 << 127))).unwrap();
    assert_eq!(reader.await.unwrap(), written);
    assert_eq!(start.elapsed(), Duration::from_millis(10 + 333 + 4_321 + 1 + 500));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_from_the_engine_before_the_reader_wants_it() {
    let (broker, consumer) = world(Limits::Off);
    let mut subscription = subscribe(&broker, &consumer, StartingPosition::latest());
    for _ in 0..100 {
        put(&broker, "data");
    }
    let event = subscription.next().await.unwrap().unwrap();
    assert_eq!(event.records.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn who_is_taken_over_while_waiting_is_told_at_once() {
    let (broker, consumer) = world(Limits::Off);
    let start = now();
    let mut old = subscribe(&broker, &consumer, StartingPosition::latest());
    let old = tokio::spawn(async move {
        loop {
            if let Err(error) = old.next().await.unwrap() {
                assert!(old.next().await.is_none());
                return (error.kind(), start.elapsed());
            }
        }
    });
    let takeover = Duration::from_millis(5_500);
    tokio::time::sleep(takeover).await;
    let mut new = subscribe(&broker, &consumer, StartingPosition::latest());
    assert_eq!(old.await.unwrap(), (ErrorKind::ResourceInUse, takeover));
    assert!(new.next().await.unwrap().unwrap().records.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_dropped_loses_no_record() {
    let (broker, consumer) = world(Limits::Off);
    let mut subscription = subscribe(&broker, &consumer, StartingPosition::latest());
    subscription.next().await.unwrap().unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(100), subscription.next()).await;
    assert!(waited.is_err());
    put(&broker, "data");
    let event = subscription.next().await.unwrap().unwrap();
    assert_eq!(event.records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn limits_let_two_mebibytes_a_second_pass() {
    let (broker, consumer) = world(Limits::Aws);
    for _ in 0..20 {
        broker.call(PutRecord::new(STREAM, "key", vec![0; 1_000_000])).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let start = now();
    let mut subscription = subscribe(&broker, &consumer, StartingPosition::trim_horizon());
    let mut count = 0;
    while count < 20 {
        count += subscription.next().await.unwrap().unwrap().records.len();
    }
    // Two at once, and then as many as two mebibytes a second allow.
    let elapsed = start.elapsed().as_secs_f64();
    assert!((8.5..9.0).contains(&elapsed), "{elapsed}");
}

#[tokio::test(start_paused = true)]
async fn an_sdk_gets_all_there_is_and_a_clean_end_after_five_minutes() {
    let (broker, consumer) = world(Limits::Off);
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "test"))
        .endpoint_url("http://broker")
        .http_client(broker.http_client());
    let client = Client::from_conf(config.build());
    let start = now();
    let position = types::StartingPosition::builder().r#type(ShardIteratorType::Latest);
    let mut subscription = client
        .subscribe_to_shard()
        .consumer_arn(consumer)
        .shard_id(FIRST)
        .starting_position(position.build().unwrap())
        .send()
        .await
        .unwrap();
    let writer = tokio::spawn(async move {
        for _ in 0..1_000 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let records = (0..10).map(|_| PutRecordsEntry::new("key", "data"));
            broker.call(PutRecords::new(STREAM, records)).unwrap();
        }
    });
    let mut count = 0;
    while let Some(event) = subscription.event_stream.recv().await.unwrap() {
        count += event.as_subscribe_to_shard_event().unwrap().records().len();
    }
    writer.await.unwrap();
    assert_eq!(count, 10_000);
    assert_eq!(start.elapsed(), LIFETIME);
}
