//! Deliveries: which records are given to the user's code now, and what becomes of what it says.

use std::time::Duration;

use crate::{
    ack::Unit,
    delivery::Discard,
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
        while self.handling.lanes.has_free_call(now) {
            let handling = &mut self.handling;
            let Some(made) = handling.lanes.retry_due(now, &mut handling.acks) else {
                break;
            };
            let made = effect(made);
            self.deliver(made);
        }
        if self.config.lanes == Lanes::One && self.handling.lanes.rules().is_plain() {
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
        self.look_at(&popped.batch);
        let batch = self.admit(popped.batch);
        if batch.is_empty() {
            self.pass_over(now, end.clone());
        }
        Some((batch, end))
    }

    /// Leaves out what the user's code does not want.
    fn admit(&mut self, batch: Batch) -> Batch {
        let (batch, records, unreadable) = self.handling.lanes.rules().admit(batch);
        if records + unreadable > 0 {
            self.handling.filtered_records += records + unreadable;
            self.effects
                .push_back(ShardEffect::Event(ShardEvent::Filtered { records, unreadable }));
        }
        batch
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
                self.handling.lanes.take_in(now, &mut self.handling.acks, &batch, &end);
            }
        }
        if self.end_window() {
            return;
        }
        // Nobody joins a batch any more at the end of the shard or of a window, or where there is no room.
        let all = self.reading.is_exhausted() || self.room_in_lanes().is_none() || self.window_is_over();
        self.handling.lanes.ripen(now, all);
        while self.handling.lanes.has_free_call(now) {
            let handling = &mut self.handling;
            let Some(made) = handling.lanes.deliver_next(now, &mut handling.acks) else {
                break;
            };
            let made = effect(made);
            self.deliver(made);
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
        let (records, attempt, call) = (delivery.len(), delivery.attempt(), delivery.call_name());
        let is_call = delivery.discard().is_none();
        if is_call {
            self.note_health(now, &outcome, records);
            self.note_state(&outcome, records);
        }
        match outcome {
            Outcome::Success | Outcome::Windowed { failed: None, .. } => self.completed(now, lane, records),
            Outcome::SuccessBefore(index) if index >= records => self.completed(now, lane, records),
            Outcome::Windowed {
                failed: Some(index), ..
            } if index >= records => self.completed(now, lane, records),
            Outcome::SuccessBefore(index)
            | Outcome::Windowed {
                failed: Some(index), ..
            } => self.handled_before(now, lane, index, records),
            Outcome::FailedItems(items) => self.failed_items(now, lane, &items, records),
            Outcome::Failure(error) => self.delivery_failed(now, lane, false, error),
            Outcome::NotCalled { wait, reason } => self.not_called(now, lane, wait, reason),
            Outcome::Postponed { wait, reason } => self.fail(now, lane, Some(wait), reason),
            Outcome::Cancelled => {
                self.handling.lanes.give_up(lane);
                self.cancelled(call, attempt);
            }
        }
    }

    pub(super) fn completed(&mut self, now: Tick, lane: LaneId, count: usize) {
        let passed = self.handling.acks.passed();
        let Some(delivery) = self.handling.lanes.delivery(lane) else {
            return;
        };
        let discard = delivery.discard().map(|reason| (reason, delivery.tries()));
        let done = self.handling.lanes.complete(now, &mut self.handling.acks, lane, count);
        let Some(batch) = done else { return };
        match discard {
            Some((reason, attempts)) => self.kept_as_dead_letters(now, &batch, reason, attempts, passed),
            None => self.handled(now, &batch, passed),
        }
    }

    /// A delivery failed. While stopping it is made again only where it closes a gap: the other records stay unhandled,
    /// and the next holder of the lease gets them.
    pub(super) fn fail(&mut self, now: Tick, lane: LaneId, postponed: Option<Duration>, error: String) {
        let stopping = self.stop.is_some();
        let Some(delivery) = self.handling.lanes.delivery(lane) else {
            return;
        };
        let (attempt, first, call) = (delivery.attempt(), delivery.first_position(), delivery.call_name());
        let again = !stopping || (self.handling.lanes.failed_in_stop(lane) && postponed.is_none());
        let wait = match postponed {
            Some(wait) => wait,
            None if again => self.config.handler_backoff.wait(attempt, &mut self.rng),
            // Should it come to lie in a gap after all, it is tried at once.
            None => Duration::ZERO,
        };
        self.effects.push_back(ShardEffect::Event(ShardEvent::CallFailed {
            call,
            attempt,
            first,
            error: error.clone(),
            retry_in: again.then_some(wait),
        }));
        self.handling.lanes.fail(lane, now + wait, postponed.is_some(), error);
    }

    /// While the consumer stops: handles what lies before handled records, so that nobody has to repeat these.
    pub(super) fn close_gaps(&mut self, now: Tick) {
        while self.handling.lanes.has_room_for_call() {
            let handling = &mut self.handling;
            let Some(made) = handling.lanes.deliver_gap(now, &mut handling.acks) else {
                return;
            };
            let made = effect(made);
            self.deliver(made);
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

pub(super) fn effect((id, delivery): Made<'_>) -> ShardEffect {
    let batch = delivery.batch().clone();
    let call = match delivery.discard() {
        None => Call::Process {
            batch,
            attempt: delivery.attempt(),
            window: None,
        },
        Some(reason) => Call::Discard(Discard {
            batch,
            reason,
            attempts: delivery.tries(),
            error: delivery.handler_error().map(ToOwned::to_owned),
            quarantines: delivery.quarantines(),
        }),
    };
    ShardEffect::Call { id, call }
}
