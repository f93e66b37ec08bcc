//! What a scan of the table leads to: own rows resumed, moves planned.

use std::{collections::BTreeSet, sync::Arc};

use super::{WorkerEvent, WorkerFailure, WorkerMachine, writes::OpKind};
use crate::{
    assign::{AssignLimits, FleetView, Move, plan_assignment, plan_load_move},
    ids::{LeaseKey, WorkerId},
    lease::{Lease, LeaseWrite},
    lineage,
    store::{LeaseListing, UnreadableRow},
    stream::StreamId,
    time::Tick,
};

/// The most leases that one worker asks others for, or takes, in one round.
const MAX_MOVES_PER_ROUND: usize = 100;

impl WorkerMachine {
    pub(super) fn accept_listing(&mut self, now: Tick, mut listing: LeaseListing) {
        set_misfits_aside(&mut listing);
        self.report_unreadable(&listing);
        if !self.agree(now, &mut listing.leases) {
            return;
        }
        self.watch.observe(now, &listing.leases);
        self.scanned = true;
        self.unscanned.clear();
        self.table = self
            .rows_of_mine(now, listing)
            .into_iter()
            .map(|lease| (lease.key.clone(), lease))
            .collect();
        let held: Vec<Arc<Lease>> = self
            .held
            .keys()
            .filter_map(|key| self.table.get(key))
            .cloned()
            .collect();
        for row in &held {
            self.notice(now, row);
        }
        for tenure in self.tenures.values() {
            self.table.insert(tenure.lease.key.clone(), tenure.lease.clone());
        }
        if self.stopping.is_some() {
            return;
        }
        self.note_peers(now);
        self.restore_vanished(now);
        self.resume_own(now);
        self.claim_unanswered(now);
        let (expired, next) = self.expiries(now);
        self.balance_given(now, &expired);
        self.start_ready(now);
        self.hasten_hand_offs(now);
        // Looks just when the next lease of another worker may be found expired, so that a takeover does not wait for the
        // scan after that.
        if let Some(next) = next {
            self.next_scan = self.next_scan.min(next);
        }
        if self.is_alone() {
            self.next_scan = now + self.config.failover_time;
        }
    }

    /// Whether this worker holds all there is to hold. Then a scan has nothing to tell that its own writes do not: who wants
    /// a lease changes the row of one, and the next renewal finds out.
    fn is_alone(&self) -> bool {
        let at_rest =
            |lease: &Lease| lease.holder().is_none() && (lease.is_finished() || !lineage::is_ready(lease, &self.table));
        !self.held.is_empty()
            && self.unreadable.is_empty()
            && self
                .table
                .values()
                .all(|lease| (self.held.contains_key(&lease.key) && !lease.is_in_hand_off()) || at_rest(lease))
    }

    fn report_unreadable(&mut self, listing: &LeaseListing) {
        let seen: BTreeSet<String> = listing.unreadable.iter().map(|row| row.key.clone()).collect();
        for row in &listing.unreadable {
            if !self.unreadable.contains(&row.key) {
                self.event(WorkerEvent::UnreadableRow {
                    key: row.key.clone(),
                    reason: row.reason.clone(),
                });
            }
        }
        self.unreadable = seen;
    }

    /// Compares a listed row with the tenure that this worker has for it. A listing may be older than the last own
    /// write, so only what is newer counts: a larger counter, or a hand-off request, which leaves the counter alone.
    pub(super) fn notice(&mut self, now: Tick, row: &Arc<Lease>) {
        let Some(tenure) = self.held.get(&row.key).and_then(|id| self.tenures.get(id)) else {
            return;
        };
        let newer = row.counter > tenure.lease.counter
            || (row.counter == tenure.lease.counter && row.is_in_hand_off() && !tenure.lease.is_in_hand_off());
        if newer && tenure.write.is_none() {
            let id = tenure.id;
            self.row_changed(now, id, Some(row.clone()));
        }
    }

    /// Rows that name this worker and that it does not hold: from an earlier life, from a lapse, or passed on to it.
    fn resume_own(&mut self, now: Tick) {
        let me = self.config.worker.clone();
        let mut newer_lives = std::collections::BTreeMap::new();
        let rows: Vec<Arc<Lease>> = self
            .table
            .values()
            .filter(|row| row.holder() == Some(&me) && !self.held.contains_key(&row.key))
            .cloned()
            .collect();
        for row in rows {
            if row.is_finished() || self.busy.contains(&row.key) {
                continue;
            }
            if row.session > Some(self.config.session) {
                // A newer life of this worker holds it. Alive, it is the one to go on; dead, its lease expires.
                let first_seen = *self.newer_lives.get(&row.key).unwrap_or(&row.counter);
                if first_seen != row.counter {
                    return self.duplicate(now, row.key.clone());
                }
                newer_lives.insert(row.key.clone(), first_seen);
            } else if row.is_in_hand_off() && self.may_be_stolen(now, &row) {
                // If nobody moves it, the next scans tell.
            } else if row.is_in_hand_off() {
                // Its consumer ended with an earlier life; nothing is left to finish before it is passed on.
                self.send(
                    now,
                    OpKind::HandOffOrphan,
                    &row,
                    LeaseWrite::finish_hand_off(&row, None),
                );
            } else {
                if row.session.is_some() && row.session != Some(self.config.session) {
                    self.event(WorkerEvent::Resumed {
                        key: row.key.clone(),
                        session: row.session,
                    });
                }
                self.take(now, &row);
            }
        }
        self.newer_lives = newer_lives;
    }

    /// Whether a row that names this worker as the one who passes it on may belong to a worker of Java KCL 2.x, which knows of no
    /// such attribute and leaves it as it is when it steals a lease. Such a worker renews it.
    fn may_be_stolen(&self, now: Tick, row: &Lease) -> bool {
        let rested = self.watch.unchanged_for(now, row).unwrap_or_default();
        row.session.is_none() && rested < self.config.renew_interval() + self.config.scan_interval
    }

    /// Plans what to take and what to ask for, and does it.
    pub(super) fn balance(&mut self, now: Tick) {
        let (expired, _) = self.expiries(now);
        self.balance_given(now, &expired);
    }

    fn balance_given(&mut self, now: Tick, expired: &BTreeSet<LeaseKey>) {
        // Another one in each round: what two workers both missed, they do not miss again together.
        let seed = self.rng.u64(..);
        let leases: Vec<&Lease> = self.table.values().map(AsRef::as_ref).collect();
        let limits = AssignLimits {
            max_leases: self.config.max_leases,
            max_moves: MAX_MOVES_PER_ROUND,
        };
        let peers = self.peer_view(now);
        let view = FleetView {
            leases: &leases,
            expired,
            me: &self.config.worker,
            limits,
            peers: Some(&peers),
            assignment: self.config.assignment,
            seed,
        };
        let mut moves = plan_assignment(&view);
        let is_cut_short = moves.len() >= MAX_MOVES_PER_ROUND;
        let uneven = if moves.is_empty() { plan_load_move(&view) } else { None };
        moves.extend(self.uneven.settle(now, self.config.failover_time, uneven));
        self.defer_to_leader(now, &peers, &mut moves);
        if is_cut_short && !moves.is_empty() {
            // There is more to do than a round may hold: a worker that has a large table to itself need not wait for the rest.
            self.next_scan = self.next_scan.min(now + self.config.hand_off_poll());
        }
        for planned in moves {
            let key = planned.key();
            let Some(row) = self.table.get(key).cloned() else {
                continue;
            };
            if self.held.contains_key(key) || self.busy.contains(key) || self.unscanned.contains(key) {
                continue;
            }
            match planned {
                Move::Take(_) | Move::Steal { .. } => self.take(now, &row),
                Move::RequestHandOff { .. } => {
                    let write = LeaseWrite::request_hand_off(&row, &self.config.worker);
                    self.send(now, OpKind::RequestHandOff, &row, write);
                }
            }
        }
    }

    pub(super) fn take(&mut self, now: Tick, row: &Arc<Lease>) {
        let write = LeaseWrite::take(row, &self.config.worker, self.config.session)
            .with_failover_time(self.config.failover_time);
        self.send(now, OpKind::Take, row, write);
    }

    /// Whether the lease is held, and not by this life of this worker.
    fn is_of_others(&self, lease: &Lease) -> bool {
        lease
            .holder()
            .is_some_and(|holder| *holder != self.config.worker || !self.held.contains_key(&lease.key))
    }

    /// The leases of others whose holders are gone, and when the next of them may be found so.
    fn expiries(&self, now: Tick) -> (BTreeSet<LeaseKey>, Option<Tick>) {
        let others = self
            .table
            .values()
            .map(AsRef::as_ref)
            .filter(|lease| self.is_of_others(lease));
        let (mut expired, next) = self.watch.expiries(now, others, self.config.failover_time);
        let longest = self.config.failover_time * 2 + self.config.renew_interval();
        expired.retain(|lease| !self.peers.may_not_know_yet(lease) || self.watch.is_expired(now, lease, longest));
        (expired.into_iter().map(|lease| lease.key.clone()).collect(), next)
    }

    /// Whether this worker has the smallest id of all of its kind that hold live leases of a stream: the one that keeps table
    /// and stream in step, so that not all do. Nothing breaks if two think so, or if for a while nobody does. (Java's workers have
    /// their own way to choose one, which this does not wait for.)
    pub(super) fn is_first(&self, now: Tick, stream: Option<&StreamId>) -> bool {
        let (expired, _) = self.expiries(now);
        let holders = self
            .table
            .values()
            .filter(|lease| lease.stream_id() == stream && lease.session.is_some() && !expired.contains(&lease.key))
            .filter_map(|lease| lease.holder());
        holders
            .min()
            .is_none_or(|first: &WorkerId| *first >= self.config.worker)
    }

    /// While somebody is about to pass a lease on to this worker, it looks more often. Java goes on to hold what is finished, and
    /// passes that on to nobody.
    fn hasten_hand_offs(&mut self, now: Tick) {
        let me = &self.config.worker;
        let incoming = self
            .table
            .values()
            .any(|row| row.is_in_hand_off() && row.owner.as_ref() == Some(me) && !row.is_finished());
        if incoming {
            self.next_scan = self.next_scan.min(now + self.config.hand_off_poll());
        }
    }

    /// Another worker runs under the same id, and it is the newer one.
    pub(super) fn duplicate(&mut self, now: Tick, key: LeaseKey) {
        let worker = self.config.worker.clone();
        self.stop(now, Some(WorkerFailure::DuplicateWorker { worker, key }));
    }
}

/// Rows under a key that is not that of their shard: two rows of one shard would have two readers.
fn set_misfits_aside(listing: &mut LeaseListing) {
    let misfits = listing
        .leases
        .extract_if(.., |lease| lease.key != lease.key_of(&lease.shard));
    let unreadable = misfits.map(|lease| UnreadableRow {
        key: lease.key.to_string(),
        reason: format!("it is for the shard {}, whose key is another", lease.shard),
    });
    listing.unreadable.extend(unreadable);
}
