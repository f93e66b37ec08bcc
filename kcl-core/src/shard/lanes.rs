//! [`Lanes`]: how many calls may work on one shard at once, and which records may overtake which.
//!
//! A lane is a queue of records that are handled in their order, by one delivery at a time. A delivery that fails is
//! made again in its lane; the other lanes go on. How far the shard is handled as a whole is not known here: that is the
//! [`AckTracker`]'s to say, to which every run of consecutive records of one lane is a unit of work.

mod breaker;
mod delivery;
mod failures;
mod gaps;
mod lane;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
};

use bytestring::ByteString;

use self::breaker::Breaker;
pub(super) use self::delivery::{Delivery, DeliveryState};
use self::{
    delivery::Run,
    lane::{Lane, Queued},
};
use super::CallId;
use crate::{
    ack::{AckTracker, Unit},
    delivery::{DiscardReason, Rules},
    record::{Batch, Record},
    sequence::Position,
    time::Tick,
};

/// How many calls to the user's code may work on one shard at once, and which records may overtake which.
///
/// Records of one lane never overtake each other. Records that were written without a partition key have the empty key,
/// which is a key like any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lanes {
    /// One call at a time, in the shard's order.
    #[default]
    One,
    /// So many lanes, each with a call of its own. Every partition key belongs to one of them, so that a key's records
    /// keep their order: what Lambda calls `ParallelizationFactor`.
    Hashed(usize),
    /// Every partition key that has records outstanding is a lane of its own.
    PerKey {
        /// The most calls at once.
        calls: usize,
    },
    /// Every record by itself: nothing is promised about order.
    PerRecord {
        /// The most calls at once.
        calls: usize,
    },
}

impl Lanes {
    /// The most calls at once.
    #[must_use]
    pub const fn calls(self) -> usize {
        let calls = match self {
            Self::One => 1,
            Self::Hashed(calls) | Self::PerKey { calls } | Self::PerRecord { calls } => calls,
        };
        if calls == 0 { 1 } else { calls }
    }
}

/// Names a lane. One that is no longer needed is used again for another key.
pub(super) type LaneId = usize;

/// A delivery that is made now, and the name of its call.
pub(super) type Made<'a> = (CallId, &'a Delivery);

/// The lanes of a shard.
#[derive(Debug)]
pub(super) struct LaneSet {
    config: Lanes,
    /// The most records of one delivery.
    batch_size: usize,
    rules: Rules,
    breaker: Breaker,
    lanes: Vec<Lane>,
    free: Vec<LaneId>,
    by_key: BTreeMap<ByteString, LaneId>,
    /// Lanes in which records wait and nothing is delivered, in the order in which they came to be so.
    ready: VecDeque<LaneId>,
    /// Lanes whose records wait for company, and until when.
    ripening: BTreeSet<(Tick, LaneId)>,
    running: BTreeMap<CallId, LaneId>,
    /// Deliveries that failed and wait for their time.
    retries: BTreeSet<(Tick, LaneId)>,
    /// Deliveries that failed and did not succeed since, by their first record.
    failing: BTreeSet<(u64, LaneId)>,
    /// How many calls were made.
    calls: u64,
    /// How many records were taken in.
    taken: u64,
    /// Behind the last record that was handled.
    completed_to: u64,
    /// The first record that is not tried any more in this tenure.
    given_up: Option<u64>,
    /// What is not handled.
    records: usize,
    weight: u64,
    /// What all batches have in common.
    common: Option<Batch>,
}

impl LaneSet {
    pub(super) fn new(config: Lanes, batch_size: usize) -> Self {
        let lanes = match config {
            Lanes::One | Lanes::Hashed(_) => config.calls(),
            Lanes::PerKey { .. } | Lanes::PerRecord { .. } => 0,
        };
        Self {
            config,
            batch_size,
            rules: Rules::plain(),
            breaker: Breaker::default(),
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            free: Vec::new(),
            by_key: BTreeMap::new(),
            ready: VecDeque::new(),
            ripening: BTreeSet::new(),
            running: BTreeMap::new(),
            retries: BTreeSet::new(),
            failing: BTreeSet::new(),
            calls: 0,
            taken: 0,
            completed_to: 0,
            given_up: None,
            records: 0,
            weight: 0,
            common: None,
        }
    }

    /// The name of the next call, of whatever kind.
    pub(super) fn next_id(&mut self) -> CallId {
        self.calls += 1;
        CallId(self.calls)
    }

    #[cfg(test)]
    pub(super) fn last_id(&self) -> CallId {
        CallId(self.calls)
    }

    /// Whether nothing waits and nothing is delivered.
    pub(super) fn is_idle(&self) -> bool {
        self.records == 0
    }

    pub(super) fn is_calling(&self) -> bool {
        !self.running.is_empty()
    }

    /// Whether calls do not take up all places.
    pub(super) fn has_room_for_call(&self) -> bool {
        self.running.len() < self.config.calls()
    }

    /// Whether another call may be made.
    pub(super) fn has_free_call(&self, now: Tick) -> bool {
        self.has_room_for_call() && self.breaker.allows(now, self.running.len())
    }

    /// Records that are not handled.
    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// The memory that they take.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (
            self.running.len(),
            self.ready.len() + self.ripening.len(),
            self.failing.len(),
        )
    }

    /// The delivery that failed whose first record is the oldest: of those that wait, if there are any.
    pub(super) fn oldest_failing(&self) -> Option<&Delivery> {
        let failing = || {
            self.failing
                .iter()
                .filter_map(|(_, lane)| self.lanes[*lane].delivery.as_ref())
        };
        failing()
            .find(|delivery| !delivery.is_running())
            .or_else(|| failing().next())
    }

    /// Whether all that is not handled is in lanes that fail.
    pub(super) fn all_fail(&self) -> bool {
        let fails = |lane: &LaneId| {
            let first = self.lanes[*lane].first();
            first.is_some_and(|first| self.failing.contains(&(first, *lane)))
        };
        let none_waits = self.ready.is_empty() && self.ripening.is_empty();
        !self.failing.is_empty() && none_waits && self.running.values().all(fails)
    }

    fn lane_for(&mut self, record: &Record) -> LaneId {
        match self.config {
            Lanes::One => 0,
            Lanes::Hashed(_) => {
                // With fixed keys: the same in every process.
                let mut hasher = DefaultHasher::new();
                record.partition_key.hash(&mut hasher);
                let lanes = self.lanes.len() as u64;
                usize::try_from(hasher.finish() % lanes).expect("smaller than the number of lanes")
            }
            Lanes::PerKey { .. } => {
                let key: &str = &record.partition_key;
                if let Some(lane) = self.by_key.get(key) {
                    return *lane;
                }
                let lane = self.free_lane();
                self.by_key.insert(record.partition_key.clone(), lane);
                self.lanes[lane].key = Some(record.partition_key.clone());
                lane
            }
            Lanes::PerRecord { .. } => self.free_lane(),
        }
    }

    fn free_lane(&mut self) -> LaneId {
        self.free.pop().unwrap_or_else(|| {
            self.lanes.push(Lane::default());
            self.lanes.len() - 1
        })
    }

    /// Takes in the next records of the shard, each into its lane. When all up to the last are handled, the shard is up to
    /// `end`.
    pub(super) fn take_in(&mut self, now: Tick, acks: &mut AckTracker, batch: &Batch, end: &Position) {
        let mut begin = 0;
        let mut current = batch.first().map(|record| self.lane_for(record));
        while let Some(lane) = current {
            let mut next = begin + 1;
            current = None;
            while let Some(record) = batch.get(next) {
                let other = self.lane_for(record);
                if other != lane {
                    current = Some(other);
                    break;
                }
                next += 1;
            }
            let run = &batch[begin..next];
            let end = match (current, run.last()) {
                (Some(_), Some(last)) => Position::Record(last.position()),
                _ => end.clone(),
            };
            self.push(now, acks, lane, run, end);
            begin = next;
        }
        self.common = Some(batch.with_records(Vec::new()));
    }

    fn push(&mut self, now: Tick, acks: &mut AckTracker, lane: LaneId, records: &[Record], end: Position) {
        let run = self.count_in(acks, records, end);
        self.lanes[lane].push(&self.rules, records, run);
        self.queue(now, lane);
    }

    /// Puts a lane in which records wait and nothing is delivered where it belongs.
    fn queue(&mut self, now: Tick, id: LaneId) {
        let lane = &mut self.lanes[id];
        if lane.delivery.is_some() || !lane.has_waiting() || lane.queued == Queued::Ready {
            return;
        }
        let at = lane.ripe_at(now, &self.rules, self.batch_size);
        if let Queued::Ripening(before) = lane.queued {
            if at > now {
                return;
            }
            self.ripening.remove(&(before, id));
        }
        if at <= now {
            lane.queued = Queued::Ready;
            self.ready.push_back(id);
        } else {
            lane.queued = Queued::Ripening(at);
            self.ripening.insert((at, id));
        }
    }

    fn unqueue(&mut self, id: LaneId) {
        match std::mem::take(&mut self.lanes[id].queued) {
            Queued::No => {}
            Queued::Ready => self.ready.retain(|ready| *ready != id),
            Queued::Ripening(at) => {
                self.ripening.remove(&(at, id));
            }
        }
    }

    /// The batches whose time has come go out; `all` of them if nothing more comes.
    pub(super) fn ripen(&mut self, now: Tick, all: bool) {
        while let Some((at, lane)) = self.ripening.first().copied()
            && (all || at <= now)
        {
            self.ripening.pop_first();
            self.lanes[lane].queued = Queued::Ready;
            self.ready.push_back(lane);
        }
    }

    fn count_in(&mut self, acks: &mut AckTracker, records: &[Record], end: Position) -> Run {
        let ticket = acks.push(Unit {
            end,
            records: records.len(),
            arrived: records[0].approximate_arrival_timestamp,
        });
        let run = Run {
            ticket,
            first: self.taken,
            records: records.len(),
        };
        self.taken = run.end();
        self.records += records.len();
        self.weight += records.iter().map(Record::weight).sum::<u64>();
        run
    }

    /// Begins to deliver the next records of the shard as they are: where there is one lane, nothing need be sorted.
    pub(super) fn deliver_whole(&mut self, acks: &mut AckTracker, batch: Batch, end: Position) -> Made<'_> {
        let run = self.count_in(acks, &batch, end);
        self.deliver(0, batch, VecDeque::from([run]), 0, None)
    }

    /// Begins the delivery of the lane that has waited for longest.
    pub(super) fn deliver_next(&mut self, now: Tick, acks: &mut AckTracker) -> Option<Made<'_>> {
        let lane = self.ready.pop_front()?;
        self.lanes[lane].queued = Queued::No;
        self.deliver_of(now, acks, lane, u64::MAX)
    }

    fn deliver_of(&mut self, now: Tick, acks: &mut AckTracker, lane: LaneId, limit: u64) -> Option<Made<'_>> {
        let common = self.common.as_ref()?;
        let portion = self.lanes[lane].portion(now, &self.rules, self.batch_size);
        let (records, runs, tries) = self.lanes[lane].take(&self.rules, acks, portion.records, limit);
        let batch = common.with_records(records);
        Some(self.deliver(lane, batch, runs, tries, portion.discard))
    }

    fn deliver(
        &mut self,
        lane: LaneId,
        batch: Batch,
        runs: VecDeque<Run>,
        tries: u32,
        discard: Option<DiscardReason>,
    ) -> Made<'_> {
        let call = self.next_id();
        self.running.insert(call, lane);
        let quarantines = discard.is_some_and(|reason| self.rules.quarantines(reason));
        let delivery = Delivery {
            batch,
            runs,
            attempt: tries.saturating_add(1),
            tries,
            discard,
            quarantines,
            handler_error: None,
            tries_in_stop: 0,
            error: None,
            state: DeliveryState::Running,
        };
        (call, self.lanes[lane].delivery.insert(delivery))
    }

    /// The first time at which a delivery may be made, though nothing happens before.
    pub(super) fn next_delivery(&self) -> Option<Tick> {
        let retry = self.retries.first().map(|(at, _)| *at);
        let ripe = self.ripening.first().map(|(at, _)| *at);
        let ready = (!self.ready.is_empty()).then_some(Tick::ZERO);
        let next = [retry, ripe, ready].into_iter().flatten().min()?;
        if !self.has_room_for_call() {
            return None;
        }
        let allowed = self.breaker.allowed_from(self.running.len())?;
        // What is ready is delivered at once, unless the circuit is open.
        Some(next.max(allowed)).filter(|at| *at > Tick::ZERO)
    }

    /// Makes a delivery again whose time has come.
    pub(super) fn retry_due(&mut self, now: Tick, acks: &mut AckTracker) -> Option<Made<'_>> {
        let (_, lane) = *self.retries.first().filter(|(at, _)| *at <= now)?;
        self.give_up_expired(now, acks, lane);
        self.retry(lane)
    }

    fn retry(&mut self, lane: LaneId) -> Option<Made<'_>> {
        let call = self.next_id();
        let delivery = self.lanes[lane].delivery.as_mut()?;
        if let DeliveryState::Waiting { retry_at, .. } = delivery.state {
            self.retries.remove(&(retry_at, lane));
        }
        delivery.attempt = delivery.attempt.saturating_add(1);
        delivery.state = DeliveryState::Running;
        self.running.insert(call, lane);
        Some((call, delivery))
    }

    /// A call ended: gives its lane. An answer that comes twice has none.
    pub(super) fn ended(&mut self, call: CallId) -> Option<LaneId> {
        self.running.remove(&call)
    }

    pub(super) fn delivery(&self, lane: LaneId) -> Option<&Delivery> {
        self.lanes[lane].delivery.as_ref()
    }

    /// The first `count` records of a delivery were handled. The rest, if there is one, remains to be delivered.
    pub(super) fn complete(&mut self, now: Tick, acks: &mut AckTracker, lane: LaneId, count: usize) -> Option<Batch> {
        self.complete_by(now, lane, |delivery| delivery.complete(acks, count))
    }

    /// As many records of a delivery were handled as `complete` says.
    fn complete_by(
        &mut self,
        now: Tick,
        lane: LaneId,
        complete: impl FnOnce(&mut Delivery) -> (Batch, u64),
    ) -> Option<Batch> {
        let delivery = self.lanes[lane].delivery.as_mut()?;
        if let Some(first) = delivery.first() {
            self.failing.remove(&(first, lane));
        }
        let (done, end) = complete(delivery);
        (delivery.attempt, delivery.tries) = (1, 0);
        self.completed_to = self.completed_to.max(end);
        self.records -= done.len();
        self.weight = self.weight.saturating_sub(done.weight());
        if delivery.runs.is_empty() {
            self.lanes[lane].delivery = None;
            self.proceed(now, lane);
        }
        Some(done)
    }

    /// A lane delivers nothing any more.
    fn proceed(&mut self, now: Tick, lane: LaneId) {
        self.lanes[lane].reopen(now);
        if self.lanes[lane].has_waiting() {
            self.queue(now, lane);
        } else if matches!(self.config, Lanes::PerKey { .. } | Lanes::PerRecord { .. }) {
            if let Some(key) = self.lanes[lane].vacate() {
                self.by_key.remove(&key);
            }
            self.free.push(lane);
        }
    }
}
