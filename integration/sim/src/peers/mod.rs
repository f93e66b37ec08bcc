//! Workers of Java in a simulated fleet: small models of one of 2.x and one of 3.x, as their rows and timers tell.
//!
//! A peer is a machine like those of `kcl-core`: inputs and a clock go in, effects come out. It models what others can
//! see of a Java worker (which rows it writes when, what it expects, whom it takes for gone), and reads shards
//! so that the fleet as a whole can be judged.

mod consumer;
#[cfg(test)]
mod fixtures;
mod fleet;
mod holding;
mod io;
mod leader;
mod rows;
mod taker;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use fastrand::Rng;
use kcl_core::{LeaseKey, Tick, Timestamp, WorkerId, WriteOutcome};

pub(crate) use self::io::{Effect, Input, ReaderId};
use self::{fleet::Rounds, holding::Held, io::Op, leader::Leader};
use crate::servers::{LockWrite, TableAnswer, TableRequest};

/// Which Java worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 2.x: everybody takes and steals for itself, and nobody hears requests.
    TwoX,
    /// 3.x: a leader assigns, and leases are handed off.
    ThreeX,
}

/// How a peer takes part in its fleet.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) id: WorkerId,
    pub(crate) kind: Kind,
    pub(crate) failover: Duration,
    /// Between two reads at the tip of a shard.
    pub(crate) idle: Duration,
    /// Whether it finds a CPU to measure, which Java does on some machines only.
    pub(crate) measures_cpu: bool,
}

/// A worker of Java, for one life.
#[derive(Debug)]
pub(crate) struct Peer {
    config: Config,
    rng: Rng,
    /// By its own clock; seconds of it stand in what it publishes.
    wall: Timestamp,
    rounds: Rounds,
    held: BTreeMap<LeaseKey, Held>,
    by_reader: BTreeMap<ReaderId, LeaseKey>,
    readers: ReaderId,
    ops: BTreeMap<u64, Op>,
    next_op: u64,
    leader: Leader,
    /// What the last request for the lock would make of it.
    lock: Option<LockWrite>,
    /// Until when it waits for its consumers.
    stopping: Option<Tick>,
    gone: bool,
    effects: VecDeque<Effect>,
}

impl Peer {
    pub(crate) fn new(config: Config, now: Tick, wall: Timestamp, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rounds = Rounds::new(now, &mut rng);
        Self {
            config,
            rng,
            wall,
            rounds,
            held: BTreeMap::new(),
            by_reader: BTreeMap::new(),
            readers: 0,
            ops: BTreeMap::new(),
            next_op: 0,
            leader: Leader::default(),
            lock: None,
            stopping: None,
            gone: false,
            effects: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    pub(crate) fn handle(&mut self, now: Tick, wall: Timestamp, input: Input) {
        if self.gone {
            return;
        }
        self.wall = wall;
        match input {
            Input::Wake => {}
            Input::Shutdown => self.stop(now),
            Input::Table { op, answer } => {
                if let Some(op) = self.ops.remove(&op) {
                    self.answered(now, op, answer);
                }
            }
            Input::Shards(shards) => self.fill(shards),
            Input::Opened { reader, result } => {
                if let Some(held) = self.reader(reader) {
                    held.consumer.opened(now, result);
                }
            }
            Input::Fetched { reader, result } => {
                let Some(key) = self.by_reader.get(&reader).cloned() else {
                    return;
                };
                let step = self
                    .held
                    .get_mut(&key)
                    .and_then(|held| held.consumer.fetched(now, result));
                self.step(&key, step);
            }
            Input::Handled { reader } => {
                let Some(key) = self.by_reader.get(&reader).cloned() else {
                    return;
                };
                let commits = self.rng.bool();
                let step = self
                    .held
                    .get_mut(&key)
                    .and_then(|held| held.consumer.handled(now, commits));
                self.step(&key, step);
                self.settle_hand_off(&key);
            }
        }
        self.advance(now);
    }

    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to wake it at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        if self.gone {
            return None;
        }
        let stopping = self.stopping.is_some();
        let held = self.held.values().filter_map(|held| held.next_deadline(stopping)).min();
        let rounds = self.rounds.next_deadline(self.config.kind, stopping);
        [held, rounds, self.stopping].into_iter().flatten().min()
    }

    /// The shards that it reads, or waits to read.
    pub(crate) fn reads(&self) -> impl Iterator<Item = &kcl_core::ShardId> {
        let reading = self.held.values().filter(|held| held.consumer.reads());
        reading.map(|held| &held.lease.shard)
    }

    fn reader(&mut self, reader: ReaderId) -> Option<&mut Held> {
        self.held.get_mut(self.by_reader.get(&reader)?)
    }

    fn ask(&mut self, op: Op, request: TableRequest) {
        self.next_op += 1;
        self.ops.insert(self.next_op, op);
        let op = self.next_op;
        self.effects.push_back(Effect::Ask { op, request });
    }

    fn note(&mut self, text: String) {
        self.effects.push_back(Effect::Note(text));
    }

    fn advance(&mut self, now: Tick) {
        self.advance_rounds(now);
        self.advance_held(now);
        self.advance_stop(now);
    }

    fn answered(&mut self, now: Tick, op: Op, answer: Option<TableAnswer>) {
        match op {
            Op::Held(key, write) => self.held_written(now, &key, &write, answer),
            Op::About(key, about) => {
                let row = match answer {
                    Some(TableAnswer::Row(row)) => Some(row),
                    _ => None,
                };
                let luck = self.rng.u8(..);
                let step = self
                    .held
                    .get_mut(&key)
                    .and_then(|held| held.consumer.read(now, &about, row, luck));
                self.step(&key, step);
            }
            Op::CreateChild(key) => {
                let Some(TableAnswer::Outcome(WriteOutcome::Applied(there) | WriteOutcome::Conflict(Some(there)))) =
                    answer
                else {
                    return;
                };
                let step = self
                    .held
                    .get_mut(&key)
                    .and_then(|held| held.consumer.followed(there.key));
                self.step(&key, step);
            }
            Op::Cleanup(key) => {
                if matches!(answer, Some(TableAnswer::Outcome(_))) {
                    self.drop_lease(&key, "it was cleaned up");
                }
            }
            Op::Take | Op::Adopt => {
                if let Some(TableAnswer::Outcome(WriteOutcome::Applied(row))) = answer {
                    self.hold(now, row);
                }
            }
            other => self.round_answered(now, &other, answer),
        }
    }

    /// Ends once every consumer has come to rest. Its leases stay its own in the table; the lock is given back.
    fn stop(&mut self, now: Tick) {
        if self.stopping.is_none() {
            self.stopping = Some(now + Duration::from_secs(30));
            self.note("is told to stop".to_owned());
            let keys: Vec<LeaseKey> = self.held.keys().cloned().collect();
            for key in keys {
                self.settle_hand_off(&key);
            }
            if let Some(write) = self.leader.release() {
                self.ask(Op::Release, TableRequest::Lock(write));
            }
        }
    }

    fn advance_stop(&mut self, now: Tick) {
        let Some(deadline) = self.stopping else { return };
        let releases = self.ops.values().any(|op| matches!(op, Op::Release));
        if (self.held.values().all(Held::is_settled) && !releases) || deadline <= now {
            self.gone = true;
            self.effects.push_back(Effect::Exit);
        }
    }
}
