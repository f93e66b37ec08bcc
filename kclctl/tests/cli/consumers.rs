//! `kclctl consumer` and `kclctl tag`.

use std::time::Duration;

use kcl_broker::Broker;
use serde_json::json as value;

use crate::common::{Bench, error, json, ok};

#[tokio::test(flavor = "multi_thread")]
async fn consumers_are_registered_listed_described_and_deregistered() {
    let bench = Bench::with_shards(1).await;
    assert_eq!(ok(&bench.run(&["consumer", "list", "s"]).await), "");
    let registered = ok(&bench.run(&["consumer", "register", "s", "billing"]).await);
    let arn = registered.strip_prefix("registered billing: ").unwrap().trim_end();
    assert!(arn.contains(":stream/s/consumer/billing:"), "{arn}");
    ok(&bench.run(&["consumer", "register", "s", "audit"]).await);
    let exists = error(&bench.run(&["consumer", "register", "s", "billing"]).await, 1);
    assert!(exists.contains("has a consumer billing already"), "{exists}");

    let shown = ok(&bench.run(&["consumer", "list", "s"]).await);
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["CONSUMER", "STATUS", "CREATED", "ARN"]);
    assert_eq!(
        (rows[1][0], rows[2][0], rows[2][1], rows[2][3]),
        ("audit", "billing", "ACTIVE", arn)
    );
    let listed = json(&ok(&bench.run(&["consumer", "list", "s", "--json"]).await));
    assert_eq!(listed["consumers"][1]["arn"], arn);

    let described = json(&ok(&bench
        .run(&["consumer", "describe", "s", "billing", "--json"])
        .await));
    assert_eq!(described, listed["consumers"][1]);
    let described = ok(&bench.run(&["consumer", "describe", "s", "billing"]).await);
    assert!(
        described.contains("status    ACTIVE\n") && described.contains(arn),
        "{described}"
    );

    let in_use = error(&bench.run(&["stream", "delete", "s"]).await, 1);
    assert!(in_use.contains("there are consumers"), "{in_use}");
    for name in ["billing", "audit"] {
        let gone = ok(&bench.run(&["consumer", "deregister", "s", name]).await);
        assert_eq!(gone, format!("deregistered {name}\n"));
    }
    for command in ["describe", "deregister"] {
        let unknown = error(&bench.run(&["consumer", command, "s", "billing"]).await, 1);
        assert!(unknown.contains("the stream s has no consumer billing"), "{unknown}");
    }
    for arguments in [
        &["list", "t"][..],
        &["register", "t", "billing"],
        &["describe", "t", "billing"],
    ] {
        let unknown = error(&bench.run(&[&["consumer"], arguments].concat()).await, 1);
        assert!(unknown.contains("the stream t does not exist"), "{unknown}");
    }
    ok(&bench.run(&["consumer", "register", "s", "billing"]).await);
    ok(&bench.run(&["stream", "delete", "s", "--with-consumers"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_consumers_are_waited_for() {
    let broker = Broker::builder().transition(Duration::from_millis(200)).build();
    let bench = Bench::of(broker, 1).await;
    ok(&bench.run(&["consumer", "register", "s", "billing"]).await);
    let described = json(&ok(&bench
        .run(&["consumer", "describe", "s", "billing", "--json"])
        .await));
    assert_eq!(described["status"], "ACTIVE");
    ok(&bench.run(&["consumer", "deregister", "s", "billing"]).await);
    assert_eq!(ok(&bench.run(&["consumer", "list", "s"]).await), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn consume_subscribes_as_a_consumer_that_it_finds_or_registers() {
    let bench = Bench::with_shards(2).await;
    ok(&bench.put(&[], "x\ny\n").await);
    assert_eq!(bench.consume(&["--mode", "fan-out"]).await.len(), 2);
    let named = ["--mode", "auto", "--consumer", "billing"];
    assert_eq!(bench.consume(&named).await.len(), 2);
    let listed = json(&ok(&bench.run(&["consumers", "list", "s", "--json"]).await));
    let listed = listed["consumers"].as_array().unwrap();
    let names: Vec<&str> = listed.iter().map(|row| row["consumer"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "billing"]);
    let arn = listed[1]["arn"].as_str().unwrap();
    assert_eq!(bench.consume(&["--mode", "fan-out", "--consumer", arn]).await.len(), 2);
    let mode = bench
        .run(&["consume", "--stream", "s", "--app", "a", "--mode", "push"])
        .await;
    let refused = error(&mode, 2);
    assert!(refused.contains("use polling, fan-out or auto"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_consumers_are_tagged() {
    let bench = Bench::with_shards(1).await;
    let register = [
        "consumer",
        "register",
        "s",
        "billing",
        "--tag",
        "team=a",
        "--tag",
        "stage=test",
    ];
    ok(&bench.run(&register).await);
    assert_eq!(ok(&bench.run(&["tag", "list", "s"]).await), "");
    let added = ok(&bench.run(&["tag", "add", "s", "team=b", "empty=", "x=y=z"]).await);
    assert_eq!(added, "tagged s with 3 tags\n");
    let shown = ok(&bench.run(&["tag", "list", "s"]).await);
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [["KEY", "VALUE"], ["empty", "-"], ["team", "b"], ["x", "y=z"]]);
    assert_eq!(
        ok(&bench.run(&["tag", "remove", "s", "team", "x", "none"]).await),
        "untagged s\n"
    );
    let listed = json(&ok(&bench.run(&["tag", "list", "s", "--json"]).await));
    assert_eq!(listed, value!({"tags": {"empty": ""}}));

    let of_consumer = ["--consumer", "billing"];
    let add = [&["tag", "add", "s", "team=c"][..], &of_consumer].concat();
    assert_eq!(ok(&bench.run(&add).await), "tagged billing of s with 1 tag\n");
    let remove = [&["tag", "remove", "s", "stage"][..], &of_consumer].concat();
    assert_eq!(ok(&bench.run(&remove).await), "untagged billing of s\n");
    let list = [&["tag", "list", "s", "--json"][..], &of_consumer].concat();
    assert_eq!(json(&ok(&bench.run(&list).await)), value!({"tags": {"team": "c"}}));

    let refused = error(&bench.run(&["tag", "add", "s", "a;b=c"]).await, 1);
    assert!(refused.contains("invalid characters"), "{refused}");
    let unknown = error(&bench.run(&["tag", "list", "s", "--consumer", "audit"]).await, 1);
    assert!(unknown.contains("the stream s has no consumer audit"), "{unknown}");
    for arguments in [
        &["tag", "add", "s"][..],
        &["tag", "add", "s", "team"],
        &["tag", "remove", "s"],
    ] {
        assert_eq!(bench.run(arguments).await.status.code(), Some(2), "{arguments:?}");
    }
}
