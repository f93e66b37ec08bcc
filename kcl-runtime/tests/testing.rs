//! `kcl_runtime::testing` as users use it: consumers on virtual time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use kcl_core::{Batch, BoxError, HashKey, Position, StoreOperation};
use kcl_runtime::{
    BatchOutcome, Checkpointer, Config, RecordProcessor, WorkerError,
    testing::{CallOutcome, Fault, FaultRule, LinkState, ServiceFault, TestWorld},
};

#[tokio::test(start_paused = true)]
async fn retries_until_the_handler_succeeds() {
    let world = TestWorld::new("orders", 2).await;
    let seen = world.recorder();
    let attempts = Arc::new(AtomicU32::new(0));
    let handler = seen.record(move |_: Batch| {
        let attempt = attempts.fetch_add(1, Ordering::Relaxed);
        async move {
            if attempt < 3 {
                Err("the database is away")
            } else {
                Ok(())
            }
        }
    });
    world.start(world.worker("w1").function(handler));
    world.put("customer-7", "two apples");
    world.until_idle().await;
    assert_eq!(seen.data(), ["two apples"; 4]);
    let calls = seen.calls();
    assert_eq!(calls[0].outcome, CallOutcome::Failed("the database is away".to_owned()));
    assert_eq!(calls[3].outcome, CallOutcome::Done(BatchOutcome::success()));
    let waits: Vec<Duration> = calls.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    assert!(waits[0] > Duration::ZERO, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn children_follow_their_parents() {
    let world = TestWorld::new("orders", 1).await;
    let seen = world.recorder();
    let worker = world.start(world.worker("w1").function(seen.succeed()).checkpoint_records(1));
    world.put("customer-7", "before");
    let [lower, upper] = world.split(&world.shard(0));
    world.put_into(&lower, "customer-7", "low");
    world.put_at(HashKey::MAX, "customer-8", "high");
    world.until_idle().await;
    let merged = world.merge(&lower, &upper);
    world.put("customer-7", "after");
    world.until_checkpointed().await;
    let data = seen.data();
    assert_eq!((data[0].as_str(), data[3].as_str(), data.len()), ("before", "after", 4));
    assert_eq!(world.lease(&upper).await.checkpoint, Position::ShardEnd);
    assert_eq!(world.open_shards()[0].id, merged);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crashed_worker_is_replaced_within_the_failover_time() {
    let world = TestWorld::new("orders", 4).await;
    let seen = world.recorder();
    let first = world.start(world.worker("w1").function(seen.succeed()));
    let second = world.start(world.worker("w2").function(seen.succeed()));
    world
        .until("w1 and w2 share the shards", |report| {
            ["w1", "w2"].iter().all(|worker| report.held_by(worker).len() == 2)
        })
        .await;
    world.put("customer-7", "two apples");
    world.until_checkpointed().await;
    first.crash().await;
    let crashed = world.elapsed();
    world
        .until("w2 holds everything", |report| report.held_by("w2").len() == 4)
        .await;
    assert!(world.elapsed() - crashed < Duration::from_secs(12));
    assert_eq!(seen.data(), ["two apples"], "nothing is replayed");
    second.stop().await;
    assert!(world.leases().await.iter().all(|lease| lease.holder().is_none()));
}

#[tokio::test(start_paused = true)]
async fn idle_means_that_what_was_just_put_is_handled_whoever_put_it() {
    let world = TestWorld::new("orders", 2).await;
    let seen = world.recorder();
    world.start(world.worker("w1").function(seen.succeed()));
    let producer = world.client();
    for round in 0..20 {
        let number = round.to_string();
        if round % 2 == 0 {
            world.put(number.as_str(), number.clone());
        } else {
            let blob = number.clone().into_bytes().into();
            producer
                .put_record()
                .stream_name("orders")
                .partition_key(&number)
                .data(blob)
                .send()
                .await
                .unwrap();
        }
        world.until_idle().await;
        assert_eq!(seen.data().last(), Some(&number));
    }
}

#[tokio::test(start_paused = true)]
async fn trouble_with_service_and_table_costs_no_record() {
    let troubles = [
        LinkState::Refused,
        LinkState::ServerError,
        LinkState::Throttled,
        LinkState::Hanging,
        LinkState::AnswersLost,
    ];
    for trouble in troubles {
        let world = TestWorld::builder("orders", 2).seed(7).build().await;
        let seen = world.recorder();
        world.start(world.worker("w1").function(seen.succeed()));
        world.until_idle().await;
        world.service().set(trouble);
        world.table_faults().add(
            FaultRule::new(Fault::LoseAnswer)
                .on(StoreOperation::Update)
                .with_probability(0.5),
        );
        world.put("customer-7", "two apples");
        world.advance(Duration::from_secs(60)).await;
        assert_eq!(seen.data(), [""; 0], "{trouble:?}");
        world.service().set(LinkState::Up);
        world.table_faults().clear();
        world.until_idle().await;
        assert_eq!(seen.data(), ["two apples"], "{trouble:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn expired_iterators_are_opened_again_where_they_were() {
    let world = TestWorld::new("orders", 1).await;
    let seen = world.recorder();
    world.start(world.worker("w1").function(seen.succeed()));
    for round in 0..3 {
        world.put("customer-7", round.to_string());
        world.until_idle().await;
        let before = world.service().requests();
        world.service().expire_iterators();
        world.advance(Duration::from_millis(1_500)).await;
        let requests = world.service().requests() - before;
        assert!(requests >= 3, "a refused read, a new iterator, a read: {requests}");
    }
    world.put("customer-7", "3");
    world.until_idle().await;
    assert_eq!(seen.data(), ["0", "1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn scripted_faults_cost_no_record() {
    let world = TestWorld::new("orders", 1).await;
    let seen = world.recorder();
    world.start(world.worker("w1").function(seen.succeed()));
    let faults = world.service_faults();
    for fault in [
        ServiceFault::latency(Duration::from_secs(2)).times(5),
        ServiceFault::throttle().on("GetRecords").probability(0.3).seed(7),
        ServiceFault::null_iterator().after(3).times(1),
        ServiceFault::stale_shards(Duration::from_secs(60)).times(2),
    ] {
        faults.add(fault).unwrap();
    }
    for n in 0..50 {
        world.put("customer-7", format!("{n} apples"));
        world.advance(Duration::from_secs(1)).await;
    }
    world.split(&world.shard(0));
    world.put("customer-7", "and a pear");
    world.until_idle().await;
    for n in 0..50 {
        assert!(seen.data().contains(&format!("{n} apples")));
    }
    assert_eq!(seen.data().last().unwrap(), "and a pear");
    assert!(
        faults.list().iter().all(|fault| fault.struck > 0),
        "{:?}",
        faults.list()
    );
    let reads = world.broker().operations().counts()["GetRecords"];
    assert!(reads.errors > 0 && reads.errors <= reads.struck, "{reads:?}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_cut_off_loses_its_leases_and_the_fleet_goes_on() {
    let world = TestWorld::new("orders", 2).await;
    let seen = world.recorder();
    world.start(world.worker("w1").function(seen.succeed()));
    world.until_idle().await;
    world.start(world.worker("w2").function(seen.succeed()));
    world.table_faults_of("w1").start_outage();
    world.service_of("w1").set(LinkState::Hanging);
    world.put("customer-7", "two apples");
    world
        .until("w2 holds everything", |report| report.held_by("w2").len() == 2)
        .await;
    world.until_idle().await;
    assert_eq!(seen.data(), ["two apples"]);
}

/// Checkpoints after every batch.
struct Careful;

impl RecordProcessor for Careful {
    async fn process_records(&mut self, _: &Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        Ok(checkpointer.checkpoint().await?)
    }
}

#[tokio::test(start_paused = true)]
async fn processors_and_settings_are_the_users_own() {
    let world = TestWorld::builder("orders", 1).application("billing").build().await;
    let mut config = Config::default();
    config.failover_time = Duration::from_secs(2);
    let builder = world
        .worker("w1")
        .config(config)
        .processor(|_: &kcl_runtime::ShardContext| Careful);
    let worker = world.start(builder.build().unwrap());
    let put = world.put("customer-7", "two apples");
    world.until_checkpointed().await;
    let lease = world.lease(&put.shard_id).await;
    assert_eq!(lease.checkpoint, Position::after(put.sequence_number));
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_ends_on_its_own_says_how() {
    let world = TestWorld::new("orders", 1).await;
    let worker = world.start(world.worker("w1").function(|_: Batch| async {}));
    world.until_idle().await;
    world
        .broker()
        .call(kcl_runtime::broker::api::DeleteStream::new("orders"))
        .unwrap();
    let ended = worker.ended().await;
    assert!(matches!(ended, Err(WorkerError::Failed(_))), "{ended:?}");
    assert!(world.report().await.to_string().contains("w1: ended: "));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "process_records failed")]
async fn a_wait_that_takes_too_long_says_what_every_shard_waits_for() {
    let world = TestWorld::builder("orders", 2)
        .deadline(Duration::from_secs(300))
        .build()
        .await;
    world.start(
        world
            .worker("w1")
            .function(|_: Batch| async { Err::<(), _>("the database is away") }),
    );
    world.put("customer-7", "two apples");
    world.until_idle().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "no worker was started")]
async fn waiting_without_a_worker_ends() {
    TestWorld::new("orders", 1).await.until_idle().await;
}

#[tokio::test]
#[should_panic(expected = "start_paused = true")]
async fn real_time_is_refused() {
    TestWorld::new("orders", 1).await;
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_run() {
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        let world = TestWorld::builder("orders", 3).seed(seed).build().await;
        let seen = world.recorder();
        world
            .table_faults()
            .add(FaultRule::new(Fault::Throttled).with_probability(0.3));
        world.start(world.worker("w1").function(seen.succeed()));
        world.start(world.worker("w2").function(seen.succeed()));
        world.service().set(LinkState::ServerError);
        for number in 0..30 {
            world.put(number.to_string(), number.to_string());
            world.advance(Duration::from_millis(100)).await;
        }
        world.service().set(LinkState::Up);
        world.table_faults().clear();
        let report = world.until_idle().await;
        let calls: Vec<_> = seen
            .calls()
            .into_iter()
            .map(|call| (call.at, call.shard, call.records))
            .collect();
        runs.push((calls, report.to_string()));
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[test]
fn the_guide_shows_tests_of_this_file() {
    let (guide, tests) = (include_str!("../../docs/testing.md"), include_str!("testing.rs"));
    let blocks: Vec<&str> = guide.split("```rust\n").skip(1).collect();
    assert_eq!(blocks.len(), 4);
    for block in blocks {
        let code = block.split("```").next().unwrap();
        assert!(tests.contains(code), "not in this file:\n{code}");
    }
}
