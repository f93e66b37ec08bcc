//! The memory in DynamoDB, against the built-in broker, and in the rows of Powertools.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
    types::{AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType},
};
use kcl_broker::Broker;
use kcl_idempotency::{
    Begun, Claim, Clock, DynamoDbIdempotencyStore, Idempotency, IdempotencyStore, KeyAttributes, Recorded,
};

use super::{LOCKED, NOON, at, claim, completion, key, promises::keeps_every_promise};

/// `NOON` in seconds, and in milliseconds.
const SECONDS: i64 = 1_357_034_400;
const MILLIS: i64 = 1_357_034_400_250;

fn client_of(broker: &Broker) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "test"))
        .endpoint_url("http://broker")
        .http_client(broker.http_client());
    Client::from_conf(config.build())
}

/// A table whose key is made of these texts.
async fn table(keys: &[&str]) -> Client {
    let client = client_of(&Broker::new());
    let mut create = client
        .create_table()
        .table_name("done")
        .billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in keys.iter().zip([KeyType::Hash, KeyType::Range]) {
        let part = KeySchemaElement::builder()
            .attribute_name(*name)
            .key_type(kind)
            .build()
            .unwrap();
        let definition = AttributeDefinition::builder()
            .attribute_name(*name)
            .attribute_type(ScalarAttributeType::S);
        create = create
            .key_schema(part)
            .attribute_definitions(definition.build().unwrap());
    }
    create.send().await.unwrap();
    client
}

fn sorted() -> KeyAttributes {
    KeyAttributes::Sort {
        partition: "id".to_owned(),
        partition_value: "idempotency#billing".to_owned(),
        sort: "sort_key".to_owned(),
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

async fn rows(client: &Client) -> Vec<BTreeMap<String, AttributeValue>> {
    let rows = client.scan().table_name("done").send().await.unwrap().items.unwrap();
    rows.into_iter().map(|row| row.into_iter().collect()).collect()
}

fn row<const N: usize>(attributes: [(&str, AttributeValue); N]) -> BTreeMap<String, AttributeValue> {
    attributes
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

async fn put<const N: usize>(client: &Client, attributes: [(&str, AttributeValue); N]) {
    let item: HashMap<_, _> = row(attributes).into_iter().collect();
    client
        .put_item()
        .table_name("done")
        .set_item(Some(item))
        .send()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn given_a_table_when_the_suite_runs_then_every_promise_is_kept() {
    let client = table(&["id"]).await;
    let store = || DynamoDbIdempotencyStore::new(client.clone(), "done");
    keeps_every_promise(store(), store()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn given_a_table_with_a_sort_key_when_the_suite_runs_then_every_promise_is_kept() {
    let client = table(&["id", "sort_key"]).await;
    let store = || DynamoDbIdempotencyStore::with_key(client.clone(), "done", sorted());
    keeps_every_promise(store(), store()).await;
}

#[tokio::test]
async fn given_work_when_it_begins_and_ends_then_the_rows_are_those_of_powertools() {
    for (keys, attributes) in [(&["id"][..], KeyAttributes::default()), (&["id", "sort_key"], sorted())] {
        let client = table(keys).await;
        let store = DynamoDbIdempotencyStore::with_key(client.clone(), "done", attributes);
        let claim = Claim {
            validation: Some("5d41".to_owned()),
            ..claim("bill#7", NOON)
        };
        let Begun::Started(lock) = store.begin(&claim).await.unwrap() else {
            panic!("it did not start")
        };
        let mut expected = row([
            ("id", text("bill#7")),
            ("status", text("INPROGRESS")),
            ("expiration", number(SECONDS + 3600)),
            ("in_progress_expiration", number(MILLIS + 60_000)),
            ("validation", text("5d41")),
        ]);
        if keys.len() == 2 {
            expected.extend(row([("id", text("idempotency#billing")), ("sort_key", text("bill#7"))]));
        }
        assert_eq!(rows(&client).await, [expected.clone()]);

        let mut done = completion(lock, r#"{"cents": 7}"#, at(Duration::from_secs(10)));
        done.validation = Some("5d41".to_owned());
        assert_eq!(store.complete(&done).await.unwrap(), Recorded::Stored);
        expected.extend(row([
            ("status", text("COMPLETED")),
            ("expiration", number(SECONDS + 3610)),
            ("data", text(r#"{"cents": 7}"#)),
        ]));
        assert_eq!(rows(&client).await, [expected]);
    }
}

#[tokio::test]
async fn given_rows_that_powertools_wrote_when_work_begins_then_they_hold() {
    let client = table(&["id"]).await;
    let store = DynamoDbIdempotencyStore::new(client.clone(), "done");
    let begin = async |key: &str| store.begin(&claim(key, NOON)).await.unwrap();

    put(
        &client,
        [
            ("id", text("completed")),
            ("status", text("COMPLETED")),
            ("expiration", number(SECONDS + 1)),
            ("in_progress_expiration", number(MILLIS - 5_000)),
            ("data", text(r#"{"statusCode": 200}"#)),
            ("validation", text("")),
        ],
    )
    .await;
    assert_eq!(
        begin("completed").await,
        Begun::Completed(Some(r#"{"statusCode": 200}"#.to_owned()))
    );

    put(
        &client,
        [
            ("id", text("locked")),
            ("status", text("INPROGRESS")),
            ("expiration", number(SECONDS + 3600)),
            ("in_progress_expiration", number(MILLIS + 1)),
        ],
    )
    .await;
    assert_eq!(
        begin("locked").await,
        Begun::InProgress {
            until: Some(at(Duration::from_millis(1)))
        }
    );

    // Without a Lambda context there is no end of the lock but that of the row.
    put(
        &client,
        [
            ("id", text("unbounded")),
            ("status", text("INPROGRESS")),
            ("expiration", number(SECONDS)),
        ],
    )
    .await;
    assert_eq!(begin("unbounded").await, Begun::InProgress { until: None });

    let free = [
        ("timed out", "INPROGRESS", SECONDS + 3600, MILLIS - 1),
        ("expired", "COMPLETED", SECONDS - 1, MILLIS - 1),
        ("expired lock", "INPROGRESS", SECONDS - 1, MILLIS + 1),
    ];
    for (id, status, expiration, until) in free {
        put(
            &client,
            [
                ("id", text(id)),
                ("status", text(status)),
                ("expiration", number(expiration)),
                ("in_progress_expiration", number(until)),
            ],
        )
        .await;
        assert!(
            matches!(begin(id).await, Begun::Started(lock) if lock.until == at(LOCKED)),
            "{id}"
        );
    }

    put(
        &client,
        [
            ("id", text("validated")),
            ("status", text("COMPLETED")),
            ("expiration", number(SECONDS)),
            ("validation", text("a")),
        ],
    )
    .await;
    let other = Claim {
        validation: Some("b".to_owned()),
        ..claim("validated", NOON)
    };
    assert_eq!(store.begin(&other).await.unwrap(), Begun::Mismatch);
}

#[tokio::test]
async fn given_a_result_of_powertools_when_the_work_runs_then_it_is_given_back() {
    let client = table(&["id"]).await;
    put(
        &client,
        [
            ("id", text("billing#order-7")),
            ("status", text("COMPLETED")),
            ("expiration", number(SECONDS + 1)),
            ("data", text(r#"{"cents": 7}"#)),
        ],
    )
    .await;
    let store = DynamoDbIdempotencyStore::new(client, "done");
    let once = Idempotency::new("billing", Arc::new(store), Clock::new(|| NOON));
    let work = async { Err::<BTreeMap<String, u32>, _>("it ran") };
    let done = once.run(&key("order-7"), None, work).await.unwrap();
    assert_eq!(done.result["cents"], 7);
}

#[tokio::test]
async fn given_no_table_or_another_key_when_work_begins_then_the_error_says_what_to_do() {
    let client = table(&["leaseKey"]).await;
    for (name, says) in [("undone", "there is no table undone"), ("done", "does not fit")] {
        let store = DynamoDbIdempotencyStore::new(client.clone(), name);
        let error = store.begin(&claim("order-7", NOON)).await.unwrap_err();
        assert!(!error.is_retryable());
        assert!(error.to_string().contains(says), "{error}");
    }
}
