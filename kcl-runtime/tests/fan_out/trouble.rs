//! Subscriptions that are silent, cut, taken over or refused, and shards that change meanwhile.

use kcl_core::{
    Position,
    fetch::{FetchFailureKind, Retrieval},
};
use kcl_runtime::{
    RetrievalMode,
    broker::api,
    testing::{LinkState, ServiceFault, TestWorld},
};

use crate::{MINUTE, SECOND, assert_exact, register, status_of, until_read_by, world};

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
