//! What the world does for peers: their requests, their reading, and what is judged of it.

use std::time::Duration;

use kcl_core::{
    Batch, Position, ShardFilter,
    fetch::{FetchFailure, FetchFailureKind},
    worker::OpId,
};

use crate::{
    event::Event,
    node::{Reader, State},
    peers::{Effect, Input, Peer, ReaderId},
    world::World,
};

/// The most records of one read.
const MOST: u32 = 200;

impl World<'_> {
    pub(super) fn tell_peer(&mut self, node: usize, input: Input) {
        let process = &mut self.nodes[node];
        let (tick, wall) = (process.clock.tick(self.now), process.clock.wall(self.now));
        if let Some(peer) = process.mind.peer_mut() {
            peer.handle(tick, wall, input);
        }
        self.drain_peer(node);
    }

    pub(super) fn drain_peer(&mut self, node: usize) {
        while let Some(effect) = self.nodes[node].mind.peer_mut().and_then(Peer::poll_effect) {
            self.peer_effect(node, effect);
        }
        let deadline = self.nodes[node].mind.peer().and_then(Peer::next_deadline);
        self.wake_at(node, deadline);
    }

    fn peer_effect(&mut self, node: usize, effect: Effect) {
        match effect {
            Effect::Ask { op, request } => self.ask(node, Some(OpId(op)), request),
            Effect::ListShards => {
                let shards = match self.service_trouble(node) {
                    Some(_) => None,
                    None => self.service.shards(self.wall(), ShardFilter::AtTrimHorizon).ok(),
                };
                self.answer_peer(node, Input::Shards(shards));
            }
            Effect::Begin { reader, shard, start } => {
                let process = &mut self.nodes[node];
                let log = self.oracle.tenure_of(&process.id, &shard, &start);
                self.trace.note(self.now, shard.as_str(), &[reader], || {
                    format!("{} starts at {start}", process.id)
                });
                let reads = Reader {
                    shard,
                    log,
                    batch: None,
                    given: self.now,
                };
                process.readers.insert(reader, reads);
            }
            Effect::Open { reader, position } => self.open_for_peer(node, reader, &position),
            Effect::Fetch { reader, iterator } => self.fetch_for_peer(node, reader, &iterator),
            Effect::Handle { reader, batch } => self.handle_for_peer(node, reader, batch),
            Effect::End { reader } => {
                // What the application is in the middle of then comes to nothing.
                self.nodes[node].readers.remove(&reader);
            }
            Effect::Note(text) => self.trace.note(self.now, self.nodes[node].id.as_str(), &[], || text),
            Effect::Exit => self.peer_exited(node),
        }
    }

    fn answer_peer(&mut self, node: usize, input: Input) {
        let delay = self.service_delay();
        self.at(delay, Event::ToPeer { node, input });
    }

    fn open_for_peer(&mut self, node: usize, reader: ReaderId, position: &Position) {
        let wall = self.wall();
        let trouble = self.service_trouble(node);
        let now = self.now;
        let Some(reads) = self.nodes[node].readers.get_mut(&reader) else {
            return;
        };
        reads.given = now;
        let result = match trouble {
            Some(failure) => Err(failure),
            None => self.service.open(wall, &reads.shard, position),
        };
        self.answer_peer(node, Input::Opened { reader, result });
    }

    fn fetch_for_peer(&mut self, node: usize, reader: ReaderId, iterator: &str) {
        let wall = self.wall();
        let trouble = self.service_trouble(node);
        let (now, since) = (self.now, self.iterators_since);
        let Some(reads) = self.nodes[node].readers.get_mut(&reader) else {
            return;
        };
        let known = reads.given >= since;
        reads.given = now;
        let mut result = match trouble {
            Some(failure) => Err(failure),
            None if known => self.service.fetch(wall, &reads.shard, iterator, MOST),
            None => Err(FetchFailure {
                kind: FetchFailureKind::Expired,
                message: "the iterator is not known".to_owned(),
            }),
        };
        if let Ok((fetch, next)) = &mut result {
            self.lose_iterator(fetch, next);
        }
        self.answer_peer(node, Input::Fetched { reader, result });
    }

    fn handle_for_peer(&mut self, node: usize, reader: ReaderId, batch: Batch) {
        let Some(reads) = self.nodes[node].readers.get_mut(&reader) else {
            return;
        };
        self.oracle.delivered(&mut reads.log, &batch, &self.table.rows);
        reads.batch = Some(batch);
        let takes = self.peer_takes();
        self.at(takes, Event::PeerHandled { node, reader });
    }

    /// How long a peer's application takes for a batch. It never fails: what Java makes of failures is not ours to judge.
    fn peer_takes(&mut self) -> Duration {
        let handler = self.scenario.handler;
        if self.quiet {
            return Duration::from_millis(self.rng.u64(1..=20));
        }
        if self.rng.f64() < handler.slow {
            return self.scenario.failover_time.mul_f64(self.rng.f64() * 3.0);
        }
        handler.usual.mul_f64(self.rng.f64()) + Duration::from_millis(1)
    }

    pub(super) fn peer_handled(&mut self, node: usize, reader: ReaderId) {
        let Some(reads) = self.nodes[node].readers.get_mut(&reader) else {
            return;
        };
        if let Some(batch) = reads.batch.take() {
            self.oracle.handled(&mut reads.log, &batch, batch.len());
            self.tell_peer(node, Input::Handled { reader });
        }
    }

    /// A peer ends when it is told to. Its leases stay its own until somebody takes them.
    fn peer_exited(&mut self, node: usize) {
        let process = &mut self.nodes[node];
        process.state = State::Gone;
        process.readers.clear();
        self.lapsed.insert(process.id.clone());
        let slot = process.slot;
        self.trace
            .note(self.now, process.id.as_str(), &[], || "ends".to_owned());
        if self.slots[slot] == Some(node) {
            self.slots[slot] = None;
        }
    }
}
