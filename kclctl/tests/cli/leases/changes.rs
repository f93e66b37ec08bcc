//! Releasing, seeking, deleting.

use kcl_core::{LeaseStore as _, LeaseWrite, Position, WriteOutcome};

use super::{ONE, SOON, Table, ZERO, error_text, finished, free, held, shard};
use crate::common::{Bench, error, json, ok, stderr, within};

#[tokio::test(flavor = "multi_thread")]
async fn given_a_stopped_application_when_sought_back_then_its_records_come_again() {
    let (bench, table) = (Bench::with_shards(1).await, Table::new());
    ok(&bench.put(&["--key", "k"], "x\ny\n").await);
    let consume = ["--lease-table", table.name.as_str()];
    let records = bench.consume(&consume).await;
    assert_eq!(records.len(), 2);
    let last = records[1]["sequence_number"].as_str().unwrap();

    let seek = ["seek", "--all", "--to", "trim-horizon"];
    let planned = table.json(&[&seek[..], &["--dry-run"]].concat()).await;
    assert_eq!(planned["dry_run"], true);
    assert_eq!(planned["changes"][0]["result"], "planned");
    assert!(bench.consume(&consume).await.is_empty());

    let done = table.json(&[&seek[..], &["--yes"]].concat()).await;
    let change = &done["changes"][0];
    assert_eq!(
        (&change["lease_key"], &change["after"]),
        (&ZERO.into(), &"TRIM_HORIZON".into())
    );
    assert_eq!((&change["before"], &change["result"]), (&last.into(), &"done".into()));
    assert_eq!(bench.consume(&consume).await.len(), 2);

    let first = records[0]["sequence_number"].as_str().unwrap();
    let asks = ["--yes", "--endpoint", bench.endpoint.as_str()];
    ok(&table.run(&[&["seek", ZERO, "--to", first][..], &asks].concat()).await);
    let again = bench.consume(&consume).await;
    assert_eq!((again.len(), &again[0]["data"]), (1, &"y".into()));

    ok(&table.run(&[&seek[..], &["--yes"]].concat()).await);
    ok(&table.run(&["seek", "--all", "--to", "latest", "--yes"]).await);
    assert!(bench.consume(&consume).await.is_empty());
    let nothing = ok(&table.run(&["seek", "--all", "--to", "latest", "--dry-run"]).await);
    assert!(
        nothing.contains("LATEST") || nothing.contains("nothing to do"),
        "{nothing}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_time_in_the_future_when_sought_then_it_is_wrong_usage_and_nothing_changes() {
    let table = Table::of([free(0)]).await;
    let message = error(
        &table
            .run(&["seek", "--all", "--to", "9000-01-01T00:00:00Z", "--yes"])
            .await,
        2,
    );
    assert!(message.contains("future"), "{message}");
    assert_eq!(table.row(0).await.unwrap(), free(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_worker_that_lives_when_sought_then_it_keeps_its_lease_and_goes_on_there() {
    let (bench, table) = (Bench::with_shards(1).await, Table::new());
    ok(&bench.put(&[], "x\n").await);
    let arguments = [
        "--lease-table",
        &table.name,
        "--worker-id",
        "w1",
        "--failover-time",
        "2s",
    ];
    let mut consumer = bench.start(&arguments);
    consumer.line().await;
    let owner = || async { table.row(0).await.unwrap().owner };
    let before = owner().await;
    ok(&table.run(&["seek", "--all", "--to", "trim-horizon", "--yes"]).await);
    assert_eq!(json(&consumer.line().await)["data"], "x");
    assert_eq!(owner().await, before);
    let asks = ["--yes", "--endpoint", bench.endpoint.as_str()];
    let elsewhere = table.run(&[&["seek", ZERO, "--to", "7"][..], &asks].concat()).await;
    error_text(&elsewhere, 1, "no place");

    // What is paused is not read, and goes on from the exact place.
    ok(&table.run(&["pause", "--all", "--yes"]).await);
    assert!(table.row(0).await.unwrap().paused.is_some());
    assert!(ok(&table.run(&["list"]).await).contains("paused since"));
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    ok(&bench.put(&[], "y\n").await);
    ok(&table.run(&["resume", "--all", "--yes"]).await);
    assert_eq!(json(&consumer.line().await)["data"], "y");
    consumer.signal("TERM").await;
    ok(&consumer.end().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_holder_that_is_gone_when_sought_then_it_cannot_write_over_it() {
    let table = Table::of([held(0, "gone"), finished(1)]).await;
    let sought = [&["seek", "--all", "--to", "latest", "--yes"][..], &SOON].concat();
    let done = table.json(&sought).await;
    assert_eq!(done["changes"].as_array().unwrap().len(), 1);
    let row = table.row(0).await.unwrap();
    // The counter moved, so that a worker that only slept finds its next write refused, and the count of seeks tells it why.
    assert_eq!((row.seeks, &row.checkpoint), (1, &Position::Latest));
    assert!(row.counter > held(0, "gone").counter);
    // What is finished stays so unless it is asked for.
    assert!(table.row(1).await.unwrap().is_finished());
    error_text(
        &table.run(&["seek", ONE, "--to", "latest", "--yes"]).await,
        1,
        "--finished",
    );
    ok(&table
        .run(&["seek", ONE, "--to", "trim-horizon", "--finished", "--yes"])
        .await);
    assert_eq!(table.row(1).await.unwrap().checkpoint, Position::TrimHorizon);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_holder_that_would_not_notice_when_sought_then_it_has_to_be_gone_or_is_taken_from_by_force() {
    let mut row = held(0, "java");
    row.session = None;
    let table = Table::of([row.clone()]).await;
    let store = table.store().await;
    let renewing = tokio::spawn(async move {
        loop {
            if let WriteOutcome::Applied(now) = store.update(&LeaseWrite::renew(&row, None)).await.unwrap() {
                row = now;
            } else {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    let seek = ["seek", "--all", "--to", "trim-horizon", "--yes"];
    let message = error(&table.run(&[&seek[..], &SOON].concat()).await, 1);
    assert!(
        message.contains("java lives") && message.contains("--force"),
        "{message}"
    );
    ok(&table.run(&[&seek[..], &["--force"]].concat()).await);
    renewing.await.unwrap();
    let row = table.row(0).await.unwrap();
    assert_eq!((row.holder(), &row.checkpoint), (None, &Position::TrimHorizon));
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_finished_shard_when_what_follows_stays_then_it_is_not_read_again() {
    let child = free(1).with_parents([shard(0)]);
    let table = Table::of([finished(0), child]).await;
    let seek = ["--to", "trim-horizon", "--finished", "--yes"];
    let alone = table.run(&[&["seek", ZERO][..], &seek].concat()).await;
    error_text(&alone, 1, "follows it");
    ok(&table.run(&[&["seek", "--all"][..], &seek].concat()).await);
    for number in [0, 1] {
        assert_eq!(table.row(number).await.unwrap().checkpoint, Position::TrimHorizon);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_shard_whose_parent_has_a_lease_when_sought_to_the_tip_then_the_time_says_so() {
    let child = free(1).with_parents([shard(0)]);
    let table = Table::of([finished(0), child]).await;
    let output = table.run(&["seek", "--all", "--to", "latest", "--yes"]).await;
    ok(&output);
    assert!(stderr(&output).contains("stands for LATEST"), "{}", stderr(&output));
    let row = table.row(1).await.unwrap();
    assert!(matches!(row.checkpoint, Position::AtTimestamp(_)), "{row:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_live_worker_when_its_lease_is_released_then_another_takes_it_and_nothing_comes_twice() {
    let (bench, table) = (Bench::with_shards(1).await, Table::new());
    ok(&bench.put(&[], "x\n").await);
    let start = |id: &str| bench.start(&["--lease-table", &table.name, "--worker-id", id, "--failover-time", "2s"]);
    let mut first = start("w1");
    assert_eq!(json(&first.line().await)["data"], "x");
    let mut second = start("w2");
    // Both may take what is free, so it may take a few times until it is the other one's turn.
    let takeover = async {
        loop {
            let done = table.json(&["release", "--worker", "w1", "--yes"]).await;
            let results = done["changes"].as_array().unwrap();
            assert!(results.iter().all(|change| change["result"] == "done"), "{done}");
            let row = table.row(0).await.unwrap();
            if row.holder().is_some_and(|holder| holder.as_str() == "w2") && !row.is_in_hand_off() {
                return;
            }
        }
    };
    within(takeover).await;
    ok(&bench.put(&[], "y\n").await);
    assert_eq!(json(&second.line().await)["data"], "y");
    for worker in [first, second] {
        worker.signal("TERM").await;
        assert_eq!(ok(&worker.end().await), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_holder_that_is_gone_when_released_then_its_lease_is_freed_after_the_failover_time() {
    let table = Table::of([held(0, "gone"), free(1)]).await;
    let planned = table.json(&["release", "--all", "--dry-run"]).await;
    assert_eq!(planned["changes"].as_array().unwrap().len(), 1);
    assert!(table.row(0).await.unwrap().holder().is_some());

    let released = [&["release", "--worker", "gone", "--yes"][..], &SOON].concat();
    let done = table.json(&released).await;
    assert_eq!(done["changes"][0]["result"], "done");
    let row = table.row(0).await.unwrap();
    assert_eq!(
        (row.holder(), row.session, &row.checkpoint),
        (None, None, &free(0).checkpoint)
    );
    assert_eq!(ok(&table.run(&["release", ONE, "--yes"]).await), "nothing to do\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_holder_that_does_not_give_back_when_the_time_is_over_then_the_command_fails() {
    let table = Table::of([held(0, "w1")]).await;
    let output = table.run(&["release", ZERO, "--yes", "--timeout", "50ms"]).await;
    assert!(error(&output, 1).contains("1 of 1"), "{}", stderr(&output));
    // It was asked, and nothing was taken from it.
    let row = table.row(0).await.unwrap();
    assert!(row.is_in_hand_off() && row.holder().is_some_and(|holder| holder.as_str() == "w1"));
    ok(&table.run(&["release", ZERO, "--yes", "--force"]).await);
    assert!(table.row(0).await.unwrap().holder().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn given_leases_when_deleted_then_only_those_go_that_nobody_holds() {
    let table = Table::of([held(0, "w1"), free(1), free(2)]).await;
    let message = error(&table.run(&["delete", ZERO, ONE, "--yes"]).await, 1);
    assert!(message.contains("w1") && message.contains("release"), "{message}");
    // One that may not go keeps all.
    assert!(table.row(1).await.is_some());
    let output = table.run(&["delete", ONE, "--yes"]).await;
    assert!(ok(&output).contains("deleted") && stderr(&output).contains("not finished"));
    assert!(table.row(1).await.is_none());
    ok(&table.run(&["delete", ZERO, "--yes", "--force"]).await);
    assert!(table.row(0).await.is_none() && table.row(2).await.is_some());
    assert!(error(&table.run(&["delete", ZERO, "--yes"]).await, 1).contains("there is no lease"));
    // To begin anew.
    ok(&table.run(&["delete", "--all", "--yes"]).await);
    assert!(table.row(2).await.is_none());
}
