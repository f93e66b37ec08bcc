//! `kclctl broker`, `kclctl stream`, and what all commands have in common.

use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::common::{Bench, Running, error, json, kclctl, ok, run, stderr, stdout, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_tells_its_address_and_ends_on_a_signal() {
    for signal in ["TERM", "INT"] {
        let mut broker = Running::start(&mut kclctl(&["broker", "--listen", "127.0.0.1:0"]));
        let line = broker.line().await;
        let endpoint = line.strip_prefix("listening on ").unwrap();
        assert!(endpoint.starts_with("http://127.0.0.1:"), "{endpoint}");
        ok(&run(&["stream", "create", "s", "--shards", "2", "--endpoint", endpoint]).await);
        broker.signal(signal).await;
        assert_eq!(broker.end().await.status.code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_tls_is_trusted_by_whoever_has_its_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("broker.pem");
    let arguments = [
        "broker",
        "--listen",
        "127.0.0.1:0",
        "--tls",
        "--tls-cert-out",
        file.to_str().unwrap(),
    ];
    let mut broker = Running::start(&mut kclctl(&arguments));
    let line = broker.line().await;
    let endpoint = line.strip_prefix("listening on ").unwrap();
    assert!(endpoint.starts_with("https://127.0.0.1:"), "{endpoint}");
    let create = ["stream", "create", "s", "--shards", "2", "--endpoint", endpoint];
    assert!(error(&run(&create).await, 1).contains("certificate"));
    ok(&within(kclctl(&create).env("SSL_CERT_FILE", &file).output())
        .await
        .unwrap());
    broker.signal("TERM").await;
    assert_eq!(broker.end().await.status.code(), Some(0));

    let nowhere = directory.path().join("none/broker.pem");
    let output = run(&["broker", "--tls", "--tls-cert-out", nowhere.to_str().unwrap()]).await;
    assert!(error(&output, 1).starts_with(&format!(
        "error: the certificate cannot be written to {}",
        nowhere.display()
    )));
    run(&["broker", "--tls-cert-out", "x"])
        .await
        .status
        .code()
        .filter(|code| *code == 2)
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["broker", "--listen", &address]).await;
    let expected = format!("error: the broker cannot listen at {address}: Address already in use (os error 98)");
    assert_eq!(error(&output, 1), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_live_and_die() {
    let bench = Bench::with_shards(2).await;
    assert_eq!(
        ok(&bench.run(&["stream", "create", "t"]).await),
        "created t with 1 shard\n"
    );
    assert_eq!(ok(&bench.run(&["stream", "list"]).await), "s\nt\n");
    assert_eq!(
        json(&ok(&bench.run(&["stream", "list", "--json"]).await))["streams"][1],
        "t"
    );
    let exists = error(&bench.run(&["stream", "create", "t", "--shards", "1"]).await, 1);
    assert!(exists.contains("the stream t exists already"), "{exists}");
    assert_eq!(ok(&bench.run(&["stream", "delete", "t"]).await), "deleted t\n");
    for command in ["delete", "describe"] {
        let unknown = error(&bench.run(&["stream", command, "t"]).await, 1);
        assert!(unknown.contains("the stream t does not exist"), "{unknown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_described() {
    let bench = Bench::with_shards(1).await;
    let half = (1_u128 << 127).to_string();
    ok(&bench
        .run(&["stream", "split", "s", "--shard", "shardId-000000000000"])
        .await);
    let described = json(&ok(&bench.run(&["stream", "describe", "s", "--json"]).await));
    assert_eq!(
        (&described["stream"], &described["status"]),
        (&json("\"s\""), &json("\"ACTIVE\""))
    );
    assert_eq!(described["open_shards"], 2);
    let shards = described["shards"].as_array().unwrap();
    assert_eq!(
        (&shards[0]["open"], &shards[2]["open"]),
        (&json("false"), &json("true"))
    );
    assert_eq!(shards[2]["parents"][0], "shardId-000000000000");
    assert_eq!(shards[2]["hash_key_range"]["start"], half.as_str());

    let shown = ok(&bench.run(&["stream", "describe", "s"]).await);
    let row = shown
        .lines()
        .find(|line| line.contains("shardId-000000000002"))
        .unwrap();
    let row: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(
        (row.len(), row[1], row[2]),
        (5, "open", "shardId-000000000000"),
        "{shown}"
    );
    assert!(row[3].starts_with(&half), "{shown}");

    let closed = error(
        &bench
            .run(&["stream", "split", "s", "--shard", "shardId-000000000000"])
            .await,
        1,
    );
    assert!(closed.contains("is closed"), "{closed}");
    let unknown = error(
        &bench
            .run(&["stream", "split", "s", "--shard", "shardId-000000000009"])
            .await,
        1,
    );
    assert!(unknown.contains("has no shard shardId-000000000009"), "{unknown}");
    let at = [
        "stream",
        "split",
        "s",
        "--shard",
        "shardId-000000000001",
        "--at",
        "12345",
    ];
    ok(&bench.run(&at).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_help() {
    let commands: [&[&str]; 35] = [
        &[],
        &["broker"],
        &["stream"],
        &["stream", "create"],
        &["stream", "delete"],
        &["stream", "list"],
        &["stream", "describe"],
        &["stream", "split"],
        &["stream", "merge"],
        &["stream", "scale"],
        &["stream", "retention"],
        &["stream", "mode"],
        &["consumer"],
        &["consumer", "register"],
        &["consumer", "list"],
        &["consumer", "describe"],
        &["consumer", "deregister"],
        &["tag"],
        &["tag", "add"],
        &["tag", "remove"],
        &["tag", "list"],
        &["put"],
        &["consume"],
        &["leases"],
        &["leases", "list"],
        &["leases", "watch"],
        &["leases", "release"],
        &["leases", "seek"],
        &["leases", "delete"],
        &["leases", "doctor"],
        &["fault"],
        &["fault", "add"],
        &["fault", "list"],
        &["fault", "clear"],
        &["operations"],
    ];
    for command in commands {
        let help = ok(&run(&[command, &["--help"]].concat()).await);
        assert!(help.contains("Usage: kclctl") && help.contains("--endpoint"), "{help}");
    }
    for (command, text) in [
        (&[][..], "Exit codes:"),
        (&["broker"], "listening on http://ADDRESS"),
        (&["put"], "the first row names the fields"),
        (&["consume"], "`data_base64`"),
        (&["leases"], "Without a command it is `list`"),
        (&["leases", "list"], "no file is created"),
        (&["leases", "doctor"], "The exit code is 0"),
    ] {
        assert!(
            stdout(&run(&[command, &["--help"]].concat()).await).contains(text),
            "{command:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_has_a_code_of_its_own() {
    for arguments in [
        &["consume", "--stream", "s"][..],
        &[
            "consume",
            "--stream",
            "s p",
            "--app",
            "a",
            "--endpoint",
            "http://localhost:1",
        ],
        &["stream", "list", "--endpoint", "localhost:4567"],
        &["consume", "--stream", "s", "--app", "a", "--lease-table", "redis:t"],
        &["put", "--stream", "s", "--key", "a", "--key-field", "b"],
        &["stream", "list", "--log", "a=b=c"],
        &["nothing"],
    ] {
        assert_eq!(run(arguments).await.status.code(), Some(2), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_an_account_and_a_region_when_a_broker_has_them_then_streams_by_arn_are_found_there_only() {
    let place = ["--account", "123456789012", "--region", "eu-west-1"];
    let mut broker = Running::start(&mut kclctl(
        &[&["broker", "--listen", "127.0.0.1:0"][..], &place].concat(),
    ));
    let line = broker.line().await;
    let endpoint = line.strip_prefix("listening on ").unwrap();
    ok(&run(&["stream", "create", "s", "--endpoint", endpoint]).await);
    let consume = async |arn: &str| {
        let consume = [
            "consume",
            "--stream",
            arn,
            "--app",
            "a",
            "--until-idle",
            "100ms",
            "--endpoint",
            endpoint,
        ];
        run(&consume).await
    };
    ok(&consume("arn:aws:kinesis:eu-west-1:123456789012:stream/s").await);
    let other = consume("arn:aws:kinesis:eu-west-1:000000000000:stream/s").await;
    assert!(error(&other, 1).contains("the stream s does not exist"));
    broker.signal("TERM").await;
    ok(&broker.end().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_settings_in_the_environment_when_the_usage_is_wrong_then_its_line_does_not_ask_for_them() {
    let mut command = kclctl(&["stream", "create"]);
    command
        .env("KCL_ENDPOINT", "http://127.0.0.1:1")
        .env("RUST_LOG", "warn");
    let told = stderr(&within(command.output()).await.unwrap());
    assert!(told.contains("Usage: kclctl stream create <NAME>\n"), "{told}");

    let mut command = kclctl(&["stream", "list"]);
    let nonsense = within(command.env("KCL_ENDPOINT", "nonsense").output()).await.unwrap();
    assert!(error(&nonsense, 2).contains("KCL_ENDPOINT: \"nonsense\" is not an address"));
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_service_that_is_away_when_consumed_then_the_log_names_its_address() {
    let mut command = kclctl(&["consume", "--stream", "s", "--app", "a", "--lease-table", "dynamodb"]);
    let mut running = command.env("KCL_ENDPOINT", "http://127.0.0.1:1").spawn().unwrap();
    let mut lines = BufReader::new(running.stderr.take().unwrap()).lines();
    let reading = within(lines.next_line()).await.unwrap().unwrap();
    assert!(reading.contains("reading from http://127.0.0.1:1"), "{reading}");
    let failing = within(lines.next_line()).await.unwrap().unwrap();
    assert!(
        failing.contains("cannot be opened") && failing.contains("place=\"http://127.0.0.1:1\""),
        "{failing}"
    );
}
