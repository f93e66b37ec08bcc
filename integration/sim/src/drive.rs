//! What the drivers of the runtime do, in the world: performing effects, bringing answers back.

use std::{collections::BTreeMap, time::Duration};

use kcl_core::{
    Position, ShardId, Tick,
    coordination::WorkerMetrics,
    fetch::{Fetch, FetchFailure, FetchFailureKind},
    lineage,
    shard::{Call, CallId, Finish, Outcome, ShardConfig, ShardEffect, ShardEvent, ShardInput, ShardMachine},
    worker::{LossReason, ShardReport, TenureId, WorkerEffect, WorkerEvent, WorkerInput},
};

use crate::{
    delivery::Letterbox, event::Event, fan_out::Subscribing, mutant::Mutant, node::Consumer, peers,
    scenario::FaultKind, servers::TableRequest, world::World,
};

/// Records are tiny, so that lives are cheap. For the balance by throughput each byte stands for so many.
const BYTES_STAND_FOR: u64 = 100_000;

/// Between a worker and its consumers.
const LOCAL: Duration = Duration::from_micros(50);

impl World<'_> {
    pub(super) fn wake(&mut self, node: usize) {
        if self.nodes[node].wake_at != Some(self.now) && self.nodes[node].wake_at.is_some_and(|at| at > self.now) {
            return;
        }
        self.nodes[node].wake_at = None;
        if self.nodes[node].mind.peer().is_some() {
            self.tell_peer(node, peers::Input::Wake);
        } else {
            self.tell_worker(node, WorkerInput::Wake);
        }
    }

    pub(super) fn shut_down(&mut self, node: usize) {
        if self.nodes[node].mind.peer().is_some() {
            self.tell_peer(node, peers::Input::Shutdown);
        } else {
            self.tell_worker(node, WorkerInput::Shutdown);
        }
    }

    /// Does what a process that has just begun wants.
    pub(super) fn drain(&mut self, node: usize) {
        if self.nodes[node].mind.peer().is_some() {
            self.drain_peer(node);
        } else {
            self.drain_worker(node);
        }
    }

    pub(super) fn tell_worker(&mut self, node: usize, input: WorkerInput) {
        let process = &mut self.nodes[node];
        let tick = process.clock.tick(self.now);
        if let Some(worker) = process.mind.worker_mut() {
            worker.handle(tick, input);
        }
        self.drain_worker(node);
    }

    fn drain_worker(&mut self, node: usize) {
        while let Some(effect) = self.nodes[node]
            .mind
            .worker_mut()
            .and_then(kcl_core::worker::WorkerMachine::poll_effect)
        {
            self.worker_effect(node, effect);
        }
        let deadline = self.nodes[node]
            .mind
            .worker()
            .and_then(kcl_core::worker::WorkerMachine::next_deadline);
        self.wake_at(node, deadline);
    }

    pub(super) fn wake_at(&mut self, node: usize, deadline: Option<Tick>) {
        let process = &mut self.nodes[node];
        if let Some(deadline) = deadline {
            let at = process.clock.when(self.now, deadline);
            if process.wake_at.is_none_or(|already| at < already) {
                process.wake_at = Some(at);
                self.at(at - self.now, Event::WakeWorker { node });
            }
        }
    }

    fn worker_effect(&mut self, node: usize, effect: WorkerEffect) {
        match effect {
            WorkerEffect::ListLeases => {
                if self.mutant == Some(Mutant::Spendthrift) {
                    self.table.requests += 9;
                }
                self.ask(node, None, TableRequest::List);
            }
            WorkerEffect::ListShards { stream, filter } => {
                let result = match self.service_trouble(node) {
                    Some(failure) => Err(failure),
                    None => self.service.shards(self.wall(), filter),
                };
                let delay = self.service_delay();
                self.at(
                    delay,
                    Event::ToWorker {
                        node,
                        input: WorkerInput::Shards { stream, result },
                    },
                );
            }
            WorkerEffect::Create { op, lease } => self.ask(node, Some(op), TableRequest::Create(lease)),
            WorkerEffect::Update { op, write } => self.ask(node, Some(op), TableRequest::Update(write)),
            WorkerEffect::Delete { op, key, expect } => self.ask(node, Some(op), TableRequest::Delete(key, expect)),
            WorkerEffect::Get { op, key } => self.ask(node, Some(op), TableRequest::Get(key)),
            WorkerEffect::Coordinate => self.ask(node, None, TableRequest::Coordinate),
            WorkerEffect::Publish { cpu } => {
                let busy = cpu.then(|| f64::from(self.rng.u8(1..100)));
                let process = &self.nodes[node];
                let wall = process.clock.wall(self.now);
                let metrics = WorkerMetrics::of_cpu(process.id.clone(), wall, busy.into_iter().collect());
                self.ask(node, None, TableRequest::Publish(metrics));
            }
            WorkerEffect::Withdraw => {
                let id = self.nodes[node].id.clone();
                self.ask(node, None, TableRequest::Withdraw(id));
            }
            WorkerEffect::StartShard { tenure, lease, start } => self.start_consumer(node, tenure, &lease, start),
            WorkerEffect::ShardStored { tenure, position } => {
                self.at(
                    LOCAL,
                    Event::ToShard {
                        node,
                        tenure,
                        input: ShardInput::Stored(position),
                    },
                );
            }
            // Nothing here prepares checkpoints.
            WorkerEffect::ShardPrepared { .. } => {}
            WorkerEffect::PauseShard { tenure, paused } => {
                self.at(
                    LOCAL,
                    Event::ToShard {
                        node,
                        tenure,
                        input: ShardInput::Pause(paused),
                    },
                );
            }
            WorkerEffect::StopShard { tenure, reason } => {
                let lost = reason.is_void();
                if self.mutant != Some(Mutant::DeafConsumers) || !lost {
                    self.at(
                        LOCAL,
                        Event::ToShard {
                            node,
                            tenure,
                            input: ShardInput::Stop(reason),
                        },
                    );
                }
            }
            WorkerEffect::Event(event) => self.worker_event(node, &event),
            WorkerEffect::Exit(exit) => {
                if !exit.unreleased.is_empty() {
                    // It ended in the middle of trouble with the table, and says what it could not give back.
                    self.lapsed.insert(self.nodes[node].id.clone());
                }
                self.exited(node, exit.failure.as_ref());
            }
        }
    }

    fn worker_event(&mut self, node: usize, event: &WorkerEvent) {
        let process = &mut self.nodes[node];
        if let WorkerEvent::LeaseLost { key, reason, .. } = event {
            // Whatever is written for the shard from here on is no clean hand-over any more.
            process.drained.remove(key.as_str());
            if *reason == LossReason::Lapsed {
                self.lapsed.insert(process.id.clone());
            }
        }
        self.trace
            .note(self.now, process.id.as_str(), &[], || format!("{event:?}"));
    }

    fn start_consumer(&mut self, node: usize, tenure: TenureId, lease: &kcl_core::Lease, start: Position) {
        if self.mutant == Some(Mutant::SilentLease) && tenure.0.is_multiple_of(3) {
            return;
        }
        if start == Position::ShardEnd {
            let what = format!("{}: a finished shard was begun by {}", lease.key, self.nodes[node].id);
            return self.oracle.broken("order", what);
        }
        let config = ShardConfig {
            retrieval: self.retrieval_mode(),
            ..self.shard_config()
        };
        let seed = self.rng.u64(..);
        let process = &mut self.nodes[node];
        let opened_at = process.clock.wall(self.now);
        let mut log = self.oracle.tenure_of(&process.id, &lease.shard, &start);
        if self.scenario.lanes.is_some() {
            log = log.in_lanes();
        }
        self.trace.note(self.now, lease.shard.as_str(), &[tenure.0], || {
            format!("{} starts at {start}", process.id)
        });
        let tick = process.clock.tick(self.now);
        let mut machine = ShardMachine::new(config, start, opened_at, 1 << 20, seed);
        if let Some(delivery) = &self.delivery {
            machine = machine.with_delivery(delivery.settings(), tick);
        }
        let shard = lease.shard.clone();
        let consumer = Consumer {
            shard,
            machine,
            iterator: None,
            subscribing: Subscribing::default(),
            running: BTreeMap::new(),
            repeats: 0,
            waits: 0,
            closes: 0,
            log,
            letterbox: Letterbox::new(tick, opened_at),
            wake_at: None,
        };
        process.consumers.insert(tenure, consumer);
        self.begin_looking(node, tenure);
        self.drain_shard(node, tenure);
    }

    pub(super) fn wake_shard(&mut self, node: usize, tenure: TenureId) {
        let now = self.now;
        let Some(consumer) = self.nodes[node].consumers.get_mut(&tenure) else {
            return;
        };
        if consumer.wake_at.is_some_and(|at| at > now) {
            return;
        }
        consumer.wake_at = None;
        self.tell_shard(node, tenure, ShardInput::Wake);
    }

    pub(super) fn tell_shard(&mut self, node: usize, tenure: TenureId, input: ShardInput) {
        let process = &mut self.nodes[node];
        let tick = process.clock.tick(self.now);
        let Some(consumer) = process.consumers.get_mut(&tenure) else {
            return;
        };
        match &input {
            ShardInput::Stop(_) => consumer.letterbox.is_stopping = true,
            ShardInput::Fetched(Ok(fetch)) if self.delivery.is_some() => {
                self.oracle.read(&mut consumer.log, &fetch.batch);
            }
            _ => {}
        }
        consumer.machine.handle(tick, input);
        self.drain_shard(node, tenure);
    }

    pub(super) fn drain_shard(&mut self, node: usize, tenure: TenureId) {
        loop {
            let Some(consumer) = self.nodes[node].consumers.get_mut(&tenure) else {
                return;
            };
            let Some(effect) = consumer.machine.poll_effect() else {
                break;
            };
            self.shard_effect(node, tenure, effect);
        }
        let process = &mut self.nodes[node];
        let clock = process.clock;
        let Some(consumer) = process.consumers.get_mut(&tenure) else {
            return;
        };
        if let Some(deadline) = consumer.machine.next_deadline() {
            let at = clock.when(self.now, deadline);
            if consumer.wake_at.is_none_or(|already| at < already) {
                consumer.wake_at = Some(at);
                self.at(at - self.now, Event::WakeShard { node, tenure });
            }
        }
    }

    fn shard_effect(&mut self, node: usize, tenure: TenureId, effect: ShardEffect) {
        match effect {
            ShardEffect::Open(position) => self.open(node, tenure, &position),
            ShardEffect::Subscribe(at) => self.subscribe(node, tenure, &at),
            ShardEffect::Close => self.close(node, tenure),
            ShardEffect::Fetch { .. } if self.is_subscribed(node, tenure) => self.next_event(node, tenure),
            ShardEffect::Fetch { max_records } => self.fetch(node, tenure, max_records),
            // Connections are no part of this world.
            ShardEffect::Reconnect => {}
            ShardEffect::Call { id, call } => self.call(node, tenure, id, &call),
            ShardEffect::CancelCalls => self.cancel(node, tenure),
            ShardEffect::Progress(position) => self.report(node, tenure, ShardReport::Progress(position)),
            ShardEffect::ProgressWith { position, state } => {
                self.report(node, tenure, ShardReport::ProgressWith { position, state });
            }
            ShardEffect::Checkpoint(position) => self.report(node, tenure, ShardReport::Checkpoint(position)),
            ShardEffect::Prepare(pending) => self.report(node, tenure, ShardReport::Prepare(pending)),
            ShardEffect::Missing => self.report(node, tenure, ShardReport::Missing),
            ShardEffect::Rejected(message) => self.report(node, tenure, ShardReport::Rejected(message)),
            ShardEffect::Finished(finish) => {
                if let Some(consumer) = self.nodes[node].consumers.remove(&tenure)
                    && finish == Finish::Drained
                {
                    self.oracle.repeats(&consumer.log, consumer.repeats);
                    self.nodes[node].drained.insert(consumer.shard, consumer.log);
                }
                self.report(node, tenure, ShardReport::Finished(finish));
            }
            ShardEffect::Event(event) => self.shard_event(node, tenure, &event),
        }
    }

    fn shard_event(&mut self, node: usize, tenure: TenureId, event: &ShardEvent) {
        if matches!(event, ShardEvent::Fetched { .. }) {
            return;
        }
        if let ShardEvent::Repeats { records } = event
            && let Some(consumer) = self.nodes[node].consumers.get_mut(&tenure)
        {
            consumer.repeats = *records;
        }
        let process = &mut self.nodes[node];
        let Some(consumer) = process.consumers.get(&tenure) else {
            return;
        };
        if matches!(event, ShardEvent::Handled { .. })
            && let Some(worker) = process.mind.worker_mut()
        {
            let status = consumer.machine.status(process.clock.tick(self.now));
            worker.note_handled(tenure, status.handled_bytes * BYTES_STAND_FOR);
        }
        let (shard, id) = (&consumer.shard, &process.id);
        self.trace
            .note(self.now, shard.as_str(), &[tenure.0], || format!("{id}: {event:?}"));
    }

    pub(super) fn report(&mut self, node: usize, tenure: TenureId, report: ShardReport) {
        self.at(
            LOCAL,
            Event::ToWorker {
                node,
                input: WorkerInput::Shard { tenure, report },
            },
        );
    }

    fn open(&mut self, node: usize, tenure: TenureId, position: &Position) {
        let wall = self.wall();
        let shard = self.nodes[node].consumers[&tenure].shard.clone();
        let result = match self.service_trouble(node) {
            Some(failure) => Err(failure),
            None => self.service.open(wall, &shard, position),
        };
        let anew = self.mutant == Some(Mutant::ReadAnew)
            && matches!(&result, Err(failure) if failure.kind == FetchFailureKind::InvalidPosition);
        let result = if anew {
            self.service.open(wall, &shard, &Position::TrimHorizon)
        } else {
            result
        };
        if result.is_ok() && *position == Position::Latest {
            self.note_latest(&shard);
        }
        let (iterator, input) = match result {
            Ok(iterator) => (Some(iterator), ShardInput::Opened(Ok(()))),
            Err(failure) => (None, ShardInput::Opened(Err(failure))),
        };
        let delay = self.service_delay();
        if self.hangs() {
            return;
        }
        let closes = self.nodes[node].consumers[&tenure].closes;
        self.at(
            delay,
            Event::FromService {
                node,
                tenure,
                input,
                iterator,
                closes,
            },
        );
    }

    /// A shard was opened at LATEST. Only where nothing was pinned yet, and no parent was consumed, is that what the
    /// application asked for.
    pub(super) fn note_latest(&mut self, shard: &ShardId) {
        let row = self.table.rows.get(shard.as_str());
        let asked = row.is_some_and(|row| {
            row.checkpoint == Position::Latest && lineage::start_position(row, &self.table.rows) == Position::Latest
        });
        if asked {
            self.oracle.opened_at_latest(shard);
        }
    }

    fn fetch(&mut self, node: usize, tenure: TenureId, max_records: u32) {
        let wall = self.wall();
        let consumer = &self.nodes[node].consumers[&tenure];
        let (shard, place) = (consumer.shard.clone(), consumer.iterator.clone());
        let result = match (self.service_trouble(node), place) {
            (Some(failure), _) => Err(failure),
            (None, Some((iterator, given))) if given >= self.iterators_since => {
                self.service.fetch(wall, &shard, &iterator, max_records)
            }
            _ => {
                let message = "the iterator is not known".to_owned();
                Err(FetchFailure {
                    kind: FetchFailureKind::Expired,
                    message,
                })
            }
        };
        let (mut input, mut next) = match result {
            Ok((fetch, next)) => (Ok(fetch), next),
            Err(failure) => (Err(failure), None),
        };
        if let Ok(fetch) = &mut input {
            self.spoil(fetch, &mut next);
        }
        let delay = self.service_delay();
        if self.hangs() {
            return;
        }
        let closes = self.nodes[node].consumers[&tenure].closes;
        self.at(
            delay,
            Event::FromService {
                node,
                tenure,
                input: ShardInput::Fetched(input),
                iterator: next,
                closes,
            },
        );
    }

    /// What a faulty service, or a planted bug, makes of a read.
    fn spoil(&mut self, fetch: &mut Fetch, next: &mut Option<String>) {
        self.lose_iterator(fetch, next);
        if self.mutant == Some(Mutant::DropRecord) && fetch.batch.len() > 1 && self.rng.u8(..4) == 0 {
            fetch.batch = fetch.batch.split_at(1).1;
        }
    }

    /// A faulty service gives neither an iterator nor children now and then.
    pub(super) fn lose_iterator(&mut self, fetch: &mut Fetch, next: &mut Option<String>) {
        let nulls = self.has(|fault| matches!(fault, FaultKind::NullIterators { .. }));
        if nulls && self.rng.u8(..4) == 0 {
            *next = None;
            fetch.end = Some(Vec::new());
        }
    }

    pub(super) fn service_answered(
        &mut self,
        node: usize,
        tenure: TenureId,
        input: ShardInput,
        iterator: Option<String>,
        closes: u32,
    ) {
        let now = self.now;
        let consumer = self.nodes[node].consumers.get(&tenure);
        if consumer.is_some_and(|consumer| consumer.closes != closes) {
            // Nobody waits for it any more.
            return;
        }
        if let (Some(consumer), Some(iterator)) = (self.nodes[node].consumers.get_mut(&tenure), iterator) {
            consumer.iterator = Some((iterator, now));
        }
        self.tell_shard(node, tenure, input);
    }

    /// Some calls heed it and some go on to their end.
    fn cancel(&mut self, node: usize, tenure: TenureId) {
        let Some(consumer) = self.nodes[node].consumers.get_mut(&tenure) else {
            return;
        };
        let heeding = consumer.running.extract_if(.., |_, _| self.rng.bool());
        for (id, _) in heeding.collect::<Vec<_>>() {
            let input = ShardInput::Called(id, Outcome::Cancelled);
            self.at(LOCAL, Event::ToShard { node, tenure, input });
        }
    }

    fn call(&mut self, node: usize, tenure: TenureId, id: CallId, call: &Call) {
        let Some(consumer) = self.nodes[node].consumers.get_mut(&tenure) else {
            return;
        };
        consumer.running.insert(id, call.clone());
        if let Call::Process { batch, .. } = call {
            self.oracle.delivered(&mut consumer.log, batch, &self.table.rows);
            if self.mutant == Some(Mutant::ProgressOnDelivery)
                && let Some(end) = batch.end_position()
            {
                self.report(node, tenure, ShardReport::Progress(end));
            }
        }
        self.called_by_rules(node, tenure, call);
        match call {
            Call::Discard(discard) => return self.post(node, tenure, id, discard),
            Call::Initialize { .. } => self.look_first(node, tenure),
            _ => {}
        }
        let takes = self.call_takes(call);
        self.at(takes, Event::CallEnds { node, tenure, id });
    }
}
