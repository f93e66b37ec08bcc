//! The user's code, behind both doors: it is slow, fails and panics as drawn.

use kcl_core::{Batch, BoxError, Record};
use kcl_runtime::{BatchOutcome, Checkpointer, RecordProcessor};

use crate::{
    court::{Court, Drawn, Life},
    seams::Planted,
};

/// Who handles batches in one life of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Handlers {
    pub(crate) life: Life,
    pub(crate) court: Court,
    pub(crate) planted: Option<Planted>,
}

impl Handlers {
    fn failure(&self, outcome: Drawn) -> Result<(), BoxError> {
        if self.planted == Some(Planted::SkipFailed) {
            return Ok(());
        }
        match outcome {
            // A panic without the message that a panic prints.
            Drawn::Panic => std::panic::resume_unwind(Box::new("drawn")),
            _ => Err("drawn".into()),
        }
    }

    /// The function door: the runtime checkpoints.
    pub(crate) async fn function(self, batch: Batch) -> Result<BatchOutcome, BoxError> {
        let hands = self.court.delivered(&self.life, &batch);
        tokio::time::sleep(hands.task.takes).await;
        let mut answer = BatchOutcome::success();
        match hands.task.outcome {
            Drawn::Success => hands.handled(batch.len()),
            Drawn::Partly(count) => {
                hands.handled(count);
                if let Some(record) = batch.get(count) {
                    answer.fail(record.sequence_number.clone());
                }
            }
            failed => self.failure(failed)?,
        }
        Ok(answer)
    }
}

/// The processor door: it checkpoints itself, some of its batches, and what is left when it is told to stop.
#[derive(Debug)]
pub(crate) struct Manual {
    pub(crate) handlers: Handlers,
    pub(crate) last: Option<Record>,
}

impl RecordProcessor for Manual {
    async fn process_records(&mut self, batch: &Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        let hands = self.handlers.court.delivered(&self.handlers.life, batch);
        tokio::time::sleep(hands.task.takes).await;
        // A processor that stops half way says no more than that it failed: it gets the whole batch again.
        if !matches!(hands.task.outcome, Drawn::Success) {
            return self.handlers.failure(hands.task.outcome);
        }
        hands.handled(batch.len());
        self.last = batch.last().cloned();
        if hands.task.checkpoints {
            // A refusal says that the lease is lost: the records are another worker's now.
            let _ = checkpointer.checkpoint().await;
        }
        Ok(())
    }

    async fn shutdown_requested(&mut self, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        if let Some(record) = &self.last {
            // As above; and what was checkpointed already may be refused.
            let _ = checkpointer.checkpoint_record(record).await;
        }
        Ok(())
    }
}
