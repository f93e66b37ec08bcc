//! Watching, and the doctor.

use kcl_core::{HashKeyRange, LeaseStore as _, LeaseWrite, Position};
use serde_json::Value;

use super::{SOON, Table, ZERO, held};
use crate::common::{Bench, Running, error, json, kclctl, ok, stderr, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn given_changes_when_watched_then_each_is_a_line() {
    let table = Table::of([held(0, "w1")]).await;
    let arguments = table.command(&["watch", "--interval", "20ms"]);
    let mut watch = Running::start(&mut kclctl(&arguments));
    let seen = watch.line().await;
    assert!(
        seen.contains(ZERO) && seen.contains("seen owner=w1 checkpoint=7"),
        "{seen}"
    );

    let row = table.row(0).await.unwrap();
    let write = LeaseWrite::renew(&row, Some(Position::after("9".parse().unwrap())));
    let _ = table.store().await.update(&write).await.unwrap();
    let changed = watch.line().await;
    assert!(
        changed.contains("checkpoint owner=w1 checkpoint=9 counter=1"),
        "{changed}"
    );
    watch.signal("INT").await;
    ok(&watch.end().await);

    let lines = ok(&table.run(&["watch", "--for", "0s", "--json"]).await);
    assert_eq!(json(lines.trim())["what"], "seen");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_fleet_that_works_when_examined_then_nothing_is_wrong() {
    let (bench, table) = (Bench::with_shards(1).await, Table::new());
    ok(&bench.put(&[], "x\n").await);
    let arguments = [
        "--lease-table",
        &table.name,
        "--worker-id",
        "w1",
        "--failover-time",
        "600ms",
    ];
    let mut consumer = bench.start(&[&arguments[..], &["--checkpoint-interval", "10ms"]].concat());
    consumer.line().await;
    let doctor = ["doctor", "--stream", "s", "--failover-time", "600ms", "--json"];
    let output = bench.run(&table.command(&doctor)).await;
    let report = json(&ok(&output));
    let errors: Vec<&Value> = report["findings"].as_array().unwrap().iter().collect();
    assert!(errors.iter().all(|found| found["severity"] != "error"), "{report}");
    consumer.signal("TERM").await;
    ok(&consumer.end().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_sick_table_when_examined_then_it_says_what_and_the_command_that_mends_it() {
    let mut half = held(0, "gone");
    half.hash_key_range = None;
    let table = Table::of([half.with_hash_key_range("0-1".split_once('-').map(range).unwrap())]).await;
    let doctor = [&["doctor"][..], &SOON].concat();
    let output = table.run(&[&doctor[..], &["--json"]].concat()).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report = json(&stdout(&output));
    let codes: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| found["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["hash_range_hole", "nobody_lives"]);

    // One look cannot tell a hole from a change under way, so it is no error.
    let once = table.run(&["doctor", "--once"]).await;
    let text = ok(&once);
    assert!(
        text.contains("warning: no unfinished lease covers") && text.contains("seen once"),
        "{text}"
    );

    let bench = Bench::with_shards(1).await;
    let foreign = Table::of([held(7, "gone")]).await;
    let output = bench
        .run(&foreign.command(&["doctor", "--stream", "s", "--once"]))
        .await;
    let text = ok(&output);
    let command = format!(
        "kclctl leases delete shardId-000000000007 --app a --lease-table {}",
        foreign.name
    );
    assert!(
        text.contains("lease_without_shard") && text.contains(&command),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn given_an_application_of_several_streams_when_examined_then_each_is_asked_and_findings_say_of_which() {
    let (bench, table) = (Bench::with_shards(1).await, Table::new());
    ok(&bench.run(&["stream", "create", "t", "--shards", "2"]).await);
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/t";
    bench.consume(&["--stream", "t", "--lease-table", &table.name]).await;
    let doctor = ["doctor", "--once", "--stream", "s", "--stream", arn, "--json"];
    let healthy = json(&ok(&bench.run(&table.command(&doctor)).await));
    assert_eq!(healthy["findings"], serde_json::json!([]));

    let rows = table.json(&["list"]).await;
    let rows: Vec<&Value> = rows["leases"].as_array().unwrap().iter().collect();
    let gone = rows
        .iter()
        .find(|row| row["lease_key"].as_str().unwrap().contains(":t:"))
        .unwrap();
    ok(&table
        .run(&["delete", gone["lease_key"].as_str().unwrap(), "--yes"])
        .await);
    let report = json(&stdout(&bench.run(&table.command(&doctor)).await));
    let findings = report["findings"].as_array().unwrap();
    let codes: Vec<&str> = findings.iter().map(|found| found["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["hash_range_hole", "shard_without_lease"]);
    assert!(
        findings.iter().all(|found| found["stream"] == gone["stream"]),
        "{report}"
    );
    let text = ok(&bench.run(&table.command(&doctor[..6])).await);
    let of = format!("warning of {}: ", gone["stream"].as_str().unwrap());
    assert!(text.contains(&of), "{text}");

    let one = Table::of([held(0, "w1")]).await;
    let refused = error(&bench.run(&one.command(&doctor)).await, 2);
    assert!(refused.contains("reads one stream"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_wrong_seek_when_examined_then_the_doctor_names_it_and_the_seek_that_mends_it() {
    let (bench, table) = (Bench::with_shards(1).await, Table::new());
    ok(&bench.put(&[], "x\n").await);
    bench.consume(&["--lease-table", &table.name]).await;
    ok(&table.run(&["seek", ZERO, "--to", "7", "--yes"]).await);
    let doctor = ["doctor", "--stream", "s", "--once", "--json"];
    let report = json(&ok(&bench.run(&table.command(&doctor)).await));
    let found = &report["findings"][0];
    assert_eq!(found["code"], "checkpoint_outside_shard", "{report}");
    let mend = found["command"].as_str().unwrap();
    assert!(
        mend.starts_with(&format!("kclctl leases seek {ZERO} --to trim-horizon --app a ")),
        "{mend}"
    );
    let words: Vec<&str> = mend.split(' ').skip(1).chain(["--yes"]).collect();
    ok(&bench.run(&words).await);
    assert_eq!(bench.consume(&["--lease-table", &table.name]).await.len(), 1);
}

fn range((start, end): (&str, &str)) -> HashKeyRange {
    HashKeyRange {
        start: start.parse().unwrap(),
        end: end.parse().unwrap(),
    }
}
