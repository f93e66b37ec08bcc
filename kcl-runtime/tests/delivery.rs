//! Rules of delivery as users of the function door see them, on virtual time.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use kcl_core::{
    Batch, BoxError,
    delivery::{DeliveryPolicy, DeliverySettings, DiscardReason, Exhausted},
    shard::{Lanes, Waiting},
};
use kcl_runtime::{
    BatchCall, BatchHandler, CallOutcome, ConfigError, ShardContext,
    dead_letter::{DeadLetter, DeadLetters},
    testing::TestWorld,
};

/// Keeps letters in memory, unless it is away.
#[derive(Debug, Default)]
struct Letters {
    kept: Mutex<Vec<DeadLetter>>,
    away: AtomicBool,
    /// Letters of what follows a key into quarantine take as long as this is so.
    slow: AtomicBool,
}

impl Letters {
    fn data(&self) -> Vec<String> {
        let text = |letter: &DeadLetter| letter.batch.iter().map(|record| text(&record.data)).collect::<Vec<_>>();
        self.kept
            .lock()
            .expect("nobody panics with it")
            .iter()
            .flat_map(text)
            .collect()
    }

    fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }
}

#[async_trait]
impl DeadLetters for Letters {
    async fn keep(&self, letter: &DeadLetter) -> Result<(), BoxError> {
        if self.away.load(Ordering::Relaxed) {
            return Err("the disk is full".into());
        }
        while letter.reason == DiscardReason::Quarantined && self.slow.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.kept.lock().expect("nobody panics with it").push(letter.clone());
        Ok(())
    }

    async fn quarantined(&self, _shard: &ShardContext) -> Result<Vec<bytestring::ByteString>, BoxError> {
        if self.away.load(Ordering::Relaxed) {
            return Err("the disk is away".into());
        }
        let kept = self.kept.lock().expect("nobody panics with it");
        let keys = kept.iter().filter(|letter| letter.quarantines);
        Ok(keys
            .flat_map(|letter| letter.batch.iter().map(|record| record.partition_key.clone()))
            .collect())
    }
}

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

fn bisecting() -> DeliverySettings {
    DeliverySettings {
        policy: DeliveryPolicy {
            max_retries: Some(1),
            bisect: true,
            ..DeliveryPolicy::default()
        },
        ..DeliverySettings::default()
    }
}

async fn poisoned(batch: Batch) -> Result<(), &'static str> {
    if batch.iter().any(|record| record.data.starts_with(b"poison")) {
        return Err("cannot read it");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn given_a_poison_record_when_batches_are_bisected_then_it_alone_is_a_dead_letter() {
    let world = TestWorld::new("orders", 1).await;
    let (seen, letters) = (world.recorder(), Arc::new(Letters::default()));
    for number in 0..9 {
        world.put("key", format!("{number}"));
    }
    world.put("key", "poison");
    world.put("key", "10");
    let worker = world.worker("w1").function(seen.record(poisoned));
    let worker = world.start(
        worker
            .delivery(bisecting())
            .dead_letters(letters.clone())
            .checkpoint_records(1),
    );
    world.until_checkpointed().await;
    assert_eq!(letters.data(), ["poison"]);
    let letter = letters.kept.lock().unwrap()[0].clone();
    assert_eq!((letter.attempts, letter.error.as_deref()), (2, Some("cannot read it")));
    assert_eq!(letter.reason, DiscardReason::RetryAttemptsExhausted);
    let status = worker.report().await.shards[0].status.clone();
    assert_eq!((status.handled_records, status.discarded_records), (10, 1));
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_dead_letters_that_are_away_when_a_batch_is_given_up_then_its_checkpoint_waits_and_says_why() {
    let world = TestWorld::new("orders", 1).await;
    let letters = Arc::new(Letters::default());
    letters.set_away(true);
    let settings = bisecting();
    let worker = world
        .worker("w1")
        .function(poisoned)
        .delivery(settings)
        .dead_letters(letters.clone());
    letters.set_away(false);
    let worker = world.start(worker.checkpoint_records(1));
    worker
        .until("the shard is read", |report| {
            report.shards.iter().any(|shard| shard.status.is_caught_up())
        })
        .await;
    letters.set_away(true);
    world.put("key", "poison");
    let says = |waiting: &Waiting| matches!(waiting, Waiting::ForRetry { call: "discard", error, .. } if error == "the disk is full");
    worker
        .until("the status says what it waits for", |report| {
            report.shards.iter().any(|shard| says(&shard.status.waiting))
        })
        .await;
    world.advance(Duration::from_secs(600)).await;
    assert!(
        !world.report().await.is_checkpointed(),
        "the record is neither handled nor kept"
    );
    letters.set_away(false);
    world.until_checkpointed().await;
    assert_eq!(letters.data(), ["poison"]);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_a_key_in_quarantine_when_another_worker_takes_over_then_it_stays_there_until_it_is_released() {
    let world = TestWorld::new("orders", 1).await;
    let letters = Arc::new(Letters::default());
    let mut settings = bisecting();
    settings.policy.exhausted = Exhausted::Quarantine;
    let start = |name: &str| {
        let worker = world.worker(name).function(poisoned).delivery(settings.clone());
        world.start(worker.dead_letters(letters.clone()).checkpoint_records(1))
    };
    let first = start("w1");
    world.put("bad", "poison");
    world.until_checkpointed().await;
    first.stop().await;
    let second = start("w2");
    world.put("bad", "follows");
    world.put("good", "flows");
    world.until_checkpointed().await;
    assert_eq!(letters.data(), ["poison", "follows"]);
    // Somebody releases the key; the worker looks from time to time.
    letters.kept.lock().unwrap().clear();
    world.advance(Duration::from_secs(30)).await;
    world.put("bad", "again");
    world.until_checkpointed().await;
    assert_eq!(letters.data(), Vec::<String>::new());
    let status = second.report().await.shards[0].status.clone();
    assert_eq!(status.handled_records, 2);
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_a_letter_on_its_way_when_another_key_is_released_then_the_worker_learns_of_it() {
    let world = TestWorld::new("orders", 1).await;
    let letters = Arc::new(Letters::default());
    let mut settings = bisecting();
    settings.policy.exhausted = Exhausted::Quarantine;
    let worker = world.worker("w1").function(poisoned).delivery(settings);
    let worker = worker
        .dead_letters(letters.clone())
        .lanes(Lanes::PerKey { calls: 2 })
        .checkpoint_records(1);
    let worker = world.start(worker);
    world.put("bad", "poison");
    world.put("worse", "poison");
    world.until_checkpointed().await;
    letters.slow.store(true, Ordering::Relaxed);
    world.put("worse", "follows");
    let is_bad = |letter: &DeadLetter| letter.batch[0].partition_key == "bad";
    letters.kept.lock().unwrap().retain(|letter| !is_bad(letter));
    world.advance(Duration::from_secs(30)).await;
    world.put("bad", "again");
    worker
        .until("the released key flows", |report| {
            report.shards.iter().any(|shard| shard.status.handled_records == 1)
        })
        .await;
    assert_eq!(letters.data(), ["poison"], "the other letter is still on its way");
    letters.slow.store(false, Ordering::Relaxed);
    world.until_checkpointed().await;
    assert_eq!(letters.data(), ["poison", "follows"]);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_a_handler_that_cannot_be_called_when_there_are_no_retries_then_nothing_is_given_up() {
    struct Busy(AtomicBool);
    impl BatchHandler for Busy {
        async fn handle(&self, call: BatchCall) -> CallOutcome {
            if call.attempt < 5 {
                return CallOutcome::NotCalled {
                    reason: "no process is free".into(),
                    retry_after: Some(Duration::from_millis(10)),
                };
            }
            self.0.store(true, Ordering::Relaxed);
            CallOutcome::Failed("it was tried".into())
        }
    }
    let world = TestWorld::new("orders", 1).await;
    let letters = Arc::new(Letters::default());
    let mut settings = bisecting();
    settings.policy.max_retries = Some(0);
    let worker = world
        .worker("w1")
        .handler(Busy(AtomicBool::new(false)))
        .delivery(settings);
    let worker = world.start(worker.dead_letters(letters.clone()).checkpoint_records(1));
    world.put("key", "one");
    world.until_checkpointed().await;
    let letter = letters.kept.lock().unwrap()[0].clone();
    assert_eq!((letter.attempts, letter.error.as_deref()), (1, Some("it was tried")));
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_rules_that_give_records_up_when_nobody_keeps_them_then_no_worker_is_built() {
    let world = TestWorld::new("orders", 1).await;
    let worker = world.worker("w1").function(poisoned).delivery(bisecting()).build();
    assert_eq!(worker.err(), Some(ConfigError::NoDeadLetters));
}
