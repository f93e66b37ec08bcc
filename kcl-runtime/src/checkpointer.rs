//! How user code commits what it handled: [`Checkpointer`].

use std::fmt;

use bytes::Bytes;
use kcl_core::{
    PendingCheckpoint, Position, Record, RecordPosition, SequenceNumber,
    shard::{CheckpointRefused, CheckpointRequest},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// A checkpoint could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The position may not be checkpointed.
    #[error(transparent)]
    Refused(#[from] CheckpointRefused),
    /// The sequence number is not one.
    #[error(transparent)]
    Invalid(#[from] kcl_core::InvalidSequenceNumber),
}

impl CheckpointError {
    /// Whether the lease is lost, so that no later attempt can succeed.
    #[must_use]
    pub fn is_lease_lost(&self) -> bool {
        matches!(self, Self::Refused(CheckpointRefused::LeaseLost))
    }
}

/// Answers with the position that is in the table.
type Answer = oneshot::Sender<Result<Position, CheckpointRefused>>;

/// A request of the user's code.
#[derive(Debug)]
pub(crate) struct CheckpointCommand {
    /// `None` means everything that was delivered.
    pub(crate) position: Option<Position>,
    pub(crate) step: Step,
    pub(crate) answer: Answer,
}

/// How a checkpoint is made.
#[derive(Debug)]
pub(crate) enum Step {
    Commit,
    Prepare { state: Option<Bytes> },
}

/// Requests that are being written.
#[derive(Debug, Default)]
pub(crate) struct Unanswered {
    commits: Vec<(Position, Answer)>,
    /// One at a time, with the position that its commit stands for.
    preparation: Option<(PendingCheckpoint, Position, Answer)>,
}

impl Unanswered {
    /// Notes a request that the machine decided about.
    pub(crate) fn note(
        &mut self,
        position: Position,
        answer: Answer,
        decision: Result<CheckpointRequest, CheckpointRefused>,
    ) {
        // Nobody waits for an answer whose receiver is gone.
        let _ = match decision {
            Ok(CheckpointRequest::AlreadyStored) => answer.send(Ok(position)),
            Err(refused) => answer.send(Err(refused)),
            Ok(CheckpointRequest::Requested) => {
                self.supersede();
                self.commits.push((position, answer));
                Ok(())
            }
            Ok(CheckpointRequest::Preparing(pending)) => {
                self.supersede();
                self.preparation = Some((pending, position, answer));
                Ok(())
            }
        };
    }

    /// What is asked for later is written instead.
    fn supersede(&mut self) {
        if let Some((_, requested, answer)) = self.preparation.take() {
            // Nobody waits for an answer whose receiver is gone.
            let _ = answer.send(Err(CheckpointRefused::Superseded { requested }));
        }
    }

    pub(crate) fn stored(&mut self, stored: &Position) {
        for (position, answer) in self.commits.extract_if(.., |(requested, _)| *requested <= *stored) {
            // Nobody waits for an answer whose receiver is gone.
            let _ = answer.send(Ok(position));
        }
    }

    pub(crate) fn prepared(&mut self, prepared: &PendingCheckpoint) {
        if let Some((_, position, answer)) = self.preparation.take_if(|(pending, ..)| pending == prepared) {
            // Nobody waits for an answer whose receiver is gone.
            let _ = answer.send(Ok(position));
        }
    }

    pub(crate) fn lost(&mut self) {
        let commits = self.commits.drain(..).map(|(_, answer)| answer);
        let preparation = self.preparation.take().map(|(.., answer)| answer);
        for answer in commits.chain(preparation) {
            // Nobody waits for an answer whose receiver is gone.
            let _ = answer.send(Err(CheckpointRefused::LeaseLost));
        }
    }
}

/// Commits how far a shard has been handled. It is good for one tenure of the lease: when the lease is lost, it says so.
#[derive(Clone)]
pub struct Checkpointer {
    commands: mpsc::Sender<CheckpointCommand>,
    lost: CancellationToken,
}

impl Checkpointer {
    pub(crate) fn new(commands: mpsc::Sender<CheckpointCommand>, lost: CancellationToken) -> Self {
        Self { commands, lost }
    }

    /// Commits everything that was delivered so far, the current batch included, and returns when the lease table has it.
    ///
    /// # Errors
    /// If the lease is lost.
    pub async fn checkpoint(&self) -> Result<(), CheckpointError> {
        self.request(None).await
    }

    /// Commits `record` and everything before it.
    ///
    /// # Errors
    /// If the record was not delivered yet, lies before the checkpoint, or the lease is lost.
    pub async fn checkpoint_record(&self, record: &Record) -> Result<(), CheckpointError> {
        self.request(Some(Position::Record(record.position()))).await
    }

    /// Commits the record with these numbers and everything before it; `sub_sequence_number` is 0 for a plain record.
    ///
    /// # Errors
    /// If the record was not delivered yet, lies before the checkpoint, or the lease is lost.
    pub async fn checkpoint_at(
        &self,
        sequence_number: SequenceNumber,
        sub_sequence_number: u64,
    ) -> Result<(), CheckpointError> {
        self.request(Some(Position::Record(RecordPosition {
            sequence_number,
            sub_sequence_number,
        })))
        .await
    }

    /// Prepares to commit everything that was delivered so far, the current batch included: the lease table notes that this is
    /// about to be committed, with `application_state` beside it, and the checkpoint stays where it is.
    /// [`PreparedCheckpoint::commit`] makes it the checkpoint. If that never happens, whoever holds the lease next finds both
    /// in [`ShardContext::pending_checkpoint`](crate::ShardContext::pending_checkpoint).
    ///
    /// This is for work that ends elsewhere, such as a transaction: prepare with the transaction's name, end the
    /// transaction, commit. Every plain checkpoint takes the place of what was prepared.
    ///
    /// # Errors
    /// If the state is too large, or the lease is lost.
    pub async fn prepare_checkpoint(
        &self,
        application_state: Option<Bytes>,
    ) -> Result<PreparedCheckpoint, CheckpointError> {
        self.prepare(None, application_state).await
    }

    /// Prepares to commit `record` and everything before it; see [`prepare_checkpoint`](Self::prepare_checkpoint).
    ///
    /// # Errors
    /// If the record was not delivered yet, lies before the checkpoint, the state is too large, or the lease is lost.
    pub async fn prepare_checkpoint_record(
        &self,
        record: &Record,
        application_state: Option<Bytes>,
    ) -> Result<PreparedCheckpoint, CheckpointError> {
        self.prepare(Some(Position::Record(record.position())), application_state)
            .await
    }

    /// Prepares to commit the record with these numbers and everything before it; see
    /// [`prepare_checkpoint`](Self::prepare_checkpoint).
    ///
    /// # Errors
    /// As [`prepare_checkpoint_record`](Self::prepare_checkpoint_record).
    pub async fn prepare_checkpoint_at(
        &self,
        sequence_number: SequenceNumber,
        sub_sequence_number: u64,
        application_state: Option<Bytes>,
    ) -> Result<PreparedCheckpoint, CheckpointError> {
        let position = RecordPosition {
            sequence_number,
            sub_sequence_number,
        };
        self.prepare(Some(Position::Record(position)), application_state).await
    }

    /// Ends when the lease is lost: long work can watch it and stop.
    pub async fn lease_lost(&self) {
        self.lost.cancelled().await;
    }

    /// Whether the lease is lost.
    #[must_use]
    pub fn is_lease_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    async fn prepare(
        &self,
        position: Option<Position>,
        state: Option<Bytes>,
    ) -> Result<PreparedCheckpoint, CheckpointError> {
        let position = self.ask(position, Step::Prepare { state }).await?;
        let checkpointer = self.clone();
        Ok(PreparedCheckpoint { checkpointer, position })
    }

    async fn request(&self, position: Option<Position>) -> Result<(), CheckpointError> {
        self.ask(position, Step::Commit).await.map(|_| ())
    }

    async fn ask(&self, position: Option<Position>, step: Step) -> Result<Position, CheckpointError> {
        let (answer, answered) = oneshot::channel();
        let lost = CheckpointError::Refused(CheckpointRefused::LeaseLost);
        let command = CheckpointCommand { position, step, answer };
        if self.commands.send(command).await.is_err() {
            return Err(lost);
        }
        match answered.await {
            Ok(result) => Ok(result?),
            Err(_) => Err(lost),
        }
    }
}

impl fmt::Debug for Checkpointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpointer")
            .field("lease_lost", &self.is_lease_lost())
            .finish_non_exhaustive()
    }
}

/// A checkpoint that the lease table knows to be under way. Without [`commit`](Self::commit) it stays so, until another one is
/// prepared or committed.
#[derive(Clone, Debug)]
#[must_use = "only `commit` makes it the checkpoint"]
pub struct PreparedCheckpoint {
    checkpointer: Checkpointer,
    position: Position,
}

impl PreparedCheckpoint {
    /// What is prepared: this record and everything before it.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Makes it the checkpoint, and returns when the lease table has it. The end of a shard is committed by the runtime, when
    /// [`shard_ended`](crate::RecordProcessor::shard_ended) succeeded.
    ///
    /// # Errors
    /// If a later position was committed meanwhile, or the lease is lost.
    pub async fn commit(self) -> Result<(), CheckpointError> {
        self.checkpointer.request(Some(self.position)).await
    }
}
