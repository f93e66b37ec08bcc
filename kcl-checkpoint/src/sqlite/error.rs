//! What SQLite says, as what a worker should do about it.

use std::{fmt, io, path::Path};

use kcl_core::{BoxError, StoreError, StoreOperation};
use rusqlite::ErrorCode;

/// A step that failed, before it is known for which operation and file.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite refused before anything was committed.
    Sqlite(rusqlite::Error),
    /// `COMMIT` itself failed.
    Commit(rusqlite::Error),
    /// The path cannot be a file.
    Path {
        problem: &'static str,
        source: Option<io::Error>,
    },
    /// SQLite could only open the file for reading.
    ReadOnly,
    /// The write-ahead log cannot be created beside the file.
    DirectoryNotWritable(rusqlite::Error),
    /// The file system, or a setting, does not allow the write-ahead log.
    NoWriteAheadLog { mode: String },
    /// A database of somebody else.
    Foreign { table: Option<String> },
    /// Ours, from a later release.
    NewerSchema { version: i32 },
    /// Ours by its mark, with a version that no release wrote.
    UnknownSchema { version: i32 },
    /// The file at the path is no longer the one that was opened.
    Moved,
    /// One row is there and is no lease.
    Row { key: String, reason: String },
    /// A lease holds something that this layout has no column for.
    Unstorable { reason: String },
    /// The runtime went away, or the call panicked, before it answered.
    Lost(BoxError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Which file an error is about: [`StoreError::Unavailable`] has no room for it but the source.
#[derive(Debug)]
struct InFile {
    path: String,
    hint: &'static str,
    source: rusqlite::Error,
}

impl fmt::Display for InFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in {}{}", self.path, self.hint)
    }
}

impl std::error::Error for InFile {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Whether another connection is in the way and trying again is all there is to do.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed)
    )
}

impl Failure {
    /// The failure as the callers of a lease store see it.
    pub(super) fn into_store_error(self, path: &Path, operation: StoreOperation) -> StoreError {
        let file = path.display();
        let unusable = |problem: String, source: Option<BoxError>| StoreError::Unusable { problem, source };
        match self {
            Self::Sqlite(error) => classify(error, path, operation, false),
            Self::Commit(error) => classify(error, path, operation, true),
            Self::Path { problem, source } => unusable(format!("{file} {problem}"), source.map(Into::into)),
            Self::ReadOnly => unusable(format!("{file} {NOT_WRITABLE}"), None),
            Self::DirectoryNotWritable(error) => unusable(
                format!(
                    "{file}: SQLite cannot create its log files (-wal, -shm) beside it; \
                     give the worker the right to write in that directory"
                ),
                Some(error.into()),
            ),
            Self::NoWriteAheadLog { mode } => unusable(
                format!(
                    "{file} cannot use a write-ahead log (the journal mode stays {mode:?}); \
                     put it on a local disk: network file systems do not work"
                ),
                None,
            ),
            Self::Foreign { table } => unusable(
                format!(
                    "{file} is an SQLite database of another program{}; \
                     give the path of a lease table, or of a file that does not exist yet",
                    table.map(|name| format!(" (it has {name:?})")).unwrap_or_default()
                ),
                None,
            ),
            Self::NewerSchema { version } => unusable(
                format!(
                    "{file} was written by a newer release (schema {version}, this one knows {}); upgrade this worker",
                    super::schema::SCHEMA_VERSION
                ),
                None,
            ),
            Self::UnknownSchema { version } => unusable(
                format!("{file} has schema {version}, which no release wrote; restore it from a backup"),
                None,
            ),
            Self::Moved => unusable(
                format!(
                    "{file} was deleted, moved or replaced while it was in use; \
                     stop all workers, put the file back, and start them again \
                     (without it, every shard starts at its initial position)"
                ),
                None,
            ),
            Self::Row { key, reason } => unusable(
                format!(
                    "{file}: the row of lease {key:?} cannot be read ({reason}); correct it or delete it with sqlite3"
                ),
                None,
            ),
            Self::Unstorable { reason } => unusable(format!("{file} cannot hold the lease: {reason}"), None),
            Self::Lost(source) => lost(source, operation),
        }
    }
}

pub(super) const NOT_A_DATABASE: &str =
    "is not an SQLite database; give the path of a lease table, or of a file that does not exist yet";
const NOT_WRITABLE: &str = "cannot be written; give the worker the right to write to the file and its directory";

fn classify(error: rusqlite::Error, path: &Path, operation: StoreOperation, committing: bool) -> StoreError {
    let file = path.display();
    let unusable = |problem: String, error: rusqlite::Error| StoreError::Unusable {
        problem,
        source: Some(error.into()),
    };
    let in_file = |hint, source| -> BoxError {
        InFile {
            path: file.to_string(),
            hint,
            source,
        }
        .into()
    };
    match error.sqlite_error_code() {
        _ if is_busy(&error) => StoreError::Unavailable {
            operation,
            source: in_file("", error),
        },
        Some(ErrorCode::DiskFull) => StoreError::Unavailable {
            operation,
            source: in_file("; free some space on the disk", error),
        },
        // A commit that failed on the way to the disk may be found there by whoever reads the log next.
        Some(ErrorCode::SystemIoFailure) if committing => StoreError::Ambiguous {
            operation,
            source: in_file("", error),
        },
        Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory | ErrorCode::OperationInterrupted) => {
            StoreError::Unavailable {
                operation,
                source: in_file("", error),
            }
        }
        Some(ErrorCode::NotADatabase) => unusable(format!("{file} {NOT_A_DATABASE}"), error),
        Some(ErrorCode::DatabaseCorrupt) => unusable(
            format!(
                "{file} is damaged; stop all workers and restore it from a backup, or recover it with sqlite3 .recover"
            ),
            error,
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => unusable(format!("{file} {NOT_WRITABLE}"), error),
        Some(ErrorCode::CannotOpen) => unusable(
            format!("{file} cannot be opened; check that its directory exists and that the worker may write there"),
            error,
        ),
        _ => unusable(
            format!("{file} does not answer as a lease table does; restore it from a backup if it was changed by hand"),
            error,
        ),
    }
}

/// A read that was lost has changed nothing; a write may have gone through.
fn lost(source: BoxError, operation: StoreOperation) -> StoreError {
    match operation {
        StoreOperation::Create | StoreOperation::Update | StoreOperation::Delete => {
            StoreError::Ambiguous { operation, source }
        }
        _ => StoreError::Unavailable { operation, source },
    }
}
