//! The memory for records that wait: a budget per worker, however many shards there are and however stuck they are.

use std::time::Duration;

use integration::{World, buffered_bytes, consumer, held, shard_id};
use kcl_core::Batch;

const MIB: u64 = 1024 * 1024;
/// The most that the service gives in one read.
const READ_MAX: u64 = 10 * MIB;
const SHARDS: u64 = 4;

#[tokio::test(start_paused = true)]
async fn wound_59_stuck_shards_with_large_records_stay_within_the_budget_and_others_go_on() {
    const BUDGET: u64 = 8 * MIB;
    let world = World::new(131, i32::try_from(SHARDS).unwrap());
    let log = world.log.clone();
    let worker = world
        .worker("one")
        .config(|config| config.memory_budget = BUDGET)
        .function(move |batch: Batch| {
            let log = log.clone();
            async move {
                if *batch.shard() != shard_id(3) {
                    std::future::pending::<()>().await;
                }
                log.note("one", &batch);
            }
        });
    worker.until(|report| held(report) == 4).await;
    // 12 MiB, more than one read gives, in each of three shards whose handler is stuck.
    for shard in 0..3 {
        world.put_into(&shard_id(shard), 60, 200 * 1024);
    }
    let first = world.put_so_far();
    let mut most = 0;
    for _ in 0..60 {
        world.put_into(&shard_id(3), 2, 0);
        world.pass(Duration::from_secs(1)).await;
        let report = worker.report().await;
        most = most.max(buffered_bytes(&report));
    }
    assert!(
        most > 0 && most <= BUDGET + 3 * READ_MAX,
        "{} MiB of {} MiB",
        most / MIB,
        BUDGET / MIB
    );
    world.log.complete_from(first, world.put_so_far()).await;
    let report = worker.report().await;
    for shard in 0..3 {
        let status = &consumer(&report, &shard_id(shard)).unwrap().status;
        assert!(
            status.buffered_records < 60,
            "{shard}: {} records",
            status.buffered_records
        );
    }
    worker.crash().await;
}

#[tokio::test(start_paused = true)]
async fn once_the_size_of_records_is_known_reads_fit_in_the_budget() {
    const BUDGET: u64 = 8 * MIB;
    const RECORD: u64 = 201 * 1024;
    let world = World::new(132, i32::try_from(SHARDS).unwrap());
    // One small read teaches the size.
    for shard in 0..SHARDS {
        world.put_into(&shard_id(shard), 1, 200 * 1024);
    }
    let log = world.log.clone();
    let worker = world
        .worker("one")
        .config(|config| config.memory_budget = BUDGET)
        .function(move |batch: Batch| {
            let log = log.clone();
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                log.note("one", &batch);
            }
        });
    world.log.complete(SHARDS).await;
    for shard in 0..SHARDS {
        world.put_into(&shard_id(shard), 25, 200 * 1024);
    }
    let mut most = 0;
    while world.log.all().len() < usize::try_from(26 * SHARDS).unwrap() {
        world.pass(Duration::from_millis(100)).await;
        let report = worker.report().await;
        most = most.max(buffered_bytes(&report));
    }
    // A shard with any room left reads at least one record.
    assert!(
        most > BUDGET / 4 && most <= BUDGET + SHARDS * RECORD,
        "{} KiB of {} KiB",
        most / 1024,
        BUDGET / 1024
    );
    worker.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
    world.log.assert_ordered();
}

#[tokio::test(start_paused = true)]
async fn the_smallest_budget_is_slow_and_never_stuck() {
    let world = World::new(133, i32::try_from(SHARDS).unwrap());
    for shard in 0..SHARDS {
        world.put_into(&shard_id(shard), 4, 900 * 1024);
    }
    let worker = world
        .worker("one")
        .config(|config| config.memory_budget = MIB)
        .logging();
    world.log.complete(4 * SHARDS).await;
    worker.stop().await.unwrap();
    world.log.assert_ordered();
}

#[tokio::test(start_paused = true)]
async fn a_busy_shard_uses_what_quiet_ones_leave() {
    const BUDGET: u64 = 16 * MIB;
    const RECORD: u64 = 201 * 1024;
    let world = World::new(134, i32::try_from(SHARDS).unwrap());
    // One small read teaches the size.
    world.put_into(&shard_id(0), 1, 200 * 1024);
    let log = world.log.clone();
    let worker = world
        .worker("one")
        .config(|config| config.memory_budget = BUDGET)
        .function(move |batch: Batch| {
            let log = log.clone();
            async move {
                tokio::time::sleep(Duration::from_secs(20)).await;
                log.note("one", &batch);
            }
        });
    world.log.complete(1).await;
    world.put_into(&shard_id(0), 150, 200 * 1024);
    let mut most = 0;
    while world.log.all().len() < 151 {
        world.pass(Duration::from_secs(1)).await;
        let report = worker.report().await;
        most = most.max(consumer(&report, &shard_id(0)).unwrap().status.buffered_bytes);
    }
    assert!(
        most > BUDGET / 2 && most <= BUDGET + RECORD,
        "{} KiB of {} KiB, a quarter of which is an even share",
        most / 1024,
        BUDGET / 1024
    );
    worker.stop().await.unwrap();
    world.log.assert_ordered();
}
