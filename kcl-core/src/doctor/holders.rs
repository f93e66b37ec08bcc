//! What two looks tell about those who hold leases, or should.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    HAND_OFF_PATIENCE,
    finding::{BlockedBy, Finding, Problem, Severity},
    view::View,
};
use crate::{
    ids::{LeaseKey, Session, WorkerId},
    lease::Lease,
    sequence::Position,
};

/// Two looks, side by side.
pub(super) struct Watched<'a, 'b> {
    earlier: &'b View<'a>,
    last: &'b View<'a>,
    between: Duration,
    /// Whoever is known to have renewed or taken a lease between the looks.
    alive: BTreeSet<&'a WorkerId>,
    /// Whether somebody did.
    somebody_lives: bool,
    /// Whether a counter that stood still means that its holder is gone.
    is_long_enough: bool,
    /// How bad it is that others who live have not mended it. Just after the failover time they may be about to.
    overdue: Severity,
}

impl<'a, 'b> Watched<'a, 'b> {
    pub(super) fn new(earlier: &'b View<'a>, last: &'b View<'a>, between: Duration, failover_time: Duration) -> Self {
        let moved = |lease: &&&'a Lease| {
            earlier
                .leases
                .get(&lease.key)
                .is_none_or(|before| before.counter != lease.counter)
        };
        let mut moved: Vec<&Lease> = last.leases.values().filter(moved).copied().collect();
        moved.retain(|lease| lease.holder().is_some());
        let alive = moved.iter().filter(|lease| renewer_is_known(lease));
        let alive = alive.filter_map(|lease| lease.holder());
        let is_late = between > failover_time.saturating_mul(2);
        Self {
            alive: alive.collect(),
            somebody_lives: !moved.is_empty(),
            is_long_enough: between > failover_time,
            overdue: if is_late { Severity::Error } else { Severity::Warning },
            earlier,
            last,
            between,
        }
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut found = self.duplicates();
        found.extend(self.without_progress());
        if self.is_long_enough {
            found.extend(self.silent());
            found.extend(self.untaken());
            found.extend(self.blocked());
        }
        if self.between > HAND_OFF_PATIENCE {
            found.extend(self.endless());
        }
        let finding = |(problem, severity)| Finding {
            severity,
            problem,
            stream: None,
            confirmed: true,
        };
        found.into_iter().map(finding).collect()
    }

    /// Leases as both looks show them: before and after.
    fn pairs(&self) -> impl Iterator<Item = (&'a Lease, &'a Lease)> {
        let unfinished = self.last.unfinished();
        unfinished.filter_map(|lease| Some((*self.earlier.leases.get(&lease.key)?, lease)))
    }

    fn stood_still(&self) -> impl Iterator<Item = &'a Lease> {
        let still =
            |(before, after): &(&Lease, &Lease)| before.counter == after.counter && before.holder() == after.holder();
        self.pairs().filter(still).map(|(_, lease)| lease)
    }

    /// Holders that did not renew, and hand-offs that their givers will not finish.
    fn silent(&self) -> Vec<(Problem, Severity)> {
        let mut silent: BTreeMap<&WorkerId, Vec<LeaseKey>> = BTreeMap::new();
        let mut stuck = Vec::new();
        let mut held = 0;
        for lease in self.stood_still() {
            let Some(holder) = lease.holder() else { continue };
            held += 1;
            match (&lease.owner, lease.is_in_hand_off()) {
                (Some(to), true) if to != holder => {
                    let problem = Problem::StuckHandOff {
                        key: lease.key.clone(),
                        from: holder.clone(),
                        to: to.clone(),
                        receiver_lives: self.alive.contains(to),
                        seconds: self.between.as_secs(),
                    };
                    stuck.push((problem, self.overdue));
                }
                _ => silent.entry(holder).or_default().push(lease.key.clone()),
            }
        }
        if !self.somebody_lives {
            return self.nobody_lives(held);
        }
        let silent = silent.into_iter().map(|(holder, leases)| {
            let problem = Problem::SilentHolder {
                lives_elsewhere: self.alive.contains(holder),
                holder: holder.clone(),
                leases,
                seconds: self.between.as_secs(),
            };
            (problem, self.overdue)
        });
        stuck.into_iter().chain(silent).collect()
    }

    /// Hand-offs that are renewed for longer than a batch may take.
    fn endless(&self) -> Vec<(Problem, Severity)> {
        let same = |(before, after): &(&Lease, &Lease)| {
            before.checkpoint_owner == after.checkpoint_owner && before.owner == after.owner
        };
        let renewed = |(before, after): &(&Lease, &Lease)| before.counter != after.counter;
        let pairs = self.pairs().filter(same).filter(renewed);
        let problem = |(_, lease): (&Lease, &Lease)| {
            let (Some(from), Some(to)) = (&lease.checkpoint_owner, &lease.owner) else {
                return None;
            };
            let problem = Problem::EndlessHandOff {
                key: lease.key.clone(),
                from: from.clone(),
                to: to.clone(),
                giver_renews: renewer_is_known(lease),
                seconds: self.between.as_secs(),
            };
            (from != to).then_some((problem, Severity::Warning))
        };
        pairs.filter_map(problem).collect()
    }

    /// The one thing to say when no counter moved; what follows from it is not worth a line each.
    fn nobody_lives(&self, held: usize) -> Vec<(Problem, Severity)> {
        if held > 0 {
            let holders: BTreeSet<&WorkerId> = self.stood_still().filter_map(Lease::holder).collect();
            let problem = Problem::AllSilent {
                holders: holders.into_iter().cloned().collect(),
                leases: held,
                seconds: self.between.as_secs(),
            };
            return vec![(problem, Severity::Error)];
        }
        let free = self.stood_still().count();
        if free == 0 {
            return Vec::new();
        }
        vec![(Problem::Stopped { leases: free }, Severity::Note)]
    }

    /// Leases that could be read and that nobody takes, though somebody lives.
    fn untaken(&self) -> Option<(Problem, Severity)> {
        let leases: Vec<LeaseKey> = self
            .stood_still()
            .filter(|lease| lease.holder().is_none() && self.is_ready_in_both(lease))
            .map(|lease| lease.key.clone())
            .collect();
        if leases.is_empty() || !self.somebody_lives {
            return None;
        }
        let seconds = self.between.as_secs();
        Some((Problem::Untaken { leases, seconds }, self.overdue))
    }

    /// A parent has to have been finished for as long as its child is expected to be taken.
    fn is_ready_in_both(&self, lease: &Lease) -> bool {
        self.last.is_ready(lease) && self.earlier.is_ready(lease)
    }

    /// Parents that nobody reads, and whose children therefore wait.
    fn blocked(&self) -> Vec<(Problem, Severity)> {
        if !self.somebody_lives {
            return Vec::new();
        }
        let unread: BTreeMap<&LeaseKey, BlockedBy> = self
            .stood_still()
            .filter_map(|parent| match parent.holder() {
                None if self.is_ready_in_both(parent) => Some((&parent.key, BlockedBy::Free)),
                None => None,
                Some(holder) => Some((&parent.key, BlockedBy::Silent(holder.clone()))),
            })
            .collect();
        let mut waiting: BTreeMap<(LeaseKey, BlockedBy), Vec<LeaseKey>> = BTreeMap::new();
        for (before, child) in self.pairs() {
            for parent in &child.parents {
                let row = self.last.beside(child, parent);
                let by = match row {
                    Some(row) => unread.get(&row.key).cloned(),
                    None if !self.waits_for_absent(before, child) => None,
                    None if self.last.unreadable.contains(&child.key_of(parent).as_str()) => {
                        Some(BlockedBy::Unreadable)
                    }
                    None => Some(BlockedBy::Absent),
                };
                let key = row.map_or_else(|| child.key_of(parent), |row| row.key.clone());
                if let Some(by) = by {
                    waiting.entry((key, by)).or_default().push(child.key.clone());
                }
            }
        }
        let blocked = |((parent, by), children)| (Problem::Blocked { parent, by, children }, self.overdue);
        waiting.into_iter().map(blocked).collect()
    }

    /// Whether a merged shard waits for a parent that has no lease; those that have one are finished then.
    fn waits_for_absent(&self, before: &Lease, child: &Lease) -> bool {
        let others_done = |lease: &Lease| {
            let known = lease
                .parents
                .iter()
                .filter_map(|parent| self.last.beside(lease, parent));
            known.clone().count() > 0 && known.clone().all(Lease::is_finished)
        };
        others_done(child) && !self.last.is_ready(child) && !self.earlier.is_ready(before)
    }

    /// Worker ids under which several lives renewed leases. One that was started again renews as its last life only.
    fn duplicates(&self) -> Vec<(Problem, Severity)> {
        let mut lives: BTreeMap<&WorkerId, BTreeMap<Session, LeaseKey>> = BTreeMap::new();
        for (before, after) in self.pairs() {
            let renewed = before.counter != after.counter && before.holder() == after.holder();
            if let (Some(holder), Some(session)) = (after.holder(), after.session)
                && renewed
                && before.session == after.session
            {
                lives.entry(holder).or_default().insert(session, after.key.clone());
            }
        }
        let several = lives.into_iter().filter(|(_, sessions)| sessions.len() > 1);
        let problem = |(worker, sessions): (&WorkerId, BTreeMap<Session, LeaseKey>)| {
            let worker = worker.clone();
            (Problem::DuplicateWorker { worker, sessions }, Severity::Error)
        };
        several.map(problem).collect()
    }

    /// Leases that are held and renewed, and of which no record was ever checkpointed.
    fn without_progress(&self) -> Vec<(Problem, Severity)> {
        let mut found: BTreeMap<&WorkerId, Vec<(LeaseKey, Position)>> = BTreeMap::new();
        for (before, after) in self.pairs() {
            let renewed = before.counter != after.counter && before.holder() == after.holder();
            let stays = after.checkpoint.is_start() && before.checkpoint == after.checkpoint;
            if let Some(holder) = after.holder()
                && renewed
                && stays
                && renewer_is_known(after)
                && self.is_ready_in_both(after)
            {
                let lease = (after.key.clone(), after.checkpoint.clone());
                found.entry(holder).or_default().push(lease);
            }
        }
        let problem = |(holder, leases): (&WorkerId, Vec<(LeaseKey, Position)>)| {
            let (holder, seconds) = (holder.clone(), self.between.as_secs());
            let problem = Problem::NoProgress {
                holder,
                leases,
                seconds,
            };
            (problem, Severity::Warning)
        };
        found.into_iter().map(problem).collect()
    }
}

/// Whether it is the holder by its row who renews a lease. A worker of Java KCL 2.x knows of no hand-offs: in a lease that it steals
/// it leaves who was to pass it on. Only a session tells its rows from those of a worker that does pass it on.
fn renewer_is_known(lease: &Lease) -> bool {
    !lease.is_in_hand_off() || lease.session.is_some()
}
