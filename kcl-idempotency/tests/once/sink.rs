//! Positions in the transaction of the effect.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::future::join_all;
use kcl_core::{ApplicationName, Batch, BoxError, Record, StreamName};
use kcl_idempotency::sink::{Applied, EffectivelyOnce, SinkShard, SqliteSink, TransactionalSink, beyond};
use kcl_runtime::testing::TestWorld;
use rusqlite::{Connection, Transaction};
use tokio::sync::Notify;

use super::{batch, record, shard};

fn connect(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch("CREATE TABLE IF NOT EXISTS orders (data TEXT)")
        .unwrap();
    connection
}

/// Not unique on purpose: what is applied twice is there twice.
fn insert(transaction: &Transaction<'_>, records: &[Record]) -> Result<(), BoxError> {
    for record in records {
        transaction.execute(
            "INSERT INTO orders VALUES (?1)",
            [String::from_utf8(record.data.to_vec())?],
        )?;
    }
    Ok(())
}

type Effect = fn(&Transaction<'_>, &[Record]) -> Result<(), BoxError>;

async fn open(path: &Path) -> SqliteSink<Effect> {
    SqliteSink::new(connect(path), insert as Effect).await.unwrap()
}

fn orders(path: &Path) -> Vec<String> {
    let connection = connect(path);
    let mut select = connection
        .prepare("SELECT data FROM orders ORDER BY CAST(data AS INTEGER)")
        .unwrap();
    let rows = select.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn application() -> ApplicationName {
    ApplicationName::new("test").unwrap()
}

fn of_shard(number: u32) -> SinkShard {
    SinkShard::new(application(), StreamName::new("orders").unwrap(), shard(number))
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Hangs after the effect is committed, as if the process died there.
struct DiesAfterEffect {
    sink: SqliteSink<Effect>,
    died: Notify,
}

impl TransactionalSink for DiesAfterEffect {
    async fn apply(&self, shard: &SinkShard, batch: &Batch) -> Result<Applied, BoxError> {
        self.sink.apply(shard, batch).await?;
        self.died.notify_one();
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn given_a_crash_between_effect_and_checkpoint_when_the_records_come_again_then_each_is_applied_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("orders.db");
    let world = TestWorld::new("orders", 1).await;
    for number in 0..10 {
        world.put("customer-7", number.to_string());
    }
    let dying = Arc::new(DiesAfterEffect {
        sink: open(&path).await,
        died: Notify::new(),
    });
    let first = world.start(
        world
            .worker("w1")
            .processor(EffectivelyOnce::new(application(), Arc::clone(&dying))),
    );
    dying.died.notified().await;
    first.crash().await;
    assert!(!orders(&path).is_empty(), "the effect is committed");

    for number in 10..20 {
        world.put("customer-7", number.to_string());
    }
    let sink = Arc::new(open(&path).await);
    let second = world.start(
        world
            .worker("w1")
            .processor(EffectivelyOnce::new(application(), Arc::clone(&sink))),
    );
    world.until_idle().await;
    assert_eq!(orders(&path), numbers(0..20));
    assert!(sink.position(&of_shard(0)).await.unwrap().is_some());

    // Children have positions of their own.
    second.stop().await;
    let [lower, upper] = world.split(&world.shard(0));
    world.put_into(&lower, "customer-7", "20");
    world.put_into(&upper, "customer-8", "21");
    world.start(
        world
            .worker("w1")
            .processor(EffectivelyOnce::new(application(), Arc::clone(&sink))),
    );
    world.until_idle().await;
    assert_eq!(orders(&path), numbers(0..22));
    assert!(sink.position(&of_shard(2)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn given_an_old_and_a_new_holder_when_both_apply_the_same_records_then_each_is_applied_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("orders.db");
    let sinks = [open(&path).await, open(&path).await];
    let records = |range: std::ops::Range<u32>| batch(range.map(|number| record(&number.to_string(), "a")).collect());
    // Both got through 95 to 105 in batches of other sizes; text would order 100 before 99.
    let batches = [
        [records(95..98), records(98..105)],
        [records(95..101), records(101..105)],
    ];
    let place = of_shard(0);
    let applied = join_all(sinks.iter().zip(&batches).map(async |(sink, batches)| {
        let mut sum = 0;
        for batch in batches {
            let applied = sink.apply(&place, batch).await.unwrap();
            assert_eq!(applied.applied + applied.skipped, batch.len());
            sum += applied.applied;
        }
        sum
    }))
    .await;
    assert_eq!(applied.iter().sum::<usize>(), 10);
    assert_eq!(orders(&path), numbers(95..105));
}

#[tokio::test]
async fn given_an_effect_that_fails_or_panics_half_way_when_it_comes_again_then_nothing_was_changed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("orders.db");
    let (fails, panics) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
    let sink = SqliteSink::new(connect(&path), {
        let (fails, panics) = (Arc::clone(&fails), Arc::clone(&panics));
        move |transaction: &Transaction<'_>, records: &[Record]| {
            insert(transaction, &records[..1])?;
            if fails.swap(false, Ordering::Relaxed) {
                return Err("the disk is full".into());
            }
            assert!(!panics.swap(false, Ordering::Relaxed), "a bug");
            insert(transaction, &records[1..])
        }
    })
    .await
    .unwrap();
    let two = batch(vec![record("1", "a"), record("2", "a")]);
    let failed = sink.apply(&of_shard(0), &two).await.unwrap_err();
    assert_eq!(failed.to_string(), "the disk is full");
    sink.apply(&of_shard(0), &two).await.unwrap_err();
    assert_eq!(sink.position(&of_shard(0)).await.unwrap(), None);
    assert!(orders(&path).is_empty());
    sink.apply(&of_shard(0), &two).await.unwrap();
    assert_eq!(orders(&path), ["1", "2"]);
}

#[tokio::test]
async fn given_shards_and_applications_when_positions_are_kept_and_forgotten_then_each_has_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let sink = open(&directory.path().join("orders.db")).await;
    let one = batch(vec![record("1", "a")]);
    let other = SinkShard::new(
        ApplicationName::new("other").unwrap(),
        StreamName::new("orders").unwrap(),
        shard(0),
    );
    for place in [of_shard(0), of_shard(1), other] {
        assert_eq!(
            sink.apply(&place, &one).await.unwrap(),
            Applied { applied: 1, skipped: 0 }
        );
        assert_eq!(
            sink.apply(&place, &one).await.unwrap(),
            Applied { applied: 0, skipped: 1 }
        );
    }
    sink.forget(&of_shard(0)).await.unwrap();
    assert_eq!(sink.apply(&of_shard(0), &one).await.unwrap().applied, 1);
    assert_eq!(sink.apply(&of_shard(1), &one).await.unwrap().applied, 0);
}

#[test]
fn given_an_aggregate_when_the_position_is_inside_of_it_then_the_rest_of_it_is_left() {
    let inside = |sub: u64| {
        let mut record = record("7", "a");
        record.sub_sequence_number = sub;
        record.aggregated = true;
        record
    };
    let batch = batch(vec![inside(0), inside(1), inside(2), record("8", "a")]);
    let left = |position: &Record| beyond(&batch, Some(&position.position())).len();
    assert_eq!(
        [left(&batch[0]), left(&batch[1]), left(&batch[2]), left(&batch[3])],
        [3, 2, 1, 0]
    );
    assert_eq!(left(&record("6", "a")), 4);
    assert_eq!(beyond(&batch, None).len(), 4);
}
