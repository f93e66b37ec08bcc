//! Aggregated records through workers: from the broker to the handler, over checkpoints, restarts and splits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use kcl_core::{
    Batch, BoxError, HashKey, Position, Record, RecordPosition, SequenceNumber, ShardId,
    aggregate::{Aggregator, OutOfRange, UserRecord},
};
use kcl_runtime::{BatchOutcome, Checkpointer, Config, RecordProcessor, testing::TestWorld};

fn record(hash_key: HashKey, text: &str) -> UserRecord {
    UserRecord::new(format!("key of {text}"), text.to_owned()).with_explicit_hash_key(hash_key)
}

/// Puts an aggregate into a shard, whatever its records' hash keys are.
fn put(world: &TestWorld, shard: &ShardId, records: &[UserRecord]) -> SequenceNumber {
    let mut aggregator = Aggregator::new(1 << 20);
    assert!(records.iter().all(|record| aggregator.append(record)));
    let outer = aggregator.take().expect("records");
    world.put_into(shard, outer.partition_key, outer.data).sequence_number
}

fn five() -> Vec<UserRecord> {
    ["a", "b", "c", "d", "e"].map(|text| record(HashKey::MIN, text)).into()
}

fn small_batches(batch_size: usize) -> Config {
    let mut config = Config::default();
    config.batch_size = batch_size;
    config
}

fn sub(sequence_number: SequenceNumber, sub_sequence_number: u64) -> Position {
    Position::Record(RecordPosition {
        sequence_number,
        sub_sequence_number,
    })
}

#[tokio::test(start_paused = true)]
async fn aggregates_and_plain_records_come_as_they_were_put() {
    let world = TestWorld::new("orders", 1).await;
    let seen = world.recorder();
    let shard = world.shard(0);
    world.put("k", "before");
    let number = put(&world, &shard, &five());
    world.put("k", "after");
    let worker = world.start(world.worker("w1").function(seen.succeed()));
    world.until_checkpointed().await;
    assert_eq!(seen.data(), ["before", "a", "b", "c", "d", "e", "after"]);
    let third = &seen.records()[3];
    assert_eq!(Position::Record(third.position()), sub(number, 2));
    assert_eq!(
        (&*third.partition_key, third.explicit_hash_key),
        ("key of c", Some(HashKey::MIN))
    );
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_in_the_middle_of_an_aggregate_is_where_the_next_worker_goes_on() {
    let world = TestWorld::new("orders", 1).await;
    let seen = world.recorder();
    let number = put(&world, &world.shard(0), &five());
    // The second batch is never done; what is before it was checkpointed.
    let stuck = seen.record(|batch: Batch| async move {
        if batch[0].sub_sequence_number > 0 {
            std::future::pending::<()>().await;
        }
    });
    let first = world.worker("w1").config(small_batches(2)).function(stuck);
    let first = world.start(first.checkpoint_records(1));
    let expected = sub(number, 1);
    world
        .until("the second batch is handled", |_| seen.calls().len() == 2)
        .await;
    while world.lease(&world.shard(0)).await.checkpoint != expected {
        world.advance(Duration::from_secs(1)).await;
    }
    first.crash().await;

    let next = world.start(world.worker("w2").function(seen.succeed()));
    world.until_checkpointed().await;
    next.stop().await;
    assert_eq!(
        seen.data(),
        ["a", "b", "c", "d", "c", "d", "e"],
        "a and b are not repeated"
    );
}

/// Checkpoints one record inside of an aggregate, and is done with it.
struct Manual {
    at: u64,
    seen: kcl_runtime::testing::Recorder,
}

impl RecordProcessor for Manual {
    async fn process_records(&mut self, batch: &Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        self.seen.note(batch);
        let record = batch.iter().find(|record| record.sub_sequence_number == self.at);
        let record: &Record = record.ok_or("the record is there")?;
        checkpointer.checkpoint_record(record).await?;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_processor_checkpoints_single_records_of_an_aggregate() {
    let world = TestWorld::new("orders", 1).await;
    let seen = world.recorder();
    let number = put(&world, &world.shard(0), &five());
    for at in [1, 3] {
        let seen = seen.clone();
        let factory = move |_: &kcl_runtime::ShardContext| Manual { at, seen: seen.clone() };
        let worker = world.start(world.worker("w1").processor(factory));
        world.until_idle().await;
        worker.stop().await;
        // As Java writes it: checkpoint and checkpointSubSequenceNumber.
        assert_eq!(world.lease(&world.shard(0)).await.checkpoint, sub(number.clone(), at));
    }
    assert_eq!(seen.data(), ["a", "b", "c", "d", "e", "c", "d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn a_function_names_the_record_of_an_aggregate_that_failed() {
    let world = TestWorld::new("orders", 1).await;
    let seen = world.recorder();
    put(&world, &world.shard(0), &five());
    let failed = Arc::new(AtomicBool::new(false));
    let handler = seen.record(move |batch: Batch| {
        let mut outcome = BatchOutcome::success();
        if !failed.swap(true, Ordering::Relaxed) {
            outcome.fail_record(&batch[3]);
            outcome.fail_record(&batch[4]);
        }
        std::future::ready(outcome)
    });
    let worker = world.start(world.worker("w1").function(handler));
    world.until_checkpointed().await;
    worker.stop().await;
    assert_eq!(seen.data(), ["a", "b", "c", "d", "e", "d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn a_bare_sequence_number_names_the_first_record_of_its_aggregate() {
    let world = TestWorld::new("orders", 1).await;
    let seen = world.recorder();
    world.put("k", "before");
    put(&world, &world.shard(0), &five()[..2]);
    let calls = Arc::new(AtomicU64::new(0));
    let handler = seen.record(move |batch: Batch| {
        let mut outcome = BatchOutcome::success();
        if calls.fetch_add(1, Ordering::Relaxed) == 0 {
            outcome.fail(batch[2].sequence_number.clone());
        }
        std::future::ready(outcome)
    });
    let worker = world.start(world.worker("w1").function(handler));
    world.until_checkpointed().await;
    worker.stop().await;
    assert_eq!(seen.data(), ["before", "a", "b", "a", "b"]);
}

/// A shard is split while aggregates for it are on their way: they end up in one of the children, whole.
async fn straddle(config: Config) -> Vec<String> {
    let world = TestWorld::new("orders", 1).await;
    let seen = world.recorder();
    let late = [
        record(HashKey::MAX, "high 1"),
        record(HashKey::MIN, "low 2"),
        record(HashKey::MAX, "high 3"),
        record(HashKey::MIN, "low 4"),
    ];
    put(&world, &world.shard(0), &late);
    let [lower, upper] = world.split(&world.shard(0));
    put(&world, &lower, &late);
    let worker = world.start(world.worker("w1").config(config.clone()).function(seen.succeed()));
    world.until_checkpointed().await;
    let merged = world.merge(&lower, &upper);
    put(&world, &merged, &late);
    world.until_checkpointed().await;
    worker.stop().await;
    seen.data()
}

#[tokio::test(start_paused = true)]
async fn wound_21_an_aggregate_that_straddles_shards_loses_nothing() {
    let all = ["high 1", "low 2", "high 3", "low 4"];
    assert_eq!(straddle(Config::default()).await, [all, all, all].concat());
}

#[tokio::test(start_paused = true)]
async fn wound_21_where_other_shards_records_are_left_out_the_rest_of_their_aggregate_is_not() {
    let mut config = Config::default();
    config.out_of_range = OutOfRange::Skip;
    let (all, lower) = (["high 1", "low 2", "high 3", "low 4"], ["low 2", "low 4"]);
    assert_eq!(straddle(config).await, [&all[..], &lower[..], &all[..]].concat());
}

#[tokio::test(start_paused = true)]
async fn aggregates_come_whole_where_de_aggregation_is_off() {
    let world = TestWorld::new("orders", 1).await;
    let seen = world.recorder();
    let mut config = Config::default();
    config.deaggregate = false;
    put(&world, &world.shard(0), &five());
    let worker = world.start(world.worker("w1").config(config).function(seen.succeed()));
    world.until_checkpointed().await;
    worker.stop().await;
    let records = seen.records();
    assert_eq!(records.len(), 1);
    let inside = kcl_core::aggregate::Aggregate::read(&records[0].data).unwrap();
    assert_eq!(inside.count(), 5);
}
