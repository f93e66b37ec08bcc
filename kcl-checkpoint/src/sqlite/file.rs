//! The open file: one connection, one transaction per write.

use std::{io, path::Path, sync::Arc};

use kcl_core::{Expect, Lease, LeaseKey, LeaseListing, LeaseWrite, WriteOutcome};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params, params_from_iter};

use super::{
    SqliteConfig,
    codec::{self, COLUMNS},
    error::{self, Failure},
    schema,
};

/// The smallest page that SQLite can be told to use, in bytes.
const SMALLEST_DATABASE: u64 = 512;

/// A connection to a file that is a lease table.
#[derive(Debug)]
pub(super) struct LeaseFile {
    connection: Connection,
}

impl LeaseFile {
    pub(super) fn open(path: &Path, config: &SqliteConfig) -> Result<Self, Failure> {
        // An absolute path keeps SQLite's special names (such as ":memory:") and a later change of directory out.
        let absolute = std::path::absolute(path).map_err(|error| Failure::Path {
            problem: "is not a path; give the path of a file",
            source: Some(error),
        })?;
        check_path(&absolute, config)?;
        // No SQLITE_OPEN_URI: a path that starts with "file:" is a path.
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, config.create);
        let mut connection = Connection::open_with_flags(&absolute, flags)?;
        schema::prepare(&mut connection, config)?;
        Ok(Self { connection })
    }

    pub(super) fn list(&self, application: &str) -> Result<LeaseListing, Failure> {
        self.check_in_place()?;
        let mut select = self.connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM leases WHERE application = ?1 ORDER BY lease_key"
        ))?;
        let mut rows = select.query([application])?;
        let mut listing = LeaseListing::default();
        while let Some(row) = rows.next()? {
            match codec::decode(row) {
                Ok(lease) => listing.leases.push(Arc::new(lease)),
                Err(unreadable) => listing.unreadable.push(unreadable),
            }
        }
        Ok(listing)
    }

    pub(super) fn get(&self, application: &str, key: &LeaseKey) -> Result<Option<Lease>, Failure> {
        self.check_in_place()?;
        select(&self.connection, application, key)
    }

    pub(super) fn create(&mut self, application: &str, lease: &Lease) -> Result<WriteOutcome, Failure> {
        let transaction = self.begin()?;
        if let Some(stored) = select(&transaction, application, &lease.key)? {
            return Ok(WriteOutcome::Conflict(Some(stored)));
        }
        put(&transaction, application, lease)?;
        commit(transaction)?;
        Ok(WriteOutcome::Applied(lease.clone()))
    }

    pub(super) fn update(&mut self, application: &str, write: &LeaseWrite) -> Result<WriteOutcome, Failure> {
        let transaction = self.begin()?;
        let stored = match select(&transaction, application, &write.key)? {
            Some(stored) if write.expect.holds(Some(&stored)) => stored,
            stored => return Ok(WriteOutcome::Conflict(stored)),
        };
        let lease = write.patch.apply(&stored);
        put(&transaction, application, &lease)?;
        commit(transaction)?;
        Ok(WriteOutcome::Applied(lease))
    }

    pub(super) fn delete(
        &mut self,
        application: &str,
        key: &LeaseKey,
        expect: &Expect,
    ) -> Result<WriteOutcome, Failure> {
        let transaction = self.begin()?;
        let stored = match select(&transaction, application, key)? {
            Some(stored) if expect.holds(Some(&stored)) => stored,
            stored => return Ok(WriteOutcome::Conflict(stored)),
        };
        transaction
            .prepare_cached("DELETE FROM leases WHERE application = ?1 AND lease_key = ?2")?
            .execute(params![application, key.as_str()])?;
        commit(transaction)?;
        Ok(WriteOutcome::Applied(stored))
    }

    /// Takes the write lock first: a transaction that read before it wrote could find its row changed in between.
    /// Dropped without [`commit`], the transaction changes nothing.
    fn begin(&mut self) -> Result<Transaction<'_>, Failure> {
        self.check_in_place()?;
        Ok(self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    /// Whether the path still leads to the open file: writes to a deleted file succeed and are gone with the process,
    /// while workers that start later share another table.
    #[cfg(unix)]
    fn check_in_place(&self) -> Result<(), Failure> {
        let mut moved = 0;
        self.connection
            .file_control(Some("main"), rusqlite::FileControl::HasMoved(&mut moved))?;
        if moved == 0 { Ok(()) } else { Err(Failure::Moved) }
    }

    /// Elsewhere the operating system refuses to delete or move an open file.
    #[cfg(not(unix))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the same signature as on unix"
    )]
    fn check_in_place(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Finds what SQLite would only call "unable to open database file".
fn check_path(path: &Path, config: &SqliteConfig) -> Result<(), Failure> {
    let refuse = |problem, source| Err(Failure::Path { problem, source });
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
                "does not exist; check the path, or start a worker to create it",
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

fn select(connection: &Connection, application: &str, key: &LeaseKey) -> Result<Option<Lease>, Failure> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM leases WHERE application = ?1 AND lease_key = ?2"
    ))?;
    let found = select
        .query_row(params![application, key.as_str()], |row| Ok(codec::decode(row)))
        .optional()?;
    found.transpose().map_err(|unreadable| Failure::Row {
        key: unreadable.key,
        reason: unreadable.reason,
    })
}

fn put(connection: &Connection, application: &str, lease: &Lease) -> Result<(), Failure> {
    let values = codec::encode(lease)?;
    let places = ", ?".repeat(values.len());
    let mut insert = connection.prepare_cached(&format!(
        "INSERT OR REPLACE INTO leases (application, {COLUMNS}) VALUES (?{places})"
    ))?;
    let application = rusqlite::types::Value::Text(application.to_owned());
    insert.execute(params_from_iter(std::iter::once(application).chain(values)))?;
    Ok(())
}

fn commit(transaction: Transaction<'_>) -> Result<(), Failure> {
    transaction.commit().map_err(Failure::Commit)
}
