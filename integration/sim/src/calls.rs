//! The user's code of the world, and the requests to the lease table.

use std::time::Duration;

use kcl_core::{
    WorkerId, WriteOutcome,
    shard::{Call, CallId, CheckpointRequest, Outcome, ShardInput},
    worker::{OpId, StoreFailure, TenureId, WorkerInput},
};

use crate::{
    event::Event,
    mutant::Mutant,
    node::{Ask, Asked, State},
    peers,
    scenario::{FaultKind, Initial},
    servers::{TableAnswer, TableRequest},
    world::World,
};

impl World<'_> {
    pub(super) fn call_takes(&mut self, call: &Call) -> Duration {
        let handler = self.scenario.handler;
        if self.quiet || !matches!(call, Call::Process { .. }) {
            return Duration::from_millis(self.rng.u64(1..=20));
        }
        if self.rng.f64() < handler.slow {
            return self.scenario.failover_time.mul_f64(self.rng.f64() * 3.0);
        }
        handler.usual.mul_f64(self.rng.f64()) + Duration::from_millis(1)
    }

    pub(super) fn call_ends(&mut self, node: usize, tenure: TenureId, id: CallId) {
        let draw = if self.quiet { 1.0 } else { self.rng.f64() };
        let cut = self.rng.f64();
        let handler = self.scenario.handler;
        let Some(consumer) = self.nodes[node].consumers.get_mut(&tenure) else {
            return;
        };
        let Some(call) = consumer.running.remove(&id) else {
            return;
        };
        let fails = draw < handler.fails && !matches!(call, Call::LeaseLost);
        let partly = !fails && draw < handler.fails + handler.partly;
        let Some(call) = self.call_ends_by_rules(node, tenure, (id, call), (fails, partly, cut)) else {
            return;
        };
        let Some(consumer) = self.nodes[node].consumers.get_mut(&tenure) else {
            return;
        };
        let batch = match &call {
            Call::Process { batch, .. } => Some(batch),
            _ => None,
        };
        let outcome = match batch {
            _ if fails && self.mutant == Some(Mutant::SkipFailed) => Outcome::Success,
            _ if fails => Outcome::Failure("drawn".to_owned()),
            Some(batch) if partly => {
                #[expect(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a part of a small batch"
                )]
                let count = (batch.len() as f64 * cut) as usize;
                self.oracle.handled(&mut consumer.log, batch, count);
                Outcome::SuccessBefore(count)
            }
            Some(batch) => {
                self.oracle.handled(&mut consumer.log, batch, batch.len());
                Outcome::Success
            }
            None => Outcome::Success,
        };
        let asks = match call {
            Call::Process { .. } => self.scenario.manual && cut < 0.5,
            Call::ShutdownRequested => self.scenario.manual,
            _ => false,
        };
        if asks && let Some(handled) = consumer.log.handled_to.clone() {
            // A refusal is the application's to see; here it only means that there is nothing to wait for.
            let answer = consumer.machine.request_checkpoint(&handled);
            let waits = matches!(call, Call::ShutdownRequested) && answer == Ok(CheckpointRequest::Requested);
            if waits && consumer.waits < 10_000 {
                consumer.waits += 1;
                consumer.running.insert(id, call);
                self.drain_shard(node, tenure);
                self.at(Duration::from_millis(100), Event::CallEnds { node, tenure, id });
                return;
            }
        }
        self.tell_shard(node, tenure, ShardInput::Called(id, outcome));
    }

    /// Sends a request to the table. What becomes of it is decided by the trouble of the moment.
    pub(super) fn ask(&mut self, node: usize, op: Option<OpId>, mut request: TableRequest) {
        let number = self.rng.u64(..);
        let writes = request.writes();
        let kind = Ask::of(&request);
        self.nodes[node].asked.insert(number, Asked { op, kind });
        let timeout = self.scenario.failover_time / 3;
        // Planted bugs are ours, not those of peers.
        let mutant = self.mutant.filter(|_| self.nodes[node].mind.peer().is_none());
        if let (TableRequest::Update(write), Some(mutant)) = (&mut request, mutant) {
            mutant.expect(&mut write.expect);
            let last = write.patch.owner == Some(None)
                || (write.patch.owner.is_none() && write.patch.checkpoint_owner == Some(None));
            mutant.commit(&mut write.patch.checkpoint, last, number.is_multiple_of(4));
        }
        let slot = self.nodes[node].slot;
        let cut_off = self
            .active
            .values()
            .any(|fault| matches!(fault, FaultKind::Partition { worker, table: true, .. } if *worker == slot));
        if cut_off {
            return self.at(timeout, Event::TimedOut { node, number });
        }
        let outage = self.has(|fault| matches!(fault, FaultKind::TableOutage { .. }));
        let throttled = self.has(|fault| matches!(fault, FaultKind::TableThrottle { .. })) && self.rng.bool();
        let mut there = self.table_delay();
        if outage || throttled {
            return self.at(there, Event::Refused { node, number });
        }
        let mut back = self.table_delay();
        if self.has(|fault| matches!(fault, FaultKind::TableSlow { .. })) {
            there += timeout.mul_f64(self.rng.f64());
            back += timeout.mul_f64(self.rng.f64());
        }
        let lost = writes && self.has(|fault| matches!(fault, FaultKind::LostAnswers { .. })) && self.rng.bool();
        let in_time = there + back < timeout && !lost;
        if !in_time {
            self.at(timeout, Event::TimedOut { node, number });
        }
        self.at(
            there,
            Event::AtTable {
                node,
                number,
                request,
                answer_in: in_time.then_some(back),
            },
        );
    }

    pub(super) fn has(&self, fault: impl Fn(&FaultKind) -> bool) -> bool {
        self.active.values().any(fault)
    }

    fn table_delay(&mut self) -> Duration {
        Duration::from_micros(self.rng.u64(500..=15_000))
    }

    /// A request reaches the table, whether its sender still lives or not.
    pub(super) fn at_table(&mut self, node: usize, number: u64, request: &TableRequest, answer_in: Option<Duration>) {
        let key = match request {
            TableRequest::Update(write) => Some(write.key.clone()),
            TableRequest::Delete(key, _) => Some(key.clone()),
            _ => None,
        };
        let before = key.and_then(|key| self.table.rows.get(&key).cloned());
        let is_peer = self.nodes[node].mind.peer().is_some();
        let requests = self.table.requests;
        let mut answer = self.table.call(request);
        if is_peer {
            // How often Java asks is not ours to judge.
            self.table.requests = requests;
        }
        if let (TableAnswer::Outcome(WriteOutcome::Applied(after)), Some(before)) = (&answer, &before) {
            let after = after.clone();
            self.table.note_hand_off(self.now, before, &after);
            self.judge_write(node, request, before, &after);
            if matches!(request, TableRequest::Delete(..)) {
                self.oracle.deleted(before);
            }
        }
        if let (TableAnswer::Outcome(WriteOutcome::Applied(lease)), TableRequest::Create(_)) = (&answer, request) {
            self.oracle
                .leased(&lease.shard, self.scenario.initial == Initial::Latest);
        }
        if let Some(delay) = answer_in {
            if !is_peer {
                self.falsify(node, request, &mut answer);
            }
            self.at(delay, Event::Answer { node, number, answer });
        }
    }

    fn judge_write(&mut self, node: usize, request: &TableRequest, before: &kcl_core::Lease, after: &kcl_core::Lease) {
        let TableRequest::Update(write) = request else { return };
        let process = &self.nodes[node];
        let marks = [after.counter, after.owner_switches_since_checkpoint, process.session.0];
        self.trace.note(self.now, after.shard.as_str(), &marks, || {
            let (owner, giver, session) = (&after.owner, &after.checkpoint_owner, process.session);
            let (id, counter, checkpoint) = (&process.id, after.counter, &after.checkpoint);
            format!(
                "{id} ({session}) wrote: owner {owner:?}, giver {giver:?}, counter {counter}, checkpoint {checkpoint}"
            )
        });
        self.oracle.written(Some(before), after);
        self.count_move(before, after);
        if self.nodes[node].mind.peer().is_some() {
            // A zombie of Java's may write whatever its counter still lets it write.
            return;
        }
        let process = &self.nodes[node];
        let keeps = write.patch.increment_counter && !matches!(write.patch.owner, Some(Some(_)));
        let holds =
            before.holder() == Some(&process.id) && before.session.is_none_or(|session| session <= process.session);
        self.oracle.checks += 1;
        if keeps && !holds {
            let what = format!(
                "{}: {} wrote to a lease of {:?}",
                after.key,
                process.id,
                before.holder()
            );
            self.oracle.broken("fenced", what);
        }
        let passed_on = keeps && after.holder() != Some(&process.id) && !after.is_finished();
        if passed_on
            && let Some(log) = self.nodes[node].drained.remove(&after.shard)
            && !self.scenario.manual
        {
            self.oracle.handed_over(&log, &after.checkpoint);
        }
    }

    /// What a planted bug makes of an answer.
    fn falsify(&mut self, node: usize, request: &TableRequest, answer: &mut TableAnswer) {
        let Some(mutant) = self.mutant else { return };
        let session = self.nodes[node].session;
        let moment = u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX);
        match answer {
            TableAnswer::Listing(listing) => {
                let nodes = &self.nodes;
                let lives = |id: &WorkerId| nodes.iter().any(|node| node.id == *id && node.state != State::Gone);
                mutant.listing(listing, moment, lives);
                for lease in &mut listing.leases {
                    if let Some(kept) = self.nodes[node].kept.get(&lease.key).filter(|_| !lease.is_finished()) {
                        *lease = std::sync::Arc::new(kept.clone());
                    }
                }
            }
            TableAnswer::Row(Some(row))
            | TableAnswer::Outcome(WriteOutcome::Applied(row) | WriteOutcome::Conflict(Some(row)))
                if mutant == Mutant::IgnoreParents =>
            {
                row.parents.clear();
            }
            TableAnswer::Outcome(outcome) => {
                if let TableRequest::Update(write) = request
                    && let Some(row) = mutant.outcome(write, session, outcome)
                {
                    self.nodes[node].kept.insert(row.key.clone(), row.clone());
                    *outcome = WriteOutcome::Applied(row);
                }
            }
            _ => {}
        }
    }

    /// Counts how leases go between workers and peers.
    fn count_move(&mut self, before: &kcl_core::Lease, after: &kcl_core::Lease) {
        if self.peer_ids.is_empty() || before.holder() == after.holder() {
            return;
        }
        let (Some(from), Some(to)) = (before.holder(), after.holder()) else {
            return;
        };
        let given = before.is_in_hand_off() && before.owner.as_ref() == Some(to);
        let way = match (self.peer_ids.contains(from), self.peer_ids.contains(to), given) {
            (true, false, true) => "given by a peer to a worker",
            (true, false, false) => "taken by a worker from a peer",
            (false, true, true) => "given by a worker to a peer",
            (false, true, false) => "taken by a peer from a worker",
            (true, true, true) => "given by a peer to a peer",
            (true, true, false) => "taken by a peer from a peer",
            (false, false, _) => return,
        };
        *self.met.entry(way).or_insert(0) += 1;
        let lives = |id: &WorkerId| {
            self.nodes
                .iter()
                .any(|node| node.id == *id && node.state == State::Running)
        };
        let settled = self.now + crate::world::COUNTED * 2 > self.scenario.length();
        if settled && way == "taken by a worker from a peer" && !after.is_finished() && lives(from) {
            *self.met.entry("taken by a worker, long after trouble").or_insert(0) += 1;
        }
    }

    pub(super) fn answered(&mut self, node: usize, number: u64, answer: TableAnswer) {
        let Some(asked) = self.nodes[node].asked.remove(&number) else {
            return;
        };
        if let (Some(OpId(op)), true) = (asked.op, self.nodes[node].mind.peer().is_some()) {
            let answer = Some(answer);
            return self.tell_peer(node, peers::Input::Table { op, answer });
        }
        let input = match (answer, asked) {
            (TableAnswer::Listing(listing), _) => WorkerInput::Leases(Ok(listing)),
            (TableAnswer::Coordination(coordination), _) => WorkerInput::Coordination(Ok(coordination)),
            (
                TableAnswer::Done(_),
                Asked {
                    kind: Ask::Withdraw, ..
                },
            ) => WorkerInput::Withdrawn,
            (TableAnswer::Done(_), _) => WorkerInput::Published(Ok(())),
            (TableAnswer::Row(row), Asked { op: Some(op), .. }) => WorkerInput::Read { op, result: Ok(row) },
            (TableAnswer::Outcome(outcome), Asked { op: Some(op), .. }) => WorkerInput::Written {
                op,
                result: Ok(outcome),
            },
            (_, Asked { op: None, .. }) => unreachable!("what concerns one lease has an operation"),
        };
        self.tell_worker(node, input);
    }

    /// A request came to nothing: refused, or, as far as its sender knows, perhaps carried out.
    pub(super) fn unanswered(&mut self, node: usize, number: u64, timed_out: bool) {
        let Some(asked) = self.nodes[node].asked.remove(&number) else {
            return;
        };
        if let (Some(OpId(op)), true) = (asked.op, self.nodes[node].mind.peer().is_some()) {
            return self.tell_peer(node, peers::Input::Table { op, answer: None });
        }
        let writes = matches!(asked.kind, Ask::Write | Ask::Publish | Ask::Withdraw);
        let failure = if timed_out && writes {
            StoreFailure::Ambiguous("no answer".to_owned())
        } else {
            StoreFailure::Retry("refused".to_owned())
        };
        let input = match (asked.kind, asked.op) {
            (Ask::List, _) => WorkerInput::Leases(Err(failure)),
            (Ask::Coordinate, _) => WorkerInput::Coordination(Err(failure)),
            (Ask::Publish, _) => WorkerInput::Published(Err(failure)),
            (Ask::Withdraw, _) => WorkerInput::Withdrawn,
            (Ask::Write, Some(op)) => WorkerInput::Written {
                op,
                result: Err(failure),
            },
            (Ask::Read, Some(op)) => WorkerInput::Read {
                op,
                result: Err(failure),
            },
            (Ask::Write | Ask::Read, None) => unreachable!("what concerns one lease has an operation"),
        };
        self.tell_worker(node, input);
    }
}
