//! Live splits and merges, crashes and restarts: parents before children, in order, nothing lost.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use integration::{Running, World, shard_id};
use kcl_core::{Position, ShardId};

const WORKERS: usize = 3;

fn start(world: &World, worker: usize) -> Running {
    world
        .worker(&format!("worker-{worker}"))
        .config(|config| {
            config.failover_time = Duration::from_secs(3);
            config.shard_sync_interval = Duration::from_secs(10);
            config.max_records = 5;
        })
        .checkpoint_interval(Duration::from_secs(1))
        .logging()
}

#[tokio::test(start_paused = true)]
async fn children_follow_their_parents_through_a_split_and_a_merge() {
    let world = World::new(31, 3);
    let workers: Vec<Running> = (0..WORKERS).map(|worker| start(&world, worker)).collect();
    world.put(300);
    world.log.complete(100).await;
    world.split(&shard_id(0));
    world.put(300);
    world.merge(&shard_id(1), &shard_id(2));
    world.put(300);
    world.log.complete(900).await;
    for worker in workers {
        worker.idle().await;
        worker.stop().await.unwrap();
    }
    assert_eq!(world.log.replays(), 0, "nobody crashed");
    world.log.assert_ordered();
    world.log.assert_parents_before_children(&world.shards());
    for parent in 0..3 {
        assert_eq!(world.lease(&shard_id(parent)).await.checkpoint, Position::ShardEnd);
    }
}

#[tokio::test(start_paused = true)]
async fn wound_55_the_children_of_a_split_are_read_within_two_seconds() {
    let world = World::new(32, 1);
    let worker = start(&world, 0);
    worker.idle().await;
    world.split(&shard_id(0));
    let from = world.clock.elapsed();
    world.put(20);
    world.log.complete(20).await;
    let waited = world.clock.elapsed() - from;
    assert!(waited <= Duration::from_secs(2), "{waited:?}");
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn generations_that_were_resharded_while_nobody_ran_are_read_from_the_oldest_on() {
    let world = World::new(33, 2);
    world.put(100);
    world.split(&shard_id(0));
    world.put(100);
    world.split(&shard_id(2));
    world.put(100);
    world.merge(&shard_id(4), &shard_id(5));
    world.put(100);
    let workers: Vec<Running> = (0..WORKERS).map(|worker| start(&world, worker)).collect();
    world.log.complete(400).await;
    for worker in workers {
        worker.stop().await.unwrap();
    }
    assert_eq!(world.log.replays(), 0);
    world.log.assert_ordered();
    world.log.assert_parents_before_children(&world.shards());
}

/// A fleet under random trouble.
struct Chaos {
    world: World,
    rng: Rng,
    fleet: Vec<Option<Running>>,
    /// Checkpoints as the table once showed them, with the number of deliveries before that.
    shown: Vec<(usize, BTreeMap<ShardId, Position>)>,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let world = World::new(seed, 3);
        let fleet = (0..WORKERS).map(|worker| Some(start(&world, worker))).collect();
        Self {
            world,
            rng: Rng::with_seed(seed),
            fleet,
            shown: Vec::new(),
        }
    }

    async fn step(&mut self) {
        self.world.put(self.rng.u64(5..60));
        match self.rng.u8(0..10) {
            0 => self.split(),
            1 => self.merge(),
            2 | 3 => self.crash().await,
            4 => self.stop().await,
            5..8 => self.restart(),
            _ => {}
        }
        self.world.pass(Duration::from_millis(self.rng.u64(10..2_500))).await;
        let rows = self
            .world
            .leases()
            .await
            .into_iter()
            .map(|lease| (lease.shard, lease.checkpoint))
            .collect();
        self.shown.push((self.world.log.all().len(), rows));
    }

    fn split(&mut self) {
        let open = self.world.open_shards();
        if open.len() < 6 {
            self.world.split(&open[self.rng.usize(..open.len())].id);
        }
    }

    fn merge(&mut self) {
        let mut open = self.world.open_shards();
        open.sort_by_key(|shard| shard.hash_key_range.start);
        if open.len() > 2 {
            let lower = self.rng.usize(..open.len() - 1);
            self.world.merge(&open[lower].id, &open[lower + 1].id);
        }
    }

    async fn crash(&mut self) {
        let worker = self.rng.usize(..WORKERS);
        if let Some(running) = self.fleet[worker].take() {
            running.crash().await;
        }
    }

    async fn stop(&mut self) {
        let worker = self.rng.usize(..WORKERS);
        if let Some(running) = self.fleet[worker].take() {
            running.stop().await.unwrap();
        }
    }

    fn restart(&mut self) {
        let down = (0..WORKERS).find(|worker| self.fleet[*worker].is_none());
        if let Some(worker) = down {
            self.fleet[worker] = Some(start(&self.world, worker));
        }
    }

    async fn settle(&mut self) {
        while self.fleet.iter().any(Option::is_none) {
            self.restart();
        }
        self.world.log.complete(self.world.put_so_far()).await;
        for worker in self.fleet.iter_mut().filter_map(Option::take) {
            worker.idle().await;
            worker.stop().await.unwrap();
        }
    }

    /// Whatever the table said was handled did not come again, and no checkpoint went back.
    fn assert_bounded_replay(&self) {
        let deliveries = self.world.log.all();
        for (before, checkpoints) in &self.shown {
            for delivery in &deliveries[*before..] {
                let position = Position::after(delivery.sequence.clone());
                if let Some(checkpoint) = checkpoints.get(&delivery.shard) {
                    assert!(
                        position > *checkpoint,
                        "{delivery:?} came again after the checkpoint {checkpoint}"
                    );
                }
            }
        }
        for pair in self.shown.windows(2) {
            for (shard, checkpoint) in &pair[1].1 {
                assert!(
                    pair[0].1.get(shard).is_none_or(|before| before <= checkpoint),
                    "{shard} went back"
                );
            }
        }
    }
}

async fn survives_chaos(seed: u64) {
    let mut chaos = Chaos::new(seed);
    for _ in 0..60 {
        chaos.step().await;
    }
    chaos.settle().await;
    chaos.world.log.assert_ordered();
    chaos.world.log.assert_parents_before_children(&chaos.world.shards());
    chaos.assert_bounded_replay();
}

macro_rules! seeds {
    ($($name:ident $seed:literal)*) => {
        $(#[tokio::test(start_paused = true)]
        async fn $name() {
            survives_chaos($seed).await;
        })*
    };
}

seeds! {
    crashes_and_reshards_lose_nothing_seed_101 101
    crashes_and_reshards_lose_nothing_seed_102 102
    crashes_and_reshards_lose_nothing_seed_103 103
    crashes_and_reshards_lose_nothing_seed_104 104
    crashes_and_reshards_lose_nothing_seed_105 105
    crashes_and_reshards_lose_nothing_seed_106 106
}
