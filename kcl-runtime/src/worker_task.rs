//! The driver of the worker's machine: it performs effects, supervises one task per shard, and holds no policy.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kcl_core::{
    ApplicationName, Lease, LeaseStore, Position, ShardFilter, StoreError, StoreOperation, StreamId, Tick,
    WriteOutcome, coordination,
    delivery::{DeliverySettings, Exhausted},
    fetch::{self, FetchFailure, RetrievalMode},
    shard::{Finish, ShardConfig, ShardMachine, ShardStatus, StopReason},
    worker::{
        Exit, PauseScope, ShardReport, StoreFailure, TenureId, WorkerEffect, WorkerEvent, WorkerInput, WorkerMachine,
    },
};
use tokio::{
    sync::{Mutex, mpsc, watch},
    task::JoinSet,
};

use crate::{
    clock::Clock,
    cpu::CpuMeter,
    dead_letter::{DeadLetters, ShardLetters},
    fallbacks::Fallbacks,
    handle::{Command, Report, ShardReportStatus, iterator_age},
    kcl_metrics::{Recorder, StoreCall},
    metrics::{ShardMetrics, WorkerMetrics},
    places::{Held, ShardSelector},
    processor::{DynFactory, ShardContext},
    shard_calls::CANCEL_GRACE,
    shard_task::{Control, ShardTask},
    streams::{EntryId, Reading, StreamConfig, StreamSelector, Streams},
    worker_log,
};

/// The most reports of consumers that wait for the worker.
const REPORT_QUEUE: usize = 1_024;

/// How often the gauges are brought up to date though nothing happened.
const GAUGE_INTERVAL: Duration = Duration::from_secs(1);

/// How often KCL's metrics tell how large the fleet is, which takes a look at all leases.
const FLEET_INTERVAL: Duration = Duration::from_secs(10);

type Answer = BoxFuture<'static, WorkerInput>;
type Look = BoxFuture<'static, (EntryId, Result<StreamId, FetchFailure>)>;

/// A consumer, as its worker sees it.
struct Consumer {
    control: watch::Sender<Control>,
    share: watch::Sender<u64>,
    retrieval: watch::Sender<RetrievalMode>,
    /// As of when it was told.
    status: watch::Receiver<(Tick, ShardStatus)>,
    context: ShardContext,
    metrics: ShardMetrics,
}

/// What a worker is made of.
pub(crate) struct Parts {
    pub(crate) application: ApplicationName,
    pub(crate) machine: WorkerMachine,
    pub(crate) shard_config: ShardConfig,
    /// The rules by which batches are delivered, where there are any.
    pub(crate) delivery: Option<DeliverySettings>,
    pub(crate) dead_letters: Option<Arc<dyn DeadLetters>>,
    pub(crate) streams: Streams,
    pub(crate) store: Arc<dyn LeaseStore>,
    pub(crate) factory: DynFactory,
    pub(crate) clock: Clock,
    pub(crate) memory_budget: u64,
    pub(crate) seed: u64,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) changes: Arc<watch::Sender<u64>>,
    pub(crate) kcl_metrics: Recorder,
}

pub(crate) struct WorkerTask {
    parts: Parts,
    metrics: WorkerMetrics,
    /// By stream.
    fallbacks: BTreeMap<String, Fallbacks>,
    cpu: Arc<Mutex<CpuMeter>>,
    consumers: BTreeMap<TenureId, Consumer>,
    tasks: JoinSet<()>,
    task_ids: BTreeMap<tokio::task::Id, TenureId>,
    answers: FuturesUnordered<Answer>,
    /// Questions to the service which streams the configured ones are.
    looks: FuturesUnordered<Look>,
    report_sender: mpsc::Sender<(TenureId, ShardReport)>,
    reports: mpsc::Receiver<(TenureId, ShardReport)>,
    store_timeout: Duration,
    /// When KCL's metrics are to tell next how large the fleet is.
    fleet_at: Tick,
}

impl WorkerTask {
    pub(crate) fn new(parts: Parts) -> Self {
        let (report_sender, reports) = mpsc::channel(REPORT_QUEUE);
        let config = parts.machine.config();
        let metrics = WorkerMetrics::new(
            parts.application.as_str(),
            // With several streams it is no label of the worker's: an empty one counts as none.
            config.stream.as_ref().map_or("", |stream| stream.as_str()),
            config.worker.as_str(),
        )
        .with_kcl(parts.kcl_metrics.clone());
        // A request that takes longer than this would leave no time for another before the lease lapses.
        let store_timeout = config.renew_interval();
        Self {
            metrics,
            fallbacks: BTreeMap::new(),
            cpu: Arc::new(Mutex::new(CpuMeter::of_this_process(parts.clock.now()))),
            consumers: BTreeMap::new(),
            tasks: JoinSet::new(),
            task_ids: BTreeMap::new(),
            answers: FuturesUnordered::new(),
            looks: FuturesUnordered::new(),
            report_sender,
            reports,
            store_timeout,
            fleet_at: Tick::ZERO,
            parts,
        }
    }

    /// Runs until the machine is done and every consumer has ended.
    pub(crate) async fn run(mut self) -> Exit {
        let mut gauges_at = self.parts.clock.now();
        self.set_streams();
        let exit = loop {
            if let Some(exit) = self.perform() {
                break exit;
            }
            self.look_for_streams();
            let deadline = self.parts.machine.next_deadline();
            tokio::select! {
                biased;
                Some(command) = self.parts.commands.recv() => self.command(command),
                Some(input) = self.answers.next() => self.handle(input),
                Some((entry, result)) = self.looks.next() => {
                    let now = self.parts.clock.now();
                    if self.parts.streams.looked(now, entry, result) {
                        self.set_streams();
                    }
                    self.changed();
                }
                Some((tenure, report)) = self.reports.recv() => self.reported(tenure, report),
                Some(ended) = self.tasks.join_next_with_id() => self.task_ended(ended),
                () = self.parts.clock.sleep_until(deadline) => self.handle(WorkerInput::Wake),
                () = self.parts.clock.sleep_until(self.parts.streams.next_look()) => {}
                () = self.parts.clock.sleep_until(Some(gauges_at)) => {
                    gauges_at = self.parts.clock.now() + GAUGE_INTERVAL;
                    self.measure();
                }
            }
        };
        self.end_tasks().await;
        self.measure();
        self.metrics.leases_held.set(0.0);
        self.parts.commands.close();
        self.changed();
        exit
    }

    fn handle(&mut self, input: WorkerInput) {
        let now = self.parts.clock.now();
        self.parts.machine.handle(now, input);
        self.changed();
    }

    /// Tells the machine which streams there are.
    fn set_streams(&mut self) {
        if self.parts.machine.config().streams.is_some() {
            self.handle(WorkerInput::Streams(self.parts.streams.found()));
        }
    }

    fn look_for_streams(&mut self) {
        for (entry, source) in self.parts.streams.due(self.parts.clock.now()) {
            self.looks.push(async move { (entry, source.identify().await) }.boxed());
        }
    }

    fn changed(&self) {
        self.parts
            .changes
            .send_modify(|generation| *generation = generation.wrapping_add(1));
    }

    fn reported(&mut self, tenure: TenureId, report: ShardReport) {
        if matches!(report, ShardReport::Finished(_)) {
            self.consumers.remove(&tenure);
        }
        self.handle(WorkerInput::Shard { tenure, report });
    }

    /// Performs all effects; gives the end if the machine is done.
    fn perform(&mut self) -> Option<Exit> {
        while let Some(effect) = self.parts.machine.poll_effect() {
            match effect {
                WorkerEffect::ListLeases => self.list_leases(),
                WorkerEffect::ListShards { stream, filter } => self.list_shards(stream, filter),
                WorkerEffect::Create { op, lease } => {
                    let store = Arc::clone(&self.parts.store);
                    let write = async move { store.create(&lease).await };
                    self.write(StoreOperation::Create, StoreCall::Create, write, move |result| {
                        WorkerInput::Written { op, result }
                    });
                }
                WorkerEffect::Update { op, write } => {
                    let call = StoreCall::updating(&write, &self.parts.machine.config().worker);
                    let store = Arc::clone(&self.parts.store);
                    let write = async move { store.update(&write).await };
                    self.write(StoreOperation::Update, call, write, move |result| {
                        WorkerInput::Written { op, result }
                    });
                }
                WorkerEffect::Delete { op, key, expect } => {
                    let store = Arc::clone(&self.parts.store);
                    let write = async move { store.delete(&key, &expect).await };
                    self.write(StoreOperation::Delete, StoreCall::Other, write, move |result| {
                        WorkerInput::Written { op, result }
                    });
                }
                WorkerEffect::Get { op, key } => {
                    let store = Arc::clone(&self.parts.store);
                    let read = async move { store.get(&key).await };
                    self.read(StoreOperation::Get, read, move |result| WorkerInput::Read {
                        op,
                        result,
                    });
                }
                WorkerEffect::Coordinate => {
                    let store = Arc::clone(&self.parts.store);
                    let read = async move { store.coordination().await };
                    self.read(StoreOperation::Coordinate, read, WorkerInput::Coordination);
                }
                WorkerEffect::Publish { cpu } => self.publish(cpu),
                WorkerEffect::Withdraw => {
                    let store = Arc::clone(&self.parts.store);
                    let worker = self.parts.machine.config().worker.clone();
                    let withdraw = async move { store.withdraw(&worker).await };
                    self.read(StoreOperation::Publish, withdraw, |_| WorkerInput::Withdrawn);
                }
                WorkerEffect::StartShard { tenure, lease, start } => self.start(tenure, lease, start),
                WorkerEffect::ShardStored { tenure, position } => {
                    self.control(tenure, |control| control.stored = Some(position));
                }
                WorkerEffect::ShardPrepared { tenure, pending } => {
                    self.control(tenure, |control| control.prepared = Some(pending));
                }
                WorkerEffect::PauseShard { tenure, paused } => {
                    self.control(tenure, |control| control.paused = paused);
                }
                WorkerEffect::StopShard { tenure, reason } => {
                    self.control(tenure, |control| control.stop = Some(reason));
                }
                WorkerEffect::Event(event) => {
                    worker_log::event(&self.metrics, &event);
                    if let WorkerEvent::StreamLost { stream, failure } = &event {
                        self.parts.streams.lost(self.parts.clock.now(), stream, failure);
                    }
                }
                WorkerEffect::Exit(exit) => return Some(exit),
            }
        }
        None
    }

    /// Puts how busy this worker is where Java's workers look for it.
    fn publish(&mut self, cpu: bool) {
        let worker = self.parts.machine.config().worker.clone();
        let (store, meter, clock) = (Arc::clone(&self.parts.store), Arc::clone(&self.cpu), self.parts.clock);
        let publish = async move {
            let mut percentages = meter.lock().await.measure(clock.now()).await;
            percentages.retain(|_| cpu);
            let metrics = coordination::WorkerMetrics::of_cpu(worker, clock.wall(), percentages);
            store.publish(&metrics).await
        };
        self.read(StoreOperation::Publish, publish, WorkerInput::Published);
    }

    fn control(&self, tenure: TenureId, change: impl FnOnce(&mut Control)) {
        if let Some(consumer) = self.consumers.get(&tenure) {
            consumer.control.send_modify(change);
        }
    }

    fn list_leases(&mut self) {
        let store = Arc::clone(&self.parts.store);
        let read = async move { store.list().await };
        self.read(StoreOperation::List, read, WorkerInput::Leases);
    }

    fn list_shards(&mut self, stream: Option<StreamId>, filter: ShardFilter) {
        // A stream that was removed a moment ago: the machine does not wait for its shards.
        let Some(source) = self.parts.streams.source(stream.as_ref()) else {
            return;
        };
        let (clock, metrics) = (self.parts.clock, self.metrics.kcl.clone());
        let answer = async move {
            let asked = clock.now();
            let result = source.list_shards(filter).await;
            metrics.shards_listed(stream.as_ref(), result.is_ok(), clock.now().since(asked));
            WorkerInput::Shards { stream, result }
        };
        self.answers.push(answer.boxed());
    }

    /// Asks the table; a read that gives no answer in time can be repeated.
    fn read<T: Send + 'static>(
        &self,
        operation: StoreOperation,
        read: impl Future<Output = Result<T, StoreError>> + Send + 'static,
        input: impl FnOnce(Result<T, StoreFailure>) -> WorkerInput + Send + 'static,
    ) {
        let (timeout, metrics, clock) = (self.store_timeout, self.metrics.clone(), self.parts.clock);
        let answer = async move {
            let asked = clock.now();
            let result = match tokio::time::timeout(timeout, read).await {
                Ok(result) => result.map_err(|error| StoreFailure::from(&error)),
                Err(_) => Err(StoreFailure::Retry(no_answer(operation, timeout))),
            };
            metrics.store_operation(operation.as_str(), if result.is_ok() { "applied" } else { "error" });
            let call = StoreCall::reading(operation);
            metrics.kcl.store(call, result.is_ok(), clock.now().since(asked));
            input(result)
        };
        self.answers.push(answer.boxed());
    }

    /// Asks the table to write; without an answer in time nobody knows what happened.
    fn write(
        &self,
        operation: StoreOperation,
        call: StoreCall,
        write: impl Future<Output = Result<WriteOutcome, StoreError>> + Send + 'static,
        input: impl FnOnce(Result<WriteOutcome, StoreFailure>) -> WorkerInput + Send + 'static,
    ) {
        let (timeout, metrics, clock) = (self.store_timeout, self.metrics.clone(), self.parts.clock);
        let answer = async move {
            let asked = clock.now();
            let result = match tokio::time::timeout(timeout, write).await {
                Ok(result) => result.map_err(|error| StoreFailure::from(&error)),
                Err(_) => Err(StoreFailure::Ambiguous(no_answer(operation, timeout))),
            };
            let outcome = match &result {
                Ok(WriteOutcome::Applied(_)) => "applied",
                Ok(WriteOutcome::Conflict(_)) => "conflict",
                Err(_) => "error",
            };
            metrics.store_operation(operation.as_str(), outcome);
            metrics.kcl.store(call, outcome == "applied", clock.now().since(asked));
            input(result)
        };
        self.answers.push(answer.boxed());
    }

    fn start(&mut self, tenure: TenureId, lease: Lease, start: Position) {
        let clock = self.parts.clock;
        let stream_id = lease.stream_id().cloned();
        let Some(Reading { source, mode, consumer }) = self.parts.streams.reading(stream_id.as_ref()) else {
            // Its stream was removed a moment ago.
            return self.reported(tenure, ShardReport::Finished(Finish::Drained));
        };
        let label = stream_id
            .as_ref()
            .map_or_else(|| source.stream().to_string(), ToString::to_string);
        let context = ShardContext {
            application: self.parts.application.clone(),
            stream: source.stream().clone(),
            stream_id: stream_id.clone(),
            shard: lease.shard.clone(),
            checkpoint: lease.checkpoint,
            pending_checkpoint: lease.pending_checkpoint,
        };
        let seed = self
            .parts
            .seed
            .wrapping_add(tenure.0.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        // No more than its own before it is one of those among which the budget is divided.
        let own = fetch::own_share(self.parts.memory_budget, self.consumers.len() + 1);
        let config = ShardConfig {
            retrieval: mode,
            ..self.parts.shard_config
        };
        let machine =
            ShardMachine::new(config, start, clock.wall(), own, seed).with_hash_key_range(lease.hash_key_range);
        let machine = match &self.parts.delivery {
            Some(settings) => machine
                .with_delivery(settings.clone(), clock.now())
                .with_window_state(context.pending_checkpoint.as_ref()),
            None => machine,
        };
        // A channel for each: one for all would wake them in an order that no seed decides.
        let (share, share_receiver) = watch::channel(own);
        let (retrieval, retrieval_receiver) = watch::channel(mode);
        let (control, control_receiver) = watch::channel(Control::default());
        let (status, status_receiver) = watch::channel((clock.now(), machine.status(clock.now())));
        let kcl = self.parts.kcl_metrics.of_shard(stream_id.as_ref(), &context.shard);
        let metrics = ShardMetrics::new(self.parts.application.as_str(), &label, context.shard.as_str())
            .with_kcl(kcl)
            .with_fallback(
                self.fallbacks
                    .entry(label.to_string())
                    .or_default()
                    .of_shard(context.shard.as_str()),
            );
        let task = ShardTask {
            tenure,
            shard: lease.shard,
            stream_id: stream_id.map(Arc::new),
            machine,
            source,
            subscriber: consumer,
            factory: Arc::clone(&self.parts.factory),
            calls: self.parts.shard_config.lanes.calls(),
            context: context.clone(),
            letters: self.parts.dead_letters.as_ref().map(|letters| ShardLetters {
                application: self.parts.application.clone(),
                letters: Arc::clone(letters),
            }),
            quarantines: self
                .parts
                .delivery
                .as_ref()
                .is_some_and(|settings| settings.policy.exhausted == Exhausted::Quarantine),
            clock,
            control: control_receiver,
            share: share_receiver,
            retrieval: retrieval_receiver,
            reports: self.report_sender.clone(),
            status,
            changes: Arc::clone(&self.parts.changes),
            metrics: metrics.clone(),
        };
        let worker = &self.parts.machine.config().worker;
        let span = tracing::info_span!("shard", stream = %label, shard = %context.shard, %worker);
        let id = self.tasks.spawn(tracing::Instrument::instrument(task.run(), span)).id();
        self.task_ids.insert(id, tenure);
        let consumer = Consumer {
            control,
            share,
            retrieval,
            status: status_receiver,
            context,
            metrics,
        };
        self.consumers.insert(tenure, consumer);
        self.spread_budget();
    }

    /// Divides the memory budget among the consumers by what they use of it.
    fn spread_budget(&mut self) {
        let held: Vec<u64> = self
            .consumers
            .values()
            .map(|consumer| consumer.status.borrow().1.buffered_bytes)
            .collect();
        let shares = fetch::shares(self.parts.memory_budget, &held);
        for (consumer, share) in self.consumers.values().zip(shares) {
            let changes = |current: &mut u64| std::mem::replace(current, share) != share;
            consumer.share.send_if_modified(changes);
        }
    }

    /// Every consumer reads as its stream is to be read.
    fn spread_retrieval(&mut self) {
        for consumer in self.consumers.values() {
            let Some(reading) = self.parts.streams.reading(consumer.context.stream_id.as_ref()) else {
                continue;
            };
            let changes = |current: &mut RetrievalMode| std::mem::replace(current, reading.mode) != reading.mode;
            consumer.retrieval.send_if_modified(changes);
        }
    }

    /// A consumer's task ended. If it did so without a report, it failed by a fault of ours: the lease goes back to the
    /// table at the last checkpoint, and whoever takes it starts anew.
    fn task_ended(&mut self, ended: Result<(tokio::task::Id, ()), tokio::task::JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let Some(tenure) = self.task_ids.remove(&id) else {
            return;
        };
        self.spread_budget();
        if let Err(error) = ended {
            tracing::error!(%error, "a consumer failed; its lease is given back and taken again");
            self.reported(tenure, ShardReport::Finished(Finish::Drained));
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Shutdown => self.handle(WorkerInput::Shutdown),
            Command::AddStream(stream) => self.add_stream(stream),
            Command::Changed(row) => self.handle(WorkerInput::Changed(*row)),
            Command::Pause { which, paused, answer } => {
                for scope in self.pause_scopes(&which) {
                    self.handle(WorkerInput::Pause { scope, paused });
                }
                // Nobody need wait for the answer.
                let _ = answer.send(());
            }
            // Nobody waits for an answer whose receiver is gone.
            Command::Held(which, answer) => drop(answer.send(self.held(&which))),
            Command::RemoveStream(which, answer) => {
                let count = self.parts.streams.remove(&which);
                self.set_streams();
                // Nobody need wait for the answer.
                let _ = answer.send(count);
            }
            Command::SetRetrieval(which, mode, answer) => {
                let readings = self.parts.streams.set_retrieval(&which, mode);
                self.spread_retrieval();
                // Nobody need wait for the answer.
                let _ = answer.send(readings);
            }
            // Nobody waits for an answer whose receiver is gone.
            Command::Report(answer) => drop(answer.send(self.report())),
        }
    }

    fn pause_scopes(&self, which: &ShardSelector) -> Vec<PauseScope> {
        match which {
            ShardSelector::All => vec![PauseScope::Worker],
            ShardSelector::Lease(key) => vec![PauseScope::Lease(key.clone())],
            // The only stream of a worker is all that it reads.
            ShardSelector::Stream(which) if self.parts.machine.config().streams.is_none() => {
                let name = self.parts.machine.config().stream.as_ref();
                let is_it = matches!(which, StreamSelector::Name(wanted) if Some(wanted) == name);
                is_it.then_some(PauseScope::Worker).into_iter().collect()
            }
            ShardSelector::Stream(which) => {
                let found = self.parts.streams.selected(which);
                found.into_iter().map(PauseScope::Stream).collect()
            }
        }
    }

    /// The leases that this worker holds, with what their shards are read through, and the means to change their rows.
    fn held(&self, which: &ShardSelector) -> Held {
        let scopes = self.pause_scopes(which);
        let mut leases = Vec::new();
        for status in self.parts.machine.status(self.parts.clock.now()).leases {
            let lease = status.lease;
            let is_wanted = scopes.iter().any(|scope| match scope {
                PauseScope::Worker => true,
                PauseScope::Stream(stream) => lease.stream_id() == Some(stream),
                PauseScope::Lease(key) => lease.key == *key,
            });
            if status.tenure.is_some() && is_wanted {
                let source = self.parts.streams.source(lease.stream_id());
                leases.extend(source.map(|source| (Arc::new(lease), source)));
            }
        }
        Held {
            store: Arc::clone(&self.parts.store),
            leases,
            now: self.parts.clock.wall(),
        }
    }

    fn add_stream(&mut self, stream: StreamConfig) {
        if self.parts.machine.config().streams.is_none() {
            tracing::error!(stream = %stream.name(), "this worker reads one stream; no other is added");
        } else if self.parts.streams.add(self.parts.clock.now(), stream) {
            self.set_streams();
        }
    }

    fn report(&self) -> Report {
        let (now, wall) = (self.parts.clock.now(), self.parts.clock.wall());
        let shards = self.consumers.values().map(|consumer| {
            let (at, status) = consumer.status.borrow().clone();
            let status = status.after(now.since(at));
            let iterator_age = iterator_age(&status, wall);
            ShardReportStatus {
                stream: consumer.context.stream.clone(),
                stream_id: consumer.context.stream_id.clone(),
                shard: consumer.context.shard.clone(),
                status,
                iterator_age,
            }
        });
        Report {
            worker: self.parts.machine.status(now),
            shards: shards.collect(),
            streams: self.parts.streams.status(),
        }
    }

    /// Brings the gauges up to date.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
    fn measure(&mut self) {
        let wall = self.parts.clock.wall();
        let mut worst = Duration::ZERO;
        for (tenure, consumer) in &self.consumers {
            let (_, status) = &*consumer.status.borrow();
            self.parts.machine.note_handled(*tenure, status.handled_bytes);
            if let Some(age) = iterator_age(status, wall) {
                consumer.metrics.iterator_age.set(age.as_millis() as f64);
                worst = worst.max(age);
            }
        }
        self.spread_budget();
        self.metrics.iterator_age.set(worst.as_millis() as f64);
        self.metrics.leases_held.set(self.parts.machine.leases_held() as f64);
        self.metrics.kcl.gauges(worst, self.parts.machine.leases_held());
        let now = self.parts.clock.now();
        if self.metrics.kcl.is_on() && self.fleet_at <= now {
            self.fleet_at = now + FLEET_INTERVAL;
            let config = self.parts.machine.config();
            let streams = config.streams.as_ref().map(Vec::len);
            self.metrics
                .kcl
                .fleet(&self.parts.machine.status(now), &config.worker, streams);
        }
    }

    /// Waits for consumers that were told to stop, and ends those that do not.
    async fn end_tasks(&mut self) {
        for consumer in self.consumers.values() {
            consumer
                .control
                .send_modify(|control| control.stop = Some(StopReason::LeaseLost));
        }
        // Their last reports have no reader any more, and must not block them.
        self.reports.close();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(CANCEL_GRACE + Duration::from_secs(1), all)
            .await
            .is_err()
        {
            self.tasks.shutdown().await;
        }
    }
}

fn no_answer(operation: StoreOperation, timeout: Duration) -> String {
    format!("{operation} gave no answer within {} s", timeout.as_secs_f64())
}
