//! One lane: records that are handled in their order, one call after the other.

use std::collections::VecDeque;

use bytestring::ByteString;

use super::delivery::{Delivery, Run};
use crate::{
    ack::AckTracker,
    record::{Batch, Record},
    sequence::Position,
};

/// A lane that is used again keeps room for so many records: most hold few.
const KEPT_ROOM: usize = 16;

/// A lane: what waits in it, and the one delivery that it makes.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Where a lane belongs to one key.
    pub(super) key: Option<ByteString>,
    records: VecDeque<Record>,
    runs: VecDeque<Run>,
    pub(super) delivery: Option<Delivery>,
}

impl Lane {
    pub(super) fn has_waiting(&self) -> bool {
        !self.runs.is_empty()
    }

    /// The how-manieth record of the tenure is the first that is not handled.
    pub(super) fn first(&self) -> Option<u64> {
        let delivered = self.delivery.as_ref().and_then(Delivery::first);
        delivered.or_else(|| self.runs.front().map(|run| run.first))
    }

    pub(super) fn push(&mut self, records: &[Record], run: Run) {
        self.records.extend(records.iter().cloned());
        self.runs.push_back(run);
    }

    /// Puts back what was taken.
    pub(super) fn put_back(&mut self, batch: &Batch, runs: VecDeque<Run>) {
        for record in batch.iter().rev() {
            self.records.push_front(record.clone());
        }
        for run in runs.into_iter().rev() {
            self.runs.push_front(run);
        }
    }

    /// Takes at most so many records for a delivery, none that begins a run at `limit` or behind it.
    pub(super) fn take(&mut self, acks: &mut AckTracker, at_most: usize, limit: u64) -> (Vec<Record>, VecDeque<Run>) {
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
        (self.records.drain(..count).collect(), runs)
    }

    /// Forgets its key, and gives room back.
    pub(super) fn vacate(&mut self) -> Option<ByteString> {
        self.records.shrink_to(KEPT_ROOM);
        self.runs.shrink_to(KEPT_ROOM);
        self.key.take()
    }
}
