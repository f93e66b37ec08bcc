//! What the machines of a simulated worker want done.

use super::*;

impl Fleet {
    /// Performs what the worker wants until it wants nothing more.
    pub(super) fn settle(&mut self, life: u64) {
        while let Some(effect) = self.nodes.get_mut(&life).and_then(|node| node.machine.poll_effect()) {
            match effect {
                WorkerEffect::StartShard { tenure, lease, start } => {
                    let shard = self.world.shard_of(&lease.key);
                    let expected = (start != Position::Latest).then(|| self.world.covered(shard, &start));
                    let seed = self.world.rng.u64(..);
                    let machine = ShardMachine::new(self.shard_config, start, self.world.wall(), 1 << 20, seed);
                    let (call, cursor) = (None, 0);
                    let consumer = Consumer {
                        machine,
                        shard,
                        cursor,
                        calls: CallId(0),
                        handled: 0,
                        call,
                        expected,
                        reported: 0,
                    };
                    self.nodes.get_mut(&life).unwrap().consumers.insert(tenure, consumer);
                    self.perform_shard(life, tenure);
                }
                WorkerEffect::ShardStored { tenure, position } => {
                    self.tell(life, tenure, ShardInput::Stored(position));
                }
                // Nothing here prepares checkpoints.
                WorkerEffect::ShardPrepared { .. } => {}
                WorkerEffect::PauseShard { tenure, paused } => self.tell(life, tenure, ShardInput::Pause(paused)),
                WorkerEffect::StopShard { tenure, reason } => self.tell(life, tenure, ShardInput::Stop(reason)),
                WorkerEffect::Event(event) => self.check_event(life, &event),
                WorkerEffect::Exit(_) => {
                    self.nodes.remove(&life);
                }
                request => {
                    let delay = self.latency();
                    self.schedule(delay, life, Event::Lands { request, lost: false });
                }
            }
        }
    }

    fn tell(&mut self, life: u64, tenure: TenureId, input: ShardInput) {
        let Some(node) = self.nodes.get_mut(&life) else { return };
        let now = tick(self.world.now + node.skew);
        if let Some(consumer) = node.consumers.get_mut(&tenure) {
            consumer.machine.handle(now, input);
            self.perform_shard(life, tenure);
        }
    }

    /// Performs what a consumer wants, and says how much that was.
    pub(super) fn perform_shard(&mut self, life: u64, tenure: TenureId) -> usize {
        let mut performed = 0;
        while let Some(node) = self.nodes.get_mut(&life)
            && let Some(consumer) = node.consumers.get_mut(&tenure)
            && let Some(effect) = consumer.machine.poll_effect()
        {
            performed += 1;
            match effect {
                ShardEffect::Open(position) => self.open(life, tenure, &position),
                ShardEffect::Subscribe(_) | ShardEffect::Close | ShardEffect::Reconnect => {
                    unreachable!("this fleet polls, nothing rests, and every read is answered soon")
                }
                ShardEffect::Fetch { max_records } => self.fetch(life, tenure, max_records),
                ShardEffect::Call { id, call } => self.call(life, tenure, id, call),
                ShardEffect::CancelCalls => {
                    let calls = consumer.calls;
                    let delay = self.world.rng.u64(0..800);
                    self.schedule(delay, life, Event::CallEnds(tenure, calls, Outcome::Cancelled));
                }
                ShardEffect::Progress(position) => self.report(life, tenure, ShardReport::Progress(position)),
                ShardEffect::ProgressWith { .. } => unreachable!("this fleet has no windows"),
                ShardEffect::Checkpoint(position) => self.report(life, tenure, ShardReport::Checkpoint(position)),
                ShardEffect::Prepare(pending) => self.report(life, tenure, ShardReport::Prepare(pending)),
                ShardEffect::Missing => self.report(life, tenure, ShardReport::Missing),
                ShardEffect::Rejected(message) => self.report(life, tenure, ShardReport::Rejected(message)),
                ShardEffect::Finished(finish) => {
                    self.drained(life, tenure, &finish);
                    self.report(life, tenure, ShardReport::Finished(finish));
                    self.nodes.get_mut(&life).unwrap().consumers.remove(&tenure);
                }
                ShardEffect::Event(_) => {}
            }
        }
        performed
    }

    fn report(&mut self, life: u64, tenure: TenureId, report: ShardReport) {
        let at = self.world.now + self.world.rng.u64(0..5);
        let consumer = self.nodes.get_mut(&life).unwrap().consumers.get_mut(&tenure).unwrap();
        consumer.reported = consumer.reported.max(at);
        let delay = consumer.reported - self.world.now;
        self.schedule(delay, life, Event::Worker(WorkerInput::Shard { tenure, report }));
    }

    fn open(&mut self, life: u64, tenure: TenureId, position: &Position) {
        let consumer = self.nodes.get_mut(&life).unwrap().consumers.get_mut(&tenure).unwrap();
        consumer.cursor = self.world.open(consumer.shard, position);
        if *position == Position::Latest {
            consumer.expected = None;
        }
        let result = self.read_trouble().map_or(Ok(()), Err);
        let delay = self.latency();
        self.schedule(delay, life, Event::Shard(tenure, ShardInput::Opened(result)));
    }

    fn fetch(&mut self, life: u64, tenure: TenureId, max_records: u32) {
        let consumer = self.nodes.get_mut(&life).unwrap().consumers.get_mut(&tenure).unwrap();
        let (cursor, fetch) = self.world.fetch(consumer.shard, consumer.cursor, max_records);
        consumer.cursor = cursor;
        let mut result = self.read_trouble().map_or(Ok(fetch), Err);
        if let Err(failure) = &mut result {
            // The answer was lost after the reader had moved on: only its being opened again helps.
            failure.kind = FetchFailureKind::Expired;
        }
        let delay = self.latency();
        self.schedule(delay, life, Event::Shard(tenure, ShardInput::Fetched(result)));
    }

    fn read_trouble(&mut self) -> Option<FetchFailure> {
        let failure = FetchFailure {
            kind: FetchFailureKind::Unavailable,
            message: "trouble".to_owned(),
        };
        self.one_in(20).then_some(failure)
    }

    fn call(&mut self, life: u64, tenure: TenureId, id: CallId, call: Call) {
        self.check_call(life, tenure, &call);
        let outcome = match &call {
            _ if self.one_in(12) => Outcome::Failure("no".to_owned()),
            Call::Process { batch, .. } if self.one_in(12) => {
                Outcome::SuccessBefore(self.world.rng.usize(0..=batch.len()))
            }
            _ => Outcome::Success,
        };
        let slow = self.one_in(50);
        let delay = if slow {
            self.world.rng.u64(1_000..7_000)
        } else {
            self.world.rng.u64(1..60)
        };
        let consumer = self.nodes.get_mut(&life).unwrap().consumers.get_mut(&tenure).unwrap();
        consumer.calls = id;
        consumer.call = Some(call);
        self.schedule(delay, life, Event::CallEnds(tenure, id, outcome));
    }

    /// The user's code returns: what it handled is noted before the machine hears of it.
    pub(super) fn call_ends(&mut self, life: u64, tenure: TenureId, call: CallId, outcome: Outcome) {
        let manual = self.shard_config.checkpoint == CheckpointPolicy::Manual;
        let node = self.nodes.get_mut(&life).unwrap();
        let now = tick(self.world.now + node.skew);
        let Some(consumer) = node
            .consumers
            .get_mut(&tenure)
            .filter(|consumer| consumer.calls == call)
        else {
            return;
        };
        let Some(ended) = consumer.call.take() else { return };
        if let Call::Process { batch, .. } = &ended {
            let count = match &outcome {
                Outcome::Success => batch.len(),
                Outcome::SuccessBefore(index) => *index,
                _ => 0,
            };
            let from = consumer.expected.unwrap();
            self.world.handled(consumer.shard, from, from + count);
            consumer.expected = Some(from + count);
            if count > 0 {
                consumer.handled = from + count;
            }
            if let Some(position) = batch.split_at(count).0.end_position().filter(|_| manual) {
                // Refused if the lease was lost meanwhile.
                let _ = consumer.machine.request_checkpoint(&position);
            }
        }
        consumer.machine.handle(now, ShardInput::Called(call, outcome));
        self.perform_shard(life, tenure);
    }
}
