//! Several calls beside each other inside a shard: what a slow key, a poison record, a stop and a lost lease mean then.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use integration::{Log, World, held, shard_id};
use kcl_checkpoint::MemoryLeaseStore;
use kcl_core::{
    ApplicationName, Batch, BoxError, LeaseWrite, Position, Session, StreamName, WorkerId, WriteOutcome, shard::Lanes,
};
use kcl_runtime::{Checkpointer, ConfigError, KinesisSource, RecordProcessor, ShardContext, Worker};

fn has_key(batch: &Batch, key: &str) -> bool {
    batch.iter().any(|record| record.partition_key == key)
}

#[tokio::test(start_paused = true)]
async fn given_a_slow_key_when_others_flow_then_they_do_not_wait_for_it() {
    let world = World::new(301, 1);
    world.put_keyed("slow", 1);
    world.put(200);
    let log = world.log.clone();
    let worker = world
        .worker("one")
        .config(|config| config.lanes = Lanes::PerKey { calls: 8 })
        .function(move |batch: Batch| {
            let log = log.clone();
            async move {
                if has_key(&batch, "slow") {
                    tokio::time::sleep(Duration::from_secs(120)).await;
                }
                log.note("one", &batch);
            }
        });
    world.log.complete_from(1, 201).await;
    assert!(
        world.clock.elapsed() < Duration::from_secs(10),
        "{:?}",
        world.clock.elapsed()
    );
    let status = worker.report().await.shards[0].status.clone();
    assert_eq!((status.lanes.running, status.buffered_records), (1, 1));
    assert_eq!(
        status.handled,
        Position::TrimHorizon,
        "what lies behind a gap is not committed"
    );
    worker.idle().await;
    worker.stop().await.unwrap();
    world.log.assert_keys_ordered();
    assert_eq!(world.log.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn given_lambdas_factor_when_keys_are_many_then_so_many_calls_run_at_once_and_no_more() {
    let world = World::new(302, 1);
    world.put(400);
    let running = Arc::new(Mutex::new((0, 0)));
    let (counting, log) = (Arc::clone(&running), world.log.clone());
    let worker = world
        .worker("one")
        .config(|config| {
            config.lanes = Lanes::Hashed(5);
            config.batch_size = 10;
        })
        .function(move |batch: Batch| {
            let (running, log) = (Arc::clone(&counting), log.clone());
            async move {
                {
                    let mut running = running.lock().unwrap();
                    running.0 += 1;
                    running.1 = running.0.max(running.1);
                }
                log.note("one", &batch);
                tokio::time::sleep(Duration::from_millis(100)).await;
                running.lock().unwrap().0 -= 1;
            }
        });
    worker.idle().await;
    worker.stop().await.unwrap();
    assert_eq!(*running.lock().unwrap(), (0, 5));
    world.log.assert_keys_ordered();
    assert_eq!(world.log.numbers().len(), 400);
}

#[tokio::test(start_paused = true)]
async fn given_a_poison_record_when_its_lane_fails_then_only_that_lane_waits_until_the_window_is_full() {
    let world = World::new(303, 1);
    world.put_keyed("poison", 1);
    world.put(300);
    let log = world.log.clone();
    let worker = world
        .worker("one")
        .config(|config| {
            config.lanes = Lanes::PerKey { calls: 8 };
            config.lane_window = 100;
        })
        .function(move |batch: Batch| {
            let fails = has_key(&batch, "poison");
            if !fails {
                log.note("one", &batch);
            }
            async move {
                if fails {
                    Err("a record of an unknown kind")
                } else {
                    Ok(())
                }
            }
        });
    let report = worker
        .until(|report| report.shards.iter().any(|shard| shard.status.lanes.held_up))
        .await;
    assert_eq!(world.log.numbers().len(), 99, "up to the end of the window");
    let status = &report.shards[0].status;
    assert_eq!((status.lanes.failing, status.lanes.window_records), (1, 100));
    let failing = status.lanes.oldest_failing.as_ref().unwrap();
    assert_eq!(failing.error, "a record of an unknown kind");
    assert!(failing.first.record().is_some());
    assert!(
        status.waiting.to_string().contains("a record of an unknown kind"),
        "{}",
        status.waiting
    );

    // A stop ends all the same, and commits nothing that lies behind the poison.
    let from = world.clock.elapsed();
    worker.stop().await.unwrap();
    assert!(world.clock.elapsed() - from < Duration::from_secs(5));
    assert_eq!(world.lease(&shard_id(0)).await.checkpoint, Position::TrimHorizon);
}

/// A handler that takes longer for some keys than for others.
fn uneven(
    log: &Log,
    name: &'static str,
) -> impl Fn(Batch) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + use<> {
    let log = log.clone();
    move |batch: Batch| {
        let log = log.clone();
        Box::pin(async move {
            let first = batch.first().unwrap();
            let millis = 50 + u64::from(first.partition_key.bytes().last().unwrap_or(0)) % 10 * 60;
            tokio::time::sleep(Duration::from_millis(millis)).await;
            log.note(name, &batch);
        })
    }
}

#[tokio::test(start_paused = true)]
async fn given_fleets_with_lanes_when_leases_are_handed_over_then_nothing_is_handled_twice() {
    let world = World::new(304, 4);
    let lanes = |config: &mut kcl_runtime::Config| {
        config.lanes = Lanes::PerKey { calls: 6 };
        config.batch_size = 2;
    };
    let one = world.worker("one").config(lanes).function(uneven(&world.log, "one"));
    one.until(|report| held(report) == 4).await;
    for _ in 0..10 {
        world.put(60);
        world.pass(Duration::from_millis(700)).await;
    }
    // The second asks for its share while keys are at different places.
    let two = world.worker("two").config(lanes).function(uneven(&world.log, "two"));
    for _ in 0..10 {
        world.put(60);
        world.pass(Duration::from_millis(700)).await;
    }
    two.until(|report| held(report) == 2).await;
    one.stop().await.unwrap();
    world.put(60);
    two.until(|report| held(report) == 4).await;
    two.stop().await.unwrap();
    let three = world
        .worker("three")
        .config(lanes)
        .function(uneven(&world.log, "three"));
    world.log.complete(1_260).await;
    three.idle().await;
    three.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
    world.log.assert_keys_ordered();
}

#[tokio::test(start_paused = true)]
async fn given_lanes_when_shards_are_split_and_merged_then_parents_are_done_before_their_children() {
    let world = World::new(305, 2);
    let worker = world
        .worker("one")
        .config(|config| config.lanes = Lanes::Hashed(4))
        .function(uneven(&world.log, "one"));
    world.put(200);
    world.split(&shard_id(0));
    world.put(200);
    worker.until(|report| held(report) == 3).await;
    world.merge(&shard_id(2), &shard_id(3));
    world.put(200);
    world.log.complete(600).await;
    worker.idle().await;
    worker.stop().await.unwrap();
    world.log.assert_parents_before_children(&world.shards());
    world.log.assert_keys_ordered();
    assert_eq!(world.log.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn wound_33_given_lanes_slower_than_the_failover_time_when_another_worker_waits_then_the_lease_is_kept() {
    let world = World::new(306, 1);
    world.put(20);
    let log = world.log.clone();
    let one = world
        .worker("one")
        .config(|config| config.lanes = Lanes::PerKey { calls: 4 })
        .function(move |batch: Batch| {
            let log = log.clone();
            async move {
                tokio::time::sleep(Duration::from_secs(60)).await;
                log.note("one", &batch);
            }
        });
    one.until(|report| held(report) == 1).await;
    let two = world.worker("two").logging();
    world.log.complete(20).await;
    assert!(world.log.all().iter().all(|delivery| delivery.worker == "one"));
    assert_eq!(world.log.replays(), 0);
    one.stop().await.unwrap();
    two.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wound_44_given_lanes_that_run_when_the_lease_is_lost_then_all_are_ended_and_nothing_is_written() {
    let world = World::new(307, 1);
    world.put(20);
    let worker = world
        .worker("one")
        .config(|config| config.lanes = Lanes::PerKey { calls: 4 })
        .function(|_: Batch| std::future::pending::<()>());
    worker
        .until(|report| report.shards.iter().any(|shard| shard.status.lanes.running == 4))
        .await;
    let row = world.lease(&shard_id(0)).await;
    let theft = LeaseWrite::take(&row, &WorkerId::new("thief").unwrap(), Session(1));
    let WriteOutcome::Applied(stolen) = world.store.update(&theft).await.unwrap() else {
        panic!("not stolen")
    };
    let from = world.clock.elapsed();
    worker.until(|report| report.shards.is_empty()).await;
    assert!(
        world.clock.elapsed() - from < Duration::from_secs(10),
        "they had a grace, and were ended"
    );
    assert_eq!(world.lease(&shard_id(0)).await, stolen);
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn given_lanes_that_panic_when_others_succeed_then_only_their_records_come_again() {
    let world = World::new(308, 1);
    world.put_keyed("bug", 1);
    world.put(50);
    let (log, calls) = (world.log.clone(), Arc::new(Mutex::new(0)));
    let worker = world
        .worker("one")
        .config(|config| config.lanes = Lanes::PerKey { calls: 4 })
        .function(move |batch: Batch| {
            let (log, calls) = (log.clone(), Arc::clone(&calls));
            async move {
                if has_key(&batch, "bug") {
                    let mut calls = calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    *calls += 1;
                    assert!(*calls > 3, "a bug in the handler");
                }
                log.note("one", &batch);
            }
        });
    worker.idle().await;
    worker.stop().await.unwrap();
    assert_eq!((world.log.numbers().len(), world.log.replays()), (51, 0));
    assert_eq!(*world.log.numbers().last().unwrap(), 0, "it came last");
}

struct Nothing;

impl RecordProcessor for Nothing {
    async fn process_records(&mut self, _batch: &Batch, _checkpointer: &Checkpointer) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn given_a_processor_or_a_stream_when_lanes_are_set_besides_then_the_error_says_what_to_do() {
    let world = World::new(309, 1);
    let builder = || {
        let source = KinesisSource::new(world.worker("one").client(), StreamName::new("rides").unwrap());
        let config = kcl_runtime::Config::default();
        let mut with_lanes = config;
        with_lanes.lanes = Lanes::Hashed(4);
        Worker::builder(
            ApplicationName::new("billing").unwrap(),
            source,
            Arc::new(MemoryLeaseStore::new()),
        )
        .config(with_lanes)
    };
    let error = builder().processor(|_: &ShardContext| Nothing).build().unwrap_err();
    assert!(matches!(error, ConfigError::LanesWithProcessor { .. }));
    assert!(error.to_string().contains("handle batches with a function"), "{error}");
    let error = builder().stream().build().unwrap_err();
    assert!(matches!(error, ConfigError::LanesWithStream { .. }));
    let error = builder()
        .function(|_: Batch| async {})
        .lanes(Lanes::PerKey { calls: 0 })
        .build();
    assert!(
        matches!(error, Err(ConfigError::OutOfRange { setting: "lanes", .. })),
        "{error:?}"
    );
}
