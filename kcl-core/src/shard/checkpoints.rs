//! Checkpoints that the user's code asks for: at once, or in two steps.

use bytes::Bytes;

use super::{ShardEffect, ShardMachine, ShardPhase, StopReason};
use crate::{lease::PendingCheckpoint, sequence::Position};

/// The largest state that may go with a prepared checkpoint, in bytes. A row of DynamoDB holds 400 KB with everything.
pub const LARGEST_APPLICATION_STATE: usize = 256 * 1024;

/// A checkpoint that the user asked for cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointRefused {
    /// The position lies beyond everything that was delivered.
    #[error(
        "{requested} was not delivered yet (the last record delivered is {delivered}): checkpoint what was received"
    )]
    NotDelivered {
        /// What was asked for.
        requested: Position,
        /// The last position that was delivered.
        delivered: Position,
    },
    /// The position lies before the checkpoint.
    #[error("the checkpoint is already at {checkpoint}, beyond {requested}: checkpoints do not go back")]
    GoesBack {
        /// What was asked for.
        requested: Position,
        /// The current checkpoint.
        checkpoint: Position,
    },
    /// Another checkpoint was prepared or committed before this one was written.
    #[error("{requested} was not prepared: another checkpoint was asked for at the same time")]
    Superseded {
        /// What was asked for.
        requested: Position,
    },
    /// More was to be kept with a prepared checkpoint than a row holds.
    #[error(
        "the application's state of {size} bytes does not fit into the lease table: keep it to {LARGEST_APPLICATION_STATE} \
         bytes, and what is more elsewhere"
    )]
    StateTooLarge {
        /// How large it is.
        size: usize,
    },
    /// The lease is gone, or an operator moved its checkpoint: this consumer has no right to write any more.
    #[error("the lease of the shard is lost: another worker checkpoints now, or another place was sought")]
    LeaseLost,
}

/// What became of a checkpoint request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointRequest {
    /// The table holds the position already.
    AlreadyStored,
    /// The position is being written; [`ShardInput::Stored`](super::ShardInput::Stored) will tell.
    Requested,
    /// This is being prepared. Whoever writes the row knows when it is there.
    Preparing(PendingCheckpoint),
}

impl ShardMachine {
    /// Checks a checkpoint that the user's code asked for and, if it may be written, asks for it with
    /// [`ShardEffect::Checkpoint`]. A position that is stored already succeeds without a write.
    ///
    /// # Errors
    /// If the position was not delivered yet, lies before the checkpoint, or the lease is lost.
    pub fn request_checkpoint(&mut self, requested: &Position) -> Result<CheckpointRequest, CheckpointRefused> {
        if self.is_stored(requested)? {
            return Ok(CheckpointRequest::AlreadyStored);
        }
        self.effects.push_back(ShardEffect::Checkpoint(requested.clone()));
        Ok(CheckpointRequest::Requested)
    }

    /// Checks a checkpoint that the user's code wants to prepare and, if it may be written, asks for it with
    /// [`ShardEffect::Prepare`]. The rules are those of a checkpoint; to prepare what is stored already does nothing.
    ///
    /// At the shard's end the last record stands for the end itself, as with KCL.
    ///
    /// # Errors
    /// As [`request_checkpoint`](Self::request_checkpoint), and if `state` is too large.
    pub fn request_prepare(
        &mut self,
        requested: &Position,
        state: Option<Bytes>,
    ) -> Result<CheckpointRequest, CheckpointRefused> {
        if let Some(size) = state.as_ref().map(Bytes::len)
            && size > LARGEST_APPLICATION_STATE
        {
            return Err(CheckpointRefused::StateTooLarge { size });
        }
        let at_end = self.handling.is_ending() && requested == self.handling.delivered();
        if self.is_stored(requested)? && !at_end {
            return Ok(CheckpointRequest::AlreadyStored);
        }
        let position = if at_end { Position::ShardEnd } else { requested.clone() };
        let pending = PendingCheckpoint { position, state };
        self.effects.push_back(ShardEffect::Prepare(pending.clone()));
        Ok(CheckpointRequest::Preparing(pending))
    }

    /// Whether the table holds a position already that may be committed.
    fn is_stored(&self, requested: &Position) -> Result<bool, CheckpointRefused> {
        if self.stop.is_some_and(StopReason::is_void) || self.phase == ShardPhase::Finished {
            return Err(CheckpointRefused::LeaseLost);
        }
        if requested.is_start() && self.checkpoint.is_start() {
            // Nothing was delivered, so there is nothing to commit; and the place where reading starts is not the user's
            // to move: LATEST in place of its pin would skip records after a restart.
            return Ok(true);
        }
        let delivered = self.handling.delivered();
        if requested > delivered {
            let (requested, delivered) = (requested.clone(), delivered.clone());
            return Err(CheckpointRefused::NotDelivered { requested, delivered });
        }
        if requested < &self.checkpoint {
            let (requested, checkpoint) = (requested.clone(), self.checkpoint.clone());
            return Err(CheckpointRefused::GoesBack { requested, checkpoint });
        }
        Ok(*requested == self.checkpoint)
    }
}
