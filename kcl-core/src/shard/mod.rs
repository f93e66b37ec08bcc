//! The consumer of one shard during one tenure of its lease, as a machine.
//!
//! Two sides that only meet in a buffer: *reading* (open, read, open again when the service forgot the place) and
//! *handling* (calls to the user's code, one at a time or in [`Lanes`], repeated until they succeed). A driver performs
//! the effects and reports back; [`ShardMachine::next_deadline`] says when to wake the machine though nothing happened.

mod buffer;
mod checkpoints;
mod handling;
mod io;
mod lanes;
mod reading;
mod status;
mod watchdog;

use std::{collections::VecDeque, time::Duration};

use fastrand::Rng;

use self::{buffer::Cutting, handling::Handling, reading::Reading, watchdog::Watchdog};
pub use self::{
    checkpoints::{CheckpointRefused, CheckpointRequest, LARGEST_APPLICATION_STATE},
    io::{Call, CallId, Finish, Outcome, ShardEffect, ShardEvent, ShardInput, ShardPhase, StopReason},
    lanes::Lanes,
    status::{FailingLane, LanesStatus, ShardStatus, Waiting},
    watchdog::{Stall, WatchdogConfig},
};
use crate::{
    ack,
    aggregate::OutOfRange,
    delivery::{DeliverySettings, Rules},
    fetch::{FetchFailureKind, MAX_RECORDS_PER_READ, PollPacing, Retrieval, RetrievalMode},
    ids::HashKeyRange,
    lease::PendingCheckpoint,
    retry::Backoff,
    sequence::Position,
    time::{Tick, Timestamp},
};

/// When handled records are committed without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointPolicy {
    /// By the runtime: whatever has been handled is committed once one of the two limits is reached, with every
    /// renewal of the lease, and when the consumer stops.
    Automatic {
        /// At the latest so long after a record was handled.
        interval: Duration,
        /// At the latest when so many records have been handled.
        records: u64,
    },
    /// By the user's code alone.
    Manual,
}

impl Default for CheckpointPolicy {
    /// Every 5 seconds or 10,000 records.
    fn default() -> Self {
        Self::Automatic {
            interval: Duration::from_secs(5),
            records: 10_000,
        }
    }
}

/// How shards are consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardConfig {
    /// The most records that one call to the user's code gets.
    pub batch_size: usize,
    /// The most records that one read asks for.
    pub max_records: u32,
    /// How the shard is read. [`ShardInput::Retrieval`] changes it.
    pub retrieval: RetrievalMode,
    /// How often the shard is polled.
    pub pacing: PollPacing,
    /// How many calls to the user's code may work on the shard at once.
    pub lanes: Lanes,
    /// With lanes, the most records from the first that is not handled to the newest that is delivered. When they are so
    /// many, delivery waits.
    pub window: usize,
    /// How long to wait before the user's code is called again after a failure.
    pub handler_backoff: Backoff,
    /// How long to wait before the service is asked again after a failure.
    pub service_backoff: Backoff,
    /// When handled records are committed.
    pub checkpoint: CheckpointPolicy,
    /// Whether aggregated records are cut up into those that were put into them.
    pub deaggregate: bool,
    /// What becomes of records of aggregates whose hash keys are those of other shards.
    pub out_of_range: OutOfRange,
    /// How long nothing may happen.
    pub watchdog: WatchdogConfig,
}

impl Default for ShardConfig {
    fn default() -> Self {
        Self {
            batch_size: MAX_RECORDS_PER_READ as usize,
            max_records: MAX_RECORDS_PER_READ,
            retrieval: RetrievalMode::default(),
            pacing: PollPacing::default(),
            lanes: Lanes::One,
            window: ack::DEFAULT_WINDOW,
            handler_backoff: Backoff::HANDLER,
            service_backoff: Backoff::SERVICE,
            checkpoint: CheckpointPolicy::default(),
            deaggregate: true,
            out_of_range: OutOfRange::default(),
            watchdog: WatchdogConfig::default(),
        }
    }
}

/// Clocks of producers' and workers' machines differ a little: a worker that pins LATEST to the time at which it opened
/// the shard goes back by this much, so that the pin never lies after a record that it would have read.
pub const LATEST_PIN_MARGIN: Duration = Duration::from_secs(2);

/// The consumer of one shard during one tenure of its lease.
#[derive(Debug)]
pub struct ShardMachine {
    config: ShardConfig,
    cutting: Cutting,
    reading: Reading,
    handling: Handling,
    watchdog: Watchdog,
    checkpoint: Position,
    opened_at: Timestamp,
    stop: Option<StopReason>,
    paused_since: Option<Tick>,
    phase: ShardPhase,
    /// The way of reading that was told last, and why it is not the other.
    told_retrieval: Option<(Retrieval, Option<FetchFailureKind>)>,
    effects: VecDeque<ShardEffect>,
    rng: Rng,
}

impl ShardMachine {
    /// A consumer that goes on after `start`. `opened_at` is the wall-clock time, used only to pin `LATEST` to a position
    /// that survives a restart. `seed` spreads the waits.
    #[must_use]
    pub fn new(config: ShardConfig, start: Position, opened_at: Timestamp, share: u64, seed: u64) -> Self {
        let mut machine = Self {
            reading: Reading::new(start.clone(), opened_at, share, config.retrieval),
            handling: Handling::new(start.clone(), config.lanes, config.window, config.batch_size),
            watchdog: Watchdog::default(),
            checkpoint: start.clone(),
            opened_at,
            stop: None,
            paused_since: None,
            phase: ShardPhase::Initializing,
            told_retrieval: None,
            effects: VecDeque::new(),
            rng: Rng::with_seed(seed),
            cutting: Cutting {
                deaggregate: config.deaggregate,
                out_of_range: config.out_of_range,
                range: None,
            },
            config,
        };
        machine
            .effects
            .push_back(ShardEffect::Event(ShardEvent::Phase(ShardPhase::Initializing)));
        machine.start_call(Call::Initialize { checkpoint: start });
        machine
    }

    /// The same machine, which knows the hash keys of its shard: records of aggregates that have others are counted, and
    /// treated as [`ShardConfig::out_of_range`] says.
    #[must_use]
    pub fn with_hash_key_range(mut self, range: Option<HashKeyRange>) -> Self {
        // Nothing lies outside of the full range, so nothing needs to be hashed.
        self.cutting.range = range.filter(|range| *range != HashKeyRange::FULL);
        self
    }

    /// The same machine, which delivers by these rules. `now` is when it was told the wall-clock time.
    #[must_use]
    pub fn with_delivery(mut self, mut settings: DeliverySettings, now: Tick) -> Self {
        if self.config.lanes != Lanes::One {
            settings.policy.tumbling_window = None;
        }
        self.handling.set_rules(Rules::new(settings, now, self.opened_at));
        self
    }

    /// The same machine, which goes on with the window that was open when the checkpoint where it starts was committed. What
    /// belongs to another position, or is the state of something else, is left alone. Comes after the rules.
    #[must_use]
    pub fn with_window_state(mut self, pending: Option<&PendingCheckpoint>) -> Self {
        let state = pending
            .filter(|pending| pending.position == *self.handling.handled())
            .and_then(|pending| pending.state.as_ref());
        self.handling.resume_window(state);
        self
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Tick, input: ShardInput) {
        if self.phase == ShardPhase::Finished {
            return;
        }
        match input {
            ShardInput::Opened(result) => self.opened(now, result),
            ShardInput::Fetched(result) => self.fetched(now, result),
            ShardInput::Called(id, outcome) => {
                self.watchdog.call_ended();
                self.called(now, id, outcome);
            }
            ShardInput::Stored(position) => self.stored(now, position),
            ShardInput::Stop(reason) => self.stop(reason),
            ShardInput::Pause(paused) => self.pause(now, paused),
            ShardInput::Share(bytes) => self.reading.share = bytes,
            ShardInput::Retrieval(mode) => self.set_retrieval(now, mode),
            ShardInput::Quarantined(keys) => self.handling.set_quarantined(keys),
            ShardInput::Wake => {}
        }
        self.advance(now);
    }

    /// The next thing to do, if there is one.
    pub fn poll_effect(&mut self) -> Option<ShardEffect> {
        self.effects.pop_front()
    }

    /// When to call [`handle`](Self::handle) with [`ShardInput::Wake`] at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        if self.phase == ShardPhase::Finished {
            return None;
        }
        let reading = self.reading_deadline();
        let resting = self.paused_since.is_some() && self.stop.is_none();
        let retry = self.handling.retry_at(self.stop.is_some());
        let handling = retry.filter(|_| !self.is_lost() && !resting);
        let checkpoint = self.checkpoint_due();
        [reading, handling, checkpoint, self.watchdog_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The last position that was delivered to the user's code: what a checkpoint without a position means.
    #[must_use]
    pub fn delivered(&self) -> &Position {
        self.handling.delivered()
    }

    /// How the consumer is.
    #[must_use]
    pub fn status(&self, now: Tick) -> ShardStatus {
        let (outstanding_records, outstanding_bytes) = self.handling.outstanding();
        let (filtered_records, discarded_records) = self.handling.passed_over();
        ShardStatus {
            phase: self.phase,
            waiting: self.waiting(now),
            calling: self.watchdog.calling().map(|since| now.since(since)),
            paused: self.paused_since.map(|since| now.since(since)),
            read: self.reading.read.clone(),
            handled: self.handling.handled().clone(),
            checkpoint: self.checkpoint.clone(),
            millis_behind_latest: self.reading.millis_behind_latest,
            retrieval: self.reading.retrieval,
            fallback: self
                .reading
                .retriever
                .fallback()
                .map(|fallback| fallback.failure.clone()),
            oldest_unhandled: self
                .handling
                .oldest_arrival()
                .or_else(|| self.reading.buffer.oldest_arrival()),
            buffered_records: self.reading.buffer.records() + outstanding_records,
            buffered_bytes: self.reading.buffer.weight() + outstanding_bytes,
            handled_records: self.handling.handled_records(),
            handled_bytes: self.handling.handled_bytes,
            filtered_records,
            discarded_records,
            lanes: self.handling.lanes_status(now),
        }
    }

    fn is_lost(&self) -> bool {
        self.stop.is_some_and(StopReason::is_void)
    }

    fn waiting(&self, now: Tick) -> Waiting {
        let handling = self.handling.waiting(now);
        if let Some(since) = self.paused_since
            && self.stop.is_none()
            && !self.handling.is_calling()
        {
            return Waiting::Paused { time: now.since(since) };
        }
        if let Some(waiting) = handling {
            return waiting;
        }
        if let Some(failure) = &self.reading.last_failure {
            return Waiting::ForService {
                kind: failure.kind,
                message: failure.message.clone(),
            };
        }
        if let Some((stall, time, cures)) = self.watchdog.stall(now) {
            return Waiting::Stalled { stall, time, cures };
        }
        if self.reading.slow {
            let message = self.reading.unheard().to_owned();
            return Waiting::ForService {
                kind: FetchFailureKind::Unavailable,
                message,
            };
        }
        let at_tip = self.phase == ShardPhase::Reading && self.reading.millis_behind_latest == Some(0);
        if at_tip && self.reading.buffer.is_empty() {
            Waiting::ForRecords
        } else {
            Waiting::ForNextRead
        }
    }

    fn stop(&mut self, reason: StopReason) {
        if self.stop >= Some(reason) {
            return;
        }
        self.stop = Some(reason);
        self.stop_reading();
        self.enter(ShardPhase::Stopping);
        if reason.is_void() && self.handling.is_calling() {
            self.effects.push_back(ShardEffect::CancelCalls);
        }
    }

    fn pause(&mut self, now: Tick, paused: bool) {
        if paused == self.paused_since.is_some() {
            return;
        }
        self.paused_since = paused.then_some(now);
        if paused {
            self.rest_reading();
        }
        let event = if paused {
            ShardEvent::Paused
        } else {
            ShardEvent::Resumed
        };
        self.effects.push_back(ShardEffect::Event(event));
    }

    fn stored(&mut self, now: Tick, position: Position) {
        if self.checkpoint.may_advance_to(&position) {
            self.checkpoint = position;
        }
        self.reading.pinning &= self.checkpoint == Position::Latest;
        self.handling.checkpoint_stored(now, &self.checkpoint);
    }

    /// Does whatever the state now allows.
    fn advance(&mut self, now: Tick) {
        if self.phase == ShardPhase::Finished {
            return;
        }
        if self.stop.is_some() {
            self.advance_stop(now);
        } else {
            if self.paused_since.is_none() {
                // What is delivered makes room to read more.
                self.advance_handling(now);
            }
            self.advance_reading(now);
            self.advance_checkpoint(now);
            self.advance_watchdog(now);
        }
    }

    fn finish(&mut self, finish: Finish) {
        self.notice_repeats();
        self.enter(ShardPhase::Finished);
        self.effects.push_back(ShardEffect::Finished(finish));
    }

    fn enter(&mut self, phase: ShardPhase) {
        if self.phase != phase {
            self.phase = phase;
            self.effects.push_back(ShardEffect::Event(ShardEvent::Phase(phase)));
        }
    }
}

#[cfg(test)]
mod tests;
