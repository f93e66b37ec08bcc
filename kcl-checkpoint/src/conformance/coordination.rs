//! What is kept beside the leases, where the workers of Java KCL can share the table. A store for which there are no such workers
//! keeps nothing, and keeps these promises by that.

use std::collections::BTreeSet;

use kcl_core::{
    LeaseStore, Timestamp,
    coordination::{Coordination, WorkerMetrics},
};

use super::{
    Table,
    check::{Check, Violation},
    samples,
};

/// The values of the metrics that the checks publish: as exact as they are written, to six decimals.
const PERCENTAGES: [f64; 4] = [0.0, 100.0, 12.345_678, 50.5];

fn metrics(worker: &str, second: i64) -> WorkerMetrics {
    let now = Timestamp::from_epoch_millis((1_357_034_400 + second) * 1_000);
    WorkerMetrics::of_cpu(samples::worker(worker), now, PERCENTAGES.to_vec())
}

/// What one look finds. The rows of the lease table that are no leases are known from its last list.
async fn look(check: Check, store: &dyn LeaseStore) -> Result<Coordination, Violation> {
    check.answered("list", store.list().await)?;
    check.answered("coordination", store.coordination().await)
}

/// The workers whose metrics a look finds, each with what it published last.
async fn published(check: Check, store: &dyn LeaseStore) -> Result<Vec<WorkerMetrics>, Violation> {
    let mut found = look(check, store).await?.workers;
    found.sort_by(|one, other| one.worker.cmp(&other.worker));
    Ok(found)
}

/// In a fresh table nothing is kept beside the leases, and neither is there anything for metrics that were never published to
/// be taken back from.
///
/// # Errors
/// The violation that was found.
pub async fn nothing_is_beside_fresh_leases(table: &Table) -> Result<(), Violation> {
    let check = Check::of("nothing_is_beside_fresh_leases");
    let lease = samples::held(0, "worker-1");
    check.applied("create", table.first.create(&lease).await, &lease)?;
    for store in table.handles() {
        let withdrawn = store.withdraw(&samples::worker("worker-1")).await;
        check.answered("withdraw of what was never published", withdrawn)?;
        let found = look(check, &**store).await?;
        check.same("what is beside the leases", &found, &Coordination::default())?;
    }
    Ok(())
}

/// Metrics that a worker publishes are read back exactly, on every handle, in place of those it published before and beside those of
/// others. Or nobody can read them, and none are kept.
///
/// # Errors
/// The violation that was found.
pub async fn published_metrics_are_the_last(table: &Table) -> Result<(), Violation> {
    let check = Check::of("published_metrics_are_the_last");
    let (old, new, other) = (metrics("worker-1", 0), metrics("worker-1", 30), metrics("worker-2", 7));
    for metrics in [&old, &other, &new] {
        check.answered("publish", table.first.publish(metrics).await)?;
    }
    let keeps = !published(check, &*table.first).await?.is_empty();
    let wanted = if keeps { vec![new, other] } else { Vec::new() };
    for store in table.handles() {
        check.same("what was published", &published(check, &**store).await?, &wanted)?;
    }
    // A worker that has nothing to tell any more is one without values, and not one with old values.
    let silent = WorkerMetrics::of_cpu(
        samples::worker("worker-1"),
        Timestamp::from_epoch_millis(1_357_034_460_000),
        Vec::new(),
    );
    check.answered("publish without values", table.second.publish(&silent).await)?;
    let found = published(check, &*table.first).await?.into_iter().next();
    check.same("what was published without values", &found, &keeps.then_some(silent))
}

/// What a worker takes back is gone on every handle, once and for all; what others published stays.
///
/// # Errors
/// The violation that was found.
pub async fn withdrawn_metrics_are_gone(table: &Table) -> Result<(), Violation> {
    let check = Check::of("withdrawn_metrics_are_gone");
    for name in ["worker-1", "worker-2"] {
        check.answered("publish", table.first.publish(&metrics(name, 0)).await)?;
    }
    let before = published(check, &*table.second).await?.len();
    for handle in [&table.first, &table.second] {
        let withdrawn = handle.withdraw(&samples::worker("worker-1")).await;
        check.answered("withdraw", withdrawn)?;
    }
    for store in table.handles() {
        let found = published(check, &**store).await?;
        let left: BTreeSet<&str> = found.iter().map(|metrics| metrics.worker.as_str()).collect();
        let wanted = if before > 0 {
            BTreeSet::from(["worker-2"])
        } else {
            BTreeSet::new()
        };
        check.same("who is left", &left, &wanted)?;
    }
    Ok(())
}

/// Metrics are no leases, and leases no metrics: a worker that is called as a lease is, changes nothing of it.
///
/// # Errors
/// The violation that was found.
pub async fn metrics_leave_leases_alone(table: &Table) -> Result<(), Violation> {
    let check = Check::of("metrics_leave_leases_alone");
    let lease = samples::held(0, "worker-1");
    check.applied("create", table.first.create(&lease).await, &lease)?;
    let rows = std::slice::from_ref(&lease);
    let name = lease.key.as_str();
    check.answered("publish", table.first.publish(&metrics(name, 0)).await)?;
    for store in table.handles() {
        check.rows("after metrics of its name", &**store, rows).await?;
    }
    check.answered("withdraw", table.first.withdraw(&samples::worker(name)).await)?;
    for store in table.handles() {
        check.rows("after they were taken back", &**store, rows).await?;
    }
    Ok(())
}
