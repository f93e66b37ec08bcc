//! The file: how it is recognised as ours, created, and refused.
//!
//! `application_id` says that the file holds dead letters, `user_version` in which layout. Both are written in the transaction
//! that creates the tables, so that a file is either nothing yet or complete.

use std::{io, path::Path};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};

use super::{
    SqliteDeadLettersConfig,
    error::{self, Failure, is_busy},
};

/// "KclD" in ASCII: shown by `file(1)` and `PRAGMA application_id`.
pub(super) const APPLICATION_ID: i32 = 0x4b63_6c44;

/// The layout that this crate reads and writes.
pub(super) const SCHEMA_VERSION: i32 = 1;

/// The smallest page that SQLite can be told to use, in bytes.
const SMALLEST_DATABASE: u64 = 512;

/// How often the switch to the write-ahead log is tried while other processes open the same new file.
const WAL_ATTEMPTS_MAX: u32 = 100;

/// Times are milliseconds since the epoch. Ids of letters are never used again.
///
/// `shards.looked_ms` is by SQLite's own clock, the same for all processes of the machine.
const CREATE: &str = "
CREATE TABLE shards (
    id          INTEGER PRIMARY KEY,
    application TEXT    NOT NULL,
    stream      TEXT    NOT NULL,
    stream_id   TEXT    NOT NULL,
    shard       TEXT    NOT NULL,
    looks       INTEGER NOT NULL DEFAULT 0,
    looked_ms   INTEGER NOT NULL DEFAULT 0,
    UNIQUE (application, stream, stream_id, shard)
) STRICT;
CREATE TABLE letters (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    shard_row   INTEGER NOT NULL REFERENCES shards,
    quarantines INTEGER NOT NULL,
    first_ms    INTEGER NOT NULL
) STRICT;
CREATE TABLE tries (
    id       INTEGER PRIMARY KEY,
    letter   INTEGER NOT NULL REFERENCES letters ON DELETE CASCADE,
    at_ms    INTEGER NOT NULL,
    reason   TEXT    NOT NULL,
    attempts INTEGER NOT NULL,
    error    TEXT
) STRICT;
CREATE INDEX tries_of_letter ON tries (letter);
CREATE TABLE records (
    id                  INTEGER PRIMARY KEY,
    letter              INTEGER NOT NULL REFERENCES letters ON DELETE CASCADE,
    shard_row           INTEGER NOT NULL REFERENCES shards,
    sequence_number     TEXT    NOT NULL,
    sub_sequence_number INTEGER NOT NULL,
    partition_key       TEXT    NOT NULL,
    arrival_ms          INTEGER NOT NULL,
    aggregated          INTEGER NOT NULL,
    explicit_hash_key   TEXT,
    bytes               INTEGER NOT NULL,
    data                BLOB    NOT NULL,
    UNIQUE (shard_row, sequence_number, sub_sequence_number)
) STRICT;
CREATE INDEX records_of_letter ON records (letter);
CREATE TABLE quarantine (
    application   TEXT    NOT NULL,
    stream        TEXT    NOT NULL,
    stream_id     TEXT    NOT NULL,
    partition_key TEXT    NOT NULL,
    since_ms      INTEGER NOT NULL,
    releasing     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (application, stream, stream_id, partition_key)
) STRICT, WITHOUT ROWID;
";

/// What a file is, by its header and its schema.
enum Kind {
    /// No tables yet, or no file at all a moment ago.
    Empty,
    /// Dead letters in the current layout.
    Ours,
}

/// Opens the file at `path`, and creates it if it may be.
pub(super) fn open(path: &Path, config: &SqliteDeadLettersConfig) -> Result<Connection, Failure> {
    // An absolute path keeps SQLite's special names (such as ":memory:") and a later change of directory out.
    let absolute = std::path::absolute(path)
        .map_err(|error| Failure::Path("is not a path; give the path of a file", Some(error)))?;
    check_path(&absolute, config)?;
    // No SQLITE_OPEN_URI: a path that starts with "file:" is a path.
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, config.create);
    let mut connection = Connection::open_with_flags(&absolute, flags)?;
    connection.busy_timeout(config.busy_timeout)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    check_writable(&connection)?;
    if matches!(recognise(&*connection.transaction()?)?, Kind::Empty) {
        create(&mut connection)?;
    }
    // Again, now that the header is read: it may name a format that this SQLite can only read.
    check_writable(&connection)?;
    switch_to_write_ahead_log(&connection)?;
    // A record is passed once its letter is kept: that must outlast a loss of power.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// Whether the path still leads to the open file: writes to a deleted file succeed and are gone with the process.
#[cfg(unix)]
pub(super) fn check_in_place(connection: &Connection) -> Result<(), Failure> {
    let mut moved = 0;
    connection.file_control(Some("main"), rusqlite::FileControl::HasMoved(&mut moved))?;
    if moved == 0 {
        return Ok(());
    }
    let problem =
        "was deleted, moved or replaced while it was in use; stop what uses it, put the file back, and start again";
    Err(Failure::Path(problem, None))
}

/// Elsewhere the operating system refuses to delete or move an open file.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature as on unix")]
pub(super) fn check_in_place(_: &Connection) -> Result<(), Failure> {
    Ok(())
}

/// Finds what SQLite would only call "unable to open database file".
fn check_path(path: &Path, config: &SqliteDeadLettersConfig) -> Result<(), Failure> {
    let refuse = |problem, source| Err(Failure::Path(problem, source));
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => refuse("is a directory; give the path of a file in it", None),
        Ok(found) if !found.is_file() => refuse("is not a regular file; give the path of a file on a local disk", None),
        // SQLite takes a file of one byte for an empty one, and would write over it.
        Ok(found) if (1..SMALLEST_DATABASE).contains(&found.len()) => refuse(error::NOT_A_DATABASE, None),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match path.parent() {
            Some(directory) if !directory.is_dir() => refuse(
                "cannot be created: its directory does not exist; create the directory first",
                Some(error),
            ),
            _ if !config.create => refuse(
                "does not exist; check the path (a worker that keeps dead letters creates it)",
                Some(error),
            ),
            _ => Ok(()),
        },
        Err(error) => refuse(
            "cannot be reached; check the path and the rights to its directories",
            Some(error),
        ),
    }
}

/// SQLite opens a file that it may not write for reading, and says so only when asked.
fn check_writable(connection: &Connection) -> Result<(), Failure> {
    if connection.is_readonly("main")? {
        Err(Failure::Path(error::NOT_WRITABLE, None))
    } else {
        Ok(())
    }
}

fn recognise(connection: &Connection) -> Result<Kind, Failure> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let application_id = number("application_id")?;
    let version = number("user_version")?;
    let table: Option<String> = connection
        .query_row("SELECT name FROM sqlite_schema LIMIT 1", [], |row| row.get(0))
        .optional()?;
    match (application_id, version) {
        (0, 0) if table.is_none() => Ok(Kind::Empty),
        (APPLICATION_ID, SCHEMA_VERSION) => Ok(Kind::Ours),
        (APPLICATION_ID, version) if version > SCHEMA_VERSION => Err(Failure::NewerSchema(version)),
        (APPLICATION_ID, _) => Err(Failure::Path(
            "has a schema that no release wrote; restore it from a backup",
            None,
        )),
        _ => Err(Failure::Path(error::FOREIGN, None)),
    }
}

/// Creates the tables unless another process did so in the meantime.
fn create(connection: &mut Connection) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if matches!(recognise(&transaction)?, Kind::Empty) {
        transaction.execute_batch(CREATE)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Readers do not block the writer, nor the writer readers. The mode stays with the file.
///
/// SQLite answers "busy" at once, without waiting, when two connections switch at the same time. Asking for the exclusive
/// lock does wait: it is the pause between two attempts.
fn switch_to_write_ahead_log(connection: &Connection) -> Result<(), Failure> {
    for _ in 1..WAL_ATTEMPTS_MAX {
        match write_ahead_log(connection) {
            Err(Failure::Sqlite(error)) if is_busy(&error) => connection.execute_batch("BEGIN EXCLUSIVE; ROLLBACK")?,
            done => return done,
        }
    }
    write_ahead_log(connection)
}

fn write_ahead_log(connection: &Connection) -> Result<(), Failure> {
    let mode: Result<String, _> = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
    match mode {
        Ok(mode) if mode.eq_ignore_ascii_case("wal") => Ok(()),
        Ok(_) => Err(Failure::Path(
            "cannot use a write-ahead log; put it on a local disk: network file systems do not work",
            None,
        )),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => Err(Failure::Path(
            "needs log files (-wal, -shm) beside it; give this program the right to write in that directory",
            None,
        )),
        Err(error) => Err(error.into()),
    }
}
