//! What the SQLite store does beyond the promises of every store: a readable table, applications apart, busy files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kcl_checkpoint::{SqliteConfig, SqliteLeaseStore};
use kcl_core::{
    ApplicationName, Expect, Lease, LeaseStore, LeaseWrite, PendingCheckpoint, Position, RecordPosition, Session,
    ShardId, StoreError, StoreOperation, WorkerId, WriteOutcome,
};
use rusqlite::{Connection, types::Value};
use tempfile::TempDir;

fn application(name: &str) -> ApplicationName {
    ApplicationName::new(name).unwrap()
}

fn shard(number: u32) -> ShardId {
    ShardId::new(format!("shardId-{number:012}")).unwrap()
}

fn lease(number: u32) -> Lease {
    Lease::new(shard(number), Position::TrimHorizon)
}

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("leases.db");
    (directory, path)
}

async fn open(path: &Path) -> SqliteLeaseStore {
    SqliteLeaseStore::open(path, application("billing")).await.unwrap()
}

async fn create(store: &SqliteLeaseStore, lease: &Lease) {
    assert_eq!(store.create(lease).await.unwrap(), WriteOutcome::Applied(lease.clone()));
}

fn record(digits: &str, sub_sequence_number: u64) -> Position {
    Position::Record(RecordPosition {
        sequence_number: digits.parse().unwrap(),
        sub_sequence_number,
    })
}

#[tokio::test]
async fn rows_outlive_the_store() {
    let (_directory, path) = directory();
    create(&open(&path).await, &lease(0)).await;
    assert_eq!(open(&path).await.list().await.unwrap().leases, [Arc::new(lease(0))]);
}

#[tokio::test]
async fn applications_in_one_file_do_not_see_each_other() {
    let (_directory, path) = directory();
    let billing = open(&path).await;
    let audit = SqliteLeaseStore::open(&path, application("audit")).await.unwrap();
    create(&billing, &lease(0)).await;
    assert_eq!(audit.list().await.unwrap().leases, []);
    assert_eq!(audit.get(&lease(0).key).await.unwrap(), None);
    let renewal = LeaseWrite::renew(&lease(0), None);
    assert_eq!(audit.update(&renewal).await.unwrap(), WriteOutcome::Conflict(None));
    assert_eq!(
        audit.delete(&lease(0).key, &Expect::exists()).await.unwrap(),
        WriteOutcome::Conflict(None)
    );
    create(&audit, &lease(0)).await;
    assert!(audit.update(&renewal).await.is_ok());
    assert_eq!(billing.list().await.unwrap().leases, [Arc::new(lease(0))]);
}

#[tokio::test]
async fn the_table_can_be_read_by_a_person() {
    let (_directory, path) = directory();
    let store = open(&path).await;
    let mut written = lease(7).with_parents([shard(1), shard(2)]);
    written.owner = Some(WorkerId::new("worker-1").unwrap());
    written.session = Some(Session(0xbeef));
    written.counter = 12;
    written.checkpoint = record("4959033827149025660855", 3);
    written.pending_checkpoint = Some(PendingCheckpoint {
        position: Position::AtTimestamp("2013-01-01T10:00:00.250Z".parse().unwrap()),
        state: Some("half".into()),
    });
    create(&store, &written).await;

    let by_hand = Connection::open(&path).unwrap();
    let text = |text: &str| Value::Text(text.to_owned());
    for (column, wanted) in [
        ("application", text("billing")),
        ("lease_key", text("shardId-000000000007")),
        ("shard_id", text("shardId-000000000007")),
        ("owner", text("worker-1")),
        ("session", text("000000000000beef")),
        ("counter", Value::Integer(12)),
        ("checkpoint", text("4959033827149025660855")),
        ("checkpoint_sub_sequence_number", Value::Integer(3)),
        ("checkpoint_timestamp", Value::Null),
        ("pending_checkpoint", text("AT_TIMESTAMP")),
        ("pending_checkpoint_timestamp", Value::Integer(1_357_034_400_250)),
        ("pending_checkpoint_state", Value::Blob(b"half".to_vec())),
        ("checkpoint_owner", Value::Null),
        ("parents", text(r#"["shardId-000000000001","shardId-000000000002"]"#)),
        ("children", text("[]")),
        ("ending_hash_key", Value::Null),
    ] {
        let found: Value = by_hand
            .query_row(&format!("SELECT {column} FROM leases"), [], |row| row.get(0))
            .unwrap();
        assert_eq!(found, wanted, "{column}");
    }
}

#[tokio::test]
async fn unsigned_numbers_keep_all_their_bits() {
    let (_directory, path) = directory();
    let store = open(&path).await;
    let mut largest = lease(0);
    largest.counter = u64::MAX;
    largest.session = Some(Session(u64::MAX));
    largest.owner_switches_since_checkpoint = u64::MAX;
    largest.checkpoint = record("1", u64::MAX);
    create(&store, &largest).await;
    assert_eq!(store.get(&largest.key).await.unwrap(), Some(largest.clone()));
    let WriteOutcome::Applied(renewed) = store.update(&LeaseWrite::renew(&largest, None)).await.unwrap() else {
        panic!("the renewal was refused");
    };
    assert_eq!(renewed.counter, 0);
}

#[tokio::test]
async fn a_row_that_is_no_lease_is_listed_beside_the_others() {
    let changes = [
        ("checkpoint = 'SOMEWHERE'", "checkpoint"),
        ("checkpoint = 'AT_TIMESTAMP'", "timestamp"),
        ("owner = ''", "owner"),
        ("session = 'xyz'", "session"),
        ("parents = '{'", "parents"),
        ("children = '[\"no shard\"]'", "children"),
        ("starting_hash_key = '0'", "ending_hash_key"),
        ("starting_hash_key = '-1', ending_hash_key = '5'", "starting_hash_key"),
        ("pending_checkpoint = '007'", "pending_checkpoint"),
        ("shard_id = 'no shard'", "shard_id"),
        ("owner = CAST(X'ff' AS TEXT)", "owner"),
    ];
    for (change, named) in changes {
        let (_directory, path) = directory();
        let store = open(&path).await;
        for number in 0..3 {
            create(&store, &lease(number)).await;
        }
        let sql = format!("UPDATE leases SET {change} WHERE lease_key = '{}'", lease(1).key);
        Connection::open(&path).unwrap().execute_batch(&sql).unwrap();

        let listing = store.list().await.unwrap();
        assert_eq!(listing.leases, [Arc::new(lease(0)), Arc::new(lease(2))], "{change}");
        let [unreadable] = listing.unreadable.as_slice() else {
            panic!("{change}: {:?}", listing.unreadable);
        };
        assert_eq!(unreadable.key, lease(1).key.as_str());
        assert!(unreadable.reason.contains(named), "{change}: {}", unreadable.reason);

        let message = store.get(&lease(1).key).await.unwrap_err().to_string();
        assert!(
            message.contains("shardId-000000000001") && message.contains(named),
            "{message}"
        );
        assert!(store.update(&LeaseWrite::renew(&lease(1), None)).await.is_err());
        assert!(store.update(&LeaseWrite::renew(&lease(2), None)).await.is_ok());
    }
}

#[tokio::test]
async fn a_row_with_an_unreadable_key_is_listed_beside_the_others() {
    let (_directory, path) = directory();
    let store = open(&path).await;
    create(&store, &lease(0)).await;
    create(&store, &lease(1)).await;
    let sql = "UPDATE leases SET lease_key = 'a' || char(10) WHERE lease_key LIKE '%1'";
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let listing = store.list().await.unwrap();
    assert_eq!(listing.leases, [Arc::new(lease(0))]);
    assert_eq!(listing.unreadable[0].key, "a\n");
}

#[tokio::test]
async fn a_busy_file_is_unavailable_and_works_again_afterwards() {
    for inline in [false, true] {
        let (_directory, path) = directory();
        let mut config = SqliteConfig::default();
        config.busy_timeout = Duration::from_millis(1);
        config.inline = inline;
        let store = SqliteLeaseStore::open_with(&path, application("billing"), config)
            .await
            .unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let busy = store.create(&lease(0)).await.unwrap_err();
        assert!(
            matches!(
                busy,
                StoreError::Unavailable {
                    operation: StoreOperation::Create,
                    ..
                }
            ),
            "{busy}"
        );
        let source = std::error::Error::source(&busy).unwrap().to_string();
        assert!(source.contains("leases.db"), "{source}");
        assert_eq!(
            store.list().await.unwrap().leases,
            [],
            "readers do not wait for a writer"
        );
        other.execute_batch("ROLLBACK").unwrap();
        create(&store, &lease(0)).await;
    }
}

#[tokio::test]
async fn a_new_file_that_is_locked_is_unavailable() {
    let (_directory, path) = directory();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let mut config = SqliteConfig::default();
    config.busy_timeout = Duration::from_millis(1);
    let busy = SqliteLeaseStore::open_with(&path, application("billing"), config)
        .await
        .unwrap_err();
    assert!(
        matches!(
            busy,
            StoreError::Unavailable {
                operation: StoreOperation::Open,
                ..
            }
        ),
        "{busy}"
    );
    other.execute_batch("ROLLBACK").unwrap();
    create(&open(&path).await, &lease(0)).await;
}

/// SQLite does not wait for a writer when it switches the journal mode: the store has to.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how long the call waits is what is tested")]
async fn the_switch_to_the_write_ahead_log_waits_for_a_writer() {
    let (_directory, path) = directory();
    create(&open(&path).await, &lease(0)).await;
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("PRAGMA journal_mode = DELETE; BEGIN IMMEDIATE")
        .unwrap();
    let mut config = SqliteConfig::default();
    config.busy_timeout = Duration::from_millis(50);
    let started = std::time::Instant::now();
    let busy = SqliteLeaseStore::open_with(&path, application("billing"), config.clone()).await;
    assert!(
        started.elapsed() >= config.busy_timeout,
        "it gave up after {:?}",
        started.elapsed()
    );
    assert!(busy.unwrap_err().is_retryable());

    let opening = tokio::spawn(async move { open(&path).await.list().await.unwrap() });
    tokio::task::yield_now().await;
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(opening.await.unwrap().leases, [Arc::new(lease(0))]);
}

#[tokio::test]
async fn an_abandoned_call_leaves_the_store_usable() {
    let (_directory, path) = directory();
    let store = open(&path).await;
    for number in 0..20 {
        let abandoned = lease(number);
        let mut call = Box::pin(store.create(&abandoned));
        assert!(futures_poll_once(&mut call).await.is_none_or(|answer| answer.is_ok()));
    }
    create(&store, &lease(100)).await;
    assert!(store.list().await.is_ok());
}

/// Polls `future` once, as a `select!` does whose other branch is ready.
async fn futures_poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! {
        biased;
        done = future => Some(done),
        () = std::future::ready(()) => None,
    }
}

#[test]
fn calls_work_without_a_tokio_runtime() {
    let (_directory, path) = directory();
    let mut calls = Box::pin(async {
        let store = open(&path).await;
        create(&store, &lease(0)).await;
        store.list().await.unwrap().leases.len()
    });
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert_eq!(calls.as_mut().poll(&mut context), std::task::Poll::Ready(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_connections_open_a_new_file_at_once() {
    for _ in 0..20 {
        let (_directory, path) = directory();
        let mut opening = tokio::task::JoinSet::new();
        for number in 0..8 {
            let path = path.clone();
            opening.spawn(async move {
                let store = open(&path).await;
                create(&store, &lease(number)).await;
                store
            });
        }
        let stores = opening.join_all().await;
        for store in stores {
            assert_eq!(store.list().await.unwrap().leases.len(), 8);
        }
    }
}
