//! What the service's answers mean for a shard.

use std::time::Duration;

use super::Place;
use crate::{
    aggregate::Aggregate,
    fetch::{Fetch, FetchFailure, FetchFailureKind, Retrieval},
    record::Batch,
    sequence::Position,
    shard::{ShardEffect, ShardEvent, ShardMachine, ShardPhase},
    time::Tick,
};

/// A position that the service refuses so many times, without a read in between, is not one of this shard.
const REJECTIONS: u32 = 3;

impl ShardMachine {
    pub(in crate::shard) fn opened(&mut self, now: Tick, result: Result<(), FetchFailure>) {
        if self.reading.place != Place::Opening {
            return;
        }
        self.watchdog.answered();
        self.reading.place = Place::Closed;
        if self.stop.is_some() {
            return;
        }
        if let Err(failure) = result {
            return self.fetch_failed(now, failure);
        }
        self.reading.place = Place::Open;
        self.reading.ready_since = now;
        // A subscription that goes on where the last one ended is no news.
        let is_renewed = self.phase == ShardPhase::Reading && self.reading.last_failure.is_none();
        if self.reading.retrieval == Retrieval::FanOut {
            self.reading.retriever.subscribed(now);
        }
        self.enter(ShardPhase::Reading);
        if !is_renewed {
            let position = self.reading.read.clone();
            self.effects
                .push_back(ShardEffect::Event(ShardEvent::Opened { position }));
        }
        if self.reading.retrieval == Retrieval::Polling {
            self.tell_retrieval();
        }
        if self.reading.read == Position::Latest {
            self.pin_latest();
        }
        if self.paused_since.is_some() {
            self.rest_reading();
        }
    }

    pub(in crate::shard) fn fetched(&mut self, now: Tick, result: Result<Fetch, FetchFailure>) {
        if self.reading.place != Place::Busy {
            return;
        }
        self.watchdog.answered();
        self.reading.place = Place::Open;
        self.reading.ready_since = now;
        self.reading.slow = false;
        if self.stop.is_some() {
            return;
        }
        match result.and_then(check_end) {
            Ok(fetch) => self.accept(now, fetch),
            Err(failure) => self.fetch_failed(now, failure),
        }
    }

    fn accept(&mut self, now: Tick, fetch: Fetch) {
        let reading = &mut self.reading;
        (reading.failures, reading.rejections, reading.last_failure) = (0, 0, None);
        match reading.retrieval {
            Retrieval::Polling => {
                reading.not_before = reading
                    .pace
                    .next_read(&self.config.pacing, reading.read_started, &fetch.batch);
                if !fetch.batch.is_empty() {
                    reading.retriever.polled();
                }
            }
            Retrieval::FanOut => {
                reading.not_before = now;
                reading.retriever.heard(now, fetch.continuation);
                // Growth counts at once, as in the size of reads.
                reading.event_weight = fetch.batch.weight().max(reading.event_weight * 3 / 4).max(1);
            }
        }
        self.tell_retrieval();
        self.reading.millis_behind_latest = fetch.batch.millis_behind_latest();
        let to_tip = fetch.batch.millis_behind_latest() == Some(0);
        self.note_read(self.reading.read_started, &fetch.batch, to_tip);
        self.watch_fetch(now, &fetch.batch, fetch.end.is_some());
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

    pub(super) fn fetch_failed(&mut self, now: Tick, failure: FetchFailure) {
        let was_fan_out = self.reading.retrieval == Retrieval::FanOut;
        if was_fan_out || !failure.kind.keeps_place() {
            self.reading.place = Place::Closed;
        }
        if was_fan_out && self.reading.retriever.is_regular(now, failure.kind) {
            self.reading.retriever.failed(now, &failure, &mut self.rng);
            self.reading.not_before = now;
            return;
        }
        self.reading.failures = self.reading.failures.saturating_add(1);
        let failures = self.reading.failures;
        let retry_in = if was_fan_out {
            self.reading.retriever.failed(now, &failure, &mut self.rng)
        } else {
            self.poll_failed(now, &failure)
        };
        self.reading.not_before = now + retry_in;
        let (kind, message) = (failure.kind, failure.message.clone());
        self.effects.push_back(ShardEffect::Event(ShardEvent::FetchFailed {
            kind,
            message,
            failures,
            retry_in,
        }));
        self.reading.last_failure = Some(failure);
    }

    /// Says how long to wait after a poll that failed, or an open for one.
    fn poll_failed(&mut self, now: Tick, failure: &FetchFailure) -> Duration {
        match failure.kind {
            FetchFailureKind::NotFound => self.effects.push_back(ShardEffect::Missing),
            FetchFailureKind::Throttled => self.reading.pace.throttled(now),
            FetchFailureKind::InvalidPosition => {
                self.reading.rejections = self.reading.rejections.saturating_add(1);
                if self.reading.rejections == REJECTIONS {
                    self.effects.push_back(ShardEffect::Rejected(failure.message.clone()));
                }
            }
            _ => {}
        }
        // An expired place is no trouble of the service: the first time, open again at once.
        if failure.kind == FetchFailureKind::Expired && self.reading.failures == 1 {
            return Duration::ZERO;
        }
        self.config.service_backoff.wait(self.reading.failures, &mut self.rng)
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
