//! Checkpoints in two steps, with the application's own state between them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use integration::{Log, World, shard_id};
use kcl_core::{Batch, BoxError, LeaseWrite, PendingCheckpoint, Position, WriteOutcome, shard::CheckpointRefused};
use kcl_runtime::{CheckpointError, Checkpointer, RecordProcessor, ShardContext};

use crate::stores::worlds;

/// What a processor does with a batch after it was noted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// Prepares everything with a state, and stops there.
    Prepare,
    /// Prepares, and commits when the transaction is done.
    Commit,
    /// Prepares, then commits something else.
    PrepareThenCheckpoint,
    /// Prepares the end of the shard too.
    PrepareAtTheEnd,
    /// Asks for what cannot be.
    Nonsense,
}

/// What the processors were told and what they were refused.
#[derive(Clone, Debug, Default)]
struct Seen {
    pending: Arc<Mutex<Vec<Option<PendingCheckpoint>>>>,
    refused: Arc<Mutex<Vec<CheckpointError>>>,
}

struct Transactional {
    log: Log,
    then: Then,
    seen: Seen,
}

impl RecordProcessor for Transactional {
    async fn initialize(&mut self, context: &ShardContext) -> Result<(), BoxError> {
        self.seen
            .pending
            .lock()
            .unwrap()
            .push(context.pending_checkpoint.clone());
        Ok(())
    }

    async fn process_records(&mut self, batch: &Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        let state = Some(Bytes::from_static(b"transaction 7"));
        match self.then {
            Then::Prepare | Then::PrepareAtTheEnd => {
                let prepared = checkpointer.prepare_checkpoint(state).await?;
                assert_eq!(Some(prepared.position().clone()), batch.end_position());
            }
            Then::Commit => checkpointer.prepare_checkpoint(state).await?.commit().await?,
            Then::PrepareThenCheckpoint => {
                let prepared = checkpointer.prepare_checkpoint_record(&batch[0], state).await?;
                checkpointer.checkpoint_record(&batch[1]).await?;
                let refused = prepared.commit().await.err();
                self.seen.refused.lock().unwrap().extend(refused);
            }
            Then::Nonsense => {
                let beyond = format!("{}0", batch[0].sequence_number).parse()?;
                let tries = [
                    checkpointer.prepare_checkpoint_at(beyond, 0, None).await,
                    checkpointer
                        .prepare_checkpoint(Some(Bytes::from(vec![0; 300_000])))
                        .await,
                ];
                checkpointer.checkpoint_record(&batch[2]).await?;
                let back = checkpointer.prepare_checkpoint_record(&batch[0], None).await;
                let refused = tries.into_iter().chain([back]).filter_map(Result::err);
                self.seen.refused.lock().unwrap().extend(refused);
                // What is stored already is nothing to prepare.
                checkpointer
                    .prepare_checkpoint_record(&batch[2], state)
                    .await?
                    .commit()
                    .await?;
            }
        }
        self.log.note("one", batch);
        Ok(())
    }

    async fn shard_ended(&mut self, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        if self.then == Then::PrepareAtTheEnd {
            let prepared = checkpointer
                .prepare_checkpoint(Some(Bytes::from_static(b"the end")))
                .await?;
            prepared.commit().await?;
        }
        Ok(())
    }
}

fn run(world: &World, then: Then) -> (integration::Running, Seen) {
    let (log, seen) = (world.log.clone(), Seen::default());
    let noted = seen.clone();
    let worker = world.worker("one").processor(move |_: &ShardContext| Transactional {
        log: log.clone(),
        then,
        seen: noted.clone(),
    });
    (worker, seen)
}

#[tokio::test(start_paused = true)]
async fn given_a_prepared_checkpoint_when_the_worker_dies_then_the_next_one_learns_of_it_and_reads_from_the_checkpoint()
{
    let (_directory, worlds) = worlds(700, 1).await;
    for world in worlds {
        world.put(3);
        let (worker, _) = run(&world, Then::Prepare);
        world.log.complete(3).await;
        worker.crash().await;
        let last = Position::after(world.log.all().pop().unwrap().sequence);
        let pending = PendingCheckpoint {
            position: last.clone(),
            state: Some(Bytes::from_static(b"transaction 7")),
        };
        let row = world.lease(&shard_id(0)).await;
        assert_eq!(row.checkpoint, Position::TrimHorizon, "only a commit moves it");
        assert_eq!(row.pending_checkpoint, Some(pending.clone()));

        let (next, seen) = run(&world, Then::Commit);
        world
            .table_until(|rows| rows[0].checkpoint == last && rows[0].pending_checkpoint.is_none())
            .await;
        next.stop().await.unwrap();
        assert_eq!(*seen.pending.lock().unwrap(), [Some(pending)]);
        assert_eq!(world.log.numbers(), [0, 1, 2, 0, 1, 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn given_something_prepared_by_a_worker_of_java_when_the_lease_is_taken_then_the_processor_gets_it() {
    let (_directory, worlds) = worlds(710, 1).await;
    for world in worlds {
        world.put(3);
        let (worker, _) = run(&world, Then::Prepare);
        world.log.complete(3).await;
        worker.stop().await.unwrap();
        // As Java writes it: a row without a session, prepared at an aggregated record, without a state.
        let row = world.lease(&shard_id(0)).await;
        let first = world.log.all()[0].sequence.clone();
        let pending = PendingCheckpoint {
            position: Position::Record(kcl_core::RecordPosition {
                sequence_number: first,
                sub_sequence_number: 4,
            }),
            state: None,
        };
        let write = LeaseWrite::renew(&row, None).preparing(pending.clone());
        assert!(matches!(world.store.update(&write).await, Ok(WriteOutcome::Applied(_))));
        let (next, seen) = run(&world, Then::Commit);
        world.table_until(|rows| !rows[0].checkpoint.is_start()).await;
        next.stop().await.unwrap();
        assert_eq!(*seen.pending.lock().unwrap(), [Some(pending)]);
    }
}

#[tokio::test(start_paused = true)]
async fn given_a_prepared_checkpoint_when_a_later_one_is_committed_then_it_is_gone_and_its_commit_is_refused() {
    let world = World::new(720, 1);
    world.put(3);
    let (worker, seen) = run(&world, Then::PrepareThenCheckpoint);
    world.log.complete(3).await;
    let row = world.lease(&shard_id(0)).await;
    assert_eq!(row.pending_checkpoint, None);
    assert_eq!(row.checkpoint, Position::after(world.log.all()[1].sequence.clone()));
    worker.stop().await.unwrap();
    let refused = seen.refused.lock().unwrap();
    assert!(
        matches!(
            refused[..],
            [CheckpointError::Refused(CheckpointRefused::GoesBack { .. })]
        ),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn given_what_cannot_be_prepared_when_asked_then_each_refusal_says_why_and_the_table_stays() {
    let world = World::new(721, 1);
    world.put(3);
    let (worker, seen) = run(&world, Then::Nonsense);
    world.log.complete(3).await;
    let row = world.lease(&shard_id(0)).await;
    assert_eq!((row.pending_checkpoint, row.checkpoint.is_start()), (None, false));
    worker.stop().await.unwrap();
    let refused = seen.refused.lock().unwrap();
    let texts: Vec<String> = refused.iter().map(ToString::to_string).collect();
    assert!(
        matches!(
            refused[..],
            [
                CheckpointError::Refused(CheckpointRefused::NotDelivered { .. }),
                CheckpointError::Refused(CheckpointRefused::StateTooLarge { size: 300_000 }),
                CheckpointError::Refused(CheckpointRefused::GoesBack { .. })
            ]
        ),
        "{texts:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn given_the_end_of_a_shard_when_it_is_prepared_then_the_row_says_the_end_and_children_come_after_the_commit() {
    let world = World::new(722, 1);
    world.put(3);
    let (worker, _) = run(&world, Then::PrepareAtTheEnd);
    world.log.complete(3).await;
    world.split(&shard_id(0));
    let is_prepared = |rows: &[kcl_core::Lease]| {
        let pending = rows[0].pending_checkpoint.as_ref();
        pending.is_some_and(|pending| {
            pending.position == Position::ShardEnd && pending.state.as_deref() == Some(b"the end")
        }) || rows[0].checkpoint == Position::ShardEnd
    };
    world.table_until(is_prepared).await;
    world
        .table_until(|rows| rows[0].checkpoint == Position::ShardEnd && rows[0].pending_checkpoint.is_none())
        .await;
    world.put(4);
    world.log.complete(7).await;
    world.pass(Duration::from_secs(1)).await;
    worker.stop().await.unwrap();
}
