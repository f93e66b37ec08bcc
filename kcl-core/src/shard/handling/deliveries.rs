//! Deliveries: which records are given to the user's code now, and what becomes of what it says.

use std::time::Duration;

use crate::{
    ack::Unit,
    record::Batch,
    sequence::Position,
    shard::{
        Call, Outcome, ShardEffect, ShardEvent, ShardMachine, StopReason,
        buffer::Room,
        lanes::{LaneId, Lanes, Made},
    },
    time::{Tick, Timestamp},
};

impl ShardMachine {
    /// Makes all deliveries that the lanes allow: first those again that failed, since their records are the oldest.
    pub(super) fn advance_deliveries(&mut self, now: Tick) {
        while self.handling.lanes.next_retry().is_some_and(|at| at <= now) {
            let Some(made) = self.handling.lanes.retry_due(now) else {
                break;
            };
            self.effects.push_back(effect(made));
        }
        if self.config.lanes == Lanes::One {
            self.deliver_in_order(now);
        } else {
            self.deliver_in_lanes(now);
        }
    }

    fn deliver_in_order(&mut self, now: Tick) {
        let room = Room {
            records: self.config.batch_size,
            weight: self.reading.half_share(),
            is_strict: false,
        };
        while self.handling.lanes.is_idle()
            && let Some((batch, end)) = self.pop(now, room)
        {
            if !batch.is_empty() {
                let made = self.handling.lanes.deliver_whole(&mut self.handling.acks, batch, end);
                self.effects.push_back(effect(made));
            }
        }
    }

    /// Takes what is next out of the buffer. What nobody is to handle is passed over; then the batch is empty.
    fn pop(&mut self, now: Tick, room: Room) -> Option<(Batch, Position)> {
        let popped = self.reading.buffer.pop(&self.cutting, room)?;
        self.count_out_of_range(popped.out_of_range);
        let Some(end) = popped.end else {
            let nothing = self.handling.delivered.clone();
            return Some((popped.batch, nothing));
        };
        self.handling.delivered = end.clone();
        if popped.batch.is_empty() {
            self.pass_over(now, end.clone());
        }
        Some((popped.batch, end))
    }

    /// Nothing up to `end` is for the user's code: what was there is left out, and the next consumer need not look at it.
    fn pass_over(&mut self, now: Tick, end: Position) {
        let acks = &mut self.handling.acks;
        let passed = acks.passed();
        let ticket = acks.push(Unit {
            end,
            records: 0,
            arrived: Timestamp::from_epoch_millis(0),
        });
        acks.complete(ticket).expect("it was pushed just now");
        self.advance_watermark(now, passed);
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

    fn deliver_in_lanes(&mut self, now: Tick) {
        while let Some(room) = self.room_in_lanes()
            && let Some((batch, end)) = self.pop(now, room)
        {
            if !batch.is_empty() {
                self.handling.lanes.take_in(&mut self.handling.acks, &batch, &end);
            }
        }
        while self.handling.lanes.has_free_call() {
            let (handling, at_most) = (&mut self.handling, self.config.batch_size);
            let Some(made) = handling.lanes.deliver_next(&mut handling.acks, at_most) else {
                break;
            };
            self.effects.push_back(effect(made));
        }
        self.notice_hold_up();
    }

    /// What the window and the memory for what is worked on leave room for. A shard may always have one record in work.
    fn room_in_lanes(&self) -> Option<Room> {
        let records = self.handling.acks.room();
        let weight = self.reading.half_share().saturating_sub(self.handling.lanes.weight());
        let fits = records > 0 && (weight > 0 || self.handling.lanes.is_idle());
        fits.then_some(Room {
            records,
            weight,
            is_strict: true,
        })
    }

    fn notice_hold_up(&mut self) {
        let handling = &self.handling;
        let held_up = !self.reading.buffer.is_empty() && handling.lanes.all_fail();
        let was_held_up = std::mem::replace(&mut self.handling.held_up, held_up);
        if !held_up || was_held_up {
            return;
        }
        let oldest = self.handling.lanes.oldest_failing();
        if let Some((first, attempts)) =
            oldest.and_then(|delivery| Some((delivery.first_position()?, delivery.attempt())))
        {
            let records = self.handling.acks.window();
            self.effects.push_back(ShardEffect::Event(ShardEvent::HeldUp {
                first,
                attempts,
                records,
            }));
        }
    }

    pub(super) fn delivery_ended(&mut self, now: Tick, lane: LaneId, outcome: Outcome) {
        if self.stop.is_some_and(StopReason::is_void) {
            // What a call says after the lease was lost does not count: another worker may have handled the same records.
            return;
        }
        let Some(delivery) = self.handling.lanes.delivery(lane) else {
            return;
        };
        let (records, attempt) = (delivery.len(), delivery.attempt());
        match outcome {
            Outcome::Success => self.completed(now, lane, records),
            Outcome::SuccessBefore(index) if index >= records => self.completed(now, lane, records),
            Outcome::SuccessBefore(index) => {
                // The head of a batch was handled: it counts, and the rest is tried again with attempts of its own.
                if index > 0 {
                    self.completed(now, lane, index);
                }
                let error = format!("the handler named record {index} of {records} as failed");
                self.delivery_failed(now, lane, error);
            }
            Outcome::Failure(error) => self.delivery_failed(now, lane, error),
            Outcome::Postponed { wait, reason } => self.fail(now, lane, Some(wait), reason),
            Outcome::Cancelled => {
                self.handling.lanes.give_up(lane);
                self.cancelled("process_records", attempt);
            }
        }
    }

    fn completed(&mut self, now: Tick, lane: LaneId, count: usize) {
        let passed = self.handling.acks.passed();
        let done = self.handling.lanes.complete(&mut self.handling.acks, lane, count);
        if let Some(batch) = done {
            self.handled(now, &batch, passed);
        }
    }

    fn delivery_failed(&mut self, now: Tick, lane: LaneId, error: String) {
        self.fail(now, lane, None, error);
    }

    /// A delivery failed. While stopping it is made again only where it closes a gap: the other records stay unhandled,
    /// and the next holder of the lease gets them.
    fn fail(&mut self, now: Tick, lane: LaneId, postponed: Option<Duration>, error: String) {
        let stopping = self.stop.is_some();
        let Some(delivery) = self.handling.lanes.delivery(lane) else {
            return;
        };
        let (attempt, first) = (delivery.attempt(), delivery.first_position());
        let again = !stopping || (self.handling.lanes.failed_in_stop(lane) && postponed.is_none());
        let wait = match postponed {
            Some(wait) => wait,
            None if again => self.config.handler_backoff.wait(attempt, &mut self.rng),
            // Should it come to lie in a gap after all, it is tried at once.
            None => Duration::ZERO,
        };
        self.effects.push_back(ShardEffect::Event(ShardEvent::CallFailed {
            call: "process_records",
            attempt,
            first,
            error: error.clone(),
            retry_in: again.then_some(wait),
        }));
        self.handling.lanes.fail(lane, now + wait, postponed.is_some(), error);
    }

    /// While the consumer stops: handles what lies before handled records, so that nobody has to repeat these.
    pub(super) fn close_gaps(&mut self, now: Tick) {
        while self.handling.lanes.has_free_call() {
            let (handling, at_most) = (&mut self.handling, self.config.batch_size);
            let Some(made) = handling.lanes.deliver_gap(now, &mut handling.acks, at_most) else {
                return;
            };
            self.effects.push_back(effect(made));
        }
    }

    /// Says what will be repeated, when the consumer ends.
    pub(in crate::shard) fn notice_repeats(&mut self) {
        let records = self
            .handling
            .acks
            .window()
            .saturating_sub(self.handling.lanes.records());
        if records > 0 {
            self.effects
                .push_back(ShardEffect::Event(ShardEvent::Repeats { records }));
        }
    }
}

fn effect((id, delivery): Made<'_>) -> ShardEffect {
    let call = Call::Process {
        batch: delivery.batch().clone(),
        attempt: delivery.attempt(),
    };
    ShardEffect::Call { id, call }
}
