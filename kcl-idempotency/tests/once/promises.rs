//! What every store promises.

use std::time::Duration;

use futures::future::join_all;
use kcl_core::Timestamp;
use kcl_idempotency::{
    Begun, IdempotencyStore, IdempotencyStoreError, Lock, MemoryIdempotencyStore, Recorded, SqliteIdempotencyStore,
};

use super::{LOCKED, NOON, REMEMBERED, at, claim, completion};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// Checks every promise with two clients of one memory.
pub(crate) async fn keeps_every_promise(one: impl IdempotencyStore, other: impl IdempotencyStore) {
    work_is_begun_once_and_its_result_kept(&one, &other).await;
    one_of_many_starts(&one, &other).await;
    an_expired_lock_is_taken_over(&one, &other).await;
    who_lost_the_lock_removes_nothing(&one, &other).await;
    the_first_result_stands(&one, &other).await;
    a_removed_row_is_completed(&one, &other).await;
    other_work_under_the_key_is_found(&one, &other).await;
}

async fn start(store: &impl IdempotencyStore, key: &str, now: Timestamp) -> Lock {
    match store.begin(&claim(key, now)).await.unwrap() {
        Begun::Started(lock) => lock,
        other => panic!("{key} did not start: {other:?}"),
    }
}

async fn work_is_begun_once_and_its_result_kept(one: &impl IdempotencyStore, other: &impl IdempotencyStore) {
    let lock = start(one, "kept", NOON).await;
    assert_eq!(lock.until, at(LOCKED));
    let until = Some(lock.until);
    for store in [
        one.begin(&claim("kept", at(SECOND))).await,
        other.begin(&claim("kept", at(SECOND))).await,
    ] {
        assert_eq!(store.unwrap(), Begun::InProgress { until });
    }
    let done = completion(lock, r#"{"cents":7}"#, at(SECOND));
    assert_eq!(one.complete(&done).await.unwrap(), Recorded::Stored);
    let kept = Begun::Completed(Some(r#"{"cents":7}"#.to_owned()));
    assert_eq!(other.begin(&claim("kept", at(2 * LOCKED))).await.unwrap(), kept);
    let last = at(SECOND + REMEMBERED);
    assert_eq!(
        other.begin(&claim("kept", last)).await.unwrap(),
        kept,
        "its last second counts"
    );
    start(other, "kept", last.saturating_add(SECOND)).await;
}

async fn one_of_many_starts(one: &impl IdempotencyStore, other: &impl IdempotencyStore) {
    let claim = claim("raced", NOON);
    let begun = join_all((0..20).flat_map(|_| [one.begin(&claim), futures_of(other, &claim)])).await;
    let started = begun.iter().filter(|begun| matches!(begun, Ok(Begun::Started(_))));
    assert_eq!(started.count(), 1, "{begun:?}");
}

/// The same type of future for both stores.
fn futures_of<'a>(
    store: &'a impl IdempotencyStore,
    claim: &'a kcl_idempotency::Claim,
) -> std::pin::Pin<Box<dyn Future<Output = Result<Begun, IdempotencyStoreError>> + Send + 'a>> {
    store.begin(claim)
}

async fn an_expired_lock_is_taken_over(one: &impl IdempotencyStore, other: &impl IdempotencyStore) {
    let lock = start(one, "expired", NOON).await;
    let begun = other.begin(&claim("expired", lock.until)).await.unwrap();
    assert!(
        matches!(begun, Begun::InProgress { .. }),
        "its last millisecond counts: {begun:?}"
    );
    let taken = start(other, "expired", lock.until.saturating_add(MILLI)).await;
    assert!(taken.until > lock.until);
}

async fn who_lost_the_lock_removes_nothing(one: &impl IdempotencyStore, other: &impl IdempotencyStore) {
    let lost = start(one, "lost", NOON).await;
    let taken = start(other, "lost", at(2 * LOCKED)).await;
    one.forget(&lost).await.unwrap();
    let begun = one.begin(&claim("lost", at(2 * LOCKED))).await.unwrap();
    assert_eq!(
        begun,
        Begun::InProgress {
            until: Some(taken.until)
        }
    );
    other.forget(&taken).await.unwrap();
    let again = start(one, "lost", at(2 * LOCKED + SECOND)).await;
    one.complete(&completion(again.clone(), "1", at(2 * LOCKED + SECOND)))
        .await
        .unwrap();
    one.forget(&again).await.unwrap();
    let begun = one.begin(&claim("lost", at(2 * LOCKED + SECOND))).await.unwrap();
    assert_eq!(
        begun,
        Begun::Completed(Some("1".to_owned())),
        "results are not forgotten"
    );
}

async fn the_first_result_stands(one: &impl IdempotencyStore, other: &impl IdempotencyStore) {
    let slow = start(one, "twice", NOON).await;
    let taken = start(other, "twice", at(2 * LOCKED)).await;
    let slowly = completion(slow, r#""slow""#, at(2 * LOCKED));
    assert_eq!(one.complete(&slowly).await.unwrap(), Recorded::Stored, "it was done");
    let second = other
        .complete(&completion(taken.clone(), r#""second""#, at(2 * LOCKED)))
        .await
        .unwrap();
    assert_eq!(second, Recorded::Earlier(Some(r#""slow""#.to_owned())));
    other.forget(&taken).await.unwrap();
    let begun = other.begin(&claim("twice", at(2 * LOCKED))).await.unwrap();
    assert_eq!(begun, Begun::Completed(Some(r#""slow""#.to_owned())));
}

async fn a_removed_row_is_completed(one: &impl IdempotencyStore, other: &impl IdempotencyStore) {
    let lock = start(one, "removed", NOON).await;
    other.forget(&lock).await.unwrap();
    assert_eq!(
        one.complete(&completion(lock, "1", NOON)).await.unwrap(),
        Recorded::Stored
    );
    let begun = other.begin(&claim("removed", NOON)).await.unwrap();
    assert_eq!(begun, Begun::Completed(Some("1".to_owned())));
}

async fn other_work_under_the_key_is_found(one: &impl IdempotencyStore, other: &impl IdempotencyStore) {
    let with = |validation: Option<&str>| {
        let validation = validation.map(str::to_owned);
        let claim = claim("validated", NOON);
        kcl_idempotency::Claim { validation, ..claim }
    };
    let Begun::Started(lock) = one.begin(&with(Some("a"))).await.unwrap() else {
        panic!("it did not start")
    };
    assert_eq!(
        other.begin(&with(Some("b"))).await.unwrap(),
        Begun::Mismatch,
        "while in progress"
    );
    let mut done = completion(lock, "1", NOON);
    done.validation = Some("a".to_owned());
    one.complete(&done).await.unwrap();
    assert_eq!(
        other.begin(&with(Some("b"))).await.unwrap(),
        Begun::Mismatch,
        "when completed"
    );
    for same in [Some("a"), None] {
        assert_eq!(
            other.begin(&with(same)).await.unwrap(),
            Begun::Completed(Some("1".to_owned()))
        );
    }
}

#[tokio::test]
async fn given_memory_when_the_suite_runs_then_every_promise_is_kept() {
    let store = MemoryIdempotencyStore::new();
    keeps_every_promise(store.clone(), store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn given_one_sqlite_file_when_two_connections_run_the_suite_then_every_promise_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("done.db");
    let (one, other) = tokio::join!(SqliteIdempotencyStore::open(&path), SqliteIdempotencyStore::open(&path));
    keeps_every_promise(one.unwrap(), other.unwrap()).await;
}

#[tokio::test]
async fn given_expired_rows_when_others_begin_then_the_file_does_not_grow() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("done.db");
    let store = SqliteIdempotencyStore::open(&path).await.unwrap();
    for number in 0..20 {
        start(&store, &format!("old-{number}"), NOON).await;
    }
    for number in 0..5 {
        start(&store, &format!("new-{number}"), at(2 * REMEMBERED)).await;
    }
    let rows: u32 = rusqlite::Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM idempotency", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 5);
}

#[tokio::test]
async fn given_a_file_that_is_no_database_when_it_is_opened_then_the_error_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(
        &path,
        "a note that is longer than the header of a database would be, if it were one; it is not",
    )
    .unwrap();
    let error = SqliteIdempotencyStore::open(&path).await.unwrap_err();
    assert!(!error.is_retryable());
    assert!(
        error.to_string().contains("notes.txt is not an SQLite database"),
        "{error}"
    );
}
