//! What the rules of delivery make of outcomes: tries that count, batches that are cut, records that are given up.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    delivery::{DiscardReason, FailedItems, Verdict},
    record::{Batch, Record},
    shard::{Outcome, ShardEffect, ShardEvent, ShardMachine, lanes::LaneId},
    time::Tick,
};

impl ShardMachine {
    /// Opens and closes the circuit.
    pub(super) fn note_health(&mut self, now: Tick, outcome: &Outcome, records: usize) {
        let lanes = &mut self.handling.lanes;
        let was_open = lanes.breaker_is_open();
        match outcome {
            Outcome::Success
            | Outcome::SuccessBefore(1..)
            | Outcome::Windowed {
                failed: None | Some(1..),
                ..
            } => lanes.note_success(),
            Outcome::Failure(_)
            | Outcome::NotCalled { .. }
            | Outcome::SuccessBefore(0)
            | Outcome::Windowed { failed: Some(0), .. } => {
                lanes.note_failure(now);
            }
            // Code that handles some records works.
            Outcome::FailedItems(items) => {
                let failed: BTreeSet<&usize> = items.iter().filter(|item| **item < records).collect();
                if failed.len() < records {
                    lanes.note_success();
                } else {
                    lanes.note_failure(now);
                }
            }
            Outcome::Postponed { .. } | Outcome::Cancelled => {}
        }
        let open = lanes.breaker_is_open();
        if open != was_open {
            self.effects.push_back(ShardEffect::Event(ShardEvent::Circuit { open }));
        }
    }

    /// The head of a batch was handled: it counts, and the rest is tried again with tries of its own.
    pub(super) fn handled_before(&mut self, now: Tick, lane: LaneId, index: usize, records: usize) {
        let error = format!("the handler named record {index} of {records} as failed");
        if index == 0 {
            return self.delivery_failed(now, lane, true, error);
        }
        self.completed(now, lane, index);
        self.fail(now, lane, None, error);
    }

    /// Some records of a batch were not handled.
    pub(super) fn failed_items(&mut self, now: Tick, lane: LaneId, items: &[usize], records: usize) {
        let failed: BTreeSet<usize> = items.iter().copied().filter(|item| *item < records).collect();
        let Some(first) = failed.first().copied() else {
            return self.completed(now, lane, records);
        };
        let rule = self.handling.lanes.rules().failed_items();
        let delivery = self.handling.lanes.delivery(lane);
        let Some(delivery) = delivery.filter(|_| rule == FailedItems::Each) else {
            return self.handled_before(now, lane, first, records);
        };
        let keep = with_followers(delivery.batch(), &failed);
        let error = format!("the handler named {} of {records} records as failed", failed.len());
        if keep.iter().all(|keep| *keep) {
            return self.delivery_failed(now, lane, true, error);
        }
        let passed = self.handling.acks.passed();
        let handling = &mut self.handling;
        let done = handling.lanes.complete_except(now, &mut handling.acks, lane, &keep);
        if let Some(batch) = done {
            self.handled(now, &batch, passed);
        }
        self.fail(now, lane, None, error);
    }

    /// The user's code could not be called, which is no try.
    pub(super) fn not_called(&mut self, now: Tick, lane: LaneId, wait: Option<Duration>, reason: String) {
        self.fail(now, lane, wait, reason);
    }

    /// A delivery failed, and that counts. While stopping, only what closes gaps is made again: cutting batches and giving
    /// records up is left to the next holder of the lease.
    pub(super) fn delivery_failed(&mut self, now: Tick, lane: LaneId, named: bool, error: String) {
        let verdict = self.handling.lanes.judge(lane, named);
        match verdict {
            _ if self.stop.is_some() => self.fail(now, lane, None, error),
            Verdict::Again => self.fail(now, lane, None, error),
            Verdict::Split(count) => {
                self.tell_failure(lane, Some(Duration::ZERO), &error);
                let handling = &mut self.handling;
                handling.lanes.split(&mut handling.acks, lane, count);
                handling.lanes.fail(lane, now, false, error);
            }
            Verdict::Discard(reason) => {
                self.tell_failure(lane, None, &error);
                let lanes = &mut self.handling.lanes;
                lanes.fail(lane, now, false, error);
                lanes.discard(lane, reason);
            }
        }
    }

    fn tell_failure(&mut self, lane: LaneId, retry_in: Option<Duration>, error: &str) {
        if let Some(delivery) = self.handling.lanes.delivery(lane) {
            self.effects.push_back(ShardEffect::Event(ShardEvent::CallFailed {
                call: delivery.call_name(),
                attempt: delivery.attempt(),
                first: delivery.first_position(),
                error: error.to_owned(),
                retry_in,
            }));
        }
    }

    /// The dead letters hold records: they are passed.
    pub(super) fn kept_as_dead_letters(
        &mut self,
        now: Tick,
        batch: &Batch,
        reason: DiscardReason,
        attempts: u32,
        passed: u64,
    ) {
        let rules = self.handling.lanes.rules_mut();
        if rules.quarantines(reason) {
            rules.quarantine(batch.iter().map(|record| &record.partition_key));
        }
        let records = batch.len();
        self.effects.push_back(ShardEffect::Event(ShardEvent::Discarded {
            records,
            reason,
            attempts,
        }));
        self.discarded(now, batch, passed);
    }
}

/// Which records of a batch are delivered again: those that failed, and those after them that have a key of theirs.
fn with_followers(batch: &Batch, failed: &BTreeSet<usize>) -> Vec<bool> {
    let mut keys = BTreeSet::new();
    let keep = |(index, record): (usize, &Record)| {
        let follows = keys.contains(&record.partition_key);
        let keep = follows || failed.contains(&index);
        if keep && !follows {
            keys.insert(record.partition_key.clone());
        }
        keep
    };
    batch.iter().enumerate().map(keep).collect()
}
