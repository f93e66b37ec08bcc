//! A fleet for tests: one table, conditional writes, and workers that may be dead or look at old views.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::{
    assign::{AssignLimits, FleetView, LeaseAssignment, Move, Plan, plan_assignment},
    ids::{LeaseKey, Session, ShardId, WorkerId},
    lease::{Lease, LeaseWrite},
    lineage,
    sequence::Position,
};

pub(in crate::assign) fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

#[derive(Clone, Debug, Default)]
pub(in crate::assign) struct Fleet {
    pub(in crate::assign) leases: BTreeMap<LeaseKey, Lease>,
    pub(in crate::assign) dead: BTreeSet<WorkerId>,
    pub(in crate::assign) max_leases: BTreeMap<WorkerId, usize>,
    pub(in crate::assign) assignment: LeaseAssignment,
}

impl Fleet {
    pub(in crate::assign) fn of(leases: impl Iterator<Item = Lease>) -> Self {
        Self {
            leases: leases.map(|lease| (lease.key.clone(), lease)).collect(),
            ..Self::default()
        }
    }

    pub(in crate::assign) fn without_dead(mut self) -> Self {
        self.dead.clear();
        self
    }

    pub(in crate::assign) fn is_expired(&self, lease: &Lease) -> bool {
        lease.holder().is_some_and(|holder| self.dead.contains(holder))
    }

    pub(in crate::assign) fn is_ready(&self, lease: &Lease) -> bool {
        lineage::is_ready(lease, &self.leases)
    }

    pub(in crate::assign) fn plan(&self, me: &WorkerId, seed: u64) -> Vec<Move> {
        self.plan_with(me, seed, plan_assignment)
    }

    /// Without what others seem to leave undone.
    pub(in crate::assign) fn plan_own_part(&self, me: &WorkerId, seed: u64) -> Vec<Move> {
        self.plan_with(me, seed, |view| {
            let mut plan = Plan::new(view);
            plan.do_own_part();
            plan.moves
        })
    }

    fn plan_with(&self, me: &WorkerId, seed: u64, plan: impl Fn(&FleetView<'_>) -> Vec<Move>) -> Vec<Move> {
        let leases: Vec<Lease> = self.leases.values().cloned().collect();
        let expired = leases
            .iter()
            .filter(|lease| self.is_expired(lease))
            .map(|lease| lease.key.clone())
            .collect();
        let limits = AssignLimits {
            max_leases: self.max_leases.get(me).copied(),
            max_moves: usize::MAX,
        };
        plan(&FleetView {
            leases: &leases.iter().collect::<Vec<_>>(),
            expired: &expired,
            peers: None,
            assignment: self.assignment,
            me,
            limits,
            seed,
        })
    }

    /// Carries out what was planned with `view`; what changed since then is left alone. Gives the hand-offs requested.
    pub(in crate::assign) fn apply(
        &mut self,
        me: &WorkerId,
        moves: &[Move],
        view: &BTreeMap<LeaseKey, Lease>,
    ) -> usize {
        let mut requested = 0;
        for planned in moves {
            let write = match planned {
                Move::Take(key) | Move::Steal { key, .. } => LeaseWrite::take(&view[key], me, Session(1)),
                Move::RequestHandOff { key, .. } => LeaseWrite::request_hand_off(&view[key], me),
            };
            if self.write(&write) && matches!(planned, Move::RequestHandOff { .. }) {
                requested += 1;
            }
        }
        requested
    }

    fn write(&mut self, write: &LeaseWrite) -> bool {
        let Some(lease) = self.leases.get_mut(&write.key) else {
            return false;
        };
        let holds = write.expect.holds(Some(lease));
        if holds {
            *lease = write.patch.apply(lease);
        }
        holds
    }

    /// The living holders pass on what they were asked for.
    pub(in crate::assign) fn finish_hand_offs(&mut self) {
        let dead = self.dead.clone();
        for lease in self.leases.values_mut().filter(|lease| lease.is_in_hand_off()) {
            if !lease.holder().is_some_and(|holder| dead.contains(holder)) {
                *lease = LeaseWrite::finish_hand_off(lease, None).patch.apply(lease);
            }
        }
    }

    /// The living holders renew.
    pub(in crate::assign) fn renew(&mut self) {
        for lease in self.leases.values_mut() {
            if lease.holder().is_some_and(|holder| !self.dead.contains(holder)) {
                lease.counter += 1;
            }
        }
    }

    /// Rounds in which all plan with the same view, the one of the round's begin, and carry out one after another.
    pub(in crate::assign) fn rounds_of(&mut self, names: &[&str], rounds: usize) -> usize {
        let mut requested = 0;
        for round in 0..rounds {
            let view = self.leases.clone();
            let planned: Vec<(WorkerId, Vec<Move>)> = (0..names.len())
                .map(|index| worker(names[(index + round) % names.len()]))
                .map(|me| (me.clone(), self.plan(&me, me.as_str().bytes().map(u64::from).sum())))
                .collect();
            for (me, moves) in planned {
                requested += self.apply(&me, &moves, &view);
            }
            self.finish_hand_offs();
            self.renew();
        }
        requested
    }

    fn assignable(&self) -> impl Iterator<Item = &Lease> {
        self.leases
            .values()
            .filter(|lease| !lease.is_finished() && self.is_ready(lease))
    }

    pub(in crate::assign) fn free_leases(&self) -> usize {
        self.assignable()
            .filter(|lease| lease.holder().is_none() || self.is_expired(lease))
            .count()
    }

    /// What every live worker has or is about to receive.
    pub(in crate::assign) fn loads(&self) -> BTreeMap<WorkerId, usize> {
        let mut loads = BTreeMap::new();
        for lease in self
            .leases
            .values()
            .filter(|lease| lease.holder().is_some() && !self.is_expired(lease))
        {
            for worker in lease.owner.iter().chain(&lease.checkpoint_owner) {
                loads.entry(worker.clone()).or_default();
            }
        }
        for lease in self.assignable().filter(|lease| !self.is_expired(lease)) {
            if let Some(owner) = &lease.owner {
                *loads.entry(owner.clone()).or_default() += 1;
            }
        }
        loads
    }

    pub(in crate::assign) fn loads_of(&self, names: &[&str]) -> Vec<usize> {
        let loads = self.loads();
        names
            .iter()
            .map(|name| loads.get(&worker(name)).copied().unwrap_or(0))
            .collect()
    }

    /// The workers that are not dead, those without leases included.
    pub(in crate::assign) fn living(&self) -> Vec<String> {
        (0..6)
            .map(|index| format!("w{index}"))
            .filter(|name| !self.dead.contains(&worker(name)))
            .collect()
    }
}

/// A table in any state, as far as the assignment goes: leases of living and dead workers, free ones, hand-offs under
/// way, finished ones, children that wait.
pub(in crate::assign) fn any_fleet() -> impl Strategy<Value = Fleet> {
    let lease = (
        prop::option::weighted(0.7, 0..6usize),
        prop::option::weighted(0.2, 0..6usize),
        prop::bool::weighted(0.15),
        prop::option::weighted(0.2, any::<prop::sample::Index>()),
    );
    let dead = prop::collection::btree_set(0..6usize, 0..3);
    (prop::collection::vec(lease, 1..40), dead).prop_map(|(rows, dead)| {
        let mut fleet = Fleet {
            dead: dead.iter().map(|index| worker(&format!("w{index}"))).collect(),
            ..Fleet::default()
        };
        for (index, (owner, giver, finished, parent)) in rows.into_iter().enumerate() {
            let shard = |index| ShardId::new(format!("s{index:03}")).unwrap();
            let mut lease = Lease::new(shard(index), Position::TrimHorizon);
            lease.owner = owner.map(|index| worker(&format!("w{index}")));
            if lease.owner.is_some() && giver != owner {
                lease.checkpoint_owner = giver.map(|index| worker(&format!("w{index}")));
            }
            if finished {
                lease.checkpoint = Position::ShardEnd;
                (lease.owner, lease.checkpoint_owner) = (None, None);
            }
            if let Some(parent) = parent.filter(|_| index > 0) {
                lease.parents = vec![shard(parent.index(index))];
            }
            fleet.leases.insert(lease.key.clone(), lease);
        }
        // A dead receiver of a living holder dies in view of all only when it holds the lease: not a case of its own here.
        let dead = fleet.dead.clone();
        for lease in fleet.leases.values_mut().filter(|lease| lease.is_in_hand_off()) {
            if lease.owner.as_ref().is_some_and(|owner| dead.contains(owner)) {
                lease.checkpoint_owner = None;
            }
        }
        fleet
    })
}
