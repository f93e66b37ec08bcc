//! Files that are no lease tables, or stop being one: each with an error that says what is wrong and what to do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use kcl_checkpoint::{SqliteConfig, SqliteLeaseStore};
use kcl_core::{ApplicationName, Lease, LeaseStore, LeaseWrite, Position, ShardId, StoreError};
use rusqlite::Connection;
use tempfile::TempDir;

fn application() -> ApplicationName {
    ApplicationName::new("files").unwrap()
}

fn lease(number: u32) -> Lease {
    Lease::new(
        ShardId::new(format!("shardId-{number:012}")).unwrap(),
        Position::TrimHorizon,
    )
}

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("leases.db");
    (directory, path)
}

async fn open(path: &Path) -> Result<SqliteLeaseStore, StoreError> {
    SqliteLeaseStore::open(path, application()).await
}

/// A lease table with enough rows for several pages, with everything in the one file.
async fn write_table(path: &Path, rows: u32) {
    let store = open(path).await.unwrap();
    for number in 0..rows {
        assert!(store.create(&lease(number)).await.is_ok());
    }
}

/// Runs `sql` on the file behind the store's back.
fn by_hand(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

/// That the file at `path` is refused for good, with a message that names it and has every one of `words`.
async fn assert_refused(path: &Path, words: &[&str]) {
    let error = open(path).await.expect_err("the file was accepted");
    assert!(!error.is_retryable(), "{error}");
    let message = error.to_string();
    assert!(
        message.contains(&path.display().to_string()),
        "{message:?} does not name the file"
    );
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
}

#[tokio::test]
async fn a_foreign_database_is_refused_and_not_touched() {
    let (_directory, path) = directory();
    by_hand(
        &path,
        "CREATE TABLE invoices (id INTEGER); INSERT INTO invoices VALUES (1)",
    );
    let before = fs::read(&path).unwrap();
    assert_refused(&path, &["another program", "invoices", "give the path"]).await;
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn an_empty_database_with_the_mark_of_another_program_is_refused() {
    let (_directory, path) = directory();
    by_hand(&path, "PRAGMA application_id = 42");
    assert_refused(&path, &["another program"]).await;
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let (_directory, path) = directory();
    write_table(&path, 1).await;
    by_hand(&path, "PRAGMA user_version = 5");
    assert_refused(&path, &["newer release", "schema 5", "upgrade"]).await;
}

#[tokio::test]
async fn a_table_of_an_earlier_schema_is_completed_and_keeps_its_rows() {
    let third = "ALTER TABLE leases DROP COLUMN shard_start; PRAGMA user_version = 3;";
    let second =
        "ALTER TABLE leases DROP COLUMN seeks; ALTER TABLE leases DROP COLUMN paused_ms; PRAGMA user_version = 2";
    for back in [third.to_owned(), format!("{third}{second}")] {
        let (_directory, path) = directory();
        write_table(&path, 2).await;
        by_hand(&path, &back);
        for _ in 0..2 {
            let store = open(&path).await.unwrap();
            assert_eq!(store.list().await.unwrap(), [lease(0), lease(1)].into_iter().collect());
        }
    }
}

#[tokio::test]
async fn a_schema_that_never_was_is_refused() {
    let (_directory, path) = directory();
    write_table(&path, 1).await;
    by_hand(&path, "PRAGMA user_version = -7");
    assert_refused(&path, &["schema -7", "backup"]).await;
}

#[tokio::test]
async fn a_table_that_was_changed_by_hand_is_refused() {
    let (_directory, path) = directory();
    write_table(&path, 1).await;
    by_hand(&path, "DROP TABLE leases");
    assert_refused(&path, &["changed by hand"]).await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_not_touched() {
    for text in ["x", "stream,shard\n", &"not a database ".repeat(1_000)] {
        let (_directory, path) = directory();
        fs::write(&path, text).unwrap();
        assert_refused(&path, &["is not an SQLite database"]).await;
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let (_directory, path) = directory();
    write_table(&path, 200).await;
    let mut bytes = fs::read(&path).unwrap();
    assert!(bytes.len() > 3 * 4096, "the table has several pages");
    bytes[4096..].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    assert_refused(&path, &["is damaged", "backup"]).await;
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    let (_directory, path) = directory();
    write_table(&path, 200).await;
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..2 * 4096]).unwrap();
    assert_refused(&path, &["is damaged", "backup"]).await;
}

#[tokio::test]
async fn a_directory_is_refused() {
    let (directory, _path) = directory();
    assert_refused(directory.path(), &["is a directory", "give the path of a file"]).await;
}

#[tokio::test]
async fn a_missing_directory_is_refused() {
    let (directory, _path) = directory();
    let path = directory.path().join("no/such/leases.db");
    assert_refused(&path, &["directory does not exist", "create"]).await;
}

#[tokio::test]
async fn a_file_below_a_file_is_refused() {
    let (_directory, path) = directory();
    fs::write(&path, "").unwrap();
    assert_refused(&path.join("leases.db"), &["check the path"]).await;
}

#[tokio::test]
async fn an_empty_path_is_refused() {
    assert_refused(Path::new(""), &["is not a path"]).await;
}

#[tokio::test]
async fn a_format_that_this_sqlite_may_not_write_is_refused() {
    let (_directory, path) = directory();
    write_table(&path, 1).await;
    let mut bytes = fs::read(&path).unwrap();
    bytes[18] = 3;
    fs::write(&path, bytes).unwrap();
    assert_refused(&path, &["cannot be written"]).await;
}

#[tokio::test]
async fn a_missing_file_is_an_error_if_it_must_exist() {
    let (_directory, path) = directory();
    let mut config = SqliteConfig::default();
    config.create = false;
    let missing = SqliteLeaseStore::open_with(&path, application(), config.clone()).await;
    let message = missing.unwrap_err().to_string();
    assert!(message.contains("does not exist"), "{message}");
    assert!(!path.exists());
    write_table(&path, 1).await;
    assert!(SqliteLeaseStore::open_with(&path, application(), config).await.is_ok());
}

#[tokio::test]
async fn an_empty_file_becomes_a_table() {
    let (_directory, path) = directory();
    fs::write(&path, "").unwrap();
    write_table(&path, 1).await;
    assert_eq!(
        open(&path).await.unwrap().list().await.unwrap().leases,
        [Arc::new(lease(0))]
    );
}

#[tokio::test]
async fn names_that_sqlite_reads_otherwise_are_plain_files() {
    let (directory, _path) = directory();
    for name in ["file:x?mode=memory", ":memory:", "größe 100% #1.db", "a\nb"] {
        let path = directory.path().join(name);
        write_table(&path, 1).await;
        assert!(path.is_file(), "{name:?}");
    }
}

async fn assert_gone(store: &SqliteLeaseStore, path: &Path) {
    let renewal = LeaseWrite::renew(&lease(0), None);
    for error in [
        store.list().await.unwrap_err(),
        store.get(&lease(0).key).await.unwrap_err(),
        store.create(&lease(1)).await.unwrap_err(),
        store.update(&renewal).await.unwrap_err(),
    ] {
        assert!(!error.is_retryable(), "{error}");
        let message = error.to_string();
        assert!(message.contains("deleted, moved or replaced"), "{message}");
        assert!(message.contains(&path.display().to_string()), "{message}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_deleted_file_is_an_error_and_not_a_new_table() {
    let (_directory, path) = directory();
    write_table(&path, 1).await;
    let store = open(&path).await.unwrap();
    fs::remove_file(&path).unwrap();
    assert_gone(&store, &path).await;
    assert!(!path.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn a_replaced_file_is_an_error() {
    let (directory, path) = directory();
    write_table(&path, 1).await;
    let store = open(&path).await.unwrap();
    let copy = directory.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    fs::rename(&copy, &path).unwrap();
    assert_gone(&store, &path).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_was_moved_away_works_again_once_it_is_back() {
    let (directory, path) = directory();
    let store = open(&path).await.unwrap();
    assert!(store.create(&lease(0)).await.is_ok());
    let elsewhere = directory.path().join("elsewhere.db");
    fs::rename(&path, &elsewhere).unwrap();
    assert_gone(&store, &path).await;
    fs::rename(&elsewhere, &path).unwrap();
    assert_eq!(store.list().await.unwrap().leases, [Arc::new(lease(0))]);
}

/// Root may write everything, so that the tests of rights run as somebody else.
#[cfg(unix)]
mod rights {
    use std::{
        fs::Permissions,
        os::unix::{fs::PermissionsExt, process::CommandExt},
        process::Command,
    };

    use super::{assert_refused, directory, fs, write_table};

    const NOBODY: u32 = 65_534;

    /// Whether `test` may go on here. For root it runs in a process of nobody instead.
    fn is_bound_by_rights(test: &str) -> bool {
        let probe = tempfile::tempdir().unwrap();
        fs::set_permissions(probe.path(), Permissions::from_mode(0o500)).unwrap();
        if fs::write(probe.path().join("probe"), "").is_err() {
            return true;
        }
        // The test binary itself may be out of nobody's reach; a copy is not.
        let copy = tempfile::tempdir().unwrap();
        fs::set_permissions(copy.path(), Permissions::from_mode(0o755)).unwrap();
        let program = copy.path().join("test");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let run = Command::new(&program)
            .args(["--exact", &format!("rights::{test}")])
            .current_dir(copy.path())
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && said.contains("1 passed"), "as nobody: {said}");
        false
    }

    #[tokio::test]
    async fn a_read_only_file_is_refused() {
        if !is_bound_by_rights("a_read_only_file_is_refused") {
            return;
        }
        let (_directory, path) = directory();
        write_table(&path, 1).await;
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        assert_refused(&path, &["cannot be written", "give the worker the right"]).await;
    }

    #[tokio::test]
    async fn an_unreadable_file_is_refused() {
        if !is_bound_by_rights("an_unreadable_file_is_refused") {
            return;
        }
        let (_directory, path) = directory();
        write_table(&path, 1).await;
        fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
        assert_refused(&path, &["cannot be opened", "check"]).await;
    }

    #[tokio::test]
    async fn a_directory_that_takes_no_new_files_is_refused() {
        if !is_bound_by_rights("a_directory_that_takes_no_new_files_is_refused") {
            return;
        }
        let (directory, path) = directory();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o500)).unwrap();
        assert_refused(&path, &["cannot be opened", "may write there"]).await;

        fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
        write_table(&path, 1).await;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o500)).unwrap();
        assert_refused(&path, &["directory"]).await;
    }
}
