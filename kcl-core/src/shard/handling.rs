//! The handling side: calls to the user's code, repeated until they succeed; what was handled is committed.
//!
//! Here is what all deliveries have in common. Which records are delivered when, and beside which others, is decided in
//! [`lanes`](super::lanes).

mod calls;
mod commit;
mod deliveries;
mod rules;
mod windows;

use self::{calls::Alone, commit::Uncommitted};
use super::{
    FailingLane, LanesStatus, Waiting,
    lanes::{Delivery, DeliveryState, LaneSet, Lanes},
};
use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    ack::AckTracker,
    delivery::Rules,
    record::Batch,
    sequence::Position,
    time::{Tick, Timestamp},
};

#[derive(Debug)]
pub(super) struct Handling {
    acks: AckTracker,
    lanes: LaneSet,
    /// A call that runs, or is to be repeated, with no delivery beside it.
    alone: Option<Alone>,
    handled: Position,
    delivered: Position,
    handled_records: u64,
    pub(super) handled_bytes: u64,
    /// Records of aggregates whose hash keys are those of other shards.
    out_of_range: u64,
    filtered_records: u64,
    discarded_records: u64,
    uncommitted: Uncommitted,
    initialized: bool,
    last_call_made: bool,
    ended: bool,
    /// Lanes that fail hold up all others.
    held_up: bool,
    /// What batches of this shard have in common: the call that ends a window has no records.
    nothing: Option<Batch>,
}

impl Handling {
    pub(super) fn new(start: Position, lanes: Lanes, window: usize, batch_size: usize) -> Self {
        Self {
            acks: AckTracker::with_window(window),
            lanes: LaneSet::new(lanes, batch_size),
            alone: None,
            handled: start.clone(),
            delivered: start,
            handled_records: 0,
            handled_bytes: 0,
            out_of_range: 0,
            filtered_records: 0,
            discarded_records: 0,
            uncommitted: Uncommitted::default(),
            initialized: false,
            last_call_made: false,
            ended: false,
            held_up: false,
            nothing: None,
        }
    }

    /// Nothing was delivered yet, and reading starts here.
    pub(super) fn start_at(&mut self, position: Position) {
        self.handled = position.clone();
        self.delivered = position;
    }

    pub(super) fn is_calling(&self) -> bool {
        self.lanes.is_calling() || self.alone.as_ref().is_some_and(Alone::is_running)
    }

    /// When a call that failed is made again.
    pub(super) fn retry_at(&self, stopping: bool) -> Option<Tick> {
        match &self.alone {
            Some(alone) => alone.retry_at().filter(|_| !stopping),
            None if stopping => self.lanes.next_gap(),
            None => self.lanes.next_delivery(),
        }
    }

    pub(super) fn delivered(&self) -> &Position {
        &self.delivered
    }

    /// Whether the user's code is told of the shard's end.
    pub(super) fn is_ending(&self) -> bool {
        self.ended
    }

    pub(super) fn handled(&self) -> &Position {
        &self.handled
    }

    pub(super) fn handled_records(&self) -> u64 {
        self.handled_records
    }

    /// Records that were left out on request, and those that the dead letters hold.
    pub(super) fn passed_over(&self) -> (u64, u64) {
        (self.filtered_records, self.discarded_records)
    }

    pub(super) fn set_rules(&mut self, rules: Rules) {
        self.lanes.set_rules(rules);
    }

    pub(super) fn set_quarantined(&mut self, keys: Vec<ByteString>) {
        self.lanes.rules_mut().set_quarantined(keys);
    }

    pub(super) fn resume_window(&mut self, state: Option<&Bytes>) {
        if let Some((windows, state)) = self.lanes.rules_mut().windows_mut().zip(state) {
            windows.resume(state);
        }
    }

    /// Records that the user's code works on or is to work on, and the memory that they take.
    pub(super) fn outstanding(&self) -> (usize, u64) {
        (self.lanes.records(), self.lanes.weight())
    }

    pub(super) fn oldest_arrival(&self) -> Option<Timestamp> {
        self.acks.oldest_arrival()
    }

    pub(super) fn waiting(&self, now: Tick) -> Option<Waiting> {
        if let Some(alone) = &self.alone {
            return Some(alone.waiting(now));
        }
        let failing = self.lanes.oldest_failing();
        let call = failing.map_or("process_records", Delivery::call_name);
        match failing.map(|delivery| (delivery, &delivery.state)) {
            Some((delivery, DeliveryState::Waiting { retry_at, .. })) => Some(Waiting::ForRetry {
                call,
                failures: delivery.attempt(),
                error: delivery.error().unwrap_or_default().to_owned(),
                retry_in: retry_at.since(now),
            }),
            _ => self.lanes.is_calling().then(|| Waiting::ForHandler {
                call,
                attempt: failing.map_or(1, Delivery::attempt),
            }),
        }
    }

    pub(super) fn lanes_status(&self, now: Tick) -> LanesStatus {
        let (running, ready, failing) = self.lanes.counts();
        let oldest = self.lanes.oldest_failing();
        LanesStatus {
            running,
            ready,
            failing,
            window_records: self.acks.window(),
            held_up: self.held_up,
            circuit_open: self.lanes.breaker_is_open(),
            oldest_failing: oldest.and_then(|delivery| {
                Some(FailingLane {
                    first: delivery.first_position()?,
                    attempts: delivery.attempt(),
                    error: delivery.error()?.to_owned(),
                    retry_in: match delivery.state {
                        DeliveryState::Waiting { retry_at, .. } => Some(retry_at.since(now)),
                        DeliveryState::Running => None,
                    },
                })
            }),
        }
    }

    #[cfg(test)]
    pub(super) fn last_id(&self) -> super::CallId {
        self.lanes.last_id()
    }
}
