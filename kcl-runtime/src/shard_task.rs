//! The driver of one shard's machine: it performs effects and reports back, and holds no policy.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use kcl_core::{
    Position, ShardId, StreamId, Tick,
    fetch::{Fetch, FetchFailure, RetrievalMode, SubscribeAt, consumer::ConsumerSelector},
    shard::{
        Call, CheckpointRefused, CheckpointRequest, Finish, Outcome, ShardEffect, ShardInput, ShardMachine,
        ShardStatus, StopReason,
    },
    worker::{ShardReport, TenureId},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    clock::{Clock, seconds},
    metrics::ShardMetrics,
    processor::{CheckpointCommand, Checkpointer, Delivered, DynFactory, DynProcessor, ShardContext},
    shard_log,
    source::{RecordSource, ShardReader},
};

/// How long the user's code may go on after the lease was lost, before its task is ended.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// The most checkpoint requests of the user's code that wait.
pub(crate) const CHECKPOINT_QUEUE: usize = 16;

/// What a worker wants of a consumer: a state, not messages, so that nothing queues up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Control {
    pub(crate) stop: Option<StopReason>,
    pub(crate) stored: Option<Position>,
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
    pub(crate) context: ShardContext,
    pub(crate) clock: Clock,
    pub(crate) control: watch::Receiver<Control>,
    pub(crate) share: watch::Receiver<u64>,
    pub(crate) retrieval: watch::Receiver<RetrievalMode>,
    pub(crate) reports: mpsc::Sender<(TenureId, ShardReport)>,
    pub(crate) status: watch::Sender<ShardStatus>,
    pub(crate) changes: Arc<watch::Sender<u64>>,
    pub(crate) metrics: ShardMetrics,
}

type Processor = Box<dyn DynProcessor>;
type Reader = Box<dyn ShardReader>;
type Opening = BoxFuture<'static, Result<Reader, FetchFailure>>;
type ReadingFuture = BoxFuture<'static, (Reader, Result<Fetch, FetchFailure>)>;

/// A call to the user's code that runs in a task of its own, so that slow code does not hold up the consumer. The task ends
/// with the consumer: a worker that is dropped leaves nothing behind that works on records of others.
struct Running {
    task: AbortOnDropHandle<(Processor, Outcome)>,
    call: Call,
    started: Tick,
    /// When the task is ended, once its results no longer count.
    abort_at: Option<Tick>,
}

/// What is under way.
#[derive(Default)]
struct InFlight {
    opening: Option<Opening>,
    reading: Option<ReadingFuture>,
    reader: Option<Reader>,
    running: Option<Running>,
    processor: Option<Processor>,
    waiting: Vec<(Position, oneshot::Sender<Result<(), CheckpointRefused>>)>,
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
            processor: Some((self.factory)(&self.context)),
            ..InFlight::default()
        };
        let finish = loop {
            if let Some(finish) = self.perform(&mut flight, &checkpointer, &lost).await {
                break finish;
            }
            self.publish();
            let deadline = self.machine.next_deadline();
            let abort_at = flight.running.as_ref().and_then(|running| running.abort_at);
            tokio::select! {
                biased;
                Ok(()) = self.control.changed() => self.controlled(&mut flight, &lost),
                Some(command) = commands.recv() => self.checkpoint_requested(&mut flight, command),
                (processor, outcome) = finished(&mut flight.running) => {
                    self.call_ended(&mut flight, processor, outcome);
                }
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
                () = self.clock.sleep_until(abort_at) => {
                    if let Some(running) = &mut flight.running {
                        running.abort_at = None;
                        running.task.abort();
                    }
                }
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
    async fn perform(
        &mut self,
        flight: &mut InFlight,
        checkpointer: &Checkpointer,
        lost: &CancellationToken,
    ) -> Option<Finish> {
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
                ShardEffect::Call(call) => self.call(flight, call, checkpointer.clone()),
                ShardEffect::CancelCall => {
                    lost.cancel();
                    if let Some(running) = &mut flight.running {
                        running.abort_at = Some(self.clock.now() + CANCEL_GRACE);
                    }
                }
                ShardEffect::Progress(position) => self.report(ShardReport::Progress(position)).await,
                ShardEffect::Checkpoint(position) => self.report(ShardReport::Checkpoint(position)).await,
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

    fn call(&mut self, flight: &mut InFlight, call: Call, checkpointer: Checkpointer) {
        let Some(processor) = flight.processor.take() else {
            // It was lost with a task that had to be ended. There is nobody left to call.
            return self.handle(ShardInput::Called(Outcome::Success));
        };
        if let Call::Process { batch, .. } = &call {
            #[expect(clippy::cast_precision_loss, reason = "a histogram's buckets are coarser than that")]
            self.metrics.batch_records.record(batch.len() as f64);
        }
        let context = self.context.clone();
        let span = shard_log::call_span(&call);
        let future = invoke(processor, call.clone(), context, checkpointer);
        let task = AbortOnDropHandle::new(tokio::spawn(tracing::Instrument::instrument(future, span)));
        flight.running = Some(Running {
            task,
            call,
            started: self.clock.now(),
            abort_at: None,
        });
    }

    fn call_ended(&mut self, flight: &mut InFlight, processor: Option<Processor>, outcome: Outcome) {
        if let Some(running) = flight.running.take()
            && matches!(running.call, Call::Process { .. })
        {
            self.metrics
                .handler_seconds
                .record(seconds(self.clock.now().since(running.started)));
        }
        flight.processor = processor;
        self.handle(ShardInput::Called(outcome));
    }

    fn controlled(&mut self, flight: &mut InFlight, lost: &CancellationToken) {
        let control = self.control.borrow_and_update().clone();
        if let Some(position) = control.stored {
            for (_, answer) in flight.waiting.extract_if(.., |(requested, _)| *requested <= position) {
                // Nobody waits for an answer whose receiver is gone.
                let _ = answer.send(Ok(()));
            }
            self.handle(ShardInput::Stored(position));
        }
        if let Some(reason) = control.stop {
            if reason == StopReason::LeaseLost {
                lost.cancel();
                for (_, answer) in flight.waiting.drain(..) {
                    // Nobody waits for an answer whose receiver is gone.
                    let _ = answer.send(Err(CheckpointRefused::LeaseLost));
                }
            }
            self.handle(ShardInput::Stop(reason));
        }
    }

    fn checkpoint_requested(&mut self, flight: &mut InFlight, command: CheckpointCommand) {
        let position = command.position.unwrap_or_else(|| self.machine.delivered().clone());
        match self.machine.request_checkpoint(&position) {
            Ok(CheckpointRequest::Requested) => flight.waiting.push((position, command.answer)),
            // Nobody waits for an answer whose receiver is gone.
            Ok(CheckpointRequest::AlreadyStored) => drop(command.answer.send(Ok(()))),
            Err(refused) => drop(command.answer.send(Err(refused))),
        }
    }

    async fn report(&self, report: ShardReport) {
        // The worker outlives its consumers; if it is gone, so is the process's interest in the report.
        let _ = self.reports.send((self.tenure, report)).await;
    }

    fn publish(&self) {
        let status = self.machine.status(self.clock.now());
        #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
        self.metrics.buffered_bytes.set(status.buffered_bytes as f64);
        self.status.send_replace(status);
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

/// Makes one call to the user's code. A panic is an error like any other.
async fn invoke(
    mut processor: Processor,
    call: Call,
    context: ShardContext,
    checkpointer: Checkpointer,
) -> (Processor, Outcome) {
    let result = AssertUnwindSafe(async {
        match call {
            Call::Initialize { .. } => processor.initialize(&context).await.map(|()| Delivered::All),
            Call::Process { batch, .. } => processor.process_records(batch, &checkpointer).await,
            Call::ShardEnded => processor.shard_ended(&checkpointer).await.map(|()| Delivered::All),
            Call::ShutdownRequested => processor
                .shutdown_requested(&checkpointer)
                .await
                .map(|()| Delivered::All),
            Call::LeaseLost => processor.lease_lost().await.map(|()| Delivered::All),
        }
    })
    .catch_unwind()
    .await;
    let outcome = match result {
        Ok(Ok(Delivered::All)) => Outcome::Success,
        Ok(Ok(Delivered::Before(index))) => Outcome::SuccessBefore(index),
        Ok(Err(error)) => Outcome::Failure(with_causes(error.as_ref())),
        Err(panic) => Outcome::Failure(format!("panic: {}", panic_message(panic.as_ref()))),
    };
    (processor, outcome)
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    message
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

async fn finished(running: &mut Option<Running>) -> (Option<Processor>, Outcome) {
    match running {
        Some(running) => match (&mut running.task).await {
            Ok((processor, outcome)) => (Some(processor), outcome),
            Err(_) => (None, Outcome::Cancelled),
        },
        None => std::future::pending().await,
    }
}

async fn pending_or<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
