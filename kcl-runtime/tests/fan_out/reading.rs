//! Records come at once, each once and in order, however long subscriptions and handlers take.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kcl_core::{Batch, fetch::Retrieval};
use kcl_runtime::{Config, RetrievalMode, broker::api};

use crate::{MINUTE, SECOND, assert_exact, calls, status_of, stream_arn, until_read_by, world, world_of};

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
