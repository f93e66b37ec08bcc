//! Trouble with the lease table: lost answers, throttling, outages, stale scans, and a table that cannot be used.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use integration::{Running, World, held, shard_id};
use kcl_checkpoint::{Fault, FaultPlan, FaultRule, FaultyLeaseStore};
use kcl_core::{
    Expect, Lease, LeaseKey, LeaseListing, LeaseStore, LeaseWrite, Position, StoreError, StoreOperation, WriteOutcome,
    worker::WorkerFailure,
};
use kcl_runtime::WorkerError;

/// A worker whose way to the lease table is in trouble as the plan says.
fn troubled(world: &World, name: &str, plan: &FaultPlan) -> Running {
    let store = FaultyLeaseStore::with_plan(Arc::clone(&world.store), plan.clone());
    world
        .worker(name)
        .store(store)
        .checkpoint_interval(Duration::from_secs(1))
        .logging()
}

fn lost(operation: StoreOperation) -> FaultRule {
    FaultRule::new(Fault::LoseAnswer).on(operation)
}

fn struck(plan: &FaultPlan) -> u64 {
    plan.struck().values().sum()
}

#[tokio::test(start_paused = true)]
async fn wound_32_lost_answers_to_takes_leave_the_worker_with_its_leases_at_once() {
    let world = World::new(71, 4);
    world.put(40);
    let plan = FaultPlan::new(71);
    plan.add(lost(StoreOperation::Create));
    plan.add(lost(StoreOperation::Update).times(4));
    let worker = troubled(&world, "one", &plan);
    worker.until(|report| held(report) == 4).await;
    world.log.complete(40).await;
    assert_eq!(struck(&plan), 8, "four creations and four takes");
    assert!(
        world.clock.elapsed() <= Duration::from_secs(2),
        "{:?}",
        world.clock.elapsed()
    );
    worker.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn wound_32_lost_answers_to_renewals_and_checkpoints_cost_no_lease() {
    let world = World::new(72, 2);
    let plan = FaultPlan::new(72);
    let worker = troubled(&world, "one", &plan);
    worker.until(|report| held(report) == 2).await;
    let before: Vec<_> = tenures(&worker).await;
    // Every single answer to a write is lost, for a minute.
    plan.add(lost(StoreOperation::Update));
    for _ in 0..60 {
        world.put(4);
        world.pass(Duration::from_secs(1)).await;
    }
    assert!(struck(&plan) >= 60, "{:?}", plan.struck());
    assert_eq!(tenures(&worker).await, before, "the tenures go on");
    for lease in world.leases().await {
        assert!(
            !lease.checkpoint.is_start(),
            "checkpoints are written all the same: {lease:?}"
        );
    }
    plan.clear();
    world.log.complete(240).await;
    worker.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
}

async fn tenures(worker: &Running) -> Vec<kcl_core::worker::TenureId> {
    worker
        .report()
        .await
        .worker
        .leases
        .into_iter()
        .filter_map(|lease| lease.tenure)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn lost_answers_to_releases_still_end_in_a_clean_shutdown() {
    let world = World::new(73, 3);
    world.put(30);
    let plan = FaultPlan::new(73);
    let worker = troubled(&world, "one", &plan);
    world.log.complete(30).await;
    plan.add(lost(StoreOperation::Update));
    worker.stop().await.unwrap();
    assert!(struck(&plan) >= 3);
    for lease in world.leases().await {
        assert_eq!(lease.holder(), None);
    }
    let next = world.worker("two").logging();
    next.until(|report| held(report) == 3).await;
    next.idle().await;
    next.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn answers_lost_while_a_shard_ends_do_not_keep_its_children_from_beginning() {
    let world = World::new(74, 1);
    let plan = FaultPlan::new(74);
    let worker = troubled(&world, "one", &plan);
    world.put(10);
    world.log.complete(10).await;
    plan.add(lost(StoreOperation::Create));
    plan.add(lost(StoreOperation::Update).with_probability(0.7));
    plan.add(
        FaultRule::new(Fault::Unavailable)
            .on(StoreOperation::Get)
            .with_probability(0.5),
    );
    world.split(&shard_id(0));
    world.put(10);
    world.log.complete(20).await;
    assert_eq!(world.lease(&shard_id(0)).await.checkpoint, Position::ShardEnd);
    plan.clear();
    worker.idle().await;
    worker.stop().await.unwrap();
    world.log.assert_parents_before_children(&world.shards());
}

#[tokio::test(start_paused = true)]
async fn wound_57_a_storm_of_throttling_moves_no_lease() {
    let world = World::new(75, 6);
    let plan = FaultPlan::new(75);
    let fleet = [troubled(&world, "one", &plan), troubled(&world, "two", &plan)];
    for worker in &fleet {
        worker.until(|report| held(report) == 3).await;
    }
    world.pass(Duration::from_secs(2)).await;
    let before = [tenures(&fleet[0]).await, tenures(&fleet[1]).await];
    plan.add(FaultRule::new(Fault::Throttled).with_probability(0.5));
    for _ in 0..120 {
        world.put(3);
        world.pass(Duration::from_secs(1)).await;
    }
    assert!(struck(&plan) > 100);
    assert_eq!([tenures(&fleet[0]).await, tenures(&fleet[1]).await], before);
    plan.clear();
    world.log.complete(360).await;
    for worker in fleet {
        worker.stop().await.unwrap();
    }
    assert_eq!(world.log.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_thirty_seconds_is_survived_and_loses_nothing() {
    let world = World::new(76, 4);
    let plan = FaultPlan::new(76);
    let fleet = [troubled(&world, "one", &plan), troubled(&world, "two", &plan)];
    for worker in &fleet {
        worker.until(|report| held(report) == 2).await;
    }
    world.put(40);
    world.log.complete(40).await;
    plan.start_outage();
    for _ in 0..30 {
        world.put(4);
        world.pass(Duration::from_secs(1)).await;
    }
    let report = fleet[0].report().await;
    assert_eq!(
        held(&report),
        0,
        "after the failover time nobody can know whose the leases are: {report:#?}"
    );
    plan.end_outage();
    let over = world.clock.elapsed();
    world.put(40);
    world.log.complete(200).await;
    let waited = world.clock.elapsed() - over;
    assert!(
        waited <= Duration::from_secs(10),
        "{waited:?} until work goes on after the outage"
    );
    for worker in fleet {
        worker.idle().await;
        worker.stop().await.unwrap();
    }
    world.log.assert_ordered();
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_costs_no_lease_and_replays_nothing() {
    let world = World::new(77, 4);
    let plan = FaultPlan::new(77);
    let worker = troubled(&world, "one", &plan);
    worker.until(|report| held(report) == 4).await;
    let before = tenures(&worker).await;
    plan.start_outage();
    for _ in 0..5 {
        world.put(4);
        world.pass(Duration::from_secs(1)).await;
    }
    plan.end_outage();
    world.log.complete(20).await;
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(tenures(&worker).await, before);
    worker.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_starts_during_an_outage_begins_when_it_is_over() {
    let world = World::new(78, 2);
    world.put(20);
    let plan = FaultPlan::new(78);
    plan.start_outage();
    let worker = troubled(&world, "one", &plan);
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.leases().await, []);
    plan.end_outage();
    world.log.complete(20).await;
    assert!(
        world.clock.elapsed() <= Duration::from_secs(66),
        "{:?}",
        world.clock.elapsed()
    );
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn stale_scans_mislead_nobody() {
    let world = World::new(79, 6);
    let plan = FaultPlan::new(79);
    plan.add(FaultRule::new(Fault::StaleList).with_probability(0.7));
    let fleet = ["one", "two", "three"].map(|name| troubled(&world, name, &plan));
    for worker in &fleet {
        worker.until(|report| held(report) == 2).await;
    }
    world.pass(Duration::from_secs(5)).await;
    for _ in 0..60 {
        world.put(6);
        world.pass(Duration::from_secs(1)).await;
    }
    world.log.complete(360).await;
    for worker in fleet {
        assert_eq!(held(&worker.report().await), 2);
        worker.stop().await.unwrap();
    }
    assert_eq!(world.log.replays(), 0);
    world.log.assert_ordered();
}

/// A table that turns out to be of no use.
#[derive(Debug)]
struct Unusable {
    inner: Arc<dyn LeaseStore>,
    writes_too: bool,
}

fn no_use() -> StoreError {
    StoreError::Unusable {
        problem: "leases.db was written by a newer version: upgrade this worker".into(),
        source: None,
    }
}

#[async_trait]
impl LeaseStore for Unusable {
    async fn list(&self) -> Result<LeaseListing, StoreError> {
        if self.writes_too {
            Err(no_use())
        } else {
            self.inner.list().await
        }
    }

    async fn get(&self, _: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        Err(no_use())
    }

    async fn create(&self, _: &Lease) -> Result<WriteOutcome, StoreError> {
        Err(no_use())
    }

    async fn update(&self, _: &LeaseWrite) -> Result<WriteOutcome, StoreError> {
        Err(no_use())
    }

    async fn delete(&self, _: &LeaseKey, _: &Expect) -> Result<WriteOutcome, StoreError> {
        Err(no_use())
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_cannot_be_used_ends_the_worker_at_once_and_says_what_to_do() {
    let world = World::new(80, 2);
    for writes_too in [true, false] {
        let store = Unusable {
            inner: Arc::clone(&world.store),
            writes_too,
        };
        let error = world.worker("one").store(store).logging().ended().await.unwrap_err();
        assert!(
            matches!(error, WorkerError::Failed(WorkerFailure::StoreUnusable { .. })),
            "{error:?}"
        );
        assert!(error.to_string().contains("upgrade this worker"), "{error}");
    }
    assert!(
        world.clock.elapsed() <= Duration::from_secs(1),
        "{:?}",
        world.clock.elapsed()
    );
}
