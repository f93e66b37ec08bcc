//! The handling side: one call to the user's code at a time, repeated until it succeeds; what was handled is committed.

use super::{
    Call, CheckpointPolicy, Finish, Outcome, ShardEffect, ShardEvent, ShardMachine, ShardPhase, StopReason, Waiting,
    buffer::Room,
};
use crate::{
    ack::{AckTracker, Ticket},
    record::Batch,
    sequence::Position,
    time::{Tick, Timestamp},
};

/// A call that runs or is about to be repeated.
#[derive(Debug)]
struct Current {
    call: Call,
    ticket: Option<Ticket>,
    attempt: u32,
    state: CallState,
}

#[derive(Debug)]
enum CallState {
    Running,
    /// It failed and is repeated at this time.
    Failed {
        retry_at: Tick,
        error: String,
    },
}

#[derive(Debug)]
pub(super) struct Handling {
    acks: AckTracker,
    current: Option<Current>,
    handled: Position,
    delivered: Position,
    handled_records: u64,
    pub(super) handled_bytes: u64,
    /// Records of aggregates whose hash keys are those of other shards.
    out_of_range: u64,
    /// Since when handled records are not committed, and how many.
    uncommitted_since: Option<Tick>,
    uncommitted_records: u64,
    checkpoint_requested: Option<Position>,
    initialized: bool,
    last_call_made: bool,
    ended: bool,
}

impl Handling {
    pub(super) fn new(start: Position) -> Self {
        Self {
            acks: AckTracker::new(),
            current: None,
            handled: start.clone(),
            delivered: start,
            handled_records: 0,
            handled_bytes: 0,
            out_of_range: 0,
            uncommitted_since: None,
            uncommitted_records: 0,
            checkpoint_requested: None,
            initialized: false,
            last_call_made: false,
            ended: false,
        }
    }

    /// Nothing was delivered yet, and reading starts here.
    pub(super) fn start_at(&mut self, position: Position) {
        self.handled = position.clone();
        self.delivered = position;
    }

    pub(super) fn is_calling(&self) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| matches!(current.state, CallState::Running))
    }

    pub(super) fn retry_at(&self) -> Option<Tick> {
        match self.current.as_ref()?.state {
            CallState::Failed { retry_at, .. } => Some(retry_at),
            CallState::Running => None,
        }
    }

    pub(super) fn delivered(&self) -> &Position {
        &self.delivered
    }

    pub(super) fn handled(&self) -> &Position {
        &self.handled
    }

    pub(super) fn handled_records(&self) -> u64 {
        self.handled_records
    }

    /// The batch that the user's code works on or is to work on again.
    fn outstanding(&self) -> Option<&Batch> {
        match &self.current.as_ref()?.call {
            Call::Process { batch, .. } => Some(batch),
            _ => None,
        }
    }

    pub(super) fn outstanding_records(&self) -> usize {
        self.outstanding().map_or(0, |batch| batch.len())
    }

    pub(super) fn outstanding_weight(&self) -> u64 {
        self.outstanding().map_or(0, Batch::weight)
    }

    pub(super) fn oldest_arrival(&self) -> Option<Timestamp> {
        self.outstanding()?
            .first()
            .map(|record| record.approximate_arrival_timestamp)
    }

    pub(super) fn waiting(&self, now: Tick) -> Option<Waiting> {
        let current = self.current.as_ref()?;
        let call = current.call.name();
        Some(match &current.state {
            CallState::Running => Waiting::ForHandler {
                call,
                attempt: current.attempt,
            },
            CallState::Failed { retry_at, error } => Waiting::ForRetry {
                call,
                failures: current.attempt,
                error: error.clone(),
                retry_in: retry_at.since(now),
            },
        })
    }

    /// The call that a stopping consumer still owes the user's code: one, and only if it was ever initialized.
    pub(super) fn last_call(&mut self, lost: bool) -> Option<Call> {
        self.current = None;
        if !self.initialized || self.last_call_made {
            return None;
        }
        self.last_call_made = true;
        Some(if lost { Call::LeaseLost } else { Call::ShutdownRequested })
    }

    pub(super) fn checkpoint_stored(&mut self, now: Tick, checkpoint: &Position) {
        if self
            .checkpoint_requested
            .as_ref()
            .is_some_and(|requested| requested <= checkpoint)
        {
            self.checkpoint_requested = None;
        }
        if *checkpoint >= self.handled {
            self.uncommitted_since = None;
            self.uncommitted_records = 0;
        } else if self.uncommitted_since.is_some() {
            self.uncommitted_since = Some(now);
        }
    }
}

impl ShardMachine {
    pub(super) fn start_call(&mut self, call: Call) {
        self.start(Current {
            call,
            ticket: None,
            attempt: 1,
            state: CallState::Running,
        });
    }

    fn start(&mut self, current: Current) {
        self.effects.push_back(ShardEffect::Call(current.call.clone()));
        self.handling.current = Some(current);
    }

    pub(super) fn advance_handling(&mut self, now: Tick) {
        match self.handling.current.take() {
            Some(mut current) => match current.state {
                CallState::Failed { retry_at, .. } if retry_at <= now => {
                    current.attempt = current.attempt.saturating_add(1);
                    if let Call::Process { attempt, .. } = &mut current.call {
                        *attempt = current.attempt;
                    }
                    current.state = CallState::Running;
                    self.start(current);
                }
                _ => self.handling.current = Some(current),
            },
            None => self.next_call(now),
        }
    }

    fn next_call(&mut self, now: Tick) {
        let room = Room {
            records: self.config.batch_size,
            weight: self.reading.half_share(),
        };
        while let Some(popped) = self.reading.buffer.pop(&self.cutting, room) {
            self.count_out_of_range(popped.out_of_range);
            let Some(end) = popped.end else { continue };
            if !popped.batch.is_empty() {
                return self.deliver(popped.batch, end);
            }
            self.pass_over(now, end);
        }
        if self.reading.is_exhausted() && !self.handling.ended {
            self.handling.ended = true;
            self.start_call(Call::ShardEnded);
        }
    }

    fn deliver(&mut self, batch: Batch, end: Position) {
        let ticket = self.handling.acks.push(end.clone());
        self.handling.delivered = end;
        let call = Call::Process { batch, attempt: 1 };
        self.start(Current {
            call,
            ticket: Some(ticket),
            attempt: 1,
            state: CallState::Running,
        });
    }

    /// Nothing up to `end` is for the user's code: what was there is left out, and the next consumer need not look at it.
    fn pass_over(&mut self, now: Tick, end: Position) {
        let ticket = self.handling.acks.push(end.clone());
        self.handling.delivered = end;
        self.complete(now, ticket);
    }

    fn count_out_of_range(&mut self, records: u64) {
        if records > 0 {
            self.handling.out_of_range += records;
            self.effects.push_back(ShardEffect::Event(ShardEvent::OutOfRange {
                records,
                total: self.handling.out_of_range,
                rule: self.config.out_of_range,
            }));
        }
    }

    pub(super) fn called(&mut self, now: Tick, outcome: Outcome) {
        // Only a running call can end; an answer that comes twice must not count for the call that is to be repeated.
        if !self.handling.is_calling() {
            return;
        }
        let Some(current) = self.handling.current.take() else {
            return;
        };
        let lost = self.stop == Some(StopReason::LeaseLost);
        match (outcome, current.call.clone()) {
            // What was set up is told that the lease is lost, however late.
            (Outcome::Success | Outcome::SuccessBefore(_), call @ Call::Initialize { .. }) => self.milestone(&call),
            // What a call says after the lease was lost does not count: another worker may have handled the same records.
            _ if lost => {}
            (Outcome::Success, Call::Process { batch, .. }) => self.handled(now, current.ticket, &batch),
            (Outcome::SuccessBefore(index), Call::Process { batch, .. }) if index < batch.len() => {
                self.partly_handled(now, current, &batch, index);
            }
            (Outcome::SuccessBefore(_), Call::Process { batch, .. }) => {
                self.handled(now, current.ticket, &batch);
            }
            (Outcome::Success | Outcome::SuccessBefore(_), call) => self.milestone(&call),
            (Outcome::Failure(error), _) => self.failed(now, current, error),
            (Outcome::Cancelled, _) => self.cancelled(&current),
        }
    }

    /// A call was ended that was not to be: the user's object is gone with it, and nobody is left to call. The lease is
    /// given back at what was handled; whoever takes it starts with a new object.
    fn cancelled(&mut self, current: &Current) {
        let (call, attempt) = (current.call.name(), current.attempt);
        let error = "the call was cancelled".to_owned();
        self.effects.push_back(ShardEffect::Event(ShardEvent::CallFailed {
            call,
            attempt,
            error,
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
            Call::Process { .. } | Call::ShutdownRequested | Call::LeaseLost => {}
        }
    }

    fn handled(&mut self, now: Tick, ticket: Option<Ticket>, batch: &Batch) {
        let (records, bytes) = (batch.len(), batch.size() as u64);
        self.effects
            .push_back(ShardEffect::Event(ShardEvent::Handled { records, bytes }));
        self.handling.handled_records += records as u64;
        self.handling.handled_bytes += bytes;
        self.handling.uncommitted_records += records as u64;
        if let Some(ticket) = ticket {
            self.complete(now, ticket);
        }
    }

    /// Everything of a unit is done with.
    fn complete(&mut self, now: Tick, ticket: Ticket) {
        self.handling
            .acks
            .complete(ticket)
            .expect("a ticket is completed once, when its call succeeds");
        self.handling.uncommitted_since.get_or_insert(now);
        if let Some(watermark) = self.handling.acks.watermark() {
            self.handling.handled = watermark.clone();
            if self.is_automatic() {
                self.effects.push_back(ShardEffect::Progress(watermark.clone()));
            }
        }
    }

    /// The head of a batch was handled: it counts, and the rest is tried again with attempts of its own.
    fn partly_handled(&mut self, now: Tick, current: Current, batch: &Batch, index: usize) {
        let (head, tail) = batch.split_at(index);
        let mut rest = current;
        if let (Some(ticket), Some(end)) = (rest.ticket, head.end_position()) {
            let tail_ticket = self
                .handling
                .acks
                .split(ticket, end)
                .expect("the ticket of a running call is outstanding");
            self.handled(now, Some(ticket), &head);
            rest.ticket = Some(tail_ticket);
            rest.attempt = 1;
        }
        let error = format!("the handler named record {index} of {} as failed", batch.len());
        rest.call = Call::Process {
            batch: tail,
            attempt: rest.attempt,
        };
        self.failed(now, rest, error);
    }

    fn failed(&mut self, now: Tick, current: Current, error: String) {
        let call = current.call.name();
        let stopping = self.stop.is_some();
        // While stopping nothing is repeated: the records stay unhandled, and the next holder of the lease gets them.
        let retry_in = (!stopping).then(|| self.config.handler_backoff.wait(current.attempt, &mut self.rng));
        let attempt = current.attempt;
        self.effects.push_back(ShardEffect::Event(ShardEvent::CallFailed {
            call,
            attempt,
            error: error.clone(),
            retry_in,
        }));
        if let Some(wait) = retry_in {
            let state = CallState::Failed {
                retry_at: now + wait,
                error,
            };
            self.handling.current = Some(Current { state, ..current });
        }
    }

    fn is_automatic(&self) -> bool {
        matches!(self.config.checkpoint, CheckpointPolicy::Automatic { .. })
    }

    pub(super) fn checkpoint_due(&self) -> Option<Tick> {
        let CheckpointPolicy::Automatic { interval, records } = self.config.checkpoint else {
            return None;
        };
        let since = self.handling.uncommitted_since?;
        if self.stop.is_some() || self.handling.checkpoint_requested.is_some() {
            return None;
        }
        Some(if self.handling.uncommitted_records >= records {
            since
        } else {
            since + interval
        })
    }

    pub(super) fn advance_checkpoint(&mut self, now: Tick) {
        if self.phase == ShardPhase::Finished || self.checkpoint_due().is_none_or(|due| now < due) {
            return;
        }
        let position = self.handling.handled.clone();
        self.handling.checkpoint_requested = Some(position.clone());
        // What is handled from here on counts for the next checkpoint: else a busy shard would ask for one after another.
        self.handling.uncommitted_since = None;
        self.handling.uncommitted_records = 0;
        self.effects.push_back(ShardEffect::Checkpoint(position));
    }
}
