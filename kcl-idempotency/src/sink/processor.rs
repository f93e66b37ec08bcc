//! [`EffectivelyOnce`]: a sink as what a worker calls.

use std::{fmt, sync::Arc};

use kcl_core::{ApplicationName, Batch, BoxError};
use kcl_runtime::{Checkpointer, RecordProcessor, RecordProcessorFactory, ShardContext};

use super::{SinkShard, TransactionalSink};

/// Makes processors that apply records to a [`TransactionalSink`], for
/// [`WorkerBuilder::processor`](kcl_runtime::WorkerBuilder::processor). After each batch, the lease table's checkpoint follows.
pub struct EffectivelyOnce<S> {
    application: ApplicationName,
    sink: Arc<S>,
}

impl<S> fmt::Debug for EffectivelyOnce<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EffectivelyOnce")
            .field("application", &self.application)
            .finish_non_exhaustive()
    }
}

impl<S: TransactionalSink> EffectivelyOnce<S> {
    /// Processors of this application, which all write to this sink.
    #[must_use]
    pub fn new(application: ApplicationName, sink: Arc<S>) -> Self {
        Self { application, sink }
    }
}

impl<S: TransactionalSink> RecordProcessorFactory for EffectivelyOnce<S> {
    type Processor = SinkProcessor<S>;

    fn create(&self, context: &ShardContext) -> SinkProcessor<S> {
        let (application, shard) = (self.application.clone(), context.shard.clone());
        let shard = match &context.stream_id {
            Some(id) => SinkShard::new(application, id.clone(), shard),
            None => SinkShard::new(application, context.stream.clone(), shard),
        };
        SinkProcessor {
            sink: Arc::clone(&self.sink),
            shard,
        }
    }
}

/// Applies the records of one shard to a sink.
pub struct SinkProcessor<S> {
    sink: Arc<S>,
    shard: SinkShard,
}

impl<S> fmt::Debug for SinkProcessor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkProcessor")
            .field("shard", &self.shard)
            .finish_non_exhaustive()
    }
}

impl<S: TransactionalSink> RecordProcessor for SinkProcessor<S> {
    async fn process_records(&mut self, batch: &Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        let applied = self.sink.apply(&self.shard, batch).await?;
        if applied.skipped > 0 {
            let (skipped, shard) = (applied.skipped, &self.shard.shard);
            tracing::info!(%shard, skipped, "records came again that were applied before");
        }
        checkpointer.checkpoint().await?;
        Ok(())
    }
}
