//! Writing to a stream, as decisions: what goes into which record and which call, and what is sent again when.
//!
//! Records are collected by shard and aggregated, aggregates go into calls, and what the service refuses is sent again after
//! a while, each record until it expires. The machine has the shape of the others: [`ProducerMachine::handle`],
//! [`ProducerMachine::poll_effect`], [`ProducerMachine::next_deadline`].

mod answers;
mod collect;
mod config;
mod io;
mod send;
mod shards;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fastrand::Rng;

use self::{
    collect::{Collecting, Unit},
    shards::ShardMap,
};
pub use self::{
    config::{InvalidProducerConfig, InvalidRecord, ProducerConfig},
    io::{CallFailure, CallFailureKind, Placed, ProducerEffect, ProducerInput, PutFailure, Refusal, Written},
};
use crate::{ids::HashKey, time::Tick};

/// Decides what a producer sends when.
#[derive(Debug)]
pub struct ProducerMachine {
    config: ProducerConfig,
    shards: ShardMap,
    /// What is collected by shard, under the end of the shard's range; and when each is to go.
    collecting: BTreeMap<HashKey, Collecting>,
    collecting_due: BTreeSet<(Tick, HashKey)>,
    /// What waits for a call, in order.
    ready: VecDeque<Unit>,
    ready_bytes: usize,
    /// What was refused and is sent again at these times.
    retrying: BTreeMap<(Tick, u64), Unit>,
    /// Calls that are under way.
    calls: BTreeMap<u64, Vec<Unit>>,
    /// Aggregates that went to other shards than they were made for: whether all of their records belong there is told by the
    /// next listing.
    astray: Vec<(Unit, Written)>,
    /// Where the order of keys is kept: keys of records that are under way or are to be sent again, and in how many units.
    busy: BTreeMap<HashKey, u32>,
    /// When something that waits for a call is to be looked at again.
    ready_due: Option<Tick>,
    /// Everything that is due waits for others of its keys: only an answer helps.
    stuck: bool,
    next_serial: u64,
    effects: VecDeque<ProducerEffect>,
    rng: Rng,
}

impl ProducerMachine {
    /// A producer that has sent nothing. `seed` spreads the waits.
    #[must_use]
    pub fn new(config: ProducerConfig, seed: u64) -> Self {
        let mut machine = Self {
            shards: ShardMap::default(),
            collecting: BTreeMap::new(),
            collecting_due: BTreeSet::new(),
            ready: VecDeque::new(),
            ready_bytes: 0,
            retrying: BTreeMap::new(),
            calls: BTreeMap::new(),
            astray: Vec::new(),
            busy: BTreeMap::new(),
            ready_due: None,
            stuck: false,
            next_serial: 0,
            effects: VecDeque::new(),
            rng: Rng::with_seed(seed),
            config,
        };
        if machine.config.aggregation {
            machine.list_shards(Tick::ZERO);
        }
        machine
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Tick, input: ProducerInput) {
        match input {
            ProducerInput::Put { id, record } => self.put(now, id, &record),
            ProducerInput::Flush => self.hurry(now),
            ProducerInput::Answered { call, result } => self.answered(now, call, result),
            ProducerInput::Listed(result) => self.listed(now, result),
            ProducerInput::Wake => {}
        }
        self.advance(now);
    }

    /// The next thing to do, if there is one.
    pub fn poll_effect(&mut self) -> Option<ProducerEffect> {
        self.effects.pop_front()
    }

    /// When to call [`handle`](Self::handle) with [`ProducerInput::Wake`] at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        let collecting = self.collecting_due.first().map(|(due, _)| *due);
        let retrying = self.retrying.first_key_value().map(|((due, _), _)| *due);
        [collecting, retrying, self.ready_due, self.shards.list_at()]
            .into_iter()
            .flatten()
            .min()
    }

    fn advance(&mut self, now: Tick) {
        if self.shards.list_at().is_some_and(|at| at <= now) {
            self.list_shards(now);
        }
        self.collect_due(now);
        self.retry_due(now);
        self.send(now);
    }

    fn list_shards(&mut self, now: Tick) {
        if self.shards.begin_listing(now) {
            self.effects.push_back(ProducerEffect::ListShards);
        }
    }

    fn serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }
}

#[cfg(test)]
mod tests;
