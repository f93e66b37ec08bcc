//! What a handler gets when it fails: the same records again, until they are handled; nothing is skipped.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use integration::{World, consumer, held, shard_id};
use kcl_core::{Batch, Position, shard::Waiting};
use kcl_runtime::{BatchOutcome, metrics};
use metrics_util::{
    CompositeKey,
    debugging::{DebugValue, DebuggingRecorder},
};

/// The numbers of each batch that a handler got, call by call.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<Vec<u64>>>>);

impl Calls {
    /// Notes a call; gives how many there were, this one included.
    fn note(&self, batch: &Batch) -> usize {
        let numbers = batch.iter().map(|record| {
            let text = std::str::from_utf8(&record.data).unwrap();
            text.trim().parse().unwrap()
        });
        let mut calls = self.0.lock().unwrap();
        calls.push(numbers.collect());
        calls.len()
    }

    fn all(&self) -> Vec<Vec<u64>> {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn wound_19_a_handler_that_fails_three_times_gets_the_same_batch_four_times() {
    let world = World::new(1, 1);
    world.put(5);
    let calls = Calls::default();
    let noting = calls.clone();
    let worker = world.worker("one").function(move |batch: Batch| {
        let call = noting.note(&batch);
        async move { if call <= 3 { Err("the database is down") } else { Ok(()) } }
    });
    worker.idle().await;
    world.put(2);
    worker
        .until(|report| report.shards.iter().any(|shard| shard.status.handled_records == 7))
        .await;
    worker.stop().await.unwrap();

    let all: Vec<u64> = (0..5).collect();
    assert_eq!(calls.all(), [all.clone(), all.clone(), all.clone(), all, vec![5, 6]]);
    assert!(world.lease(&shard_id(0)).await.checkpoint.record().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_gets_the_same_batch_again_and_the_worker_lives() {
    let world = World::new(2, 1);
    world.put(3);
    let calls = Calls::default();
    let noting = calls.clone();
    let worker = world.worker("one").function(move |batch: Batch| {
        let call = noting.note(&batch);
        async move { assert!(call > 3, "a bug in the handler") }
    });
    let failed = worker
        .until(|report| {
            report
                .shards
                .iter()
                .any(|shard| matches!(shard.status.waiting, Waiting::ForRetry { failures: 3, .. }))
        })
        .await;
    let waiting = failed.shards[0].status.waiting.to_string();
    assert!(waiting.contains("panic: a bug in the handler"), "{waiting}");
    assert_eq!(failed.shards[0].status.checkpoint, Position::TrimHorizon);
    worker.idle().await;
    worker.stop().await.unwrap();
    assert_eq!(calls.all(), vec![vec![0, 1, 2]; 4]);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_names_records_repeats_from_the_lowest_of_them_on() {
    let world = World::new(3, 1);
    world.put(6);
    let calls = Calls::default();
    let noting = calls.clone();
    let worker = world.worker("one").function(move |batch: Batch| {
        let call = noting.note(&batch);
        async move {
            let mut outcome = BatchOutcome::success();
            match call {
                1 => {
                    outcome.fail(batch[4].sequence_number.clone());
                    outcome.fail(batch[2].sequence_number.clone());
                }
                2 => outcome.fail(batch[0].sequence_number.clone()),
                3 => outcome.fail(batch[3].sequence_number.clone()),
                _ => {}
            }
            outcome
        }
    });
    worker.idle().await;
    worker.stop().await.unwrap();
    assert_eq!(
        calls.all(),
        [vec![0, 1, 2, 3, 4, 5], vec![2, 3, 4, 5], vec![2, 3, 4, 5], vec![5]]
    );
}

#[tokio::test(start_paused = true)]
async fn the_handled_head_of_a_batch_is_checkpointed_while_its_rest_waits() {
    let world = World::new(4, 1);
    world.put(4);
    let worker = world
        .worker("one")
        .checkpoint_records(1)
        .function(move |batch: Batch| async move {
            let mut outcome = BatchOutcome::success();
            if let Some(record) = batch.iter().find(|record| record.data[0] >= b'2') {
                outcome.fail(record.sequence_number.clone());
            }
            outcome
        });
    let report = worker
        .until(|report| report.shards.iter().any(|shard| !shard.status.checkpoint.is_start()))
        .await;
    let status = &report.shards[0].status;
    assert_eq!((status.handled_records, status.buffered_records), (2, 2));
    worker.crash().await;

    // Whoever comes next gets the rest, and only the rest.
    let next = world.worker("two").logging();
    world.log.complete_from(2, 4).await;
    next.stop().await.unwrap();
    assert_eq!(world.log.numbers(), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_names_an_unknown_record_counts_as_a_failure_of_the_whole_batch() {
    let world = World::new(5, 1);
    world.put(2);
    let calls = Calls::default();
    let noting = calls.clone();
    let worker = world.worker("one").function(move |batch: Batch| {
        let call = noting.note(&batch);
        async move {
            let mut outcome = BatchOutcome::success();
            if call == 1 {
                outcome.fail("7".parse().unwrap());
            }
            outcome
        }
    });
    worker.idle().await;
    worker.stop().await.unwrap();
    assert_eq!(calls.all(), [[0, 1], [0, 1]]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_handler_always_fails_waits_alone_and_says_why() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    // Only this thread's metrics, and only as long as the guard lives.
    let _guard = ::metrics::set_default_local_recorder(&recorder);

    let world = World::new(6, 3);
    let poisoned = shard_id(1);
    let calls = Arc::new(AtomicUsize::new(0));
    let (counting, log) = (Arc::clone(&calls), world.log.clone());
    let bad = poisoned.clone();
    let worker = world.worker("one").function(move |batch: Batch| {
        let fails = *batch.shard() == bad;
        if fails {
            counting.fetch_add(1, Ordering::Relaxed);
        } else {
            log.note("one", &batch);
        }
        async move {
            if fails {
                Err("record of an unknown kind")
            } else {
                Ok(())
            }
        }
    });
    worker.until(|report| held(report) == 3).await;
    world.put_into(&shard_id(0), 10, 0);
    world.put_into(&shard_id(2), 10, 0);
    world.put_into(&poisoned, 10, 0);
    let report = worker
        .until(|report| {
            let status = consumer(report, &poisoned).map(|consumer| &consumer.status.waiting);
            matches!(status, Some(Waiting::ForRetry { failures: 6.., .. }))
        })
        .await;

    world.log.complete(20).await;
    world.put_into(&shard_id(0), 1, 0);
    world.log.complete_from(30, 31).await;
    let status = &consumer(&report, &poisoned).unwrap().status;
    let Waiting::ForRetry {
        call, failures, error, ..
    } = &status.waiting
    else {
        panic!("{}", status.waiting)
    };
    assert_eq!(
        (*call, *failures, error.as_str()),
        ("process_records", 6, "record of an unknown kind")
    );
    assert_eq!(status.handled_records, 0);
    assert_eq!(status.handled, Position::TrimHorizon);

    let counters: BTreeMap<String, u64> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .filter_map(|(key, _, _, value)| match value {
            DebugValue::Counter(count) if of_shard(&key, poisoned.as_str()) => {
                Some((key.key().name().to_owned(), count))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        counters[metrics::HANDLER_FAILURES],
        calls.load(Ordering::Relaxed) as u64
    );
    assert_eq!(counters[metrics::RECORDS], 0);
    worker.stop().await.unwrap();
    assert_eq!(world.lease(&poisoned).await.checkpoint, Position::TrimHorizon);
}

fn of_shard(key: &CompositeKey, shard: &str) -> bool {
    key.key()
        .labels()
        .any(|label| label.key() == "shard" && label.value() == shard)
}

#[tokio::test(start_paused = true)]
async fn waits_between_attempts_grow_to_the_longest_and_no_further() {
    let world = World::new(7, 1);
    world.put(1);
    let clock = world.clock;
    let times = Arc::new(Mutex::new(Vec::new()));
    let noting = Arc::clone(&times);
    let worker = world
        .worker("one")
        .config(|config| {
            config.handler_backoff.initial = Duration::from_secs(1);
            config.handler_backoff.longest = Duration::from_secs(8);
        })
        .function(move |_: Batch| {
            noting.lock().unwrap().push(clock.elapsed());
            async { Err::<(), _>("no") }
        });
    world.pass(Duration::from_secs(120)).await;
    worker.stop().await.unwrap();

    let times = times.lock().unwrap().clone();
    let waits: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    for (wait, longest) in waits
        .iter()
        .zip([1.0, 2.0, 4.0].into_iter().chain(std::iter::repeat(8.0)))
    {
        assert!((longest / 2.0..=longest + 0.01).contains(wait), "{wait} s in {waits:?}");
    }
    assert!(waits.len() >= 15, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn batches_are_no_larger_than_asked_for() {
    let world = World::new(8, 1);
    world.put(25);
    let calls = Calls::default();
    let noting = calls.clone();
    let worker = world
        .worker("one")
        .config(|config| config.batch_size = 10)
        .function(move |batch: Batch| {
            noting.note(&batch);
            async {}
        });
    worker.idle().await;
    worker.stop().await.unwrap();
    assert_eq!(
        calls.all(),
        [(0..10).collect::<Vec<_>>(), (10..20).collect(), (20..25).collect()]
    );
}
