//! Where records go that are given up: [`DeadLetters`].
//!
//! A batch is given up only by rules that somebody asked for ([`DeliveryPolicy`](kcl_core::delivery::DeliveryPolicy)), and it
//! is passed by a checkpoint only when the dead letters have it. As long as they do not take it, its lane waits, and the
//! shard's status says so.

mod kept;
mod redrive;
mod sqlite;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytestring::ByteString;
use kcl_core::{
    ApplicationName, Batch, BoxError, ShardId, StreamId, StreamName, Timestamp,
    delivery::{Discard, DiscardReason},
};

pub use self::{
    kept::{KeptLetter, LetterId, LetterStream, LetterSummary, LetterTotals, QuarantinedKey, Selection, Try},
    redrive::{Redrive, RedriveError, Redriven},
    sqlite::{DeadLetterError, SqliteDeadLetters, SqliteDeadLettersConfig},
};
use crate::processor::ShardContext;

/// Records that were given up, whole, with what is known of the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Who gave them up.
    pub application: ApplicationName,
    /// The stream that they are of.
    pub stream: StreamName,
    /// Which stream it is, where the worker reads several.
    pub stream_id: Option<StreamId>,
    /// The shard that they are of.
    pub shard: ShardId,
    /// The records, in the order of the shard.
    pub batch: Batch,
    /// Why they were given up.
    pub reason: DiscardReason,
    /// How many calls with them failed.
    pub attempts: u32,
    /// What the last of these said.
    pub error: Option<String>,
    /// Whether later records of the same keys follow, until the keys are released.
    pub quarantines: bool,
    /// When they were given up.
    pub at: Timestamp,
}

impl DeadLetter {
    /// A letter about `batch`, which was given up for `reason`; for tests of [`DeadLetters`]. Everything else is as if it had
    /// not been tried, and can be set.
    #[must_use]
    pub fn new(application: ApplicationName, batch: Batch, reason: DiscardReason, at: Timestamp) -> Self {
        Self {
            application,
            stream: batch.stream().clone(),
            stream_id: batch.stream_id().cloned(),
            shard: batch.shard().clone(),
            batch,
            reason,
            attempts: 0,
            error: None,
            quarantines: false,
            at,
        }
    }
}

/// Keeps records that were given up. [`SqliteDeadLetters`] keeps them in a file.
///
/// ```
/// use std::sync::Mutex;
/// use async_trait::async_trait;
/// use kcl_core::BoxError;
/// use kcl_runtime::dead_letter::{DeadLetter, DeadLetters};
///
/// /// For tests: keeps them in memory.
/// #[derive(Debug, Default)]
/// struct Kept(Mutex<Vec<DeadLetter>>);
///
/// #[async_trait]
/// impl DeadLetters for Kept {
///     async fn keep(&self, letter: &DeadLetter) -> Result<(), BoxError> {
///         self.0.lock().map_err(|_| "poisoned")?.push(letter.clone());
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
pub trait DeadLetters: fmt::Debug + Send + Sync {
    /// Keeps a letter for good. It may come more than once: whoever asks did not hear of a success.
    ///
    /// # Errors
    /// If it is not known to be kept. Then it is asked again, and the records are not passed.
    async fn keep(&self, letter: &DeadLetter) -> Result<(), BoxError>;

    /// The partition keys of a shard that are in quarantine, as far as this knows: those of letters that
    /// [quarantine](DeadLetter::quarantines), and that nobody released since. It is asked before a shard is read, and from
    /// time to time.
    ///
    /// # Errors
    /// If that cannot be found out. Before a shard is read, it is asked again until it can.
    async fn quarantined(&self, shard: &ShardContext) -> Result<Vec<ByteString>, BoxError> {
        let _ = shard;
        Ok(Vec::new())
    }
}

/// The dead letters of one shard.
#[derive(Clone, Debug)]
pub(crate) struct ShardLetters {
    pub(crate) application: ApplicationName,
    pub(crate) letters: Arc<dyn DeadLetters>,
}

impl ShardLetters {
    pub(crate) async fn keep(&self, context: &ShardContext, discard: Discard, at: Timestamp) -> Result<(), BoxError> {
        let letter = DeadLetter {
            application: self.application.clone(),
            stream: context.stream.clone(),
            stream_id: context.stream_id.clone(),
            shard: context.shard.clone(),
            batch: discard.batch,
            reason: discard.reason,
            attempts: discard.attempts,
            error: discard.error,
            quarantines: discard.quarantines,
            at,
        };
        self.letters.keep(&letter).await
    }
}
