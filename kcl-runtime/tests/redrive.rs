//! Dead letters given back to their stream, end to end and on virtual time.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kcl_core::{
    Batch, StreamName,
    delivery::{DeliveryPolicy, DeliverySettings, Exhausted},
};
use kcl_runtime::{
    dead_letter::{Redrive, RedriveError, Selection, SqliteDeadLetters},
    testing::{ServiceFault, TestWorker, TestWorld},
};
use tempfile::TempDir;

/// A stream, a worker with a handler that may be broken, and the file that it keeps dead letters in.
struct Bench {
    world: TestWorld,
    letters: SqliteDeadLetters,
    handler: Handler,
    _directory: TempDir,
}

/// Fails on data that begins with `poison` as long as it is broken, and notes what it handled.
#[derive(Clone, Default)]
struct Handler {
    broken: Arc<AtomicBool>,
    handled: Arc<Mutex<Vec<String>>>,
}

impl Handler {
    async fn handle(self, batch: Batch) -> Result<(), &'static str> {
        let broken = self.broken.load(Ordering::Relaxed);
        if broken && batch.iter().any(|record| record.data.starts_with(b"poison")) {
            return Err("cannot read it");
        }
        let data = batch
            .iter()
            .map(|record| String::from_utf8_lossy(&record.data).into_owned());
        self.handled.lock().unwrap().extend(data);
        Ok(())
    }

    fn handled(&self) -> Vec<String> {
        self.handled.lock().unwrap().clone()
    }

    fn break_down(&self, broken: bool) {
        self.broken.store(broken, Ordering::Relaxed);
    }
}

impl Bench {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let letters = SqliteDeadLetters::open(directory.path().join("letters.db"))
            .await
            .unwrap();
        let handler = Handler::default();
        handler.break_down(true);
        Self {
            world: TestWorld::new("orders", 1).await,
            letters,
            handler,
            _directory: directory,
        }
    }

    fn start(&self, exhausted: Exhausted) -> TestWorker {
        let settings = DeliverySettings {
            policy: DeliveryPolicy {
                max_retries: Some(1),
                bisect: true,
                exhausted,
                ..DeliveryPolicy::default()
            },
            ..DeliverySettings::default()
        };
        let handler = self.handler.clone();
        let worker = self
            .world
            .worker("w1")
            .function(move |batch| handler.clone().handle(batch));
        let worker = worker.delivery(settings).dead_letters(Arc::new(self.letters.clone()));
        self.world.start(worker.checkpoint_records(1))
    }

    fn redrive(&self) -> Redrive {
        Redrive::new(self.letters.clone(), self.world.client())
    }

    /// What is kept, oldest first.
    async fn kept(&self) -> Vec<String> {
        let mut kept = Vec::new();
        for summary in self.letters.list(&Selection::default()).await.unwrap() {
            kept.extend(self.letters.get(summary.id).await.unwrap().unwrap().records);
        }
        kept.sort_by_key(|record| record.position());
        let data = kept
            .iter()
            .map(|record| String::from_utf8_lossy(&record.data).into_owned());
        data.collect()
    }
}

#[tokio::test(start_paused = true)]
async fn given_a_key_in_quarantine_when_it_is_redriven_then_its_records_come_in_order_and_it_flows_again() {
    let bench = Bench::new().await;
    bench.start(Exhausted::Quarantine);
    bench.world.put("bad", "poison");
    bench.world.until_checkpointed().await;
    for number in 0..20 {
        bench.world.put("bad", format!("follows {number}"));
        bench.world.put("good", "flows");
        bench.world.until_checkpointed().await;
    }
    assert_eq!(bench.handler.handled(), vec!["flows"; 20]);
    bench.handler.handled.lock().unwrap().clear();

    bench.handler.break_down(false);
    let done = bench.redrive().run().await.unwrap();
    assert_eq!((done.records, done.released, done.quarantined_again.len()), (21, 1, 0));
    bench.world.put("bad", "after");
    bench.world.until_checkpointed().await;
    let mut expected = vec!["poison".to_owned()];
    expected.extend((0..20).map(|number| format!("follows {number}")));
    expected.push("after".to_owned());
    assert_eq!(bench.handler.handled(), expected, "each once, in the order of the key");
    assert!(bench.kept().await.is_empty());
    assert!(bench.letters.quarantined_keys().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn given_a_redrive_when_the_records_fail_again_then_they_are_kept_again_in_order_and_it_ends() {
    let bench = Bench::new().await;
    let worker = bench.start(Exhausted::Quarantine);
    bench.world.put("bad", "poison");
    bench.world.put("bad", "follows");
    bench.world.until_checkpointed().await;
    let done = bench.redrive().run().await.unwrap();
    assert_eq!(done.records, 2);
    bench.world.until_checkpointed().await;
    assert_eq!(bench.kept().await, ["poison", "follows"]);
    assert_eq!(bench.letters.quarantined_keys().await.unwrap()[0].partition_key, "bad");
    assert!(bench.handler.handled().is_empty());
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_letters_without_quarantine_when_they_are_redriven_then_workers_are_not_waited_for() {
    let bench = Bench::new().await;
    bench.start(Exhausted::Discard);
    for number in 0..3 {
        bench.world.put("a", format!("poison {number}"));
        bench.world.put("b", format!("poison {number}"));
    }
    bench.world.until_checkpointed().await;
    bench.handler.break_down(false);
    let before = bench.world.elapsed();
    let mut only_a = Selection::default();
    only_a.keys = vec!["a".into()];
    let done = bench.redrive().selection(only_a).limit(2).run().await.unwrap();
    assert!(bench.world.elapsed() - before < Duration::from_secs(1));
    assert_eq!((done.records, done.released), (2, 0));
    bench.world.until_checkpointed().await;
    assert_eq!(bench.handler.handled(), ["poison 0", "poison 1"]);
    assert_eq!(bench.kept().await.len(), 4, "one of a, three of b");
}

#[tokio::test(start_paused = true)]
async fn given_a_redrive_that_is_cut_off_when_it_is_begun_again_then_nothing_is_lost_and_the_order_holds() {
    let bench = Bench::new().await;
    bench.start(Exhausted::Quarantine);
    bench.world.put("bad", "poison");
    for number in 0..5 {
        bench.world.put("bad", format!("follows {number}"));
    }
    bench.world.until_checkpointed().await;
    bench.handler.break_down(false);
    // The SDK tries three times.
    let refused = ServiceFault::internal_error().on("PutRecords").after(2).times(3);
    bench.world.service_faults().add(refused).unwrap();
    let error = bench.redrive().run().await.unwrap_err();
    assert!(matches!(&error, RedriveError::Refused { .. }), "{error}");
    assert_eq!(bench.kept().await.len(), 4, "what was taken is not kept any more");
    let done = bench.redrive().run().await.unwrap();
    assert_eq!((done.records, done.released), (4, 1));
    bench.world.until_checkpointed().await;
    let follows = (0..5).map(|number| format!("follows {number}"));
    let expected: Vec<String> = std::iter::once("poison".to_owned()).chain(follows).collect();
    assert_eq!(bench.handler.handled(), expected);
    assert!(bench.letters.quarantined_keys().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn given_a_stream_without_room_when_letters_are_redriven_then_each_is_put_once_it_has() {
    let bench = Bench::new().await;
    bench.start(Exhausted::Discard);
    for number in 0..4 {
        bench.world.put("a", format!("poison {number}"));
    }
    bench.world.until_checkpointed().await;
    bench.handler.break_down(false);
    let throttle = ServiceFault::throttle().on("PutRecords").after(1).times(6);
    bench.world.service_faults().add(throttle).unwrap();
    let done = bench.redrive().run().await.unwrap();
    assert_eq!(done.records, 4);
    bench.world.until_checkpointed().await;
    let expected: Vec<String> = (0..4).map(|number| format!("poison {number}")).collect();
    assert_eq!(bench.handler.handled(), expected);
}

#[tokio::test(start_paused = true)]
async fn given_another_stream_when_letters_are_redriven_into_it_then_their_key_stays_in_quarantine() {
    let bench = Bench::new().await;
    bench.start(Exhausted::Quarantine);
    bench.world.put("bad", "poison");
    bench.world.put("bad", "follows");
    bench.world.until_checkpointed().await;
    let client = bench.world.client();
    client
        .create_stream()
        .stream_name("repair")
        .shard_count(1)
        .send()
        .await
        .unwrap();
    bench.world.advance(Duration::from_secs(1)).await;
    let redrive = bench.redrive().to(StreamName::new("repair").unwrap());
    assert_eq!(redrive.run().await.unwrap().records, 2);
    assert!(bench.kept().await.is_empty());
    assert_eq!(bench.letters.quarantined_keys().await.unwrap().len(), 1);
    bench.world.put("bad", "later");
    bench.world.until_checkpointed().await;
    assert_eq!(bench.kept().await, ["later"]);
}
