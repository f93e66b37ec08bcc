//! One lane: records that are handled in their order, one call after the other.

use std::{collections::VecDeque, time::Duration};

use bytestring::ByteString;

use super::delivery::{Delivery, Run};
use crate::{
    ack::AckTracker,
    delivery::{Portion, Rules},
    record::{Batch, Record},
    sequence::Position,
    time::{Tick, Timestamp},
};

/// A lane that is used again keeps room for so many records: most hold few.
const KEPT_ROOM: usize = 16;

/// Where a lane stands in which nothing is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Queued {
    #[default]
    No,
    /// Its next batch may go out.
    Ready,
    /// Its records wait for company until this time.
    Ripening(Tick),
}

/// What is left of a batch that was cut: its records stay together, and keep their count of tries.
#[derive(Clone, Copy, Debug)]
struct Piece {
    records: usize,
    tries: u32,
}

/// A lane: what waits in it, and the one delivery that it makes.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Where a lane belongs to one key.
    pub(super) key: Option<ByteString>,
    pub(super) queued: Queued,
    records: VecDeque<Record>,
    runs: VecDeque<Run>,
    /// What the first records that wait are parts of.
    pieces: VecDeque<Piece>,
    /// What the records that wait measure.
    payload: u64,
    /// When the last delivery ended: the first batching window began then.
    opened: Option<Tick>,
    pub(super) delivery: Option<Delivery>,
}

impl Lane {
    pub(super) fn has_waiting(&self) -> bool {
        !self.runs.is_empty()
    }

    /// When the first record arrived that waits.
    pub(super) fn next_arrival(&self) -> Option<Timestamp> {
        self.records.front().map(|record| record.approximate_arrival_timestamp)
    }

    /// The how-manieth record of the tenure is the first that is not handled.
    pub(super) fn first(&self) -> Option<u64> {
        let delivered = self.delivery.as_ref().and_then(Delivery::first);
        delivered.or_else(|| self.runs.front().map(|run| run.first))
    }

    pub(super) fn push(&mut self, rules: &Rules, records: &[Record], run: Run) {
        self.payload += records.iter().map(|record| rules.payload(record)).sum::<u64>();
        self.records.extend(records.iter().cloned());
        self.runs.push_back(run);
    }

    /// A delivery ended: a batching window begins.
    pub(super) fn reopen(&mut self, now: Tick) {
        self.opened = Some(now);
    }

    /// When the batch that waits goes out, though it may not be full by then.
    pub(super) fn ripe_at(&mut self, now: Tick, rules: &Rules, at_most: usize) -> Tick {
        let window = rules.policy.batching_window;
        if window.is_zero() || !self.pieces.is_empty() || rules.is_full(self.records.len(), self.payload, at_most) {
            return now;
        }
        let opened = *self.opened.get_or_insert(now);
        let millis = window.as_millis().max(1);
        // Windows that passed before there was a record were empty.
        let passed = now.since(opened).as_millis() / millis * millis;
        let opened = opened + Duration::from_millis(u64::try_from(passed).unwrap_or(u64::MAX));
        self.opened = Some(opened);
        opened + window
    }

    /// What is delivered next, of at most so many records.
    pub(super) fn portion(&self, now: Tick, rules: &Rules, at_most: usize) -> Portion {
        let at_most = self.pieces.front().map_or(at_most, |piece| piece.records.min(at_most));
        rules.portion(now, self.records.iter(), at_most)
    }

    /// Puts back what was taken. Where deliveries have rules, it stays together.
    pub(super) fn put_back(&mut self, rules: &Rules, batch: &Batch, runs: VecDeque<Run>, tries: u32) {
        if batch.is_empty() {
            return;
        }
        if !rules.is_plain() {
            let records = batch.len();
            self.pieces.push_front(Piece { records, tries });
        }
        for record in batch.iter().rev() {
            self.payload += rules.payload(record);
            self.records.push_front(record.clone());
        }
        for run in runs.into_iter().rev() {
            self.runs.push_front(run);
        }
    }

    /// Takes at most so many records for a delivery, none that begins a run at `limit` or behind it. Gives too how often they
    /// were tried.
    pub(super) fn take(
        &mut self,
        rules: &Rules,
        acks: &mut AckTracker,
        at_most: usize,
        limit: u64,
    ) -> (Vec<Record>, VecDeque<Run>, u32) {
        let (mut runs, mut count) = (VecDeque::new(), 0);
        let at_most = at_most.max(1);
        while count < at_most
            && let Some(run) = self.runs.pop_front_if(|run| run.first < limit)
        {
            let left = at_most - count;
            let run = if run.records <= left {
                run
            } else {
                let (last, next) = (&self.records[at_most - 1], &self.records[at_most]);
                let end = Position::Record(last.position());
                let (head, rest) = run.split(acks, left, end, next.approximate_arrival_timestamp);
                self.runs.push_front(rest);
                head
            };
            count += run.records;
            runs.push_back(run);
        }
        let records: Vec<Record> = self.records.drain(..count).collect();
        self.payload -= records.iter().map(|record| rules.payload(record)).sum::<u64>();
        let tries = self.pieces.front().map_or(0, |piece| piece.tries);
        while let Some(piece) = self.pieces.front_mut()
            && count > 0
        {
            let taken = piece.records.min(count);
            (piece.records, count) = (piece.records - taken, count - taken);
            self.pieces.pop_front_if(|piece| piece.records == 0);
        }
        (records, runs, tries)
    }

    /// Forgets its key, and gives room back.
    pub(super) fn vacate(&mut self) -> Option<ByteString> {
        self.records.shrink_to(KEPT_ROOM);
        self.runs.shrink_to(KEPT_ROOM);
        self.opened = None;
        self.key.take()
    }
}
