//! The conformance suite finds stores that break a promise, and says which.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use kcl_checkpoint::{
    MemoryLeaseStore,
    conformance::{self, PROMISES, Table, Violations},
};
use kcl_core::{
    Expect, Lease, LeaseKey, LeaseListing, LeaseStore, LeaseWrite, Patch, StoreError, Timestamp, WorkerId,
    WriteOutcome,
    coordination::{Coordination, WorkerMetrics},
};

/// A way to get a lease store wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breakage {
    /// Reads, compares, and then writes whatever has happened in between.
    LosesUpdates,
    IgnoresConditions,
    /// Compares the counter and forgets the owners.
    IgnoresOwners,
    UpsertsAbsentRows,
    CreatesOverExistingRows,
    /// Tells a loser that it lost, but not to what.
    HidesTheStoredRow,
    /// Counts a refused write as one.
    CountsRefusedWrites,
    DropsSessions,
    RoundsSequenceNumbers,
    ListsOnePage,
    ListsInWritingOrder,
    /// The reader of a replica that never catches up.
    ReadsAnOldCopy,
    DeletesUnconditionally,
    FailsReads,
    /// Keeps every set of metrics that was ever published.
    PilesMetricsUp,
    /// Takes nothing back.
    KeepsMetrics,
    /// Takes back what everybody published.
    DropsAllMetrics,
    /// Puts metrics where the lease of their name is.
    MixesMetricsWithLeases,
    /// Tells of workers where nobody published.
    InventsWorkers,
}

#[derive(Clone, Debug)]
struct BrokenStore {
    inner: MemoryLeaseStore,
    how: Breakage,
    metrics: Arc<Mutex<Vec<WorkerMetrics>>>,
}

impl BrokenStore {
    fn is(&self, how: Breakage) -> bool {
        self.how == how
    }

    fn metrics(&self) -> MutexGuard<'_, Vec<WorkerMetrics>> {
        self.metrics.lock().expect("nothing panics with it")
    }

    async fn overwrite(&self, lease: &Lease) -> Result<(), StoreError> {
        let _ = self.inner.delete(&lease.key, &Expect::exists()).await?;
        let _ = self.inner.create(lease).await?;
        Ok(())
    }
}

#[async_trait]
impl LeaseStore for BrokenStore {
    async fn list(&self) -> Result<LeaseListing, StoreError> {
        let mut listing = self.inner.list().await?;
        match self.how {
            Breakage::ListsOnePage => listing.leases.truncate(100),
            Breakage::ListsInWritingOrder => listing.leases.reverse(),
            _ => {}
        }
        Ok(listing)
    }

    async fn get(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        if self.is(Breakage::FailsReads) {
            let problem = "reads are not implemented".to_owned();
            return Err(StoreError::Unusable { problem, source: None });
        }
        let mut found = self.inner.get(key).await?;
        if let Some(lease) = &mut found
            && self.is(Breakage::ReadsAnOldCopy)
        {
            lease.counter = lease.counter.min(41);
        }
        Ok(found)
    }

    async fn create(&self, lease: &Lease) -> Result<WriteOutcome, StoreError> {
        let mut lease = lease.clone();
        match self.how {
            Breakage::CreatesOverExistingRows => {
                self.overwrite(&lease).await?;
                return Ok(WriteOutcome::Applied(lease));
            }
            Breakage::DropsSessions => lease.session = None,
            Breakage::RoundsSequenceNumbers => {
                if let Some(digits) = lease
                    .checkpoint
                    .record()
                    .map(|record| record.sequence_number.to_string())
                {
                    let rounded = digits.parse::<f64>().unwrap_or(0.0);
                    lease.checkpoint = kcl_core::Position::after(format!("{rounded:.0}").parse().expect("digits"));
                }
            }
            _ => {}
        }
        self.inner.create(&lease).await
    }

    async fn update(&self, write: &LeaseWrite) -> Result<WriteOutcome, StoreError> {
        let stored = self.inner.get(&write.key).await?;
        let mut write = write.clone();
        match (self.how, stored) {
            (Breakage::LosesUpdates, Some(stored)) if write.expect.holds(Some(&stored)) => {
                tokio::task::yield_now().await;
                let lease = write.patch.apply(&stored);
                self.overwrite(&lease).await?;
                return Ok(WriteOutcome::Applied(lease));
            }
            (Breakage::UpsertsAbsentRows, None) => {
                let shard = kcl_core::ShardId::new("shardId-000000000777").expect("a valid shard id");
                let mut lease = Lease::new(shard, kcl_core::Position::TrimHorizon);
                lease.key = write.key.clone();
                return self.inner.create(&write.patch.apply(&lease)).await;
            }
            (Breakage::IgnoresConditions, _) => write.expect = Expect::exists(),
            (Breakage::IgnoresOwners, _) => {
                write.expect.owner = None;
                write.expect.checkpoint_owner = None;
            }
            _ => {}
        }
        let outcome = self.inner.update(&write).await?;
        match (self.how, outcome) {
            (Breakage::HidesTheStoredRow, WriteOutcome::Conflict(_)) => Ok(WriteOutcome::Conflict(None)),
            (Breakage::CountsRefusedWrites, WriteOutcome::Conflict(Some(lease))) => {
                self.overwrite(&Patch::renewal().apply(&lease)).await?;
                Ok(WriteOutcome::Conflict(Some(lease)))
            }
            (_, outcome) => Ok(outcome),
        }
    }

    async fn delete(&self, key: &LeaseKey, expect: &Expect) -> Result<WriteOutcome, StoreError> {
        if self.is(Breakage::DeletesUnconditionally) {
            return self.inner.delete(key, &Expect::exists()).await;
        }
        self.inner.delete(key, expect).await
    }

    async fn coordination(&self) -> Result<Coordination, StoreError> {
        let mut found = Coordination::default();
        if self.is(Breakage::InventsWorkers) {
            let worker = WorkerId::new("nobody").expect("a valid id");
            let now = Timestamp::from_epoch_millis(0);
            found.workers.push(WorkerMetrics::of_cpu(worker, now, Vec::new()));
        }
        found.workers.extend(self.metrics().iter().cloned());
        Ok(found)
    }

    async fn publish(&self, metrics: &WorkerMetrics) -> Result<(), StoreError> {
        if self.is(Breakage::MixesMetricsWithLeases) {
            let key = LeaseKey::new(metrics.worker.as_str()).expect("a valid key");
            let _ = self.inner.delete(&key, &Expect::exists()).await?;
        }
        if !self.is(Breakage::PilesMetricsUp) {
            self.metrics().retain(|kept| kept.worker != metrics.worker);
        }
        self.metrics().push(metrics.clone());
        Ok(())
    }

    async fn withdraw(&self, worker: &WorkerId) -> Result<(), StoreError> {
        match self.how {
            Breakage::KeepsMetrics => {}
            Breakage::DropsAllMetrics => self.metrics().clear(),
            _ => self.metrics().retain(|kept| kept.worker != *worker),
        }
        Ok(())
    }
}

async fn violations_of(how: Breakage) -> Violations {
    let checked = conformance::run_all(|| async {
        let inner = MemoryLeaseStore::new();
        let metrics = Arc::default();
        let store = BrokenStore { inner, how, metrics };
        Ok(Table::new(store.clone(), store))
    })
    .await;
    checked.expect_err("the suite passes a store that is broken")
}

/// That the suite finds the store broken, and that `promise` is among what it names.
async fn assert_found(how: Breakage, promise: &str) {
    assert!(PROMISES.contains(&promise), "{promise} is no promise");
    let violations = violations_of(how).await;
    let broken: Vec<_> = violations
        .as_slice()
        .iter()
        .map(|violation| violation.promise())
        .collect();
    assert!(
        broken.contains(&promise),
        "{how:?} should break {promise}:\n{violations}"
    );
    assert!(violations.to_string().contains(promise));
}

macro_rules! finds {
    ($($test:ident: $how:ident breaks $promise:literal;)+) => {$(
        #[tokio::test]
        async fn $test() {
            assert_found(Breakage::$how, $promise).await;
        }
    )+};
}

finds! {
    lost_updates_are_found: LosesUpdates breaks "one_writer_wins_per_counter_value";
    several_takers_are_found: LosesUpdates breaks "one_of_many_takers_wins";
    ignored_conditions_are_found: IgnoresConditions breaks "stale_operations_change_nothing";
    ignored_owners_are_found: IgnoresOwners breaks "conditions_hold_one_by_one";
    upserts_are_found: UpsertsAbsentRows breaks "absent_rows_refuse_writes";
    overwriting_creates_are_found: CreatesOverExistingRows breaks "a_row_is_created_once";
    several_creators_are_found: CreatesOverExistingRows breaks "one_of_many_creators_wins";
    hidden_rows_are_found: HidesTheStoredRow breaks "stale_operations_change_nothing";
    counted_refusals_are_found: CountsRefusedWrites breaks "stale_operations_change_nothing";
    dropped_attributes_are_found: DropsSessions breaks "every_attribute_round_trips";
    rounded_numbers_are_found: RoundsSequenceNumbers breaks "every_attribute_round_trips";
    short_lists_are_found: ListsOnePage breaks "thousand_rows_are_listed";
    unordered_lists_are_found: ListsInWritingOrder breaks "rows_are_listed_by_key";
    old_reads_are_found: ReadsAnOldCopy breaks "writes_are_read_on_every_handle";
    unconditional_deletes_are_found: DeletesUnconditionally breaks "deletes_are_conditional";
    failing_reads_are_found: FailsReads breaks "a_row_is_created_once";
    invented_workers_are_found: InventsWorkers breaks "nothing_is_beside_fresh_leases";
    old_metrics_are_found: PilesMetricsUp breaks "published_metrics_are_the_last";
    metrics_that_stay_are_found: KeepsMetrics breaks "withdrawn_metrics_are_gone";
    metrics_of_others_that_go_are_found: DropsAllMetrics breaks "withdrawn_metrics_are_gone";
    metrics_in_the_place_of_leases_are_found: MixesMetricsWithLeases breaks "metrics_leave_leases_alone";
}
