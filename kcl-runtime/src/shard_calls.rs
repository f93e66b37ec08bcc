//! The calls to the user's code that are under way for one shard.

use std::{any::Any, collections::BTreeMap, panic::AssertUnwindSafe, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kcl_core::{
    Tick,
    shard::{Call, CallId, Outcome},
};
use tokio::task::AbortHandle;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    checkpointer::Checkpointer,
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
    /// The name of the call.
    pub(crate) name: &'static str,
    pub(crate) started: Tick,
}

struct Running {
    abort: AbortHandle,
    was_delivery: bool,
    name: &'static str,
    started: Tick,
}

/// Calls run in tasks of their own, so that slow code does not hold up the consumer. The tasks end with the consumer: a
/// worker that is dropped leaves nothing behind that works on records of others.
pub(crate) struct Calls {
    factory: DynFactory,
    context: ShardContext,
    checkpointer: Checkpointer,
    idle: Vec<Processor>,
    /// How many more objects may be made: as many as there may be calls at once.
    unmade: usize,
    running: BTreeMap<CallId, Running>,
    ends: FuturesUnordered<BoxFuture<'static, (CallId, Option<Processor>, Outcome)>>,
    /// When the tasks are ended, once their results no longer count.
    pub(crate) abort_at: Option<Tick>,
}

impl Calls {
    pub(crate) fn new(factory: DynFactory, context: ShardContext, checkpointer: Checkpointer, at_once: usize) -> Self {
        let first = factory(&context);
        Self {
            factory,
            context,
            checkpointer,
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
    pub(crate) fn start(&mut self, now: Tick, id: CallId, call: Call) -> Option<Outcome> {
        let Some(processor) = self.processor() else {
            return Some(Outcome::Success);
        };
        let (was_delivery, name) = (matches!(call, Call::Process { .. }), call.name());
        let span = shard_log::call_span(&call);
        let future = invoke(processor, call, self.context.clone(), self.checkpointer.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(tracing::Instrument::instrument(future, span)));
        let running = Running {
            abort: task.abort_handle(),
            was_delivery,
            name,
            started: now,
        };
        self.running.insert(id, running);
        let end = async move {
            match task.await {
                Ok((processor, outcome)) => (id, Some(processor), outcome),
                Err(_) => (id, None, Outcome::Cancelled),
            }
        };
        self.ends.push(end.boxed());
        None
    }

    /// The next call that ends; waits for ever while none runs.
    pub(crate) async fn next(&mut self) -> Ended {
        loop {
            let Some((id, processor, outcome)) = self.ends.next().await else {
                std::future::pending().await
            };
            self.idle.extend(processor);
            if let Some(running) = self.running.remove(&id) {
                let Running {
                    was_delivery,
                    name,
                    started,
                    ..
                } = running;
                return Ended {
                    id,
                    outcome,
                    was_delivery,
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
) -> (Processor, Outcome) {
    let result = AssertUnwindSafe(async {
        match call {
            Call::Initialize { .. } => processor.initialize(&context).await.map(|()| Delivered::All),
            Call::Process { batch, attempt } => {
                let checkpointer = &checkpointer;
                processor
                    .process_records(batch, Attempt { attempt, checkpointer })
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
        Ok(Ok(Delivered::Before(index))) => Outcome::SuccessBefore(index),
        Ok(Ok(Delivered::Later(wait))) => Outcome::Postponed {
            wait,
            reason: format!("the handler wants it again in {} s", wait.as_secs_f64()),
        },
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
