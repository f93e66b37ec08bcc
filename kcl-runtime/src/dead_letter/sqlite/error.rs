//! What SQLite says, as what whoever keeps dead letters should do about it.

use std::{io, path::PathBuf};

use kcl_core::BoxError;
use rusqlite::ErrorCode;

/// A file of dead letters did not do what it was asked for. Nothing was changed by the call, unless it says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// Others are in the way, or the disk is full. Another attempt may work.
    #[error("{} is not to be had just now", .path.display())]
    Unavailable {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: BoxError,
    },
    /// The file cannot be used before somebody mends what `problem` says.
    #[error("{} {problem}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: &'static str,
        /// What SQLite or the operating system says.
        source: Option<BoxError>,
    },
    /// The file is of a later release.
    #[error("{} was written by a newer release (schema {version}, this one knows {known}); upgrade this program", .path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its layout.
        version: i32,
        /// The layout that this release writes.
        known: i32,
    },
    /// A row holds what no release wrote.
    #[error("{}: letter {letter} cannot be read ({problem}); correct it or delete it with sqlite3", .path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The letter.
        letter: i64,
        /// What is wrong with it.
        problem: String,
    },
}

impl DeadLetterError {
    /// Whether the same call may work later without anybody's help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// A step that failed, before it is known in which file.
#[derive(Debug)]
pub(in crate::dead_letter) enum Failure {
    Sqlite(rusqlite::Error),
    Path(&'static str, Option<io::Error>),
    NewerSchema(i32),
    Row {
        letter: i64,
        problem: String,
    },
    /// The runtime went away, or the call panicked, before it answered.
    Lost(BoxError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Failure {
    pub(super) fn of_row(letter: i64) -> impl Fn(String) -> Self {
        move |problem| Self::Row { letter, problem }
    }

    pub(super) fn in_file(self, path: PathBuf) -> DeadLetterError {
        match self {
            Self::Sqlite(error) => classify(error, path),
            Self::Path(problem, source) => DeadLetterError::Unusable {
                path,
                problem,
                source: source.map(Into::into),
            },
            Self::NewerSchema(version) => DeadLetterError::NewerSchema {
                path,
                version,
                known: super::schema::SCHEMA_VERSION,
            },
            Self::Row { letter, problem } => DeadLetterError::Row { path, letter, problem },
            Self::Lost(source) => DeadLetterError::Unavailable { path, source },
        }
    }
}

/// Whether another connection is in the way and trying again is all there is to do.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed)
    )
}

fn classify(error: rusqlite::Error, path: PathBuf) -> DeadLetterError {
    let problem = match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted,
        ) => {
            let source = error.into();
            return DeadLetterError::Unavailable { path, source };
        }
        Some(ErrorCode::NotADatabase) => NOT_A_DATABASE,
        Some(ErrorCode::DatabaseCorrupt) => {
            "is damaged; stop what uses it and restore it from a backup, or recover it with sqlite3 .recover"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => NOT_WRITABLE,
        Some(ErrorCode::CannotOpen) => "cannot be opened; check that its directory exists and may be written to",
        Some(ErrorCode::TooBig) => "cannot hold a record of this size",
        _ => "does not answer as a file of dead letters does; restore it from a backup if it was changed by hand",
    };
    DeadLetterError::Unusable {
        path,
        problem,
        source: Some(error.into()),
    }
}

pub(super) const NOT_A_DATABASE: &str =
    "is not an SQLite database; give the path of a file of dead letters, or of one that does not exist yet";
pub(super) const NOT_WRITABLE: &str =
    "cannot be written; give this program the right to write to the file and its directory";
pub(super) const FOREIGN: &str = "is an SQLite database of another program; give the path of a file of dead letters, or of one that does not exist yet";
