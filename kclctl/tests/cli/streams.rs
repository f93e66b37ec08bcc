//! `kclctl stream scale`, `retention` and `mode`, and changes that take time.

use crate::common::{Bench, Running, error, json, kclctl, ok, run, run_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_scaled() {
    let bench = Bench::with_shards(2).await;
    let scaled = ok(&bench.run(&["stream", "scale", "s", "--shards", "4"]).await);
    assert_eq!(scaled, "s has 4 open shards, after 2\n");
    let described = json(&ok(&bench.run(&["stream", "describe", "s", "--json"]).await));
    assert_eq!(described["open_shards"], 4);
    assert_eq!(described["shards"].as_array().unwrap().len(), 6);

    let refused = error(&bench.run(&["stream", "scale", "s", "--shards", "9"]).await, 1);
    assert!(refused.contains("cannot scale up over double"), "{refused}");
    let unknown = error(&bench.run(&["stream", "scale", "t", "--shards", "1"]).await, 1);
    assert!(unknown.contains("the stream t does not exist"), "{unknown}");
    let none = bench.run(&["stream", "scale", "s", "--shards", "0"]).await;
    assert_eq!(none.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_kept_for_longer_and_for_less_long() {
    let bench = Bench::with_shards(1).await;
    for (period, said, hours) in [
        ("7days", "s keeps records for 168 h, after 24 h\n", 168),
        ("36h", "s keeps records for 36 h, after 168 h\n", 36),
        ("36h", "s keeps records for 36 h, after 36 h\n", 36),
    ] {
        assert_eq!(ok(&bench.run(&["stream", "retention", "s", period]).await), said);
        let described = json(&ok(&bench.run(&["stream", "describe", "s", "--json"]).await));
        assert_eq!(described["retention_hours"], hours);
    }
    let short = error(&bench.run(&["stream", "retention", "s", "23h"]).await, 1);
    assert!(
        short.contains("Minimum allowed retention period is 24 hours"),
        "{short}"
    );
    let unknown = error(&bench.run(&["stream", "retention", "t", "48h"]).await, 1);
    assert!(unknown.contains("the stream t does not exist"), "{unknown}");
    let crooked = bench.run(&["stream", "retention", "s", "90min"]).await;
    assert_eq!(crooked.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_changes_its_mode() {
    let bench = Bench::with_shards(1).await;
    let changed = ok(&bench.run(&["stream", "mode", "s", "on-demand"]).await);
    assert_eq!(changed, "s is ON_DEMAND\n");
    let shown = ok(&bench.run(&["stream", "describe", "s"]).await);
    assert!(shown.contains("\nmode       ON_DEMAND\n"), "{shown}");
    error(&bench.run(&["stream", "scale", "s", "--shards", "2"]).await, 1);
    ok(&bench.run(&["stream", "mode", "s", "provisioned"]).await);
    ok(&bench.run(&["stream", "scale", "s", "--shards", "2"]).await);
    let unknown = error(&bench.run(&["stream", "mode", "t", "provisioned"]).await, 1);
    assert!(unknown.contains("the stream t does not exist"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_streams_are_waited_for() {
    let broker = kcl_broker::Broker::builder()
        .transition(std::time::Duration::from_millis(150))
        .build();
    let bench = Bench::of(broker, 1).await;
    ok(&bench.put(&[], "a\n").await);
    let split = bench.run(&["stream", "split", "s", "--shard", "shardId-000000000000"]);
    assert!(ok(&split.await).contains("shardId-000000000001 and shardId-000000000002"));
    ok(&bench.run(&["stream", "scale", "s", "--shards", "1"]).await);
    ok(&bench.run(&["stream", "mode", "s", "on-demand"]).await);
    let described = json(&ok(&bench.run(&["stream", "describe", "s", "--json"]).await));
    assert_eq!(
        (&described["status"], &described["mode"]),
        (&json("\"ACTIVE\""), &json("\"ON_DEMAND\""))
    );
    ok(&bench.run(&["stream", "delete", "s"]).await);
    assert_eq!(ok(&bench.run(&["stream", "list"]).await), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_can_take_its_time() {
    let mut broker = Running::start(&mut kclctl(&[
        "broker",
        "--listen",
        "127.0.0.1:0",
        "--transition",
        "1h",
    ]));
    let line = broker.line().await;
    let endpoint = line.strip_prefix("listening on ").unwrap();
    let create = Running::start(&mut kclctl(&["stream", "create", "s", "--endpoint", endpoint]));
    let described = loop {
        let output = run(&["stream", "describe", "s", "--json", "--endpoint", endpoint]).await;
        if output.status.success() {
            break json(&ok(&output));
        }
    };
    assert_eq!(described["status"], "CREATING");
    assert_eq!(described["shards"], json("[]"));
    let put = run_with(&["put", "--stream", "s", "--endpoint", endpoint], "a\n").await;
    assert!(error(&put, 1).contains("the stream s does not exist"));
    drop(create);
}
