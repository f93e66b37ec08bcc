//! `kclctl put`, and what consumers then see.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use crate::common::{Bench, error, json, ok, stderr, stdout};
use kcl_broker::{Broker, Limits};
use kcl_core::Timestamp;
use serde_json::{Value, json};

fn data(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["data"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_come_out_as_they_went_in() {
    let bench = Bench::with_shards(1).await;
    let output = bench.put(&[], "one\n\nthree \"3\"\r\nvier").await;
    assert_eq!(stdout(&output), "");
    assert!(
        stderr(&output).contains("put 4 records, 16 bytes in "),
        "{}",
        stderr(&output)
    );

    let records = bench.consume(&[]).await;
    assert_eq!(data(&records), ["one", "", "three \"3\"", "vier"]);
    let record = records[0].as_object().unwrap();
    let keys: Vec<&str> = record.keys().map(String::as_str).collect();
    let mut expected = [
        "stream",
        "shard_id",
        "sequence_number",
        "sub_sequence_number",
        "partition_key",
        "approximate_arrival_timestamp",
        "data",
    ];
    expected.sort_unstable();
    let mut found = keys.clone();
    found.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(record["stream"], "s");
    assert_eq!(record["shard_id"], "shardId-000000000000");
    assert_eq!(record["sub_sequence_number"], 0);
    let arrival = record["approximate_arrival_timestamp"].as_str().unwrap();
    assert_eq!(
        (arrival.len(), &arrival[19..20], &arrival[23..]),
        (24, ".", "Z"),
        "{arrival}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_rows_become_objects_and_keep_the_order_of_their_key() {
    let bench = Bench::with_shards(3).await;
    let rows: Vec<String> = (0..2_000).map(|n| format!("{n},\"taxi, {}\"", n % 7)).collect();
    let text = format!("n,taxi\n{}\n", rows.join("\n"));
    let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();

    let arguments = [
        "put",
        "--stream",
        "s",
        "--key-field",
        "taxi",
        "--concurrency",
        "3",
        "--json",
        path,
    ];
    let totals = json(&ok(&bench.run(&arguments).await));
    assert_eq!((&totals["records"], &totals["retried"]), (&json!(2_000), &json!(0)));

    let records = bench.consume(&[]).await;
    assert_eq!(records.len(), 2_000);
    let mut of_key: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for record in &records {
        let row = json(record["data"].as_str().unwrap());
        assert_eq!(record["partition_key"], row["taxi"]);
        let number = row["n"].as_str().unwrap().parse().unwrap();
        of_key.entry(row["taxi"].to_string()).or_default().push(number);
    }
    assert_eq!(of_key.len(), 7);
    for numbers in of_key.values() {
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_stay_as_they_are() {
    let bench = Bench::with_shards(1).await;
    let text = "{\"id\": 7, \"x\": 1.50}\n{\"id\": \"b\"}\n";
    ok(&bench
        .put(&["--format", "jsonl", "--key-field", "id", "--strict-order"], text)
        .await);
    let records = bench.consume(&[]).await;
    assert_eq!(data(&records), text.lines().collect::<Vec<_>>());
    let keys: Vec<&Value> = records.iter().map(|record| &record["partition_key"]).collect();
    assert_eq!(keys, ["7", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_is_no_text_comes_in_base64() {
    let bench = Bench::with_shards(1).await;
    ok(&bench.put(&["--key", "k"], b"\xff\xfe\n".to_vec()).await);
    let records = bench.consume(&[]).await;
    assert_eq!(records[0]["data_base64"], "//4=");
    assert_eq!(
        (records[0].get("data"), &records[0]["partition_key"]),
        (None, &json!("k"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_is_named_and_everything_before_it_was_put() {
    let bench = Bench::with_shards(1).await;
    let mut text = "x\n".repeat(700);
    text.push_str(&"y".repeat((1 << 20) + 1));
    text.push_str("\nz\n");
    let output = bench.put(&["--json"], text).await;
    let expected = "error: line 701: the record has 1048580 bytes with its key, and 1048576 (1 MiB) are allowed; \
                    700 records were put before it";
    assert_eq!(error(&output, 3), expected);
    assert_eq!(json(&stdout(&output))["records"], 700);
    assert_eq!(data(&bench.consume(&[]).await), vec!["x"; 700]);

    let output = bench
        .put(&["--format", "csv", "--key-field", "a"], "a,b\n1,2\n3\n")
        .await;
    let expected = "error: line 3: the row has 1 fields, and the header has 2; 1 record was put before it";
    assert_eq!(error(&output, 3), expected);

    let open = "a,b\n1,\"2, \"\"two\"\"\"\n3,\"4\n4,5\n";
    let output = bench.put(&["--format", "csv", "--key-field", "a"], open).await;
    let expected = "error: line 3: a quote of this row is not closed; 1 record was put before it";
    assert_eq!(error(&output, 3), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_records_are_spread_over_calls() {
    let bench = Bench::with_shards(2).await;
    let line = "x".repeat((1 << 20) - 2);
    ok(&bench.put(&[], format!("{line}\n").repeat(8)).await);
    let records = bench.consume(&[]).await;
    assert!(records.iter().all(|record| record["data"] == line.as_str()));
    assert_eq!(records.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_put_before_the_input_ends() {
    let bench = Bench::with_shards(1).await;
    let mut consumer = bench.start(&[]);
    let endpoint = bench.endpoint.clone();
    let mut put = crate::common::kclctl(&["put", "--stream", "s", "--endpoint", &endpoint]);
    let mut put = put.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = put.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, b"now\n").await.unwrap();
    assert_eq!(json(&consumer.line().await)["data"], "now");
    drop(stdin);
    assert!(crate::common::within(put.wait()).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_put_is_told_clearly() {
    let bench = Bench::with_shards(1).await;
    let unknown = bench.run(&["put", "--stream", "none", "/dev/null"]).await;
    ok(&unknown);
    let arguments = ["put", "--stream", "none", "--endpoint", &bench.endpoint];
    let unknown = error(&crate::common::run_with(&arguments, "x\n").await, 1);
    assert!(
        unknown.contains("the stream none does not exist at http://127.0.0.1"),
        "{unknown}"
    );
    assert!(unknown.contains("kclctl stream create none --shards 1"), "{unknown}");

    let missing = error(&bench.run(&["put", "--stream", "s", "/nowhere.csv"]).await, 1);
    assert_eq!(
        missing,
        "error: /nowhere.csv cannot be opened: No such file or directory (os error 2)"
    );
    let usage = error(&bench.run(&["put", "--stream", "s", "--key-field", "a"]).await, 2);
    assert!(usage.contains("lines have no fields"), "{usage}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_cannot_be_reached_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let endpoint = format!("http://{free}");
    let output = crate::common::run(&["stream", "list", "--endpoint", &endpoint]).await;
    let message = error(&output, 1);
    assert!(
        message.contains(&format!("{endpoint} cannot be reached (Connection refused")),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_a_shard_does_not_take_at_once_are_put_again() {
    // The broker's time passes with its calls: whoever comes again finds that the shard has room.
    let millis = AtomicI64::new(1_357_034_400_000);
    let broker = Broker::builder()
        .limits(Limits::Aws)
        .clock(Arc::new(move || {
            Timestamp::from_epoch_millis(millis.fetch_add(200, Ordering::Relaxed))
        }))
        .build();
    let bench = Bench::of(broker, 1).await;
    let lines: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
    let totals = json(&ok(&bench.put(&["--json"], lines.join("\n")).await));
    assert_eq!(totals["records"], json!(2_000));
    assert!(totals["retried"].as_u64().unwrap() > 0, "{totals}");

    let records = bench.consume(&[]).await;
    let mut found: Vec<u32> = data(&records).iter().map(|line| line.parse().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, (0..2_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn aggregated_lines_come_out_one_by_one_and_in_order() {
    let bench = Bench::with_shards(2).await;
    let lines: Vec<String> = (0..500).map(|number| format!("line {number}")).collect();
    let output = bench.put(&["--aggregate", "--key", "k"], lines.join("\n")).await;
    assert!(stderr(&output).contains("put 500 records, "), "{}", stderr(&output));
    let records = bench.consume(&[]).await;
    assert_eq!(data(&records), lines);
    let outer: std::collections::BTreeSet<&str> = records
        .iter()
        .map(|record| record["sequence_number"].as_str().unwrap())
        .collect();
    assert!(outer.len() < 20, "{} records of the service", outer.len());
    assert_ne!(records[499]["sub_sequence_number"], 0, "it came in an aggregate");
}
