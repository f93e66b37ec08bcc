//! Functions of this process, which take batches and need no JSON.

use std::time::Duration;

use kcl_core::Batch;
use kcl_runtime::{BatchCall, BatchHandler, CallOutcome, IntoBatchOutcome};

use super::MappedFunction;
use crate::{
    invoke::{FunctionError, FunctionErrorKind},
    metrics::{Ended, MappingMetrics},
};

/// A function of this process.
pub(super) struct OwnFunction<F> {
    function: F,
    timeout: Duration,
    item_failures: bool,
    metrics: MappingMetrics,
}

impl<F> OwnFunction<F> {
    pub(super) fn new(mapped: &MappedFunction, function: F, metrics: MappingMetrics) -> Self {
        Self {
            function,
            timeout: mapped.timeout,
            item_failures: mapped.mapping.reports_item_failures(),
            metrics,
        }
    }
}

impl<F, R> BatchHandler for OwnFunction<F>
where
    F: Fn(Batch) -> R + Send + Sync + 'static,
    R: Future<Output: IntoBatchOutcome> + Send + 'static,
{
    async fn handle(&self, call: BatchCall) -> CallOutcome {
        let running = self.metrics.begins(&call);
        let answer = tokio::time::timeout(self.timeout, (self.function)(call.batch));
        let (ended, outcome) = match answer.await.map(IntoBatchOutcome::into_batch_outcome) {
            Ok(Ok(outcome)) if outcome.is_success() => (Ended::Handled, CallOutcome::Done(outcome)),
            Ok(Ok(outcome)) if self.item_failures => (Ended::Failed, CallOutcome::Done(outcome)),
            Ok(Ok(_)) => {
                let error = "records were named as failed, and ReportBatchItemFailures is off: the whole batch failed";
                (Ended::Failed, CallOutcome::Failed(error.into()))
            }
            Ok(Err(error)) => (Ended::Failed, CallOutcome::Failed(error)),
            Err(_) => {
                let message = format!("Task timed out after {:.2} seconds", self.timeout.as_secs_f64());
                let error = FunctionError::new(FunctionErrorKind::Timeout, "Sandbox.Timedout", message);
                (Ended::Failed, CallOutcome::Failed(error.into()))
            }
        };
        running.ended(ended);
        outcome
    }
}
