//! Batches on their way to a function: written as events, and what was answered made into an outcome.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kcl_core::Batch;
use kcl_runtime::{BatchCall, BatchHandler, BatchOutcome, CallOutcome};

use super::MappedFunction;
use crate::{
    event::{EventSource, EventWriter},
    invoke::{Invocation, Invoke, InvokeError, RequestId},
    metrics::{Ended, MappingMetrics},
    response::{ResponseRules, ResponseVerdict},
};

/// Invokes a function with events.
#[derive(Debug)]
pub(super) struct InvokingHandler {
    function: Arc<dyn Invoke>,
    source: EventSource,
    function_arn: bytestring::ByteString,
    timeout: Duration,
    rules: ResponseRules,
    metrics: MappingMetrics,
    chance: Mutex<fastrand::Rng>,
}

impl InvokingHandler {
    pub(super) fn new(mapped: &MappedFunction, function: Arc<dyn Invoke>, metrics: MappingMetrics) -> Self {
        Self {
            function,
            source: mapped.source.clone(),
            function_arn: mapped.function_arn.as_str().into(),
            timeout: mapped.timeout,
            rules: mapped.mapping.response_rules(),
            metrics,
            chance: Mutex::new(fastrand::Rng::with_seed(mapped.seed)),
        }
    }

    fn invocation(&self, call: &BatchCall) -> Invocation {
        let event = EventWriter::new(&self.source, &call.shard.shard).event(&call.batch);
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let request = RequestId::random(&mut chance);
        Invocation::new(request, event, self.timeout, self.function_arn.clone())
    }
}

impl BatchHandler for InvokingHandler {
    async fn handle(&self, call: BatchCall) -> CallOutcome {
        let invocation = self.invocation(&call);
        let running = self.metrics.begins(&call);
        let result = self.function.invoke(invocation).await;
        match result {
            Ok(response) => {
                let verdict = ResponseVerdict::of(&response, &call.batch, self.rules);
                running.ended(match &verdict {
                    ResponseVerdict::AllHandled { .. } => Ended::Handled,
                    ResponseVerdict::Failed { .. } | ResponseVerdict::Invalid(_) => Ended::Failed,
                });
                outcome_of(verdict, &call.batch)
            }
            Err(InvokeError::Function(error)) => {
                running.ended(Ended::Failed);
                CallOutcome::Failed(error.into())
            }
            Err(InvokeError::NotInvoked { reason, retry_after }) => {
                running.ended(Ended::NotInvoked);
                CallOutcome::NotCalled {
                    reason: reason.into(),
                    retry_after,
                }
            }
        }
    }
}

fn outcome_of(verdict: ResponseVerdict, batch: &Batch) -> CallOutcome {
    match verdict {
        ResponseVerdict::AllHandled { .. } => CallOutcome::Done(BatchOutcome::success()),
        ResponseVerdict::Failed { failed, .. } => {
            let mut outcome = BatchOutcome::success();
            for record in failed.indexes().iter().filter_map(|index| batch.get(*index)) {
                outcome.fail_record(record);
            }
            CallOutcome::Done(outcome)
        }
        ResponseVerdict::Invalid(invalid) => CallOutcome::Failed(invalid.into()),
    }
}
