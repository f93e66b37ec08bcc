//! What the workers of Java KCL keep beside the leases: in two tables of their own, in the lease table, or, while an
//! application moves from one to the other, in both.

mod codec;
mod migration;
mod place;
mod schema;
mod write;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use aws_sdk_dynamodb::{error::SdkError, operation::update_item::UpdateItemError};
use kcl_core::{
    StoreError, StoreOperation, UnreadableRow, WorkerId,
    coordination::{Coordination, TableMigration, WorkerMetrics},
};

pub(super) use self::codec::of_lease_table;
pub use self::migration::{ClientVersionRow, ClientVersionStep, MigrationOutcome};
use self::{
    place::{Place, Situation, merged},
    schema::{ENTITY_METRICS, TABLE_MIGRATION, TABLE_MIGRATION_ROW},
    write::publication,
};
use super::{
    DynamoDbLeaseStore,
    codec::{Item, text},
    error::{Request, says_no_table},
    scan::scan_if_there,
    schema::{COORDINATOR_KEY, ENTITY_TYPE, LEASE_COUNTER, LEASE_KEY, WORKER_KEY},
};
use crate::DynamoDbConfig;

/// The tables beside the lease table, and what was learnt of all of them.
#[derive(Debug)]
pub(super) struct Beside {
    coordinator_table: String,
    metrics_table: String,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// What the last scan of the lease table found in it besides leases, if one was made.
    in_lease_table: Option<Coordination>,
    /// Where the metrics of which worker were put from here.
    published: BTreeMap<WorkerId, BTreeSet<Place>>,
}

impl Beside {
    /// The tables that the settings name.
    pub(super) fn new(lease_table: &str, config: &DynamoDbConfig) -> Result<Self, StoreError> {
        let coordinator_table = config.coordinator_table_of(lease_table);
        let metrics_table = config.worker_metrics_table_of(lease_table);
        // Each has a key of its own.
        if [&*coordinator_table, &*metrics_table].contains(&lease_table) || coordinator_table == metrics_table {
            return Err(StoreError::Unusable {
                problem: format!(
                    "the lease table {lease_table}, `coordinator_table` {coordinator_table} and `worker_metrics_table` \
                     {metrics_table} must be three tables; give them different names"
                ),
                source: None,
            });
        }
        Ok(Self {
            coordinator_table,
            metrics_table,
            known: Mutex::default(),
        })
    }

    pub(super) fn coordinator_table(&self) -> &str {
        &self.coordinator_table
    }

    /// Takes note of what a scan of the lease table found.
    pub(super) fn saw(&self, in_lease_table: Coordination) {
        self.known().in_lease_table = Some(in_lease_table);
    }

    fn will_publish(&self, worker: &WorkerId, place: Place) {
        let known = &mut *self.known();
        known.published.entry(worker.clone()).or_default().insert(place);
    }

    /// Nothing here panics while it holds the lock: poison is no news.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The table of leaders and migrations as far as it decides where rows are.
#[derive(Clone, Copy, Debug)]
struct OwnTable {
    is_there: bool,
    migration: Option<TableMigration>,
}

impl DynamoDbLeaseStore {
    pub(super) async fn read_coordination(&self) -> Result<Coordination, StoreError> {
        let in_lease_table = self.in_lease_table().await?;
        if in_lease_table.table_migration == Some(TableMigration::Complete) {
            return Ok(in_lease_table);
        }
        let (coordinator, metrics) = (&*self.beside.coordinator_table, &*self.beside.metrics_table);
        // Metrics are written every half minute, and one that is a second old is as good at half the price.
        let (rows, metrics_rows) = futures::try_join!(
            scan_if_there(&self.reads, reading(coordinator, "Scan"), true),
            scan_if_there(&self.reads, reading(metrics, "Scan"), false),
        )?;
        let mut own = codec::of_coordinator_table(coordinator, &rows.unwrap_or_default());
        let of_workers = codec::of_metrics_table(metrics, &metrics_rows.unwrap_or_default());
        own.workers = of_workers.workers;
        own.unreadable.extend(of_workers.unreadable);
        Ok(merged(own, in_lease_table))
    }

    pub(super) async fn publish_metrics(&self, metrics: &WorkerMetrics) -> Result<(), StoreError> {
        let Some(place) = self.place().await? else {
            return Ok(());
        };
        let (request, key) = self.writing(place, "UpdateItem");
        // Before the write, whose answer may be lost.
        self.beside.will_publish(&metrics.worker, place);
        let update = publication(metrics);
        // Nothing in this depends on the row as it was, so that it may be sent again.
        let write = self
            .reads
            .update_item()
            .table_name(request.table)
            .key(key, text(&metrics.worker))
            .update_expression(update.expression)
            .set_expression_attribute_values(Some(update.values));
        let mut names = update.names;
        let mut condition = None;
        if place == Place::LeaseTable {
            names.insert("#lease".to_owned(), LEASE_COUNTER.to_owned());
            condition = Some("attribute_not_exists(#lease)".to_owned());
        }
        let answer = write
            .set_expression_attribute_names(Some(names))
            .set_condition_expression(condition)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) if place == Place::MetricsTable && says_no_table(&error) => Ok(()),
            Err(SdkError::ServiceError(answer)) if answer.err().is_conditional_check_failed_exception() => {
                Err(self.is_a_lease(&metrics.worker, answer.into_err()))
            }
            Err(error) => Err(request.failed(error)),
        }
    }

    pub(super) async fn withdraw_metrics(&self, worker: &WorkerId) -> Result<(), StoreError> {
        let published = self.beside.known().published.remove(worker);
        let places = match published {
            Some(places) => places,
            // Published by another store, or in another life of the worker.
            None => self.place().await?.into_iter().collect(),
        };
        for place in &places {
            if let Err(error) = self.withdraw_from(*place, worker).await {
                // To be removed by the next attempt.
                self.beside.known().published.insert(worker.clone(), places);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn withdraw_from(&self, place: Place, worker: &WorkerId) -> Result<(), StoreError> {
        let (request, key) = self.writing(place, "DeleteItem");
        let mut delete = self
            .reads
            .delete_item()
            .table_name(request.table)
            .key(key, text(worker));
        if place == Place::LeaseTable {
            // A worker with the name of a lease must not remove that.
            delete = delete
                .condition_expression("#entity = :metrics")
                .expression_attribute_names("#entity", ENTITY_TYPE)
                .expression_attribute_values(":metrics", text(ENTITY_METRICS));
        }
        match delete.send().await {
            Ok(_) => Ok(()),
            Err(error) if place == Place::MetricsTable && says_no_table(&error) => Ok(()),
            Err(SdkError::ServiceError(answer)) if answer.err().is_conditional_check_failed_exception() => Ok(()),
            Err(error) => Err(request.failed(error)),
        }
    }

    /// Where metrics go now. The application may move on at any time, so it is asked for each time.
    async fn place(&self) -> Result<Option<Place>, StoreError> {
        let in_lease_table = self.in_lease_table().await?;
        let own = self.own_table(&in_lease_table).await?;
        let situation = Situation {
            has_coordinator_table: own.is_there,
            migration: place::migration(own.migration, in_lease_table.table_migration),
            has_foreign_rows: !in_lease_table.foreign_rows.is_empty(),
        };
        Ok(situation.place())
    }

    /// What the last scan found in the lease table besides leases. Workers scan it all the time.
    async fn in_lease_table(&self) -> Result<Coordination, StoreError> {
        if let Some(known) = &self.beside.known().in_lease_table {
            return Ok(known.clone());
        }
        let rows = self.scan(StoreOperation::Coordinate).await?;
        Ok(of_lease_table(&self.table, &rows))
    }

    /// Whether there is a table of leaders and migrations, and how far it says that the application has come.
    async fn own_table(&self, in_lease_table: &Coordination) -> Result<OwnTable, StoreError> {
        if in_lease_table.table_migration == Some(TableMigration::Complete) {
            return Ok(OwnTable {
                is_there: true,
                migration: Some(TableMigration::Complete),
            });
        }
        let request = reading(&self.beside.coordinator_table, "GetItem");
        let Some(row) = self.row_if_there(request, COORDINATOR_KEY, TABLE_MIGRATION_ROW).await? else {
            return Ok(OwnTable {
                is_there: false,
                migration: None,
            });
        };
        let migration = row.map(|row| codec::state(&row, TABLE_MIGRATION)).transpose();
        match migration {
            Ok(migration) => Ok(OwnTable {
                is_there: true,
                migration,
            }),
            // Metrics in the wrong place could stop the application on its way.
            Err(reason) => Err(request.unavailable(request.unreadable(UnreadableRow {
                key: TABLE_MIGRATION_ROW.to_owned(),
                reason,
            }))),
        }
    }

    /// A row of a table that may be absent: then `None`.
    async fn row_if_there(
        &self,
        request: Request<'_>,
        key: &str,
        value: &str,
    ) -> Result<Option<Option<Item>>, StoreError> {
        let get = self.reads.get_item().table_name(request.table).key(key, text(value));
        match get.consistent_read(true).send().await {
            Ok(answer) => Ok(Some(answer.item)),
            Err(error) if says_no_table(&error) => Ok(None),
            Err(error) => Err(request.failed(error)),
        }
    }

    fn writing(&self, place: Place, action: &'static str) -> (Request<'_>, &'static str) {
        let (table, key) = match place {
            Place::MetricsTable => (&*self.beside.metrics_table, WORKER_KEY),
            Place::LeaseTable => (&*self.table, LEASE_KEY),
        };
        let operation = StoreOperation::Publish;
        let request = Request {
            table,
            operation,
            action,
        };
        (request, key)
    }

    fn is_a_lease(&self, worker: &WorkerId, refused: UpdateItemError) -> StoreError {
        StoreError::Unusable {
            problem: format!(
                "the worker id {worker} is the key of a lease in the table {}: its metrics would spoil that; give the worker \
                 another id",
                self.table
            ),
            source: Some(refused.into()),
        }
    }
}

fn reading<'a>(table: &'a str, action: &'static str) -> Request<'a> {
    Request {
        table,
        operation: StoreOperation::Coordinate,
        action,
    }
}
