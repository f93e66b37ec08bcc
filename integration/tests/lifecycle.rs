//! How a worker ends: streams that are gone, two workers under one id, restarts, slow handlers, lost leases.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use integration::{World, held, shard_id};
use kcl_core::{
    Batch, BoxError, Expect, LeaseWrite, Position, Session, WorkerId, WriteOutcome, shard::Waiting,
    worker::WorkerFailure,
};
use kcl_runtime::{Checkpointer, RecordProcessor, ShardContext, WorkerError};

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_exist_ends_the_worker_and_says_what_to_check() {
    let world = World::without_stream(111);
    let error = world.worker("one").logging().ended().await.unwrap_err();
    assert!(
        matches!(error, WorkerError::Failed(WorkerFailure::StreamNotFound { .. })),
        "{error:?}"
    );
    let message = error.to_string();
    for word in ["rides", "create it", "region", "endpoint"] {
        assert!(message.contains(word), "{message}");
    }
    assert!(
        world.clock.elapsed() <= Duration::from_secs(1),
        "{:?}",
        world.clock.elapsed()
    );
    assert_eq!(world.leases().await, []);
}

#[tokio::test(start_paused = true)]
async fn wound_47_a_stream_that_is_deleted_ends_its_workers_which_give_their_leases_back() {
    let world = World::new(112, 3);
    world.put(30);
    let (one, two) = (world.worker("one").logging(), world.worker("two").logging());
    one.until(|report| held(report) > 0).await;
    two.until(|report| held(report) > 0).await;
    world.log.complete(30).await;
    world.delete_stream();
    let from = world.clock.elapsed();
    for worker in [one, two] {
        let error = worker.ended().await.unwrap_err();
        assert!(
            matches!(error, WorkerError::Failed(WorkerFailure::StreamNotFound { .. })),
            "{error:?}"
        );
    }
    let waited = world.clock.elapsed() - from;
    assert!(waited <= Duration::from_secs(5), "{waited:?}");
    for lease in world.leases().await {
        assert_eq!(
            (lease.holder(), lease.checkpoint.is_start()),
            (None, false),
            "{lease:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_workers_under_one_id_the_later_one_survives() {
    for (seed, shards) in [(113, 1), (114, 4)] {
        let world = World::new(seed, shards);
        world.put(20);
        let earlier = world.worker("same").logging();
        earlier.idle().await;
        world.pass(Duration::from_secs(5)).await;
        let later = world.worker("same").logging();
        let from = world.clock.elapsed();
        let error = earlier.ended().await.unwrap_err();
        let waited = world.clock.elapsed() - from;
        assert!(
            matches!(&error, WorkerError::Failed(WorkerFailure::DuplicateWorker { .. })),
            "{error:?}"
        );
        assert!(
            error.to_string().contains("give every worker an id of its own"),
            "{error}"
        );
        assert!(waited <= Duration::from_secs(5), "{waited:?}");
        world.put(20);
        world.log.complete(40).await;
        let shards = usize::try_from(shards).unwrap();
        later.until(|report| held(report) == shards).await;
        world.pass(Duration::from_secs(60)).await;
        assert_eq!(held(&later.report().await), shards);
        later.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_crashed_resumes_under_its_id_within_a_second() {
    let world = World::new(115, 4);
    let worker = world.worker("one").checkpoint_records(1).logging();
    world.put(40);
    worker.idle().await;
    world.pass(Duration::from_secs(5)).await;
    worker.crash().await;
    world.put(40);
    let from = world.clock.elapsed();
    let next = world.worker("one").logging();
    world.log.complete(80).await;
    let waited = world.clock.elapsed() - from;
    assert!(waited <= Duration::from_secs(1), "{waited:?}");
    next.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn wound_29_a_deleted_row_of_a_held_lease_is_restored_with_its_progress() {
    let world = World::new(116, 2);
    let worker = world.worker("one").checkpoint_records(1).logging();
    world.put(20);
    worker.idle().await;
    world.pass(Duration::from_secs(2)).await;
    let before = world.lease(&shard_id(0)).await;
    assert!(!before.checkpoint.is_start());
    let deleted = world.store.delete(&before.key, &Expect::exists()).await.unwrap();
    assert!(matches!(deleted, WriteOutcome::Applied(_)));
    let key = before.key.clone();
    world
        .table_until(|leases| leases.iter().any(|lease| lease.key == key && lease.holder().is_some()))
        .await;
    let after = world.lease(&shard_id(0)).await;
    assert_eq!(
        (after.checkpoint, after.hash_key_range),
        (before.checkpoint, before.hash_key_range)
    );
    world.put(20);
    world.log.complete(40).await;
    worker.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn wound_33_a_handler_that_is_slower_than_the_failover_time_keeps_its_lease() {
    let world = World::new(117, 1);
    world.put(5);
    let log = world.log.clone();
    let slow = world.worker("slow").function(move |batch: Batch| {
        let log = log.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(120)).await;
            log.note("slow", &batch);
        }
    });
    slow.until(|report| report.shards.iter().any(|shard| shard.status.buffered_records == 5))
        .await;
    let idle = world
        .worker("idle")
        .config(|config| config.max_leases = Some(1))
        .logging();
    world.log.complete(5).await;
    assert_eq!(world.log.all()[0].worker, "slow");
    assert!(world.clock.elapsed() >= Duration::from_secs(120));
    idle.stop().await.unwrap();
    slow.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
}

/// A processor that works until its lease is lost, and says what it sees.
struct Watching(Arc<Mutex<Vec<String>>>);

impl Watching {
    fn say(&self, what: &str) {
        self.0.lock().unwrap().push(what.to_owned());
    }
}

impl RecordProcessor for Watching {
    async fn process_records(&mut self, batch: &Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        self.say(&format!("{} records", batch.len()));
        checkpointer.lease_lost().await;
        assert!(checkpointer.is_lease_lost());
        let refused = checkpointer.checkpoint().await.unwrap_err();
        self.say(&refused.to_string());
        Ok(())
    }

    async fn lease_lost(&mut self) -> Result<(), BoxError> {
        self.say("lease lost");
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn wound_44_a_lease_that_is_lost_while_the_handler_runs_stops_it_and_its_results_do_not_count() {
    let world = World::new(118, 2);
    let said = Arc::new(Mutex::new(Vec::new()));
    let saying = Arc::clone(&said);
    let worker = world
        .worker("one")
        .processor(move |_: &ShardContext| Watching(Arc::clone(&saying)));
    worker.until(|report| held(report) == 2).await;
    world.put_into(&shard_id(0), 5, 0);
    worker
        .until(|report| report.shards.iter().any(|shard| shard.status.buffered_records == 5))
        .await;

    let row = world.lease(&shard_id(0)).await;
    let thief = WorkerId::new("thief").unwrap();
    let theft = LeaseWrite::take(&row, &thief, Session(1));
    let WriteOutcome::Applied(stolen) = world.store.update(&theft).await.unwrap() else {
        panic!("not stolen")
    };
    worker
        .until(|report| held(report) == 1 && report.shards.len() == 1)
        .await;
    let said = said.lock().unwrap().clone();
    assert_eq!(said[0], "5 records");
    assert!(said[1].contains("another worker checkpoints now"), "{said:?}");
    assert_eq!(said[2..], ["lease lost"]);
    assert_eq!(
        world.lease(&shard_id(0)).await,
        stolen,
        "nothing was written after the lease was lost"
    );
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wound_51_a_handler_that_never_returns_holds_a_shutdown_up_for_the_grace_and_no_longer() {
    let world = World::new(119, 2);
    world.put_into(&shard_id(0), 5, 0);
    let log = world.log.clone();
    let worker = world
        .worker("one")
        .config(|config| config.shutdown_grace = Duration::from_secs(20))
        .function(move |batch: Batch| {
            log.note("one", &batch);
            std::future::pending::<()>()
        });
    worker.until(|report| held(report) == 2).await;
    world.log.complete(5).await;
    let from = world.clock.elapsed();
    worker.stop().await.unwrap();
    let waited = world.clock.elapsed() - from;
    assert!(
        (Duration::from_secs(20)..Duration::from_secs(32)).contains(&waited),
        "{waited:?}"
    );
    for lease in world.leases().await {
        assert_eq!((lease.holder(), &lease.checkpoint), (None, &Position::TrimHorizon));
    }
    // What was not finished comes again.
    let next = world.worker("two").logging();
    next.idle().await;
    next.stop().await.unwrap();
    assert_eq!(world.log.replays(), 5);
}

#[tokio::test(start_paused = true)]
async fn leases_that_cannot_be_given_back_are_reported() {
    let world = World::new(120, 2);
    let store = kcl_checkpoint::FaultyLeaseStore::new(Arc::clone(&world.store), 120);
    let plan = store.plan().clone();
    let worker = world
        .worker("one")
        .store(store)
        .config(|config| config.shutdown_grace = Duration::from_secs(1));
    let worker = worker.logging();
    worker.until(|report| held(report) == 2).await;
    plan.start_outage();
    let error = worker.stop().await.unwrap_err();
    let WorkerError::Unreleased { leases } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(leases.len(), 2);
    assert!(error.to_string().contains("shardId-000000000001"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_future_is_dropped_leaves_no_handler_and_no_waiter_behind() {
    let world = World::new(121, 1);
    world.put(1);
    let log = world.log.clone();
    let worker = world.worker("one").function(move |batch: Batch| {
        let log = log.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            log.note("one", &batch);
        }
    });
    worker
        .until(|report| {
            report
                .shards
                .iter()
                .any(|shard| matches!(shard.status.waiting, Waiting::ForHandler { .. }))
        })
        .await;
    worker
        .until(|report| report.shards.iter().any(|shard| shard.status.buffered_records == 1))
        .await;
    let handle = worker.handle.clone();
    let waiter = tokio::spawn(async move { handle.wait_until(|_| false).await });
    world.pass(Duration::from_millis(1)).await;
    worker.crash().await;
    assert_eq!(waiter.await.unwrap(), None);
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(
        world.log.numbers(),
        [0_u64; 0],
        "the handler went on without its worker"
    );
}
