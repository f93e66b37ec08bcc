//! What operators do with dead letters: look, put them back, remove them, release keys.

mod change;
mod look;

use kcl_runtime::dead_letter::{DeadLetterError, LetterId, RedriveError, SqliteDeadLetters, SqliteDeadLettersConfig};

pub(crate) use self::{
    change::{purge, redrive, release},
    look::{keys, list, show},
};
use crate::cmd::dlq::StoreArgs;

/// Why a command about dead letters was not done, or not to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DlqError {
    #[error(transparent)]
    Store(#[from] DeadLetterError),
    #[error("there is no letter {0}; see which there are with `kclctl dlq list`")]
    Unknown(LetterId),
    #[error("these records are of several applications ({0}): choose one with --app")]
    SeveralApplications(String),
    #[error(transparent)]
    Redrive(#[from] RedriveError),
    #[error("these keys failed again and are in quarantine again: {0}")]
    QuarantinedAgain(String),
}

/// Opens the file, which must be there.
async fn open(args: &StoreArgs) -> Result<SqliteDeadLetters, DlqError> {
    let mut config = SqliteDeadLettersConfig::default();
    config.create = false;
    Ok(SqliteDeadLetters::open_with(&args.store, config).await?)
}
