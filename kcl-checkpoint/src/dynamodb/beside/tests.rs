//! Rows as the workers of Java KCL write them, and what decides where they are.

use std::time::Duration;

use kcl_core::{
    Timestamp, WorkerId,
    coordination::{ClientVersion, Coordination, LeaderLock, TableMigration, WorkerMetrics},
};

use super::{
    super::{codec::Item, tests::item},
    codec::{of_coordinator_table, of_lease_table, of_metrics_table},
    place::{Place, Situation, merged},
    write::publication,
};

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_epoch_millis(seconds * 1000)
}

/// The metrics of a worker of 3.5 in the table of metrics.
const METRICS: &str = r#"{
    "wid": {"S": "java"},
    "entityType": {"S": "WORKER_METRIC_STATS"},
    "lut": {"N": "1763740800"},
    "sts": {"M": {"C": {"L": [{"N": "-1"}, {"N": "12.345678"}]}}},
    "opr": {"M": {"C": {"L": [{"N": "80"}]}}},
    "properties": {"M": {}},
    "sup": {"N": "1"},
    "slu": {"N": "1763740801"}
}"#;

const LEADER: &str = r#"{
    "key": {"S": "Leader"},
    "ownerName": {"S": "java"},
    "leaseDuration": {"S": "120000"},
    "recordVersionNumber": {"S": "5d0f2b6e-9f7a-4d5c-8a6e-0d8b4b5f7a11"}
}"#;

const CLIENT_VERSION: &str = r#"{
    "key": {"S": "Migration3.0"},
    "cv": {"S": "CLIENT_VERSION_3X_WITH_ROLLBACK"},
    "mb": {"S": "java"},
    "mts": {"N": "1763740800123"},
    "h": {"L": [{"M": {
        "cv": {"S": "CLIENT_VERSION_UPGRADE_FROM_2X"}, "mb": {"S": "java"}, "mts": {"N": "1763740000000"}
    }}]}
}"#;

const TABLE_MIGRATION: &str = r#"{
    "key": {"S": "TableMigration3.5"},
    "tm": {"S": "TABLE_MIGRATION_STATUS_DEPLOYED"},
    "mb": {"S": "java"},
    "mts": {"N": "1763740800123"}
}"#;

fn metrics() -> WorkerMetrics {
    WorkerMetrics {
        worker: worker("java"),
        updated_at: Some(at(1_763_740_800)),
        values: [("C".to_owned(), vec![-1.0, 12.345_678])].into(),
        operating_ranges: [("C".to_owned(), 80.0)].into(),
        support: Some((1, at(1_763_740_801))),
    }
}

fn leader() -> LeaderLock {
    LeaderLock {
        owner: worker("java"),
        version: "5d0f2b6e-9f7a-4d5c-8a6e-0d8b4b5f7a11".to_owned(),
        lease_duration: Duration::from_mins(2),
    }
}

/// The row as it is in a lease table.
fn moved(json: &str, entity: &str) -> Item {
    let mut row = item(json);
    let key = row.remove("key").or_else(|| row.remove("wid")).unwrap();
    row.insert("leaseKey".to_owned(), key);
    row.insert("entityType".to_owned(), super::text(entity));
    row
}

fn in_lease_table() -> Vec<Item> {
    vec![
        moved(METRICS, "WORKER_METRIC_STATS"),
        moved(LEADER, "LEADER"),
        moved(CLIENT_VERSION, "CLIENT_VERSION_MIGRATION"),
        moved(TABLE_MIGRATION, "TABLE_MIGRATION"),
    ]
}

#[test]
fn given_rows_of_java_when_read_then_they_say_the_same_in_every_table() {
    let own = of_coordinator_table("c", &[item(LEADER), item(CLIENT_VERSION), item(TABLE_MIGRATION)]);
    let wanted = Coordination {
        leader: Some(leader()),
        client_version: Some(ClientVersion::ThreeXWithRollback),
        table_migration: Some(TableMigration::Deployed),
        ..Coordination::default()
    };
    assert_eq!(own, wanted);
    assert_eq!(of_metrics_table("m", &[item(METRICS)]).workers, [metrics()]);

    let mut rows = in_lease_table();
    // Leases, and rows that a newer version or a feature without a use here put there.
    rows.push(item(r#"{"leaseKey": {"S": "shardId-0"}, "leaseCounter": {"N": "1"}}"#));
    rows.push(item(
        r#"{"leaseKey": {"S": "shardId-1"}, "entityType": {"S": "LEASE"}}"#,
    ));
    rows.push(item(
        r#"{"leaseKey": {"S": "1:rides:1"}, "entityType": {"S": "STREAM"}}"#,
    ));
    let wanted = Coordination {
        workers: vec![metrics()],
        foreign_rows: ["1:rides:1", "Leader", "Migration3.0", "TableMigration3.5", "java"]
            .map(str::to_owned)
            .into(),
        ..wanted
    };
    assert_eq!(of_lease_table("l", &rows), wanted);
}

#[test]
fn given_rows_of_older_workers_and_odd_ones_when_read_then_what_they_lack_is_missing_and_no_more() {
    let bare = of_metrics_table("m", &[item(r#"{"wid": {"S": "w"}}"#)]);
    let wanted = WorkerMetrics {
        worker: worker("w"),
        updated_at: None,
        values: [].into(),
        operating_ranges: [].into(),
        support: None,
    };
    assert_eq!((bare.workers, bare.unreadable), (vec![wanted], vec![]));
    // A code that nobody stands behind any more is none.
    let mut row = item(METRICS);
    row.remove("slu");
    assert_eq!(of_metrics_table("m", &[row]).workers[0].support, None);
    // A lock that was given back has no owner.
    let mut row = item(LEADER);
    row.insert("isReleased".to_owned(), super::text("1"));
    assert_eq!(of_coordinator_table("c", &[row]), Coordination::default());
}

#[test]
fn given_rows_that_cannot_be_read_when_read_then_each_is_named_with_its_table_and_hides_no_other() {
    let rows = [
        item(METRICS),
        item(r#"{"wid": {"S": "a"}, "lut": {"S": "now"}}"#),
        item(r#"{"wid": {"S": "b"}, "sts": {"M": {"C": {"N": "1"}}}}"#),
        item(r#"{"wid": {"S": "c"}, "sts": {"M": {"C": {"L": [{"S": "1"}]}}}}"#),
        item(r#"{"wid": {"S": "d"}, "opr": {"M": {"C": {"L": []}}}}"#),
    ];
    let found = of_metrics_table("billing-WorkerMetricStats", &rows);
    assert_eq!(found.workers, [metrics()]);
    let reasons: Vec<_> = found.unreadable.iter().map(|row| (&*row.key, &*row.reason)).collect();
    let wanted = [
        (
            "a",
            "lut: is of type S, and should be N (in the table billing-WorkerMetricStats)",
        ),
        (
            "b",
            "sts.C: is of type N, and should be L (in the table billing-WorkerMetricStats)",
        ),
        (
            "c",
            "sts.C: is of type S, and should be a list of N (in the table billing-WorkerMetricStats)",
        ),
        ("d", "opr: C has no value (in the table billing-WorkerMetricStats)"),
    ];
    assert_eq!(reasons, wanted);

    let rows = [
        item(r#"{"key": {"S": "Leader"}, "ownerName": {"S": "java"}, "leaseDuration": {"S": "soon"}}"#),
        item(r#"{"key": {"S": "Migration3.0"}, "cv": {"S": "CLIENT_VERSION_4X"}}"#),
        item(r#"{"key": {"S": "TableMigration3.5"}}"#),
        item(r#"{"key": {"S": "something else"}}"#),
    ];
    let found = of_coordinator_table("c", &rows);
    let reasons: Vec<_> = found.unreadable.iter().map(|row| &*row.reason).collect();
    assert_eq!(
        reasons[0],
        "leaseDuration: \"soon\" is no number of milliseconds (in the table c)"
    );
    assert!(
        reasons[1].starts_with("cv: \"CLIENT_VERSION_4X\" is none of "),
        "{reasons:?}"
    );
    assert_eq!((reasons[2], reasons.len()), ("tm: missing (in the table c)", 3));
}

#[test]
fn given_every_state_of_the_migration_when_metrics_are_placed_then_they_are_where_java_looks() {
    use TableMigration::{Complete, Deployed, Init, Pending};
    let (table, among_leases) = (Some(Place::MetricsTable), Some(Place::LeaseTable));
    for (has_coordinator_table, migration, has_foreign_rows, wanted) in [
        (true, None, false, table),
        (true, None, true, table),
        (true, Some(Init), true, table),
        (true, Some(Deployed), false, table),
        (true, Some(Pending), false, among_leases),
        (true, Some(Complete), false, among_leases),
        (false, None, true, among_leases),
        (false, Some(Complete), true, among_leases),
        (false, None, false, None),
    ] {
        let situation = Situation {
            has_coordinator_table,
            migration,
            has_foreign_rows,
        };
        assert_eq!(situation.place(), wanted, "{situation:?}");
    }
}

#[test]
fn given_rows_in_two_places_when_merged_then_java_and_this_believe_the_same_ones() {
    let older = WorkerMetrics {
        updated_at: Some(at(1)),
        ..metrics()
    };
    let other = WorkerMetrics {
        worker: worker("other"),
        ..older.clone()
    };
    let own = |migration| Coordination {
        workers: vec![older.clone(), other.clone()],
        leader: Some(leader()),
        table_migration: Some(migration),
        ..Coordination::default()
    };
    let among_leases = of_lease_table("l", &in_lease_table());
    let both = merged(own(TableMigration::Pending), among_leases.clone());
    assert_eq!(both.workers, [metrics(), other.clone()]);
    assert_eq!(both.client_version, Some(ClientVersion::ThreeXWithRollback));
    assert_eq!(both.table_migration, Some(TableMigration::Pending));
    assert_eq!(both.foreign_rows, among_leases.foreign_rows);
    // Nothing of what is left in the other tables counts any more.
    let mut wanted = among_leases.clone();
    wanted.table_migration = Some(TableMigration::Complete);
    assert_eq!(merged(own(TableMigration::Complete), among_leases), wanted);
}

#[test]
fn given_metrics_when_published_then_the_update_sets_javas_attributes_and_no_others() {
    let update = publication(&metrics());
    assert_eq!(
        update.expression,
        "SET #entityType = :entityType, #lut = :lut, #sts = :sts, #opr = :opr, #sup = :sup, #slu = :slu"
    );
    let mut wanted = item(METRICS);
    wanted.remove("wid");
    wanted.remove("properties");
    let set: Item = update
        .names
        .iter()
        .map(|(place, name)| (name.clone(), update.values[&place.replace('#', ":")].clone()))
        .collect();
    assert_eq!(set, wanted);
    // A worker that measures nothing says so with empty maps, and one without a code leaves that of another version.
    let update = publication(&WorkerMetrics {
        values: [].into(),
        operating_ranges: [].into(),
        support: None,
        ..metrics()
    });
    assert_eq!(
        update.expression,
        "SET #entityType = :entityType, #lut = :lut, #sts = :sts, #opr = :opr"
    );
    assert_eq!(update.values[":sts"], item(r#"{"x": {"M": {}}}"#)["x"]);
}
