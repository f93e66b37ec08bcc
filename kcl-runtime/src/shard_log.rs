//! What happens to a shard, as log events and metrics: one event per change of state, none per record.

use kcl_core::shard::{Call, ShardEvent};
use tracing::Span;

use crate::metrics::ShardMetrics;

/// The span of one call to the user's code.
pub(crate) fn call_span(call: &Call) -> Span {
    match call {
        Call::Process { batch, attempt, .. } => {
            let first = batch.first().map(|record| record.position().to_string());
            tracing::debug_span!("batch", first, records = batch.len(), attempt)
        }
        call => tracing::debug_span!("call", name = call.name()),
    }
}

pub(crate) fn event(metrics: &ShardMetrics, event: &ShardEvent) {
    metrics.kcl.event(event);
    match event {
        ShardEvent::Phase(phase) => tracing::debug!(%phase, "consumer"),
        ShardEvent::Opened { position } => tracing::info!(%position, "shard opened"),
        ShardEvent::Fetched {
            records,
            bytes,
            millis_behind_latest,
        } => {
            tracing::trace!(records, bytes, millis_behind_latest, "read");
        }
        ShardEvent::FetchFailed {
            kind,
            message,
            failures,
            retry_in,
        } => {
            metrics.source_failed(kind.as_str());
            let retry_in_ms = retry_in.as_millis();
            // One expired iterator is ordinary; trouble that goes on is told louder.
            if *failures <= 1 {
                tracing::info!(kind = kind.as_str(), %message, retry_in_ms, "read failed, it is tried again");
            } else {
                tracing::warn!(kind = kind.as_str(), %message, failures, retry_in_ms, "read fails, it is tried again");
            }
        }
        ShardEvent::OutOfRange { records, total, rule } => {
            metrics.out_of_range(rule.as_str(), *records);
            let rule = rule.as_str();
            // Told once for a lease's tenure; the counter says how many they become.
            if records == total {
                tracing::warn!(
                    records,
                    rule,
                    "aggregates hold records whose hash keys belong to other shards: the stream was resharded, or its \
                     producers aggregate without regard to shards"
                );
            } else {
                tracing::debug!(records, total, rule, "records of other shards in aggregates");
            }
        }
        ShardEvent::Retrieval {
            retrieval,
            fallback,
            insists,
        } => {
            metrics.retrieval(*retrieval, fallback.as_ref().map(|failure| failure.kind.as_str()));
            match fallback {
                None => {
                    metrics.fallback.ends();
                    tracing::info!(%retrieval, "the shard is read");
                }
                Some(failure) => {
                    let (kind, message) = (failure.kind.as_str(), &failure.message);
                    let is_first = metrics.fallback.begins();
                    if *insists && is_first {
                        tracing::warn!(
                            kind,
                            %message,
                            "no subscription is to be had: this shard is polled, as others of the stream will be that have \
                             the same trouble, and fan-out is tried again later"
                        );
                    } else {
                        tracing::info!(kind, %message, "no subscription is to be had: the shard is polled, and fan-out is tried again later");
                    }
                }
            }
        }
        ShardEvent::Stalled {
            stall,
            time,
            cures,
            retry_in,
        } => {
            metrics.stalled(stall.as_str());
            let (stalled_ms, retry_in_ms) = (time.as_millis(), retry_in.as_millis());
            // Once an episode out loud; what follows is in the status.
            if *cures == 1 {
                tracing::warn!(%stall, stalled_ms, "the shard stands still: it is opened again at the exact place");
            } else {
                tracing::debug!(%stall, stalled_ms, cures, retry_in_ms, "the shard still stands still");
            }
        }
        ShardEvent::Flows { stall, time, cures } => {
            let stalled_ms = time.as_millis();
            tracing::info!(stall = stall.as_str(), stalled_ms, cures, "the shard goes on");
        }
        ShardEvent::CallSlow { call, time } => {
            metrics.slow_call(call);
            let running_ms = time.as_millis();
            tracing::warn!(
                call,
                running_ms,
                "the handler works on one call for long; it is not disturbed"
            );
        }
        ShardEvent::Paused => metrics.paused.set(1.0),
        ShardEvent::Resumed => metrics.paused.set(0.0),
        ShardEvent::Handled { records, bytes } => {
            metrics.records.increment(*records as u64);
            metrics.bytes.increment(*bytes);
        }
        ShardEvent::CallFailed {
            call,
            attempt,
            first,
            error,
            retry_in,
        } => {
            metrics.handler_failed(call);
            let first = first.as_ref().map(ToString::to_string);
            let retry_in_ms = retry_in.map(|wait| wait.as_millis());
            match retry_in_ms {
                Some(_) => tracing::warn!(
                    call, attempt, first, %error, retry_in_ms,
                    "the handler failed; its lane waits and the same records are delivered again"
                ),
                None => tracing::warn!(
                    call, attempt, first, %error,
                    "the handler failed, and is not called again with the same records: they are given up, or the consumer stops and the next \
                     holder of the lease gets them"
                ),
            }
        }
        ShardEvent::Filtered { records, unreadable } => {
            metrics.filtered.increment(*records);
            metrics.unreadable.increment(*unreadable);
        }
        ShardEvent::Discarded {
            records,
            reason,
            attempts,
        } => {
            metrics.discarded(reason.as_str(), *records as u64);
            tracing::warn!(records, %reason, attempts, "records were given up and are kept as dead letters");
        }
        ShardEvent::Circuit { open: true } => {
            tracing::warn!("the handler fails again and again: it is left alone for a while, then one call tries it");
        }
        ShardEvent::Circuit { open: false } => tracing::info!("the handler works again"),
        ShardEvent::HeldUp {
            first,
            attempts,
            records,
        } => tracing::warn!(
            %first, attempts, records,
            "the shard stands still: all that may wait waits for lanes that fail, of which this record's is the oldest"
        ),
        ShardEvent::Repeats { records } => {
            metrics.repeats.increment(*records as u64);
            tracing::info!(
                records,
                "handled records lie behind one that is not; whoever reads the shard next handles them again"
            );
        }
        _ => {}
    }
}
