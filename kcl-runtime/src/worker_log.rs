//! What happens to a worker, as log events and metrics: one event per change of state.

use kcl_core::worker::WorkerEvent;

use crate::metrics::WorkerMetrics;

pub(crate) fn event(metrics: &WorkerMetrics, event: &WorkerEvent) {
    metrics.kcl.event(event);
    match event {
        WorkerEvent::LeaseTaken { key, from, checkpoint } => {
            metrics.leases_taken.increment(1);
            let from = from.as_ref().map(tracing::field::display);
            tracing::info!(lease = %key, from, %checkpoint, "lease taken");
        }
        WorkerEvent::LeaseLost { key, reason, to } => {
            metrics.lease_lost(reason.as_str());
            let to = to.as_ref().map(tracing::field::display);
            tracing::warn!(lease = %key, reason = reason.as_str(), to, "lease lost");
        }
        WorkerEvent::LeaseReleased { key, checkpoint } => tracing::info!(lease = %key, %checkpoint, "lease released"),
        WorkerEvent::HandOffRequested { key, from } => tracing::info!(lease = %key, %from, "hand-off requested"),
        WorkerEvent::HandOffStarted { key, to } => tracing::info!(lease = %key, %to, "hand-off started"),
        WorkerEvent::HandOffFinished { key, to, checkpoint } => {
            let to = to.as_ref().map(tracing::field::display);
            tracing::info!(lease = %key, to, %checkpoint, "hand-off finished");
        }
        WorkerEvent::ShardFinished { key, children } => {
            tracing::info!(lease = %key, ?children, "shard finished, its children may begin");
        }
        WorkerEvent::ShardExpired { key, checkpoint } => tracing::error!(
            lease = %key, %checkpoint,
            "the shard fell out of retention before it was handled to its end: what it still held is lost"
        ),
        WorkerEvent::LeaseCreated { key, checkpoint } => tracing::info!(lease = %key, %checkpoint, "lease created"),
        WorkerEvent::LeaseRestored { key, checkpoint } => tracing::error!(
            lease = %key, %checkpoint,
            "the row of a held lease was deleted; it was put back with the progress that was known. \
             Stop the workers before rows are deleted"
        ),
        WorkerEvent::LeaseDeleted { key } => tracing::info!(lease = %key, "lease of a finished shard deleted"),
        WorkerEvent::Sought { key, from, to } => {
            metrics.seeks.increment(1);
            tracing::warn!(lease = %key, %from, %to, "an operator moved the checkpoint; reading goes on there");
        }
        WorkerEvent::Paused { key, paused: true } => tracing::info!(lease = %key, "the shard is paused"),
        WorkerEvent::Paused { key, paused: false } => tracing::info!(lease = %key, "the shard is resumed"),
        WorkerEvent::Checkpointed { key, position } => {
            metrics.checkpoints.increment(1);
            tracing::debug!(lease = %key, %position, "checkpointed");
        }
        WorkerEvent::StoreTrouble {
            operation,
            message,
            failures,
        } => {
            tracing::warn!(%operation, %message, failures, "the lease table has trouble");
        }
        WorkerEvent::UnreadableRow { key, reason } => {
            tracing::error!(row = %key.escape_debug(), %reason, "a row of the lease table is no lease; it is left alone");
        }
        WorkerEvent::StreamAdded { stream } => tracing::info!(%stream, "stream added"),
        WorkerEvent::StreamRemoved { stream } => tracing::info!(%stream, "stream removed"),
        WorkerEvent::StreamLost { stream, failure } => {
            tracing::error!(%stream, %failure, "the stream is read no more; the worker goes on with the others");
        }
        WorkerEvent::ServiceTrouble {
            stream,
            message,
            retry_in,
        } => {
            let retry_in_ms = retry_in.as_millis();
            let stream = stream.as_ref().map(tracing::field::display);
            tracing::warn!(stream, %message, retry_in_ms, "the stream's shards cannot be listed, it is tried again");
        }
        WorkerEvent::Resumed { key, session } => {
            let session = session.map(tracing::field::display);
            tracing::info!(lease = %key, session, "the lease of an earlier life of this worker is resumed");
        }
        WorkerEvent::Stopping { failure: Some(failure) } => tracing::error!(%failure, "the worker stops"),
        WorkerEvent::Stopping { failure: None } => tracing::info!("the worker stops"),
        _ => {}
    }
}
