//! The calls to the user's code that are under way for one shard.

use std::{any::Any, collections::BTreeMap, panic::AssertUnwindSafe, time::Duration};

use bytestring::ByteString;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kcl_core::{
    Tick,
    shard::{Call, CallId, Outcome},
};
use tokio::task::AbortHandle;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    checkpointer::Checkpointer,
    clock::Clock,
    dead_letter::ShardLetters,
    processor::{Attempt, Delivered, DynFactory, DynProcessor, ShardContext},
    shard_log,
};

/// How long the user's code may go on after the lease was lost, before its tasks are ended.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_secs(5);

type Processor = Box<dyn DynProcessor>;

/// A call that ended.
pub(crate) struct Ended {
    pub(crate) id: CallId,
    pub(crate) outcome: Outcome,
    pub(crate) was_delivery: bool,
    /// Whether it put partition keys in quarantine.
    pub(crate) quarantines: bool,
    /// The partition keys in quarantine, where the call found them out.
    pub(crate) quarantined: Option<Vec<ByteString>>,
    /// The name of the call.
    pub(crate) name: &'static str,
    pub(crate) started: Tick,
}

struct Running {
    abort: AbortHandle,
    was_delivery: bool,
    quarantines: bool,
    name: &'static str,
    started: Tick,
}

/// Whether a call puts partition keys in quarantine: others do not change what a look at them finds.
pub(crate) fn quarantines(call: &Call) -> bool {
    matches!(call, Call::Discard(discard) if discard.quarantines)
}

/// What is left when a call ended.
struct Answer {
    processor: Option<Processor>,
    outcome: Outcome,
    quarantined: Option<Vec<ByteString>>,
}

/// Calls run in tasks of their own, so that slow code does not hold up the consumer. The tasks end with the consumer: a
/// worker that is dropped leaves nothing behind that works on records of others.
pub(crate) struct Calls {
    factory: DynFactory,
    context: ShardContext,
    checkpointer: Checkpointer,
    letters: Option<ShardLetters>,
    clock: Clock,
    idle: Vec<Processor>,
    /// How many more objects may be made: as many as there may be calls at once.
    unmade: usize,
    running: BTreeMap<CallId, Running>,
    ends: FuturesUnordered<BoxFuture<'static, (CallId, Answer)>>,
    /// When the tasks are ended, once their results no longer count.
    pub(crate) abort_at: Option<Tick>,
}

impl Calls {
    pub(crate) fn new(
        factory: DynFactory,
        context: ShardContext,
        checkpointer: Checkpointer,
        letters: Option<ShardLetters>,
        clock: Clock,
        at_once: usize,
    ) -> Self {
        let first = factory(&context);
        Self {
            factory,
            context,
            checkpointer,
            letters,
            clock,
            idle: vec![first],
            unmade: at_once.saturating_sub(1),
            running: BTreeMap::new(),
            ends: FuturesUnordered::new(),
            abort_at: None,
        }
    }

    /// Who makes the next call: nobody, where the object was lost with a task that had to be ended.
    fn processor(&mut self) -> Option<Processor> {
        self.idle.pop().or_else(|| {
            self.unmade = self.unmade.checked_sub(1)?;
            Some((self.factory)(&self.context))
        })
    }

    /// Makes a call. Gives an outcome at once if there is nobody left to call.
    pub(crate) fn start(&mut self, id: CallId, call: Call) -> Option<Outcome> {
        let Some(processor) = self.processor() else {
            return Some(Outcome::Success);
        };
        let (was_delivery, name) = (matches!(call, Call::Process { .. }), call.name());
        let quarantines = quarantines(&call);
        let span = shard_log::call_span(&call);
        let (context, checkpointer, letters) = (self.context.clone(), self.checkpointer.clone(), self.letters.clone());
        let future = invoke(processor, call, context, checkpointer, letters, self.clock);
        let task = AbortOnDropHandle::new(tokio::spawn(tracing::Instrument::instrument(future, span)));
        let running = Running {
            abort: task.abort_handle(),
            was_delivery,
            quarantines,
            name,
            started: self.clock.now(),
        };
        self.running.insert(id, running);
        let end = async move {
            match task.await {
                Ok(answer) => (id, answer),
                Err(_) => {
                    let (processor, outcome, quarantined) = (None, Outcome::Cancelled, None);
                    (
                        id,
                        Answer {
                            processor,
                            outcome,
                            quarantined,
                        },
                    )
                }
            }
        };
        self.ends.push(end.boxed());
        None
    }

    /// The next call that ends; waits for ever while none runs.
    pub(crate) async fn next(&mut self) -> Ended {
        loop {
            let Some((id, answer)) = self.ends.next().await else {
                std::future::pending().await
            };
            self.idle.extend(answer.processor);
            if let Some(running) = self.running.remove(&id) {
                let Running {
                    was_delivery,
                    quarantines,
                    name,
                    started,
                    ..
                } = running;
                return Ended {
                    id,
                    outcome: answer.outcome,
                    was_delivery,
                    quarantines,
                    quarantined: answer.quarantined,
                    name,
                    started,
                };
            }
        }
    }

    /// The results of what runs no longer count: it may go on for the grace.
    pub(crate) fn cancel(&mut self, now: Tick) {
        if !self.running.is_empty() {
            self.abort_at = Some(now + CANCEL_GRACE);
        }
    }

    /// The grace is over.
    pub(crate) fn abort(&mut self) {
        self.abort_at = None;
        for running in self.running.values() {
            running.abort.abort();
        }
    }
}

/// Makes one call to the user's code. A panic is an error like any other.
async fn invoke(
    mut processor: Processor,
    call: Call,
    context: ShardContext,
    checkpointer: Checkpointer,
    letters: Option<ShardLetters>,
    clock: Clock,
) -> Answer {
    let mut quarantined = None;
    let result = AssertUnwindSafe(async {
        match call {
            Call::Initialize { .. } => {
                if let Some(letters) = &letters {
                    quarantined = Some(letters.letters.quarantined(&context).await?);
                }
                processor.initialize(&context).await.map(|()| Delivered::All)
            }
            Call::Discard(discard) => match &letters {
                Some(letters) => letters
                    .keep(&context, discard, clock.wall())
                    .await
                    .map(|()| Delivered::All),
                // A worker with rules that give records up is not built without.
                None => Err("there is nobody to keep dead letters".into()),
            },
            Call::Process { batch, attempt, window } => {
                let checkpointer = &checkpointer;
                processor
                    .process_records(
                        batch,
                        Attempt {
                            attempt,
                            window: window.as_ref(),
                            checkpointer,
                            clock,
                        },
                    )
                    .await
            }
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
        Ok(Ok(Delivered::Items(items))) => Outcome::FailedItems(items),
        Ok(Ok(Delivered::Windowed { items, state })) => Outcome::Windowed {
            failed: items.into_iter().min(),
            state,
        },
        Ok(Ok(Delivered::NotCalled { reason, retry_after })) => Outcome::NotCalled {
            wait: retry_after,
            reason: with_causes(reason.as_ref()),
        },
        Ok(Ok(Delivered::Later(wait))) => Outcome::Postponed {
            wait,
            reason: format!("the handler wants it again in {} s", wait.as_secs_f64()),
        },
        Ok(Err(error)) => Outcome::Failure(with_causes(error.as_ref())),
        Err(panic) => Outcome::Failure(format!("panic: {}", panic_message(panic.as_ref()))),
    };
    Answer {
        processor: Some(processor),
        outcome,
        quarantined,
    }
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
