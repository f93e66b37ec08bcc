//! Every fault as an SDK sees it.

use std::{fmt::Debug, time::Duration};

use aws_sdk_kinesis::{
    Config,
    config::retry::RetryConfig,
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        get_records::GetRecordsOutput, list_shards::ListShardsOutput, put_records::PutRecordsOutput,
        subscribe_to_shard::SubscribeToShardOutput,
    },
    primitives::Blob,
    types::{PutRecordsRequestEntry, ShardIteratorType, StartingPosition, SubscribeToShardEventStream},
};
use kcl_broker::{
    operations_log::{OperationFilter, Outcome},
    trouble::Fault,
};
use kcl_core::HashKey;

use crate::doors::World;

const STREAM: &str = "rides";
const FIRST: &str = "shardId-000000000000";
const SECOND: &str = "shardId-000000000001";
const MIDDLE: u128 = 1 << 127;
/// Longer than anything here takes, and shorter than anybody would notice.
const A_MOMENT: Duration = Duration::from_millis(100);

/// Sends a request once, whatever becomes of it.
macro_rules! once {
    ($request:expr) => {
        $request
            .customize()
            .config_override(Config::builder().retry_config(RetryConfig::disabled()))
            .send()
    };
}

async fn create(world: &World, shards: i32) {
    let create = world.client().create_stream().stream_name(STREAM);
    create.shard_count(shards).send().await.unwrap();
}

fn plan(world: &World, fault: Fault) {
    world.broker().trouble().add(fault).unwrap();
}

/// Puts a record and tells the type of the error, or the status if it has no body that names one.
async fn put(world: &World, data: &str) -> Result<(), String> {
    let put = world.client().put_record().stream_name(STREAM).partition_key("key");
    match once!(put.data(Blob::new(data))).await {
        Ok(_) => Ok(()),
        Err(error) => Err(what(&error)),
    }
}

/// What an SDK says of a failure: the code and the status of an answer, or that the connection broke.
fn what<E: ProvideErrorMetadata + Debug>(error: &SdkError<E>) -> String {
    match error {
        SdkError::ServiceError(refused) => {
            format!("{} {}", refused.raw().status(), refused.err().code().unwrap())
        }
        SdkError::DispatchFailure(failure) if !failure.is_user() && !failure.is_timeout() => "cut".to_owned(),
        other => panic!("{other:?}"),
    }
}

async fn open(world: &World, shard: &str) -> String {
    let open = world.client().get_shard_iterator().stream_name(STREAM).shard_id(shard);
    let opened = once!(open.shard_iterator_type(ShardIteratorType::TrimHorizon))
        .await
        .unwrap();
    opened.shard_iterator.unwrap()
}

async fn read(world: &World, iterator: &str) -> Result<GetRecordsOutput, String> {
    let read = once!(world.client().get_records().shard_iterator(iterator)).await;
    read.map_err(|error| what(&error))
}

/// All that is in the shard.
async fn data(world: &World, shard: &str) -> Vec<String> {
    let read = read(world, &open(world, shard).await).await.unwrap();
    let text = |blob: &Blob| String::from_utf8(blob.as_ref().to_vec()).unwrap();
    read.records().iter().map(|record| text(record.data())).collect()
}

async fn put_all(world: &World, keys: &[HashKey]) -> PutRecordsOutput {
    let entry = |key: &HashKey| {
        let entry = PutRecordsRequestEntry::builder()
            .partition_key("key")
            .data(Blob::new("data"));
        entry.explicit_hash_key(key.to_string()).build().unwrap()
    };
    let put = world.client().put_records().stream_name(STREAM);
    once!(put.set_records(Some(keys.iter().map(entry).collect())))
        .await
        .unwrap()
}

async fn listed(world: &World) -> ListShardsOutput {
    once!(world.client().list_shards().stream_name(STREAM)).await.unwrap()
}

pub(crate) async fn what_is_throttled_is_refused_as_the_operation_has_it(world: &World) {
    create(world, 1).await;
    plan(world, Fault::throttle().times(3));
    assert_eq!(
        put(world, "a").await.unwrap_err(),
        "400 ProvisionedThroughputExceededException"
    );
    let listing = once!(world.client().list_shards().stream_name(STREAM)).await;
    assert_eq!(what(&listing.unwrap_err()), "400 LimitExceededException");
    let refused = once!(world.client().get_shard_iterator().stream_name(STREAM).shard_id(FIRST)).await;
    let refused = refused.unwrap_err().into_service_error();
    assert!(refused.is_provisioned_throughput_exceeded_exception());
    assert_eq!(
        refused.message(),
        Some("Rate exceeded for shard shardId-000000000000 in stream rides under account 000000000000.")
    );
    put(world, "b").await.unwrap();
    assert_eq!(data(world, FIRST).await, ["b"]);
}

pub(crate) async fn records_of_a_throttled_shard_fail_one_by_one(world: &World) {
    create(world, 2).await;
    plan(world, Fault::throttle().on("PutRecords").shard(SECOND).times(1));
    // A call that writes nothing there is none of those that are counted.
    assert_eq!(put_all(world, &[HashKey(0)]).await.failed_record_count(), Some(0));
    let keys = [HashKey(0), HashKey::MAX, HashKey(1), HashKey(MIDDLE)];
    let answered = put_all(world, &keys).await;
    assert_eq!(answered.failed_record_count(), Some(2));
    let codes: Vec<_> = answered.records().iter().map(|record| record.error_code()).collect();
    let throttled = Some("ProvisionedThroughputExceededException");
    assert_eq!(codes, [None, throttled, None, throttled]);
    assert!(answered.records()[1].error_message().unwrap().contains(SECOND));
    assert_eq!(
        (data(world, FIRST).await.len(), data(world, SECOND).await.len()),
        (3, 0)
    );
    assert_eq!(put_all(world, &keys).await.failed_record_count(), Some(0));
}

pub(crate) async fn a_share_of_the_records_fails_by_the_seed(world: &World) {
    create(world, 1).await;
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        plan(world, Fault::internal_error().on("PutRecords").records(0.5).seed(seed));
        let answered = put_all(world, &[HashKey(0); 64]).await;
        let failed: Vec<_> = answered
            .records()
            .iter()
            .map(|record| record.error_code().is_some())
            .collect();
        let count = failed.iter().filter(|failed| **failed).count();
        assert_eq!(answered.failed_record_count(), i32::try_from(count).ok());
        assert!((16..48).contains(&count), "{count}");
        let messages = answered.records().iter().filter_map(|record| record.error_message());
        assert!(
            messages
                .into_iter()
                .all(|message| message == "Internal Service Failure")
        );
        runs.push(failed);
        world.broker().trouble().clear();
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

pub(crate) async fn a_failing_service_answers_with_its_status(world: &World) {
    create(world, 1).await;
    plan(world, Fault::internal_error().on("PutRecord").times(1));
    plan(world, Fault::unavailable().on("PutRecord").times(1));
    assert_eq!(put(world, "a").await.unwrap_err(), "500 InternalFailure");
    assert_eq!(put(world, "b").await.unwrap_err(), "503 ServiceUnavailable");
    put(world, "c").await.unwrap();
    assert_eq!(data(world, FIRST).await, ["c"]);
}

pub(crate) async fn an_sdk_that_tries_again_gets_over_a_failing_service(world: &World) {
    create(world, 1).await;
    plan(world, Fault::internal_error().on("ListShards").times(1));
    let listed = world.client().list_shards().stream_name(STREAM).send().await.unwrap();
    assert_eq!(listed.shards().len(), 1);
    let calls = world
        .broker()
        .operations()
        .entries(&OperationFilter::default().operation("ListShards"));
    let outcomes: Vec<_> = calls.iter().map(|call| call.outcome.to_string()).collect();
    assert_eq!(outcomes, ["InternalFailure", "ok"]);
}

pub(crate) async fn a_late_answer_is_waited_for(world: &World) {
    create(world, 1).await;
    plan(world, Fault::latency(Duration::from_hours(1)).on("PutRecord").times(1));
    assert!(tokio::time::timeout(A_MOMENT, put(world, "late")).await.is_err());
    plan(world, Fault::latency(Duration::from_millis(1)).on("PutRecord").times(1));
    put(world, "soon").await.unwrap();
    assert_eq!(
        data(world, FIRST).await,
        ["soon"],
        "who left did not wait for the call to be carried out"
    );
}

pub(crate) async fn a_dropped_answer_leaves_what_was_written(world: &World) {
    create(world, 1).await;
    plan(world, Fault::drop_answer().on("PutRecord").times(1));
    assert_eq!(put(world, "written").await.unwrap_err(), "cut");
    put(world, "next").await.unwrap();
    assert_eq!(data(world, FIRST).await, ["written", "next"]);
}

pub(crate) async fn a_dropped_request_leaves_nothing(world: &World) {
    create(world, 1).await;
    plan(world, Fault::drop_request().on("PutRecord").times(1));
    assert_eq!(put(world, "lost").await.unwrap_err(), "cut");
    put(world, "next").await.unwrap();
    assert_eq!(data(world, FIRST).await, ["next"]);
}

pub(crate) async fn an_iterator_expires_at_once(world: &World) {
    create(world, 1).await;
    let iterator = open(world, FIRST).await;
    plan(world, Fault::expired_iterator().stream(STREAM).times(1));
    assert_eq!(
        read(world, &iterator).await.unwrap_err(),
        "400 ExpiredIteratorException"
    );
    read(world, &iterator).await.unwrap();
}

pub(crate) async fn an_open_shard_ends_without_children(world: &World) {
    create(world, 1).await;
    put(world, "a").await.unwrap();
    plan(world, Fault::null_iterator().shard(FIRST).times(1));
    let iterator = open(world, FIRST).await;
    let ended = read(world, &iterator).await.unwrap();
    assert_eq!((ended.records().len(), ended.next_shard_iterator()), (1, None));
    assert!(ended.child_shards().is_empty());
    assert!(read(world, &iterator).await.unwrap().next_shard_iterator().is_some());
}

pub(crate) async fn a_stale_listing_does_not_know_of_a_split(world: &World) {
    create(world, 1).await;
    world.pass(Duration::from_secs(60));
    let split = world.client().split_shard().stream_name(STREAM).shard_to_split(FIRST);
    split.new_starting_hash_key(MIDDLE.to_string()).send().await.unwrap();
    plan(world, Fault::stale_shards(Duration::from_secs(10)));
    let ending = |listed: &ListShardsOutput| {
        let numbers = listed.shards()[0].sequence_number_range().unwrap();
        numbers.ending_sequence_number().map(ToOwned::to_owned)
    };
    let stale = listed(world).await;
    assert_eq!((stale.shards().len(), ending(&stale)), (1, None));
    // Ten seconds later the listing has got there.
    world.pass(Duration::from_secs(10));
    let later = listed(world).await;
    assert_eq!(later.shards().len(), 3);
    assert!(ending(&later).is_some());
}

async fn consumer(world: &World) -> String {
    create(world, 1).await;
    let register = world.client().register_stream_consumer().consumer_name("billing");
    let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}");
    let registered = register.stream_arn(arn).send().await.unwrap();
    registered.consumer().unwrap().consumer_arn().to_owned()
}

async fn subscribe(world: &World, consumer: &str) -> Result<SubscribeToShardOutput, String> {
    let start = StartingPosition::builder().r#type(ShardIteratorType::TrimHorizon);
    let subscribe = world
        .client()
        .subscribe_to_shard()
        .consumer_arn(consumer)
        .shard_id(FIRST);
    let subscribed = once!(subscribe.starting_position(start.build().unwrap())).await;
    subscribed.map_err(|error| what(&error))
}

/// How many records the next event has.
async fn next(subscription: &mut SubscribeToShardOutput) -> Result<Option<usize>, String> {
    match subscription.event_stream.recv().await {
        Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event))) => Ok(Some(event.records().len())),
        Ok(None) => Ok(None),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) async fn a_silent_subscription_opens_and_sends_nothing(world: &World) {
    let consumer = consumer(world).await;
    put(world, "a").await.unwrap();
    plan(world, Fault::silent_subscription().times(1));
    let mut silent = subscribe(world, &consumer).await.unwrap();
    assert!(tokio::time::timeout(A_MOMENT, next(&mut silent)).await.is_err());
    world.pass(Duration::from_secs(5));
    let mut other = subscribe(world, &consumer).await.unwrap();
    assert_eq!(next(&mut other).await, Ok(Some(1)));
}

pub(crate) async fn a_subscription_is_cut_off_after_so_many_events(world: &World) {
    let consumer = consumer(world).await;
    put(world, "a").await.unwrap();
    plan(world, Fault::disconnect(1).times(1));
    let mut subscription = subscribe(world, &consumer).await.unwrap();
    assert_eq!(next(&mut subscription).await, Ok(Some(1)));
    next(&mut subscription).await.unwrap_err();
    world.pass(Duration::from_secs(5));
    let mut again = subscribe(world, &consumer).await.unwrap();
    assert_eq!(next(&mut again).await, Ok(Some(1)));
}

pub(crate) async fn a_shard_is_in_use_for_the_second_subscription(world: &World) {
    let consumer = consumer(world).await;
    plan(world, Fault::resource_in_use().on("SubscribeToShard").after(1).times(1));
    subscribe(world, &consumer).await.unwrap();
    world.pass(Duration::from_secs(5));
    assert_eq!(
        subscribe(world, &consumer).await.unwrap_err(),
        "400 ResourceInUseException"
    );
    subscribe(world, &consumer).await.unwrap();
}

pub(crate) async fn the_log_says_who_called_what_and_how_it_went(world: &World) {
    create(world, 1).await;
    put(world, "precious").await.unwrap();
    plan(world, Fault::drop_answer().on("PutRecord").times(1));
    put(world, "precious").await.unwrap_err();
    let iterator = open(world, FIRST).await;
    world.pass(Duration::from_secs(301));
    read(world, &iterator).await.unwrap_err();
    assert_eq!(data(world, FIRST).await.len(), 2);

    let log = world.broker().operations();
    let calls = log.entries(&OperationFilter::default());
    let shown: Vec<_> = calls
        .iter()
        .map(|call| {
            assert_eq!(call.stream.as_deref(), Some(STREAM));
            let brought = (
                call.request.records,
                call.request.bytes,
                call.answer.records,
                call.answer.bytes,
            );
            (
                &*call.operation,
                call.shard.as_deref(),
                call.outcome.to_string(),
                brought,
            )
        })
        .collect();
    let nothing = (0, 0, 0, 0);
    assert_eq!(
        shown,
        [
            ("CreateStream", None, "ok".to_owned(), nothing),
            ("PutRecord", Some(FIRST), "ok".to_owned(), (1, 11, 0, 0)),
            ("PutRecord", None, "dropped".to_owned(), (1, 11, 0, 0)),
            ("GetShardIterator", Some(FIRST), "ok".to_owned(), nothing),
            (
                "GetRecords",
                Some(FIRST),
                "ExpiredIteratorException".to_owned(),
                nothing
            ),
            ("GetShardIterator", Some(FIRST), "ok".to_owned(), nothing),
            ("GetRecords", Some(FIRST), "ok".to_owned(), (0, 0, 2, 22)),
        ]
    );
    assert_eq!(calls[2].faults[0].fault, "drop_answer");
    assert_eq!(
        calls.iter().map(|call| call.serial).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6, 7]
    );
    assert_eq!(calls[4].at.millis_since(calls[0].at), 301_000);
    for call in &calls {
        assert_eq!(call.caller.access_key_id.as_deref(), Some("any"));
        assert!(call.caller.user_agent.as_ref().unwrap().starts_with("aws-sdk-rust/"));
        assert_eq!(call.caller.address.is_some(), world.is_over_http());
    }

    let failed = log.entries(&OperationFilter::default().failed().last(1));
    assert_eq!(failed[0].outcome, Outcome::error("ExpiredIteratorException"));
    let counts = log.counts()["PutRecord"];
    assert_eq!(
        (counts.calls, counts.errors, counts.dropped, counts.struck),
        (2, 0, 1, 1)
    );
    let everything = format!("{calls:?}");
    assert!(
        !everything.contains("precious") && !everything.contains("\"key\""),
        "{everything}"
    );
}
