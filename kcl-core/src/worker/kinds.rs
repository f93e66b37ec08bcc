//! Workers that disagree about what the application is: one stream or several, this stream or that.
//!
//! The rows of one kind mean nothing to the other, and each would read everything beside it. A worker that finds an
//! application of another kind stops before it adds anything. When two begin in the same moment, though, both find an empty table
//! and add rows. Each looks again before it takes what it added, so that at most one kind gets to work: the later one to look sees
//! both. It takes its rows back and stops, and the table stays in use by the other; where both see both, the kind decides.

use std::{collections::BTreeSet, sync::Arc};

use super::WorkerMachine;
use crate::{ids::LeaseKey, lease::Lease, stream::LeaseStream, time::Tick};

/// What a worker remembers for the case that others see another kind of application in the table.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    /// The rows that this worker added since it last saw a table of one kind.
    added: BTreeSet<LeaseKey>,
    /// Since when there are rows of another kind, which may be about to go.
    since: Option<Tick>,
    /// This worker gives way: what it added goes.
    giving_way: bool,
}

/// What to do about rows of another kind.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// They are the application, or nobody can tell.
    Stop,
    /// They are the application or become it, and those that this worker added go.
    GiveWay,
    /// They should go. Until then nothing of this worker's own kind is begun.
    Wait,
    /// They should go. What is at work goes on.
    GoOn,
}

impl Kinds {
    pub(super) fn is_giving_way(&self) -> bool {
        self.giving_way
    }

    /// A row was added. Says whether it has to go again.
    pub(super) fn note_added(&mut self, key: &LeaseKey) -> bool {
        self.added.insert(key.clone());
        self.giving_way
    }
}

impl WorkerMachine {
    /// Compares the rows of a scan with what this worker takes the application for, and leaves only those of its kind. Says
    /// whether to go on with them.
    pub(super) fn agree(&mut self, now: Tick, leases: &mut Vec<Arc<Lease>>) -> bool {
        let Some(failure) = self.other_stream(leases) else {
            (self.kinds.since, self.kinds.added) = (None, BTreeSet::new());
            return true;
        };
        let others: Vec<Arc<Lease>> = leases.extract_if(.., |lease| !self.is_of_this_kind(lease)).collect();
        let since = *self.kinds.since.get_or_insert(now);
        let is_patient = now.since(since) < self.config.failover_time;
        match self.verdict(leases, &others) {
            Verdict::GoOn if is_patient => true,
            Verdict::Wait if is_patient => false,
            Verdict::GiveWay => {
                self.give_way(now, leases);
                self.stop(now, Some(failure));
                false
            }
            Verdict::Stop | Verdict::GoOn | Verdict::Wait => {
                self.stop(now, Some(failure));
                false
            }
        }
    }

    fn verdict(&self, mine: &[Arc<Lease>], others: &[Arc<Lease>]) -> Verdict {
        let in_use = |leases: &[Arc<Lease>]| leases.iter().any(|lease| is_in_use(lease));
        match (in_use(mine), in_use(others)) {
            _ if mine.is_empty() => Verdict::Stop,
            (true, true) => Verdict::Stop,
            (false, true) => Verdict::GiveWay,
            (true, false) => Verdict::GoOn,
            (false, false) => {
                let me = match &self.config.streams {
                    None => (false, self.config.stream.as_ref().map(|stream| stream.as_str())),
                    Some(_) => (true, None),
                };
                if others.iter().all(|lease| me < rank(lease)) {
                    Verdict::Wait
                } else {
                    Verdict::GiveWay
                }
            }
        }
    }

    fn give_way(&mut self, now: Tick, leases: &[Arc<Lease>]) {
        self.kinds.giving_way = true;
        for lease in leases {
            if self.kinds.added.contains(&lease.key) && !is_in_use(lease) && !self.busy.contains(&lease.key) {
                self.send_delete(now, lease);
            }
        }
    }
}

/// Whether somebody has done something with a row since it was added.
fn is_in_use(lease: &Lease) -> bool {
    lease.counter > 0 || lease.holder().is_some() || lease.owner.is_some() || !lease.checkpoint.is_start()
}

/// The smaller of two kinds stays: one stream before several, and then by name.
fn rank(lease: &Lease) -> (bool, Option<&str>) {
    match &lease.stream {
        None => (false, None),
        Some(LeaseStream::One(name)) => (false, Some(name.as_str())),
        Some(LeaseStream::OfSeveral(_)) => (true, None),
    }
}
