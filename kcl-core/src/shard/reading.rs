//! The reading side: open, read, and open again at the exact position when the service forgot the place.

use std::time::Duration;

use super::{LATEST_PIN_MARGIN, ShardEffect, ShardEvent, ShardMachine, ShardPhase, buffer::Buffer};
use crate::{
    aggregate::Aggregate,
    catalog::ChildShard,
    fetch::{Fetch, FetchFailure, FetchFailureKind, ReadSize},
    record::Batch,
    sequence::Position,
    time::{Tick, Timestamp},
};

/// After so long without an answer nobody can say any more that a shard is read to its tip.
const UNANSWERED: Duration = Duration::from_secs(2);

/// A position that the service refuses so many times, without a read in between, is not one of this shard.
const REJECTIONS: u32 = 3;

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
    /// Whether the read under way takes so long that what the last one told is old.
    pub(super) slow: bool,
    size: ReadSize,
    opened_at: Timestamp,
    initialized: bool,
    /// The place that `LATEST` stands for is not in the table yet.
    pub(super) pinning: bool,
}

impl Reading {
    pub(super) fn new(start: Position, opened_at: Timestamp, share: u64) -> Self {
        Self {
            place: Place::Closed,
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
            slow: false,
            size: ReadSize::default(),
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
        self.initialized && !self.pinning && self.end.is_none() && (self.buffer.is_empty() || self.free() > 0)
    }

    /// Whether the record-free part of the shard is over: read to the end, nothing left to deliver.
    pub(super) fn is_exhausted(&self) -> bool {
        self.end.is_some() && self.buffer.is_empty()
    }
}

impl ShardMachine {
    pub(super) fn start_reading(&mut self) {
        self.reading.initialized = true;
        self.enter(ShardPhase::Opening);
    }

    pub(super) fn reading_deadline(&self) -> Option<Tick> {
        if self.stop.is_none() && self.reading.place == Place::Busy && !self.reading.slow {
            return Some(self.reading.read_started + UNANSWERED);
        }
        let idle = matches!(self.reading.place, Place::Closed | Place::Open);
        let wants = self.stop.is_none() && idle && self.reading.wants_to_read();
        wants.then_some(self.reading.not_before)
    }

    pub(super) fn advance_reading(&mut self, now: Tick) {
        if self.reading_deadline().is_none_or(|at| now < at) {
            return;
        }
        if self.reading.place == Place::Busy {
            self.reading.slow = true;
        } else if self.reading.place == Place::Closed {
            self.reading.place = Place::Opening;
            self.effects.push_back(ShardEffect::Open(self.reading.read.clone()));
        } else {
            self.reading.place = Place::Busy;
            self.reading.read_started = now;
            self.reading.slow = false;
            let max_records = self
                .reading
                .size
                .records_for(self.reading.free(), self.config.max_records);
            self.effects.push_back(ShardEffect::Fetch { max_records });
        }
    }

    pub(super) fn opened(&mut self, now: Tick, result: Result<(), FetchFailure>) {
        if self.reading.place != Place::Opening {
            return;
        }
        self.reading.place = Place::Closed;
        if self.stop.is_some() {
            return;
        }
        if let Err(failure) = result {
            return self.fetch_failed(now, failure);
        }
        self.reading.place = Place::Open;
        self.enter(ShardPhase::Reading);
        let position = self.reading.read.clone();
        self.effects
            .push_back(ShardEffect::Event(ShardEvent::Opened { position }));
        if self.reading.read == Position::Latest {
            self.pin_latest();
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

    pub(super) fn fetched(&mut self, now: Tick, result: Result<Fetch, FetchFailure>) {
        if self.reading.place != Place::Busy {
            return;
        }
        self.reading.place = Place::Open;
        self.reading.slow = false;
        if self.stop.is_some() {
            return;
        }
        match result.and_then(check_end) {
            Ok(fetch) => self.accept(fetch),
            Err(failure) => self.fetch_failed(now, failure),
        }
    }

    fn accept(&mut self, fetch: Fetch) {
        self.reading.failures = 0;
        self.reading.rejections = 0;
        self.reading.last_failure = None;
        self.reading.not_before = self.config.pacing.next_read(self.reading.read_started, &fetch.batch);
        self.reading.millis_behind_latest = fetch.batch.millis_behind_latest();
        let batch = unread_part(&self.reading.read, self.reading.in_part, &fetch.batch);
        let bytes = batch.size() as u64;
        self.reading.size.observe(&fetch.batch);
        self.effects.push_back(ShardEffect::Event(ShardEvent::Fetched {
            records: batch.len(),
            bytes,
            millis_behind_latest: batch.millis_behind_latest(),
        }));
        if let Some(last) = batch.last() {
            // From here on the record at `read` is in the buffer, whole.
            self.reading.in_part = false;
            let end = Position::Record(last.position());
            if end > self.reading.read {
                self.reading.read = end;
            }
        }
        self.reading.buffer.push(batch);
        if let Some(children) = fetch.end {
            self.reading.end = Some(children);
            self.enter(ShardPhase::Ending);
        }
    }

    fn fetch_failed(&mut self, now: Tick, failure: FetchFailure) {
        if failure.kind == FetchFailureKind::NotFound {
            self.effects.push_back(ShardEffect::Missing);
        }
        if !failure.kind.keeps_place() {
            self.reading.place = Place::Closed;
        }
        self.reading.failures = self.reading.failures.saturating_add(1);
        let failures = self.reading.failures;
        // An expired place is no trouble of the service: the first time, open again at once.
        let at_once = failure.kind == FetchFailureKind::Expired && failures == 1;
        let retry_in = if at_once {
            Duration::ZERO
        } else {
            self.config.service_backoff.wait(failures, &mut self.rng)
        };
        self.reading.not_before = now + retry_in;
        if failure.kind == FetchFailureKind::InvalidPosition {
            self.reading.rejections = self.reading.rejections.saturating_add(1);
            if self.reading.rejections == REJECTIONS {
                self.effects.push_back(ShardEffect::Rejected(failure.message.clone()));
            }
        }
        let (kind, message) = (failure.kind, failure.message.clone());
        self.effects.push_back(ShardEffect::Event(ShardEvent::FetchFailed {
            kind,
            message,
            failures,
            retry_in,
        }));
        self.reading.last_failure = Some(failure);
    }
}

/// An end without children, or with children that have no parents, is an answer that some services give by mistake; to
/// believe it would end the shard without a successor.
fn check_end(fetch: Fetch) -> Result<Fetch, FetchFailure> {
    let problem = match &fetch.end {
        Some(children) if children.is_empty() => "the end of the shard came without child shards",
        Some(children) if children.iter().any(|child| child.parents.is_empty()) => "a child shard came without parents",
        _ => return Ok(fetch),
    };
    Err(FetchFailure {
        kind: FetchFailureKind::Malformed,
        message: problem.to_owned(),
    })
}

/// The records after `read`: a reader that was placed at a record gives that record again. If it is an
/// aggregate that may have been handled in part, it stays, and the buffer knows how much of it is left.
fn unread_part(read: &Position, in_part: bool, batch: &Batch) -> Batch {
    let Some(read) = read.record() else {
        return batch.clone();
    };
    let seen = batch.partition_point(|record| {
        let kept = in_part && record.sequence_number == read.sequence_number && Aggregate::read(&record.data).is_some();
        record.sequence_number <= read.sequence_number && !kept
    });
    batch.split_at(seen).1
}
