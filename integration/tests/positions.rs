//! Where an application starts that has read nothing yet.

use std::time::Duration;

use integration::{WorkerSpec, World, shard_id};
use kcl_core::{InitialPosition, Position};

const MINUTE: Duration = Duration::from_secs(60);

fn from(world: &World, position: InitialPosition) -> WorkerSpec {
    world.worker("one").config(|config| config.initial_position = position)
}

#[tokio::test(start_paused = true)]
async fn trim_horizon_starts_with_the_oldest_record() {
    let world = World::new(61, 2);
    world.put(20);
    world.pass(MINUTE).await;
    let worker = from(&world, InitialPosition::TrimHorizon).logging();
    world.log.complete(20).await;
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn latest_starts_with_what_comes_after_the_start() {
    let world = World::new(62, 2);
    world.put(20);
    world.pass(MINUTE).await;
    let worker = from(&world, InitialPosition::Latest).logging();
    worker.idle().await;
    world.put(20);
    world.log.complete_from(20, 40).await;
    worker.idle().await;
    worker.stop().await.unwrap();
    assert_eq!(world.log.all().len(), 20, "nothing older was delivered");
}

#[tokio::test(start_paused = true)]
async fn a_timestamp_starts_with_the_first_record_of_that_time() {
    let world = World::new(63, 2);
    world.put(20);
    world.pass(MINUTE).await;
    let start = world.clock.now();
    world.put(20);
    world.pass(MINUTE).await;
    world.put(20);
    let worker = from(&world, InitialPosition::AtTimestamp(start)).logging();
    world.log.complete_from(20, 60).await;
    worker.idle().await;
    worker.stop().await.unwrap();
    assert_eq!(world.log.all().len(), 40);
}

#[tokio::test(start_paused = true)]
async fn wound_26_latest_is_pinned_when_a_shard_is_opened_so_that_a_crash_loses_nothing() {
    let world = World::new(64, 2);
    world.put(20);
    world.pass(MINUTE).await;
    let worker = from(&world, InitialPosition::Latest).logging();
    world
        .table_until(|leases| {
            leases.len() == 2
                && leases
                    .iter()
                    .all(|lease| matches!(lease.checkpoint, Position::AtTimestamp(_)))
        })
        .await;
    worker.crash().await;

    world.put(20);
    world.pass(MINUTE).await;
    world.put(20);
    let next = from(&world, InitialPosition::Latest).logging();
    world.log.complete_from(20, 60).await;
    next.idle().await;
    next.stop().await.unwrap();
    assert_eq!(world.log.all().len(), 40, "nothing older was delivered");
}

#[tokio::test(start_paused = true)]
async fn wound_26_latest_also_survives_a_crash_during_the_first_batch() {
    let world = World::new(65, 1);
    world.pass(MINUTE).await;
    let stuck = from(&world, InitialPosition::Latest).function(|_| std::future::pending::<()>());
    stuck.until(kcl_runtime::Report::is_idle).await;
    world.put(5);
    stuck
        .until(|report| report.shards.iter().any(|shard| shard.status.buffered_records == 5))
        .await;
    stuck.crash().await;
    world.put(5);
    let next = from(&world, InitialPosition::Latest).logging();
    world.log.complete(10).await;
    next.stop().await.unwrap();
    world.log.assert_ordered();
}

/// Java has the position in two places and believes one of them, whose default is LATEST.
#[tokio::test(start_paused = true)]
async fn wound_28_the_one_setting_counts_in_every_shard_whichever_worker_reads_it() {
    let world = World::new(68, 3);
    world.put(30);
    world.pass(MINUTE).await;
    let start = world.clock.now();
    world.put(30);
    world.pass(MINUTE).await;
    let workers = ["one", "two"].map(|name| {
        let at = InitialPosition::AtTimestamp(start);
        world
            .worker(name)
            .config(|config| config.initial_position = at)
            .logging()
    });
    world.log.complete_from(30, 60).await;
    for worker in workers {
        worker.idle().await;
        worker.stop().await.unwrap();
    }
    assert_eq!(
        world.log.all().len(),
        30,
        "from the time on, in every shard, by whichever worker"
    );
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_wins_over_the_initial_position() {
    let world = World::new(66, 1);
    world.put(10);
    let first = from(&world, InitialPosition::TrimHorizon).logging();
    first.idle().await;
    first.stop().await.unwrap();
    world.put(10);
    world.pass(MINUTE).await;
    let next = from(&world, InitialPosition::Latest).logging();
    world.log.complete(20).await;
    next.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn children_are_read_from_their_beginning_whatever_the_initial_position() {
    let world = World::new(67, 1);
    world.put(10);
    world.pass(MINUTE).await;
    let worker = from(&world, InitialPosition::Latest).logging();
    worker.idle().await;
    world.split(&shard_id(0));
    world.put(10);
    world.log.complete_from(10, 20).await;
    worker.idle().await;
    worker.stop().await.unwrap();
    assert_eq!(world.log.all().len(), 10);
}
