//! The row that says which algorithms the Java workers use: found, changed, kept from being changed twice.

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use kcl_broker::Broker;
use kcl_checkpoint::{DynamoDbLeaseStore, Layout, MigrationOutcome};
use kcl_core::{StoreError, Timestamp, coordination::ClientVersion};

use crate::{
    COORDINATOR, Item,
    doors::{Refusing, TABLE, client_of, client_over, open, open_with},
    number, put_row, rows, text,
};

const ROW: &str = "Migration3.0";

fn at(millis: i64) -> Timestamp {
    Timestamp::from_epoch_millis(millis)
}

fn step(version: &str, by: &str, millis: i64) -> AttributeValue {
    AttributeValue::M(
        [
            ("cv".to_owned(), text(version)),
            ("mb".to_owned(), text(by)),
            ("mts".to_owned(), number(millis)),
        ]
        .into(),
    )
}

/// The row as Java has it after the leader found all workers ready.
async fn put(client: &Client, table: &str, key: &str, version: &str) {
    let row = [
        ("entityType", text("CLIENT_VERSION_MIGRATION")),
        ("cv", text(version)),
        ("mb", text("java")),
        ("mts", number(2)),
        ("h", AttributeValue::L(vec![step("CLIENT_VERSION_INIT", "java", 1)])),
        ("note", text("do not touch")),
    ];
    put_row(client, table, (key, ROW), &row).await;
}

async fn stored(client: &Client, table: &str) -> Item {
    let rows = rows(client, table).await;
    rows.into_iter().find(|row| row.contains_key("cv")).unwrap()
}

async fn in_single_table(broker: &Broker) -> DynamoDbLeaseStore {
    let opened = open_with(client_of(broker), |config| config.layout = Layout::SingleTable);
    opened.await.unwrap()
}

#[tokio::test]
async fn given_the_row_in_either_table_when_changed_then_java_can_read_it_and_its_history() {
    for is_single in [false, true] {
        let broker = Broker::new();
        let client = client_of(&broker);
        let (store, table, key) = if is_single {
            (in_single_table(&broker).await, TABLE, "leaseKey")
        } else {
            (open(client.clone()).await, COORDINATOR, "key")
        };
        assert_eq!(store.client_version_row().await.unwrap(), None);
        put(&client, table, key, "CLIENT_VERSION_3X_WITH_ROLLBACK").await;
        let row = store.client_version_row().await.unwrap().unwrap();
        assert_eq!((&*row.table, row.version), (table, ClientVersion::ThreeXWithRollback));
        assert_eq!(
            (row.modified_by.as_deref(), row.modified_at),
            (Some("java"), Some(at(2)))
        );
        assert_eq!(row.history[0].version, "CLIENT_VERSION_INIT");

        let change = store.change_client_version(&row, ClientVersion::TwoX, "kclctl", at(3));
        let MigrationOutcome::Applied(changed) = change.await.unwrap() else {
            panic!("refused")
        };
        assert_eq!(store.client_version_row().await.unwrap(), Some(changed));
        let row = stored(&client, table).await;
        assert_eq!(
            (&row["cv"], &row["mb"], &row["mts"]),
            (&text("CLIENT_VERSION_2X"), &text("kclctl"), &number(3))
        );
        let history = vec![
            step("CLIENT_VERSION_3X_WITH_ROLLBACK", "java", 2),
            step("CLIENT_VERSION_INIT", "java", 1),
        ];
        assert_eq!(row["h"], AttributeValue::L(history));
        assert_eq!((&row["note"], &row[key]), (&text("do not touch"), &text(ROW)));
    }
}

#[tokio::test]
async fn given_a_row_that_changed_meanwhile_when_changed_then_it_stays_and_is_shown() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), open(client_of(&broker)).await);
    put(&client, COORDINATOR, "key", "CLIENT_VERSION_UPGRADE_FROM_2X").await;
    let row = store.client_version_row().await.unwrap().unwrap();
    put(&client, COORDINATOR, "key", "CLIENT_VERSION_3X").await;
    let change = store.change_client_version(&row, ClientVersion::TwoX, "kclctl", at(3));
    let MigrationOutcome::Conflict(Some(now)) = change.await.unwrap() else {
        panic!("applied")
    };
    assert_eq!(now.version, ClientVersion::ThreeX);
    assert_eq!(stored(&client, COORDINATOR).await["cv"], text("CLIENT_VERSION_3X"));
    // A row that is gone is not made again.
    let delete = client.delete_item().table_name(COORDINATOR).key("key", text(ROW));
    delete.send().await.unwrap();
    let change = store.change_client_version(&row, ClientVersion::TwoX, "kclctl", at(3));
    assert_eq!(change.await.unwrap(), MigrationOutcome::Conflict(None));
    assert!(rows(&client, COORDINATOR).await.is_empty());
}

#[tokio::test]
async fn given_many_changes_when_made_then_the_last_ten_states_are_kept() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), open(client_of(&broker)).await);
    // Java cannot read a step that lacks anything, so what is not known is said to be so.
    put_row(&client, COORDINATOR, ("key", ROW), &[("cv", text("CLIENT_VERSION_2X"))]).await;
    let mut row = store.client_version_row().await.unwrap().unwrap();
    for millis in 0..12 {
        let to = if millis % 2 == 0 {
            ClientVersion::UpgradeFrom2x
        } else {
            ClientVersion::TwoX
        };
        let change = store.change_client_version(&row, to, "kclctl", at(millis));
        let MigrationOutcome::Applied(changed) = change.await.unwrap() else {
            panic!("refused")
        };
        row = changed;
        let oldest = row.history.last().unwrap();
        assert_eq!(oldest.modified_by == "unknown", millis < 10, "{millis}");
    }
    assert_eq!(row.history.len(), 10);
    assert_eq!(
        (row.history[0].modified_at, row.history[9].modified_at),
        (at(10), at(1))
    );
    assert_eq!(store.client_version_row().await.unwrap(), Some(row));
}

#[tokio::test]
async fn given_a_row_that_cannot_be_read_when_looked_for_then_it_is_named_and_so_is_a_missing_permission() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), open(client_of(&broker)).await);
    put_row(&client, COORDINATOR, ("key", ROW), &[("cv", text("CLIENT_VERSION_4X"))]).await;
    let error = store.client_version_row().await.unwrap_err();
    assert!(matches!(error, StoreError::Unusable { .. }), "{error:?}");
    let told = error.to_string();
    assert!(
        told.contains(
            "\"Migration3.0\" of table billing-CoordinatorState cannot be read (cv: \"CLIENT_VERSION_4X\" is"
        ),
        "{told}"
    );
    put(&client, COORDINATOR, "key", "CLIENT_VERSION_2X").await;
    let row = store.client_version_row().await.unwrap().unwrap();
    let denied = open(client_over(Refusing::denying(&broker, "UpdateItem", Some(COORDINATOR)))).await;
    let change = denied.change_client_version(&row, ClientVersion::UpgradeFrom2x, "kclctl", at(3));
    let told = change.await.unwrap_err().to_string();
    assert!(
        told.contains("the permission dynamodb:UpdateItem on table billing-CoordinatorState is missing"),
        "{told}"
    );
}
