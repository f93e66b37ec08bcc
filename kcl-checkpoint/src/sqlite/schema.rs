//! The file: how it is recognised as ours, created, and refused.
//!
//! `application_id` says that the file is a lease table of this crate, `user_version` which layout it has. Both are
//! written in the transaction that creates the table, so that a file is either nothing yet or complete.

use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior};

use super::{
    SqliteConfig,
    error::{Failure, is_busy},
};

/// "KclL" in ASCII: shown by `file(1)` and `PRAGMA application_id`.
pub(super) const APPLICATION_ID: i32 = 0x4b63_6c4c;

/// The layout that this crate reads and writes.
pub(super) const SCHEMA_VERSION: i32 = 4;

/// How often the switch to the write-ahead log is tried while other processes open the same new file.
const WAL_ATTEMPTS_MAX: u32 = 100;

/// Unsigned numbers are stored as the signed integer of the same bits; session ids as 16 hex digits, as logs show them.
const CREATE: &str = "
CREATE TABLE leases (
    application                            TEXT    NOT NULL,
    lease_key                              TEXT    NOT NULL,
    shard_id                               TEXT    NOT NULL,
    owner                                  TEXT,
    session                                TEXT,
    counter                                INTEGER NOT NULL,
    checkpoint                             TEXT    NOT NULL,
    checkpoint_sub_sequence_number         INTEGER,
    checkpoint_timestamp                   INTEGER,
    pending_checkpoint                     TEXT,
    pending_checkpoint_sub_sequence_number INTEGER,
    pending_checkpoint_timestamp           INTEGER,
    pending_checkpoint_state               BLOB,
    owner_switches_since_checkpoint        INTEGER NOT NULL,
    checkpoint_owner                       TEXT,
    parents                                TEXT    NOT NULL,
    children                               TEXT    NOT NULL,
    starting_hash_key                      TEXT,
    ending_hash_key                        TEXT,
    stream                                 TEXT,
    failover_ms                            INTEGER,
    throughput                             INTEGER,
    seeks                                  INTEGER NOT NULL DEFAULT 0,
    paused_ms                              INTEGER,
    shard_start                            TEXT,
    PRIMARY KEY (application, lease_key)
) STRICT, WITHOUT ROWID;
";

/// What earlier layouts lack that the next one has, oldest first. The last one leads to this layout.
const UPGRADES: [(i32, &str); 2] = [
    (
        2,
        "ALTER TABLE leases ADD COLUMN seeks INTEGER NOT NULL DEFAULT 0; ALTER TABLE leases ADD COLUMN paused_ms INTEGER;",
    ),
    (3, "ALTER TABLE leases ADD COLUMN shard_start TEXT;"),
];

/// What a file is, by its header and its schema.
enum Kind {
    /// No tables yet, or no file at all a moment ago.
    Empty,
    /// A lease table in the current layout.
    Ours,
    /// One in this earlier layout, which lacks columns that may stay empty.
    Older(i32),
}

/// Makes a fresh connection ready: settings, recognition, creation. Does not touch a file that is not ours.
pub(super) fn prepare(connection: &mut Connection, config: &SqliteConfig) -> Result<(), Failure> {
    connection.busy_timeout(config.busy_timeout)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    check_writable(connection)?;
    // A look without the write lock first: the usual case is a table that exists, and others may be writing.
    // In a transaction even so: header and tables must be those of the same moment.
    let found = recognise(&*connection.transaction()?)?;
    if !matches!(found, Kind::Ours) {
        create_or_upgrade(connection)?;
    }
    // Again, now that the header is read: it may name a format that this SQLite can only read.
    check_writable(connection)?;
    switch_to_write_ahead_log(connection)?;
    connection.pragma_update(None, "synchronous", config.durability.as_pragma())?;
    // Reads every row once: a file that is damaged is refused here, not in the middle of the work.
    connection.query_row("SELECT total(length(checkpoint)) FROM leases", [], |_| Ok(()))?;
    Ok(())
}

/// SQLite opens a file that it may not write for reading, and says so only when asked.
fn check_writable(connection: &Connection) -> Result<(), Failure> {
    if connection.is_readonly("main")? {
        Err(Failure::ReadOnly)
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
        (APPLICATION_ID, version) if UPGRADES.iter().any(|(from, _)| *from == version) => Ok(Kind::Older(version)),
        (APPLICATION_ID, version) if version > SCHEMA_VERSION => Err(Failure::NewerSchema { version }),
        (APPLICATION_ID, version) => Err(Failure::UnknownSchema { version }),
        _ => Err(Failure::Foreign { table }),
    }
}

/// Creates or completes the table unless another process did so in the meantime.
fn create_or_upgrade(connection: &mut Connection) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let missing: Vec<&str> = match recognise(&transaction)? {
        Kind::Empty => vec![CREATE],
        Kind::Older(version) => {
            let steps = UPGRADES.iter().skip_while(|(from, _)| *from < version);
            steps.map(|(_, step)| *step).collect()
        }
        Kind::Ours => Vec::new(),
    };
    if !missing.is_empty() {
        for step in missing {
            transaction.execute_batch(step)?;
        }
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
        Ok(mode) => Err(Failure::NoWriteAheadLog { mode }),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => {
            Err(Failure::DirectoryNotWritable(error))
        }
        Err(error) => Err(error.into()),
    }
}
