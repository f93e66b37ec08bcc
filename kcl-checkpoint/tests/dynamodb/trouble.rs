//! Throttling, failures, and answers that are lost.

use std::{error::Error, time::Duration};

use kcl_broker::{Broker, trouble::Fault};
use kcl_checkpoint::DynamoDbLeaseStore;
use kcl_core::{Expect, Lease, LeaseStore, LeaseWrite, Session, StoreError, StoreOperation, WriteOutcome};

use crate::{
    doors::{Network, Refusing, TABLE, client_at, client_of, client_over, open, open_with},
    lease, worker,
};

const OPERATIONS: [(StoreOperation, &str); 5] = [
    (StoreOperation::List, "DynamoDB.Scan"),
    (StoreOperation::Get, "DynamoDB.GetItem"),
    (StoreOperation::Create, "DynamoDB.PutItem"),
    (StoreOperation::Update, "DynamoDB.UpdateItem"),
    (StoreOperation::Delete, "DynamoDB.DeleteItem"),
];

/// Carries out the operation on the second of two leases, or creates it.
async fn call(store: &DynamoDbLeaseStore, operation: StoreOperation, row: &Lease) -> Result<(), StoreError> {
    match operation {
        StoreOperation::List => store.list().await.map(drop),
        StoreOperation::Get => store.get(&row.key).await.map(drop),
        StoreOperation::Create => store.create(row).await.map(drop),
        StoreOperation::Update => {
            let take = LeaseWrite::take(row, &worker("a"), Session(1));
            store.update(&take).await.map(drop)
        }
        _ => store.delete(&row.key, &Expect::unchanged(row)).await.map(drop),
    }
}

/// A store with a row, where the operation is not the one that makes it.
async fn with_row(store: &DynamoDbLeaseStore, operation: StoreOperation) -> Lease {
    let row = lease(0);
    if operation != StoreOperation::Create {
        let _ = store.create(&row).await.unwrap();
    }
    row
}

fn calls(broker: &Broker, operation: &str) -> u64 {
    broker
        .operations()
        .counts()
        .get(operation)
        .map_or(0, |counts| counts.calls)
}

fn is_a_write(operation: StoreOperation) -> bool {
    !matches!(operation, StoreOperation::List | StoreOperation::Get)
}

#[tokio::test(start_paused = true)]
async fn wound_57_given_throttling_when_called_then_it_is_said_and_nothing_was_changed() {
    for (operation, name) in OPERATIONS {
        let broker = Broker::new();
        let store = open(client_of(&broker)).await;
        let row = with_row(&store, operation).await;
        broker.trouble().add(Fault::throttle().on(name).table(TABLE)).unwrap();
        let before = calls(&broker, name);
        let error = call(&store, operation, &row).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Throttled { operation: said } if said == operation),
            "{error:?}"
        );
        assert!(error.is_retryable() && !error.may_have_applied());
        let attempts = calls(&broker, name) - before;
        assert_eq!(attempts, if is_a_write(operation) { 1 } else { 3 }, "{name}");
        broker.trouble().clear();
        call(&store, operation, &row).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn given_a_service_that_fails_once_when_read_then_the_read_is_tried_again() {
    for (operation, name) in OPERATIONS.into_iter().filter(|(operation, _)| !is_a_write(*operation)) {
        for fault in [
            Fault::throttle(),
            Fault::internal_error(),
            Fault::unavailable(),
            Fault::drop_answer(),
        ] {
            let broker = Broker::new();
            let store = open(client_of(&broker)).await;
            broker.trouble().add(fault.on(name).times(2)).unwrap();
            call(&store, operation, &lease(0)).await.unwrap();
            assert_eq!(calls(&broker, name), 3);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn given_a_service_that_fails_when_written_then_it_may_have_happened_and_is_sent_once() {
    for (operation, name) in OPERATIONS.into_iter().filter(|(operation, _)| is_a_write(*operation)) {
        for fault in [
            Fault::internal_error(),
            Fault::unavailable(),
            Fault::drop_request(),
            Fault::drop_answer(),
        ] {
            let broker = Broker::new();
            let store = open(client_of(&broker)).await;
            let row = with_row(&store, operation).await;
            let before = calls(&broker, name);
            broker.trouble().add(fault.on(name).times(1)).unwrap();
            let error = call(&store, operation, &row).await.unwrap_err();
            assert!(
                matches!(&error, StoreError::Ambiguous { operation: said, .. } if *said == operation),
                "{error:?}"
            );
            assert_eq!(calls(&broker, name) - before, 1, "{name}");
            let about = error.source().unwrap().to_string();
            assert_eq!(about, format!("{} on table billing", &name["DynamoDB.".len()..]));
        }
    }
}

#[tokio::test]
async fn wound_32_given_answers_lost_on_the_network_when_written_then_the_row_is_as_the_write_makes_it() {
    let network = Network::start().await;
    let store = open(network.client()).await;
    let mut row = lease(0);
    network
        .broker
        .trouble()
        .add(Fault::drop_answer().on("DynamoDB.PutItem").times(1))
        .unwrap();
    assert!(store.create(&row).await.unwrap_err().may_have_applied());
    assert_eq!(store.get(&row.key).await.unwrap().as_ref(), Some(&row));
    for round in 0..5 {
        let write = match round {
            0 => LeaseWrite::take(&row, &worker("a"), Session(3)),
            1 => LeaseWrite::request_hand_off(&row, &worker("b")),
            2 => LeaseWrite::finish_hand_off(&row, Some("100".parse().map(kcl_core::Position::after).unwrap())),
            3 => LeaseWrite::take(&row, &worker("b"), Session(4)),
            _ => LeaseWrite::finish_shard(&row, vec![crate::shard(1), crate::shard(2)]),
        };
        let fault = Fault::drop_answer().on("DynamoDB.UpdateItem").times(1);
        network.broker.trouble().add(fault).unwrap();
        let error = store.update(&write).await.unwrap_err();
        assert!(error.may_have_applied(), "{error:?}");
        row = write.patch.apply(&row);
        // One that was lost and sent again would have been refused, or have counted twice.
        assert_eq!(store.get(&row.key).await.unwrap().as_ref(), Some(&row), "round {round}");
    }
    assert_eq!(calls(&network.broker, "DynamoDB.UpdateItem"), 5);
    network.shutdown().await;
}

#[tokio::test]
async fn given_a_request_that_is_lost_on_the_network_when_written_then_nothing_happened_and_it_can_be_repeated() {
    let network = Network::start().await;
    let store = open(network.client()).await;
    let _ = store.create(&lease(0)).await.unwrap();
    network
        .broker
        .trouble()
        .add(Fault::drop_request().on("DynamoDB.UpdateItem").times(1))
        .unwrap();
    let write = LeaseWrite::take(&lease(0), &worker("a"), Session(3));
    assert!(store.update(&write).await.unwrap_err().may_have_applied());
    assert_eq!(store.get(&lease(0).key).await.unwrap(), Some(lease(0)));
    let applied = store.update(&write).await.unwrap();
    assert_eq!(applied, WriteOutcome::Applied(write.patch.apply(&lease(0))));
    network.shutdown().await;
}

#[tokio::test]
async fn given_a_service_that_hangs_when_called_then_the_call_ends_and_a_write_may_have_happened() {
    let network = Network::start().await;
    let store = open_with(network.client(), |config| {
        config.request_timeout = Duration::from_millis(300)
    })
    .await
    .unwrap();
    let _ = store.create(&lease(0)).await.unwrap();
    network
        .broker
        .trouble()
        .add(Fault::latency(Duration::from_hours(1)).on("DynamoDB.*"))
        .unwrap();
    let write = LeaseWrite::take(&lease(0), &worker("a"), Session(3));
    assert!(store.update(&write).await.unwrap_err().may_have_applied());
    let error = store.get(&lease(0).key).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    network.shutdown().await;
}

#[tokio::test]
async fn given_nobody_at_the_address_when_written_then_nothing_was_changed() {
    let network = Network::start().await;
    let store = open(network.client()).await;
    network.shutdown().await;
    for (operation, name) in OPERATIONS {
        let error = call(&store, operation, &lease(0)).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{name}: {error:?}");
    }
    // Port 9 is set aside for services that take everything and answer nothing; nobody runs one.
    let opened = open_with(client_at("http://127.0.0.1:9"), |_| {}).await.unwrap_err();
    assert!(opened.is_retryable(), "{opened:?}");
}

#[tokio::test]
async fn given_credentials_that_are_refused_when_called_then_they_are_named_and_expired_ones_are_tried_again() {
    for (code, retryable) in [
        ("UnrecognizedClientException", false),
        ("InvalidSignatureException", false),
        ("ExpiredTokenException", true),
    ] {
        let refusing = Refusing {
            broker: Broker::new(),
            operation: "UpdateItem",
            table: None,
            code,
        };
        let store = open(client_over(refusing)).await;
        let error = store.update(&LeaseWrite::renew(&lease(0), None)).await.unwrap_err();
        assert_eq!(error.is_retryable(), retryable, "{error:?}");
        assert!(!error.may_have_applied());
        if !retryable {
            assert!(
                error
                    .to_string()
                    .contains("the credentials were refused at dynamodb:UpdateItem on table billing")
            );
        }
    }
}
