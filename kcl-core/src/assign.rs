//! Who reads what: every worker plans for itself, from the lease table alone, and the plans add up.
//!
//! Workers that look at the same table compute the same goal for everybody and carry out their own part of it. Where
//! their views differ, the conditional writes on the rows decide, and the next round corrects. There is no leader.

mod census;
mod levels;
mod load;

use std::collections::{BTreeMap, BTreeSet};

pub use self::load::{LeaseAssignment, plan_load_move};
use self::{
    census::{Census, scatter},
    levels::Levels,
};
use crate::{
    ids::{LeaseKey, WorkerId},
    lease::Lease,
};

/// The lease table as one worker sees it.
#[derive(Clone, Copy, Debug)]
pub struct FleetView<'a> {
    /// All leases.
    pub leases: &'a [&'a Lease],
    /// The leases whose holders are gone, as [`LeaseWatch`](crate::watch::LeaseWatch) judges them.
    pub expired: &'a BTreeSet<LeaseKey>,
    /// The worker that plans.
    pub me: &'a WorkerId,
    /// What it may do.
    pub limits: AssignLimits,
    /// What is known of workers that do not run this crate; `None` if there are none.
    pub peers: Option<&'a PeerView>,
    /// What is balanced.
    pub assignment: LeaseAssignment,
    /// Spreads the choices of workers that would else all want the same leases. A worker may use another one in each round.
    pub seed: u64,
}

/// Workers that share the application and do not run this crate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerView {
    /// Workers that live, and take what is left for them, though they may hold nothing yet.
    pub idle: BTreeSet<WorkerId>,
    /// The holders that do not pass leases on when they are asked.
    pub manners: BTreeMap<WorkerId, Manner>,
    /// Leases that somebody asked for long ago, and that their holder still has. They may be asked for anew.
    pub stuck: BTreeSet<LeaseKey>,
}

/// How a holder deals with requests that it does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It does not hear them: leases are stolen from it, as it steals itself.
    Deaf,
    /// Not known yet: it is left alone for now.
    Unknown,
}

impl PeerView {
    fn deaf(&self) -> BTreeSet<&WorkerId> {
        let deaf = self.manners.iter().filter(|(_, manner)| **manner == Manner::Deaf);
        deaf.map(|(worker, _)| worker).collect()
    }

    fn can_give(&self, worker: &WorkerId) -> bool {
        self.manners.get(worker) != Some(&Manner::Unknown)
    }
}

/// The limits of one worker's plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssignLimits {
    /// The most unfinished leases to hold; `None` for no limit.
    pub max_leases: Option<usize>,
    /// The most moves in one plan.
    pub max_moves: usize,
}

/// One step towards balance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Move {
    /// Take a lease that nobody holds, or whose holder is gone.
    Take(LeaseKey),
    /// Ask the holder of a lease to finish what it is doing and pass the lease on.
    RequestHandOff {
        /// The lease.
        key: LeaseKey,
        /// Its holder.
        from: WorkerId,
    },
    /// Take a lease from a holder that hears no requests. Whoever gets it handles again what its holder has not committed.
    Steal {
        /// The lease.
        key: LeaseKey,
        /// Its holder.
        from: WorkerId,
    },
}

impl Move {
    /// The lease that moves.
    #[must_use]
    pub const fn key(&self) -> &LeaseKey {
        match self {
            Self::Take(key) | Self::RequestHandOff { key, .. } | Self::Steal { key, .. } => key,
        }
    }
}

/// Plans what `view.me` does to bring the fleet into balance.
///
/// Only leases that can be read now count and move: unfinished ones whose parents are done. The goal is that every live
/// worker has the same number of them, give or take one. Live are those that hold or are about to receive a
/// lease that has not expired, the planner itself, and what `view.peers` adds; other idle workers are not to be seen in the table, but each sees itself.
///
/// 1. Leases that nobody reads are taken, as many as the planner lacks.
/// 2. When none is left and it lacks more, holders that have too many are asked to pass some on. Each move makes the
///    difference between two workers smaller; a lease that is being passed on already counts for its receiver. From a holder
///    that cannot be asked, one lease is stolen in a round: each costs records that are handled twice.
/// 3. A worker may be visible and yet not take its share: it has a limit of its own, or is about to stop. Whatever is meant
///    for it would lie about for ever. So of the moves that others fail to make, the planner makes some, lease by
///    lease with a probability that lets the whole fleet make about half of them in a round. The draw depends
///    on the seed and on the others' counters, so that it differs from round to round and still not within a round.
///
/// Planning again after the plan has been carried out gives no moves, and neither does a fleet in balance.
///
/// ```
/// use std::collections::BTreeSet;
/// use kcl_core::{Lease, Position, ShardId, WorkerId, assign::{AssignLimits, FleetView, LeaseAssignment, Move, plan_assignment}};
///
/// let lease = Lease::new(ShardId::new("shardId-000000000000")?, Position::TrimHorizon);
/// let me = WorkerId::new("worker-1")?;
/// let view = FleetView {
///     leases: &[&lease],
///     expired: &BTreeSet::new(),
///     me: &me,
///     limits: AssignLimits { max_leases: None, max_moves: 10 },
///     peers: None,
///     assignment: LeaseAssignment::LeaseCount,
///     seed: 7,
/// };
/// assert_eq!(plan_assignment(&view), [Move::Take(lease.key.clone())]);
/// # Ok::<(), kcl_core::InvalidId>(())
/// ```
#[must_use]
pub fn plan_assignment(view: &FleetView<'_>) -> Vec<Move> {
    let mut plan = Plan::new(view);
    plan.do_own_part();
    plan.do_what_others_leave();
    plan.moves.truncate(view.limits.max_moves);
    plan.moves
}

struct Plan<'a> {
    me: &'a WorkerId,
    census: Census<'a>,
    levels: Levels<'a>,
    /// How many more leases the planner may hold.
    room: usize,
    deaf: BTreeSet<&'a WorkerId>,
    stole: bool,
    moves: Vec<Move>,
}

impl<'a> Plan<'a> {
    fn new(view: &FleetView<'a>) -> Self {
        let census = Census::take(view);
        let levels = Levels::new(view.me, &census.loads, census.free.len());
        let room = view
            .limits
            .max_leases
            .map_or(usize::MAX, |most| most.saturating_sub(census.held_by_me));
        Self {
            me: view.me,
            census,
            levels,
            room,
            deaf: view.peers.map(PeerView::deaf).unwrap_or_default(),
            stole: false,
            moves: Vec::new(),
        }
    }

    fn do_own_part(&mut self) {
        let lack = self.levels.lack_of_mine().min(self.room);
        let takes = lack.min(self.census.free.len());
        for lease in self.census.free.split_off(self.census.free.len() - takes) {
            self.take(lease);
        }
        if self.census.free.is_empty() {
            for (donor, count) in self
                .levels
                .my_donors(lack - takes, |worker| self.census.movable_of(worker))
            {
                for lease in self.census.give_up(donor, self.me, count) {
                    self.ask(donor, lease);
                }
            }
        }
    }

    /// Whoever lacks leases after the own part is done is taken for one that does not want any more.
    fn do_what_others_leave(&mut self) {
        self.levels.drop_others_that_lack();
        let lack = self.levels.lack_of_mine().min(self.room);
        if lack == 0 {
            return;
        }
        let lying = !self.census.free.is_empty();
        let odds = Odds {
            salt: self.census.salt,
            // Those of Java that hold nothing wait for their leader and draw no lots.
            one_in: 2 * self.census.drawing as u64,
        };
        let free: Vec<&Lease> = self
            .census
            .free
            .iter()
            .copied()
            .filter(|lease| odds.hit(lease))
            .take(lack)
            .collect();
        for lease in free {
            self.take(lease);
        }
        if lying {
            return;
        }
        for (donor, count) in self.levels.my_donors(lack, |worker| self.census.movable_of(worker)) {
            for lease in self.census.give_up(donor, self.me, count) {
                if odds.hit(lease) {
                    self.ask(donor, lease);
                }
            }
        }
    }

    fn take(&mut self, lease: &Lease) {
        self.room -= 1;
        self.levels.take_one();
        self.moves.push(Move::Take(lease.key.clone()));
    }

    fn ask(&mut self, from: &WorkerId, lease: &Lease) {
        let (key, deaf) = (lease.key.clone(), self.deaf.contains(from));
        if deaf && std::mem::replace(&mut self.stole, true) {
            return;
        }
        self.room -= 1;
        self.levels.pass_one_on(from);
        let from = from.clone();
        self.moves.push(if deaf {
            Move::Steal { key, from }
        } else {
            Move::RequestHandOff { key, from }
        });
    }
}

/// Draws per lease.
#[derive(Clone, Copy)]
struct Odds {
    salt: u64,
    one_in: u64,
}

impl Odds {
    fn hit(self, lease: &Lease) -> bool {
        scatter(self.salt, lease.key.as_str()) < u64::MAX / self.one_in
    }
}

#[cfg(test)]
mod tests;
