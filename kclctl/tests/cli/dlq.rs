//! `kclctl dlq`.

use kcl_core::{ApplicationName, Batch, Record, ShardId, StreamName, Timestamp, delivery::DiscardReason};
use kcl_runtime::dead_letter::{DeadLetter, DeadLetters as _, SqliteDeadLetters};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Bench, error, json, ok, run};

/// A file of dead letters.
struct Store {
    directory: TempDir,
    letters: SqliteDeadLetters,
}

impl Store {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let letters = SqliteDeadLetters::open(directory.path().join("dlq.db")).await.unwrap();
        Self { directory, letters }
    }

    fn path(&self) -> String {
        self.directory.path().join("dlq.db").display().to_string()
    }

    /// Keeps a record of the stream `s`.
    async fn keep(&self, number: u64, key: &str, data: &[u8], reason: DiscardReason) {
        self.keep_of("a", number, key, data, reason).await;
    }

    async fn keep_of(&self, app: &str, number: u64, key: &str, data: &[u8], reason: DiscardReason) {
        let at = Timestamp::from_epoch_millis(1_357_034_400_000);
        let record = Record::new(number.to_string().parse().unwrap(), key, at, data.to_vec());
        let (stream, shard) = (
            StreamName::new("s").unwrap(),
            ShardId::new("shardId-000000000000").unwrap(),
        );
        let batch = Batch::new(stream, shard, vec![record]);
        let mut letter = DeadLetter::new(ApplicationName::new(app).unwrap(), batch, reason, at);
        letter.error = Some("two\nlines".to_owned());
        letter.attempts = 3;
        letter.quarantines = key.starts_with("bad");
        self.letters.keep(&letter).await.unwrap();
    }

    async fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let path = self.path();
        let list = ["dlq", "list", "--json", "--store", &path];
        let listed = json(&ok(&run(&[&list[..], arguments].concat()).await));
        listed["letters"].as_array().unwrap().clone()
    }

    fn with<'a>(path: &'a str, command: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
        [&["dlq", command, "--store", path], arguments].concat()
    }
}

const EXHAUSTED: DiscardReason = DiscardReason::RetryAttemptsExhausted;

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_listed_and_shown_whole() {
    let store = Store::new().await;
    store.keep(9, "k", b"text", EXHAUSTED).await;
    store.keep(10, "k", b"\xff\xfe", DiscardReason::PayloadTooLarge).await;
    let path = store.path();
    let table = ok(&run(&Store::with(&path, "list", &[])).await);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(
        lines[1].contains("RetryAttemptsExhausted") && lines[1].contains("two lines"),
        "{table}"
    );

    let one = store.list(&["--reason", "PayloadTooLarge"]).await;
    assert_eq!(
        (one.len(), &one[0]["letter"], &one[0]["first"]),
        (1, &json!(2), &json!("10"))
    );
    assert_eq!(store.list(&["--key", "other"]).await.len(), 0);
    let shown = json(&ok(&run(&Store::with(&path, "show", &["1"])).await));
    assert_eq!(shown["content"][0]["data"], "text");
    assert_eq!(shown["history"][0]["error"], "two\nlines");
    let shown = json(&ok(&run(&Store::with(&path, "show", &["2"])).await));
    assert_eq!(shown["content"][0]["data_base64"], "//4=");
    let unknown = error(&run(&Store::with(&path, "show", &["7"])).await, 1);
    assert!(unknown.contains("there is no letter 7"), "{unknown}");
    let missing = error(&run(&Store::with("/nowhere.db", "list", &[])).await, 1);
    assert!(missing.contains("/nowhere.db does not exist"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_says_what_it_would_do_and_puts_records_in_the_order_of_their_keys() {
    let bench = Bench::with_shards(2).await;
    let store = Store::new().await;
    for number in (0..20).rev() {
        store
            .keep(
                number,
                ["a", "b"][(number % 2) as usize],
                number.to_string().as_bytes(),
                EXHAUSTED,
            )
            .await;
    }
    let path = store.path();
    let refused = bench.run(&Store::with(&path, "redrive", &[])).await;
    assert!(error(&refused, 2).contains("give --yes to do it"));
    let planned = ok(&bench
        .run(&Store::with(&path, "redrive", &["--dry-run", "--json"]))
        .await);
    let stream = &json(&planned)["streams"][0];
    let counts = (&stream["records"], &stream["keys"], &stream["keys_in_quarantine"]);
    assert_eq!(counts, (&json!(20), &json!(2), &json!(0)));
    assert_eq!(store.list(&[]).await.len(), 20);

    let done = ok(&bench
        .run(&Store::with(&path, "redrive", &["--yes", "--limit", "4"]))
        .await);
    assert_eq!(done, "put 4 records, 4 bytes; released 0 keys\n");
    assert_eq!(store.list(&[]).await.len(), 16);
    let done = json(&ok(&bench
        .run(&Store::with(&path, "redrive", &["--yes", "--json"]))
        .await));
    assert_eq!((&done["records"], &done["released"]), (&json!(16), &json!(0)));
    assert!(store.list(&[]).await.is_empty());
    let records = bench.consume(&[]).await;
    assert_eq!(records.len(), 20);
    for (key, parity) in [("a", 0), ("b", 1)] {
        let of_key = records.iter().filter(|record| record["partition_key"] == key);
        let numbers: Vec<u32> = of_key
            .map(|record| record["data"].as_str().unwrap().parse().unwrap())
            .collect();
        assert_eq!(
            numbers,
            (0..20).filter(|number| number % 2 == parity).collect::<Vec<_>>(),
            "{key}"
        );
    }
    assert_eq!(
        ok(&bench.run(&Store::with(&path, "redrive", &["--yes"])).await),
        "nothing to do\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_is_of_one_application_and_keeps_what_the_stream_does_not_take() {
    let bench = Bench::with_shards(1).await;
    let store = Store::new().await;
    store.keep_of("a", 1, "k", b"1", EXHAUSTED).await;
    store.keep_of("b", 1, "k", b"1", EXHAUSTED).await;
    let path = store.path();
    let several = error(&bench.run(&Store::with(&path, "redrive", &["--yes"])).await, 1);
    assert!(
        several.contains("several applications (a, b): choose one with --app"),
        "{several}"
    );
    let arguments = ["--yes", "--app", "a", "--to", "none"];
    let unknown = error(&bench.run(&Store::with(&path, "redrive", &arguments)).await, 1);
    assert!(
        unknown.contains("PutRecords for none was refused (ResourceNotFoundException)"),
        "{unknown}"
    );
    assert_eq!(store.list(&[]).await.len(), 2);
    // Too large for the stream: the record is named, and kept.
    store.keep_of("c", 7, "large", &vec![0; 2 << 20], EXHAUSTED).await;
    store.keep_of("c", 8, "small", b"8", EXHAUSTED).await;
    let rejected = error(
        &bench
            .run(&Store::with(&path, "redrive", &["--yes", "--app", "c"]))
            .await,
        1,
    );
    assert!(
        rejected.contains("s does not take the record 7 of the dead letters"),
        "{rejected}"
    );
    assert_eq!(store.list(&["--key", "large"]).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_removes_what_is_meant_and_no_more() {
    let store = Store::new().await;
    store.keep(1, "a", b"1", EXHAUSTED).await;
    store.keep(2, "b", b"2", EXHAUSTED).await;
    let path = store.path();
    let all = error(&run(&Store::with(&path, "purge", &["--yes"])).await, 2);
    assert!(all.contains("say which records to remove, or --all"), "{all}");
    ok(&run(&Store::with(&path, "purge", &["--all", "--dry-run"])).await);
    assert_eq!(store.list(&[]).await.len(), 2);
    let done = ok(&run(&Store::with(&path, "purge", &["--key", "a", "--yes"])).await);
    assert_eq!(done, "removed 1 record\n");
    assert_eq!(store.list(&[]).await[0]["partition_key"], "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_in_quarantine_are_shown_and_released() {
    let store = Store::new().await;
    store.keep(1, "bad", b"1", EXHAUSTED).await;
    let path = store.path();
    let keys = json(&ok(&run(&Store::with(&path, "keys", &["--json"])).await));
    assert_eq!(keys["keys"][0]["partition_key"], "bad");
    let none = ok(&run(&Store::with(&path, "release", &["--yes", "good"])).await);
    assert_eq!(none, "nothing to do\n");
    let released = ok(&run(&Store::with(&path, "release", &["--yes", "bad"])).await);
    assert_eq!(released, "released 1 key\n");
    assert_eq!(
        ok(&run(&Store::with(&path, "keys", &[])).await),
        "no key is in quarantine\n"
    );
    assert_eq!(store.list(&[]).await.len(), 1, "what is kept stays");
}
