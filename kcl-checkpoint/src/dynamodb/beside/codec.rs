//! Rows beside the leases as what they say.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use kcl_core::{
    Timestamp, UnreadableRow, WorkerId,
    coordination::{ClientVersion, Coordination, LeaderLock, TableMigration, UnknownState, WorkerMetrics},
};

use super::{
    super::{
        attributes::Attributes,
        codec::Item,
        schema::{COORDINATOR_KEY, ENTITY_LEASE, ENTITY_TYPE, LEASE_KEY, WORKER_KEY},
    },
    schema::{
        CLIENT_VERSION, CLIENT_VERSION_ROW, ENTITY_CLIENT_VERSION, ENTITY_LEADER, ENTITY_METRICS,
        ENTITY_TABLE_MIGRATION, LEADER, LOCK_DURATION, LOCK_OWNER, LOCK_RELEASED, LOCK_VERSION, RANGES, SUPPORT,
        SUPPORT_UPDATED, TABLE_MIGRATION, TABLE_MIGRATION_ROW, UPDATED, VALUES,
    },
};

/// What a row is, if it is one that somebody here wants to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Metrics,
    Leader,
    ClientVersion,
    TableMigration,
}

/// What the rows of the lease table say that are no leases. Those of unknown kinds are named, and nothing else: a newer
/// version wrote them.
pub(crate) fn of_lease_table<'a>(table: &str, rows: impl IntoIterator<Item = &'a Item>) -> Coordination {
    let mut found = Coordination::default();
    for row in rows {
        let Some(AttributeValue::S(entity)) = row.get(ENTITY_TYPE).filter(|entity| !is_lease(entity)) else {
            continue;
        };
        found.foreign_rows.push(key_as_text(row, LEASE_KEY));
        let kind = match entity.as_str() {
            ENTITY_METRICS => Kind::Metrics,
            ENTITY_LEADER => Kind::Leader,
            ENTITY_CLIENT_VERSION => Kind::ClientVersion,
            ENTITY_TABLE_MIGRATION => Kind::TableMigration,
            _ => continue,
        };
        add(&mut found, table, LEASE_KEY, kind, row);
    }
    found.foreign_rows.sort_unstable();
    sorted(found)
}

/// What the rows of a table of leaders and migrations say.
pub(super) fn of_coordinator_table<'a>(table: &str, rows: impl IntoIterator<Item = &'a Item>) -> Coordination {
    let mut found = Coordination::default();
    for row in rows {
        // Rows from before 3.5 do not say what they are, but by their keys.
        let kind = match row.get(COORDINATOR_KEY) {
            Some(AttributeValue::S(key)) if key == LEADER => Kind::Leader,
            Some(AttributeValue::S(key)) if key == CLIENT_VERSION_ROW => Kind::ClientVersion,
            Some(AttributeValue::S(key)) if key == TABLE_MIGRATION_ROW => Kind::TableMigration,
            _ => continue,
        };
        add(&mut found, table, COORDINATOR_KEY, kind, row);
    }
    sorted(found)
}

/// What the rows of a table of workers' metrics say.
pub(super) fn of_metrics_table<'a>(table: &str, rows: impl IntoIterator<Item = &'a Item>) -> Coordination {
    let mut found = Coordination::default();
    for row in rows {
        add(&mut found, table, WORKER_KEY, Kind::Metrics, row);
    }
    sorted(found)
}

/// Reads the state of a migration.
pub(super) fn state<T: FromStr<Err = UnknownState>>(row: &Item, name: &str) -> Result<T, String> {
    Attributes(row).required(name, Attributes::id)
}

/// The key for people, whatever it is.
pub(super) fn key_as_text(row: &Item, key: &str) -> String {
    match row.get(key) {
        Some(AttributeValue::S(key)) => key.clone(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

fn is_lease(entity: &AttributeValue) -> bool {
    matches!(entity, AttributeValue::S(entity) if entity == ENTITY_LEASE)
}

fn add(found: &mut Coordination, table: &str, key: &str, kind: Kind, row: &Item) {
    let added = match kind {
        Kind::Metrics => metrics(row, key).map(|metrics| found.workers.push(metrics)),
        Kind::Leader => leader(row).map(|leader| found.leader = leader),
        Kind::ClientVersion => {
            state::<ClientVersion>(row, CLIENT_VERSION).map(|state| found.client_version = Some(state))
        }
        Kind::TableMigration => {
            state::<TableMigration>(row, TABLE_MIGRATION).map(|state| found.table_migration = Some(state))
        }
    };
    if let Err(reason) = added {
        found.unreadable.push(UnreadableRow {
            key: key_as_text(row, key),
            reason: format!("{reason} (in the table {table})"),
        });
    }
}

/// Scans give rows in no order; here equal tables read equal.
fn sorted(mut found: Coordination) -> Coordination {
    found.workers.sort_by(|a, b| a.worker.cmp(&b.worker));
    found.unreadable.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    found
}

fn metrics(row: &Item, key: &str) -> Result<WorkerMetrics, String> {
    let row = Attributes(row);
    let worker: WorkerId = row.required(key, Attributes::id)?;
    let support = match (row.number(SUPPORT)?, row.seconds(SUPPORT_UPDATED)?) {
        (Some(code), Some(at)) => Some((code, at)),
        _ => None,
    };
    let ranges = row.lists(RANGES)?.into_iter().map(|(metric, values)| match values[..] {
        // Java reads the first, and writes no others.
        [first, ..] => Ok((metric, first)),
        [] => Err(format!("{RANGES}: {metric} has no value")),
    });
    Ok(WorkerMetrics {
        worker,
        updated_at: row.seconds(UPDATED)?,
        values: row.lists(VALUES)?,
        operating_ranges: ranges.collect::<Result<_, _>>()?,
        support,
    })
}

/// The lock, unless its owner gave it back.
fn leader(row: &Item) -> Result<Option<LeaderLock>, String> {
    let row = Attributes(row);
    if row.any(LOCK_RELEASED).is_some() {
        return Ok(None);
    }
    let duration = row.required(LOCK_DURATION, Attributes::text)?;
    let millis = duration
        .parse()
        .map_err(|_| format!("{LOCK_DURATION}: {duration:?} is no number of milliseconds"))?;
    Ok(Some(LeaderLock {
        owner: row.required(LOCK_OWNER, Attributes::id)?,
        version: row.required(LOCK_VERSION, Attributes::text)?.to_owned(),
        lease_duration: Duration::from_millis(millis),
    }))
}

impl Attributes<'_> {
    fn seconds(&self, name: &str) -> Result<Option<Timestamp>, String> {
        let seconds: Option<i64> = self.number(name)?;
        Ok(seconds.map(|seconds| Timestamp::from_epoch_millis(seconds.saturating_mul(1000))))
    }

    /// A map of lists of numbers; a missing one is an empty one.
    fn lists(&self, name: &str) -> Result<BTreeMap<String, Vec<f64>>, String> {
        let lists = match self.any(name) {
            None => return Ok(BTreeMap::new()),
            Some(AttributeValue::M(lists)) => lists,
            Some(other) => return Err(Self::wrong_type(name, other, "M")),
        };
        let lists = lists.iter().map(|(metric, list)| {
            let AttributeValue::L(list) = list else {
                return Err(Self::wrong_type(&format!("{name}.{metric}"), list, "L"));
            };
            let numbers = list.iter().map(|value| match value {
                AttributeValue::N(digits) => digits
                    .parse()
                    .map_err(|_| format!("{name}.{metric}: {digits} is no number")),
                other => Err(Self::wrong_type(&format!("{name}.{metric}"), other, "a list of N")),
            });
            Ok((metric.clone(), numbers.collect::<Result<Vec<f64>, _>>()?))
        });
        lists.collect()
    }
}
