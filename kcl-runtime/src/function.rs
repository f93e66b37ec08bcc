//! The door for consumers that are one async function.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use kcl_core::{Batch, BoxError, Record, SequenceNumber};

use crate::{
    checkpointer::Checkpointer,
    processor::{Attempt, Delivered, DynFactory, DynProcessor, ShardContext},
};

/// What a function says about a batch when some of it failed.
///
/// As in Lambda's `ReportBatchItemFailures`, the lowest failed record decides: everything before it counts as handled,
/// it and everything after it is delivered again. With
/// [`FailedItems::Each`](kcl_core::delivery::FailedItems::Each), only those that failed and what follows them in their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchOutcome {
    failures: Vec<Failed>,
}

/// A record that was not handled. Without a place in an aggregate it is the first one with the number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failed {
    sequence_number: SequenceNumber,
    sub_sequence_number: Option<u64>,
}

impl Failed {
    fn names(&self, record: &Record) -> bool {
        let sub = self.sub_sequence_number;
        self.sequence_number == record.sequence_number && sub.is_none_or(|sub| sub == record.sub_sequence_number)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sub_sequence_number {
            Some(sub) => write!(f, "{}/{sub}", self.sequence_number),
            None => write!(f, "{}", self.sequence_number),
        }
    }
}

impl BatchOutcome {
    /// Everything was handled, until [`fail`](Self::fail) says otherwise.
    #[must_use]
    pub fn success() -> Self {
        Self::default()
    }

    /// Whether no record is named as failed.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failures.is_empty()
    }

    /// Names a record that was not handled. Of records that came in one aggregate it is the first of the batch: all of them
    /// have the same number. [`fail_record`](Self::fail_record) names one among them.
    pub fn fail(&mut self, sequence_number: SequenceNumber) {
        self.failures.push(Failed {
            sequence_number,
            sub_sequence_number: None,
        });
    }

    /// The indices of the records that were not handled.
    pub(crate) fn indices(self, batch: &Batch) -> Result<Vec<usize>, UnknownFailure> {
        let index = |failed: Failed| {
            let index = batch.iter().position(|record| failed.names(record));
            index.ok_or(UnknownFailure(failed))
        };
        self.failures.into_iter().map(index).collect()
    }

    /// Names a record that was not handled, by its place in its aggregate too.
    pub fn fail_record(&mut self, record: &Record) {
        self.failures.push(Failed {
            sequence_number: record.sequence_number.clone(),
            sub_sequence_number: Some(record.sub_sequence_number),
        });
    }
}

/// A result names a failure that is not in the batch.
#[derive(Debug, thiserror::Error)]
#[error("the outcome names {0} as failed, which is not in the batch: nothing of the batch counts as handled")]
pub(crate) struct UnknownFailure(Failed);

/// What an outcome says about its batch.
pub(crate) fn delivered(outcome: BatchOutcome, batch: &Batch) -> Result<Delivered, UnknownFailure> {
    let items = outcome.indices(batch)?;
    Ok(if items.is_empty() {
        Delivered::All
    } else {
        Delivered::Items(items)
    })
}

/// What a function may return.
///
/// `()` is success; of a `Result`, an error means that nothing was handled; [`BatchOutcome`] names the failed records.
pub trait IntoBatchOutcome {
    /// The outcome, or the error for which nothing counts as handled.
    ///
    /// # Errors
    /// If the handler failed.
    fn into_batch_outcome(self) -> Result<BatchOutcome, BoxError>;
}

impl IntoBatchOutcome for () {
    fn into_batch_outcome(self) -> Result<BatchOutcome, BoxError> {
        Ok(BatchOutcome::success())
    }
}

impl IntoBatchOutcome for BatchOutcome {
    fn into_batch_outcome(self) -> Result<BatchOutcome, BoxError> {
        Ok(self)
    }
}

impl<T: IntoBatchOutcome, E: Into<BoxError>> IntoBatchOutcome for Result<T, E> {
    fn into_batch_outcome(self) -> Result<BatchOutcome, BoxError> {
        self.map_err(Into::into)?.into_batch_outcome()
    }
}

struct Function<F>(Arc<F>);

impl<F> fmt::Debug for Function<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}

#[async_trait]
impl<F, R> DynProcessor for Function<F>
where
    F: Fn(Batch) -> R + Send + Sync + 'static,
    R: Future<Output: IntoBatchOutcome> + Send,
{
    async fn initialize(&mut self, _context: &ShardContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn process_records(&mut self, batch: Batch, _attempt: Attempt<'_>) -> Result<Delivered, BoxError> {
        let outcome = (self.0)(batch.clone()).await.into_batch_outcome()?;
        Ok(delivered(outcome, &batch)?)
    }

    async fn lease_lost(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    async fn shard_ended(&mut self, _checkpointer: &Checkpointer) -> Result<(), BoxError> {
        Ok(())
    }

    async fn shutdown_requested(&mut self, _checkpointer: &Checkpointer) -> Result<(), BoxError> {
        Ok(())
    }
}

pub(crate) fn function_factory<F, R>(function: F) -> DynFactory
where
    F: Fn(Batch) -> R + Send + Sync + 'static,
    R: Future<Output: IntoBatchOutcome> + Send + 'static,
{
    let function = Arc::new(function);
    Arc::new(move |_| Box::new(Function(Arc::clone(&function))))
}
