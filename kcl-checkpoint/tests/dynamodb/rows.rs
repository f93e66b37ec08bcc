//! Rows of others: what Java and people put into a lease table.

use std::collections::HashMap;

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use kcl_broker::Broker;
use kcl_core::{LeaseKey, LeaseStore, LeaseWrite, Patch, Position, Session, StoreError, Timestamp, WriteOutcome};

use crate::{
    doors::{TABLE, client_of, open, open_with},
    lease, number, shard, text, worker,
};

async fn put(client: &Client, key: &str, attributes: &[(&str, AttributeValue)]) {
    let put = client.put_item().table_name(TABLE).item("leaseKey", text(key));
    let put = attributes
        .iter()
        .fold(put, |put, (name, value)| put.item(*name, value.clone()));
    put.send().await.unwrap();
}

async fn stored(client: &Client, key: &str) -> HashMap<String, AttributeValue> {
    let get = client.get_item().table_name(TABLE).key("leaseKey", text(key));
    get.send().await.unwrap().item.unwrap()
}

/// The attributes of a lease of Java's that `owner` holds.
fn java(owner: &str, counter: u64) -> Vec<(&'static str, AttributeValue)> {
    vec![
        ("leaseOwner", text(owner)),
        ("leaseCounter", number(counter)),
        ("ownerSwitchesSinceCheckpoint", number(2)),
        ("checkpoint", text("100")),
        ("checkpointSubSequenceNumber", number(3)),
        ("throughputKBps", number("12.345678")),
    ]
}

fn applied(outcome: Result<WriteOutcome, StoreError>) -> kcl_core::Lease {
    match outcome.unwrap() {
        WriteOutcome::Applied(lease) => lease,
        WriteOutcome::Conflict(row) => panic!("refused: {row:?}"),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(with_causes);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

#[tokio::test]
async fn given_a_row_of_java_when_it_is_taken_renewed_and_released_then_its_other_attributes_stay() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), open(client_of(&broker)).await);
    let mut attributes = java("java", 7);
    attributes.push(("note of an operator", text("do not touch")));
    put(&client, shard(0).as_str(), &attributes).await;
    let found = store.get(&lease(0).key).await.unwrap().unwrap();
    let taken = applied(
        store
            .update(&LeaseWrite::take(&found, &worker("rust"), Session(9)))
            .await,
    );
    let row = stored(&client, shard(0).as_str()).await;
    assert_eq!(row["leaseOwner"], text("rust"));
    assert_eq!(row["leaseCounter"], number(8));
    assert_eq!(row["ownerSwitchesSinceCheckpoint"], number(3));
    let renewed = applied(
        store
            .update(&LeaseWrite::renew(
                &taken,
                Some("200".parse().map(Position::after).unwrap()),
            ))
            .await,
    );
    assert_eq!(renewed.session, Some(Session(9)));
    applied(store.update(&LeaseWrite::release(&renewed, None)).await);

    let row = stored(&client, shard(0).as_str()).await;
    let wanted: HashMap<String, AttributeValue> = [
        ("leaseKey", text(shard(0).as_str())),
        ("leaseCounter", number(10)),
        ("ownerSwitchesSinceCheckpoint", number(0)),
        ("checkpoint", text("200")),
        ("checkpointSubSequenceNumber", number(0)),
        ("throughputKBps", number("12.345678")),
        ("note of an operator", text("do not touch")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    assert_eq!(row, wanted, "nothing else changed, and nothing of ours is left");
}

#[tokio::test]
async fn given_a_lease_with_a_session_when_java_assigns_it_anew_then_the_session_is_void() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), open(client_of(&broker)).await);
    applied(store.create(&lease(0)).await);
    let taken = applied(
        store
            .update(&LeaseWrite::take(&lease(0), &worker("rust"), Session(9)))
            .await,
    );
    let assign = |owner: &str| {
        let assign = client
            .update_item()
            .table_name(TABLE)
            .key("leaseKey", text(shard(0).as_str()));
        assign
            .update_expression("SET leaseOwner = :owner ADD leaseCounter :one REMOVE checkpointOwner")
            .expression_attribute_values(":owner", text(owner))
            .expression_attribute_values(":one", number(1))
            .send()
    };
    // To Java and back again: this life of the Rust worker does not hold the lease, it was passed on to it.
    assign("java").await.unwrap();
    assign("rust").await.unwrap();
    let found = store.get(&taken.key).await.unwrap().unwrap();
    assert_eq!((&found.owner, found.session), (&Some(worker("rust")), None));
    // A write that says nothing of the session does not bring the old one back.
    let again = applied(store.update(&LeaseWrite::renew(&found, None)).await);
    assert_eq!((again.counter, again.session), (found.counter + 1, None));
    let again = applied(
        store
            .update(&LeaseWrite::take(&again, &worker("rust"), Session(10)))
            .await,
    );
    assert_eq!(again.session, Some(Session(10)));
}

#[tokio::test]
async fn wound_13_given_rows_that_are_no_leases_when_listed_then_they_are_passed_over_in_silence() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), open(client_of(&broker)).await);
    put(
        &client,
        "Leader",
        &[("entityType", text("LEADER")), ("ownerName", text("java"))],
    )
    .await;
    put(
        &client,
        "Migration3.0",
        &[("entityType", text("CLIENT_VERSION_MIGRATION"))],
    )
    .await;
    put(
        &client,
        "java",
        &[("entityType", text("WORKER_METRIC_STATS")), ("lut", number(1))],
    )
    .await;
    put(&client, shard(0).as_str(), &java("java", 1)).await;
    let mut marked = java("java", 1);
    marked.push(("entityType", text("LEASE")));
    put(&client, shard(1).as_str(), &marked).await;
    let listing = store.list().await.unwrap();
    let shards: Vec<_> = listing.leases.iter().map(|lease| lease.shard.clone()).collect();
    assert_eq!(shards, [shard(0), shard(1)]);
    assert_eq!(listing.unreadable, []);
    assert_eq!(store.get(&LeaseKey::new("Leader").unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn given_unreadable_rows_when_listed_then_the_others_are_there_and_each_reason_names_the_attribute() {
    let broker = Broker::new();
    let (client, store) = (client_of(&broker), open(client_of(&broker)).await);
    for number in 0..3 {
        applied(store.create(&lease(number)).await);
    }
    put(
        &client,
        "shardId-x",
        &[("leaseCounter", text("seven")), ("checkpoint", text("LATEST"))],
    )
    .await;
    put(&client, "shardId-w", &[("leaseCounter", number(7))]).await;
    let listing = store.list().await.unwrap();
    let found: Vec<_> = listing.leases.iter().map(|lease| lease.key.clone()).collect();
    assert_eq!(found, [0, 1, 2].map(|number| lease(number).key));
    let bad: Vec<_> = listing.unreadable.iter().map(|row| (&*row.key, &*row.reason)).collect();
    let wanted = [
        ("shardId-w", "checkpoint: missing"),
        ("shardId-x", "leaseCounter: is of type S, and should be N"),
    ];
    assert_eq!(bad, wanted);

    // Whoever asks for such a row, or runs into it, learns which it is, and can go on with the others.
    let key = LeaseKey::new("shardId-w").unwrap();
    let error = store.get(&key).await.unwrap_err();
    assert!(error.is_retryable() && !error.may_have_applied(), "{error:?}");
    let told = with_causes(&error);
    assert!(
        told.contains("\"shardId-w\" of table billing cannot be read (checkpoint: missing)"),
        "{told}"
    );
    let mut rival = lease(0);
    rival.key = key;
    let told = with_causes(&store.create(&rival).await.unwrap_err());
    assert!(told.contains("(checkpoint: missing)"), "{told}");
    // A write that is applied to such a row is not taken for one that was not.
    let mut seen = rival;
    seen.counter = 7;
    let error = store.update(&LeaseWrite::renew(&seen, None)).await.unwrap_err();
    assert!(error.may_have_applied(), "{error:?}");
}

#[tokio::test]
async fn given_at_timestamp_of_java_when_the_time_is_configured_then_the_row_has_it() {
    let broker = Broker::new();
    let client = client_of(&broker);
    let at = Timestamp::from_epoch_millis(1_357_034_400_000);
    let store = open_with(client.clone(), |config| config.at_timestamp = Some(at))
        .await
        .unwrap();
    let fresh = [("leaseCounter", number(0)), ("checkpoint", text("AT_TIMESTAMP"))];
    put(&client, shard(0).as_str(), &fresh).await;
    let found = store.get(&lease(0).key).await.unwrap().unwrap();
    assert_eq!(found.checkpoint, Position::AtTimestamp(at));
    // Our own rows say their time themselves, until they move on.
    let mut mine = lease(1);
    mine.checkpoint = Position::AtTimestamp(Timestamp::from_epoch_millis(-5));
    applied(store.create(&mine).await);
    assert_eq!(store.get(&mine.key).await.unwrap().as_ref(), Some(&mine));
    let patch = Patch::renewal().with_checkpoint(Position::Latest);
    let write = LeaseWrite {
        patch,
        ..LeaseWrite::renew(&mine, None)
    };
    applied(store.update(&write).await);
    assert!(
        !stored(&client, shard(1).as_str())
            .await
            .contains_key("checkpointTimestamp")
    );
}

#[tokio::test]
async fn given_five_thousand_rows_when_listed_again_then_the_scan_is_in_parts_and_complete() {
    const ROWS: u32 = 5_000;
    let broker = Broker::new();
    let store = open(client_of(&broker)).await;
    // Straight into the broker: building this many requests with the SDK takes longer than everything else.
    for number in (0..ROWS).rev() {
        let row = format!(
            r#"{{"TableName": "{TABLE}", "Item": {{
                "leaseKey": {{"S": "shardId-{number:012}"}},
                "leaseOwner": {{"S": "10.0.0.7:5d0f2b6e-9f7a-4d5c-8a6e-0d8b4b5f7a11"}},
                "leaseCounter": {{"N": "{number}"}},
                "ownerSwitchesSinceCheckpoint": {{"N": "0"}},
                "checkpoint": {{"S": "49590338271490256608559692538361571095921575989136588898"}},
                "checkpointSubSequenceNumber": {{"N": "0"}},
                "startingHashKey": {{"S": "170141183460469231731687303715884105728"}},
                "endingHashKey": {{"S": "340282366920938463463374607431768211455"}},
                "throughputKBps": {{"N": "12.345678"}},
                "note": {{"S": "{}"}}
            }}}}"#,
            "x".repeat(200)
        );
        broker.call_dynamodb("PutItem", row.as_bytes()).unwrap();
    }
    let scans = || {
        let counts = broker.operations().counts();
        counts.get("DynamoDB.Scan").map_or(0, |counts| counts.calls)
    };
    let mut taken = Vec::new();
    for _ in 0..3 {
        let before = scans();
        let listing = store.list().await.unwrap();
        taken.push(scans() - before);
        assert!(listing.unreadable.is_empty());
        let counters: Vec<u64> = listing.leases.iter().map(|lease| lease.counter).collect();
        assert_eq!(counters, (0..u64::from(ROWS)).collect::<Vec<_>>());
    }
    // First page after page, since the table was empty when it was opened; then each part takes a page, or a bit more.
    let [first, second, third] = taken[..] else {
        panic!("{taken:?}")
    };
    assert!(first >= 3, "{taken:?}");
    assert!(second <= 2 * first && second == third, "{taken:?}");
}

#[tokio::test]
async fn given_reads_when_their_cost_is_counted_then_they_were_consistent() {
    let broker = Broker::new();
    let store = open(client_of(&broker)).await;
    applied(store.create(&lease(0)).await);
    store.get(&lease(0).key).await.unwrap();
    store.list().await.unwrap();
    // A read that need not be consistent costs half a unit.
    let costs = broker.table_costs(TABLE).unwrap();
    assert_eq!(
        (costs.of("GetItem").read_units, costs.of("Scan").read_units),
        (1.0, 1.0)
    );
}
