//! Enhanced fan-out, as an SDK sees it.

use std::time::Duration;

use aws_sdk_kinesis::{
    error::ProvideErrorMetadata,
    operation::subscribe_to_shard::SubscribeToShardOutput,
    primitives::Blob,
    types::{
        ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream,
        error::SubscribeToShardEventStreamError,
    },
};

use crate::doors::World;

const STREAM: &str = "rides";
const FIRST: &str = "shardId-000000000000";
const TAKEOVER: Duration = Duration::from_secs(5);
const LIFETIME: Duration = Duration::from_mins(5);

/// A stream of one shard with a consumer, whose ARN this gives.
async fn consumer(world: &World) -> String {
    consumer_of(world, 1024).await
}

async fn consumer_of(world: &World, max_record_size_in_kib: i32) -> String {
    let client = world.client();
    client
        .create_stream()
        .stream_name(STREAM)
        .shard_count(1)
        .max_record_size_in_kib(max_record_size_in_kib)
        .send()
        .await
        .unwrap();
    let described = client
        .describe_stream_summary()
        .stream_name(STREAM)
        .send()
        .await
        .unwrap();
    let registered = client
        .register_stream_consumer()
        .stream_arn(described.stream_description_summary().unwrap().stream_arn())
        .consumer_name("billing")
        .send()
        .await
        .unwrap();
    registered.consumer().unwrap().consumer_arn().to_owned()
}

async fn put(world: &World, data: &'static str) -> String {
    let put = world
        .client()
        .put_record()
        .stream_name(STREAM)
        .partition_key("key")
        .data(Blob::new(data))
        .send()
        .await
        .unwrap();
    put.sequence_number().to_owned()
}

fn start(kind: ShardIteratorType) -> StartingPosition {
    StartingPosition::builder().r#type(kind).build().unwrap()
}

fn after(number: &str) -> StartingPosition {
    StartingPosition::builder()
        .r#type(ShardIteratorType::AfterSequenceNumber)
        .sequence_number(number)
        .build()
        .unwrap()
}

async fn subscribe(world: &World, consumer: &str, start: StartingPosition) -> SubscribeToShardOutput {
    world
        .client()
        .subscribe_to_shard()
        .consumer_arn(consumer)
        .shard_id(FIRST)
        .starting_position(start)
        .send()
        .await
        .unwrap()
}

/// The next event, or `None` at the end.
async fn next(subscription: &mut SubscribeToShardOutput) -> Option<SubscribeToShardEvent> {
    match subscription.event_stream.recv().await.unwrap()? {
        SubscribeToShardEventStream::SubscribeToShardEvent(event) => Some(event),
        other => panic!("an event of another kind: {other:?}"),
    }
}

/// The error that the subscription ends with.
async fn failure(subscription: &mut SubscribeToShardOutput) -> SubscribeToShardEventStreamError {
    subscription.event_stream.recv().await.unwrap_err().into_service_error()
}

fn data(event: &SubscribeToShardEvent) -> Vec<&str> {
    event
        .records()
        .iter()
        .map(|record| str::from_utf8(record.data().as_ref()).unwrap())
        .collect()
}

pub(crate) async fn records_come_as_they_are_written(world: &World) {
    let consumer = consumer(world).await;
    put(world, "old").await;
    let mut subscription = subscribe(world, &consumer, start(ShardIteratorType::Latest)).await;
    let first = next(&mut subscription).await.unwrap();
    assert_eq!((first.records().len(), first.millis_behind_latest()), (0, 0));
    for record in ["one", "two", "three"] {
        let number = put(world, record).await;
        let event = next(&mut subscription).await.unwrap();
        assert_eq!(data(&event), [record]);
        assert_eq!(event.records()[0].sequence_number(), number);
        assert_eq!(event.records()[0].partition_key(), Some("key"));
        let arrived = event.records()[0].approximate_arrival_timestamp().unwrap();
        assert_eq!(arrived.to_millis().unwrap(), 1_357_034_400_250);
        assert!(event.continuation_sequence_number() > number.as_str());
        assert!(event.child_shards().is_empty());
    }
}

pub(crate) async fn a_split_ends_a_subscription_and_names_the_children(world: &World) {
    let consumer = consumer(world).await;
    let mut subscription = subscribe(world, &consumer, start(ShardIteratorType::TrimHorizon)).await;
    next(&mut subscription).await.unwrap();
    world
        .client()
        .split_shard()
        .stream_name(STREAM)
        .shard_to_split(FIRST)
        .new_starting_hash_key((1_u128 << 127).to_string())
        .send()
        .await
        .unwrap();
    let last = next(&mut subscription).await.unwrap();
    // Absent on the wire; the SDK makes nothing of it.
    assert_eq!(last.continuation_sequence_number(), "");
    let children: Vec<_> = last.child_shards().iter().map(|child| child.shard_id()).collect();
    assert_eq!(children, ["shardId-000000000001", "shardId-000000000002"]);
    assert!(last.child_shards().iter().all(|child| child.parent_shards() == [FIRST]));
    assert!(next(&mut subscription).await.is_none());
}

pub(crate) async fn another_subscription_takes_over_after_five_seconds(world: &World) {
    let consumer = consumer(world).await;
    let mut old = subscribe(world, &consumer, start(ShardIteratorType::Latest)).await;
    next(&mut old).await.unwrap();
    let refused = world
        .client()
        .subscribe_to_shard()
        .consumer_arn(&consumer)
        .shard_id(FIRST)
        .starting_position(start(ShardIteratorType::Latest))
        .send()
        .await
        .unwrap_err();
    assert!(refused.into_service_error().is_resource_in_use_exception());

    world.pass(TAKEOVER);
    let mut new = subscribe(world, &consumer, start(ShardIteratorType::Latest)).await;
    let error = failure(&mut old).await;
    assert!(error.is_resource_in_use_exception(), "{error:?}");
    assert!(
        error
            .message()
            .unwrap()
            .starts_with("Another active subscription exists")
    );
    next(&mut new).await.unwrap();
    put(world, "data").await;
    assert_eq!(data(&next(&mut new).await.unwrap()), ["data"]);
}

pub(crate) async fn a_subscription_goes_on_exactly_where_the_last_one_was_cut(world: &World) {
    let consumer = consumer(world).await;
    let mut subscription = subscribe(world, &consumer, start(ShardIteratorType::Latest)).await;
    let mut place = next(&mut subscription).await.unwrap().continuation_sequence_number;
    for record in ["one", "two", "three"] {
        drop(subscription);
        put(world, record).await;
        world.pass(TAKEOVER);
        subscription = subscribe(world, &consumer, after(&place)).await;
        let event = next(&mut subscription).await.unwrap();
        assert_eq!(data(&event), [record]);
        place = event.continuation_sequence_number;
    }
}

pub(crate) async fn a_subscription_ends_after_five_minutes(world: &World) {
    let consumer = consumer(world).await;
    let mut subscription = subscribe(world, &consumer, start(ShardIteratorType::Latest)).await;
    let place = next(&mut subscription).await.unwrap().continuation_sequence_number;
    world.pass(LIFETIME);
    put(world, "late").await;
    assert!(next(&mut subscription).await.is_none());
    let mut subscription = subscribe(world, &consumer, after(&place)).await;
    assert_eq!(data(&next(&mut subscription).await.unwrap()), ["late"]);
}

pub(crate) async fn deleting_the_stream_fails_a_subscription(world: &World) {
    let consumer = consumer(world).await;
    let mut subscription = subscribe(world, &consumer, start(ShardIteratorType::Latest)).await;
    next(&mut subscription).await.unwrap();
    world
        .client()
        .delete_stream()
        .stream_name(STREAM)
        .enforce_consumer_deletion(true)
        .send()
        .await
        .unwrap();
    let error = failure(&mut subscription).await;
    assert!(error.is_resource_not_found_exception(), "{error:?}");
}

pub(crate) async fn an_event_of_ten_mebibytes_arrives(world: &World) {
    let client = world.client();
    let consumer = consumer_of(world, 10_240).await;
    let large = vec![7; (10 << 20) - 3];
    client
        .put_record()
        .stream_name(STREAM)
        .partition_key("key")
        .data(Blob::new(large.clone()))
        .send()
        .await
        .unwrap();
    let mut subscription = subscribe(world, &consumer, start(ShardIteratorType::TrimHorizon)).await;
    let event = next(&mut subscription).await.unwrap();
    assert_eq!(event.records()[0].data().as_ref(), large);
}

#[tokio::test]
async fn a_server_that_stops_ends_its_subscriptions() {
    let world = World::over_http().await;
    let consumer = consumer(&world).await;
    let mut subscription = subscribe(&world, &consumer, start(ShardIteratorType::Latest)).await;
    next(&mut subscription).await.unwrap();
    world.shutdown().await;
    assert!(next(&mut subscription).await.is_none());
}
