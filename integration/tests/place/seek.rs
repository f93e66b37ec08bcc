//! Shards that are moved to another place while they are read.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use integration::{World, consumer, shard_id};
use kcl_core::{
    Lease, LeaseKey, LeaseWrite, Position, WriteOutcome,
    seek::{SeekRefused, SeekTarget, plan_seek},
};
use kcl_runtime::{SeekError, ShardSelector};

use crate::stores::worlds;

const MINUTE: Duration = Duration::from_secs(60);

/// What `kclctl leases seek` does, from outside of every worker.
async fn operator_seeks(world: &World, keys: &[LeaseKey], target: &SeekTarget) {
    let listing = world.store.list().await.unwrap();
    for planned in plan_seek(keys, &listing.leases, target, world.clock.now()).unwrap() {
        let mut row = Lease::clone(&planned.lease);
        loop {
            let write = LeaseWrite::seek(&row, planned.to.clone());
            match world.store.update(&write).await.unwrap() {
                WriteOutcome::Applied(_) => break,
                WriteOutcome::Conflict(now) => row = now.unwrap(),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn given_a_live_worker_when_it_is_told_to_go_back_to_a_time_then_it_reads_again_from_there_and_keeps_its_leases()
{
    let (_directory, worlds) = worlds(730, 2).await;
    for world in worlds {
        world.put(20);
        let worker = world.worker("one").logging();
        worker.idle().await;
        world.pass(MINUTE).await;
        let time = world.clock.now();
        world.put(20);
        world.log.complete(40).await;
        let owners = || async {
            world
                .leases()
                .await
                .iter()
                .map(|row| row.owner.clone())
                .collect::<Vec<_>>()
        };
        let before = owners().await;

        let asked = world.clock.elapsed();
        let moved = worker.handle.seek(ShardSelector::All, time).await.unwrap();
        assert_eq!(moved.len(), 2);
        worker.idle().await;
        assert!(world.clock.elapsed() - asked < Duration::from_secs(4));
        let again: Vec<u64> = world
            .log
            .all()
            .split_off(40)
            .iter()
            .map(|delivery| delivery.number)
            .collect();
        let mut sorted = again.clone();
        sorted.sort_unstable();
        assert_eq!(
            sorted,
            (20..40).collect::<Vec<_>>(),
            "what came since then, and nothing else"
        );
        assert_eq!(owners().await, before, "nobody else had a chance");
        world.put(10);
        world.log.complete(50).await;
        worker.idle().await;
        worker.stop().await.unwrap();
        assert_eq!(world.log.replays(), 20);
        for row in world.leases().await {
            assert_eq!((row.seeks, row.checkpoint.is_start()), (1, false));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn given_an_operator_elsewhere_when_it_moves_a_held_lease_then_the_holder_notices_within_a_renewal() {
    let (_directory, worlds) = worlds(740, 1).await;
    for world in worlds {
        let worker = world.worker("one").logging();
        world.put(30);
        world.log.complete(30).await;
        worker.idle().await;
        let after = Position::after(world.log.all()[9].sequence.clone());
        let target = SeekTarget::After(after.record().unwrap().clone());
        let key = LeaseKey::of_shard(&shard_id(0));
        let asked = world.clock.elapsed();
        operator_seeks(&world, &[key], &target).await;
        worker
            .until(|report| report.worker.leases[0].lease.seeks == 1 && report.is_idle())
            .await;
        let waited = world.clock.elapsed() - asked;
        assert!(waited < Duration::from_secs(5), "{waited:?}");
        worker.stop().await.unwrap();
        let again = world.log.numbers().split_off(30);
        assert_eq!(again, (10..30).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn given_two_workers_and_an_operator_at_once_when_all_write_then_checkpoints_go_back_by_seeks_alone() {
    let world = World::new(750, 2);
    let spec = |name: &str| {
        let spec = world.worker(name).config(|config| {
            config.failover_time = Duration::from_secs(2);
            config.max_records = 3;
        });
        spec.checkpoint_interval(Duration::from_millis(50))
            .checkpoint_records(1)
    };
    let (log, pace) = (world.log.clone(), Duration::from_millis(70));
    let start = |name: &'static str| {
        let log = log.clone();
        spec(name).function(move |batch: kcl_core::Batch| {
            log.note(name, &batch);
            tokio::time::sleep(pace)
        })
    };
    let (one, mut two) = (start("one"), start("two"));
    world.put(200);
    let mut last: BTreeMap<LeaseKey, Lease> = BTreeMap::new();
    let mut rng = fastrand::Rng::with_seed(750);
    let mut seeks = 0;
    for round in 0..400 {
        world.pass(Duration::from_millis(50)).await;
        if round % 4 == 0 {
            world.put(1);
        }
        if round % 40 == 17 {
            let shard = shard_id(rng.u64(0..2));
            let of_shard: Vec<_> = world
                .log
                .all()
                .into_iter()
                .filter(|delivery| delivery.shard == shard)
                .collect();
            if let Some(delivery) = of_shard.get(of_shard.len() / 3) {
                let after = Position::after(delivery.sequence.clone());
                let target = SeekTarget::After(after.record().unwrap().clone());
                operator_seeks(&world, &[LeaseKey::of_shard(&shard)], &target).await;
                seeks += 1;
            }
        }
        if round == 200 {
            two.crash().await;
            two = start("two");
        }
        for row in world.leases().await {
            if let Some(before) = last.get(&row.key) {
                let kept = before.checkpoint.may_advance_to(&row.checkpoint);
                assert!(kept || row.seeks > before.seeks, "{before:?} became {row:?}");
                assert!(row.seeks >= before.seeks);
            }
            last.insert(row.key.clone(), row);
        }
    }
    assert!(seeks > 5, "{seeks}");
    world.log.complete(world.put_so_far()).await;
    one.idle().await;
    two.idle().await;
    one.stop().await.unwrap();
    two.stop().await.unwrap();
    let total: u64 = world.leases().await.iter().map(|row| row.seeks).sum();
    assert_eq!(total, seeks, "no seek was overwritten by a stale row");
}

#[tokio::test(start_paused = true)]
async fn given_a_handler_that_never_returns_when_its_shard_is_moved_then_it_is_cancelled_and_the_new_place_is_read() {
    let world = World::new(751, 1);
    world.put(10);
    let (log, calls) = (world.log.clone(), Arc::new(AtomicUsize::new(0)));
    let worker = world.worker("one").function(move |batch: kcl_core::Batch| {
        let (log, first) = (log.clone(), calls.fetch_add(1, Ordering::Relaxed) == 0);
        async move {
            if first {
                std::future::pending::<()>().await;
            }
            log.note("one", &batch);
        }
    });
    worker
        .until(|report| {
            let shard = consumer(report, &shard_id(0));
            shard.is_some_and(|shard| shard.status.buffered_records == 10)
        })
        .await;
    let asked = world.clock.elapsed();
    worker.handle.seek(shard_id(0), SeekTarget::TrimHorizon).await.unwrap();
    world.log.complete(10).await;
    let waited = world.clock.elapsed() - asked;
    assert!(waited < Duration::from_secs(7), "{waited:?}");
    assert_eq!(world.lease(&shard_id(0)).await.owner_switches_since_checkpoint, 0);
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn given_places_that_cannot_be_when_asked_then_each_refusal_says_why_and_nothing_moves() {
    let world = World::new(752, 2);
    world.put(40);
    let worker = world.worker("one").logging();
    worker.idle().await;
    let before = world.leases().await;
    let future = world.clock.now().saturating_add(MINUTE * 2);
    let refused = worker.handle.seek(shard_id(0), future).await;
    assert!(
        matches!(refused, Err(SeekError::Refused(SeekRefused::Future { .. }))),
        "{refused:?}"
    );
    let refused = worker.handle.seek(shard_id(7), SeekTarget::Latest).await;
    assert!(matches!(refused, Err(SeekError::NotHeld)), "{refused:?}");
    let number = |text: &str| SeekTarget::After(Position::after(text.parse().unwrap()).record().unwrap().clone());
    let refused = worker.handle.seek(shard_id(0), number("7")).await;
    assert!(matches!(refused, Err(SeekError::NotOfShard { .. })), "{refused:?}");
    let refused = worker.handle.seek(ShardSelector::All, number("7")).await;
    assert!(
        matches!(refused, Err(SeekError::Refused(SeekRefused::OneShardOnly { count: 2 }))),
        "{refused:?}"
    );
    let checkpoints = |rows: Vec<Lease>| {
        rows.into_iter()
            .map(|row| (row.checkpoint, row.seeks))
            .collect::<Vec<_>>()
    };
    worker.stop().await.unwrap();
    assert_eq!(checkpoints(before).len(), 2);
    assert!(world.leases().await.iter().all(|row| row.seeks == 0));
    assert_eq!(world.log.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn given_latest_when_a_worker_that_is_far_behind_goes_there_then_what_came_before_is_skipped_and_later_is_not() {
    let world = World::new(753, 1);
    world.put(100);
    let log = world.log.clone();
    let worker = world
        .worker("one")
        .config(|config| config.max_records = 1)
        .function(move |batch: kcl_core::Batch| {
            log.note("one", &batch);
            tokio::time::sleep(Duration::from_secs(1))
        });
    worker
        .until(|report| report.shards.iter().any(|shard| shard.status.handled_records >= 3))
        .await;
    world.pass(MINUTE).await;
    worker.handle.seek(shard_id(0), SeekTarget::Latest).await.unwrap();
    worker.idle().await;
    let first = world.put_so_far();
    world.put(5);
    world.log.complete_from(first, first + 5).await;
    worker.idle().await;
    worker.crash().await;
    let next = world.worker("two").logging();
    next.idle().await;
    next.stop().await.unwrap();
    let skipped = (0..100).filter(|number| !world.log.numbers().contains(number)).count();
    assert!(skipped > 20, "{skipped}");
}

#[tokio::test(start_paused = true)]
async fn given_finished_shards_when_they_are_moved_with_all_that_follows_then_parents_are_read_again_first() {
    let (_directory, worlds) = worlds(760, 1).await;
    for world in worlds {
        let worker = world.worker("one").logging();
        world.put(20);
        world.log.complete(20).await;
        world.split(&shard_id(0));
        world.put(20);
        world.log.complete(40).await;
        worker.idle().await;
        let keys: Vec<LeaseKey> = world.leases().await.iter().map(|row| row.key.clone()).collect();
        assert_eq!(keys.len(), 3);
        let alone = plan_seek(
            &keys[..1],
            &world.store.list().await.unwrap().leases,
            &SeekTarget::TrimHorizon,
            world.clock.now(),
        );
        assert!(matches!(alone, Err(SeekRefused::FollowersStay { .. })), "{alone:?}");

        let seen = world.log.all().len();
        operator_seeks(&world, &keys, &SeekTarget::TrimHorizon).await;
        let is_again = |numbers: Vec<u64>| (0..40).all(|number| numbers.contains(&number));
        for _ in 0..600 {
            if is_again(world.log.numbers().split_off(seen)) {
                break;
            }
            world.pass(Duration::from_millis(100)).await;
        }
        let again = world.log.all().split_off(seen);
        let last_of_parent = again
            .iter()
            .rposition(|delivery| delivery.shard == shard_id(0))
            .unwrap();
        let first_of_child = again.iter().position(|delivery| delivery.shard != shard_id(0)).unwrap();
        assert!(last_of_parent < first_of_child, "parents before children");
        assert_eq!(again.len(), 40);
        worker.idle().await;
        worker.stop().await.unwrap();
    }
}
