//! What becomes of deliveries that failed: made again, cut in two, or given to the dead letters.

use super::{Breaker, Delivery, DeliveryState, LaneId, LaneSet, Queued};
use crate::{
    ack::AckTracker,
    delivery::{DiscardReason, Rules, Verdict},
    record::Batch,
    time::{Tick, Timestamp},
};

impl LaneSet {
    pub(in crate::shard) fn set_rules(&mut self, rules: Rules) {
        self.breaker = Breaker::new(rules.policy.breaker);
        self.rules = rules;
    }

    pub(in crate::shard) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(in crate::shard) fn rules_mut(&mut self) -> &mut Rules {
        &mut self.rules
    }

    pub(in crate::shard) fn breaker_is_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// When the record arrived that is delivered next, where there is one lane.
    pub(in crate::shard) fn next_arrival(&self) -> Option<Timestamp> {
        self.lanes.first()?.next_arrival()
    }

    /// Whether no delivery is made or is to be made again.
    pub(in crate::shard) fn delivers_nothing(&self) -> bool {
        self.lanes.iter().all(|lane| lane.delivery.is_none())
    }

    /// A call succeeded, at least in part.
    pub(in crate::shard) fn note_success(&mut self) {
        self.breaker.succeeded();
    }

    /// A call failed or could not be made. Says whether the user's code is left alone for a while from now on.
    pub(in crate::shard) fn note_failure(&mut self, now: Tick) -> bool {
        self.breaker.failed(now)
    }

    /// All records of a delivery were handled but those that `keep` names. These remain to be delivered.
    pub(in crate::shard) fn complete_except(
        &mut self,
        now: Tick,
        acks: &mut AckTracker,
        lane: LaneId,
        keep: &[bool],
    ) -> Option<Batch> {
        self.complete_by(now, lane, |delivery| delivery.complete_except(acks, keep))
    }

    /// A delivery failed in a way that counts. `named` if its first record is known to be what failed.
    pub(in crate::shard) fn judge(&mut self, lane: LaneId, named: bool) -> Verdict {
        match &mut self.lanes[lane].delivery {
            Some(delivery) if delivery.discard.is_none() => {
                delivery.tries = delivery.tries.saturating_add(1);
                self.rules.judge(delivery.len(), delivery.tries, named)
            }
            _ => Verdict::Again,
        }
    }

    /// A delivery failed, and is made again at a time.
    pub(in crate::shard) fn fail(&mut self, lane: LaneId, retry_at: Tick, postponed: bool, error: String) {
        let Some(delivery) = &mut self.lanes[lane].delivery else {
            return;
        };
        if delivery.discard.is_none() {
            delivery.handler_error = Some(error.clone());
        }
        delivery.error = Some(error);
        delivery.state = DeliveryState::Waiting { retry_at, postponed };
        self.retries.insert((retry_at, lane));
        if let Some(first) = delivery.first() {
            self.failing.insert((first, lane));
        }
    }

    /// The first `count` records of a delivery are delivered by themselves; the rest waits in the lane, as a batch.
    pub(in crate::shard) fn split(&mut self, acks: &mut AckTracker, lane: LaneId, count: usize) {
        if let Some(delivery) = &mut self.lanes[lane].delivery {
            delivery.tries = 0;
        }
        self.cut(acks, lane, count);
    }

    fn cut(&mut self, acks: &mut AckTracker, lane: LaneId, count: usize) {
        let Some(delivery) = &mut self.lanes[lane].delivery else {
            return;
        };
        let (rest, runs) = delivery.cut_at(acks, count);
        let tries = delivery.tries;
        self.lanes[lane].put_back(&self.rules, &rest, runs, tries);
        debug_assert_eq!(
            self.lanes[lane].queued,
            Queued::No,
            "a lane that delivers is not queued"
        );
    }

    /// A delivery goes to the dead letters from now on.
    pub(in crate::shard) fn discard(&mut self, lane: LaneId, reason: DiscardReason) {
        if let Some(delivery) = &mut self.lanes[lane].delivery {
            delivery.discard = Some(reason);
            delivery.quarantines = self.rules.quarantines(reason);
            delivery.attempt = 0;
        }
    }

    /// The records of a delivery that became too old are not tried again.
    pub(super) fn give_up_expired(&mut self, now: Tick, acks: &mut AckTracker, lane: LaneId) {
        let tried = |delivery: &&Delivery| delivery.discard.is_none();
        let Some(delivery) = self.delivery(lane).filter(tried) else {
            return;
        };
        let expired = self.rules.expired(now, delivery.batch());
        if expired == 0 {
            return;
        }
        if expired < delivery.len() {
            self.cut(acks, lane, expired);
        }
        self.discard(lane, DiscardReason::RecordAgeExceeded);
    }
}
