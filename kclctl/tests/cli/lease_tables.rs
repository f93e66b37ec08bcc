//! `kclctl consume` and `kclctl leases` with their leases in DynamoDB.

use aws_sdk_dynamodb::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
    types::AttributeValue,
};
use kcl_broker::{Broker, trouble::Fault};

use crate::common::{Bench, Running, error, json, kclctl, ok, stdout, within};

#[tokio::test(flavor = "multi_thread")]
async fn given_a_table_in_dynamodb_when_two_workers_share_a_stream_then_both_and_the_leases_tell_the_same() {
    let bench = Bench::with_shards(4).await;
    let text: String = (0..400).map(|n| format!("{n}\n")).collect();
    ok(&bench.put(&[], text).await);
    let table = ["--lease-table", "dynamodb:leases-of-a", "--other-name"];
    let arguments = [&table[..], &["--until-idle", "500ms"]].concat();
    let (one, two) = (bench.start(&arguments), bench.start(&arguments));
    let (one, two) = tokio::join!(Running::end(one), Running::end(two));
    let lines = ok(&one) + &ok(&two);
    let numbers: std::collections::BTreeSet<u32> = lines
        .lines()
        .map(|line| json(line)["data"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..400).collect());

    // Without a name the table has the application's.
    let leases = ["leases", "--app", "leases-of-a", "--lease-table", "dynamodb", "--json"];
    let shown = json(&ok(&bench.run(&leases).await));
    assert_eq!(shown["unreadable"], serde_json::json!([]));
    let rows = shown["leases"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    for row in rows {
        assert!(row["owner"].is_null(), "{row}");
        assert!(row["checkpoint"].as_str().unwrap().starts_with("49"), "{row}");
    }
    // Everything was checkpointed: nothing comes again.
    assert!(bench.consume(&table).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_table_that_cannot_be_reached_at_the_start_when_it_can_then_consume_goes_on() {
    let broker = Broker::new();
    let away = Fault::unavailable().on("DynamoDB.DescribeTable").times(3);
    broker.trouble().add(away).unwrap();
    let bench = Bench::of(broker.clone(), 1).await;
    ok(&bench.put(&[], "1\n2\n3\n").await);
    assert_eq!(
        bench
            .consume(&["--lease-table", "dynamodb:leases-of-a", "--other-name"])
            .await
            .len(),
        3
    );
    let struck: Vec<u64> = broker.trouble().list().iter().map(|fault| fault.struck).collect();
    assert_eq!(struck, [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_row_that_is_no_lease_when_idle_then_consume_fails_and_names_it() {
    let broker = Broker::new();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "test"))
        .http_client(broker.http_client());
    let client = Client::from_conf(config.build());
    let bench = Bench::of(broker, 2).await;
    let table = ["--lease-table", "dynamodb:leases-of-a", "--other-name"];
    assert!(bench.consume(&table).await.is_empty());

    let spoil = async |key: &str| {
        let row = client.update_item().table_name("leases-of-a");
        row.key("leaseKey", AttributeValue::S(key.to_owned()))
            .update_expression("SET checkpoint = :junk")
            .expression_attribute_values(":junk", AttributeValue::S("JUNK".to_owned()))
            .send()
            .await
            .unwrap();
    };
    let key = "shardId-000000000001";
    spoil(key).await;
    let text: String = (0..100).map(|n| format!("{n}\n")).collect();
    ok(&bench.put(&[], text).await);
    let consume = ["consume", "--stream", "s", "--app", "a", "--until-idle", "200ms"];
    let output = bench.run(&[&consume[..], &table].concat()).await;
    let message = error(&output, 1);
    assert!(message.contains(key) && message.contains("doctor"), "{message}");
    // The other shard was read.
    let lines = stdout(&output).lines().count();
    assert!((1..100).contains(&lines), "{lines}");

    // Without any lease there is nothing to wait for.
    let other = "shardId-000000000000";
    spoil(other).await;
    let message = error(&bench.run(&[&consume[..], &table].concat()).await, 1);
    assert!(message.contains(key) && message.contains(other), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_no_table_in_dynamodb_when_looked_at_then_it_is_an_error_and_none_is_made() {
    let bench = Bench::with_shards(1).await;
    let leases = ["leases", "--lease-table", "dynamodb:rides"];
    for _ in 0..2 {
        let message = error(&bench.run(&leases).await, 1);
        assert!(
            message.contains("the lease table cannot be used: the table rides does not exist; check its name"),
            "{message}"
        );
    }
    // The service's own variable names the address too.
    let mut command = kclctl(&leases);
    let output = within(command.env("AWS_ENDPOINT_URL_DYNAMODB", &bench.endpoint).output());
    let message = error(&output.await.unwrap(), 1);
    assert!(message.contains("the table rides does not exist"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_name_that_is_not_the_tables_when_it_would_be_written_then_it_is_refused_and_nothing_changes() {
    let bench = Bench::with_shards(1).await;
    ok(&bench.put(&[], "1\n").await);
    let billing = ["--app", "billing", "--lease-table", "dynamodb:billing"];
    let consume = ["consume", "--stream", "s", "--until-idle", "200ms"];
    ok(&bench.run(&[&consume[..], &billing].concat()).await);
    let list = ["leases", "--lease-table", "dynamodb:billing", "--json"];
    let before = ok(&bench.run(&list).await);

    let wrong = ["--app", "biling", "--lease-table", "dynamodb:billing"];
    for command in [
        &consume[..],
        &["leases", "delete", "--all", "--yes"],
        &["leases", "release", "--all", "--yes"],
        &["leases", "seek", "--all", "--to", "latest", "--yes"],
        &["migrate", "rollback", "--yes"],
    ] {
        let message = error(&bench.run(&[command, &wrong].concat()).await, 2);
        assert!(
            message.contains("billing is not named after the application biling") && message.contains("--other-name"),
            "{message}"
        );
    }
    assert_eq!(ok(&bench.run(&list).await), before);
    // To look does no harm, and whoever means it says so.
    ok(&bench.run(&[&["leases"][..], &wrong].concat()).await);
    let meant = ["leases", "delete", "--all", "--yes", "--other-name"];
    ok(&bench.run(&[&meant[..], &wrong].concat()).await);
    assert_eq!(json(&ok(&bench.run(&list).await))["leases"], serde_json::json!([]));
}
