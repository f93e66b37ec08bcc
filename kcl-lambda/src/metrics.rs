//! The metrics of a mapping, through the [`metrics`] facade: Lambda's, by names in this crate's style.
//!
//! Labels: `function` and `stream`. What is per event is emitted where the mapping's `MetricsConfig` has `EventCount`.

use std::sync::Arc;

use async_trait::async_trait;
use bytestring::ByteString;
use kcl_core::{BoxError, Timestamp};
use kcl_runtime::{
    BatchCall, ShardContext,
    dead_letter::{DeadLetter, DeadLetters},
};
use metrics::{Counter, Gauge, Histogram, Label, Unit};

use crate::mapping::{EventSourceMapping, Metric};

/// Counter: `PolledEventCount`, records that were read.
pub const POLLED: &str = "kcl_lambda_polled_events_total";
/// Counter: `FilteredOutEventCount`, records that no filter matches.
pub const FILTERED_OUT: &str = "kcl_lambda_filtered_out_events_total";
/// Counter: `InvokedEventCount`, records that the function was given; each time counts.
pub const INVOKED: &str = "kcl_lambda_invoked_events_total";
/// Counter: `FailedInvokeEventCount`, records of invocations that failed, at least in part.
pub const FAILED_INVOKE: &str = "kcl_lambda_failed_invoke_events_total";
/// Counter: `DroppedEventCount`, records that were given up.
pub const DROPPED: &str = "kcl_lambda_dropped_events_total";
/// Counter: `OnFailureDestinationDeliveredEventCount`, records that the dead letters have.
pub const DELIVERED: &str = "kcl_lambda_on_failure_destination_delivered_events_total";
/// Counter: `DestinationDeliveryFailures`, letters that the destination did not take, for now.
pub const DELIVERY_FAILURES: &str = "kcl_lambda_destination_delivery_failures_total";
/// Counter: `Invocations`.
pub const INVOCATIONS: &str = "kcl_lambda_invocations_total";
/// Counter: `Errors`, invocations that failed.
pub const ERRORS: &str = "kcl_lambda_errors_total";
/// Counter: `Throttles`, invocations for which the function had no room.
pub const THROTTLES: &str = "kcl_lambda_throttles_total";
/// Histogram, seconds: `Duration`, how long invocations took.
pub const DURATION: &str = "kcl_lambda_duration_seconds";
/// Gauge: `ConcurrentExecutions`.
pub const CONCURRENT_EXECUTIONS: &str = "kcl_lambda_concurrent_executions";
/// Histogram, milliseconds, with the label `at` (`send`, `completion`): `IteratorAge`, how old the last record of a batch was.
pub const ITERATOR_AGE: &str = "kcl_lambda_iterator_age_milliseconds";

/// Describes all metrics to the recorder.
pub(crate) fn describe() {
    for (name, text) in [
        (POLLED, "Records that were read"),
        (FILTERED_OUT, "Records that no filter matches"),
        (INVOKED, "Records that the function was given"),
        (FAILED_INVOKE, "Records of invocations that failed"),
        (DROPPED, "Records that were given up"),
        (DELIVERED, "Records that the dead letters have"),
        (DELIVERY_FAILURES, "Letters that the destination did not take"),
        (INVOCATIONS, "Invocations"),
        (ERRORS, "Invocations that failed"),
        (THROTTLES, "Invocations for which the function had no room"),
    ] {
        metrics::describe_counter!(name, Unit::Count, text);
    }
    metrics::describe_histogram!(DURATION, Unit::Seconds, "How long invocations took");
    metrics::describe_gauge!(CONCURRENT_EXECUTIONS, Unit::Count, "Invocations under way");
    metrics::describe_histogram!(
        ITERATOR_AGE,
        Unit::Milliseconds,
        "How old the last record of a batch was"
    );
}

/// How an invocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Handled,
    Failed,
    NotInvoked,
}

/// The metrics of one mapping, looked up once. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct MappingMetrics(Arc<Registered>);

struct Registered {
    events: Option<Events>,
    delivery_failures: Counter,
    invocations: Counter,
    errors: Counter,
    throttles: Counter,
    duration: Histogram,
    concurrent: Gauge,
    age_at_send: Histogram,
    age_at_completion: Histogram,
}

/// `EventCount`.
struct Events {
    polled: Counter,
    filtered_out: Counter,
    invoked: Counter,
    failed_invoke: Counter,
    dropped: Counter,
    delivered: Counter,
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registered").finish_non_exhaustive()
    }
}

impl MappingMetrics {
    pub(crate) fn new(mapping: &EventSourceMapping) -> Self {
        let labels = vec![
            Label::new("function", mapping.function_name.as_str().to_owned()),
            Label::new("stream", mapping.event_source_arn.stream().name().as_str().to_owned()),
        ];
        let counter = |name: &'static str| metrics::counter!(name, labels.iter());
        let age = |at: &'static str| {
            let mut labels = labels.clone();
            labels.push(Label::new("at", at));
            metrics::histogram!(ITERATOR_AGE, labels.iter())
        };
        let counts_events = mapping.metrics.contains(&Metric::EventCount);
        Self(Arc::new(Registered {
            events: counts_events.then(|| Events {
                polled: counter(POLLED),
                filtered_out: counter(FILTERED_OUT),
                invoked: counter(INVOKED),
                failed_invoke: counter(FAILED_INVOKE),
                dropped: counter(DROPPED),
                delivered: counter(DELIVERED),
            }),
            delivery_failures: counter(DELIVERY_FAILURES),
            invocations: counter(INVOCATIONS),
            errors: counter(ERRORS),
            throttles: counter(THROTTLES),
            duration: metrics::histogram!(DURATION, labels.iter()),
            concurrent: metrics::gauge!(CONCURRENT_EXECUTIONS, labels.iter()),
            age_at_send: age("send"),
            age_at_completion: age("completion"),
        }))
    }

    pub(crate) fn polled(&self) {
        if let Some(events) = &self.0.events {
            events.polled.increment(1);
        }
    }

    pub(crate) fn filtered_out(&self) {
        if let Some(events) = &self.0.events {
            events.filtered_out.increment(1);
        }
    }

    /// An invocation begins.
    pub(crate) fn begins(&self, call: &BatchCall) -> Running {
        let last = call.batch.last().map(|record| record.approximate_arrival_timestamp);
        if let Some(last) = last {
            self.0.age_at_send.record(millis(call.now(), last));
        }
        self.0.concurrent.increment(1.0);
        Running {
            metrics: self.clone(),
            records: call.batch.len() as u64,
            last,
            call: call.clone(),
            started: call.now(),
            ended: None,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "histograms are coarser than that")]
fn millis(at: Timestamp, last: Timestamp) -> f64 {
    at.millis_since(last) as f64
}

/// An invocation that runs. One that is given up counts as ended when this is dropped.
pub(crate) struct Running {
    metrics: MappingMetrics,
    records: u64,
    last: Option<Timestamp>,
    call: BatchCall,
    started: Timestamp,
    ended: Option<Ended>,
}

impl Running {
    pub(crate) fn ended(mut self, ended: Ended) {
        self.ended = Some(ended);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let registered = &self.metrics.0;
        registered.concurrent.decrement(1.0);
        let Some(ended) = self.ended else { return };
        if ended == Ended::NotInvoked {
            registered.throttles.increment(1);
            return;
        }
        let now = self.call.now();
        registered.invocations.increment(1);
        registered.duration.record(millis(now, self.started) / 1_000.0);
        if let Some(last) = self.last {
            registered.age_at_completion.record(millis(now, last));
        }
        if let Some(events) = &registered.events {
            events.invoked.increment(self.records);
            if ended == Ended::Failed {
                events.failed_invoke.increment(self.records);
            }
        }
        if ended == Ended::Failed {
            registered.errors.increment(1);
        }
    }
}

/// Dead letters that are counted.
#[derive(Debug)]
pub(crate) struct CountedLetters {
    pub(crate) letters: Arc<dyn DeadLetters>,
    pub(crate) metrics: MappingMetrics,
}

#[async_trait]
impl DeadLetters for CountedLetters {
    async fn keep(&self, letter: &DeadLetter) -> Result<(), BoxError> {
        let kept = self.letters.keep(letter).await;
        let registered = &self.metrics.0;
        match (&kept, &registered.events) {
            (Ok(()), Some(events)) => {
                events.dropped.increment(letter.batch.len() as u64);
                events.delivered.increment(letter.batch.len() as u64);
            }
            (Ok(()), None) => {}
            (Err(_), _) => registered.delivery_failures.increment(1),
        }
        kept
    }

    async fn quarantined(&self, shard: &ShardContext) -> Result<Vec<ByteString>, BoxError> {
        self.letters.quarantined(shard).await
    }
}
