//! The names, units and labels of everything that is measured, through the `metrics` facade.
//!
//! All carry the labels `application` and `stream`; those of a shard also `shard`, those of a worker also `worker`.
//! Install any recorder of the `metrics` ecosystem to receive them; without one they cost next to nothing.

use kcl_core::fetch::Retrieval;
use metrics::{Counter, Gauge, Histogram, Label, Unit};

use crate::{
    fallbacks::ShardFallback,
    kcl_metrics::{Recorder, ShardRecorder},
};

/// Gauge, milliseconds, per shard: how far behind the tip of the shard its consumer is. While records wait for the
/// handler it is the age of the oldest of them.
pub const ITERATOR_AGE: &str = "kcl_iterator_age_milliseconds";
/// Gauge, milliseconds, per worker: the worst iterator age of the shards that it holds.
pub const WORKER_ITERATOR_AGE: &str = "kcl_worker_iterator_age_milliseconds";
/// Counter, per shard: records that were handled.
pub const RECORDS: &str = "kcl_records_total";
/// Counter, bytes, per shard: data and partition keys of the records that were handled.
pub const BYTES: &str = "kcl_bytes_total";
/// Histogram, seconds, per shard: how long calls to the handler took, failed ones included.
pub const HANDLER_SECONDS: &str = "kcl_handler_seconds";
/// Histogram, records, per shard: how large the batches were that the handler got.
pub const BATCH_RECORDS: &str = "kcl_batch_records";
/// Counter, per shard, with the label `call`: calls to the user's code that failed and are repeated.
pub const HANDLER_FAILURES: &str = "kcl_handler_failures_total";
/// Counter, per shard, with the label `kind`: opens and reads that failed and are repeated.
pub const SOURCE_FAILURES: &str = "kcl_source_failures_total";
/// Counter, per shard, with the label `rule` (deliver, skip): records of aggregates whose hash keys belong to other shards.
pub const OUT_OF_RANGE: &str = "kcl_out_of_range_records_total";
/// Gauge, per shard: 1 while it is subscribed to (enhanced fan-out), 0 while it is polled.
pub const FAN_OUT: &str = "kcl_fan_out";
/// Counter, per shard, with the label `kind`: how often polling had to take the place of enhanced fan-out, by what stood in the
/// way.
pub const FALLBACKS: &str = "kcl_fan_out_fallbacks_total";
/// Gauge, bytes, per shard: memory of the records that were read and not yet handled.
pub const BUFFERED_BYTES: &str = "kcl_buffered_bytes";
/// Gauge, calls, per shard: calls to the handler that run.
pub const CALLS_RUNNING: &str = "kcl_calls_running";
/// Gauge, lanes, per shard: lanes whose last call failed and that try the same records again.
pub const LANES_FAILING: &str = "kcl_lanes_failing";
/// Gauge, records, per shard: from the first that is not handled to the newest that was delivered.
pub const WINDOW_RECORDS: &str = "kcl_window_records";
/// Counter, per shard: records that were handled and are handled again by whoever reads the shard next, since an earlier
/// one was not when the consumer ended.
pub const REPEATS: &str = "kcl_repeats_total";
/// Counter, per shard, with the label `unreadable` (true where nobody could say whether the record was asked for): records
/// that were left out by a filter.
pub const FILTERED: &str = "kcl_filtered_records_total";
/// Counter, per shard, with the label `reason`: records that were given up and are kept as dead letters.
pub const DISCARDED: &str = "kcl_discarded_records_total";
/// Counter, per worker: checkpoints that were written.
pub const CHECKPOINTS: &str = "kcl_checkpoints_total";
/// Counter, per worker: held leases whose checkpoint an operator moved.
pub const SEEKS: &str = "kcl_seeks_total";
/// Counter, per shard, with the label `kind` (unanswered, silent): how often a shard that stood still was opened again.
pub const STALLS: &str = "kcl_stalls_total";
/// Counter, per shard, with the label `call`: calls of the user's code that ran for longer than is usual.
pub const SLOW_CALLS: &str = "kcl_slow_calls_total";
/// Gauge, per shard: 1 while it is paused.
pub const PAUSED: &str = "kcl_paused";
/// Gauge, per worker: leases that are held.
pub const LEASES_HELD: &str = "kcl_leases_held";
/// Counter, per worker: leases that were taken.
pub const LEASES_TAKEN: &str = "kcl_leases_taken_total";
/// Counter, per worker, with the label `reason`: leases that were lost against the worker's will.
pub const LEASES_LOST: &str = "kcl_leases_lost_total";
/// Counter, per worker, with the labels `operation` and `outcome` (applied, conflict, error): requests to the lease table.
pub const STORE_OPERATIONS: &str = "kcl_store_operations_total";

/// Counter: requests that were to emit KCL's metrics and failed; see [`kcl_metrics`](crate::kcl_metrics).
pub const PUT_FAILURES: &str = "kcl_metrics_put_failures_total";
/// Counter: KCL's metrics that were dropped: values without room, and statistic sets that could not be emitted.
pub const DATA_DROPPED: &str = "kcl_metrics_dropped_total";

/// Tells the recorder what the metrics mean. Called by every worker; calling it again does no harm.
pub fn describe() {
    metrics::describe_gauge!(
        ITERATOR_AGE,
        Unit::Milliseconds,
        "How far behind the tip of the shard its consumer is"
    );
    metrics::describe_gauge!(
        WORKER_ITERATOR_AGE,
        Unit::Milliseconds,
        "The worst iterator age of a worker's shards"
    );
    metrics::describe_counter!(RECORDS, Unit::Count, "Records that were handled");
    metrics::describe_counter!(
        BYTES,
        Unit::Bytes,
        "Data and partition keys of the records that were handled"
    );
    metrics::describe_histogram!(HANDLER_SECONDS, Unit::Seconds, "How long calls to the handler took");
    metrics::describe_histogram!(
        BATCH_RECORDS,
        Unit::Count,
        "How large the batches were that the handler got"
    );
    metrics::describe_counter!(FILTERED, Unit::Count, "Records that were left out by a filter");
    metrics::describe_counter!(
        DISCARDED,
        Unit::Count,
        "Records that were given up and are kept as dead letters"
    );
    metrics::describe_counter!(HANDLER_FAILURES, Unit::Count, "Calls to the user's code that failed");
    metrics::describe_counter!(SOURCE_FAILURES, Unit::Count, "Opens and reads that failed");
    metrics::describe_counter!(
        OUT_OF_RANGE,
        Unit::Count,
        "Records of aggregates whose hash keys belong to other shards"
    );
    metrics::describe_gauge!(FAN_OUT, Unit::Count, "1 while the shard is subscribed to");
    metrics::describe_counter!(FALLBACKS, Unit::Count, "Times that polling took the place of fan-out");
    metrics::describe_gauge!(
        BUFFERED_BYTES,
        Unit::Bytes,
        "Memory of records read and not yet handled"
    );
    metrics::describe_gauge!(CALLS_RUNNING, Unit::Count, "Calls to the handler that run");
    metrics::describe_gauge!(LANES_FAILING, Unit::Count, "Lanes whose last call failed");
    metrics::describe_gauge!(
        WINDOW_RECORDS,
        Unit::Count,
        "Records from the first that is not handled to the newest that was delivered"
    );
    metrics::describe_counter!(
        REPEATS,
        Unit::Count,
        "Records that were handled and will be handled again"
    );
    metrics::describe_counter!(CHECKPOINTS, Unit::Count, "Checkpoints that were written");
    metrics::describe_counter!(SEEKS, Unit::Count, "Held leases whose checkpoint an operator moved");
    metrics::describe_counter!(
        STALLS,
        Unit::Count,
        "How often a shard that stood still was opened again"
    );
    metrics::describe_counter!(SLOW_CALLS, Unit::Count, "Calls of the user's code that ran for long");
    metrics::describe_gauge!(PAUSED, Unit::Count, "1 while the shard is paused");
    metrics::describe_gauge!(LEASES_HELD, Unit::Count, "Leases that are held");
    metrics::describe_counter!(LEASES_TAKEN, Unit::Count, "Leases that were taken");
    metrics::describe_counter!(
        LEASES_LOST,
        Unit::Count,
        "Leases that were lost against the worker's will"
    );
    metrics::describe_counter!(PUT_FAILURES, Unit::Count, "Requests to emit KCL's metrics that failed");
    metrics::describe_counter!(DATA_DROPPED, Unit::Count, "KCL's metrics that were dropped");
    metrics::describe_counter!(STORE_OPERATIONS, Unit::Count, "Requests to the lease table");
}

/// The metrics of one shard, looked up once.
#[derive(Clone)]
pub(crate) struct ShardMetrics {
    labels: Vec<Label>,
    pub(crate) iterator_age: Gauge,
    pub(crate) records: Counter,
    pub(crate) bytes: Counter,
    pub(crate) handler_seconds: Histogram,
    pub(crate) batch_records: Histogram,
    pub(crate) buffered_bytes: Gauge,
    fan_out: Gauge,
    pub(crate) calls_running: Gauge,
    pub(crate) lanes_failing: Gauge,
    pub(crate) window_records: Gauge,
    pub(crate) repeats: Counter,
    pub(crate) filtered: Counter,
    pub(crate) unreadable: Counter,
    /// KCL's own metrics.
    pub(crate) kcl: ShardRecorder,
    pub(crate) paused: Gauge,
    /// Whether it is the shard whose fall-back is told of for all of the stream.
    pub(crate) fallback: ShardFallback,
}

impl ShardMetrics {
    pub(crate) fn new(application: &str, stream: &str, shard: &str) -> Self {
        let labels = labels([("application", application), ("stream", stream), ("shard", shard)]);
        Self {
            iterator_age: metrics::gauge!(ITERATOR_AGE, labels.iter()),
            records: metrics::counter!(RECORDS, labels.iter()),
            bytes: metrics::counter!(BYTES, labels.iter()),
            handler_seconds: metrics::histogram!(HANDLER_SECONDS, labels.iter()),
            batch_records: metrics::histogram!(BATCH_RECORDS, labels.iter()),
            buffered_bytes: metrics::gauge!(BUFFERED_BYTES, labels.iter()),
            fan_out: metrics::gauge!(FAN_OUT, labels.iter()),
            calls_running: metrics::gauge!(CALLS_RUNNING, labels.iter()),
            lanes_failing: metrics::gauge!(LANES_FAILING, labels.iter()),
            window_records: metrics::gauge!(WINDOW_RECORDS, labels.iter()),
            repeats: metrics::counter!(REPEATS, labels.iter()),
            filtered: metrics::counter!(FILTERED, with(&labels, "unreadable", "false")),
            unreadable: metrics::counter!(FILTERED, with(&labels, "unreadable", "true")),
            kcl: ShardRecorder::default(),
            paused: metrics::gauge!(PAUSED, labels.iter()),
            fallback: ShardFallback::default(),
            labels,
        }
    }

    /// Emits KCL's metrics too.
    pub(crate) fn with_kcl(self, kcl: ShardRecorder) -> Self {
        Self { kcl, ..self }
    }

    /// Tells of fall-backs together with the other shards of the stream.
    pub(crate) fn with_fallback(self, fallback: ShardFallback) -> Self {
        Self { fallback, ..self }
    }

    pub(crate) fn handler_failed(&self, call: &'static str) {
        metrics::counter!(HANDLER_FAILURES, with(&self.labels, "call", call)).increment(1);
    }

    pub(crate) fn source_failed(&self, kind: &'static str) {
        metrics::counter!(SOURCE_FAILURES, with(&self.labels, "kind", kind)).increment(1);
    }

    pub(crate) fn out_of_range(&self, rule: &'static str, records: u64) {
        metrics::counter!(OUT_OF_RANGE, with(&self.labels, "rule", rule)).increment(records);
    }

    pub(crate) fn discarded(&self, reason: &'static str, records: u64) {
        metrics::counter!(DISCARDED, with(&self.labels, "reason", reason)).increment(records);
    }

    pub(crate) fn retrieval(&self, retrieval: Retrieval, fallback: Option<&'static str>) {
        let is_subscribed = retrieval == Retrieval::FanOut;
        self.fan_out.set(if is_subscribed { 1.0 } else { 0.0 });
        if let Some(kind) = fallback {
            metrics::counter!(FALLBACKS, with(&self.labels, "kind", kind)).increment(1);
        }
    }

    pub(crate) fn stalled(&self, kind: &'static str) {
        metrics::counter!(STALLS, with(&self.labels, "kind", kind)).increment(1);
    }

    pub(crate) fn slow_call(&self, call: &'static str) {
        metrics::counter!(SLOW_CALLS, with(&self.labels, "call", call)).increment(1);
    }

    /// The consumer ended: what it measured is no longer so.
    pub(crate) fn ended(&self) {
        self.iterator_age.set(0.0);
        self.buffered_bytes.set(0.0);
        self.fan_out.set(0.0);
        self.calls_running.set(0.0);
        self.lanes_failing.set(0.0);
        self.window_records.set(0.0);
        self.paused.set(0.0);
        self.fallback.ends();
    }
}

/// The metrics of one worker, looked up once.
#[derive(Clone)]
pub(crate) struct WorkerMetrics {
    labels: Vec<Label>,
    pub(crate) iterator_age: Gauge,
    pub(crate) checkpoints: Counter,
    pub(crate) leases_held: Gauge,
    pub(crate) seeks: Counter,
    pub(crate) leases_taken: Counter,
    /// KCL's own metrics.
    pub(crate) kcl: Recorder,
}

impl WorkerMetrics {
    pub(crate) fn new(application: &str, stream: &str, worker: &str) -> Self {
        let labels = labels([("application", application), ("stream", stream), ("worker", worker)]);
        Self {
            iterator_age: metrics::gauge!(WORKER_ITERATOR_AGE, labels.iter()),
            checkpoints: metrics::counter!(CHECKPOINTS, labels.iter()),
            leases_held: metrics::gauge!(LEASES_HELD, labels.iter()),
            seeks: metrics::counter!(SEEKS, labels.iter()),
            leases_taken: metrics::counter!(LEASES_TAKEN, labels.iter()),
            kcl: Recorder::default(),
            labels,
        }
    }

    /// Emits KCL's metrics too.
    pub(crate) fn with_kcl(self, kcl: Recorder) -> Self {
        Self { kcl, ..self }
    }

    pub(crate) fn lease_lost(&self, reason: &'static str) {
        metrics::counter!(LEASES_LOST, with(&self.labels, "reason", reason)).increment(1);
    }

    pub(crate) fn store_operation(&self, operation: &'static str, outcome: &'static str) {
        let mut labels = with(&self.labels, "operation", operation);
        labels.push(Label::from_static_parts("outcome", outcome));
        metrics::counter!(STORE_OPERATIONS, labels).increment(1);
    }
}

fn labels(pairs: [(&'static str, &str); 3]) -> Vec<Label> {
    pairs
        .into_iter()
        .map(|(key, value)| Label::new(key, value.to_owned()))
        .collect()
}

fn with(labels: &[Label], key: &'static str, value: &'static str) -> Vec<Label> {
    let mut labels = labels.to_vec();
    labels.push(Label::from_static_parts(key, value));
    labels
}
