//! What one call to the user's code is about: records of one lane, and the units of the shard that they complete.

use std::collections::VecDeque;

use crate::{
    ack::{AckTracker, Ticket},
    record::Batch,
    sequence::Position,
    time::{Tick, Timestamp},
};

/// Consecutive records of the shard that are in one lane.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) struct Run {
    pub(super) ticket: Ticket,
    /// The how-manieth record of the tenure is the first, from 0.
    pub(super) first: u64,
    pub(super) records: usize,
}

impl Run {
    /// Behind the last record.
    pub(super) fn end(&self) -> u64 {
        self.first + self.records as u64
    }

    /// The first `count` records, which become a unit of their own, and the rest, which begins with `next`.
    pub(super) fn split(&self, acks: &mut AckTracker, count: usize, last: Position, next: Timestamp) -> (Self, Self) {
        let rest = acks
            .split(self.ticket, last, count, next)
            .expect("what waits or is delivered is outstanding");
        let head = Self {
            records: count,
            ..*self
        };
        let rest = Self {
            ticket: rest,
            first: head.end(),
            records: self.records - count,
        };
        (head, rest)
    }
}

#[derive(Clone, Debug)]
pub(in crate::shard) enum DeliveryState {
    Running,
    /// It is made again at this time.
    Waiting {
        retry_at: Tick,
        /// The user's code chose the time.
        postponed: bool,
    },
}

/// Records of one lane that the user's code works on, or is to work on again.
#[derive(Debug)]
pub(in crate::shard) struct Delivery {
    pub(super) batch: Batch,
    pub(super) runs: VecDeque<Run>,
    pub(super) attempt: u32,
    /// How often it was made since the consumer was told to stop.
    pub(super) tries_in_stop: u32,
    /// What the last attempt said.
    pub(super) error: Option<String>,
    pub(in crate::shard) state: DeliveryState,
}

impl Delivery {
    pub(in crate::shard) fn batch(&self) -> &Batch {
        &self.batch
    }

    pub(in crate::shard) fn len(&self) -> usize {
        self.batch.len()
    }

    /// How often its first record was tried, the attempt under way included.
    pub(in crate::shard) fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(in crate::shard) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The how-manieth record of the tenure is its first.
    pub(super) fn first(&self) -> Option<u64> {
        self.runs.front().map(|run| run.first)
    }

    pub(in crate::shard) fn first_position(&self) -> Option<Position> {
        self.batch.first().map(|record| Position::Record(record.position()))
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, DeliveryState::Running)
    }

    /// Notes that the first `count` records were handled, and gives them and the end of the last.
    pub(super) fn complete(&mut self, acks: &mut AckTracker, count: usize) -> (Batch, u64) {
        let (head, rest) = self.batch.split_at(count);
        let (mut done, mut end) = (0, 0);
        while let Some(run) = self.runs.pop_front() {
            let left = count - done;
            let run = if left >= run.records {
                run
            } else if let (Some(last), Some(next)) = (head.end_position().filter(|_| left > 0), rest.first()) {
                let (part, after) = run.split(acks, left, last, next.approximate_arrival_timestamp);
                self.runs.push_front(after);
                part
            } else {
                self.runs.push_front(run);
                break;
            };
            acks.complete(run.ticket).expect("a delivery is completed once");
            done += run.records;
            end = run.end();
        }
        self.batch = rest;
        (head, end)
    }

    /// Takes what begins at `limit` or behind it out of the delivery.
    pub(super) fn cut(&mut self, limit: u64) -> (Batch, VecDeque<Run>) {
        let runs = self.runs.partition_point(|run| run.first < limit);
        let kept: usize = self.runs.iter().take(runs).map(|run| run.records).sum();
        let (batch, rest) = self.batch.split_at(kept);
        self.batch = batch;
        (rest, self.runs.split_off(runs))
    }
}
