//! Which tables are made with the lease table.

use aws_sdk_dynamodb::types::{BillingMode, TableDescription};
use kcl_broker::Broker;
use kcl_checkpoint::{Billing, DynamoDbConfig, Layout};
use kcl_core::StoreError;

use crate::{
    COORDINATOR, METRICS,
    doors::{Refusing, TABLE, client_of, client_over, open, open_with},
    make_table,
};

async fn tables(broker: &Broker) -> Vec<String> {
    let list = client_of(broker).list_tables().send().await;
    list.unwrap().table_names.unwrap_or_default()
}

async fn described(broker: &Broker, table: &str) -> TableDescription {
    let describe = client_of(broker).describe_table().table_name(table);
    describe.send().await.unwrap().table.unwrap()
}

fn problem(error: StoreError) -> String {
    match error {
        StoreError::Unusable { problem, .. } => problem,
        other => panic!("{other:?}"),
    }
}

fn single(config: &mut DynamoDbConfig) {
    config.layout = Layout::SingleTable;
}

#[tokio::test]
async fn given_no_table_when_opened_then_those_of_all_versions_of_java_are_made_with_it() {
    let broker = Broker::new();
    let opened = open_with(client_of(&broker), |config| {
        config.tags.insert("team".to_owned(), "rides".to_owned());
        config.deletion_protection = true;
        config.billing = Billing::Provisioned {
            read_units: 7,
            write_units: 9,
        };
    });
    opened.await.unwrap();
    assert_eq!(tables(&broker).await, [TABLE, COORDINATOR, METRICS]);
    for (table, key) in [(COORDINATOR, "key"), (METRICS, "wid")] {
        let made = described(&broker, table).await;
        assert_eq!(made.key_schema().len(), 1);
        assert_eq!(made.key_schema()[0].attribute_name(), key);
        let billing = made.billing_mode_summary().unwrap().billing_mode();
        assert_eq!(billing, Some(&BillingMode::PayPerRequest), "{table}");
        assert_eq!(made.deletion_protection_enabled(), Some(true), "{table}");
        let tags = client_of(&broker)
            .list_tags_of_resource()
            .resource_arn(made.table_arn().unwrap());
        assert_eq!(tags.send().await.unwrap().tags()[0].value(), "rides", "{table}");
    }
}

#[tokio::test]
async fn given_one_table_is_asked_for_when_opened_then_no_other_is_made() {
    let broker = Broker::new();
    open_with(client_of(&broker), single).await.unwrap();
    assert_eq!(tables(&broker).await, [TABLE]);
}

#[tokio::test]
async fn given_a_lease_table_when_opened_then_it_is_used_as_it_is_and_no_other_is_made() {
    let broker = Broker::new();
    open_with(client_of(&broker), single).await.unwrap();
    open(client_of(&broker)).await;
    assert_eq!(tables(&broker).await, [TABLE]);
}

#[tokio::test]
async fn given_other_names_when_opened_then_the_tables_have_them() {
    let broker = Broker::new();
    let opened = open_with(client_of(&broker), |config| {
        config.coordinator_table = Some("leaders".to_owned());
        config.worker_metrics_table = Some("metrics".to_owned());
    });
    opened.await.unwrap();
    assert_eq!(tables(&broker).await, [TABLE, "leaders", "metrics"]);

    for (coordinator, metrics) in [(TABLE, "m"), ("c", TABLE), ("c", "c")] {
        let broker = Broker::new();
        let opened = open_with(client_of(&broker), |config| {
            config.coordinator_table = Some(coordinator.to_owned());
            config.worker_metrics_table = Some(metrics.to_owned());
        });
        let problem = problem(opened.await.unwrap_err());
        assert!(problem.contains("must be three tables"), "{problem}");
        assert!(tables(&broker).await.is_empty());
    }
}

#[tokio::test]
async fn wound_18_given_no_permission_for_the_other_tables_when_opened_then_the_error_names_table_and_way_out() {
    for table in [METRICS, COORDINATOR] {
        for action in ["CreateTable", "DescribeTable"] {
            let broker = Broker::new();
            let client = client_over(Refusing::denying(&broker, action, Some(table)));
            let problem = problem(open_with(client.clone(), |_| {}).await.unwrap_err());
            let wanted = format!("the permission dynamodb:{action} on table {table} is missing");
            assert!(problem.starts_with(&wanted), "{problem}");
            assert!(problem.contains("Layout::SingleTable"), "{problem}");
            // That one is told to do without.
            open_with(client, single).await.unwrap();
        }
    }
}

#[tokio::test]
async fn given_a_worker_that_stopped_in_between_when_opened_again_then_no_table_is_missing() {
    let broker = Broker::new();
    let stopped = client_over(Refusing::denying(&broker, "CreateTable", Some(TABLE)));
    open_with(stopped, |_| {}).await.unwrap_err();
    // Had the lease table been the first, nobody would make the others any more.
    assert_eq!(tables(&broker).await, [COORDINATOR, METRICS]);
    open(client_of(&broker)).await;
    assert_eq!(tables(&broker).await, [TABLE, COORDINATOR, METRICS]);
}

#[tokio::test]
async fn given_a_table_of_another_program_under_the_name_when_opened_then_its_key_is_named() {
    let broker = Broker::new();
    make_table(&client_of(&broker), METRICS, "worker").await;
    let problem = problem(open_with(client_of(&broker), |_| {}).await.unwrap_err());
    assert!(
        problem.starts_with(
            "the table billing-WorkerMetricStats has the key worker (S, HASH), and should have wid (S, HASH)"
        ),
        "{problem}"
    );
}
