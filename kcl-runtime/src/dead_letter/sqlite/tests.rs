use kcl_core::{
    ApplicationName, Batch, HashKey, Position, Record, ShardId, StreamName, Timestamp, delivery::DiscardReason,
};
use tempfile::TempDir;

use super::*;

const AT: Timestamp = Timestamp::from_epoch_millis(1_357_034_400_000);

struct Bench {
    directory: TempDir,
    letters: SqliteDeadLetters,
}

impl Bench {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let letters = SqliteDeadLetters::open(directory.path().join("letters.db"))
            .await
            .unwrap();
        Self { directory, letters }
    }

    /// The file as another process sees it.
    async fn again(&self) -> SqliteDeadLetters {
        let path = self.directory.path().join("letters.db");
        SqliteDeadLetters::open(path).await.unwrap()
    }

    async fn all(&self) -> Vec<KeptLetter> {
        let mut letters = Vec::new();
        for summary in self.letters.list(&Selection::default()).await.unwrap() {
            letters.extend(self.letters.get(summary.id).await.unwrap());
        }
        letters
    }

    async fn keys(&self, shard: &str) -> Vec<ByteString> {
        self.letters.quarantined(&context(shard)).await.unwrap()
    }
}

fn record(number: u64, key: &str) -> Record {
    Record::new(number.to_string().parse().unwrap(), key, AT, format!("data {number}"))
}

fn letter(records: Vec<Record>, reason: DiscardReason) -> DeadLetter {
    let batch = Batch::new(
        StreamName::new("orders").unwrap(),
        ShardId::new("shardId-0").unwrap(),
        records,
    );
    DeadLetter::new(ApplicationName::new("billing").unwrap(), batch, reason, AT)
}

fn failed(records: Vec<Record>, error: &str) -> DeadLetter {
    DeadLetter {
        attempts: 3,
        error: Some(error.to_owned()),
        ..letter(records, DiscardReason::RetryAttemptsExhausted)
    }
}

fn quarantining(letter: DeadLetter) -> DeadLetter {
    DeadLetter {
        quarantines: true,
        ..letter
    }
}

fn context(shard: &str) -> ShardContext {
    ShardContext {
        application: ApplicationName::new("billing").unwrap(),
        stream: StreamName::new("orders").unwrap(),
        stream_id: None,
        shard: ShardId::new(shard).unwrap(),
        checkpoint: Position::TrimHorizon,
        pending_checkpoint: None,
    }
}

#[tokio::test]
async fn given_a_letter_when_it_is_kept_then_another_process_finds_every_bit_of_it() {
    let bench = Bench::new().await;
    let mut inner = record(7, "ключ");
    inner.sub_sequence_number = 3;
    inner.aggregated = true;
    inner.explicit_hash_key = Some(HashKey(u128::MAX));
    inner.data = vec![0, 0xff, b'\n'].into();
    let records = vec![record(7, "a"), inner];
    bench.letters.keep(&failed(records.clone(), "no")).await.unwrap();
    let other = bench.again().await;
    let listed = other.list(&Selection::default()).await.unwrap();
    let kept = other.get(listed[0].id).await.unwrap().unwrap();
    assert_eq!(kept.records, records);
    let summary = kept.summary;
    assert_eq!((summary.records, summary.bytes, summary.has_other_keys), (2, 9, true));
    assert_eq!(summary.last.to_string(), records[1].position().to_string());
    assert_eq!(
        (summary.of.application.as_str(), summary.of.stream.as_str()),
        ("billing", "orders")
    );
    assert_eq!((summary.shard.as_str(), summary.first_kept), ("shardId-0", AT));
    let last = summary.last_try;
    assert_eq!(
        (last.reason.as_str(), last.attempts, last.error.as_deref()),
        ("RetryAttemptsExhausted", 3, Some("no"))
    );
}

#[tokio::test]
async fn given_a_letter_when_it_comes_twice_then_it_is_kept_once() {
    let bench = Bench::new().await;
    let letter = failed(vec![record(1, "a")], "no");
    bench.letters.keep(&letter).await.unwrap();
    bench.again().await.keep(&letter).await.unwrap();
    let all = bench.all().await;
    assert_eq!((all.len(), all[0].records.len(), all[0].tries.len()), (1, 1, 1));
}

#[tokio::test]
async fn given_records_that_are_read_again_when_they_are_given_up_in_other_batches_then_each_is_kept_once() {
    let bench = Bench::new().await;
    let first = failed(vec![record(9, "a"), record(10, "b")], "first");
    bench.letters.keep(&first).await.unwrap();
    let second = failed(vec![record(10, "b"), record(11, "a")], "second");
    bench.letters.keep(&second).await.unwrap();
    let all = bench.all().await;
    let numbers = |letter: &KeptLetter| {
        letter
            .records
            .iter()
            .map(|record| record.sequence_number.to_string())
            .collect()
    };
    let found: Vec<Vec<String>> = all.iter().map(numbers).collect();
    assert_eq!(found, [vec!["9", "10"], vec!["11"]], "in numeric order, none twice");
    let errors: Vec<_> = all[0].tries.iter().filter_map(|a_try| a_try.error.as_deref()).collect();
    assert_eq!(
        errors,
        ["first", "second"],
        "the history of the first letter tells of both"
    );
}

#[tokio::test]
async fn given_several_processes_when_they_keep_at_the_same_time_then_nothing_is_lost() {
    let bench = Bench::new().await;
    let mut keeping = tokio::task::JoinSet::new();
    for process in 0..4 {
        let letters = bench.again().await;
        keeping.spawn(async move {
            for number in 0..25 {
                let letter = failed(vec![record(process * 100 + number, "a")], "no");
                letters.keep(&letter).await.unwrap();
            }
        });
    }
    keeping.join_all().await;
    assert_eq!(bench.all().await.len(), 100);
}

#[tokio::test]
async fn given_a_key_in_quarantine_when_it_is_released_then_stragglers_do_not_put_it_back_and_failures_do() {
    let bench = Bench::new().await;
    let poison = quarantining(failed(vec![record(1, "bad")], "no"));
    bench.letters.keep(&poison).await.unwrap();
    assert_eq!(bench.keys("shardId-0").await, ["bad"]);
    assert_eq!(bench.keys("shardId-1").await, ["bad"], "children of the shard wait too");
    let of = bench.letters.quarantined_keys().await.unwrap()[0].of.clone();
    assert_eq!(bench.letters.release(&of, &["bad".into()]).await.unwrap(), 1);
    assert!(bench.keys("shardId-0").await.is_empty());
    let follower = quarantining(letter(vec![record(2, "bad")], DiscardReason::Quarantined));
    bench.letters.keep(&follower).await.unwrap();
    assert!(bench.keys("shardId-0").await.is_empty());
    assert_eq!(bench.all().await.len(), 2, "what followed is kept all the same");
    let again = quarantining(failed(vec![record(3, "bad")], "no"));
    bench.letters.keep(&again).await.unwrap();
    assert_eq!(bench.keys("shardId-0").await, ["bad"]);
}

#[tokio::test]
async fn given_letters_when_some_are_purged_then_the_others_stay() {
    let bench = Bench::new().await;
    bench
        .letters
        .keep(&failed(vec![record(1, "a"), record(2, "b")], "no"))
        .await
        .unwrap();
    let late = DeadLetter {
        at: Timestamp::from_epoch_millis(AT.epoch_millis() + 1_000),
        ..letter(vec![record(3, "a")], DiscardReason::RecordAgeExceeded)
    };
    bench.letters.keep(&late).await.unwrap();
    let count = |selection: Selection| {
        let letters = bench.letters.clone();
        async move { letters.list(&selection).await.unwrap().len() }
    };
    let all = Selection::default;
    assert_eq!(
        count(Selection {
            reason: Some("RecordAgeExceeded".into()),
            ..all()
        })
        .await,
        1
    );
    assert_eq!(
        count(Selection {
            from: Some(late.at),
            ..all()
        })
        .await,
        1
    );
    assert_eq!(
        count(Selection {
            until: Some(late.at),
            ..all()
        })
        .await,
        1
    );
    assert_eq!(
        count(Selection {
            keys: vec!["b".into()],
            ..all()
        })
        .await,
        1
    );
    assert_eq!(
        count(Selection {
            shard: Some(ShardId::new("shardId-9").unwrap()),
            ..all()
        })
        .await,
        0
    );
    assert_eq!(
        count(Selection {
            application: Some(ApplicationName::new("x").unwrap()),
            ..all()
        })
        .await,
        0
    );
    let of_a = Selection {
        keys: vec!["a".into()],
        ..all()
    };
    assert_eq!(bench.letters.purge(&of_a).await.unwrap(), 2);
    let left = bench.all().await;
    assert_eq!(
        (left.len(), left[0].records[0].data.as_ref()),
        (1, b"data 2".as_slice())
    );
}

#[tokio::test]
async fn given_a_file_that_is_not_ours_when_it_is_opened_then_the_error_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let open = async |name: &str| SqliteDeadLetters::open(path(name)).await.map(drop).unwrap_err();
    let set = |name: &str, pragma: &str| {
        let connection = rusqlite::Connection::open(path(name)).unwrap();
        connection.execute_batch(pragma).unwrap();
    };

    set("foreign.db", "CREATE TABLE t (x)");
    assert!(open("foreign.db").await.to_string().contains("of another program"));
    std::fs::write(path("text.db"), "hello").unwrap();
    assert!(open("text.db").await.to_string().contains("is not an SQLite database"));
    drop(SqliteDeadLetters::open(path("new.db")).await.unwrap());
    set("new.db", "PRAGMA user_version = 2");
    let newer = open("new.db").await;
    assert!(
        matches!(
            newer,
            DeadLetterError::NewerSchema {
                version: 2,
                known: 1,
                ..
            }
        ),
        "{newer}"
    );
    assert!(!newer.is_retryable());
    let config = SqliteDeadLettersConfig {
        create: false,
        ..Default::default()
    };
    let missing = SqliteDeadLetters::open_with(path("missing.db"), config)
        .await
        .map(drop)
        .unwrap_err();
    assert!(missing.to_string().contains("does not exist"), "{missing}");
    assert!(!path("missing.db").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn given_a_file_that_is_deleted_while_it_is_open_when_a_letter_comes_then_it_is_not_kept_silently() {
    let bench = Bench::new().await;
    std::fs::remove_file(bench.directory.path().join("letters.db")).unwrap();
    let error = bench
        .letters
        .keep(&failed(vec![record(1, "a")], "no"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("was deleted, moved or replaced"), "{error}");
}
