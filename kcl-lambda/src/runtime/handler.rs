//! Batches on their way to a function: written as events, and what was answered made into an outcome.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use kcl_core::{Batch, delivery::WindowCall};
use kcl_runtime::{BatchCall, BatchHandler, BatchOutcome, CallOutcome};

use super::MappedFunction;
use crate::{
    event::{EventSource, EventWriter, WindowInvoke},
    invoke::{Invocation, Invoke, InvokeError, RequestId},
    metrics::{Ended, MappingMetrics},
    response::{InvalidResponse, ResponseRules, ResponseVerdict, WindowState},
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

    fn invocation(&self, call: &BatchCall) -> Result<Invocation, InvalidResponse> {
        let writer = EventWriter::new(&self.source, &call.shard.shard);
        let event = match &call.window {
            None => writer.event(&call.batch),
            Some(window) => writer.window_event(&call.batch, &invoke_of(window)?),
        };
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let request = RequestId::random(&mut chance);
        let arn = self.function_arn.clone();
        Ok(Invocation::new(request, event, self.timeout, arn))
    }

    /// The state that the last call for a window returns is dropped, so that none need be returned.
    fn rules_for(&self, call: &BatchCall) -> ResponseRules {
        let is_final = call.window.as_ref().is_some_and(|window| window.is_final);
        ResponseRules {
            window_state: self.rules.window_state && !is_final,
            ..self.rules
        }
    }
}

fn invoke_of(call: &WindowCall) -> Result<WindowInvoke, InvalidResponse> {
    let state = match std::str::from_utf8(&call.state) {
        Ok("") => WindowState::default(),
        Ok(json) => WindowState::new(json)?,
        Err(_) => return Err(InvalidResponse::StateIsNoObject { found: "no text" }),
    };
    Ok(WindowInvoke {
        window: call.window,
        state,
        is_final: call.is_final,
        is_terminated_early: call.is_terminated_early,
    })
}

impl BatchHandler for InvokingHandler {
    async fn handle(&self, call: BatchCall) -> CallOutcome {
        let invocation = match self.invocation(&call) {
            Ok(invocation) => invocation,
            // The state that the lease table holds is none that a function returned.
            Err(invalid) => return CallOutcome::Failed(invalid.into()),
        };
        let running = self.metrics.begins(&call);
        let result = self.function.invoke(invocation).await;
        match result {
            Ok(response) => {
                let verdict = ResponseVerdict::of(&response, &call.batch, self.rules_for(&call));
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
    let mut outcome = BatchOutcome::success();
    let state = match verdict {
        ResponseVerdict::AllHandled { state } => state,
        ResponseVerdict::Failed { failed, state } => {
            for record in failed.indexes().iter().filter_map(|index| batch.get(*index)) {
                outcome.fail_record(record);
            }
            state
        }
        ResponseVerdict::Invalid(invalid) => return CallOutcome::Failed(invalid.into()),
    };
    match state {
        None => CallOutcome::Done(outcome),
        Some(state) => CallOutcome::Windowed {
            outcome,
            state: Bytes::copy_from_slice(state.as_json().as_bytes()),
        },
    }
}
