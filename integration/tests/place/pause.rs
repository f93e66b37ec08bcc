//! Shards that rest.

use std::time::Duration;

use integration::{World, consumer, held, shard_id};
use kcl_core::{Lease, LeaseWrite, WriteOutcome, shard::Waiting};
use kcl_runtime::ShardSelector;

use crate::stores::worlds;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn given_a_paused_shard_when_minutes_pass_then_its_lease_stays_the_others_go_on_and_it_resumes_at_the_exact_place()
 {
    let world = World::new(770, 2);
    let worker = world.worker("one").logging();
    world.put(20);
    worker.idle().await;
    worker.handle.pause(shard_id(0)).await;
    world.put_into(&shard_id(0), 10, 0);
    world.put_into(&shard_id(1), 10, 0);
    world.log.complete_from(30, 40).await;
    // Longer than an iterator lives, and than the failover time.
    world.pass(MINUTE * 7).await;
    let report = worker.report().await;
    assert!(!report.is_idle(), "what is paused is not caught up");
    assert_eq!(held(&report), 2);
    let status = &consumer(&report, &shard_id(0)).unwrap().status;
    assert!(
        matches!(status.waiting, Waiting::Paused { time } if time >= MINUTE * 7),
        "{:?}",
        status.waiting
    );
    assert_eq!(world.log.all().len(), 30, "nothing of it is delivered");
    worker.handle.resume(shard_id(0)).await;
    world.log.complete(40).await;
    worker.idle().await;
    worker.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
    world.log.assert_ordered();
}

#[tokio::test(start_paused = true)]
async fn given_a_paused_worker_when_another_one_comes_then_it_passes_leases_on_which_are_read_there_and_stops_cleanly()
{
    let world = World::new(771, 4);
    let one = world.worker("one").logging();
    world.put(20);
    one.idle().await;
    one.handle.pause(ShardSelector::All).await;
    world.put(20);
    let two = world.worker("two").logging();
    two.until(|report| held(report) == 2).await;
    two.until(|report| report.shards.len() == 2 && report.shards.iter().all(|shard| shard.status.is_caught_up()))
        .await;
    assert!(world.log.all().len() < 40, "what it kept rests");
    let from = world.clock.elapsed();
    one.stop().await.unwrap();
    assert!(world.clock.elapsed() - from < Duration::from_secs(1));
    world.log.complete(40).await;
    two.idle().await;
    two.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn given_a_call_under_way_when_its_shard_is_paused_then_it_ends_and_counts() {
    let world = World::new(772, 1);
    let log = world.log.clone();
    let worker = world.worker("one").function(move |batch: kcl_core::Batch| {
        log.note("one", &batch);
        tokio::time::sleep(Duration::from_secs(20))
    });
    world.put(5);
    world.log.complete(5).await;
    worker.handle.pause(ShardSelector::All).await;
    world.put(5);
    let report = worker
        .until(|report| report.shards[0].status.handled_records == 5)
        .await;
    assert!(report.shards[0].status.paused.is_some());
    world.pass(MINUTE).await;
    assert_eq!(world.log.all().len(), 5);
    assert!(
        !world.lease(&shard_id(0)).await.checkpoint.is_start(),
        "and is checkpointed"
    );
    worker.handle.resume(ShardSelector::All).await;
    world.log.complete(10).await;
    worker.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
}

async fn set_paused(world: &World, paused: bool) {
    let since = paused.then(|| world.clock.now());
    for row in world.leases().await {
        let mut row: Lease = row;
        while let WriteOutcome::Conflict(now) = world.store.update(&LeaseWrite::pause(&row, since)).await.unwrap() {
            row = now.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn given_an_application_that_is_paused_in_its_rows_when_workers_come_and_go_then_nobody_reads_until_it_is_resumed()
 {
    let (_directory, worlds) = worlds(780, 3).await;
    for world in worlds {
        let one = world.worker("one").logging();
        let two = world.worker("two").logging();
        world.put(30);
        world.log.complete(30).await;
        one.until(|report| held(report) > 0).await;
        two.until(|report| held(report) > 0).await;
        set_paused(&world, true).await;
        world.pass(Duration::from_secs(5)).await;
        world.put(30);
        two.crash().await;
        world.pass(MINUTE).await;
        let three = world.worker("three").logging();
        three.until(|report| held(report) > 0).await;
        world.pass(MINUTE).await;
        assert_eq!(world.log.all().len(), 30);
        set_paused(&world, false).await;
        world.log.complete(60).await;
        one.idle().await;
        three.idle().await;
        one.stop().await.unwrap();
        three.stop().await.unwrap();
        world.log.assert_ordered();
    }
}
