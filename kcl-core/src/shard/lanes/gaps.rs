//! The gaps of a consumer that stops: records that are not handled, before others that are.

use super::{Delivery, DeliveryState, LaneId, LaneSet, Made};
use crate::{ack::AckTracker, time::Tick};

/// How often a delivery is made while the consumer stops. Trouble that ends soon is waited for; a poison record would keep
/// every stop waiting for its grace.
const TRIES_IN_STOP: u32 = 3;

impl LaneSet {
    /// What is handled before here closes a gap. Behind a record that was given up nothing does.
    fn limit(&self) -> u64 {
        self.completed_to.min(self.given_up.unwrap_or(u64::MAX))
    }

    fn lanes_with_gaps(&self) -> impl Iterator<Item = LaneId> {
        let limit = self.limit();
        let is_gap = move |lane: &LaneId| self.lanes[*lane].first().is_some_and(|first| first < limit);
        (0..self.lanes.len()).filter(is_gap)
    }

    /// Whether records remain to be handled so that what is handled need not be repeated.
    pub(in crate::shard) fn has_gaps(&self) -> bool {
        self.lanes_with_gaps().next().is_some()
    }

    /// A delivery failed while the consumer stops. Says whether it is made again as things are.
    pub(in crate::shard) fn failed_in_stop(&mut self, lane: LaneId) -> bool {
        let limit = self.limit();
        let Some(delivery) = &mut self.lanes[lane].delivery else {
            return false;
        };
        // One that was under way when the stop came counts as a try.
        delivery.tries_in_stop = delivery.tries_in_stop.max(1);
        let tries_again = delivery.tries_in_stop < TRIES_IN_STOP;
        let is_gap = delivery.first().is_some_and(|first| first < limit);
        if !tries_again {
            self.give_up(lane);
        }
        tries_again && is_gap
    }

    /// A lane is not called again in this tenure.
    pub(in crate::shard) fn give_up(&mut self, lane: LaneId) {
        let first = self.lanes[lane].first();
        if let Some(first) = first.filter(|first| self.given_up.is_none_or(|given_up| *first < given_up)) {
            self.given_up = Some(first);
        }
    }

    /// Begins a delivery that closes a gap, if one may begin now. It holds nothing that lies behind all that is handled.
    pub(in crate::shard) fn deliver_gap(&mut self, now: Tick, acks: &mut AckTracker) -> Option<Made<'_>> {
        let limit = self.limit();
        let lane = self.lanes_with_gaps().find(|lane| match self.delivery(*lane) {
            None => true,
            Some(delivery) => match delivery.state {
                DeliveryState::Running => false,
                DeliveryState::Waiting { retry_at, .. } => delivery.tries_in_stop == 0 || retry_at <= now,
            },
        })?;
        let postponed = |delivery: &Delivery| matches!(delivery.state, DeliveryState::Waiting { postponed: true, .. });
        if self.delivery(lane).is_some_and(postponed) {
            // The user's code does not want it now.
            self.give_up(lane);
            return self.deliver_gap(now, acks);
        }
        let call = if let Some(delivery) = &mut self.lanes[lane].delivery {
            delivery.tries_in_stop += 1;
            let (batch, runs) = delivery.cut(limit);
            let tries = delivery.tries;
            self.lanes[lane].put_back(&self.rules, &batch, runs, tries);
            self.retry(lane)?.0
        } else {
            self.unqueue(lane);
            self.deliver_of(now, acks, lane, limit)?.0
        };
        self.lanes[lane].delivery.as_ref().map(|delivery| (call, delivery))
    }

    /// When the next of them may begin, though no call ends before.
    pub(in crate::shard) fn next_gap(&self) -> Option<Tick> {
        let waiting = |lane| match self.delivery(lane)?.state {
            DeliveryState::Waiting { retry_at, .. } => Some(retry_at),
            DeliveryState::Running => None,
        };
        self.lanes_with_gaps()
            .filter_map(waiting)
            .min()
            .filter(|_| self.has_room_for_call())
    }
}
