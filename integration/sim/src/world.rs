//! The world: one queue of events in true time, the servers, and the processes of a fleet.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use fastrand::Rng;
use kcl_core::{
    LeaseKey, Session, ShardFilter, Timestamp, WorkerId,
    assign::LeaseAssignment,
    fetch::PollPacing,
    shard::{CheckpointPolicy, Lanes, ShardConfig},
    worker::{TenureId, WorkerConfig, WorkerMachine},
};

use crate::{
    aggregates::Aggregates,
    delivery::Delivery,
    event::Event,
    features::Feature,
    mutant::Mutant,
    node::{Mind, Node, NodeClock, State},
    oracle::{Oracle, Violation},
    peers::{self, Peer},
    queue::Queue,
    scenario::{FaultKind, Scenario},
    servers::{Service, Table},
    trace::Trace,
};

/// The wall clock at the start: some day in 2026.
pub(super) const EPOCH_MS: i64 = 1_790_000_000_000;

/// How often what lasts is looked at: who holds what, and whether it says so.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The last part of the quiet time, in which requests are counted.
pub(super) const COUNTED: Duration = Duration::from_secs(120);

/// Without time passing, so many events are a circle.
const CIRCLE: u32 = 200_000;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The same for the same history, on every machine and in every build.
    pub fingerprint: u64,
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// When it was broken, or the run ended.
    pub at: Duration,
    /// Events that happened.
    pub events: u64,
    /// Checks of promises.
    pub checks: u64,
    /// Records put.
    pub put: u64,
    /// Records delivered, again included.
    pub delivered: u64,
    /// Faults that struck, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// How leases went between workers and peers, by way.
    pub met: BTreeMap<&'static str, u64>,
    /// The last lines of every worker and shard, if they were kept.
    pub timelines: String,
    /// The whole history, if it was asked for.
    pub history: Option<String>,
}

/// How a run is watched.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    /// Keeps the last lines of every worker and shard.
    pub timelines: bool,
    /// Keeps everything.
    pub history: bool,
    /// Plants a bug.
    pub mutant: Option<Mutant>,
}

/// Lives a scenario to its end, or to the first promise that is broken.
#[must_use]
pub fn live(scenario: &Scenario, watch: Watch) -> Outcome {
    let mut world = World::new(scenario, watch);
    world.run();
    Outcome {
        fingerprint: world.trace.fingerprint(),
        violation: world.oracle.violation.clone(),
        at: world.now,
        events: world.events,
        checks: world.oracle.checks,
        put: world.oracle.put,
        delivered: world.oracle.delivered,
        faults: world.struck,
        met: world.met,
        timelines: world.trace.timelines(),
        history: world.trace.whole(),
    }
}

pub(super) struct World<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) mutant: Option<Mutant>,
    pub(super) now: Duration,
    queue: Queue,
    pub(super) events: u64,
    circle: u32,
    pub(super) rng: Rng,
    /// Chance for what only some fleets use, apart from all other.
    pub(super) places: Rng,
    aggregates: Aggregates,
    /// How batches are delivered, in fleets that have rules for it.
    pub(super) delivery: Option<Delivery>,
    pub(super) nodes: Vec<Node>,
    /// Which process fills which slot of the fleet.
    pub(super) slots: Vec<Option<usize>>,
    lives: u64,
    pub(super) table: Table,
    pub(super) service: Service,
    pub(super) oracle: Oracle,
    pub(super) trace: Trace,
    /// The faults that last and have not ended.
    pub(super) active: BTreeMap<usize, FaultKind>,
    pub(super) struck: BTreeMap<&'static str, u64>,
    pub(super) met: BTreeMap<&'static str, u64>,
    /// The ids of all peers that there ever were.
    pub(super) peer_ids: BTreeSet<WorkerId>,
    /// Iterators that were given out before this are forgotten.
    pub(super) iterators_since: Duration,
    records: u64,
    pub(super) requests_before: u64,
    pub(super) quiet: bool,
    pub(super) deleted: bool,
    /// The ids of processes that died, or could not renew in time: their leases stay theirs until somebody takes them.
    pub(super) lapsed: BTreeSet<WorkerId>,
    /// The leases that were held and not consumed at the last look.
    pub(super) silent: BTreeSet<(WorkerId, Option<TenureId>, LeaseKey)>,
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, watch: Watch) -> Self {
        let start = Timestamp::from_epoch_millis(EPOCH_MS);
        let mut world = Self {
            scenario,
            mutant: watch.mutant,
            now: Duration::ZERO,
            queue: Queue::default(),
            events: 0,
            circle: 0,
            rng: Rng::with_seed(scenario.seed ^ 0x5eed),
            places: Rng::with_seed(scenario.seed ^ 0x091a_ce5e),
            aggregates: Aggregates::new(scenario),
            delivery: Delivery::new(scenario),
            nodes: Vec::new(),
            slots: Vec::new(),
            lives: 0,
            table: Table::default(),
            service: Service::new(start, scenario),
            oracle: Oracle::default(),
            trace: Trace::new(watch.timelines, watch.history),
            active: BTreeMap::new(),
            struck: BTreeMap::new(),
            met: BTreeMap::new(),
            peer_ids: BTreeSet::new(),
            iterators_since: Duration::ZERO,
            records: 0,
            requests_before: 0,
            quiet: false,
            deleted: false,
            lapsed: BTreeSet::new(),
            silent: BTreeSet::new(),
        };
        world.at(scenario.transition, Event::ShardsChanged);
        for slot in 0..scenario.workers {
            let at = Duration::from_millis(world.rng.u64(..3_000));
            world.slots.push(None);
            world.at(
                at,
                Event::Start {
                    slot,
                    id: world.worker_id(slot, 0),
                },
            );
        }
        for (index, fault) in scenario.faults.iter().enumerate() {
            world.at(fault.at, Event::Fault(index));
        }
        world.at(Duration::from_secs(1), Event::Produce);
        world.begin_operating();
        if world.delivery.is_some() {
            world.at(Duration::from_secs(60), Event::Release);
        }
        world.at(LOOK_EVERY, Event::Look);
        world.at(scenario.troubled, Event::Quiet);
        world.at(scenario.length() - COUNTED, Event::CountRequests);
        world
    }

    fn run(&mut self) {
        let end = self.scenario.length();
        while let Some((at, event)) = self.queue.pop() {
            if at > end {
                break;
            }
            self.circle = if at == self.now { self.circle + 1 } else { 0 };
            self.now = at;
            self.events += 1;
            self.happen(event);
            if self.circle > CIRCLE {
                self.oracle.broken("no busy loop", format!("{CIRCLE} events at {at:?}"));
            }
            if self.oracle.violation.is_some() {
                return;
            }
        }
        self.now = end;
        self.judge_end();
    }

    /// Puts an event into the queue, `delay` from now.
    pub(super) fn at(&mut self, delay: Duration, event: Event) {
        self.queue.push(self.now + delay, event);
    }

    pub(super) fn wall(&self) -> Timestamp {
        let millis = i64::try_from(self.now.as_millis()).expect("a run is short");
        Timestamp::from_epoch_millis(EPOCH_MS + millis)
    }

    fn happen(&mut self, event: Event) {
        let Some(event) = self.held_up(event) else { return };
        match event {
            Event::WakeWorker { node } => self.wake(node),
            Event::WakeShard { node, tenure } => self.wake_shard(node, tenure),
            Event::ToWorker { node, input } => self.tell_worker(node, input),
            Event::ToShard { node, tenure, input } => self.tell_shard(node, tenure, input),
            Event::FromService {
                node,
                tenure,
                input,
                iterator,
                closes,
            } => self.service_answered(node, tenure, input, iterator, closes),
            Event::FromSubscription {
                node,
                tenure,
                turn,
                input,
            } => self.subscription_told(node, tenure, turn, input),
            Event::Listen { node, tenure, turn } => self.listen(node, tenure, turn),
            Event::CallEnds { node, tenure, id } => self.call_ends(node, tenure, id),
            Event::ToPeer { node, input } => self.tell_peer(node, input),
            Event::PeerHandled { node, reader } => self.peer_handled(node, reader),
            Event::AtTable {
                node,
                number,
                request,
                answer_in,
            } => self.at_table(node, number, &request, answer_in),
            Event::Answer { node, number, answer } => self.answered(node, number, answer),
            Event::Refused { node, number } => self.unanswered(node, number, false),
            Event::TimedOut { node, number } => self.unanswered(node, number, true),
            Event::Produce => self.produce(),
            Event::Operate => self.operate(),
            Event::Fault(index) => self.strike(index),
            Event::FaultEnds(index) => self.relent(index),
            Event::Reshard => self.reshard(),
            Event::Recreate { shards } => self.recreate(shards),
            Event::Recreated => self.recreated(),
            Event::ShardsChanged => self.note_shards(),
            Event::Start { slot, id } => self.start(slot, id),
            Event::Deploy { slot } => self.deploy(slot),
            Event::Look => self.look(),
            Event::Quiet => self.begin_quiet(),
            Event::CountRequests => self.requests_before = self.table.requests,
            Event::AtLetters(letter) => self.at_letters(letter),
            Event::LetterAnswered(letter) => self.letter_answered(&letter),
            Event::LookAtLetters { node, tenure } => self.look_at_letters(node, tenure),
            Event::LookedAtLetters { node, tenure, keys } => self.looked_at_letters(node, tenure, keys),
            Event::Release => self.release(),
        }
    }

    /// What reaches a process that is gone is lost; what reaches one that stands still waits.
    fn held_up(&mut self, event: Event) -> Option<Event> {
        let Some(node) = event.node() else { return Some(event) };
        match self.nodes[node].state {
            State::Gone => None,
            State::Running => Some(event),
            State::Paused(until) if until > self.now => {
                self.at(until - self.now, event);
                None
            }
            State::Paused(_) => {
                self.nodes[node].state = State::Running;
                Some(event)
            }
        }
    }

    pub(super) fn start(&mut self, slot: usize, id: WorkerId) {
        self.lives += 1;
        let session = Session((u64::try_from(self.now.as_micros()).unwrap_or(u64::MAX) << 8) | (self.lives & 0xff));
        let seed = self.rng.u64(..);
        let skew_ms = self.rng.i64(-900..=900);
        let clock = NodeClock::new(self.now, 1.0, skew_ms);
        let mind = match self.scenario.peer_in(slot) {
            Some(kind) => {
                self.peer_ids.insert(id.clone());
                let config = peers::Config {
                    id: id.clone(),
                    kind,
                    failover: self.scenario.failover_time,
                    idle: self.scenario.idle_at_tip,
                    measures_cpu: self.scenario.seed.is_multiple_of(2),
                };
                let (tick, wall) = (clock.tick(self.now), clock.wall(self.now));
                Mind::Peer(Box::new(Peer::new(config, tick, wall, seed)))
            }
            None => {
                let config = WorkerConfig {
                    failover_time: self.scenario.failover_time,
                    scan_interval: self.scenario.scan_interval,
                    initial_position: self.scenario.initial.into(),
                    assignment: if self.scenario.features.has(Feature::Throughput) {
                        LeaseAssignment::Throughput
                    } else {
                        LeaseAssignment::LeaseCount
                    },
                    ..WorkerConfig::new(id.clone(), session)
                };
                Mind::Worker(Box::new(WorkerMachine::new(config, clock.tick(self.now), seed)))
            }
        };
        let index = self.nodes.len();
        self.trace
            .note(self.now, id.as_str(), &[session.0], || "starts".to_owned());
        self.nodes.push(Node {
            id,
            session,
            state: State::Running,
            clock,
            mind,
            wake_at: None,
            consumers: BTreeMap::new(),
            readers: BTreeMap::new(),
            drained: BTreeMap::new(),
            asked: BTreeMap::new(),
            stopping: false,
            has_twin: false,
            kept: BTreeMap::new(),
            slot,
        });
        self.slots[slot] = Some(index);
        self.drain(index);
    }

    pub(super) fn shard_config(&self) -> ShardConfig {
        let checkpoint = if self.scenario.manual {
            CheckpointPolicy::Manual
        } else {
            CheckpointPolicy::default()
        };
        let (lanes, window) = self
            .scenario
            .lanes
            .map_or((Lanes::One, 1), |drawn| (drawn.lanes, drawn.window));
        let lanes = self.mutant.map_or(lanes, |mutant| mutant.lanes(lanes));
        let pacing = PollPacing {
            while_behind: Duration::from_millis(500),
            at_tip: self.scenario.idle_at_tip,
        };
        ShardConfig {
            batch_size: 50,
            max_records: 200,
            pacing,
            checkpoint,
            lanes,
            window,
            ..ShardConfig::default()
        }
    }

    fn produce(&mut self) {
        if self.quiet {
            return;
        }
        let every = self.scenario.workload.every;
        let pause = every.mul_f64(0.5 + self.rng.f64());
        self.at(pause, Event::Produce);
        if self.deleted {
            return;
        }
        let wall = self.wall();
        for _ in 0..self.rng.usize(1..=self.scenario.workload.burst) {
            self.records += 1;
            let key = self.rng.u64(..self.scenario.workload.keys).to_string();
            let put = self
                .aggregates
                .put(key, &self.records.to_string(), self.scenario.workload.keys);
            if let Some((shard, number)) = self.service.put(wall, &put.record) {
                if !self.oracle.knows(&shard) {
                    self.note_shards();
                }
                for (position, key) in put.positions(&number) {
                    self.oracle.put(&shard, position);
                    if let Some(delivery) = &self.delivery {
                        if delivery.leaves_out(key) {
                            self.oracle.leaves_out(&shard);
                        } else {
                            let order = delivery.order_of(self.scenario.lanes, key);
                            self.oracle.has_key(&shard, order.to_owned());
                        }
                    } else if self.scenario.lanes.is_some() {
                        self.oracle.has_key(&shard, key.clone());
                    }
                }
            }
        }
    }

    /// Tells the oracle which shards there are.
    pub(super) fn note_shards(&mut self) {
        let wall = self.wall();
        let stale = self.service.stale.take();
        for shard in self.service.shards(wall, ShardFilter::All).unwrap_or_default() {
            let parents = shard.parents().cloned().collect();
            self.oracle.shard_exists(shard.id, parents);
        }
        self.service.stale = stale;
    }

    /// Trouble ends: what lasts is over, and who is gone comes back.
    fn begin_quiet(&mut self) {
        self.quiet = true;
        self.end_operating();
        let lasting: Vec<usize> = self.active.keys().copied().collect();
        for index in lasting {
            self.relent(index);
        }
        for slot in 0..self.slots.len() {
            let gone = self.slots[slot].is_none_or(|node| self.nodes[node].state == State::Gone);
            if gone && slot < self.scenario.workers {
                let id = self.worker_id(slot, 1_000 + self.lives);
                self.at(Duration::from_secs(1), Event::Start { slot, id });
            }
        }
    }

    /// The name of the worker in a slot, in its how-manieth new identity. Some peers come before all workers in order, and
    /// some after them.
    pub(super) fn worker_id(&self, slot: usize, identity: u64) -> WorkerId {
        let name = match self.scenario.peer_in(slot) {
            None => "worker",
            Some(_) if slot.is_multiple_of(2) => "java",
            Some(_) => "xjava",
        };
        WorkerId::new(format!("{name}-{slot:02}.{identity}")).expect("a valid name")
    }
}
