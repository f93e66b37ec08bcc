//! `kclctl consume` and `kclctl leases`.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Relaxed},
};

use kcl_broker::Broker;
use kcl_core::Timestamp;

use crate::common::{Bench, Running, error, json, kclctl, ok, run, run_with, stderr, within};

/// 2013-01-01T12:00:00Z.
const NOON: i64 = 1_357_041_600_000;
const MINUTE: i64 = 60_000;

struct Table {
    _directory: tempfile::TempDir,
    name: String,
}

impl Table {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let name = format!("sqlite:{}", directory.path().join("leases.db").display());
        Self {
            _directory: directory,
            name,
        }
    }

    async fn leases(&self) -> serde_json::Value {
        json(&ok(&run(&[
            "leases",
            "--app",
            "a",
            "--lease-table",
            &self.name,
            "--json",
        ])
        .await))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_records_when_replayed_then_those_of_the_time_come_as_consume_writes_them_and_it_ends() {
    let bench = Bench::with_shards(2).await;
    ok(&bench.put(&["--key", "k"], "x\ny\n").await);
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let replay = async |arguments: &[&str]| bench.run(&[&["replay", "--stream", "s"][..], arguments].concat()).await;
    let lines = ok(&replay(&[]).await);
    let data: Vec<_> = lines.lines().map(|line| json(line)["data"].clone()).collect();
    assert_eq!(data, ["x", "y"]);
    assert_eq!(ok(&replay(&["--until", "2013-01-01T10:00:00Z"]).await), "");
    error(&replay(&["--until", "9000-01-01T10:00:00Z"]).await, 2);
    error(
        &replay(&["--from", "2013-01-01T10:00:00Z", "--until", "2012-01-01T10:00:00Z"]).await,
        2,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn given_records_of_two_times_when_replayed_from_one_until_the_other_then_only_those_between_come() {
    let clock = Arc::new(AtomicI64::new(NOON));
    let time = Arc::clone(&clock);
    let broker = Broker::builder().clock(Arc::new(move || Timestamp::from_epoch_millis(time.load(Relaxed))));
    let bench = Bench::of(broker.build(), 2).await;
    for (minute, record) in (0..).zip(["a\n", "b\n", "c\n", "d\n"]) {
        clock.store(NOON + minute * MINUTE, Relaxed);
        ok(&bench.put(&["--key", "k"], record).await);
    }
    clock.store(NOON + 10 * MINUTE, Relaxed);
    let replay = async |arguments: &[&str]| -> Vec<String> {
        let lines = ok(&bench.run(&[&["replay", "--stream", "s"][..], arguments].concat()).await);
        lines
            .lines()
            .map(|line| json(line)["data"].as_str().unwrap().to_owned())
            .collect()
    };
    let (one, three) = ("2013-01-01T12:01:00Z", "2013-01-01T12:03:00Z");
    assert_eq!(replay(&["--from", one, "--until", three]).await, ["b", "c"]);
    assert_eq!(replay(&["--from", one]).await, ["b", "c", "d"]);
    assert_eq!(replay(&["--until", three]).await, ["a", "b", "c"]);
    let (four, five) = ("2013-01-01T12:04:00Z", "2013-01-01T12:05:00Z");
    assert_eq!(replay(&["--from", four, "--until", five]).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_lanes_when_consumed_then_every_record_comes_once_and_keys_keep_their_order() {
    let bench = Bench::with_shards(2).await;
    for key in ["k", "l", "m"] {
        ok(&bench.put(&["--key", key], "1\n2\n3\n").await);
    }
    for lanes in ["hashed:4", "per-key:8"] {
        let table = Table::new();
        let records = bench.consume(&["--lanes", lanes, "--lease-table", &table.name]).await;
        assert_eq!(records.len(), 9, "{lanes}");
        for key in ["k", "l", "m"] {
            let of_key = records.iter().filter(|record| record["partition_key"] == key);
            assert!(
                of_key.map(|record| &record["data"]).eq(["1", "2", "3"]),
                "{lanes} {key}"
            );
        }
        assert!(
            bench
                .consume(&["--lanes", lanes, "--lease-table", &table.name])
                .await
                .is_empty()
        );
    }
    let consume = ["consume", "--stream", "s", "--app", "a", "--lanes"];
    let told = error(&bench.run(&[&consume[..], &["hashed:0"]].concat()).await, 2);
    assert!(told.contains("lanes"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_by_signal_checkpoints_and_gives_the_leases_back() {
    let (bench, table) = (Bench::with_shards(2).await, Table::new());
    for signal in ["TERM", "INT"] {
        ok(&bench.put(&["--key", signal], "x\ny\n").await);
        let mut consumer = bench.start(&["--lease-table", &table.name, "--worker-id", "w"]);
        assert_eq!(json(&consumer.line().await)["data"], "x");
        assert_eq!(json(&consumer.line().await)["data"], "y");
        consumer.signal(signal).await;
        let output = consumer.end().await;
        assert_eq!((ok(&output).as_str(), output.status.code()), ("", Some(0)));

        let leases = table.leases().await;
        let leases = leases["leases"].as_array().unwrap();
        assert_eq!(leases.len(), 2);
        assert!(leases.iter().all(|lease| lease["owner"].is_null()), "{leases:?}");
        assert!(
            leases
                .iter()
                .any(|lease| lease["checkpoint"].as_str().unwrap().starts_with("49")),
            "{leases:?}"
        );
    }
    // Everything was checkpointed: nothing comes again.
    assert!(bench.consume(&["--lease-table", &table.name]).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_runs_the_leases_tell_who_it_is() {
    let (bench, table) = (Bench::with_shards(1).await, Table::new());
    ok(&bench.put(&[], "x\n").await);
    let mut consumer = bench.start(&["--lease-table", &table.name, "--worker-id", "worker-7"]);
    consumer.line().await;
    assert_eq!(table.leases().await["leases"][0]["owner"], "worker-7");
    let shown = ok(&run(&["leases", "--app", "a", "--lease-table", &table.name]).await);
    let mut lines = shown.lines();
    assert!(lines.next().unwrap().split_whitespace().eq([
        "SHARD",
        "OWNER",
        "CHECKPOINT",
        "COUNTER",
        "PARENTS",
        "CHILDREN",
        "PASSED",
        "TO"
    ]));
    let row: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[1], row.len()), ("shardId-000000000000", "worker-7", 7));
    consumer.signal("TERM").await;
    ok(&consumer.end().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_when_its_reader_goes_away_and_checkpoints_nothing_that_was_not_read() {
    let (bench, table) = (Bench::with_shards(1).await, Table::new());
    // More than a pipe holds, so that the write is under way when the reader leaves.
    ok(&bench
        .put(&["--key", "k"], format!("{}\n", "x".repeat(50_000)).repeat(20))
        .await);
    let mut consumer = bench.start(&["--lease-table", &table.name]);
    consumer.line().await;
    drop(consumer.lines);
    let output = within(consumer.child.wait_with_output()).await.unwrap();
    ok(&output);
    let leases = table.leases().await;
    assert!(leases["leases"][0]["owner"].is_null());
    assert_eq!(leases["leases"][0]["checkpoint"], "TRIM_HORIZON");
    assert_eq!(bench.consume(&["--lease-table", &table.name]).await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_when_its_reader_goes_away_though_nothing_is_to_be_written() {
    let bench = Bench::with_shards(1).await;
    ok(&bench.put(&[], "x\n").await);
    let mut consumer = bench.start(&[]);
    consumer.line().await;
    drop(consumer.lines);
    ok(&within(consumer.child.wait_with_output()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_does_not_wait_for_a_reader_that_sleeps() {
    let bench = Bench::with_shards(1).await;
    ok(&bench
        .put(&["--key", "k"], format!("{}\n", "x".repeat(50_000)).repeat(20))
        .await);
    let mut consumer = bench.start(&[]);
    // From here on nobody reads: the write of the batch is stuck.
    consumer.line().await;
    consumer.signal("TERM").await;
    let mut log = tokio::io::BufReader::new(consumer.child.stderr.take().unwrap());
    let mut seen = String::new();
    while !seen.contains("stop") {
        within(tokio::io::AsyncBufReadExt::read_line(&mut log, &mut seen))
            .await
            .unwrap();
    }
    consumer.signal("TERM").await;
    let status = within(consumer.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn children_follow_their_parents() {
    let bench = Bench::with_shards(1).await;
    ok(&bench.put(&["--key", "k"], "before\n").await);
    let split = bench
        .run(&["stream", "split", "s", "--shard", "shardId-000000000000"])
        .await;
    assert_eq!(
        ok(&split),
        "split shardId-000000000000 into shardId-000000000001 and shardId-000000000002\n"
    );
    ok(&bench.put(&["--key", "k"], "between\n").await);
    let (left, right) = ("shardId-000000000001", "shardId-000000000002");
    let merged = bench
        .run(&["stream", "merge", "s", "--shard", left, "--with", right])
        .await;
    assert_eq!(
        ok(&merged),
        format!("merged {left} and {right} into shardId-000000000003\n")
    );
    ok(&bench.put(&["--key", "k"], "after\n").await);
    let records = bench.consume(&[]).await;
    let data: Vec<&str> = records.iter().map(|record| record["data"].as_str().unwrap()).collect();
    assert_eq!(data, ["before", "between", "after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_can_be_a_time_or_the_tip() {
    let bench = Bench::with_shards(1).await;
    ok(&bench.put(&[], "x\n").await);
    assert_eq!(bench.consume(&["--from", "2013-01-01T10:00:00Z"]).await.len(), 1);
    assert_eq!(bench.consume(&["--from", "TRIM_HORIZON"]).await.len(), 1);
    assert!(bench.consume(&["--from", "latest"]).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_served() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let bench = Bench::with_shards(1).await;
    ok(&bench.put(&[], "x\n").await);
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let mut consumer = bench.start(&["--metrics", &address]);
    consumer.line().await;
    let mut scrape = String::new();
    while !scrape.contains("kcl_records_total{") {
        let mut connection = within(tokio::net::TcpStream::connect(&address)).await.unwrap();
        connection
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        scrape.clear();
        within(connection.read_to_string(&mut scrape)).await.unwrap();
    }
    assert!(scrape.contains("kcl_handler_seconds_bucket{"), "{scrape}");

    let taken = bench
        .run(&["consume", "--stream", "s", "--app", "b", "--metrics", &address])
        .await;
    let message = error(&taken, 1);
    assert!(
        message.starts_with(&format!("error: metrics cannot be served at {address}: ")),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_consumed_is_told_clearly() {
    let bench = Bench::with_shards(1).await;
    let unknown = error(&bench.run(&["consume", "--stream", "none", "--app", "a"]).await, 1);
    assert!(unknown.contains("kclctl stream create none --shards 1"), "{unknown}");

    let range = error(
        &bench
            .run(&["consume", "--stream", "s", "--app", "a", "--failover-time", "1ms"])
            .await,
        2,
    );
    assert!(range.contains("failover_time is 1ms: use 500 ms to 1 h"), "{range}");

    let region = error(&run(&["consume", "--stream", "s", "--app", "a"]).await, 2);
    assert!(region.contains("no AWS region is known"), "{region}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_tables_that_cannot_be_used_are_told_clearly() {
    let bench = Bench::with_shards(1).await;
    let directory = tempfile::tempdir().unwrap();
    let corrupt = directory.path().join("corrupt.db");
    std::fs::write(&corrupt, "not a database ".repeat(100)).unwrap();
    let corrupt = format!("sqlite:{}", corrupt.display());
    for command in [&["consume", "--stream", "s"][..], &["leases"]] {
        let arguments = [command, &["--app", "a", "--lease-table", &corrupt]].concat();
        let message = error(&bench.run(&arguments).await, 1);
        assert!(message.contains("corrupt.db is not an SQLite database"), "{message}");
    }
    let message = error(
        &bench
            .run(&[
                "consume",
                "--stream",
                "s",
                "--app",
                "a",
                "--lease-table",
                "sqlite:/nowhere/leases.db",
            ])
            .await,
        1,
    );
    assert!(message.contains("its directory does not exist"), "{message}");
    let absent = directory.path().join("absent.db");
    let table = format!("sqlite:{}", absent.display());
    let message = error(&run(&["leases", "--app", "a", "--lease-table", &table]).await, 1);
    assert!(message.contains("absent.db does not exist"), "{message}");
    assert!(!absent.exists());
    let message = error(&run(&["leases", "--app", "a", "--lease-table", "memory"]).await, 2);
    assert!(message.contains("sqlite:PATH"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_stays_out_of_the_logs() {
    let bench = Bench::with_shards(1).await;
    ok(&bench.put(&["--key", "secret-key"], "secret-data\n").await);
    let arguments = [
        "consume",
        "--stream",
        "s",
        "--app",
        "a",
        "--until-idle",
        "0s",
        "--log",
        "trace",
    ];
    let output = bench.run(&arguments).await;
    assert!(ok(&output).contains("secret-data"));
    let log = stderr(&output);
    assert!(
        log.contains("DEBUG") && !log.contains("secret-key") && !log.contains("secret-data"),
        "{log}"
    );
    assert!(!log.contains("c2VjcmV0LWRhdGE"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_names_the_endpoint_too() {
    let bench = Bench::with_shards(1).await;
    for variable in ["KCL_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS"] {
        let mut command = kclctl(&["stream", "list"]);
        let output = within(command.env(variable, &bench.endpoint).output()).await.unwrap();
        assert_eq!(ok(&output), "s\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_a_stream() {
    let (bench, table) = (Bench::with_shards(4).await, Table::new());
    let text: String = (0..400).map(|n| format!("{n}\n")).collect();
    ok(&bench.put(&[], text).await);
    let arguments = ["--lease-table", table.name.as_str(), "--until-idle", "500ms"];
    let (one, two) = (bench.start(&arguments), bench.start(&arguments));
    let (one, two) = tokio::join!(Running::end(one), Running::end(two));
    let lines = ok(&one) + &ok(&two);
    let mut numbers: Vec<u32> = lines
        .lines()
        .map(|line| json(line)["data"].as_str().unwrap().parse().unwrap())
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..400).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_streams_are_read_by_name_and_by_arn_and_go_on_where_they_were() {
    let (bench, table) = (Bench::with_shards(2).await, Table::new());
    ok(&bench.run(&["stream", "create", "t", "--shards", "1"]).await);
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/t";
    let put = async |s: &str, t: &str| {
        ok(&bench.put(&[], format!("{s}\n")).await);
        let arguments = ["put", "--stream", "t", "--endpoint", &bench.endpoint];
        ok(&run_with(&arguments, format!("{t}\n")).await);
    };
    put("a", "b").await;
    let arguments = ["--stream", arn, "--lease-table", &table.name];
    let lines = bench.consume(&arguments).await;
    let mut got: Vec<(&str, &str)> = lines
        .iter()
        .map(|line| (line["stream"].as_str().unwrap(), line["data"].as_str().unwrap()))
        .collect();
    got.sort_unstable();
    assert_eq!(got, [("s", "a"), ("t", "b")]);

    let leases = table.leases().await;
    let leases = leases["leases"].as_array().unwrap();
    assert_eq!(leases.len(), 3);
    for lease in leases {
        let (stream, shard) = (lease["stream"].as_str().unwrap(), lease["shard_id"].as_str().unwrap());
        assert!(stream.starts_with("000000000000:"), "{stream}");
        assert_eq!(lease["lease_key"], format!("{stream}:{shard}"));
        assert!(lines.iter().all(|line| line["stream_id"].is_string()));
    }

    put("c", "d").await;
    // The order of the streams, and how they are named, do not matter.
    let again = bench.consume(&["--stream", "t", "--lease-table", &table.name]).await;
    assert_eq!(again.len(), 2);
    let one = bench.consume(&["--multi-stream", "--lease-table", &table.name]).await;
    assert_eq!(one, [""; 0], "one of them is read to its end");
    let alone = ["consume", "--stream", "s", "--app", "a", "--lease-table", &table.name];
    let refused = error(&bench.run(&alone).await, 1);
    assert!(refused.contains("several streams"), "{refused}");
    let nonsense = [&alone[..], &["--stream", "arn:aws:s3:::bucket"]].concat();
    assert!(error(&bench.run(&nonsense).await, 2).contains("stream ARN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn given_one_of_several_streams_that_is_not_there_when_consumed_then_the_others_are_read_and_it_is_when_it_comes()
{
    let bench = Bench::with_shards(1).await;
    ok(&bench.put(&[], "a\n").await);
    let several = ["--stream", "later", "--shard-sync-interval", "1s"];
    let mut running = bench.start(&several);
    assert_eq!(json(&running.line().await)["data"], "a");
    ok(&bench.run(&["stream", "create", "later", "--shards", "1"]).await);
    let put = ["put", "--stream", "later", "--endpoint", &bench.endpoint];
    ok(&run_with(&put, "b\n").await);
    assert_eq!(json(&running.line().await)["stream"], "later");
    running.signal("TERM").await;
    let output = running.end().await;
    ok(&output);
    let told = stderr(&output);
    assert!(
        told.contains("the stream later does not exist at http://127.0.0.1:"),
        "{told}"
    );
    assert!(told.contains("It is looked for again and again"), "{told}");

    // It would never be idle.
    let consume = [
        "consume",
        "--stream",
        "s",
        "--stream",
        "nowhere",
        "--app",
        "b",
        "--until-idle",
        "100ms",
    ];
    let refused = error(&bench.run(&consume).await, 1);
    assert!(refused.contains("nowhere does not exist"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_java_kcl_are_put_to_cloudwatch_or_written_as_lines() {
    let broker = kcl_broker::Broker::new();
    let bench = Bench::of(broker.clone(), 1).await;
    ok(&bench.put(&[], "a\nb\n").await);
    bench
        .consume(&["--cloudwatch-metrics", "put", "--cloudwatch-namespace", "dash"])
        .await;
    let data = broker.metric_data();
    let records = data
        .iter()
        .find(|datum| datum.metric_name == "RecordsProcessed")
        .unwrap();
    assert_eq!((&*records.namespace, records.statistics.sum), ("dash", 2.0));

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("metrics.emf");
    let emf = format!("emf:{}", path.display());
    let few = [
        "--cloudwatch-metrics",
        &emf,
        "--cloudwatch-level",
        "summary",
        "--cloudwatch-dimensions",
        "Operation",
    ];
    bench.consume(&few).await;
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().map(json).collect();
    let process = lines.iter().find(|line| line["Operation"] == "ProcessTask").unwrap();
    assert_eq!(
        process["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
        serde_json::json!([["Operation"]])
    );
    assert_eq!(process["_aws"]["CloudWatchMetrics"][0]["Namespace"], "a");
    assert!(
        process["RecordsProcessed"].is_number() || process["RecordsProcessed"]["Sum"] == 2.0,
        "{process}"
    );
    assert!(!text.contains("RenewLease"), "{text}");

    for (wrong, part) in [
        (&["--cloudwatch-metrics", "nowhere"][..], "emf:PATH"),
        (
            &["--cloudwatch-metrics", "put", "--cloudwatch-dimensions", "Host"],
            "WorkerIdentifier",
        ),
    ] {
        let consume = [&["consume", "--stream", "s", "--app", "a"][..], wrong].concat();
        let output = run(&consume).await;
        assert!(
            output.status.code() == Some(2) && stderr(&output).contains(part),
            "{}",
            stderr(&output)
        );
    }
}
