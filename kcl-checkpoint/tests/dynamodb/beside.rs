//! What workers of Java keep beside the leases: read, wherever it is.

use aws_sdk_dynamodb::Client;
use kcl_broker::Broker;
use kcl_checkpoint::{DynamoDbLeaseStore, Layout};
use kcl_core::{
    LeaseStore, Timestamp,
    coordination::{ClientVersion, Coordination, TableMigration, WorkerMetrics},
};

use crate::{
    COORDINATOR, METRICS,
    doors::{TABLE, client_of, open, open_with},
    make_table, number, put_row, rows, text, worker,
};

pub(crate) const NOW: i64 = 1_763_740_800;

pub(crate) fn metrics(name: &str, seconds: i64) -> WorkerMetrics {
    let at = Timestamp::from_epoch_millis((NOW + seconds) * 1000);
    WorkerMetrics::of_cpu(worker(name), at, vec![12.5, 13.25])
}

/// A lease table alone, as every version before this one makes it.
pub(crate) async fn lease_table(broker: &Broker) -> DynamoDbLeaseStore {
    let opened = open_with(client_of(broker), |config| config.layout = Layout::SingleTable);
    opened.await.unwrap()
}

pub(crate) async fn migrate_tables(client: &Client, state: TableMigration) {
    let row = [
        ("tm", text(state.as_str())),
        ("mb", text("java")),
        ("mts", number(NOW * 1000)),
    ];
    put_row(client, COORDINATOR, ("key", "TableMigration3.5"), &row).await;
}

pub(crate) async fn put_leader(client: &Client, table: &str, key: &str, owner: &str) {
    let lock = [
        ("entityType", text("LEADER")),
        ("ownerName", text(owner)),
        ("leaseDuration", text("120000")),
        ("recordVersionNumber", text("v1")),
    ];
    put_row(client, table, (key, "Leader"), &lock).await;
}

/// The workers that have a row in the table, but for leases.
pub(crate) async fn workers_in(client: &Client, table: &str) -> Vec<String> {
    let mut workers: Vec<String> = rows(client, table)
        .await
        .iter()
        .filter(|row| row.contains_key("lut"))
        .map(|row| {
            row.get("wid")
                .or_else(|| row.get("leaseKey"))
                .unwrap()
                .as_s()
                .unwrap()
                .clone()
        })
        .collect();
    workers.sort();
    workers
}

#[tokio::test]
async fn given_rows_in_all_tables_when_read_then_they_are_told_together() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), open(client_of(&broker)).await);
    assert!(store.coordination().await.unwrap().is_empty());
    put_leader(&client, COORDINATOR, "key", "java").await;
    put_row(
        &client,
        COORDINATOR,
        ("key", "Migration3.0"),
        &[("cv", text("CLIENT_VERSION_2X"))],
    )
    .await;
    put_row(&client, METRICS, ("wid", "old"), &[("lut", number(NOW))]).await;
    put_row(&client, METRICS, ("wid", "broken"), &[("lut", text("now"))]).await;
    let moved = [("entityType", text("WORKER_METRIC_STATS")), ("lut", number(NOW + 5))];
    put_row(&client, TABLE, ("leaseKey", "new"), &moved).await;
    store.list().await.unwrap();
    let found = store.coordination().await.unwrap();
    assert_eq!(found.leader.unwrap().owner, worker("java"));
    assert_eq!(found.client_version, Some(ClientVersion::TwoX));
    assert_eq!(found.table_migration, None);
    let workers: Vec<_> = found.workers.iter().map(|metrics| metrics.worker.as_str()).collect();
    assert_eq!(workers, ["new", "old"]);
    assert_eq!(found.foreign_rows, ["new"]);
    assert_eq!(found.unreadable[0].key, "broken");
    assert!(
        found.unreadable[0]
            .reason
            .ends_with("(in the table billing-WorkerMetricStats)")
    );
}

#[tokio::test]
async fn given_tables_that_come_later_when_read_again_then_they_are_found() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), lease_table(&broker).await);
    assert_eq!(store.coordination().await.unwrap(), Coordination::default());
    make_table(&client, COORDINATOR, "key").await;
    put_leader(&client, COORDINATOR, "key", "java").await;
    assert_eq!(
        store.coordination().await.unwrap().leader.unwrap().owner,
        worker("java")
    );
}

#[tokio::test]
async fn given_a_store_that_scans_anyway_when_coordination_is_read_then_the_lease_table_is_not_scanned_again() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), lease_table(&broker).await);
    put_leader(&client, TABLE, "leaseKey", "first").await;
    let scans = || broker.table_costs(TABLE).map_or(0, |costs| costs.of("Scan").requests);
    // Nothing was scanned yet, so it has to be done now.
    let leader = async |store: &DynamoDbLeaseStore| store.coordination().await.unwrap().leader.unwrap().owner;
    assert_eq!((leader(&store).await, scans()), (worker("first"), 1));
    put_leader(&client, TABLE, "leaseKey", "second").await;
    assert_eq!((leader(&store).await, scans()), (worker("first"), 1));
    store.list().await.unwrap();
    // Clones share what was learnt.
    assert_eq!((leader(&store.clone()).await, scans()), (worker("second"), 2));
    store.publish(&metrics("rust", 0)).await.unwrap();
    assert_eq!(scans(), 2);
}

#[tokio::test]
async fn given_a_migration_that_is_complete_when_read_then_what_is_left_in_the_other_tables_is_not_believed() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), open(client_of(&broker)).await);
    put_leader(&client, COORDINATOR, "key", "left over").await;
    put_row(&client, METRICS, ("wid", "left over"), &[("lut", number(NOW))]).await;
    migrate_tables(&client, TableMigration::Complete).await;
    put_leader(&client, TABLE, "leaseKey", "java").await;
    store.list().await.unwrap();
    let found = store.coordination().await.unwrap();
    assert_eq!(found.leader.unwrap().owner, worker("java"));
    assert_eq!(
        (found.workers, found.table_migration),
        (vec![], Some(TableMigration::Complete))
    );
    // When the lease table says so itself, the others are not even asked.
    let complete = [
        ("entityType", text("TABLE_MIGRATION")),
        ("tm", text("TABLE_MIGRATION_STATUS_COMPLETE")),
    ];
    put_row(&client, TABLE, ("leaseKey", "TableMigration3.5"), &complete).await;
    store.list().await.unwrap();
    let before = broker.table_costs(METRICS).unwrap().of("Scan").requests;
    assert_eq!(
        store.coordination().await.unwrap().table_migration,
        Some(TableMigration::Complete)
    );
    assert_eq!(broker.table_costs(METRICS).unwrap().of("Scan").requests, before);
}
