//! One piece of work, and what can happen to it.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use kcl_idempotency::{
    AfterFailure, Begun, Claim, Clock, Completion, Idempotency, IdempotencyError, IdempotencyStore,
    IdempotencyStoreError, Lock, MemoryIdempotencyStore, Recorded, StoreStep,
};
use kcl_runtime::{BatchOutcome, testing::VirtualClock};
use tokio::sync::Notify;

use super::{batch, key, record};

fn clock() -> Clock {
    let clock = VirtualClock::start();
    Clock::new(move || clock.now())
}

fn over(store: impl IdempotencyStore + 'static) -> Idempotency {
    Idempotency::new("billing", Arc::new(store), clock())
}

#[tokio::test(start_paused = true)]
async fn given_two_workers_when_they_race_for_one_key_then_one_runs_and_the_other_gets_its_result_later() {
    let store = MemoryIdempotencyStore::new();
    let (one, two) = (over(store.clone()), over(store));
    let (runs, finish) = (AtomicU32::new(0), Notify::new());
    let work = || async {
        let run = runs.fetch_add(1, Ordering::Relaxed);
        finish.notified().await;
        Ok::<_, Infallible>(run)
    };
    let (key, other) = (key("order-7"), key("order-7"));
    let first = one.run(&key, None, work());
    let second = async {
        let error = two.run(&other, None, work()).await.unwrap_err();
        finish.notify_one();
        error
    };
    let (first, second) = tokio::join!(first, second);
    assert!(matches!(second, IdempotencyError::AlreadyInProgress { .. }), "{second}");
    assert!(!first.unwrap().replayed);
    let again = two.run(&other, None, work()).await.unwrap();
    assert_eq!((again.result, again.replayed), (0, true));
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn given_work_that_fails_or_panics_when_it_comes_again_then_it_runs_at_once() {
    let once = over(MemoryIdempotencyStore::new());
    let key = key("order-7");
    let failed = once
        .run(&key, None, async { Err::<u32, _>("no paper") })
        .await
        .unwrap_err();
    assert!(matches!(&failed, IdempotencyError::Work { source, .. } if source.to_string() == "no paper"));
    let panics = async {
        if true {
            panic!("out of ink")
        } else {
            Ok::<u32, Infallible>(0)
        }
    };
    let failed = once.run(&key, None, panics).await.unwrap_err();
    assert!(matches!(&failed, IdempotencyError::Work { source, .. } if source.to_string().contains("out of ink")));
    let done = once.run(&key, None, async { Ok::<_, Infallible>(1) }).await.unwrap();
    assert!(!done.replayed);
}

#[tokio::test(start_paused = true)]
async fn given_a_crash_after_the_effect_when_it_comes_again_then_it_waits_for_the_lock_and_runs_again() {
    let store = MemoryIdempotencyStore::new();
    let (once, effects) = (over(store.clone()), Arc::new(AtomicU32::new(0)));
    let (effected, theirs) = (Arc::new(Notify::new()), Arc::clone(&effects));
    let crashing = tokio::spawn({
        let (once, effected) = (once.clone(), Arc::clone(&effected));
        async move {
            let work = async {
                theirs.fetch_add(1, Ordering::Relaxed);
                effected.notify_one();
                std::future::pending::<Result<u32, Infallible>>().await
            };
            once.run(&key("order-7"), None, work).await
        }
    });
    effected.notified().await;
    crashing.abort();
    assert!(crashing.await.unwrap_err().is_cancelled());

    let work = || async {
        effects.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Infallible>(7)
    };
    tokio::time::advance(Duration::from_secs(60)).await;
    let locked = once.run(&key("order-7"), None, work()).await.unwrap_err();
    assert!(matches!(locked, IdempotencyError::AlreadyInProgress { .. }), "{locked}");
    assert_eq!(effects.load(Ordering::Relaxed), 1);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!once.run(&key("order-7"), None, work()).await.unwrap().replayed);
    assert_eq!(effects.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn given_work_that_outlives_its_lock_when_the_lock_expires_then_it_is_dropped_and_fails() {
    let once = over(MemoryIdempotencyStore::new()).lock_timeout(Duration::from_secs(5));
    let work = std::future::pending::<Result<u32, Infallible>>();
    let failed = once.run(&key("order-7"), None, work).await.unwrap_err();
    assert!(matches!(failed, IdempotencyError::TooLong { .. }), "{failed}");
    once.run(&key("order-7"), None, async { Ok::<_, Infallible>(7) })
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn given_a_result_when_its_time_is_over_then_the_work_runs_again() {
    let once = over(MemoryIdempotencyStore::new()).expires_after(Duration::from_secs(600));
    let run = |number: u32| {
        let once = once.clone();
        async move {
            once.run(&key("order-7"), None, async { Ok::<_, Infallible>(number) })
                .await
                .unwrap()
                .result
        }
    };
    assert_eq!(run(1).await, 1);
    tokio::time::advance(Duration::from_secs(600)).await;
    assert_eq!(run(2).await, 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(run(3).await, 3);
}

#[tokio::test(start_paused = true)]
async fn given_two_names_when_they_share_a_store_and_a_key_then_both_run() {
    let store: Arc<dyn IdempotencyStore> = Arc::new(MemoryIdempotencyStore::new());
    for name in ["billing", "shipping"] {
        let once = Idempotency::new(name, Arc::clone(&store), clock());
        let done = once
            .run(&key("order-7"), None, async { Ok::<_, Infallible>(7) })
            .await
            .unwrap();
        assert!(!done.replayed, "{name}");
    }
}

/// A memory that is away for the first results that it is given.
#[derive(Debug)]
struct Away {
    store: MemoryIdempotencyStore,
    refusals: AtomicU32,
}

#[async_trait]
impl IdempotencyStore for Away {
    async fn begin(&self, claim: &Claim) -> Result<Begun, IdempotencyStoreError> {
        self.store.begin(claim).await
    }

    async fn complete(&self, completion: &Completion) -> Result<Recorded, IdempotencyStoreError> {
        if self.refusals.load(Ordering::Relaxed) == 0 {
            return self.store.complete(completion).await;
        }
        self.refusals.fetch_sub(1, Ordering::Relaxed);
        Err(IdempotencyStoreError::Unavailable {
            step: StoreStep::Complete,
            source: "away".into(),
        })
    }

    async fn forget(&self, lock: &Lock) -> Result<(), IdempotencyStoreError> {
        self.store.forget(lock).await
    }
}

#[tokio::test(start_paused = true)]
async fn given_a_store_that_is_away_for_a_moment_when_work_is_done_then_its_result_is_stored() {
    for (refusals, stored) in [(3, true), (4, false)] {
        let store = MemoryIdempotencyStore::new();
        let once = over(Away {
            store: store.clone(),
            refusals: AtomicU32::new(refusals),
        });
        let done = once
            .run(&key("order-7"), None, async { Ok::<_, Infallible>(7) })
            .await
            .unwrap();
        assert_eq!(done.result, 7, "the work is done either way");
        let again = once.run(&key("order-7"), None, async { Ok::<_, Infallible>(8) }).await;
        assert_eq!(again.is_ok_and(|again| again.replayed), stored, "{refusals}");
    }
}

#[tokio::test(start_paused = true)]
async fn given_a_record_in_progress_elsewhere_when_its_batch_comes_then_it_is_named_as_failed() {
    let batch = batch(vec![
        record("1", "a"),
        record("2", "b"),
        record("3", "b"),
        record("4", "c"),
    ]);
    for (after, ran, failed) in [
        (AfterFailure::Stop, vec!["1"], vec![1, 2, 3]),
        (AfterFailure::OtherKeys, vec!["1", "4"], vec![1, 2]),
    ] {
        let store = MemoryIdempotencyStore::new();
        let once = over(store.clone());
        let held = key("billing#shardId-000000000000:2");
        let held = Claim {
            key: held,
            ..super::claim("x", kcl_runtime::testing::VirtualClock::start().now())
        };
        assert!(matches!(store.begin(&held).await.unwrap(), Begun::Started(_)));
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let calls = Arc::clone(&seen);
        let function = once.records().after_failure(after).function(move |record| {
            calls.lock().unwrap().push(record.sequence_number.to_string());
            async { Ok::<_, Infallible>(()) }
        });
        let mut expected = BatchOutcome::success();
        for index in failed {
            expected.fail_record(&batch[index]);
        }
        assert_eq!(function(batch.clone()).await, expected);
        assert_eq!(*seen.lock().unwrap(), ran);

        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(function(batch.clone()).await, BatchOutcome::success());
        let mut all = seen.lock().unwrap().clone();
        all.sort();
        assert_eq!(
            all,
            ["1", "2", "3", "4"],
            "each once, and what was locked after the lock expired"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn given_a_key_of_ones_own_when_two_records_have_it_then_one_runs_and_a_record_without_fails() {
    let once = over(MemoryIdempotencyStore::new());
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let function = once
        .records()
        .key(|record| Some(record.partition_key.to_string()).filter(|key| !key.is_empty()))
        .validation(|record| (&record.partition_key == "b").then(|| record.sequence_number.to_string()))
        .function(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, Infallible>(()) }
        });
    let twice = batch(vec![record("1", "a"), record("2", "a")]);
    assert_eq!(function(twice).await, BatchOutcome::success());
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    for records in [
        [record("3", "b"), record("4", "b")],
        [record("5", "c"), record("6", "")],
    ] {
        let batch = batch(records.to_vec());
        let mut expected = BatchOutcome::success();
        expected.fail_record(&batch[1]);
        assert_eq!(function(batch).await, expected, "another fingerprint, or no key");
    }
}
