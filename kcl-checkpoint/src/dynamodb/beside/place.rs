//! Which of the tables tells, and which is written.

use std::collections::BTreeMap;

use kcl_core::{
    WorkerId,
    coordination::{Coordination, TableMigration, WorkerMetrics},
};

/// Where a worker's metrics are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// In the table of metrics.
    MetricsTable,
    /// Among the leases.
    LeaseTable,
}

/// What decides where a worker's metrics go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Situation {
    /// Whether there is a table of leaders and migrations.
    pub(super) has_coordinator_table: bool,
    pub(super) migration: Option<TableMigration>,
    /// Whether the lease table holds other rows than leases.
    pub(super) has_foreign_rows: bool,
}

impl Situation {
    /// Where workers of Java look for the metrics; nowhere if there are none. A row that is no lease must not be the first of
    /// its kind in a lease table: workers before 3.5 would fail on it.
    pub(super) fn place(self) -> Option<Place> {
        match (self.migration, self.has_coordinator_table) {
            (Some(TableMigration::Pending | TableMigration::Complete), _) => Some(Place::LeaseTable),
            (_, true) => Some(Place::MetricsTable),
            (_, false) => self.has_foreign_rows.then_some(Place::LeaseTable),
        }
    }
}

/// How far the migration is. Java moves it on in the table of its own, and believes that one.
pub(super) fn migration(
    in_own_table: Option<TableMigration>,
    in_lease_table: Option<TableMigration>,
) -> Option<TableMigration> {
    in_own_table.or(in_lease_table)
}

/// What the tables tell together.
///
/// Rows move from the tables of their own to the lease table and are never in both, but for metrics: there the newer ones are
/// right. Where a row is in both all the same, Java believes the table of its own, and so does this. When all have moved, that
/// table is not believed any more.
pub(super) fn merged(own: Coordination, in_lease_table: Coordination) -> Coordination {
    let migration = migration(own.table_migration, in_lease_table.table_migration);
    if migration == Some(TableMigration::Complete) {
        return Coordination {
            table_migration: migration,
            ..in_lease_table
        };
    }
    let mut workers: BTreeMap<WorkerId, WorkerMetrics> = BTreeMap::new();
    for metrics in own.workers.into_iter().chain(in_lease_table.workers) {
        let known = workers.get(&metrics.worker);
        if known.is_none_or(|known| known.updated_at < metrics.updated_at) {
            workers.insert(metrics.worker.clone(), metrics);
        }
    }
    let mut unreadable = own.unreadable;
    unreadable.extend(in_lease_table.unreadable);
    unreadable.sort_by(|a, b| a.key.cmp(&b.key));
    Coordination {
        workers: workers.into_values().collect(),
        leader: own.leader.or(in_lease_table.leader),
        client_version: own.client_version.or(in_lease_table.client_version),
        table_migration: migration,
        foreign_rows: in_lease_table.foreign_rows,
        unreadable,
    }
}
