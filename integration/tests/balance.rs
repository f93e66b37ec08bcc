//! Balance by what leases weigh, as a fleet's users see it.

use std::time::Duration;

use kcl_core::{ShardId, assign::LeaseAssignment};
use kcl_runtime::{
    Config,
    testing::{TestWorker, TestWorld},
};

/// One second in which each of `hot` takes 200 KB.
async fn second(world: &TestWorld, hot: &[ShardId]) {
    for shard in hot {
        world.put_into(shard, "hot", vec![0; 200_000]);
    }
    world.advance(Duration::from_secs(1)).await;
}

/// Two workers with four shards, two of which are hot and with the same worker.
async fn two_workers(assignment: LeaseAssignment) -> (TestWorld, [TestWorker; 2], Vec<ShardId>) {
    let world = TestWorld::new("orders", 4).await;
    let seen = world.recorder();
    let mut config = Config::default();
    config.lease_assignment = assignment;
    let start = |name| world.start(world.worker(name).config(config.clone()).function(seen.succeed()));
    let workers = [start("w1"), start("w2")];
    let report = world
        .until("w1 and w2 share the shards", |report| {
            ["w1", "w2"].iter().all(|worker| report.held_by(worker).len() == 2)
        })
        .await;
    let hot = report.held_by("w1").into_iter().cloned().collect();
    (world, workers, hot)
}

async fn hot_at(world: &TestWorld, worker: &str, hot: &[ShardId]) -> usize {
    let report = world.report().await;
    let held = report.held_by(worker);
    assert_eq!(held.len(), 2, "the numbers stay even");
    hot.iter().filter(|shard| held.contains(shard)).count()
}

#[tokio::test(start_paused = true)]
async fn given_two_hot_shards_at_one_worker_when_throughput_is_balanced_then_each_has_one_and_then_nothing_moves() {
    let (world, workers, hot) = two_workers(LeaseAssignment::Throughput).await;

    for _ in 0..90 {
        second(&world, &hot).await;
    }

    assert_eq!(hot_at(&world, "w1", &hot).await, 1);
    let holders = || async {
        world
            .leases()
            .await
            .into_iter()
            .map(|lease| lease.owner)
            .collect::<Vec<_>>()
    };
    let before = holders().await;
    for _ in 0..120 {
        second(&world, &hot).await;
        assert_eq!(holders().await, before);
    }
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn given_two_hot_shards_at_one_worker_when_one_worker_balances_numbers_alone_then_nothing_moves() {
    let (world, workers, hot) = two_workers(LeaseAssignment::LeaseCount).await;
    for _ in 0..90 {
        second(&world, &hot).await;
    }
    assert_eq!(hot_at(&world, "w1", &hot).await, 2);
    for worker in workers {
        worker.stop().await;
    }
}
