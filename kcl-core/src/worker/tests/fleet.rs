//! A small deterministic simulation: workers and their consumers over one table and one stream, with faults.

use std::{collections::BTreeMap, time::Duration};

use super::world::{FAILOVER_MS, World};
use crate::{
    InitialPosition, LeaseKey, Position, Session, ShardFilter, StreamId, Tick, WorkerId,
    coordination::Coordination,
    fetch::{FetchFailure, FetchFailureKind},
    lineage,
    retry::Backoff,
    shard::{Call, CallId, CheckpointPolicy, Finish, Outcome, ShardConfig, ShardEffect, ShardInput, ShardMachine},
    worker::{
        OpId, ShardReport, StoreFailure, StreamConfig, TenureId, WorkerConfig, WorkerEffect, WorkerEvent, WorkerInput,
        WorkerMachine,
    },
};

/// Faults happen until here.
const FAULTS_END: u64 = 30_000;
/// Each live shard has its one owner again: hand-offs that hang, the failover time, a few scans.
const OWNED_BY: u64 = FAULTS_END + 3_000 + FAILOVER_MS + 3_000;
/// Nothing moves any more.
const QUIET_FROM: u64 = FAULTS_END + 18_000;
const END: u64 = QUIET_FROM + 6_000;

#[derive(Clone)]
enum Event {
    /// A request reaches the table. `lost`: it was given up already, so nobody awaits the answer.
    Lands {
        request: WorkerEffect,
        lost: bool,
    },
    Worker(WorkerInput),
    Shard(TenureId, ShardInput),
    /// The `n`-th call to the user's code ends.
    CallEnds(TenureId, CallId, Outcome),
    Fault,
    Produce,
}

struct Consumer {
    machine: ShardMachine,
    shard: usize,
    cursor: usize,
    /// The last call.
    calls: CallId,
    call: Option<Call>,
    /// The index of the record that has to be delivered next.
    expected: Option<usize>,
    /// Up to which index it handled records.
    handled: usize,
    /// When the last report arrives: reports do not overtake each other.
    reported: u64,
}

struct Node {
    machine: WorkerMachine,
    id: WorkerId,
    session: Session,
    skew: u64,
    paused_until: u64,
    /// A newer life was started under the same id.
    superseded: bool,
    consumers: BTreeMap<TenureId, Consumer>,
    /// Up to which record consumers that ended in peace had handled: their leases are given back at no less.
    drained: BTreeMap<LeaseKey, (TenureId, usize)>,
}

pub(super) struct Fleet {
    pub(super) world: World,
    nodes: BTreeMap<u64, Node>,
    events: BTreeMap<(u64, u64), (u64, Event)>,
    serial: u64,
    lives: u64,
    shard_config: ShardConfig,
    initial: InitialPosition,
    outage_from: u64,
    outage_until: u64,
    pub(super) steps: u64,
}

impl Fleet {
    pub(super) fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let automatic = CheckpointPolicy::Automatic {
            interval: Duration::from_secs(1),
            records: 30,
        };
        let quick = Backoff {
            initial: Duration::from_millis(50),
            longest: Duration::from_secs(1),
        };
        let shard_config = ShardConfig {
            batch_size: world.rng.usize(3..20),
            checkpoint: if world.rng.u8(0..4) == 0 {
                CheckpointPolicy::Manual
            } else {
                automatic
            },
            handler_backoff: quick,
            service_backoff: quick,
            ..ShardConfig::default()
        };
        let initial = if world.rng.bool() {
            InitialPosition::Latest
        } else {
            InitialPosition::TrimHorizon
        };
        let (nodes, events) = (BTreeMap::new(), BTreeMap::new());
        let mut fleet = Self {
            world,
            nodes,
            events,
            serial: 0,
            lives: 0,
            shard_config,
            initial,
            outage_from: 0,
            outage_until: 0,
            steps: 0,
        };
        for _ in 0..fleet.world.rng.u8(1..=3) {
            fleet.start(None);
        }
        let first = fleet.world.rng.u64(50..2_000);
        fleet.schedule(first, 0, Event::Fault);
        // Trouble may begin with the application.
        fleet.outage_from = fleet.world.rng.u64(50..1_000);
        fleet.outage_until = fleet.outage_from + fleet.world.rng.u64(0..8_000);
        fleet.schedule(100, 0, Event::Produce);
        fleet
    }

    fn start(&mut self, id: Option<WorkerId>) {
        self.lives += 1;
        let life = self.lives;
        let id = id.unwrap_or_else(|| WorkerId::new(format!("worker-{life}")).unwrap());
        let (session, skew) = (Session(life), self.world.rng.u64(0..1_000_000));
        let config = WorkerConfig {
            failover_time: Duration::from_millis(FAILOVER_MS),
            scan_interval: Duration::from_millis(500),
            shard_sync_interval: Duration::from_secs(10),
            initial_position: self.initial,
            streams: self.world.several().map(|streams| self.configs(streams)),
            shutdown_grace: Duration::from_secs(3),
            hand_off_timeout: Duration::from_secs(3),
            service_backoff: self.shard_config.service_backoff,
            ..WorkerConfig::new(id.clone(), session)
        };
        let machine = WorkerMachine::new(config, tick(self.world.now + skew), self.world.rng.u64(..));
        self.nodes
            .values_mut()
            .filter(|node| node.id == id)
            .for_each(|node| node.superseded = true);
        let (consumers, drained) = (BTreeMap::new(), BTreeMap::new());
        let node = Node {
            machine,
            id,
            session,
            skew,
            paused_until: 0,
            superseded: false,
            consumers,
            drained,
        };
        self.nodes.insert(life, node);
        self.settle(life);
    }

    fn configs(&self, streams: Vec<StreamId>) -> Vec<StreamConfig> {
        let initial_position = self.initial;
        let config = |id| StreamConfig { id, initial_position };
        streams.into_iter().map(config).collect()
    }

    /// Tells a worker that it reads only some of the streams now, or all again.
    fn change_streams(&mut self, life: u64, all: bool) {
        let Some(mut streams) = self.world.several() else {
            return;
        };
        if !all {
            streams.retain(|_| self.world.rng.bool());
        }
        let input = WorkerInput::Streams(self.configs(streams));
        self.schedule(0, life, Event::Worker(input));
    }

    fn faulty(&self) -> bool {
        self.world.now < FAULTS_END
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.faulty() && self.world.rng.u32(0..n) == 0
    }

    fn latency(&mut self) -> u64 {
        if self.one_in(60) {
            self.world.rng.u64(500..4_000)
        } else {
            self.world.rng.u64(1..30)
        }
    }

    fn schedule(&mut self, delay: u64, life: u64, event: Event) {
        self.serial += 1;
        self.events.insert((self.world.now + delay, self.serial), (life, event));
    }

    pub(super) fn run(&mut self) {
        let mut updates = None;
        let mut checked = false;
        while self.world.now < END {
            self.step();
            assert!(self.steps < 1_000_000, "the fleet runs in circles");
            if self.world.now >= OWNED_BY && !checked {
                checked = true;
                self.check_owners();
            }
            if self.world.now >= QUIET_FROM && updates.is_none() {
                updates = Some(self.world.updates);
            }
        }
        self.check_end(self.world.updates - updates.unwrap());
    }

    fn step(&mut self) {
        self.steps += 1;
        let deadline = |(life, node): (&u64, &Node)| {
            let consumers = node
                .consumers
                .values()
                .filter_map(|consumer| consumer.machine.next_deadline());
            let at = consumers.chain(node.machine.next_deadline()).min()?;
            Some((millis(at).saturating_sub(node.skew).max(node.paused_until), *life))
        };
        let wake = self.nodes.iter().filter_map(deadline).min();
        let event = self
            .events
            .first_key_value()
            .map(|((at, _), _)| *at)
            .unwrap_or(u64::MAX);
        match wake {
            Some((at, life)) if at <= event => {
                self.world.now = self.world.now.max(at);
                self.wake(life);
            }
            _ => {
                let ((at, _), (life, event)) = self.events.pop_first().unwrap();
                self.world.now = self.world.now.max(at);
                self.happen(life, event);
            }
        }
    }

    fn wake(&mut self, life: u64) {
        let Some(node) = self.nodes.get_mut(&life) else { return };
        let now = tick(self.world.now + node.skew);
        if node.machine.next_deadline().is_some_and(|at| at <= now) {
            node.machine.handle(now, WorkerInput::Wake);
            let later = node.machine.next_deadline().is_none_or(|at| at > now);
            assert!(
                later || !node.machine.effects.is_empty(),
                "the worker does not use its wake-up"
            );
        }
        self.settle(life);
        let Some(node) = self.nodes.get_mut(&life) else { return };
        let due = |consumer: &Consumer| consumer.machine.next_deadline().is_some_and(|at| at <= now);
        let ids: Vec<TenureId> = node
            .consumers
            .iter()
            .filter(|(_, each)| due(each))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let Some(consumer) = self.nodes.get_mut(&life).and_then(|node| node.consumers.get_mut(&id)) else {
                continue;
            };
            consumer.machine.handle(now, ShardInput::Wake);
            let later = consumer.machine.next_deadline().is_none_or(|at| at > now);
            let effects = self.perform_shard(life, id);
            assert!(later || effects > 0, "the consumer does not use its wake-up");
        }
        self.settle(life);
    }

    fn happen(&mut self, life: u64, event: Event) {
        match event {
            Event::Fault => return self.fault(),
            Event::Produce => {
                self.world.produce();
                if self.world.now < FAULTS_END + 2_000 {
                    self.schedule(300, 0, Event::Produce);
                }
                return;
            }
            Event::Lands { request, lost } => return self.land(life, &request, lost),
            _ => {}
        }
        let Some(node) = self.nodes.get_mut(&life) else { return };
        let now = tick(self.world.now + node.skew);
        if node.paused_until > self.world.now {
            let delay = node.paused_until - self.world.now;
            return self.schedule(delay, life, event);
        }
        match event {
            Event::Worker(input) => node.machine.handle(now, input),
            Event::Shard(tenure, input) => {
                if let Some(consumer) = node.consumers.get_mut(&tenure) {
                    consumer.machine.handle(now, input);
                    self.perform_shard(life, tenure);
                }
            }
            Event::CallEnds(tenure, call, outcome) => self.call_ends(life, tenure, call, outcome),
            Event::Fault | Event::Produce | Event::Lands { .. } => {}
        }
        self.settle(life);
    }

    fn fault(&mut self) {
        let lives: Vec<u64> = self.nodes.keys().copied().collect();
        if !self.faulty() {
            for life in &lives {
                self.change_streams(*life, true);
            }
            let staying = lives.iter().filter(|life| !self.is_going(**life)).count();
            for _ in staying..2 {
                self.start(None);
            }
            return;
        }
        let victim = lives.get(self.world.rng.usize(0..lives.len().max(1))).copied();
        let id = victim.map(|life| self.nodes[&life].id.clone());
        match (self.world.rng.u8(0..12), victim) {
            (0, Some(life)) => drop(self.nodes.remove(&life)),
            (1, Some(life)) => {
                self.nodes.remove(&life);
                self.start(id);
            }
            (2, Some(life)) => {
                // A zombie: it wakes up and goes on as if nothing had happened.
                let wakes = self.world.now + self.world.rng.u64(500..12_000);
                self.nodes.get_mut(&life).unwrap().paused_until = wakes.min(FAULTS_END);
            }
            (3, Some(life)) => self.schedule(0, life, Event::Worker(WorkerInput::Shutdown)),
            (4, _) if id.is_some() => self.start(id),
            (5, _) => {
                let ends = self.world.now + self.world.rng.u64(500..7_000);
                self.outage_until = ends.min(FAULTS_END);
            }
            (6..=8, _) => self.world.reshard(),
            (9, Some(life)) if self.world.several().is_some() => self.change_streams(life, false),
            _ if lives.len() < 4 => self.start(None),
            _ => {}
        }
        let delay = self.world.rng.u64(200..2_500);
        self.schedule(
            delay.min(FAULTS_END.saturating_sub(self.world.now).max(1)),
            0,
            Event::Fault,
        );
    }

    /// Whether a worker ends, or will when it hears that it is to. Whoever was paused may hear of it only now.
    fn is_going(&self, life: u64) -> bool {
        let node = &self.nodes[&life];
        let is_shutdown = |event: &Event| matches!(event, Event::Worker(WorkerInput::Shutdown));
        let told = self
            .events
            .values()
            .any(|(of, event)| *of == life && is_shutdown(event));
        told || node.superseded || node.machine.stopping.is_some()
    }

    /// A request reaches the table or the service, or does not.
    fn land(&mut self, life: u64, request: &WorkerEffect, lost: bool) {
        let Some(node) = self.nodes.get(&life) else { return };
        let (id, session) = (node.id.clone(), node.session);
        let trouble = StoreFailure::Retry("trouble".to_owned());
        let down = ((self.outage_from..self.outage_until).contains(&self.world.now) || self.one_in(40)) && !lost;
        let op = match request {
            WorkerEffect::ListLeases => {
                let result = if down { Err(trouble) } else { Ok(self.world.list()) };
                return self.answer(life, WorkerInput::Leases(result));
            }
            WorkerEffect::Coordinate => {
                let result = if down {
                    Err(trouble)
                } else {
                    Ok(Coordination::default())
                };
                return self.answer(life, WorkerInput::Coordination(result));
            }
            WorkerEffect::ListShards { stream, filter } => {
                return self.list_shards(life, stream.clone(), *filter, down);
            }
            WorkerEffect::Get { op, key } => {
                let result = if down {
                    Err(trouble)
                } else {
                    Ok(self.world.table.get(key).cloned())
                };
                return self.answer(life, WorkerInput::Read { op: *op, result });
            }
            WorkerEffect::Create { op, .. } | WorkerEffect::Update { op, .. } | WorkerEffect::Delete { op, .. } => *op,
            _ => unreachable!(),
        };
        if down {
            return self.answer(
                life,
                WorkerInput::Written {
                    op,
                    result: Err(trouble),
                },
            );
        }
        if !lost && self.one_in(40) {
            // Nobody knows whether it happens: at once, later, or never.
            self.give_up(life, op);
            if self.world.rng.u8(0..3) > 0 {
                let delay = self.world.rng.u64(0..2_500);
                self.schedule(
                    delay,
                    life,
                    Event::Lands {
                        request: request.clone(),
                        lost: true,
                    },
                );
            }
            return;
        }
        let outcome = match request {
            WorkerEffect::Create { lease, .. } => self.world.create(lease),
            WorkerEffect::Update { write, .. } => self.world.update(&id, session, write),
            WorkerEffect::Delete { key, expect, .. } => self.world.delete(key, expect),
            _ => unreachable!(),
        };
        if lost {
            return;
        }
        if self.one_in(30) {
            return self.give_up(life, op);
        }
        self.answer(
            life,
            WorkerInput::Written {
                op,
                result: Ok(outcome),
            },
        );
    }

    fn give_up(&mut self, life: u64, op: OpId) {
        self.answer(
            life,
            WorkerInput::Written {
                op,
                result: Err(StoreFailure::Ambiguous("no answer".to_owned())),
            },
        );
    }

    fn answer(&mut self, life: u64, input: WorkerInput) {
        let delay = self.latency();
        self.schedule(delay, life, Event::Worker(input));
    }

    fn list_shards(&mut self, life: u64, stream: Option<StreamId>, filter: ShardFilter, down: bool) {
        let mut shards = self.world.list_shards(stream.as_ref(), filter);
        if filter == ShardFilter::All && self.one_in(4) {
            // A listing that has not heard of the youngest shards yet.
            shards.truncate(self.world.rng.usize(1..=shards.len()));
        }
        let failure = FetchFailure {
            kind: FetchFailureKind::Unavailable,
            message: "trouble".to_owned(),
        };
        let result = if down { Err(failure) } else { Ok(shards) };
        self.answer(life, WorkerInput::Shards { stream, result });
    }
}

mod checks;
mod effects;

fn tick(millis: u64) -> Tick {
    Tick::from_origin(Duration::from_millis(millis))
}

/// Rounded up: woken earlier, a machine would have nothing to do yet.
fn millis(at: Tick) -> u64 {
    u64::try_from(at.since_origin().as_nanos().div_ceil(1_000_000)).unwrap()
}
