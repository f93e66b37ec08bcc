//! Calls that run alone: `initialize` before all deliveries, and those after them.

use std::time::Duration;

use super::Handling;
use crate::{
    shard::{Call, CallId, Finish, Outcome, ShardEffect, ShardEvent, ShardMachine, StopReason, Waiting},
    time::Tick,
};

/// A call with no delivery beside it.
#[derive(Debug)]
pub(in crate::shard) struct Alone {
    call: Call,
    attempt: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Running(CallId),
    /// It failed and is repeated at this time.
    Failed {
        retry_at: Tick,
        error: String,
    },
}

impl Alone {
    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, State::Running(_))
    }

    pub(super) fn retry_at(&self) -> Option<Tick> {
        match self.state {
            State::Failed { retry_at, .. } => Some(retry_at),
            State::Running(_) => None,
        }
    }

    pub(super) fn waiting(&self, now: Tick) -> Waiting {
        let (call, attempt) = (self.call.name(), self.attempt);
        match &self.state {
            State::Running(_) => Waiting::ForHandler { call, attempt },
            State::Failed { retry_at, error } => Waiting::ForRetry {
                call,
                failures: attempt,
                error: error.clone(),
                retry_in: retry_at.since(now),
            },
        }
    }
}

impl Handling {
    /// The call that a stopping consumer still owes the user's code: one, and only if it was ever initialized.
    pub(in crate::shard) fn last_call(&mut self, lost: bool) -> Option<Call> {
        self.alone = None;
        if !self.initialized || self.last_call_made {
            return None;
        }
        self.last_call_made = true;
        Some(if lost { Call::LeaseLost } else { Call::ShutdownRequested })
    }
}

impl ShardMachine {
    pub(in crate::shard) fn start_call(&mut self, call: Call) {
        self.start_alone(call, 1);
    }

    fn start_alone(&mut self, mut call: Call, attempt: u32) {
        if let Call::Process { attempt: told, .. } = &mut call {
            *told = attempt;
        }
        let id = self.handling.lanes.next_id();
        self.effects.push_back(ShardEffect::Call { id, call: call.clone() });
        let state = State::Running(id);
        self.handling.alone = Some(Alone { call, attempt, state });
    }

    pub(in crate::shard) fn advance_handling(&mut self, now: Tick) {
        match self
            .handling
            .alone
            .take_if(|alone| alone.retry_at().is_some_and(|at| at <= now))
        {
            Some(alone) => return self.start_alone(alone.call, alone.attempt.saturating_add(1)),
            None if self.handling.alone.is_some() => return,
            None if self.end_window() => return,
            None => self.advance_deliveries(now),
        }
        if self.handling.alone.is_some() {
            return;
        }
        if self.reading.is_exhausted() && self.handling.lanes.is_idle() && !self.handling.ended {
            self.handling.ended = true;
            self.start_call(Call::ShardEnded);
        }
    }

    pub(in crate::shard) fn called(&mut self, now: Tick, id: CallId, outcome: Outcome) {
        // Only a running call can end; an answer that comes twice must not count for the call that is to be repeated.
        let runs = |alone: &mut Alone| matches!(alone.state, State::Running(running) if running == id);
        if let Some(alone) = self.handling.alone.take_if(runs) {
            self.called_alone(now, alone, outcome);
        } else if let Some(lane) = self.handling.lanes.ended(id) {
            self.delivery_ended(now, lane, outcome);
        }
    }

    fn called_alone(&mut self, now: Tick, alone: Alone, outcome: Outcome) {
        let lost = self.stop.is_some_and(StopReason::is_void);
        match (outcome, &alone.call) {
            // What was set up is told that the lease is lost, however late.
            (
                Outcome::Success | Outcome::SuccessBefore(_) | Outcome::Windowed { .. },
                call @ Call::Initialize { .. },
            ) => self.milestone(call),
            // What a call says after the lease was lost does not count: another worker may have handled the same records.
            _ if lost => {}
            (Outcome::Success | Outcome::SuccessBefore(_) | Outcome::Windowed { .. }, call) => self.milestone(call),
            (Outcome::Failure(error), _) => self.failed_alone(now, alone, None, error),
            (Outcome::Postponed { reason, wait }, _) => self.failed_alone(now, alone, Some(wait), reason),
            (Outcome::NotCalled { reason, wait }, _) => self.failed_alone(now, alone, wait, reason),
            (Outcome::FailedItems(_), _) => {
                let error = "items were named as failed, and there were none".to_owned();
                self.failed_alone(now, alone, None, error);
            }
            (Outcome::Cancelled, call) => self.cancelled(call.name(), alone.attempt),
        }
    }

    /// A call was ended that was not to be: the user's object is gone with it, and nobody is left to call. The lease is
    /// given back at what was handled; whoever takes it starts with a new object.
    pub(super) fn cancelled(&mut self, call: &'static str, attempt: u32) {
        self.effects.push_back(ShardEffect::Event(ShardEvent::CallFailed {
            call,
            attempt,
            first: None,
            error: "the call was cancelled".to_owned(),
            retry_in: None,
        }));
        self.handling.last_call_made = true;
        self.stop(StopReason::Shutdown);
    }

    /// A call other than a delivery succeeded.
    fn milestone(&mut self, call: &Call) {
        match call {
            Call::Initialize { .. } => {
                self.handling.initialized = true;
                if self.stop.is_none() {
                    self.start_reading();
                }
            }
            Call::ShardEnded => {
                let children = self.reading.end.take().unwrap_or_default();
                self.handling.last_call_made = true;
                self.finish(Finish::Ended(children));
            }
            Call::Process { .. } => self.window_ended(call),
            Call::Discard(_) | Call::ShutdownRequested | Call::LeaseLost => {}
        }
    }

    fn failed_alone(&mut self, now: Tick, alone: Alone, wait: Option<Duration>, error: String) {
        // While stopping nothing is repeated.
        let retry_in = self
            .stop
            .is_none()
            .then(|| wait.unwrap_or_else(|| self.config.handler_backoff.wait(alone.attempt, &mut self.rng)));
        self.effects.push_back(ShardEffect::Event(ShardEvent::CallFailed {
            call: alone.call.name(),
            attempt: alone.attempt,
            first: None,
            error: error.clone(),
            retry_in,
        }));
        if let Some(wait) = retry_in {
            let retry_at = now + wait;
            let state = State::Failed { retry_at, error };
            self.handling.alone = Some(Alone { state, ..alone });
        }
    }

    /// Goes through the last calls and ends the machine, once no call runs.
    pub(in crate::shard) fn advance_stop(&mut self, now: Tick) {
        let lost = self.stop.is_some_and(StopReason::is_void);
        if !lost && self.handling.alone.is_none() {
            self.close_gaps(now);
        }
        let waits_for_gaps = !lost && self.handling.alone.is_none() && self.handling.lanes.has_gaps();
        if self.handling.is_calling() || waits_for_gaps {
            return;
        }
        match self.handling.last_call(lost) {
            Some(call) => self.start_call(call),
            None => self.finish(if lost { Finish::Lost } else { Finish::Drained }),
        }
    }
}
