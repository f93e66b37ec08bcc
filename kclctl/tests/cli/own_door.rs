//! `kclctl fault` and `kclctl operations`: trouble, and the log of it.

use serde_json::json as value;

use crate::common::{Bench, Running, error, json, kclctl, ok, run, stderr, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_strikes_as_often_as_it_may_and_is_cleared() {
    let bench = Bench::with_shards(1).await;
    assert_eq!(ok(&bench.run(&["fault", "list"]).await), "there are no faults\n");
    let throttle = [
        "fault",
        "add",
        "throttle",
        "--on",
        "PutRecords",
        "--stream",
        "s",
        "--times",
        "2",
    ];
    assert_eq!(ok(&bench.run(&throttle).await), "added fault 1\n");
    let stale = [
        "fault",
        "add",
        "stale_shards",
        "--time",
        "30s",
        "--probability",
        "0.5",
        "--seed",
        "7",
    ];
    assert_eq!(ok(&bench.run(&stale).await), "added fault 2\n");
    ok(&bench.put(&[], "a\nb\n").await);

    let listed = json(&ok(&bench.run(&["fault", "list", "--json"]).await));
    assert_eq!(
        listed["faults"],
        value!([
            {
                "id": 1, "fault": "throttle", "operation": "PutRecords", "stream": "s", "times": 2,
                "matched": 2, "struck": 2,
            },
            {"id": 2, "fault": "stale_shards", "ms": 30_000, "probability": 0.5, "seed": 7, "matched": 0, "struck": 0},
        ])
    );
    let shown = ok(&bench.run(&["fault", "list"]).await);
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["FAULT", "WHAT", "ON", "ABOUT", "MATCHED", "STRUCK", "OF"]);
    assert_eq!(rows[1], ["1", "throttle", "PutRecords", "s", "2", "2", "2"]);
    assert_eq!(rows[2], ["2", "stale_shards", "*", "-", "0", "0", "-"]);

    assert_eq!(ok(&bench.run(&["fault", "clear", "1"]).await), "cleared fault 1\n");
    let gone = error(&bench.run(&["fault", "clear", "1"]).await, 1);
    assert_eq!(gone, "error: there is no fault 1");
    assert_eq!(ok(&bench.run(&["fault", "clear"]).await), "cleared 1 fault\n");
    assert_eq!(ok(&bench.run(&["fault", "list"]).await), "there are no faults\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_makes_no_sense_is_refused() {
    let bench = Bench::with_shards(1).await;
    for (arguments, code, problem) in [
        (&["latency"][..], 2, "latency takes --time, such as --time 200ms"),
        (&["throttle", "--time", "1s"], 2, "throttle takes no --time"),
        (&["disconnect"], 2, "disconnect takes --events, such as --events 3"),
        (&["throttle", "--events", "3"], 2, "throttle takes no --events"),
        (
            &["throttle", "--on", "Put"],
            1,
            "there is no operation \"Put\"; there are *, ",
        ),
        (
            &["null_iterator", "--on", "PutRecord"],
            1,
            "null_iterator does not happen to PutRecord; it happens to GetRecords",
        ),
    ] {
        let refused = error(&bench.run(&[&["fault", "add"], arguments].concat()).await, code);
        assert!(refused.starts_with(&format!("error: {problem}")), "{refused}");
    }
    assert_eq!(bench.run(&["fault", "add", "nothing"]).await.status.code(), Some(2));
    assert_eq!(ok(&bench.run(&["fault", "list"]).await), "there are no faults\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_broker_is_told_so() {
    let nowhere = error(&run(&["fault", "list"]).await, 2);
    assert_eq!(
        nowhere,
        "error: faults and operations are a broker's: give --endpoint or set KCL_ENDPOINT"
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let unreachable = error(&run(&["operations", "--endpoint", &endpoint]).await, 1);
    assert!(
        unreachable.starts_with(&format!("error: {endpoint} cannot be reached (")),
        "{unreachable}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_tls_is_asked_by_whoever_trusts_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("broker.pem");
    let (pem, listen) = (file.to_str().unwrap(), "127.0.0.1:0");
    let arguments = ["broker", "--listen", listen, "--tls", "--tls-cert-out", pem];
    let mut broker = Running::start(&mut kclctl(&arguments));
    let line = broker.line().await;
    let list = [
        "fault",
        "list",
        "--endpoint",
        line.strip_prefix("listening on ").unwrap(),
    ];
    assert!(error(&run(&list).await, 1).contains("certificate"));
    let trusting = within(kclctl(&list).env("SSL_CERT_FILE", pem).output()).await.unwrap();
    assert_eq!(ok(&trusting), "there are no faults\n");
    broker.signal("TERM").await;
    broker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_shows_the_last_calls_through_filters() {
    let bench = Bench::with_shards(1).await;
    ok(&bench
        .run(&["fault", "add", "internal_error", "--on", "PutRecords", "--times", "1"])
        .await);
    ok(&bench.put(&[], "precious\n").await);
    let puts = ok(&bench.run(&["operations", "--operation", "PutRecords", "--json"]).await);
    let puts: Vec<_> = puts.lines().map(json).collect();
    assert_eq!(puts.len(), 2);
    assert_eq!(
        (&puts[0]["outcome"], &puts[1]["outcome"]),
        (&value!("InternalFailure"), &value!("ok"))
    );
    assert_eq!(puts[0]["faults"], value!([{"id": 1, "fault": "internal_error"}]));
    assert_eq!(
        (&puts[1]["stream"], &puts[1]["request"]["records"]),
        (&value!("s"), &value!(1))
    );
    assert_eq!(puts[1]["caller"]["access_key_id"], "local");
    assert!(!format!("{puts:?}").contains("precious"));

    let failed = ok(&bench.run(&["operations", "--failed", "--struck"]).await);
    let row: Vec<&str> = failed.split_whitespace().collect();
    assert_eq!(
        (failed.lines().count(), row[2], row[3]),
        (1, "PutRecords", "s"),
        "{failed}"
    );
    assert_eq!(
        (row[4], row[7], row[8]),
        ("InternalFailure", "internal_error", "local"),
        "{failed}"
    );
    assert_eq!(ok(&bench.run(&["operations", "--stream", "other"]).await), "");
    assert_eq!(ok(&bench.run(&["operations", "--last", "2"]).await).lines().count(), 2);

    let counts = json(&ok(&bench.run(&["operations", "--counts", "--json"]).await));
    assert_eq!(
        counts["PutRecords"],
        value!({"calls": 2, "errors": 1, "dropped": 0, "struck": 1})
    );
    let counts = ok(&bench.run(&["operations", "--counts"]).await);
    let row = counts.lines().find(|line| line.starts_with("PutRecords ")).unwrap();
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>(),
        ["PutRecords", "2", "1", "0", "1"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_a_log_says_so() {
    let mut broker = Running::start(&mut kclctl(&["broker", "--listen", "127.0.0.1:0", "--operations", "0"]));
    let line = broker.line().await;
    let endpoint = line.strip_prefix("listening on ").unwrap();
    ok(&run(&["stream", "create", "s", "--endpoint", endpoint]).await);
    let output = run(&["operations", "--endpoint", endpoint]).await;
    assert_eq!(ok(&output), "");
    assert!(
        stderr(&output).contains("this broker keeps no log"),
        "{}",
        stderr(&output)
    );
    broker.signal("TERM").await;
    broker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn following_the_log_shows_calls_as_they_come() {
    let bench = Bench::with_shards(1).await;
    let follow = [
        "operations",
        "--follow",
        "--operation",
        "CreateStream",
        "--json",
        "--endpoint",
        &bench.endpoint,
    ];
    let mut follower = Running::start(&mut kclctl(&follow));
    assert_eq!(json(&follower.line().await)["stream"], "s");
    for stream in ["t", "u"] {
        ok(&bench.run(&["stream", "create", stream]).await);
        assert_eq!(json(&follower.line().await)["stream"], stream);
    }
    follower.signal("INT").await;
    assert_eq!(ok(&follower.end().await), "");
}
