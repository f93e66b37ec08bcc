//! Faults strike where the plan says, and nowhere else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kcl_checkpoint::{
    CallOutcome, Fault, FaultPlan, FaultRule, FaultyLeaseStore, MemoryLeaseStore, ObservedLeaseStore,
    conformance::{self, Table},
};
use kcl_core::{Expect, Lease, LeaseStore, LeaseWrite, Position, ShardId, StoreError, StoreOperation, WriteOutcome};

fn lease(number: u32) -> Lease {
    Lease::new(
        ShardId::new(format!("shardId-{number:012}")).unwrap(),
        Position::TrimHorizon,
    )
}

fn faulty(seed: u64) -> (FaultyLeaseStore, MemoryLeaseStore) {
    let inner = MemoryLeaseStore::new();
    (FaultyLeaseStore::new(Arc::new(inner.clone()), seed), inner)
}

#[tokio::test]
async fn without_faults_the_wrappers_keep_every_promise() {
    let kept = conformance::run_all(|| async {
        let (store, inner) = faulty(1);
        Ok(Table::new(store, ObservedLeaseStore::new(Arc::new(inner))))
    })
    .await;
    kept.unwrap_or_else(|violations| panic!("{violations}"));
}

#[tokio::test]
async fn an_unavailable_call_changes_nothing_and_the_next_goes_through() {
    let (store, inner) = faulty(1);
    store.plan().add(FaultRule::new(Fault::Unavailable).times(1));
    let refused = store.create(&lease(0)).await.unwrap_err();
    assert!(matches!(
        refused,
        StoreError::Unavailable {
            operation: StoreOperation::Create,
            ..
        }
    ));
    assert_eq!(inner.get(&lease(0).key).await.unwrap(), None);
    assert_eq!(store.create(&lease(0)).await.unwrap(), WriteOutcome::Applied(lease(0)));
}

#[tokio::test]
async fn a_lost_answer_leaves_the_write() {
    let (store, inner) = faulty(1);
    store.plan().add(FaultRule::new(Fault::LoseAnswer).times(3));
    assert!(store.create(&lease(0)).await.unwrap_err().may_have_applied());
    let renewal = LeaseWrite::renew(&lease(0), None);
    assert!(store.update(&renewal).await.unwrap_err().may_have_applied());
    assert_eq!(inner.get(&lease(0).key).await.unwrap().unwrap().counter, 1);
    assert!(
        store
            .delete(&lease(0).key, &Expect::exists())
            .await
            .unwrap_err()
            .may_have_applied()
    );
    assert_eq!(inner.get(&lease(0).key).await.unwrap(), None);
}

#[tokio::test]
async fn a_read_whose_answer_is_lost_is_only_unavailable() {
    let (store, _inner) = faulty(1);
    store.plan().add(FaultRule::new(Fault::LoseAnswer));
    assert!(matches!(store.list().await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(
        store.get(&lease(0).key).await,
        Err(StoreError::Unavailable { .. })
    ));
}

#[tokio::test]
async fn a_rule_strikes_its_operation_and_key_only() {
    let (store, _inner) = faulty(1);
    let rule = FaultRule::new(Fault::Throttled).on(StoreOperation::Get);
    store.plan().add(rule.on_key(lease(1).key));
    assert!(store.list().await.is_ok());
    assert!(store.create(&lease(1)).await.is_ok());
    assert!(store.get(&lease(0).key).await.is_ok());
    assert!(matches!(
        store.get(&lease(1).key).await,
        Err(StoreError::Throttled { .. })
    ));
    store.plan().clear();
    assert!(store.get(&lease(1).key).await.is_ok());
}

#[tokio::test]
async fn a_rule_spares_the_first_calls_and_ends_after_its_times() {
    let (store, _inner) = faulty(1);
    store.plan().add(FaultRule::new(Fault::Throttled).after(2).times(1));
    let mut failed = Vec::new();
    for _ in 0..5 {
        failed.push(store.list().await.is_err());
    }
    assert_eq!(failed, [false, false, true, false, false]);
    assert_eq!(store.plan().struck(), BTreeMap::from([(Fault::Throttled, 1)]));
}

async fn pattern(seed: u64) -> Vec<bool> {
    let (store, _inner) = faulty(seed);
    store
        .plan()
        .add(FaultRule::new(Fault::Unavailable).with_probability(0.3));
    let mut failed = Vec::new();
    for _ in 0..200 {
        failed.push(store.list().await.is_err());
    }
    failed
}

#[tokio::test]
async fn the_seed_decides_the_faults() {
    let first = pattern(7).await;
    assert_eq!(first, pattern(7).await);
    assert_ne!(first, pattern(8).await);
    let failures = first.iter().filter(|failed| **failed).count();
    assert!(
        (30..=90).contains(&failures),
        "{failures} of 200 at a probability of 0.3"
    );
}

#[tokio::test]
async fn a_stale_list_is_the_one_before() {
    let (store, _inner) = faulty(1);
    let count = async || store.list().await.unwrap().leases.len();
    assert_eq!(count().await, 0);
    assert!(store.create(&lease(0)).await.is_ok());
    store.plan().add(FaultRule::new(Fault::StaleList).times(2));
    assert_eq!((count().await, count().await), (0, 0));
    assert!(store.get(&lease(0).key).await.unwrap().is_some());
    assert_eq!(count().await, 1);
}

#[tokio::test]
async fn the_first_list_of_all_is_never_stale() {
    let (store, inner) = faulty(1);
    assert!(inner.create(&lease(0)).await.is_ok());
    store.plan().add(FaultRule::new(Fault::StaleList));
    assert_eq!(store.list().await.unwrap().leases, [Arc::new(lease(0))]);
}

#[tokio::test(start_paused = true)]
async fn delays_add_up_on_tokios_timer() {
    let (store, inner) = faulty(1);
    store.plan().add(FaultRule::new(Fault::Delay(Duration::from_secs(20))));
    store.plan().add(FaultRule::new(Fault::Delay(Duration::from_secs(10))));
    let early = tokio::time::timeout(Duration::from_secs(29), store.create(&lease(0))).await;
    assert!(early.is_err());
    assert_eq!(
        inner.get(&lease(0).key).await.unwrap(),
        None,
        "a call that was given up in its delay is not carried out"
    );
    let late = tokio::time::timeout(Duration::from_secs(31), store.create(&lease(0))).await;
    assert_eq!(late.unwrap().unwrap(), WriteOutcome::Applied(lease(0)));
}

#[tokio::test(start_paused = true)]
async fn an_outage_meets_every_call_until_it_ends() {
    let (store, inner) = faulty(1);
    let plan = store.plan().clone();
    plan.add(FaultRule::new(Fault::Delay(Duration::from_secs(5))).times(1));
    let created = lease(0);
    let (waiting, ()) = tokio::join!(store.create(&created), async { plan.start_outage() });
    assert!(
        matches!(waiting, Err(StoreError::Unavailable { .. })),
        "a delayed call meets the outage as well"
    );
    assert!(store.list().await.unwrap_err().is_retryable());
    assert!(store.get(&created.key).await.is_err());
    assert!(store.update(&LeaseWrite::renew(&created, None)).await.is_err());
    assert!(store.delete(&created.key, &Expect::exists()).await.is_err());
    assert_eq!(inner.list().await.unwrap().leases, []);
    plan.end_outage();
    assert!(store.create(&created).await.is_ok());
}

#[tokio::test]
async fn stores_can_share_a_plan() {
    let inner: Arc<dyn LeaseStore> = Arc::new(MemoryLeaseStore::new());
    let plan = FaultPlan::new(1);
    let first = FaultyLeaseStore::with_plan(Arc::clone(&inner), plan.clone());
    let second = FaultyLeaseStore::with_plan(inner, plan.clone());
    plan.start_outage();
    assert!(first.list().await.is_err());
    assert!(second.list().await.is_err());
}

#[tokio::test]
async fn calls_are_counted_as_their_caller_saw_them() {
    let (store, _inner) = faulty(1);
    store
        .plan()
        .add(FaultRule::new(Fault::LoseAnswer).on(StoreOperation::Update).times(1));
    let observed = ObservedLeaseStore::new(Arc::new(store.clone()));
    assert!(observed.create(&lease(0)).await.is_ok());
    assert!(observed.create(&lease(0)).await.is_ok());
    let renewal = LeaseWrite::renew(&lease(0), None);
    assert!(observed.update(&renewal).await.is_err());
    assert!(observed.update(&renewal).await.is_ok());
    assert!(observed.list().await.is_ok());
    let counted = BTreeMap::from([
        ((StoreOperation::Create, CallOutcome::Applied), 1),
        ((StoreOperation::Create, CallOutcome::Conflict), 1),
        ((StoreOperation::Update, CallOutcome::Ambiguous), 1),
        ((StoreOperation::Update, CallOutcome::Conflict), 1),
        ((StoreOperation::List, CallOutcome::Read), 1),
    ]);
    assert_eq!(observed.counts().snapshot(), counted);
    assert_eq!(store.counts().snapshot(), counted);
    let counts = observed.counts();
    assert_eq!(
        (
            counts.total(),
            counts.calls(StoreOperation::Update),
            counts.outcomes(CallOutcome::Conflict)
        ),
        (5, 2, 2)
    );
    assert_eq!(counts.take(), counted);
    assert_eq!(counts.total(), 0);
}
