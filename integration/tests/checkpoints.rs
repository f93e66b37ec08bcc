//! When the lease table learns how far a shard was handled: by the runtime, or by the processor itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use integration::{Log, WorkerSpec, World, shard_id};
use kcl_core::{Batch, BoxError, LeaseWrite, Position, Session, WorkerId, WriteOutcome};
use kcl_runtime::{CheckpointError, Checkpointer, RecordProcessor, ShardContext};

const HOUR: Duration = Duration::from_secs(3600);

/// A worker that renews so rarely that renewals carry no checkpoints while a test looks.
fn rarely_renewing(world: &World) -> WorkerSpec {
    world.worker("one").config(|config| {
        config.failover_time = HOUR;
        config.scan_interval = Some(Duration::from_secs(1));
    })
}

#[tokio::test(start_paused = true)]
async fn handled_records_are_checkpointed_when_they_are_many() {
    let world = World::new(11, 1);
    let worker = rarely_renewing(&world)
        .checkpoint_interval(HOUR)
        .checkpoint_records(10)
        .logging();
    world.put(9);
    worker.idle().await;
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.lease(&shard_id(0)).await.checkpoint, Position::TrimHorizon);

    world.put(1);
    let waited = world.table_until(|leases| !leases[0].checkpoint.is_start()).await;
    assert!(waited <= Duration::from_secs(1), "{waited:?}");
    let last = world.log.all().pop().unwrap();
    assert_eq!(
        world.lease(&shard_id(0)).await.checkpoint,
        Position::after(last.sequence)
    );
    worker.crash().await;
}

#[tokio::test(start_paused = true)]
async fn handled_records_are_checkpointed_when_they_are_old() {
    let world = World::new(12, 1);
    let interval = Duration::from_secs(20);
    let worker = rarely_renewing(&world)
        .checkpoint_interval(interval)
        .checkpoint_records(1_000)
        .logging();
    world.put(1);
    world.log.complete(1).await;
    let waited = world.table_until(|leases| !leases[0].checkpoint.is_start()).await;
    assert!(
        (interval..interval + Duration::from_millis(50)).contains(&waited),
        "{waited:?}"
    );
    worker.crash().await;
}

#[tokio::test(start_paused = true)]
async fn every_renewal_carries_what_was_handled() {
    let world = World::new(13, 1);
    let worker = world
        .worker("one")
        .checkpoint_interval(HOUR)
        .checkpoint_records(1_000)
        .logging();
    world.put(3);
    world.log.complete(3).await;
    let waited = world.table_until(|leases| !leases[0].checkpoint.is_start()).await;
    assert!(
        waited <= Duration::from_millis(3_400),
        "a third of the failover time, and not {waited:?}"
    );
    worker.crash().await;
}

#[tokio::test(start_paused = true)]
async fn a_clean_shutdown_checkpoints_what_was_handled() {
    let world = World::new(14, 2);
    let worker = rarely_renewing(&world)
        .checkpoint_interval(HOUR)
        .checkpoint_records(1_000)
        .logging();
    world.put(30);
    world.log.complete(30).await;
    worker.stop().await.unwrap();
    for lease in world.leases().await {
        assert_eq!((lease.holder(), lease.checkpoint.is_start()), (None, false));
    }
    let next = rarely_renewing(&world).logging();
    next.idle().await;
    next.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
}

/// What a [`Scripted`] processor does with each batch.
#[derive(Clone, Debug)]
enum Script {
    Nothing,
    CheckpointAll,
    /// Checkpoints the record at this index of each batch.
    CheckpointOne(usize),
    /// Checkpoints in another order than the records', and notes what became of it.
    TryNonsense(Arc<Mutex<Vec<Result<(), CheckpointError>>>>),
    /// Gives the checkpointer to the test.
    Hand(Arc<Mutex<Option<Checkpointer>>>),
    /// Checkpoints only when the worker shuts down.
    AtShutdown,
}

#[derive(Debug)]
struct Scripted {
    log: Log,
    script: Script,
}

impl RecordProcessor for Scripted {
    async fn process_records(&mut self, batch: &Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        match &self.script {
            Script::Nothing | Script::AtShutdown => {}
            Script::CheckpointAll => checkpointer.checkpoint().await?,
            Script::CheckpointOne(index) => checkpointer.checkpoint_record(&batch[*index]).await?,
            Script::TryNonsense(results) => {
                let beyond = format!("{}0", batch.last().unwrap().sequence_number).parse()?;
                let tries = [
                    checkpointer.checkpoint_at(beyond, 0).await,
                    checkpointer.checkpoint_record(&batch[2]).await,
                    checkpointer.checkpoint_record(&batch[0]).await,
                    checkpointer.checkpoint_record(&batch[2]).await,
                    checkpointer.checkpoint().await,
                ];
                results.lock().unwrap().extend(tries);
            }
            Script::Hand(hand) => *hand.lock().unwrap() = Some(checkpointer.clone()),
        }
        self.log.note("processor", batch);
        Ok(())
    }

    async fn shutdown_requested(&mut self, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        if matches!(self.script, Script::AtShutdown) {
            checkpointer.checkpoint().await?;
        }
        Ok(())
    }
}

fn scripted(world: &World, script: Script) -> integration::Running {
    let log = world.log.clone();
    world.worker("one").processor(move |_: &ShardContext| Scripted {
        log: log.clone(),
        script: script.clone(),
    })
}

#[tokio::test(start_paused = true)]
async fn wound_27_a_processor_that_never_checkpoints_gets_everything_again_after_a_restart() {
    let world = World::new(15, 1);
    world.put(8);
    for life in 1..=3 {
        let worker = scripted(&world, Script::Nothing);
        worker
            .until(|report| report.shards.iter().any(|shard| shard.status.handled_records == 8))
            .await;
        world.pass(Duration::from_secs(30)).await;
        worker.stop().await.unwrap();
        assert_eq!(world.log.all().len(), 8 * life);
        assert_eq!(world.lease(&shard_id(0)).await.checkpoint, Position::TrimHorizon);
    }
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_is_in_the_table_when_the_call_returns() {
    let world = World::new(16, 1);
    world.put(8);
    let worker = scripted(&world, Script::CheckpointAll);
    // The processor notes the batch after its checkpoint returned.
    world.log.complete(8).await;
    let last = world.log.all().pop().unwrap();
    assert_eq!(
        world.lease(&shard_id(0)).await.checkpoint,
        Position::after(last.sequence)
    );
    worker.crash().await;
    let next = scripted(&world, Script::CheckpointAll);
    next.idle().await;
    assert_eq!(world.log.replays(), 0);
    next.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_the_record_behind_the_checkpointed_one_comes_first() {
    let world = World::new(17, 1);
    world.put(6);
    let worker = scripted(&world, Script::CheckpointOne(2));
    world.log.complete(6).await;
    worker.crash().await;
    let next = scripted(&world, Script::Nothing);
    next.idle().await;
    assert_eq!(world.log.numbers(), [0, 1, 2, 3, 4, 5, 3, 4, 5]);
    next.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_last_chance_to_checkpoint_is_shutdown_requested() {
    let world = World::new(18, 1);
    world.put(6);
    let worker = scripted(&world, Script::AtShutdown);
    worker.idle().await;
    assert_eq!(world.lease(&shard_id(0)).await.checkpoint, Position::TrimHorizon);
    worker.stop().await.unwrap();
    let last = world.log.all().pop().unwrap();
    assert_eq!(
        world.lease(&shard_id(0)).await.checkpoint,
        Position::after(last.sequence)
    );
}

#[tokio::test(start_paused = true)]
async fn checkpoints_beyond_what_was_delivered_or_back_are_refused() {
    let world = World::new(19, 1);
    world.put(4);
    let results = Arc::new(Mutex::new(Vec::new()));
    let worker = scripted(&world, Script::TryNonsense(Arc::clone(&results)));
    world.log.complete(4).await;
    let results = results
        .lock()
        .unwrap()
        .iter()
        .map(|result| result.as_ref().map_err(ToString::to_string))
        .map(|result| result.copied())
        .collect::<Vec<_>>();
    assert!(
        results[0]
            .as_ref()
            .is_err_and(|error| error.contains("was not delivered yet")),
        "{results:?}"
    );
    assert_eq!(results[1], Ok(()));
    assert!(
        results[2]
            .as_ref()
            .is_err_and(|error| error.contains("checkpoints do not go back")),
        "{results:?}"
    );
    assert_eq!(results[3..], [Ok(()), Ok(())], "the same again, and all of it");
    let last = world.log.all().pop().unwrap();
    assert_eq!(
        world.lease(&shard_id(0)).await.checkpoint,
        Position::after(last.sequence)
    );
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wound_30_a_stale_checkpointer_says_that_the_lease_is_lost_and_changes_nothing() {
    let world = World::new(20, 1);
    world.put(4);
    let hand = Arc::new(Mutex::new(None));
    let worker = scripted(&world, Script::Hand(Arc::clone(&hand)));
    world.log.complete(4).await;
    let stale = hand.lock().unwrap().take().unwrap();
    assert!(!stale.is_lease_lost());

    // Somebody else takes the lease, as after a pause of this worker.
    let row = world.lease(&shard_id(0)).await;
    let thief = WorkerId::new("thief").unwrap();
    let theft = LeaseWrite::take(&row, &thief, Session(1));
    assert!(matches!(
        world.store.update(&theft).await.unwrap(),
        WriteOutcome::Applied(_)
    ));
    stale.lease_lost().await;
    assert!(stale.is_lease_lost());
    let stolen = world.lease(&shard_id(0)).await;
    assert!(stale.checkpoint().await.unwrap_err().is_lease_lost());

    // The thief is dead, and the worker holds the lease again: the old checkpointer still is of no use.
    worker.until(|report| integration::held(report) == 1).await;
    assert!(stale.checkpoint().await.unwrap_err().is_lease_lost());
    assert_eq!(world.lease(&shard_id(0)).await.checkpoint, stolen.checkpoint);
    worker.stop().await.unwrap();
}

/// A processor whose `shard_ended` fails a few times.
#[derive(Debug)]
struct Ending {
    log: Log,
    failures: Arc<AtomicUsize>,
}

impl RecordProcessor for Ending {
    async fn process_records(&mut self, batch: &Batch, _: &Checkpointer) -> Result<(), BoxError> {
        self.log.note("processor", batch);
        Ok(())
    }

    async fn shard_ended(&mut self, _: &Checkpointer) -> Result<(), BoxError> {
        let failed = self
            .failures
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if failed.is_ok() {
            Err("the report cannot be written".into())
        } else {
            Ok(())
        }
    }
}

#[tokio::test(start_paused = true)]
async fn wound_35_a_shard_end_that_fails_is_repeated_and_holds_the_children_back() {
    let world = World::new(21, 1);
    world.put(6);
    let failures = Arc::new(AtomicUsize::new(5));
    let (log, failing) = (world.log.clone(), Arc::clone(&failures));
    let worker = world.worker("one").processor(move |_: &ShardContext| Ending {
        log: log.clone(),
        failures: Arc::clone(&failing),
    });
    world.log.complete(6).await;
    world.split(&shard_id(0));
    world.put(6);
    let report = worker
        .until(|report| {
            report
                .shards
                .iter()
                .any(|shard| shard.status.waiting.to_string().contains("failed 4 times"))
        })
        .await;
    let waiting = report.shards[0].status.waiting.to_string();
    assert!(
        waiting.starts_with("shard_ended failed 4 times") && waiting.contains("cannot be written"),
        "{waiting}"
    );
    assert_ne!(world.lease(&shard_id(0)).await.checkpoint, Position::ShardEnd);
    assert_eq!(world.log.all().len(), 6, "no child begins before its parent is done");

    world.log.complete(12).await;
    assert_eq!(failures.load(Ordering::Relaxed), 0);
    let parent = world.lease(&shard_id(0)).await;
    assert_eq!(
        (parent.checkpoint, parent.children),
        (Position::ShardEnd, vec![shard_id(1), shard_id(2)])
    );
    world.log.assert_parents_before_children(&world.shards());
    worker.stop().await.unwrap();
}
