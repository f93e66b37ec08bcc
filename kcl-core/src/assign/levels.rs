//! How many leases each worker should have, and who gives to whom.

use std::collections::BTreeMap;

use super::census::scatter;
use crate::ids::WorkerId;

/// The loads of the live workers, in an order that all planners share.
pub(super) struct Levels<'a> {
    me: &'a WorkerId,
    workers: Vec<Load<'a>>,
    free: usize,
}

#[derive(Clone, Copy)]
struct Load<'a> {
    worker: &'a WorkerId,
    count: usize,
}

impl<'a> Levels<'a> {
    pub(super) fn new(me: &'a WorkerId, loads: &BTreeMap<&'a WorkerId, usize>, free: usize) -> Self {
        let mut workers: Vec<Load<'_>> = loads.iter().map(|(&worker, &count)| Load { worker, count }).collect();
        workers.sort_by_cached_key(|load| scatter(0, load.worker.as_str()));
        Self { me, workers, free }
    }

    /// How many leases the planner should have and has not.
    pub(super) fn lack_of_mine(&self) -> usize {
        let (loads, goals) = (self.workers.iter(), self.goals());
        let mine = loads.zip(goals).find(|(load, _)| load.worker == self.me);
        mine.map_or(0, |(load, goal)| goal.saturating_sub(load.count))
    }

    /// What the planner asks for when it lacks `lack`: from whom, and how many.
    ///
    /// All that lack leases stand in one line, those with the fewest first; the leases of those with too many lie in
    /// another, those with the most first. Each receiver's part lies opposite. Planners with the same view therefore
    /// never ask for more than there is to give.
    pub(super) fn my_donors(&self, lack: usize, movable: impl Fn(&WorkerId) -> usize) -> Vec<(&'a WorkerId, usize)> {
        let goals = self.goals();
        let both = || self.workers.iter().zip(&goals);
        let mut receivers: Vec<(usize, usize, &WorkerId)> = both()
            .filter(|(load, goal)| load.count < **goal)
            .map(|(load, goal)| (load.count, goal - load.count, load.worker))
            .collect();
        receivers.sort_by_key(|(count, ..)| *count);
        let before_me = receivers
            .iter()
            .take_while(|(.., worker)| *worker != self.me)
            .map(|(_, lack, _)| lack);
        let mut skip: usize = before_me.sum();
        let mut donors: Vec<(usize, usize, &WorkerId)> = both()
            .filter(|(load, goal)| load.count > **goal)
            .map(|(load, goal)| (load.count, (load.count - goal).min(movable(load.worker)), load.worker))
            .collect();
        donors.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
        let mut lack = lack;
        let mut parts = Vec::new();
        for (_, surplus, donor) in donors {
            let skipped = skip.min(surplus);
            let part = (surplus - skipped).min(lack);
            skip -= skipped;
            lack -= part;
            if part > 0 {
                parts.push((donor, part));
            }
        }
        parts
    }

    /// Notes that the planner takes one of the leases that nobody reads.
    pub(super) fn take_one(&mut self) {
        self.free -= 1;
        self.add(self.me, 1);
    }

    /// Notes that the planner asks `donor` for a lease.
    pub(super) fn pass_one_on(&mut self, donor: &WorkerId) {
        self.add(self.me, 1);
        self.add(donor, -1);
    }

    /// Leaves out the others that have less than they should, until only those are left that have enough.
    pub(super) fn drop_others_that_lack(&mut self) {
        loop {
            let before = self.workers.len();
            let mut goals = self.goals().into_iter();
            let me = self.me;
            self.workers
                .retain(|load| goals.next().is_none_or(|goal| load.count >= goal) || load.worker == me);
            if self.workers.len() == before {
                return;
            }
        }
    }

    /// The goals, in the order of the workers: the mean, rounded down or up. Those that have more than the mean are first
    /// to be rounded up, so that no lease moves without need; among equals the shared order decides.
    fn goals(&self) -> Vec<usize> {
        let total = self.free + self.workers.iter().map(|load| load.count).sum::<usize>();
        let mean = total / self.workers.len();
        let mut extra = total % self.workers.len();
        let mut goals = vec![mean; self.workers.len()];
        for above in [true, false] {
            for (load, goal) in self.workers.iter().zip(&mut goals) {
                if extra > 0 && (load.count > mean) == above {
                    *goal += 1;
                    extra -= 1;
                }
            }
        }
        goals
    }

    fn add(&mut self, worker: &WorkerId, change: isize) {
        if let Some(load) = self.workers.iter_mut().find(|load| load.worker == worker) {
            load.count = load.count.saturating_add_signed(change);
        }
    }
}
