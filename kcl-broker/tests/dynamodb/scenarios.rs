use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::{
    error::ProvideErrorMetadata as _,
    operation::update_item::builders::UpdateItemFluentBuilder,
    primitives::Blob,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, CreateGlobalSecondaryIndexAction, Delete,
        GlobalSecondaryIndexUpdate, IndexStatus, KeySchemaElement, KeyType, Projection, ProjectionType, Put,
        ReturnValue, ReturnValuesOnConditionCheckFailure, ScalarAttributeType, TableStatus, TransactWriteItem,
    },
};
use kcl_broker::trouble::Fault;

use crate::doors::World;

const TABLE: &str = "leases";
const INDEX: &str = "LeaseOwnerToLeaseKeyIndex";

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

#[expect(clippy::needless_pass_by_value, reason = "numbers and texts are passed as they are")]
fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn part(name: &str, kind: KeyType) -> KeySchemaElement {
    let part = KeySchemaElement::builder().attribute_name(name).key_type(kind);
    part.build().unwrap()
}

fn defined(name: &str) -> AttributeDefinition {
    let defined = AttributeDefinition::builder().attribute_name(name);
    defined.attribute_type(ScalarAttributeType::S).build().unwrap()
}

async fn create(world: &World) {
    let create = world.client().create_table().table_name(TABLE);
    create
        .key_schema(part("leaseKey", KeyType::Hash))
        .attribute_definitions(defined("leaseKey"))
        .billing_mode(BillingMode::PayPerRequest)
        .deletion_protection_enabled(false)
        .send()
        .await
        .unwrap();
}

async fn put(world: &World, key: &str, attributes: &[(&str, AttributeValue)]) {
    let put = world.client().put_item().table_name(TABLE).item("leaseKey", text(key));
    let put = attributes
        .iter()
        .fold(put, |put, (name, value)| put.item(*name, value.clone()));
    put.send().await.unwrap();
}

async fn get(world: &World, key: &str) -> Option<HashMap<String, AttributeValue>> {
    let get = world.client().get_item().table_name(TABLE).key("leaseKey", text(key));
    get.consistent_read(true).send().await.unwrap().item
}

/// The write that takes a lease whose counter is `counter`.
fn take(world: &World, key: &str, owner: &str, counter: u64) -> UpdateItemFluentBuilder {
    let take = world
        .client()
        .update_item()
        .table_name(TABLE)
        .key("leaseKey", text(key));
    take.update_expression("SET leaseOwner = :owner, leaseCounter = :next REMOVE checkpointOwner ADD switches :one")
        .condition_expression("leaseCounter = :counter AND attribute_exists(leaseKey)")
        .expression_attribute_values(":owner", text(owner))
        .expression_attribute_values(":counter", number(counter))
        .expression_attribute_values(":next", number(counter + 1))
        .expression_attribute_values(":one", number(1))
        .return_values(ReturnValue::AllNew)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
}

pub(crate) async fn a_table_is_made_described_and_removed(world: &World) {
    let describe = || world.client().describe_table().table_name(TABLE).send();
    let missing = describe().await.unwrap_err().into_service_error();
    assert!(missing.is_resource_not_found_exception());
    create(world).await;
    let table = describe().await.unwrap().table.unwrap();
    assert_eq!(table.table_status(), Some(&TableStatus::Active));
    assert_eq!(table.key_schema(), [part("leaseKey", KeyType::Hash)]);
    assert_eq!(
        table.billing_mode_summary().unwrap().billing_mode(),
        Some(&BillingMode::PayPerRequest)
    );
    assert!(table.global_secondary_indexes().is_empty());
    let again = world.client().create_table().table_name(TABLE);
    let again = again
        .key_schema(part("leaseKey", KeyType::Hash))
        .attribute_definitions(defined("leaseKey"))
        .billing_mode(BillingMode::PayPerRequest);
    let again = again.send().await.unwrap_err().into_service_error();
    assert!(again.is_resource_in_use_exception());
    world.client().delete_table().table_name(TABLE).send().await.unwrap();
    assert!(
        describe()
            .await
            .unwrap_err()
            .into_service_error()
            .is_resource_not_found_exception()
    );
    let tables = world.client().list_tables().send().await.unwrap();
    assert!(tables.table_names().is_empty());
}

pub(crate) async fn an_index_of_owners_is_added_and_queried(world: &World) {
    create(world).await;
    for (key, owner) in [("a", "w1"), ("b", "w2"), ("c", "w1")] {
        put(world, key, &[("leaseOwner", text(owner))]).await;
    }
    put(world, "free", &[]).await;
    let index = CreateGlobalSecondaryIndexAction::builder()
        .index_name(INDEX)
        .key_schema(part("leaseOwner", KeyType::Hash))
        .key_schema(part("leaseKey", KeyType::Range))
        .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
        .build()
        .unwrap();
    let update = world.client().update_table().table_name(TABLE);
    let updated = update
        .attribute_definitions(defined("leaseOwner"))
        .attribute_definitions(defined("leaseKey"))
        .global_secondary_index_updates(GlobalSecondaryIndexUpdate::builder().create(index).build())
        .send()
        .await
        .unwrap();
    let made = updated.table_description.unwrap().global_secondary_indexes.unwrap();
    assert_eq!(made[0].index_status(), Some(&IndexStatus::Creating));
    let query = |owner: &str| {
        let query = world.client().query().table_name(TABLE).index_name(INDEX);
        query
            .key_condition_expression("leaseOwner = :leaseOwner")
            .expression_attribute_values(":leaseOwner", text(owner))
            .into_paginator()
            .page_size(1)
            .items()
            .send()
            .try_collect()
    };
    let owned = query("w1").await.unwrap();
    let keys: Vec<_> = owned
        .iter()
        .map(|item| item["leaseKey"].as_s().unwrap().as_str())
        .collect();
    assert_eq!(keys, ["a", "c"]);
    assert_eq!(owned[0].len(), 2);
    assert!(query("nobody").await.unwrap().is_empty());
}

pub(crate) async fn of_many_that_take_a_lease_at_once_one_gets_it(world: &World) {
    create(world).await;
    put(
        world,
        "a",
        &[("leaseCounter", number(7)), ("checkpointOwner", text("old"))],
    )
    .await;
    let takes = (0..20).map(|worker| tokio::spawn(take(world, "a", &format!("w{worker}"), 7).send()));
    let mut winners = Vec::new();
    for take in takes.collect::<Vec<_>>() {
        match take.await.unwrap() {
            Ok(taken) => winners.push(taken.attributes.unwrap()),
            Err(error) => assert!(error.into_service_error().is_conditional_check_failed_exception()),
        }
    }
    let [winner] = &winners[..] else {
        panic!("{} winners", winners.len())
    };
    assert_eq!(winner["leaseCounter"], number(8));
    assert_eq!(winner.get("checkpointOwner"), None);
    assert_eq!(get(world, "a").await.as_ref(), Some(winner));
    let costs = world.broker().table_costs(TABLE).unwrap().of("UpdateItem");
    assert_eq!((costs.requests, costs.write_units), (20, 20.0));
}

pub(crate) async fn items_of_every_type_come_back_unchanged(world: &World) {
    create(world).await;
    let list = AttributeValue::L(vec![AttributeValue::Null(true), AttributeValue::Bool(false)]);
    let attributes = [
        ("n", number("123456789012345678901234567890.12345678")),
        ("b", AttributeValue::B(Blob::new([0, 255, 10]))),
        ("ss", AttributeValue::Ss(vec!["x".to_owned(), "y".to_owned()])),
        ("ns", AttributeValue::Ns(vec!["-1".to_owned(), "2.5".to_owned()])),
        ("bs", AttributeValue::Bs(vec![Blob::new([0]), Blob::new([1])])),
        ("m", AttributeValue::M(HashMap::from([("inner".to_owned(), list)]))),
        ("empty", text("")),
    ];
    put(world, "a", &attributes).await;
    let mut expected: HashMap<_, _> = attributes.map(|(name, value)| (name.to_owned(), value)).into();
    expected.insert("leaseKey".to_owned(), text("a"));
    assert_eq!(get(world, "a").await, Some(expected));
    assert_eq!(get(world, "b").await, None);
}

pub(crate) async fn a_refused_write_shows_the_item(world: &World) {
    create(world).await;
    put(world, "a", &[("leaseCounter", number(3)), ("leaseOwner", text("me"))]).await;
    let refused = take(world, "a", "other", 2)
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    let item = match refused {
        aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(refused) => {
            assert_eq!(refused.message(), Some("The conditional request failed"));
            refused.item.unwrap()
        }
        other => panic!("{other}"),
    };
    assert_eq!(item["leaseOwner"], text("me"));
    let wrong = take(world, "a", "other", 3)
        .condition_expression("leaseCounter ==")
        .send()
        .await;
    let wrong = wrong.unwrap_err();
    assert_eq!(wrong.code(), Some("ValidationException"));
    assert!(
        wrong
            .message()
            .unwrap()
            .starts_with("Invalid ConditionExpression: Syntax error"),
        "{wrong:?}"
    );
}

pub(crate) async fn parallel_segments_find_every_lease_once(world: &World) {
    create(world).await;
    for shard in 0..40 {
        put(world, &format!("shardId-{shard:012}"), &[]).await;
    }
    let scans = (0..4).map(|segment| {
        let scan = world
            .client()
            .scan()
            .table_name(TABLE)
            .segment(segment)
            .total_segments(4);
        tokio::spawn(scan.into_paginator().page_size(3).items().send().try_collect())
    });
    let mut found = Vec::new();
    for scan in scans.collect::<Vec<_>>() {
        let items = scan.await.unwrap().unwrap();
        found.extend(items.iter().map(|item| item["leaseKey"].as_s().unwrap().clone()));
    }
    assert_eq!(found.len(), 40);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>().len(), 40);
}

pub(crate) async fn a_transaction_is_done_whole_or_refused_with_reasons(world: &World) {
    create(world).await;
    put(world, "old", &[]).await;
    let transact = |key: &str| {
        let put = Put::builder().table_name(TABLE).item("leaseKey", text(key));
        let put = put
            .condition_expression("attribute_not_exists(leaseKey)")
            .build()
            .unwrap();
        let delete = Delete::builder()
            .table_name(TABLE)
            .key("leaseKey", text("old"))
            .build()
            .unwrap();
        let transact = world.client().transact_write_items();
        transact
            .transact_items(TransactWriteItem::builder().delete(delete).build())
            .transact_items(TransactWriteItem::builder().put(put).build())
    };
    put(world, "taken", &[]).await;
    let refused = transact("taken").send().await.unwrap_err().into_service_error();
    let aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException(
        refused,
    ) = refused
    else {
        panic!("{refused}")
    };
    let codes: Vec<_> = refused
        .cancellation_reasons()
        .iter()
        .map(|reason| reason.code().unwrap())
        .collect();
    assert_eq!(codes, ["None", "ConditionalCheckFailed"]);
    assert!(get(world, "old").await.is_some());
    transact("new").send().await.unwrap();
    assert!(get(world, "old").await.is_none());
    assert!(get(world, "new").await.is_some());
}

pub(crate) async fn trouble_is_met_and_retried(world: &World) {
    create(world).await;
    put(world, "a", &[("leaseCounter", number(0))]).await;
    let once = |fault: Fault| {
        world
            .broker()
            .trouble()
            .add(fault.on("DynamoDB.UpdateItem").times(1))
            .unwrap()
    };
    once(Fault::throttle());
    once(Fault::internal_error());
    take(world, "a", "me", 0).send().await.unwrap();
    // What the SDK cannot know: the first try was carried out, so that its retry is refused.
    once(Fault::drop_answer());
    let refused = take(world, "a", "me", 1).send().await.unwrap_err().into_service_error();
    assert!(refused.is_conditional_check_failed_exception(), "{refused:?}");
    assert_eq!(get(world, "a").await.unwrap()["leaseCounter"], number(2));
}
