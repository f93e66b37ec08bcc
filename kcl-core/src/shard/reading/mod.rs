//! The reading side: open or subscribe, read, and open again at the exact position when the service forgot the place.

mod answers;

use std::time::Duration;

use super::{LATEST_PIN_MARGIN, ShardEffect, ShardEvent, ShardMachine, ShardPhase, buffer::Buffer};
use crate::{
    catalog::ChildShard,
    fetch::{
        FetchFailure, FetchFailureKind, IDLE, LET_GO, Pace, ReadSize, Retrieval, RetrievalMode, Retriever, UNHEARD,
    },
    sequence::Position,
    time::{Tick, Timestamp},
};

/// After so long without an answer to a poll nobody can say any more that a shard is read to its tip.
const UNANSWERED: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing is open.
    Closed,
    /// An open is under way.
    Opening,
    /// A reader stands ready.
    Open,
    /// A read is under way.
    Busy,
}

#[derive(Debug)]
pub(super) struct Reading {
    place: Place,
    /// How the reader reads that stands ready or is to.
    pub(super) retrieval: Retrieval,
    pub(super) retriever: Retriever,
    /// Everything up to here has been read.
    pub(super) read: Position,
    /// The record at `read` may be an aggregate of which only the first records were handled, by another consumer.
    in_part: bool,
    pub(super) buffer: Buffer,
    /// How many bytes of memory may wait and be worked on.
    pub(super) share: u64,
    pub(super) end: Option<Vec<ChildShard>>,
    pub(super) millis_behind_latest: Option<u64>,
    pub(super) last_failure: Option<FetchFailure>,
    failures: u32,
    /// Those among them that refused the position. Trouble of other kinds before or between says nothing about it.
    rejections: u32,
    not_before: Tick,
    read_started: Tick,
    /// When the reader was last made ready.
    ready_since: Tick,
    /// Whether the read under way takes so long that what the last one told is old.
    pub(super) slow: bool,
    size: ReadSize,
    /// How much an event of a subscription weighs, which the service alone decides.
    event_weight: u64,
    pace: Pace,
    opened_at: Timestamp,
    initialized: bool,
    /// The place that `LATEST` stands for is not in the table yet.
    pub(super) pinning: bool,
}

impl Reading {
    pub(super) fn new(start: Position, opened_at: Timestamp, share: u64, mode: RetrievalMode) -> Self {
        Self {
            place: Place::Closed,
            retrieval: Retrieval::Polling,
            retriever: Retriever::new(mode),
            in_part: start.record().is_some(),
            buffer: Buffer::new(start.record().cloned()),
            read: start,
            share,
            end: None,
            millis_behind_latest: None,
            last_failure: None,
            failures: 0,
            rejections: 0,
            not_before: Tick::ZERO,
            read_started: Tick::ZERO,
            ready_since: Tick::ZERO,
            slow: false,
            size: ReadSize::default(),
            event_weight: 1,
            pace: Pace::default(),
            opened_at,
            initialized: false,
            pinning: false,
        }
    }

    /// One half of the share is for what the user's code works on, the other for what waits. A shard may always have
    /// one batch waiting, so that a small share makes it slower and never stops it.
    fn free(&self) -> u64 {
        self.half_share().saturating_sub(self.buffer.weight())
    }

    /// What the batch may take that the user's code works on.
    pub(super) fn half_share(&self) -> u64 {
        self.share / 2
    }

    fn wants_to_read(&self) -> bool {
        let least = match self.retrieval {
            // A poll is made as large as what is free.
            Retrieval::Polling => 1,
            Retrieval::FanOut => self.event_weight,
        };
        self.initialized && !self.pinning && self.end.is_none() && (self.buffer.is_empty() || self.free() >= least)
    }

    fn is_subscribed(&self) -> bool {
        self.retrieval == Retrieval::FanOut && self.place != Place::Closed
    }

    /// Whether the record-free part of the shard is over: read to the end, nothing left to deliver.
    pub(super) fn is_exhausted(&self) -> bool {
        self.end.is_some() && self.buffer.is_empty()
    }

    pub(super) fn unheard(&self) -> &'static str {
        match self.retrieval {
            Retrieval::Polling => "the read under way has no answer yet",
            Retrieval::FanOut => "the subscription says nothing",
        }
    }

    fn deadline(&self) -> Option<Tick> {
        let wants = self.wants_to_read();
        match (self.place, self.retrieval) {
            (Place::Busy, Retrieval::Polling) => (!self.slow).then(|| self.read_started + UNANSWERED),
            (Place::Busy, Retrieval::FanOut) => Some(self.read_started + if self.slow { IDLE } else { UNHEARD }),
            (Place::Closed | Place::Open, _) if wants => Some(self.not_before),
            (Place::Open, Retrieval::FanOut) => Some(self.ready_since + LET_GO),
            _ => None,
        }
    }
}

impl ShardMachine {
    /// Whether the place that `LATEST` stands for is not known: it is looked up even while the shard rests, since on resuming it
    /// would be another one.
    fn is_unpinned(&self) -> bool {
        self.reading.place == Place::Closed && self.reading.read == Position::Latest
    }

    /// Nothing is read for a while.
    pub(super) fn rest_reading(&mut self) {
        if self.reading.read == Position::Latest {
            return;
        }
        if self.reading.is_subscribed() {
            self.reading.retriever.let_go();
        }
        self.close();
    }

    /// What was asked last is not answered, or the answers say nothing: opens again after a while.
    pub(super) fn open_anew(&mut self, now: Tick, wait: Duration) {
        let was_fan_out = self.reading.is_subscribed();
        self.close();
        let mut retry_in = wait;
        if was_fan_out {
            // Whether a subscription is to be had at all, the retriever judges.
            let (kind, message) = (FetchFailureKind::Silent, "the subscription does not answer".to_owned());
            let failure = FetchFailure { kind, message };
            retry_in = retry_in.max(self.reading.retriever.failed(now, &failure, &mut self.rng));
        }
        self.reading.not_before = self.reading.not_before.max(now + retry_in);
    }

    pub(super) fn start_reading(&mut self) {
        self.reading.initialized = true;
        self.enter(ShardPhase::Opening);
    }

    pub(super) fn reading_deadline(&self) -> Option<Tick> {
        if self.stop.is_some() || (self.paused_since.is_some() && !self.is_unpinned()) {
            return None;
        }
        self.reading.deadline()
    }

    pub(super) fn advance_reading(&mut self, now: Tick) {
        if self.reading_deadline().is_none_or(|at| now < at) {
            return;
        }
        match (self.reading.place, self.reading.retrieval) {
            (Place::Busy, Retrieval::FanOut) if self.reading.slow => {
                self.close();
                let message = format!("the subscription said nothing for {} s", IDLE.as_secs());
                let kind = FetchFailureKind::Silent;
                self.fetch_failed(now, FetchFailure { kind, message });
                self.advance_reading(now);
            }
            (Place::Busy, _) => self.reading.slow = true,
            (Place::Closed, _) => self.open(now),
            (Place::Open, _) if !self.reading.wants_to_read() => {
                self.close();
                self.reading.retriever.let_go();
            }
            (Place::Open, retrieval) if retrieval != self.reading.retriever.choice(now) => {
                self.close();
                self.open(now);
            }
            (Place::Open, _) => self.read(now),
            (Place::Opening, _) => {}
        }
    }

    fn open(&mut self, now: Tick) {
        let reading = &mut self.reading;
        let retrieval = reading.retriever.choice(now);
        if retrieval == Retrieval::Polling {
            reading.retrieval = retrieval;
            reading.place = Place::Opening;
            self.watchdog.asked(now);
            self.effects.push_back(ShardEffect::Open(self.reading.read.clone()));
        } else if now < reading.retriever.earliest() {
            reading.not_before = reading.retriever.earliest();
        } else {
            reading.retrieval = retrieval;
            reading.place = Place::Opening;
            self.watchdog.asked(now);
            reading.retriever.wants(now);
            let at = reading.retriever.start(&reading.read);
            self.effects.push_back(ShardEffect::Subscribe(at));
        }
    }

    fn read(&mut self, now: Tick) {
        self.reading.place = Place::Busy;
        self.watchdog.asked(now);
        self.reading.read_started = now;
        self.reading.slow = false;
        if self.reading.retrieval == Retrieval::FanOut {
            self.reading.retriever.wants(now);
        }
        let max_records = self
            .reading
            .size
            .records_for(self.reading.free(), self.config.max_records);
        self.effects.push_back(ShardEffect::Fetch { max_records });
    }

    /// Drops the reader, with the read that may be under way: what that would have given counts as not read.
    fn close(&mut self) {
        if self.reading.place != Place::Closed {
            self.reading.place = Place::Closed;
            self.reading.slow = false;
            self.watchdog.answered();
            self.effects.push_back(ShardEffect::Close);
        }
    }

    /// Nothing is read any more: a subscription that goes on would only be in others' way.
    pub(super) fn stop_reading(&mut self) {
        self.reading.buffer.clear();
        if self.reading.is_subscribed() {
            self.close();
        }
    }

    /// Reads like this from now on. A poll under way may end first; a subscription may wait for long.
    pub(super) fn set_retrieval(&mut self, now: Tick, mode: RetrievalMode) {
        self.reading.retriever.set_mode(mode);
        let choice = self.reading.retriever.choice(now);
        if self.stop.is_none() && self.reading.is_subscribed() && choice == Retrieval::Polling {
            self.close();
            self.reading.not_before = now;
        }
    }

    /// Were the shard opened again before its first checkpoint, by this worker after a failed read or by the next one,
    /// LATEST would mean another, later place, and the records in between would be skipped. The time at which the shard
    /// was opened is a place that stays. No record is delivered before it is in the table: with nothing delivered,
    /// whoever opens at LATEST next leaves no gap.
    fn pin_latest(&mut self) {
        let pin = Position::AtTimestamp(self.reading.opened_at.saturating_sub(LATEST_PIN_MARGIN));
        self.reading.read = pin.clone();
        self.reading.pinning = true;
        self.handling.start_at(pin.clone());
        self.effects.push_back(ShardEffect::Checkpoint(pin));
    }

    /// Tells when the way of reading is not the one before.
    fn tell_retrieval(&mut self) {
        let (retrieval, insists) = (self.reading.retrieval, self.reading.retriever.insists());
        let fallback = self
            .reading
            .retriever
            .fallback()
            .map(|fallback| fallback.failure.clone());
        let told = (retrieval, fallback.as_ref().map(|failure| failure.kind));
        if self.told_retrieval != Some(told) {
            self.told_retrieval = Some(told);
            self.effects.push_back(ShardEffect::Event(ShardEvent::Retrieval {
                retrieval,
                fallback,
                insists,
            }));
        }
    }
}
