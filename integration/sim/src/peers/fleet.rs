//! What a peer does by timers: renewing, taking, leading, discovering, reporting; and how it starts.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use kcl_core::{Lease, LeaseListing, Position, Shard, Tick, coordination::WorkerMetrics};

use super::{
    Kind, Peer,
    io::{Effect, Op},
    leader::{self, live_workers},
    rows, taker,
    watch::Watch,
};
use crate::servers::{TableAnswer, TableRequest};

/// Between two looks at a table that is empty.
const STARTS_EVERY: Duration = Duration::from_secs(3);
/// Java's allowance for rounds that are late.
const EPSILON: Duration = Duration::from_millis(25);

/// When each round is due. A round that is under way is due again when it has ended.
#[derive(Debug)]
pub(super) struct Rounds {
    /// Whether the start is over; before it, nothing else happens.
    started: bool,
    starting: bool,
    next_start: Tick,
    /// How long an empty table is left to others.
    fill_after: Tick,
    next_renewal: Tick,
    /// The taker's round, or the leader's.
    next_plan: Tick,
    planning: bool,
    next_discovery: Tick,
    discovering: bool,
    next_report: Tick,
    next_lock: Tick,
    locking: bool,
    watch: Watch,
    /// What the leader read first.
    leases: Vec<Arc<Lease>>,
}

impl Rounds {
    pub(super) fn new(now: Tick, rng: &mut Rng) -> Self {
        Self {
            started: false,
            starting: false,
            next_start: now,
            fill_after: now + Duration::from_millis(rng.u64(1_000..=30_000)),
            next_renewal: now,
            next_plan: now,
            planning: false,
            next_discovery: now,
            discovering: false,
            next_report: now,
            next_lock: now,
            locking: false,
            watch: Watch::default(),
            leases: Vec::new(),
        }
    }

    pub(super) fn next_deadline(&self, kind: Kind, stopping: bool) -> Option<Tick> {
        let start = (!self.started && !self.starting).then_some(self.next_start);
        let renewal = self.started.then_some(self.next_renewal);
        if stopping {
            return renewal;
        }
        let plan = (self.started && !self.planning).then_some(self.next_plan);
        let three = kind == Kind::ThreeX;
        let discovery = (three && self.started && !self.discovering).then_some(self.next_discovery);
        let report = three.then_some(self.next_report);
        let lock = (three && !self.locking).then_some(self.next_lock);
        [start, renewal, plan, discovery, report, lock]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Peer {
    pub(super) fn advance_rounds(&mut self, now: Tick) {
        if self.rounds.started && self.rounds.next_renewal <= now {
            self.rounds.next_renewal = now + (self.config.failover / 3).saturating_sub(EPSILON);
            self.renew_all(now);
        }
        if self.stopping.is_some() {
            return;
        }
        if !self.rounds.started && !self.rounds.starting && self.rounds.next_start <= now {
            self.rounds.starting = true;
            self.ask(Op::Start, TableRequest::List);
        }
        if self.config.kind == Kind::ThreeX {
            self.advance_3x(now);
        }
        if self.rounds.started && !self.rounds.planning && self.rounds.next_plan <= now {
            match self.config.kind {
                Kind::TwoX => {
                    self.rounds.planning = true;
                    self.ask(Op::Survey, TableRequest::List);
                }
                Kind::ThreeX if self.leader.leads(now) => {
                    self.rounds.planning = true;
                    self.ask(Op::Lead, TableRequest::List);
                }
                Kind::ThreeX => self.planned(now),
            }
        }
    }

    fn advance_3x(&mut self, now: Tick) {
        if self.rounds.next_report <= now {
            self.rounds.next_report = now + leader::REPORTS;
            let busy = self.config.measures_cpu.then(|| f64::from(self.rng.u8(1..100)));
            let metrics = WorkerMetrics::of_cpu(self.config.id.clone(), self.wall, busy.into_iter().collect());
            self.ask(Op::Publish, TableRequest::Publish(metrics));
        }
        if self.rounds.next_lock <= now && !self.rounds.locking {
            self.rounds.next_lock = now + leader::HEARTBEAT;
            self.rounds.locking = true;
            match self.leader.heartbeat(&self.config.id, &mut self.rng) {
                Some(write) => self.ask_for_lock(write),
                None => self.ask(Op::LookAtLock, TableRequest::Coordinate),
            }
        }
        if self.rounds.started && self.rounds.next_discovery <= now && !self.rounds.discovering {
            self.rounds.next_discovery = now + self.config.failover.saturating_sub(EPSILON);
            self.rounds.discovering = true;
            self.ask(Op::Discover, TableRequest::List);
        }
    }

    fn ask_for_lock(&mut self, write: crate::servers::LockWrite) {
        self.lock = Some(write.clone());
        self.ask(Op::Lock, TableRequest::Lock(write));
    }

    /// A round of planning is over; the next one begins after a while.
    fn planned(&mut self, now: Tick) {
        self.rounds.planning = false;
        self.rounds.next_plan = now + (self.config.failover + EPSILON) * 2;
    }

    pub(super) fn round_answered(&mut self, now: Tick, op: &Op, answer: Option<TableAnswer>) {
        match (op, answer) {
            (Op::Start, answer) => self.looked_at_start(now, answer),
            (Op::Survey, answer) => {
                if let Some(TableAnswer::Listing(listing)) = answer {
                    self.take(now, &listing);
                }
                self.planned(now);
            }
            (Op::Discover, answer) => {
                self.rounds.discovering = false;
                if let Some(TableAnswer::Listing(listing)) = answer {
                    self.discover(&listing);
                }
            }
            (Op::Found, Some(TableAnswer::Row(Some(row)))) if self.is_mine(&row) => self.hold(now, row),
            (Op::Lead, Some(TableAnswer::Listing(listing))) => {
                self.rounds.leases = listing.leases;
                self.ask(Op::LeadWorkers, TableRequest::Coordinate);
            }
            (Op::LeadWorkers, Some(TableAnswer::Coordination(coordination))) => {
                self.lead(now, &live_workers(&coordination, self.wall));
                self.planned(now);
            }
            (Op::Lead | Op::LeadWorkers, _) => self.planned(now),
            (Op::LookAtLock, answer) => {
                self.rounds.locking = false;
                if let Some(TableAnswer::Coordination(coordination)) = answer {
                    let write = self
                        .leader
                        .look(now, coordination.leader.as_ref(), &self.config.id, &mut self.rng);
                    if let Some(write) = write {
                        self.rounds.locking = true;
                        self.ask_for_lock(write);
                    }
                }
            }
            (Op::Lock, answer) => {
                self.rounds.locking = false;
                let write = self.lock.take();
                // What nobody answered is tried again; a lock that was moved by such a request is then another's.
                if let Some(TableAnswer::Done(granted)) = answer {
                    let leads = self.leader.leads(now);
                    self.leader.granted(now, write.as_ref().filter(|_| granted));
                    if granted != leads {
                        self.note(if granted { "leads" } else { "does not lead" }.to_owned());
                    }
                }
            }
            _ => {}
        }
    }

    /// A start: rows of mine from before are renewed, and an empty table is filled if nobody else does.
    fn looked_at_start(&mut self, now: Tick, answer: Option<TableAnswer>) {
        self.rounds.starting = false;
        self.rounds.next_start = now + STARTS_EVERY;
        let Some(TableAnswer::Listing(listing)) = answer else {
            return;
        };
        if listing.leases.is_empty() {
            let may = self.config.kind == Kind::TwoX || self.leader.leads(now);
            if may && now >= self.rounds.fill_after {
                self.effects.push_back(Effect::ListShards);
            }
            return;
        }
        self.rounds.started = true;
        (self.rounds.next_renewal, self.rounds.next_plan) = (now, now);
        for lease in &listing.leases {
            if self.is_mine(lease) {
                let write = rows::renew(lease, self.config.kind == Kind::ThreeX);
                self.ask(Op::Adopt, TableRequest::Update(write));
            }
        }
    }

    fn is_mine(&self, lease: &Lease) -> bool {
        let passes_on = self.config.kind == Kind::ThreeX && lease.is_in_hand_off();
        lease.owner.as_ref() == Some(&self.config.id) && !passes_on
    }

    /// The leases of an application that begins: one for each shard that there was at the trim horizon.
    pub(super) fn fill(&mut self, shards: Option<Vec<Shard>>) {
        for shard in shards.unwrap_or_default() {
            let lease = Lease::new(shard.id.clone(), Position::TrimHorizon)
                .with_parents(shard.parents().cloned())
                .with_hash_key_range(shard.hash_key_range);
            self.ask(Op::Fill, TableRequest::Create(lease));
        }
    }

    fn take(&mut self, now: Tick, listing: &LeaseListing) {
        self.rounds.watch.observe(now, &listing.leases);
        let view = taker::View {
            leases: &listing.leases,
            watch: &self.rounds.watch,
            me: &self.config.id,
            now,
            failover: self.config.failover,
        };
        let planned = taker::plan(&view, &mut self.rng);
        let writes: Vec<_> = planned
            .into_iter()
            .filter(|lease| !self.held.contains_key(&lease.key))
            .map(|lease| rows::take(lease, &self.config.id))
            .collect();
        for write in writes {
            self.ask(Op::Take, TableRequest::Update(write));
        }
    }

    fn discover(&mut self, listing: &LeaseListing) {
        let found: Vec<_> = listing
            .leases
            .iter()
            .filter(|lease| self.is_mine(lease) && !self.held.contains_key(&lease.key))
            .map(|lease| lease.key.clone())
            .collect();
        for key in found {
            self.ask(Op::Found, TableRequest::Get(key));
        }
    }

    fn lead(&mut self, now: Tick, live: &std::collections::BTreeSet<kcl_core::WorkerId>) {
        let leases = std::mem::take(&mut self.rounds.leases);
        if !self.leader.leads(now) {
            return;
        }
        let writes = self
            .leader
            .plan(now, self.config.failover, &leases, live, &mut self.rng);
        for write in writes {
            self.ask(Op::Order, TableRequest::Update(write));
        }
    }
}
