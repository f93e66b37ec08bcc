//! What one look at the table tells: who lives, who has how much, and what can move.

use std::collections::BTreeMap;

use super::{
    FleetView,
    load::{LeaseAssignment, most_even, weight},
};
use crate::{
    ids::{ShardId, WorkerId},
    lease::Lease,
    lineage::is_ready_among,
    stream::StreamId,
};

pub(super) struct Census<'a> {
    /// Every live worker and how many leases it has or is about to receive.
    pub(super) loads: BTreeMap<&'a WorkerId, usize>,
    /// How many of them plan for themselves.
    pub(super) drawing: usize,
    /// The leases that nobody reads, in the planner's own order.
    pub(super) free: Vec<&'a Lease>,
    /// How many unfinished leases the planner holds, those included that wait for their parents.
    pub(super) held_by_me: usize,
    /// Differs from round to round, as the others renew their leases, and not by what the planner does.
    pub(super) salt: u64,
    /// Whether a lease is being passed on.
    pub(super) handing_off: bool,
    /// How many bytes a second each live worker handles, where that is balanced and every lease that counts says so.
    pub(super) weights: Option<BTreeMap<&'a WorkerId, u64>>,
    /// The leases that a worker can be asked for.
    movable: BTreeMap<&'a WorkerId, Vec<&'a Lease>>,
    seed: u64,
}

impl<'a> Census<'a> {
    pub(super) fn take(view: &FleetView<'a>) -> Self {
        let mut census = Self {
            loads: BTreeMap::from([(view.me, 0)]),
            drawing: 1,
            free: Vec::new(),
            held_by_me: 0,
            salt: view.seed,
            handing_off: false,
            weights: (view.assignment == LeaseAssignment::Throughput).then(|| BTreeMap::from([(view.me, 0)])),
            movable: BTreeMap::new(),
            seed: view.seed,
        };
        // Streams have shards of the same ids.
        let by_shard: BTreeMap<(Option<&StreamId>, &ShardId), &Lease> = view
            .leases
            .iter()
            .map(|&lease| ((lease.stream_id(), &lease.shard), lease))
            .collect();
        for &lease in view.leases {
            let ready = || is_ready_among(lease, |shard| by_shard.get(&(lease.stream_id(), shard)).copied());
            let live = lease.holder().is_some() && !view.expired.contains(&lease.key);
            if live {
                census.count_live(view, lease, ready);
            } else if !lease.is_finished() && ready() {
                census.free.push(lease);
            }
        }
        census.drawing = census.loads.len();
        for worker in view.peers.iter().flat_map(|peers| &peers.idle) {
            census.loads.entry(worker).or_default();
        }
        census
            .free
            .sort_by_cached_key(|lease| scatter(view.seed, lease.key.as_str()));
        census
    }

    fn count_live(&mut self, view: &FleetView<'a>, lease: &'a Lease, ready: impl Fn() -> bool) {
        let me = view.me;
        let is_stuck = view.peers.is_some_and(|peers| peers.stuck.contains(&lease.key));
        for worker in lease.owner.iter().filter(|_| !is_stuck).chain(&lease.checkpoint_owner) {
            self.loads.entry(worker).or_default();
            self.weigh(worker, Some(0));
        }
        self.handing_off |= lease.is_in_hand_off();
        if lease.holder() != Some(me) {
            self.salt = self.salt.wrapping_add(scatter(lease.counter, lease.key.as_str()));
        }
        let Some(receiver) = lease.owner.as_ref().filter(|_| !is_stuck).or_else(|| lease.holder()) else {
            return;
        };
        if lease.is_finished() {
            return;
        }
        if receiver == me {
            self.held_by_me += 1;
        }
        if !ready() {
            return;
        }
        *self.loads.entry(receiver).or_default() += 1;
        self.weigh(receiver, lease.throughput);
        if (is_stuck || !lease.is_in_hand_off()) && view.peers.is_none_or(|peers| peers.can_give(receiver)) {
            self.movable.entry(receiver).or_default().push(lease);
        }
    }

    fn weigh(&mut self, worker: &'a WorkerId, throughput: Option<u64>) {
        match (&mut self.weights, throughput) {
            (Some(weights), Some(bytes)) => {
                let weight = weights.entry(worker).or_default();
                *weight = weight.saturating_add(bytes);
            }
            _ => self.weights = None,
        }
    }

    /// The leases that `worker` can be asked for.
    pub(super) fn movable(&self, worker: &WorkerId) -> &[&'a Lease] {
        self.movable.get(worker).map_or(&[], Vec::as_slice)
    }

    /// How many leases `worker` can be asked for.
    pub(super) fn movable_of(&self, worker: &WorkerId) -> usize {
        self.movable(worker).len()
    }

    /// Up to `count` leases that `receiver` asks `worker` for; each is given out once. Where weights are known, those that leave
    /// the two as even as can be, else in the planner's own order.
    pub(super) fn give_up(&mut self, worker: &'a WorkerId, receiver: &'a WorkerId, count: usize) -> Vec<&'a Lease> {
        let Some(leases) = self.movable.get_mut(worker) else {
            return Vec::new();
        };
        // Most rounds move nothing: only those that do pay for the order.
        leases.sort_by_cached_key(|lease| scatter(self.seed, lease.key.as_str()));
        let Some(weights) = &mut self.weights else {
            return leases.split_off(leases.len().saturating_sub(count));
        };
        let mut given = Vec::new();
        while given.len() < count
            && let Some(index) = most_even(leases, weights, worker, receiver)
        {
            let lease = leases.swap_remove(index);
            let moved = weight(lease);
            let gives = weights.entry(worker).or_default();
            *gives = gives.saturating_sub(moved);
            let gets = weights.entry(receiver).or_default();
            *gets = gets.saturating_add(moved);
            given.push(lease);
        }
        given
    }
}

/// A number that looks random and depends on nothing but its arguments: FNV-1a, with a finish that mixes the high bits.
pub(super) fn scatter(seed: u64, text: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let sum = text.bytes().fold(start, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (sum ^ (sum >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}
