//! The door for consumers that keep state per shard or checkpoint themselves: [`RecordProcessor`].

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use kcl_core::{
    ApplicationName, Batch, BoxError, PendingCheckpoint, Position, ShardId, StreamId, StreamName, delivery::WindowCall,
};

use crate::{checkpointer::Checkpointer, clock::Clock};

/// What a processor may know about the shard that it works for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardContext {
    /// Who reads it.
    pub application: ApplicationName,
    /// The stream.
    pub stream: StreamName,
    /// Which stream it is, where the worker reads several: those of two accounts may have one name.
    pub stream_id: Option<StreamId>,
    /// The shard.
    pub shard: ShardId,
    /// How far the shard had been handled when the lease was taken.
    pub checkpoint: Position,
    /// A checkpoint that was prepared and never committed, by whoever held the lease before, with the state that went with
    /// it. Reading starts at `checkpoint` all the same: it is for the processor to find out whether that job was done.
    pub pending_checkpoint: Option<PendingCheckpoint>,
}

/// Consumes one shard during one tenure of its lease. Its methods are never called at the same time.
///
/// An error or a panic never skips a record: the same call is made again, after a while, until it succeeds.
///
/// ```
/// use kcl_core::{Batch, BoxError};
/// use kcl_runtime::{Checkpointer, RecordProcessor};
///
/// struct Sum(u64);
///
/// impl RecordProcessor for Sum {
///     async fn process_records(&mut self, batch: &Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
///         self.0 += batch.iter().map(|record| record.data.len() as u64).sum::<u64>();
///         checkpointer.checkpoint().await?;
///         Ok(())
///     }
/// }
/// ```
pub trait RecordProcessor: Send + 'static {
    /// Called before the first batch.
    fn initialize(&mut self, context: &ShardContext) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = context;
        async { Ok(()) }
    }

    /// Called with every batch, in order. The batch is delivered again if this fails.
    fn process_records(
        &mut self,
        batch: &Batch,
        checkpointer: &Checkpointer,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Called when the lease is gone. Another worker may be at work: nothing can be checkpointed any more.
    fn lease_lost(&mut self) -> impl Future<Output = Result<(), BoxError>> + Send {
        async { Ok(()) }
    }

    /// Called when the shard was read to its end and every batch was handled. Success means that everything is done:
    /// the end is then checkpointed by the runtime, and the shard's children begin.
    fn shard_ended(&mut self, checkpointer: &Checkpointer) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = checkpointer;
        async { Ok(()) }
    }

    /// Called when the worker shuts down or passes the lease on: the last chance to checkpoint.
    fn shutdown_requested(&mut self, checkpointer: &Checkpointer) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = checkpointer;
        async { Ok(()) }
    }
}

/// Makes a processor for every shard that a worker takes. Closures are factories.
pub trait RecordProcessorFactory: Send + Sync + 'static {
    /// The processors that it makes.
    type Processor: RecordProcessor;

    /// Makes the processor for a shard.
    fn create(&self, context: &ShardContext) -> Self::Processor;
}

impl<F, P> RecordProcessorFactory for F
where
    F: Fn(&ShardContext) -> P + Send + Sync + 'static,
    P: RecordProcessor,
{
    type Processor = P;

    fn create(&self, context: &ShardContext) -> P {
        self(context)
    }
}

/// What a delivery to the user's code came to.
#[derive(Debug)]
pub(crate) enum Delivered {
    All,
    /// All but the records at these indices.
    Items(Vec<usize>),
    /// All but the records at these indices, and the state of their window since.
    Windowed {
        items: Vec<usize>,
        state: Bytes,
    },
    /// Nothing, since the user's code could not be called.
    NotCalled {
        reason: BoxError,
        retry_after: Option<Duration>,
    },
    /// Nothing, and it is wanted again after this long.
    Later(Duration),
}

/// How a delivery is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    /// How often the first record has been tried, this time included.
    pub(crate) attempt: u32,
    /// The tumbling window that it is for, where there are some.
    pub(crate) window: Option<&'a WindowCall>,
    pub(crate) checkpointer: &'a Checkpointer,
    pub(crate) clock: Clock,
}

/// A processor with its type erased: the one place where it happens.
#[async_trait]
pub(crate) trait DynProcessor: Send {
    async fn initialize(&mut self, context: &ShardContext) -> Result<(), BoxError>;
    async fn process_records(&mut self, batch: Batch, attempt: Attempt<'_>) -> Result<Delivered, BoxError>;
    async fn lease_lost(&mut self) -> Result<(), BoxError>;
    async fn shard_ended(&mut self, checkpointer: &Checkpointer) -> Result<(), BoxError>;
    async fn shutdown_requested(&mut self, checkpointer: &Checkpointer) -> Result<(), BoxError>;
}

struct Erased<P>(P);

#[async_trait]
impl<P: RecordProcessor> DynProcessor for Erased<P> {
    async fn initialize(&mut self, context: &ShardContext) -> Result<(), BoxError> {
        self.0.initialize(context).await
    }

    async fn process_records(&mut self, batch: Batch, attempt: Attempt<'_>) -> Result<Delivered, BoxError> {
        self.0
            .process_records(&batch, attempt.checkpointer)
            .await
            .map(|()| Delivered::All)
    }

    async fn lease_lost(&mut self) -> Result<(), BoxError> {
        self.0.lease_lost().await
    }

    async fn shard_ended(&mut self, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        self.0.shard_ended(checkpointer).await
    }

    async fn shutdown_requested(&mut self, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        self.0.shutdown_requested(checkpointer).await
    }
}

/// Makes processors whose type is erased.
pub(crate) type DynFactory = Arc<dyn Fn(&ShardContext) -> Box<dyn DynProcessor> + Send + Sync>;

pub(crate) fn erase(factory: impl RecordProcessorFactory) -> DynFactory {
    Arc::new(move |context| Box::new(Erased(factory.create(context))))
}
