//! Workers' metrics: published where Java looks for them, and withdrawn.

use std::{collections::BTreeMap, sync::Arc};

use aws_sdk_dynamodb::types::AttributeValue;
use kcl_broker::{Broker, trouble::Fault as BrokerFault};
use kcl_checkpoint::{CallOutcome, Fault, FaultRule, FaultyLeaseStore, ObservedLeaseStore};
use kcl_core::{LeaseStore, LeaseWrite, Session, StoreError, StoreOperation, coordination::TableMigration};

use crate::{
    COORDINATOR, Item, METRICS,
    beside::{NOW, lease_table, metrics, migrate_tables, put_leader, workers_in},
    doors::{Refusing, TABLE, client_of, client_over, open},
    lease, make_table, number, put_row, rows, text, worker,
};

#[tokio::test]
async fn given_every_state_of_the_tables_when_published_then_the_row_is_where_java_looks_for_it() {
    use TableMigration::{Complete, Deployed, Init, Pending};
    for (state, place) in [
        (None, METRICS),
        (Some(Init), METRICS),
        (Some(Deployed), METRICS),
        (Some(Pending), TABLE),
        (Some(Complete), TABLE),
    ] {
        let broker = Broker::new();
        let (client, store) = (client_of(&broker), open(client_of(&broker)).await);
        if let Some(state) = state {
            migrate_tables(&client, state).await;
        }
        store.publish(&metrics("rust", 0)).await.unwrap();
        let mut found = BTreeMap::new();
        for table in [TABLE, METRICS] {
            found.insert(table, workers_in(&client, table).await);
        }
        let other = if place == TABLE { METRICS } else { TABLE };
        assert_eq!(found[place], ["rust"], "{state:?}");
        assert!(found[other].is_empty(), "{state:?}");
        store.list().await.unwrap();
        assert_eq!(
            store.coordination().await.unwrap().workers,
            [metrics("rust", 0)],
            "{state:?}"
        );

        store.withdraw(&worker("rust")).await.unwrap();
        assert!(workers_in(&client, place).await.is_empty(), "{state:?}");
    }
}

#[tokio::test]
async fn wound_13_given_a_lease_table_with_leases_alone_when_published_then_no_other_row_comes_into_it() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), lease_table(&broker).await);
    let _ = store.create(&lease(0)).await.unwrap();
    store.publish(&metrics("rust", 0)).await.unwrap();
    assert_eq!(rows(&client, TABLE).await.len(), 1);
    store.withdraw(&worker("rust")).await.unwrap();
    // Nor does it as long as the application has the tables for it, whatever it holds.
    make_table(&client, COORDINATOR, "key").await;
    put_leader(&client, TABLE, "leaseKey", "java").await;
    store.list().await.unwrap();
    store.publish(&metrics("rust", 0)).await.unwrap();
    assert!(workers_in(&client, TABLE).await.is_empty());
}

#[tokio::test]
async fn wound_14_given_several_streams_in_a_single_table_when_used_then_rows_of_both_kinds_are_read() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), lease_table(&broker).await);
    let shard = "shardId-000000000000";
    let stream = "123456789012:rides:1357034400";
    let multi = [
        ("streamName", text(stream)),
        ("shardId", text(shard)),
        ("leaseCounter", number(0)),
        ("ownerSwitchesSinceCheckpoint", number(0)),
        ("checkpoint", text("LATEST")),
    ];
    put_row(&client, TABLE, ("leaseKey", &format!("{stream}:{shard}")), &multi).await;
    put_row(
        &client,
        TABLE,
        ("leaseKey", stream),
        &[("entityType", text("STREAM")), ("streamId", text(stream))],
    )
    .await;
    put_leader(&client, TABLE, "leaseKey", "java").await;
    let listing = store.list().await.unwrap();
    assert_eq!((listing.leases.len(), listing.unreadable.len()), (1, 0));
    store.publish(&metrics("rust", 0)).await.unwrap();
    assert_eq!(workers_in(&client, TABLE).await, ["rust"]);
    let listing = store.list().await.unwrap();
    assert_eq!((listing.leases.len(), listing.unreadable.len()), (1, 0));
    let found = store.coordination().await.unwrap();
    assert_eq!(found.foreign_rows, [stream, "Leader", "rust"]);
    assert_eq!(found.workers, [metrics("rust", 0)]);
}

#[tokio::test]
async fn given_a_row_of_java_under_our_id_when_published_then_what_we_do_not_know_stays() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), open(client_of(&broker)).await);
    let properties = AttributeValue::M([("az".to_owned(), text("a"))].into());
    let java = [
        ("properties", properties.clone()),
        ("sup", number(7)),
        ("slu", number(NOW)),
        ("new", text("x")),
    ];
    put_row(&client, METRICS, ("wid", "rust"), &java).await;
    store.publish(&metrics("rust", 30)).await.unwrap();
    let row: Item = rows(&client, METRICS).await.remove(0);
    assert_eq!((&row["properties"], &row["new"]), (&properties, &text("x")));
    assert_eq!((&row["sup"], &row["slu"]), (&number(1), &number(NOW + 30)));
    assert_eq!(row["entityType"], text("WORKER_METRIC_STATS"));
}

#[tokio::test]
async fn given_a_migration_that_moves_on_when_withdrawn_then_nothing_of_ours_is_left_anywhere() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), open(client_of(&broker)).await);
    store.publish(&metrics("rust", 0)).await.unwrap();
    migrate_tables(&client, TableMigration::Pending).await;
    store.publish(&metrics("rust", 30)).await.unwrap();
    put_row(&client, METRICS, ("wid", "java"), &[("lut", number(NOW))]).await;
    let both = [workers_in(&client, METRICS).await, workers_in(&client, TABLE).await];
    assert_eq!(both, [vec!["java", "rust"], vec!["rust"]]);
    store.withdraw(&worker("rust")).await.unwrap();
    let both = [workers_in(&client, METRICS).await, workers_in(&client, TABLE).await];
    assert_eq!(both, [vec!["java".to_owned()], vec![]]);

    // What an earlier life of the worker left is taken back too.
    store.publish(&metrics("rust", 0)).await.unwrap();
    let next = open(client_of(&broker)).await;
    next.withdraw(&worker("rust")).await.unwrap();
    assert!(workers_in(&client, TABLE).await.is_empty());
}

#[tokio::test]
async fn given_a_worker_with_the_name_of_a_lease_when_published_and_withdrawn_then_the_lease_stays_as_it_is() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), open(client_of(&broker)).await);
    migrate_tables(&client, TableMigration::Pending).await;
    let _ = store.create(&lease(0)).await.unwrap();
    let before = rows(&client, TABLE).await;
    let named_so = metrics(lease(0).key.as_str(), 0);
    let error = store.publish(&named_so).await.unwrap_err();
    assert!(
        error.to_string().contains("is the key of a lease in the table billing"),
        "{error}"
    );
    store.withdraw(&named_so.worker).await.unwrap();
    assert_eq!(rows(&client, TABLE).await, before);
}

#[tokio::test]
async fn given_a_state_that_cannot_be_read_when_published_then_nothing_is_written_and_the_row_is_named() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), open(client_of(&broker)).await);
    put_row(
        &client,
        COORDINATOR,
        ("key", "TableMigration3.5"),
        &[("tm", text("TABLE_MIGRATION_STATUS_NEW"))],
    )
    .await;
    let error = store.publish(&metrics("rust", 0)).await.unwrap_err();
    let told = error.source_text();
    assert!(
        told.contains("\"TableMigration3.5\" of table billing-CoordinatorState cannot be read"),
        "{told}"
    );
    for table in [TABLE, METRICS] {
        assert!(workers_in(&client, table).await.is_empty());
    }
    let found = store.coordination().await.unwrap();
    assert_eq!((found.table_migration, found.unreadable.len()), (None, 1));
}

#[tokio::test]
async fn given_no_table_of_metrics_when_published_then_nothing_is_written_until_there_is_one() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), lease_table(&broker).await);
    make_table(&client, COORDINATOR, "key").await;
    store.publish(&metrics("rust", 0)).await.unwrap();
    store.withdraw(&worker("rust")).await.unwrap();
    make_table(&client, METRICS, "wid").await;
    store.publish(&metrics("rust", 0)).await.unwrap();
    assert_eq!(workers_in(&client, METRICS).await, ["rust"]);
}

#[tokio::test]
async fn wound_18_given_a_missing_permission_beside_the_leases_when_it_is_needed_then_the_error_names_it() {
    for (action, table) in [("Scan", COORDINATOR), ("Scan", METRICS)] {
        let broker = Broker::new();
        let store = open(client_over(Refusing::denying(&broker, action, Some(table)))).await;
        missing(&store.coordination().await.unwrap_err(), action, table);
    }
    for (action, table) in [("GetItem", COORDINATOR), ("UpdateItem", METRICS)] {
        let broker = Broker::new();
        let store = open(client_over(Refusing::denying(&broker, action, Some(table)))).await;
        missing(&store.publish(&metrics("rust", 0)).await.unwrap_err(), action, table);
    }
    let broker = Broker::new();
    let store = open(client_over(Refusing::denying(&broker, "DeleteItem", Some(METRICS)))).await;
    store.publish(&metrics("rust", 0)).await.unwrap();
    missing(
        &store.withdraw(&worker("rust")).await.unwrap_err(),
        "DeleteItem",
        METRICS,
    );
    // Leases are kept all the same.
    let _ = store.create(&lease(0)).await.unwrap();
    let take = LeaseWrite::take(&lease(0), &worker("rust"), Session(1));
    let _ = store.update(&take).await.unwrap();
}

#[tokio::test]
async fn given_another_programs_table_under_the_name_when_published_then_the_settings_are_named() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), lease_table(&broker).await);
    make_table(&client, COORDINATOR, "id").await;
    let error = store.publish(&metrics("rust", 0)).await.unwrap_err().to_string();
    assert!(
        error.contains(COORDINATOR) && error.contains("`coordinator_table`"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn given_answers_that_are_lost_when_published_then_it_is_sent_again_and_said_at_last() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), open(client_of(&broker)).await);
    let lose = |times| {
        BrokerFault::drop_answer()
            .on("DynamoDB.UpdateItem")
            .table(METRICS)
            .times(times)
    };
    broker.trouble().add(lose(2)).unwrap();
    store.publish(&metrics("rust", 0)).await.unwrap();
    broker.trouble().add(lose(9)).unwrap();
    let error = store.publish(&metrics("rust", 30)).await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Ambiguous {
                operation: StoreOperation::Publish,
                ..
            }
        ),
        "{error:?}"
    );
    broker.trouble().clear();
    // It did happen, and is to be taken back.
    store.withdraw(&worker("rust")).await.unwrap();
    assert!(workers_in(&client, METRICS).await.is_empty());
    broker
        .trouble()
        .add(BrokerFault::throttle().on("DynamoDB.Scan").table(METRICS))
        .unwrap();
    let error = store.coordination().await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Throttled {
                operation: StoreOperation::Coordinate
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn given_wrappers_when_they_are_asked_then_the_store_inside_answers_and_calls_are_counted_and_struck() {
    let broker = Broker::new();
    let (client, inside) = (client_of(&broker), open(client_of(&broker)).await);
    let faulty = FaultyLeaseStore::new(Arc::new(inside), 1);
    let plan = faulty.plan().clone();
    let faults = faulty.counts().clone();
    let store = ObservedLeaseStore::new(Arc::new(faulty));
    store.publish(&metrics("rust", 0)).await.unwrap();
    assert_eq!(store.coordination().await.unwrap().workers, [metrics("rust", 0)]);
    store.withdraw(&worker("rust")).await.unwrap();
    assert!(store.coordination().await.unwrap().workers.is_empty());

    plan.add(FaultRule::new(Fault::LoseAnswer).on(StoreOperation::Publish).times(1));
    assert!(
        store
            .publish(&metrics("rust", 30))
            .await
            .unwrap_err()
            .may_have_applied()
    );
    assert_eq!(workers_in(&client, METRICS).await, ["rust"]);
    plan.add(FaultRule::new(Fault::Throttled).on(StoreOperation::Publish).times(1));
    store.withdraw(&worker("rust")).await.unwrap_err();
    assert_eq!(workers_in(&client, METRICS).await, ["rust"]);
    plan.add(
        FaultRule::new(Fault::Unavailable)
            .on(StoreOperation::Coordinate)
            .times(1),
    );
    store.coordination().await.unwrap_err();
    plan.add(
        FaultRule::new(Fault::LoseAnswer)
            .on(StoreOperation::Coordinate)
            .times(1),
    );
    let lost = store.coordination().await.unwrap_err();
    assert!(!lost.may_have_applied(), "a read changes nothing");

    for counts in [store.counts(), &faults] {
        let found: Vec<u64> = [
            (StoreOperation::Coordinate, CallOutcome::Read),
            (StoreOperation::Coordinate, CallOutcome::Unavailable),
            (StoreOperation::Publish, CallOutcome::Applied),
            (StoreOperation::Publish, CallOutcome::Ambiguous),
            (StoreOperation::Publish, CallOutcome::Throttled),
        ]
        .map(|(operation, outcome)| counts.count(operation, outcome))
        .into();
        assert_eq!(found, [2, 2, 2, 1, 1]);
    }
}

fn missing(error: &StoreError, action: &str, table: &str) {
    let StoreError::Unusable { problem, .. } = error else {
        panic!("{error:?}")
    };
    let wanted = format!("the permission dynamodb:{action} on table {table} is missing");
    assert!(problem.starts_with(&wanted), "{problem}");
}

trait SourceText {
    fn source_text(&self) -> String;
}

impl SourceText for StoreError {
    fn source_text(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}
