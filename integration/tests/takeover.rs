//! How leases move: after a crash, at a clean shutdown, when a worker joins, and not at all when nothing happens.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use integration::{Running, World, held, shard_id};
use kcl_checkpoint::{ObservedLeaseStore, StoreCounts};
use kcl_core::{Lease, LeaseKey, StoreOperation, WorkerId};

const FAILOVER: Duration = Duration::from_secs(10);
const SCAN: Duration = Duration::from_secs(1);

fn holders(leases: &[Lease]) -> BTreeMap<String, usize> {
    let mut holders = BTreeMap::new();
    for holder in leases.iter().filter_map(Lease::holder) {
        *holders.entry(holder.to_string()).or_default() += 1;
    }
    holders
}

fn all_held_by(worker: &str) -> impl Fn(&[Lease]) -> bool {
    let worker = WorkerId::new(worker).unwrap();
    move |leases| !leases.is_empty() && leases.iter().all(|lease| lease.holder() == Some(&worker))
}

/// Two workers that share six shards evenly and have handled 60 records.
async fn pair(world: &World) -> (Running, Running) {
    let (one, two) = (world.worker("one").logging(), world.worker("two").logging());
    world.put(60);
    one.until(|report| held(report) == 3).await;
    two.until(|report| held(report) == 3).await;
    world.log.complete(60).await;
    (one, two)
}

#[tokio::test(start_paused = true)]
async fn the_leases_of_a_crashed_worker_are_taken_within_the_failover_time_and_one_scan() {
    // At different moments between two renewals.
    for (seed, pause) in [(41, 0), (42, 700), (43, 1_900), (44, 3_100)] {
        let world = World::new(seed, 6);
        let (one, two) = pair(&world).await;
        world.pass(Duration::from_millis(pause)).await;
        one.crash().await;
        world.put(60);
        let waited = world.table_until(all_held_by("two")).await;
        // One scan until the last renewal is seen; its age is looked at just when it is reached.
        assert!(waited <= FAILOVER + SCAN + Duration::from_millis(100), "{waited:?}");
        assert!(
            waited >= FAILOVER / 2,
            "a live worker's leases would be taken as well: {waited:?}"
        );
        world.log.complete(120).await;
        two.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn wound_49_a_clean_shutdown_hands_over_within_one_scan_and_replays_nothing() {
    let world = World::new(45, 6);
    let (one, two) = pair(&world).await;
    world.put(60);
    let from = world.clock.elapsed();
    one.stop().await.unwrap();
    world.put(60);
    two.until(|report| held(report) == 6).await;
    let waited = world.clock.elapsed() - from;
    assert!(waited <= SCAN + Duration::from_millis(200), "{waited:?}");
    world.log.complete(180).await;
    two.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
    world.log.assert_ordered();
}

#[tokio::test(start_paused = true)]
async fn wound_02_a_single_worker_that_is_replaced_leaves_no_gap() {
    let world = World::new(46, 2);
    let one = world.worker("one").logging();
    world.put(20);
    one.idle().await;
    one.stop().await.unwrap();
    let two = world.worker("two").logging();
    let from = world.clock.elapsed();
    world.put(20);
    world.log.complete(40).await;
    let waited = world.clock.elapsed() - from;
    assert!(waited <= SCAN, "{waited:?}");
    two.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn wound_53_the_first_record_of_a_new_application_is_handled_within_a_second() {
    let world = World::new(47, 8);
    world.put(100);
    let worker = world.worker("one").logging();
    world.log.complete(100).await;
    assert!(
        world.clock.elapsed() <= Duration::from_secs(1),
        "{:?}",
        world.clock.elapsed()
    );
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_joins_has_its_fair_share_within_five_seconds_and_nothing_is_replayed() {
    let world = World::new(48, 8);
    let one = world.worker("one").logging();
    world.put(80);
    one.until(|report| held(report) == 8).await;
    world.log.complete(80).await;

    let from = world.clock.elapsed();
    let two = world.worker("two").logging();
    for _ in 0..20 {
        world.put(4);
        world.pass(Duration::from_millis(100)).await;
    }
    two.until(|report| held(report) == 4).await;
    let waited = world.clock.elapsed() - from;
    assert!(waited <= Duration::from_secs(5), "{waited:?}");
    assert_eq!(
        holders(&world.leases().await),
        BTreeMap::from([("one".to_owned(), 4), ("two".to_owned(), 4)])
    );
    world.log.complete(160).await;
    one.stop().await.unwrap();
    two.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0, "leases are passed on between two batches");
    world.log.assert_ordered();
}

#[tokio::test(start_paused = true)]
async fn wound_10_an_idle_fleet_moves_no_lease_and_stays_within_its_store_budget() {
    const MINUTES: u64 = 10;
    const WORKERS: u64 = 3;
    const SHARDS: u64 = 8;
    let world = World::new(49, i32::try_from(SHARDS).unwrap());
    let counts = StoreCounts::new();
    let fleet: Vec<Running> = (0..WORKERS)
        .map(|worker| {
            let store = ObservedLeaseStore::with_counts(Arc::clone(&world.store), counts.clone());
            let spec = world.worker(&format!("worker-{worker}")).store(store);
            spec.config(|config| config.idle_time_at_tip = Duration::from_secs(10))
                .logging()
        })
        .collect();
    world
        .table_until(|leases| {
            holders(leases).values().copied().collect::<Vec<_>>() == [2, 3, 3]
                || holders(leases).values().copied().collect::<Vec<_>>() == [3, 2, 3]
                || holders(leases).values().copied().collect::<Vec<_>>() == [3, 3, 2]
        })
        .await;
    for worker in &fleet {
        worker
            .until(|report| held(report) == report.shards.len() && !report.shards.is_empty())
            .await;
    }
    world.pass(Duration::from_secs(5)).await;

    let places = |leases: Vec<Lease>| -> BTreeMap<LeaseKey, (Option<WorkerId>, u64)> {
        let place = |lease: &Lease| (lease.owner.clone(), lease.owner_switches_since_checkpoint);
        leases.iter().map(|lease| (lease.key.clone(), place(lease))).collect()
    };
    let before = places(world.leases().await);
    drop(counts.take());
    for _ in 0..MINUTES * 6 {
        world.pass(Duration::from_secs(10)).await;
        assert_eq!(places(world.leases().await), before);
    }

    // A renewal each third of the failover time makes 18 a minute; a scan a second makes 60 a minute and worker.
    let updates = counts.calls(StoreOperation::Update);
    assert!(
        updates <= 19 * SHARDS * MINUTES,
        "{updates} updates in {MINUTES} minutes for {SHARDS} leases"
    );
    assert!(
        updates >= 17 * SHARDS * MINUTES,
        "{updates} updates do not keep {SHARDS} leases"
    );
    let lists = counts.calls(StoreOperation::List);
    assert!(
        lists <= 61 * WORKERS * MINUTES,
        "{lists} scans in {MINUTES} minutes by {WORKERS} workers"
    );
    // And every half minute a look for workers of Java KCL.
    let looks = counts.calls(StoreOperation::Coordinate);
    assert!(looks <= 3 * WORKERS * MINUTES, "{looks} looks by {WORKERS} workers");
    assert_eq!(counts.total(), updates + lists + looks, "{:?}", counts.snapshot());
    for worker in fleet {
        worker.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_a_limit_leaves_the_rest_to_others() {
    let world = World::new(50, 6);
    let small = world
        .worker("small")
        .config(|config| config.max_leases = Some(1))
        .logging();
    let big = world.worker("big").logging();
    world
        .table_until(|leases| holders(leases).values().sum::<usize>() == 6)
        .await;
    world
        .table_until(|leases| holders(leases).get("small") == Some(&1))
        .await;
    big.until(|report| held(report) == 5).await;
    small.until(|report| held(report) == 1).await;
    world.put(60);
    world.log.complete(60).await;
    small.stop().await.unwrap();
    big.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wound_36_every_held_lease_has_a_consumer_that_moves_or_says_why() {
    let world = World::new(51, 4);
    let fleet: Vec<Running> = ["one", "two", "three"].map(|name| world.worker(name).logging()).into();
    for step in 0..20 {
        world.put(10);
        if step == 5 {
            world.split(&shard_id(0));
        }
        world.pass(Duration::from_millis(500)).await;
        for worker in &fleet {
            let report = worker.report().await;
            assert_eq!(held(&report), report.shards.len(), "{report:#?}");
        }
    }
    world.log.complete(200).await;
    for worker in fleet {
        worker.idle().await;
        worker.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn workers_that_disagree_about_the_failover_time_leave_each_other_their_leases() {
    // The patient one renews every ten seconds, and the other one takes holders for gone after three.
    let world = World::new(52, 4);
    let patient = world
        .worker("patient")
        .config(|config| config.failover_time = Duration::from_secs(30))
        .logging();
    patient.until(|report| held(report) == 4).await;
    let hasty = world
        .worker("hasty")
        .config(|config| config.failover_time = Duration::from_secs(3))
        .logging();
    patient.until(|report| held(report) == 2).await;
    hasty.until(|report| held(report) == 2).await;
    let switches = |leases: Vec<Lease>| -> Vec<u64> {
        let mut switches: Vec<_> = leases
            .into_iter()
            .map(|lease| lease.owner_switches_since_checkpoint)
            .collect();
        switches.sort_unstable();
        switches
    };
    let before = switches(world.leases().await);
    world.pass(Duration::from_secs(300)).await;
    assert_eq!(switches(world.leases().await), before);

    // And of the patient one everybody waits for as long as it said.
    patient.crash().await;
    world.pass(Duration::from_secs(25)).await;
    hasty.until(|report| held(report) == 2).await;
    world.pass(Duration::from_secs(8)).await;
    hasty.until(|report| held(report) == 4).await;
    hasty.stop().await.unwrap();
}
