//! Enhanced fan-out against the built-in broker, on virtual time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kcl_core::{
    Batch, Position, ShardId,
    fetch::{FetchFailureKind, Retrieval},
    shard::ShardStatus,
};
use kcl_runtime::{
    Config, RetrievalMode,
    broker::{
        api,
        operations_log::{OperationFilter, Outcome},
    },
    testing::{LinkState, ServiceFault, TestWorker, TestWorld},
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

#[tokio::test(start_paused = true)]
async fn given_fan_out_when_a_record_is_put_then_it_is_handled_at_once() {
    let world = world(2).await;
    let seen = world.recorder();
    let worker = world.start(world.worker("w1").function(seen.succeed()));
    until_read_by(&worker, Retrieval::FanOut).await;
    for number in 0..20 {
        let put_at = world.elapsed();
        world.put("customer-7", number.to_string());
        world.until_idle().await;
        let took = world.elapsed() - put_at;
        assert!(took < Duration::from_millis(20), "{took:?}");
    }
    assert_exact(&seen.data(), 20);
    assert_eq!(calls(&world, "GetRecords"), (0, 0));
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn wound_25_given_subscriptions_that_end_after_five_minutes_when_renewed_then_nothing_is_missed_and_nothing_repeated()
 {
    let world = world(1).await;
    let seen = world.recorder();
    let worker = world.start(world.worker("w1").function(seen.succeed()));
    until_read_by(&worker, Retrieval::FanOut).await;
    let mut slowest = Duration::ZERO;
    for number in 0..1_300 {
        let put_at = world.elapsed();
        world.put("customer-7", number.to_string());
        world.until_idle().await;
        slowest = slowest.max(world.elapsed() - put_at);
        world.advance(SECOND).await;
    }
    assert_exact(&seen.data(), 1_300);
    assert!(slowest < Duration::from_millis(50), "{slowest:?}");
    let (asked, done) = calls(&world, "SubscribeToShard");
    assert!(
        (5..=6).contains(&done) && asked == done,
        "{asked} subscriptions, {done} done"
    );
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_a_quiet_stream_when_subscriptions_are_renewed_then_a_late_record_is_not_missed() {
    let world = world(1).await;
    let seen = world.recorder();
    let config = |config: &mut Config| config.initial_position = kcl_core::InitialPosition::Latest;
    let mut latest = Config::default();
    config(&mut latest);
    world.put("customer-7", "old");
    let worker = world.start(world.worker("w1").config(latest).function(seen.succeed()));
    until_read_by(&worker, Retrieval::FanOut).await;
    world.advance(21 * MINUTE).await;
    world.put("customer-7", "0");
    world.until_idle().await;
    assert_exact(&seen.data(), 1);
}

#[tokio::test(start_paused = true)]
async fn wound_38_given_a_handler_that_is_slow_for_five_minutes_when_records_come_then_it_keeps_its_place_lease_and_memory()
 {
    const BUDGET: u64 = 4 << 20;
    let world = world(1).await;
    let seen = world.recorder();
    let (handler, stuck) = (seen.clone(), Arc::new(AtomicBool::new(true)));
    let mut config = Config::default();
    config.memory_budget = BUDGET;
    let slow = move |batch: Batch| {
        let first = stuck.swap(false, Ordering::Relaxed);
        let handler = handler.clone();
        async move {
            if first {
                tokio::time::sleep(5 * MINUTE).await;
            }
            handler.note(&batch);
        }
    };
    let worker = world.start(world.worker("w1").config(config).function(slow));
    until_read_by(&worker, Retrieval::FanOut).await;
    let lease = world.lease(&world.shard(0)).await;
    let mut most = 0;
    for number in 0..310 {
        // A MiB a second, most of it in the last of four records.
        for part in 0..4 {
            let padding = " ".repeat(if part == 3 { 1_000_000 } else { 10 });
            world.put("customer-7", format!("{}{padding}", number * 4 + part));
        }
        world.advance(SECOND).await;
        most = most.max(status_of(&worker, &world.shard(0)).await.buffered_bytes);
    }
    world.until_idle().await;
    let data: Vec<String> = seen.data().iter().map(|data| data.trim_end().to_owned()).collect();
    assert_exact(&data, 1_240);
    assert!(most <= BUDGET, "{most} bytes");
    let after = world.lease(&world.shard(0)).await;
    assert_eq!(after.holder(), lease.holder());
    let (asked, _) = calls(&world, "SubscribeToShard");
    assert!(
        asked <= 6,
        "{asked} subscriptions: a slow handler is no reason for a storm"
    );
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn wound_39_given_a_subscription_that_says_nothing_when_records_wait_then_it_is_replaced() {
    let world = world(1).await;
    let seen = world.recorder();
    world
        .service_faults()
        .add(ServiceFault::silent_subscription().times(1))
        .unwrap();
    world.put("customer-7", "0");
    let worker = world.start(world.worker("w1").function(seen.succeed()));
    let from = world.elapsed();
    world.until_idle().await;
    assert!(world.elapsed() - from < 22 * SECOND, "{:?}", world.elapsed() - from);
    assert_exact(&seen.data(), 1);
    assert_eq!(status_of(&worker, &world.shard(0)).await.retrieval, Retrieval::FanOut);
}

#[tokio::test(start_paused = true)]
async fn given_subscriptions_that_never_say_anything_when_it_goes_on_then_the_shard_is_polled_and_later_subscribed_to()
{
    let world = world(1).await;
    let seen = world.recorder();
    world
        .service_faults()
        .add(ServiceFault::silent_subscription().times(4))
        .unwrap();
    let worker = world.start(world.worker("w1").function(seen.succeed()));
    world.put("customer-7", "0");
    world.until_idle().await;
    let status = status_of(&worker, &world.shard(0)).await;
    assert_eq!(status.retrieval, Retrieval::Polling);
    assert_eq!(status.fallback.unwrap().kind, FetchFailureKind::Silent);
    until_read_by(&worker, Retrieval::FanOut).await;
    world.put("customer-7", "1");
    world.until_idle().await;
    assert_exact(&seen.data(), 2);
    assert_eq!(status_of(&worker, &world.shard(0)).await.fallback, None);
}

#[tokio::test(start_paused = true)]
async fn given_subscriptions_that_are_cut_when_records_come_all_the_time_then_each_is_handled_once_and_in_order() {
    let world = world(1).await;
    let seen = world.recorder();
    let faults = world.service_faults();
    faults
        .add(ServiceFault::disconnect(3).probability(0.5).seed(7))
        .unwrap();
    faults
        .add(
            ServiceFault::resource_in_use()
                .on("SubscribeToShard")
                .probability(0.3)
                .seed(8),
        )
        .unwrap();
    faults.add(ServiceFault::throttle().probability(0.2).seed(9)).unwrap();
    faults
        .add(
            ServiceFault::internal_error()
                .on("SubscribeToShard")
                .probability(0.2)
                .seed(10),
        )
        .unwrap();
    let worker = world.start(world.worker("w1").function(seen.succeed()));
    for number in 0..2_000 {
        world.put("customer-7", number.to_string());
        world.advance(SECOND).await;
    }
    world.until_idle().await;
    assert_exact(&seen.data(), 2_000);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_another_subscriber_that_takes_over_when_it_goes_on_then_the_shard_is_polled_and_says_why() {
    let world = world(1).await;
    let seen = world.recorder();
    let consumer = register(&world, "test");
    let worker = world.start(world.worker("w1").function(seen.succeed()));
    until_read_by(&worker, Retrieval::FanOut).await;
    let mut others = Vec::new();
    for number in 0..60 {
        let latest = api::StartingPosition::latest();
        let request = api::SubscribeToShard::new(consumer.as_str(), world.shard(0).as_str(), latest);
        others.extend(world.broker().untroubled().subscribe(request).ok());
        world.put("customer-7", number.to_string());
        world.advance(SECOND).await;
    }
    world.until_idle().await;
    assert_exact(&seen.data(), 60);
    let status = status_of(&worker, &world.shard(0)).await;
    assert_eq!(status.fallback.unwrap().kind, FetchFailureKind::InUse);
    drop(others);
    until_read_by(&worker, Retrieval::FanOut).await;
}

#[tokio::test(start_paused = true)]
async fn given_a_fleet_that_starts_at_once_when_the_consumer_is_registered_then_it_is_so_once() {
    let world = world(6).await;
    let seen = world.recorder();
    let workers = ["w1", "w2", "w3"].map(|name| world.start(world.worker(name).function(seen.succeed())));
    for number in 0..30 {
        world.put(format!("customer-{number}"), "data");
    }
    world.until_idle().await;
    assert_eq!(seen.data().len(), 30);
    assert_eq!(calls(&world, "RegisterStreamConsumer").1, 1);
    assert!(
        calls(&world, "DescribeStreamConsumer").0 <= 9,
        "{:?}",
        calls(&world, "DescribeStreamConsumer")
    );
    for worker in workers {
        until_read_by(&worker, Retrieval::FanOut).await;
        worker.stop().await;
    }
    let listed = world
        .broker()
        .untroubled()
        .call(api::ListStreamConsumers::new(stream_arn(&world)))
        .unwrap();
    let names: Vec<&str> = listed.consumers.iter().map(|one| one.consumer_name.as_str()).collect();
    assert_eq!(names, ["test"], "it is named as the application, and stays");
}

#[tokio::test(start_paused = true)]
async fn given_as_many_consumers_as_there_may_be_when_one_goes_then_fan_out_takes_over_from_polling() {
    let world = world_of(1, RetrievalMode::Auto).await;
    let seen = world.recorder();
    let others: Vec<String> = (0..20)
        .map(|number| register(&world, &format!("other-{number}")))
        .collect();
    let worker = world.start(world.worker("w1").function(seen.succeed()));
    world.put("customer-7", "0");
    world.until_idle().await;
    let status = status_of(&worker, &world.shard(0)).await;
    let fallback = status.fallback.unwrap();
    assert_eq!(
        (status.retrieval, fallback.kind),
        (Retrieval::Polling, FetchFailureKind::Throttled)
    );
    assert!(
        fallback.message.contains("LimitExceededException"),
        "{}",
        fallback.message
    );
    let (asked, _) = calls(&world, "RegisterStreamConsumer");
    assert!(asked < 20, "{asked} registrations");
    let request = api::DeregisterStreamConsumer {
        consumer_arn: Some(others[0].clone()),
        ..Default::default()
    };
    world.broker().untroubled().call(request).unwrap();
    until_read_by(&worker, Retrieval::FanOut).await;
    world.put("customer-7", "1");
    world.until_idle().await;
    assert_exact(&seen.data(), 2);
}

#[tokio::test(start_paused = true)]
async fn given_a_running_worker_when_its_mode_changes_again_and_again_then_each_record_is_handled_once_and_in_order() {
    let world = world_of(2, RetrievalMode::Polling).await;
    let seen = world.recorder();
    let worker = world.start(world.worker("w1").function(seen.succeed()));
    let modes = [
        RetrievalMode::FanOut,
        RetrievalMode::Polling,
        RetrievalMode::Auto,
        RetrievalMode::Polling,
    ];
    for number in 0..400 {
        if number % 17 == 0 {
            let mode = modes[number / 17 % 4];
            assert_eq!(
                worker.handle().set_retrieval_mode(world.stream().clone(), mode).await,
                1
            );
        }
        world.put("customer-7", number.to_string());
        world.advance(SECOND).await;
    }
    world.until_idle().await;
    assert_exact(&seen.data(), 400);
    assert!(calls(&world, "SubscribeToShard").1 > 10 && calls(&world, "GetRecords").1 > 10);
    worker
        .handle()
        .deregister_consumer(world.stream().clone())
        .await
        .unwrap();
    until_read_by(&worker, Retrieval::Polling).await;
    let listed = world
        .broker()
        .untroubled()
        .call(api::ListStreamConsumers::new(stream_arn(&world)))
        .unwrap();
    assert!(listed.consumers.is_empty(), "{listed:?}");
}

#[tokio::test(start_paused = true)]
async fn given_a_consumer_that_somebody_deregisters_when_subscribed_then_no_record_is_lost() {
    let world = world(1).await;
    let seen = world.recorder();
    let worker = world.start(world.worker("w1").function(seen.succeed()));
    until_read_by(&worker, Retrieval::FanOut).await;
    for number in 0..300 {
        if number == 100 {
            let mut request = api::DeregisterStreamConsumer::default();
            (request.stream_arn, request.consumer_name) = (Some(stream_arn(&world)), Some("test".to_owned()));
            world.broker().untroubled().call(request).unwrap();
        }
        world.put("customer-7", number.to_string());
        world.advance(SECOND).await;
    }
    world.until_idle().await;
    assert_exact(&seen.data(), 300);
    until_read_by(&worker, Retrieval::FanOut).await;
    assert_eq!(calls(&world, "RegisterStreamConsumer").1, 2);
}

#[tokio::test(start_paused = true)]
async fn wound_37_given_a_reshard_every_second_for_a_minute_in_both_modes_then_nothing_is_lost_and_order_and_lineage_are_kept()
 {
    for (mode, seed) in [
        (RetrievalMode::FanOut, 1),
        (RetrievalMode::Polling, 2),
        (RetrievalMode::FanOut, 3),
    ] {
        let world = TestWorld::builder("orders", 2)
            .retrieval_mode(mode)
            .seed(seed)
            .build()
            .await;
        let seen = world.recorder();
        let faults = world.service_faults();
        faults
            .add(ServiceFault::throttle().on("GetRecords").probability(0.2).seed(seed))
            .unwrap();
        faults
            .add(ServiceFault::disconnect(2).probability(0.3).seed(seed))
            .unwrap();
        let workers = ["w1", "w2"].map(|name| world.start(world.worker(name).function(seen.succeed())));
        world.until_idle().await;
        for number in 0..60 {
            for key in 0..5 {
                world.put(format!("customer-{key}"), format!("{key}:{number}"));
            }
            let mut open = world.open_shards();
            open.sort_by_key(|shard| shard.hash_key_range);
            if number % 2 == 0 {
                world.split(&open[number % open.len()].id);
            } else {
                world.merge(&open[0].id, &open[1].id);
            }
            world.advance(SECOND).await;
        }
        world.until_checkpointed().await;
        // A key's records come in order across all its shards: that is lineage, as users see it.
        for key in 0..5 {
            let of_key = format!("{key}:");
            let mut numbers: Vec<usize> = Vec::new();
            for data in seen.data().iter().filter_map(|data| data.strip_prefix(&of_key)) {
                let number = data.parse().unwrap();
                // A hand-over may repeat, but never skip or swap.
                if numbers.last() != Some(&number) {
                    numbers.push(number);
                }
            }
            assert_eq!(numbers, (0..60).collect::<Vec<_>>(), "{mode} {seed}");
        }
        let finished = world.leases().await;
        assert!(
            finished
                .iter()
                .filter(|lease| lease.checkpoint == Position::ShardEnd)
                .count()
                > 30
        );
        for worker in workers {
            worker.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn wound_40_given_no_service_at_the_start_when_it_is_there_then_shards_are_subscribed_to() {
    for trouble in [
        LinkState::Refused,
        LinkState::ServerError,
        LinkState::Throttled,
        LinkState::AnswersLost,
    ] {
        let world = world(1).await;
        let seen = world.recorder();
        world.put("customer-7", "0");
        world.service().set(trouble);
        let worker = world.start(world.worker("w1").function(seen.succeed()));
        world.advance(20 * SECOND).await;
        assert_eq!(seen.data(), [""; 0]);
        world.service().set(LinkState::Up);
        world.until_idle().await;
        assert_exact(&seen.data(), 1);
        until_read_by(&worker, Retrieval::FanOut).await;
    }
}

#[tokio::test(start_paused = true)]
async fn wound_42_given_subscriptions_that_fail_when_repeated_then_the_waits_grow() {
    let world = world(1).await;
    let seen = world.recorder();
    let worker = world.start(world.worker("w1").function(seen.succeed()));
    until_read_by(&worker, Retrieval::FanOut).await;
    world.service().set(LinkState::Refused);
    let before = world.service().requests();
    // The subscription goes on over its own connection until it ends, and then the service is not there.
    world.advance(15 * MINUTE).await;
    let requests = world.service().requests() - before;
    assert!(
        (10..1_200).contains(&requests),
        "{requests} requests, three for each attempt of the SDK"
    );
    world.service().set(LinkState::Up);
    world.put("customer-7", "0");
    world.until_idle().await;
    assert_exact(&seen.data(), 1);
}

#[tokio::test(start_paused = true)]
async fn wound_43_given_next_to_no_memory_when_events_are_large_then_it_is_slow_and_never_stuck() {
    let world = world(2).await;
    let seen = world.recorder();
    let mut config = Config::default();
    config.memory_budget = 1 << 20;
    config.batch_size = 1;
    let handler = seen.record(|_: Batch| async {
        tokio::time::sleep(SECOND).await;
    });
    for number in 0..40 {
        world.put("customer-7", format!("{number}{}", " ".repeat(900_000)));
    }
    let worker = world.start(world.worker("w1").config(config).function(handler));
    world.until_idle().await;
    let data: Vec<String> = seen.data().iter().map(|data| data.trim_end().to_owned()).collect();
    assert_exact(&data, 40);
    worker.stop().await;
}
