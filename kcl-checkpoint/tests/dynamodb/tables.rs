//! Tables: created, found, refused.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, IndexStatus, KeySchemaElement, KeyType, PointInTimeRecoveryStatus,
    ProjectionType, ScalarAttributeType, TableDescription, TableStatus,
};
use futures::future::join_all;
use kcl_broker::Broker;
use kcl_checkpoint::{Billing, OwnerIndex};
use kcl_core::{LeaseStore, StoreError};

use crate::{
    doors::{Refusing, TABLE, broker_with_transition, client_of, client_over, open, open_with},
    lease,
};

async fn described(broker: &Broker) -> TableDescription {
    let describe = client_of(broker).describe_table().table_name(TABLE);
    describe.send().await.unwrap().table.unwrap()
}

fn problem(error: StoreError) -> String {
    match error {
        StoreError::Unusable { problem, .. } => problem,
        other => panic!("{other:?}"),
    }
}

/// Makes a table with this key.
async fn create(broker: &Broker, parts: &[(&str, ScalarAttributeType, KeyType)]) {
    let create = client_of(broker)
        .create_table()
        .table_name(TABLE)
        .billing_mode(BillingMode::PayPerRequest);
    let create = parts.iter().fold(create, |create, (name, kind, role)| {
        let part = KeySchemaElement::builder().attribute_name(*name).key_type(role.clone());
        let definition = AttributeDefinition::builder()
            .attribute_name(*name)
            .attribute_type(kind.clone());
        create
            .key_schema(part.build().unwrap())
            .attribute_definitions(definition.build().unwrap())
    });
    create.send().await.unwrap();
}

#[tokio::test]
async fn given_no_table_when_opened_then_it_is_made_as_java_makes_it() {
    let broker = Broker::new();
    let store = open(client_of(&broker)).await;
    assert_eq!((store.table(), store.owner_index()), (TABLE, &OwnerIndex::Absent));
    let table = described(&broker).await;
    assert_eq!(table.table_status(), Some(&TableStatus::Active));
    let [key] = table.key_schema() else { panic!("{table:?}") };
    assert_eq!((key.attribute_name(), key.key_type()), ("leaseKey", &KeyType::Hash));
    let billing = table.billing_mode_summary().unwrap().billing_mode();
    assert_eq!(billing, Some(&BillingMode::PayPerRequest));
    assert_eq!(table.deletion_protection_enabled(), Some(false));
}

#[tokio::test]
async fn wound_58_given_options_when_the_table_is_made_then_it_has_them_and_keeps_them() {
    let broker = Broker::new();
    let client = client_of(&broker);
    let opened = open_with(client.clone(), |config| {
        config.billing = Billing::Provisioned {
            read_units: 7,
            write_units: 9,
        };
        config.tags.insert("team".to_owned(), "rides".to_owned());
        config.deletion_protection = true;
        config.point_in_time_recovery = true;
        config.owner_index = true;
    });
    assert_eq!(opened.await.unwrap().owner_index(), &OwnerIndex::Requested);
    let table = described(&broker).await;
    let throughput = table.provisioned_throughput().unwrap();
    assert_eq!(
        (throughput.read_capacity_units(), throughput.write_capacity_units()),
        (Some(7), Some(9))
    );
    assert_eq!(table.deletion_protection_enabled(), Some(true));
    let [index] = table.global_secondary_indexes() else {
        panic!("{table:?}")
    };
    assert_eq!(index.index_name(), Some("LeaseOwnerToLeaseKeyIndex"));
    let key: Vec<_> = index
        .key_schema()
        .iter()
        .map(|part| (part.attribute_name(), part.key_type()))
        .collect();
    assert_eq!(key, [("leaseOwner", &KeyType::Hash), ("leaseKey", &KeyType::Range)]);
    assert_eq!(
        index.projection().unwrap().projection_type(),
        Some(&ProjectionType::KeysOnly)
    );
    assert_eq!(index.provisioned_throughput().unwrap().read_capacity_units(), Some(7));
    let tags = client
        .list_tags_of_resource()
        .resource_arn(table.table_arn().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!((tags.tags()[0].key(), tags.tags()[0].value()), ("team", "rides"));
    let backups = client
        .describe_continuous_backups()
        .table_name(TABLE)
        .send()
        .await
        .unwrap();
    let recovery = backups
        .continuous_backups_description
        .unwrap()
        .point_in_time_recovery_description
        .unwrap();
    assert_eq!(
        recovery.point_in_time_recovery_status(),
        Some(&PointInTimeRecoveryStatus::Enabled)
    );

    // A table that is there is used as it is.
    assert_eq!(open(client).await.owner_index(), &OwnerIndex::Present);
    let again = described(&broker).await;
    assert_eq!(again.provisioned_throughput().unwrap().read_capacity_units(), Some(7));
    assert_eq!(
        again.global_secondary_indexes()[0].index_status(),
        Some(&IndexStatus::Active)
    );
}

#[tokio::test(start_paused = true)]
async fn given_many_workers_and_a_table_that_takes_a_while_when_all_open_it_then_all_get_it() {
    let broker = broker_with_transition(Duration::from_secs(20));
    let opened = join_all((0..8).map(|_| open_with(client_of(&broker), |config| config.owner_index = true)));
    let stores: Result<Vec<_>, _> = opened.await.into_iter().collect();
    let stores = stores.unwrap();
    let asked = stores
        .iter()
        .filter(|store| *store.owner_index() == OwnerIndex::Requested);
    assert_eq!(asked.count(), 1);
    let found = stores
        .iter()
        .filter(|store| *store.owner_index() == OwnerIndex::Present);
    assert_eq!(found.count(), 7);
    let _ = stores[0].create(&lease(0)).await.unwrap();
    assert_eq!(stores[7].get(&lease(0).key).await.unwrap(), Some(lease(0)));
}

#[tokio::test(start_paused = true)]
async fn given_a_table_that_is_never_ready_when_opened_then_it_is_said_after_the_time_that_is_allowed() {
    let broker = broker_with_transition(Duration::from_hours(1));
    let opened = open_with(client_of(&broker), |config| {
        config.ready_timeout = Duration::from_secs(30)
    });
    let problem = problem(opened.await.unwrap_err());
    assert_eq!(
        problem,
        "the table billing is still being created after 30s; try again later"
    );
}

#[tokio::test(start_paused = true)]
async fn given_a_table_that_is_being_deleted_when_opened_then_a_new_one_is_made_afterwards() {
    let broker = broker_with_transition(Duration::from_secs(5));
    let client = client_of(&broker);
    open(client.clone()).await;
    client.delete_table().table_name(TABLE).send().await.unwrap();
    let store = open(client).await;
    assert!(store.list().await.unwrap().leases.is_empty());
}

#[tokio::test]
async fn given_a_table_of_another_program_when_opened_then_its_key_is_named_and_nothing_is_touched() {
    use ScalarAttributeType::{N, S};
    for (parts, key) in [
        (vec![("ShardID", S, KeyType::Hash)], "ShardID (S, HASH)"),
        (vec![("leaseKey", N, KeyType::Hash)], "leaseKey (N, HASH)"),
        (
            vec![("leaseKey", S, KeyType::Hash), ("leaseOwner", S, KeyType::Range)],
            "leaseKey (S, HASH) and leaseOwner (S, RANGE)",
        ),
    ] {
        let broker = Broker::new();
        create(&broker, &parts).await;
        let problem = problem(
            open_with(client_of(&broker), |config| config.owner_index = true)
                .await
                .unwrap_err(),
        );
        let wanted = format!(
            "the table billing is no lease table: its key is {key}, and a lease table's is leaseKey (S, HASH); \
             give the name of a lease table, or of a table that does not exist yet"
        );
        assert_eq!(problem, wanted);
        assert!(described(&broker).await.global_secondary_indexes().is_empty());
    }
}

#[tokio::test]
async fn given_no_table_when_a_tool_opens_it_then_it_is_an_error_and_none_is_made() {
    let broker = Broker::new();
    let opened = open_with(client_of(&broker), |config| config.create = false).await;
    let problem = problem(opened.unwrap_err());
    assert!(
        problem.starts_with("the table billing does not exist; check its name"),
        "{problem}"
    );
    assert!(
        client_of(&broker)
            .list_tables()
            .send()
            .await
            .unwrap()
            .table_names()
            .is_empty()
    );
}

#[tokio::test]
async fn given_a_table_that_is_deleted_in_use_when_used_then_it_is_said_and_no_new_one_appears() {
    let broker = Broker::new();
    let client = client_of(&broker);
    let store = open(client.clone()).await;
    client.delete_table().table_name(TABLE).send().await.unwrap();
    for problem in [
        problem(store.list().await.unwrap_err()),
        problem(store.get(&lease(0).key).await.unwrap_err()),
        problem(store.create(&lease(0)).await.unwrap_err()),
    ] {
        assert!(problem.starts_with("the table billing does not exist"), "{problem}");
        assert!(
            problem.contains("every shard starts at its initial position"),
            "{problem}"
        );
    }
    let tables = client.list_tables().send().await.unwrap();
    assert!(!tables.table_names().contains(&TABLE.to_owned()), "{tables:?}");
}

#[tokio::test]
async fn wound_18_given_a_missing_permission_when_it_is_needed_then_the_error_names_it() {
    let refusing = |operation| Refusing::denying(&Broker::new(), operation, Some(TABLE));
    for operation in ["DescribeTable", "CreateTable", "UpdateContinuousBackups"] {
        let opened = open_with(client_over(refusing(operation)), |config| {
            config.point_in_time_recovery = true
        });
        let problem = problem(opened.await.unwrap_err());
        let wanted = format!("the permission dynamodb:{operation} on table billing is missing");
        assert!(problem.starts_with(&wanted), "{problem}");
    }
    for operation in ["Scan", "GetItem", "PutItem", "UpdateItem", "DeleteItem"] {
        let store = open(client_over(refusing(operation))).await;
        let write = kcl_core::LeaseWrite::renew(&lease(0), None);
        let failed = match operation {
            "Scan" => store.list().await.err(),
            "GetItem" => store.get(&lease(0).key).await.err(),
            "PutItem" => store.create(&lease(0)).await.err(),
            "UpdateItem" => store.update(&write).await.err(),
            _ => store.delete(&lease(0).key, &write.expect).await.err(),
        };
        let problem = problem(failed.unwrap());
        let wanted = format!("the permission dynamodb:{operation} on table billing is missing");
        assert!(problem.starts_with(&wanted), "{problem}");
    }
}

#[tokio::test]
async fn given_no_permission_for_the_index_when_opened_then_leases_are_kept_without_it() {
    let refusing = Refusing::denying(&Broker::new(), "UpdateTable", None);
    let store = open_with(client_over(refusing), |config| config.owner_index = true)
        .await
        .unwrap();
    let OwnerIndex::Refused { problem } = store.owner_index() else {
        panic!("{:?}", store.owner_index())
    };
    assert!(
        problem.contains("the permission dynamodb:UpdateTable on table billing is missing"),
        "{problem}"
    );
    let _ = store.create(&lease(0)).await.unwrap();
}
