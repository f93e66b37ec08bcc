//! The door for runtimes that run others' functions: [`BatchHandler`].

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use kcl_core::{Batch, BoxError, Timestamp, delivery::WindowCall};

use crate::{
    checkpointer::Checkpointer,
    clock::Clock,
    function::{BatchOutcome, delivered},
    processor::{Attempt, Delivered, DynFactory, DynProcessor, ShardContext},
};

/// A batch that is to be handled, and what is known of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BatchCall {
    /// The records.
    pub batch: Batch,
    /// How often the first of them was given to the handler, this time included.
    pub attempt: u32,
    /// The tumbling window that they are of, where the [policy](kcl_core::delivery::DeliveryPolicy::tumbling_window) has
    /// windows. The call that ends a window has no records.
    pub window: Option<WindowCall>,
    /// The shard that they are of.
    pub shard: ShardContext,
    clock: Clock,
}

impl BatchCall {
    /// What the worker's clock says now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.wall()
    }
}

/// What became of a batch.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallOutcome {
    /// It was handled, but for the records that the outcome names.
    Done(BatchOutcome),
    /// The same, and this is the state of the window since: it counts if records were handled, and is committed with them. The
    /// state of a call that ends a window is dropped. Only where there are windows; a call for a window that ends in
    /// [`Done`](Self::Done) leaves the state as it was.
    Windowed {
        /// What became of the records. What is named as failed comes again, with everything behind it: the state must be
        /// that of the records before.
        outcome: BatchOutcome,
        /// The state, for the next call of the window.
        state: Bytes,
    },
    /// It was tried and failed as a whole. That counts as a try.
    Failed(BoxError),
    /// It was not even tried, since it could not be. That counts as none.
    NotCalled {
        /// Why.
        reason: BoxError,
        /// When to try again, from now; by default after the usual wait.
        retry_after: Option<Duration>,
    },
}

/// Handles batches, with all that a runtime for others' functions wants to know and to say of them. For a function of
/// one's own, [`WorkerBuilder::function`](crate::WorkerBuilder::function) is simpler.
pub trait BatchHandler: Send + Sync + 'static {
    /// Handles a batch. A panic is a failure.
    fn handle(&self, call: BatchCall) -> impl Future<Output = CallOutcome> + Send;
}

struct Handler<H> {
    handler: Arc<H>,
    shard: ShardContext,
}

impl<H> fmt::Debug for Handler<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").finish_non_exhaustive()
    }
}

#[async_trait]
impl<H: BatchHandler> DynProcessor for Handler<H> {
    async fn initialize(&mut self, _context: &ShardContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn process_records(&mut self, batch: Batch, attempt: Attempt<'_>) -> Result<Delivered, BoxError> {
        let call = BatchCall {
            batch: batch.clone(),
            attempt: attempt.attempt,
            window: attempt.window.cloned(),
            shard: self.shard.clone(),
            clock: attempt.clock,
        };
        match self.handler.handle(call).await {
            CallOutcome::Done(outcome) => Ok(delivered(outcome, &batch)?),
            CallOutcome::Windowed { outcome, state } => {
                let items = outcome.indices(&batch)?;
                Ok(Delivered::Windowed { items, state })
            }
            CallOutcome::Failed(error) => Err(error),
            CallOutcome::NotCalled { reason, retry_after } => Ok(Delivered::NotCalled { reason, retry_after }),
        }
    }

    async fn lease_lost(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    async fn shard_ended(&mut self, _checkpointer: &Checkpointer) -> Result<(), BoxError> {
        Ok(())
    }

    async fn shutdown_requested(&mut self, _checkpointer: &Checkpointer) -> Result<(), BoxError> {
        Ok(())
    }
}

pub(crate) fn handler_factory(handler: impl BatchHandler) -> DynFactory {
    let handler = Arc::new(handler);
    Arc::new(move |context| {
        Box::new(Handler {
            handler: Arc::clone(&handler),
            shard: context.clone(),
        })
    })
}
