//! One worker of a fleet, as a machine: which leases it takes, keeps, passes on and gives back.
//!
//! The flow of a worker's life: scan the table; where it is empty, list the shards and add their leases; plan; take
//! leases; start a consumer per lease; renew; react to what others wrote; scan again. All policy about *who* reads
//! *what* is here; [`ShardMachine`](crate::shard::ShardMachine) has the policy about *how*.

mod children;
mod fleet;
mod io;
mod kinds;
mod peers;
mod places;
mod shards;
mod status;
mod stop;
mod streams;
mod tenure;
mod tenures;
mod uneven;
mod writes;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;

pub use self::{
    io::{
        Exit, LossReason, OpId, PauseScope, ShardReport, StoreFailure, TenureId, WorkerEffect, WorkerEvent,
        WorkerFailure, WorkerInput,
    },
    status::{LeaseState, LeaseStatus, WorkerPhase, WorkerStatus},
    streams::{FormerStreams, StreamConfig},
};
use self::{
    kinds::Kinds,
    peers::Peers,
    stop::{Doubt, Stopping},
    streams::Streams,
    tenure::Tenure,
    tenures::Vanished,
    uneven::Uneven,
    writes::Op,
};
use crate::{
    assign::LeaseAssignment,
    ids::{LeaseKey, Session, StreamName, WorkerId},
    lease::Lease,
    retry::Backoff,
    sequence::InitialPosition,
    store::LeaseListing,
    time::Tick,
    watch::LeaseWatch,
};

/// How a worker takes part in its fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerConfig {
    /// The worker's name, its own within the fleet.
    pub worker: WorkerId,
    /// This life of the worker. A later life must have a larger number: begin it with the start time.
    pub session: Session,
    /// The stream that the worker reads. Rows that it adds say so, and rows that name another stream stop it: an
    /// application reads one stream. `None` neither marks nor compares.
    pub stream: Option<StreamName>,
    /// The streams of an application that reads several; `stream` and the initial position below are then not looked at.
    /// `None` for an application that reads one. The rows of the two do not mix.
    pub streams: Option<Vec<StreamConfig>>,
    /// What becomes of the rows of a stream that was one of several.
    pub former_streams: FormerStreams,
    /// How long a lease may go without renewal before others take it. KCL's default is 10 s.
    pub failover_time: Duration,
    /// How often the lease table is scanned.
    pub scan_interval: Duration,
    /// How often the stream's shards are compared with the leases.
    pub shard_sync_interval: Duration,
    /// Where to start with shards that nobody has read before.
    pub initial_position: InitialPosition,
    /// How long a consumer may take to finish its batch at shutdown.
    pub shutdown_grace: Duration,
    /// How long a consumer may take to finish its batch when its lease is passed on. KCL's default is 30 s.
    pub hand_off_timeout: Duration,
    /// The most leases to hold; `None` for no limit.
    pub max_leases: Option<usize>,
    /// What is balanced among the workers.
    pub assignment: LeaseAssignment,
    /// How long to wait after a failed request.
    pub service_backoff: Backoff,
}

impl WorkerConfig {
    /// The defaults, for this worker.
    #[must_use]
    pub fn new(worker: WorkerId, session: Session) -> Self {
        let failover_time = Duration::from_secs(10);
        Self {
            worker,
            session,
            stream: None,
            streams: None,
            former_streams: FormerStreams::default(),
            failover_time,
            scan_interval: Self::scan_interval_for(failover_time),
            shard_sync_interval: Duration::from_secs(60),
            initial_position: InitialPosition::default(),
            shutdown_grace: Duration::from_secs(30),
            hand_off_timeout: Duration::from_secs(30),
            max_leases: None,
            assignment: LeaseAssignment::default(),
            service_backoff: Backoff::SERVICE,
        }
    }

    /// A tenth of the failover time: a takeover then costs at most a tenth more than the failover time itself.
    #[must_use]
    pub fn scan_interval_for(failover_time: Duration) -> Duration {
        failover_time / 10
    }

    /// A third of the failover time, as in KCL: two renewals may fail before a lease is lost.
    #[must_use]
    pub fn renew_interval(&self) -> Duration {
        self.failover_time / 3
    }

    /// The waits between attempts to write the row of a held lease: so short that a dozen fit before the lease lapses.
    fn tenure_backoff(&self) -> Backoff {
        let longest = self.service_backoff.longest.min(self.renew_interval() / 4);
        Backoff {
            initial: self.service_backoff.initial.min(longest),
            longest,
        }
    }

    /// How often to look at a row that somebody is about to pass on to this worker.
    fn hand_off_poll(&self) -> Duration {
        self.scan_interval / 4
    }
}

/// One worker of a fleet.
#[derive(Debug)]
pub struct WorkerMachine {
    config: WorkerConfig,
    watch: LeaseWatch,
    /// The table as last seen, corrected by the answers to own writes.
    table: BTreeMap<LeaseKey, Arc<Lease>>,
    /// Rows that only answers to their creation have shown. Without a scan that has them, their parents' rows may be unknown.
    unscanned: BTreeSet<LeaseKey>,
    /// Rows that a newer life of this worker holds, with the counter at first sight: one that moves is alive.
    newer_lives: BTreeMap<LeaseKey, u64>,
    /// Rows of own tenures that vanished; they are put back.
    vanished: BTreeMap<LeaseKey, Vanished>,
    tenures: BTreeMap<TenureId, Tenure>,
    held: BTreeMap<LeaseKey, TenureId>,
    ops: BTreeMap<OpId, Op>,
    busy: BTreeSet<LeaseKey>,
    doubts: BTreeMap<LeaseKey, Doubt>,
    next_op: u64,
    next_tenure: u64,
    scanned: bool,
    scanning: bool,
    scan_failures: u32,
    /// How many scans were begun, and how many of them were when the last one began that was answered.
    scans: u64,
    scans_seen: u64,
    next_scan: Tick,
    unreadable: BTreeSet<String>,
    streams: Streams,
    kinds: Kinds,
    peers: Peers,
    uneven: Uneven,
    pauses: BTreeSet<PauseScope>,
    stopping: Option<Stopping>,
    exited: bool,
    effects: VecDeque<WorkerEffect>,
    rng: Rng,
}

impl WorkerMachine {
    /// A worker that begins at `now`. `seed` spreads the waits and the choices of workers that would else all do the
    /// same.
    #[must_use]
    pub fn new(config: WorkerConfig, now: Tick, seed: u64) -> Self {
        let mut machine = Self {
            streams: Streams::new(&config, now),
            config,
            watch: LeaseWatch::default(),
            table: BTreeMap::new(),
            unscanned: BTreeSet::new(),
            newer_lives: BTreeMap::new(),
            vanished: BTreeMap::new(),
            tenures: BTreeMap::new(),
            held: BTreeMap::new(),
            ops: BTreeMap::new(),
            busy: BTreeSet::new(),
            doubts: BTreeMap::new(),
            next_op: 0,
            next_tenure: 0,
            scanned: false,
            scanning: false,
            scan_failures: 0,
            scans: 0,
            scans_seen: 0,
            next_scan: now,
            unreadable: BTreeSet::new(),
            kinds: Kinds::default(),
            peers: Peers::new(now),
            uneven: Uneven::default(),
            pauses: BTreeSet::new(),
            stopping: None,
            exited: false,
            effects: VecDeque::new(),
            rng: Rng::with_seed(seed),
        };
        machine.advance(now);
        machine
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Tick, input: WorkerInput) {
        if self.exited {
            return;
        }
        if !matches!(input, WorkerInput::Written { .. } | WorkerInput::Read { .. }) {
            // Only the answer to a write can tell that a lease did not lapse.
            self.fence(now);
        }
        match input {
            WorkerInput::Leases(result) => self.leases_listed(now, result),
            WorkerInput::Shards { stream, result } => self.shards_listed(now, stream, result),
            WorkerInput::Streams(streams) => self.set_streams(now, streams),
            WorkerInput::Written { op, result } => self.written(now, op, result),
            WorkerInput::Read { op, result } => self.row_read(now, op, result),
            WorkerInput::Coordination(result) => self.coordination_read(now, result),
            WorkerInput::Published(result) => self.published(now, result),
            WorkerInput::Withdrawn => self.withdrawn(),
            WorkerInput::Shard { tenure, report } => self.shard_reported(now, tenure, report),
            WorkerInput::Changed(row) => self.changed(now, row),
            WorkerInput::Pause { scope, paused } => self.pause(scope, paused),
            WorkerInput::Shutdown => self.stop(now, None),
            WorkerInput::Wake => {}
        }
        self.advance(now);
    }

    /// The next thing to do, if there is one.
    pub fn poll_effect(&mut self) -> Option<WorkerEffect> {
        self.effects.pop_front()
    }

    /// When to call [`handle`](Self::handle) with [`WorkerInput::Wake`] at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        if self.exited {
            return None;
        }
        let scan = (!self.scanning && self.stopping.is_none()).then_some(self.next_scan);
        let shards = self.streams.next_listing().filter(|_| self.stopping.is_none());
        let peers = if self.stopping.is_none() {
            self.peers.next_deadline()
        } else {
            None
        };
        let stop = self.stopping.as_ref().map(|stopping| stopping.next_deadline());
        let tenures = self
            .tenures
            .values()
            .filter_map(|tenure| self.tenure_deadline(tenure))
            .min();
        [
            scan,
            shards,
            peers,
            self.streams.retry_children_at,
            stop,
            self.next_doubt(),
            tenures,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Notes how many bytes the consumer of a tenure has handled so far.
    pub fn note_handled(&mut self, tenure: TenureId, bytes: u64) {
        if let Some(tenure) = self.tenures.get_mut(&tenure) {
            tenure.handled_bytes = bytes;
        }
    }

    /// The worker's configuration.
    #[must_use]
    pub fn config(&self) -> &WorkerConfig {
        &self.config
    }

    /// How many leases this worker holds.
    #[must_use]
    pub fn leases_held(&self) -> usize {
        self.tenures.len()
    }

    /// Does whatever the state and the time now allow.
    fn advance(&mut self, now: Tick) {
        if self.exited {
            return;
        }
        self.advance_tenures(now);
        self.advance_children(now);
        self.settle_pauses();
        if self.stopping.is_some() {
            self.advance_stop(now);
        } else {
            self.advance_shards(now);
            self.advance_peers(now);
            if !self.scanning && self.next_scan <= now {
                self.scanning = true;
                self.scans += 1;
                self.push(WorkerEffect::ListLeases);
            }
        }
    }

    fn leases_listed(&mut self, now: Tick, result: Result<LeaseListing, StoreFailure>) {
        self.scanning = false;
        match result {
            Ok(listing) => {
                self.scan_failures = 0;
                self.scans_seen = self.scans;
                self.next_scan = now + self.config.scan_interval;
                self.accept_listing(now, listing);
            }
            Err(StoreFailure::Unusable(message)) => self.stop(now, Some(WorkerFailure::StoreUnusable { message })),
            Err(failure) => {
                self.scan_failures = self.scan_failures.saturating_add(1);
                self.next_scan = now + self.config.service_backoff.wait(self.scan_failures, &mut self.rng);
                self.event(WorkerEvent::StoreTrouble {
                    operation: crate::store::StoreOperation::List,
                    message: failure.message().to_owned(),
                    failures: self.scan_failures,
                });
            }
        }
    }

    fn push(&mut self, effect: WorkerEffect) {
        self.effects.push_back(effect);
    }

    fn event(&mut self, event: WorkerEvent) {
        self.push(WorkerEffect::Event(event));
    }
}

#[cfg(test)]
mod tests;
