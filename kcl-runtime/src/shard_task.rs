//! The driver of one shard's machine: it performs effects and reports back, and holds no policy.

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};
use kcl_core::{
    PendingCheckpoint, Position, ShardId, StreamId, Tick,
    fetch::{Fetch, FetchFailure, RetrievalMode, SubscribeAt, consumer::ConsumerSelector},
    shard::{Call, CallId, Finish, ShardEffect, ShardInput, ShardMachine, ShardStatus, StopReason},
    worker::{ShardReport, TenureId},
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    checkpointer::{CheckpointCommand, Checkpointer, Step, Unanswered},
    clock::{Clock, seconds},
    dead_letter::ShardLetters,
    metrics::ShardMetrics,
    processor::{DynFactory, ShardContext},
    quarantine::Quarantine,
    shard_calls::{Calls, Ended, quarantines},
    shard_log,
    source::{RecordSource, ShardReader},
};

/// The most checkpoint requests of the user's code that wait.
pub(crate) const CHECKPOINT_QUEUE: usize = 16;

/// What a worker wants of a consumer: a state, not messages, so that nothing queues up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Control {
    pub(crate) stop: Option<StopReason>,
    pub(crate) stored: Option<Position>,
    pub(crate) prepared: Option<PendingCheckpoint>,
    pub(crate) paused: bool,
}

/// What a consumer needs from its worker.
pub(crate) struct ShardTask {
    pub(crate) tenure: TenureId,
    pub(crate) shard: ShardId,
    /// Which stream, of several.
    pub(crate) stream_id: Option<Arc<StreamId>>,
    pub(crate) machine: ShardMachine,
    pub(crate) source: Arc<dyn RecordSource>,
    /// The consumer that subscribes.
    pub(crate) subscriber: ConsumerSelector,
    pub(crate) factory: DynFactory,
    /// The most calls of the user's code at once.
    pub(crate) calls: usize,
    pub(crate) context: ShardContext,
    pub(crate) letters: Option<ShardLetters>,
    /// Whether partition keys are quarantined.
    pub(crate) quarantines: bool,
    pub(crate) clock: Clock,
    pub(crate) control: watch::Receiver<Control>,
    pub(crate) share: watch::Receiver<u64>,
    pub(crate) retrieval: watch::Receiver<RetrievalMode>,
    pub(crate) reports: mpsc::Sender<(TenureId, ShardReport)>,
    pub(crate) status: watch::Sender<(Tick, ShardStatus)>,
    pub(crate) changes: Arc<watch::Sender<u64>>,
    pub(crate) metrics: ShardMetrics,
}

type Reader = Box<dyn ShardReader>;
type Opening = BoxFuture<'static, Result<Reader, FetchFailure>>;
type ReadingFuture = BoxFuture<'static, (Reader, Result<Fetch, FetchFailure>)>;

/// What is under way.
struct InFlight {
    opening: Option<Opening>,
    reading: Option<ReadingFuture>,
    reader: Option<Reader>,
    calls: Calls,
    unanswered: Unanswered,
    quarantine: Quarantine,
}

impl ShardTask {
    /// Consumes the shard until the machine is done.
    pub(crate) async fn run(mut self) {
        let lost = CancellationToken::new();
        // A checkpointer is good for one tenure: however this one ends, those that watch it learn of it.
        let _ends_with_tenure = lost.clone().drop_guard();
        let (sender, mut commands) = mpsc::channel(CHECKPOINT_QUEUE);
        let checkpointer = Checkpointer::new(sender, lost.clone());
        let mut flight = InFlight {
            opening: None,
            reading: None,
            reader: None,
            calls: Calls::new(
                Arc::clone(&self.factory),
                self.context.clone(),
                checkpointer,
                self.letters.clone(),
                self.clock,
                self.calls,
            ),
            unanswered: Unanswered::default(),
            quarantine: Quarantine::new(self.clock.now(), self.quarantines),
        };
        let finish = loop {
            if let Some(finish) = self.perform(&mut flight, &lost).await {
                break finish;
            }
            self.publish();
            let deadline = self.machine.next_deadline();
            let abort_at = flight.calls.abort_at;
            let look_at = flight.quarantine.deadline();
            tokio::select! {
                biased;
                Ok(()) = self.control.changed() => self.controlled(&mut flight, &lost),
                Some(command) = commands.recv() => self.checkpoint_requested(&mut flight, command),
                ended = flight.calls.next() => self.call_ended(&mut flight, ended),
                (reader, result) = pending_or(&mut flight.reading) => {
                    (flight.reading, flight.reader) = (None, Some(reader));
                    let result = result.map(|fetch| self.of_stream(fetch));
                    self.handle(ShardInput::Fetched(result));
                }
                result = pending_or(&mut flight.opening) => {
                    flight.opening = None;
                    let result = result.map(|reader| flight.reader = Some(reader));
                    self.handle(ShardInput::Opened(result));
                }
                Ok(()) = self.share.changed() => {
                    let share = *self.share.borrow_and_update();
                    self.handle(ShardInput::Share(share));
                }
                Ok(()) = self.retrieval.changed() => {
                    let mode = *self.retrieval.borrow_and_update();
                    self.handle(ShardInput::Retrieval(mode));
                }
                keys = flight.quarantine.looked() => {
                    flight.quarantine.rest(self.clock.now());
                    if let Some(keys) = keys {
                        self.handle(ShardInput::Quarantined(keys));
                    }
                }
                () = self.clock.sleep_until(look_at), if look_at.is_some() => {
                    if let Some(letters) = &self.letters {
                        flight.quarantine.begin(letters.clone(), self.context.clone());
                    }
                }
                () = self.clock.sleep_until(abort_at) => flight.calls.abort(),
                () = self.clock.sleep_until(deadline) => self.handle(ShardInput::Wake),
            }
        };
        self.publish();
        self.metrics.ended();
        self.report(ShardReport::Finished(finish)).await;
    }

    fn handle(&mut self, input: ShardInput) {
        self.machine.handle(self.clock.now(), input);
    }

    /// Sources know their stream by name; which of all it is, the worker knows.
    fn of_stream(&self, fetch: Fetch) -> Fetch {
        let batch = fetch.batch.with_stream_id(self.stream_id.clone());
        Fetch { batch, ..fetch }
    }

    /// Performs all effects; gives the end if the machine is done.
    async fn perform(&mut self, flight: &mut InFlight, lost: &CancellationToken) -> Option<Finish> {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                ShardEffect::Open(position) => flight.opening = Some(self.open(position)),
                ShardEffect::Subscribe(at) => flight.opening = Some(self.subscribe(at)),
                ShardEffect::Close => {
                    // Dropping them is what ends them.
                    (flight.opening, flight.reading, flight.reader) = (None, None, None);
                }
                ShardEffect::Fetch { max_records } => match flight.reader.take() {
                    Some(reader) => flight.reading = Some(read(reader, max_records)),
                    None => tracing::error!("a read was asked for while no reader stands ready"),
                },
                ShardEffect::Reconnect => self.source.reconnect(),
                ShardEffect::Call { id, call } => self.call(flight, id, call),
                ShardEffect::CancelCalls => {
                    lost.cancel();
                    flight.calls.cancel(self.clock.now());
                }
                ShardEffect::Progress(position) => self.report(ShardReport::Progress(position)).await,
                ShardEffect::ProgressWith { position, state } => {
                    self.report(ShardReport::ProgressWith { position, state }).await;
                }
                ShardEffect::Checkpoint(position) => self.report(ShardReport::Checkpoint(position)).await,
                ShardEffect::Prepare(pending) => self.report(ShardReport::Prepare(pending)).await,
                ShardEffect::Missing => self.report(ShardReport::Missing).await,
                ShardEffect::Rejected(message) => self.report(ShardReport::Rejected(message)).await,
                ShardEffect::Finished(finish) => return Some(finish),
                ShardEffect::Event(event) => shard_log::event(&self.metrics, &event),
            }
        }
        None
    }

    fn open(&self, position: Position) -> Opening {
        let (source, shard) = (Arc::clone(&self.source), self.shard.clone());
        async move { source.open(&shard, &position).await }.boxed()
    }

    fn subscribe(&self, at: SubscribeAt) -> Opening {
        let (source, shard, subscriber) = (Arc::clone(&self.source), self.shard.clone(), self.subscriber.clone());
        async move { source.subscribe(&shard, &at, &subscriber).await }.boxed()
    }

    fn call(&mut self, flight: &mut InFlight, id: CallId, call: Call) {
        if let Call::Process { batch, .. } = &call
            && !batch.is_empty()
        {
            #[expect(clippy::cast_precision_loss, reason = "a histogram's buckets are coarser than that")]
            self.metrics.batch_records.record(batch.len() as f64);
        }
        if quarantines(&call) {
            flight.quarantine.keeps();
        }
        if let Some(outcome) = flight.calls.start(id, call) {
            self.handle(ShardInput::Called(id, outcome));
        }
    }

    fn call_ended(&mut self, flight: &mut InFlight, ended: Ended) {
        if ended.quarantines {
            flight.quarantine.kept();
        }
        if let Some(keys) = ended.quarantined {
            self.handle(ShardInput::Quarantined(keys));
        }
        let took = self.clock.now().since(ended.started);
        self.metrics.kcl.called(ended.name, took);
        if ended.was_delivery {
            self.metrics.handler_seconds.record(seconds(took));
        }
        self.handle(ShardInput::Called(ended.id, ended.outcome));
    }

    fn controlled(&mut self, flight: &mut InFlight, lost: &CancellationToken) {
        let control = self.control.borrow_and_update().clone();
        if let Some(pending) = control.prepared {
            flight.unanswered.prepared(&pending);
        }
        if let Some(position) = control.stored {
            flight.unanswered.stored(&position);
            self.handle(ShardInput::Stored(position));
        }
        self.handle(ShardInput::Pause(control.paused));
        if let Some(reason) = control.stop {
            if reason.is_void() {
                lost.cancel();
                flight.unanswered.lost();
            }
            self.handle(ShardInput::Stop(reason));
        }
    }

    fn checkpoint_requested(&mut self, flight: &mut InFlight, command: CheckpointCommand) {
        let position = command.position.unwrap_or_else(|| self.machine.delivered().clone());
        let decision = match command.step {
            Step::Commit => self.machine.request_checkpoint(&position),
            Step::Prepare { state } => self.machine.request_prepare(&position, state),
        };
        flight.unanswered.note(position, command.answer, decision);
    }

    async fn report(&self, report: ShardReport) {
        // The worker outlives its consumers; if it is gone, so is the process's interest in the report.
        let _ = self.reports.send((self.tenure, report)).await;
    }

    fn publish(&self) {
        let now = self.clock.now();
        let status = self.machine.status(now);
        #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
        {
            self.metrics.buffered_bytes.set(status.buffered_bytes as f64);
            self.metrics.calls_running.set(status.lanes.running as f64);
            self.metrics.lanes_failing.set(status.lanes.failing as f64);
            self.metrics.window_records.set(status.lanes.window_records as f64);
        }
        self.status.send_replace((now, status));
        self.changes
            .send_modify(|generation| *generation = generation.wrapping_add(1));
    }
}

fn read(mut reader: Reader, max_records: u32) -> ReadingFuture {
    async move {
        let result = reader.read(max_records).await;
        (reader, result)
    }
    .boxed()
}

async fn pending_or<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
