//! What one call to the user's code is about: records of one lane, and the units of the shard that they complete.

use std::collections::VecDeque;

use crate::{
    ack::{AckTracker, Ticket},
    delivery::DiscardReason,
    record::{Batch, Record},
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
    /// How many calls with these records failed, of those that count.
    pub(super) tries: u32,
    /// Why the records are given to the dead letters instead of the user's code.
    pub(super) discard: Option<DiscardReason>,
    /// Whether the keys of what is discarded are quarantined.
    pub(super) quarantines: bool,
    /// What the last call of the user's code said.
    pub(super) handler_error: Option<String>,
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

    /// How many calls with these records failed, of those that count.
    pub(in crate::shard) fn tries(&self) -> u32 {
        self.tries
    }

    pub(in crate::shard) fn discard(&self) -> Option<DiscardReason> {
        self.discard
    }

    pub(in crate::shard) fn quarantines(&self) -> bool {
        self.quarantines
    }

    pub(in crate::shard) fn handler_error(&self) -> Option<&str> {
        self.handler_error.as_deref()
    }

    /// What is called for it.
    pub(in crate::shard) fn call_name(&self) -> &'static str {
        match self.discard {
            Some(_) => "discard",
            None => "process_records",
        }
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

    /// Notes that all records were handled but those that `keep` names, and gives them and the end of the last.
    pub(super) fn complete_except(&mut self, acks: &mut AckTracker, keep: &[bool]) -> (Batch, u64) {
        let kept = |index: usize| keep.get(index).copied().unwrap_or(true);
        let (mut index, mut end, mut left) = (0, 0, VecDeque::new());
        while let Some(run) = self.runs.pop_front() {
            let alike = (index..index + run.records).take_while(|at| kept(*at) == kept(index));
            let count = alike.count();
            let head = match (
                self.batch.get((index + count).wrapping_sub(1)),
                self.batch.get(index + count),
            ) {
                (Some(last), Some(next)) if count < run.records => {
                    let last = Position::Record(last.position());
                    let (head, rest) = run.split(acks, count, last, next.approximate_arrival_timestamp);
                    self.runs.push_front(rest);
                    head
                }
                _ => run,
            };
            if kept(index) {
                left.push_back(head);
            } else {
                acks.complete(head.ticket).expect("a delivery is completed once");
                end = head.end();
            }
            index += count;
        }
        let part = |wanted: bool| {
            let of_part = |(index, record): (usize, &Record)| (kept(index) == wanted).then(|| record.clone());
            self.batch.iter().enumerate().filter_map(of_part).collect()
        };
        let (done, rest) = (part(false), part(true));
        let done = self.batch.with_records(done);
        self.batch = self.batch.with_records(rest);
        self.runs = left;
        (done, end)
    }

    /// Takes all but the first `count` records out of the delivery.
    pub(super) fn cut_at(&mut self, acks: &mut AckTracker, count: usize) -> (Batch, VecDeque<Run>) {
        let (head, rest) = self.batch.split_at(count);
        let (mut kept, mut runs) = (0, VecDeque::new());
        while kept < head.len()
            && let Some(run) = self.runs.pop_front()
        {
            let left = head.len() - kept;
            let run = match (head.end_position(), rest.first()) {
                (Some(last), Some(next)) if left < run.records => {
                    let (part, after) = run.split(acks, left, last, next.approximate_arrival_timestamp);
                    self.runs.push_front(after);
                    part
                }
                _ => run,
            };
            kept += run.records;
            runs.push_back(run);
        }
        self.batch = head;
        (rest, std::mem::replace(&mut self.runs, runs))
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
