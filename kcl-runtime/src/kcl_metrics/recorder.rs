//! What happens to a worker and its shards, under KCL's names.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kcl_core::{
    LeaseWrite, ShardId, StoreOperation, StreamId, Timestamp, WorkerId,
    fetch::FetchFailureKind,
    shard::ShardEvent,
    worker::{LeaseState, WorkerEvent, WorkerStatus},
};

use super::{
    KclMetrics, MetricDatum, MetricsLevel,
    aggregate::{Aggregator, Scope},
    names::{self, Metric},
};

/// A request to the lease table, as KCL tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreCall {
    List,
    Create,
    Take,
    Renew,
    Publish,
    Other,
}

impl StoreCall {
    pub(crate) fn reading(operation: StoreOperation) -> Self {
        match operation {
            StoreOperation::List => Self::List,
            StoreOperation::Publish => Self::Publish,
            _ => Self::Other,
        }
    }

    /// A write by `worker`: who keeps the owner as it is, renews.
    pub(crate) fn updating(write: &LeaseWrite, worker: &WorkerId) -> Self {
        match &write.patch.owner {
            Some(Some(owner)) if owner == worker => Self::Take,
            Some(_) => Self::Other,
            None => Self::Renew,
        }
    }
}

/// Adds up what a worker does; without metrics to emit it does nothing. Clones add to the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    aggregator: Mutex<Aggregator>,
    worker: Arc<str>,
}

/// The same for one shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShardRecorder(Option<Arc<ShardInner>>);

#[derive(Debug)]
struct ShardInner {
    worker: Arc<Inner>,
    process: Scope,
    initialize: Scope,
    shutdown: Scope,
}

impl Inner {
    fn add(&self, scope: &Scope, metric: Metric, value: f64) {
        let mut aggregator = self.aggregator.lock().unwrap_or_else(PoisonError::into_inner);
        aggregator.add(scope, metric, value);
    }

    fn add_request(&self, scope: &Scope, metrics: [Metric; 2], is_success: bool, took: Duration) {
        let [success, time] = metrics;
        self.add(scope, success, f64::from(u8::from(is_success)));
        self.add(scope, time, millis(took));
    }

    fn of_worker(&self, operation: &'static str) -> Scope {
        Scope {
            worker: Some(Arc::clone(&self.worker)),
            ..Scope::of(operation)
        }
    }
}

impl Recorder {
    pub(crate) fn new(metrics: &KclMetrics, worker: &WorkerId) -> Self {
        if metrics.level == MetricsLevel::None {
            return Self(None);
        }
        let aggregator = Aggregator::new(metrics.level, metrics.dimensions.clone());
        Self(Some(Arc::new(Inner {
            aggregator: Mutex::new(aggregator),
            worker: worker.as_str().into(),
        })))
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// What was added up, and how many values had no room.
    pub(super) fn take(&self, at: Timestamp) -> (Vec<MetricDatum>, u64) {
        match &self.0 {
            Some(inner) => {
                let mut aggregator = inner.aggregator.lock().unwrap_or_else(PoisonError::into_inner);
                aggregator.take(at)
            }
            None => (Vec::new(), 0),
        }
    }

    pub(crate) fn of_shard(&self, stream: Option<&StreamId>, shard: &ShardId) -> ShardRecorder {
        let Some(inner) = &self.0 else {
            return ShardRecorder::default();
        };
        let (stream, shard): (Option<Arc<str>>, Arc<str>) =
            (stream.map(|stream| stream.to_string().into()), shard.as_str().into());
        let scope = |operation| Scope {
            shard: Some(Arc::clone(&shard)),
            stream: stream.clone(),
            ..Scope::of(operation)
        };
        ShardRecorder(Some(Arc::new(ShardInner {
            worker: Arc::clone(inner),
            process: scope(names::PROCESS_TASK),
            initialize: scope(names::INITIALIZE_TASK),
            shutdown: scope(names::SHUTDOWN_TASK),
        })))
    }

    pub(crate) fn store(&self, call: StoreCall, is_success: bool, took: Duration) {
        let Some(inner) = &self.0 else { return };
        let (scope, metrics) = match call {
            StoreCall::List => (
                inner.of_worker(names::TAKE_LEASES),
                [names::LIST_LEASES_SUCCESS, names::LIST_LEASES_TIME],
            ),
            StoreCall::Take => (
                inner.of_worker(names::TAKE_LEASES),
                [names::TAKE_LEASE_SUCCESS, names::TAKE_LEASE_TIME],
            ),
            StoreCall::Renew => (
                inner.of_worker(names::RENEW_ALL_LEASES),
                [names::RENEW_LEASE_SUCCESS, names::RENEW_LEASE_TIME],
            ),
            StoreCall::Create => (
                Scope::of(names::SHARD_SYNC_TASK),
                [names::CREATE_LEASE_SUCCESS, names::CREATE_LEASE_TIME],
            ),
            StoreCall::Publish => (
                inner.of_worker(names::METRIC_STATS_REPORTER),
                [names::SUCCESS, names::TIME],
            ),
            StoreCall::Other => return,
        };
        inner.add_request(&scope, metrics, is_success, took);
    }

    pub(crate) fn shards_listed(&self, stream: Option<&StreamId>, is_success: bool, took: Duration) {
        let Some(inner) = &self.0 else { return };
        let scope = Scope {
            stream: stream.map(|stream| stream.to_string().into()),
            ..Scope::of(names::SHARD_SYNC_TASK)
        };
        inner.add_request(&scope, [names::SUCCESS, names::TIME], is_success, took);
        inner.add(&scope, names::SYNC_SHARDS_SUCCESS, f64::from(u8::from(is_success)));
    }

    pub(crate) fn event(&self, event: &WorkerEvent) {
        let Some(inner) = &self.0 else { return };
        match event {
            WorkerEvent::LeaseTaken { .. } => {
                inner.add(&inner.of_worker(names::TAKE_LEASES), names::TAKEN_LEASES, 1.0);
            }
            WorkerEvent::LeaseLost { .. } => {
                inner.add(&inner.of_worker(names::RENEW_ALL_LEASES), names::LOST_LEASES, 1.0);
            }
            _ => {}
        }
    }

    /// What is so at the moment: how far behind the worst shard is, and how many leases the worker holds.
    pub(crate) fn gauges(&self, behind: Duration, leases_held: usize) {
        let Some(inner) = &self.0 else { return };
        let tracker = Scope::of(names::APPLICATION_TRACKER);
        inner.add(&tracker, names::MILLIS_BEHIND_LATEST, millis(behind));
        let renewing = inner.of_worker(names::RENEW_ALL_LEASES);
        inner.add(&renewing, names::CURRENT_LEASES, number(leases_held));
    }

    /// The fleet, as the worker saw it in its last scan; `streams` where it reads several.
    pub(crate) fn fleet(&self, status: &WorkerStatus, me: &WorkerId, streams: Option<usize>) {
        let Some(inner) = &self.0 else { return };
        let mut workers: Vec<&WorkerId> = Vec::new();
        for lease in &status.leases {
            match &lease.state {
                LeaseState::HeldBy(holder) | LeaseState::HandOff { from: holder, .. } => workers.push(holder),
                LeaseState::HeldWaitingForParents
                | LeaseState::HeldConsuming
                | LeaseState::HeldStopping
                | LeaseState::HeldClosing => workers.push(me),
                _ => {}
            }
        }
        workers.sort_unstable();
        workers.dedup();
        let taking = inner.of_worker(names::TAKE_LEASES);
        inner.add(&taking, names::TOTAL_LEASES, number(status.leases.len()));
        inner.add(&taking, names::NUM_WORKERS, number(workers.len()));
        if let Some(streams) = streams {
            let tracker = Scope::of(names::MULTI_STREAM_TRACKER);
            inner.add(&tracker, names::ACTIVE_STREAMS, number(streams));
        }
    }
}

impl ShardRecorder {
    pub(crate) fn event(&self, event: &ShardEvent) {
        let Some(inner) = &self.0 else { return };
        let add = |metric, value| inner.worker.add(&inner.process, metric, value);
        match event {
            ShardEvent::Fetched {
                millis_behind_latest, ..
            } => {
                add(names::GET_RECORDS_SUCCESS, 1.0);
                if let Some(behind) = millis_behind_latest {
                    add(names::MILLIS_BEHIND_LATEST, wide(*behind));
                }
            }
            ShardEvent::FetchFailed { kind, .. } => {
                add(names::GET_RECORDS_SUCCESS, 0.0);
                if *kind == FetchFailureKind::Expired {
                    // KCL names no shard here.
                    let scope = Scope {
                        shard: None,
                        ..inner.process.clone()
                    };
                    inner.worker.add(&scope, names::EXPIRED_ITERATOR, 1.0);
                }
            }
            ShardEvent::Handled { records, bytes } => {
                add(names::SUCCESS, 1.0);
                add(names::RECORDS_PROCESSED, number(*records));
                add(names::DATA_BYTES_PROCESSED, wide(*bytes));
            }
            ShardEvent::CallFailed { call, .. } if *call == "process_records" => add(names::SUCCESS, 0.0),
            _ => {}
        }
    }

    /// A call to the user's code ended, well or not.
    pub(crate) fn called(&self, call: &str, took: Duration) {
        let Some(inner) = &self.0 else { return };
        let took = millis(took);
        match call {
            "process_records" => {
                inner.worker.add(&inner.process, names::PROCESS_RECORDS_TIME, took);
                inner.worker.add(&inner.process, names::TIME, took);
            }
            "initialize" => inner.worker.add(&inner.initialize, names::INITIALIZE_TIME, took),
            _ => inner.worker.add(&inner.shutdown, names::SHUTDOWN_TIME, took),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn number(number: usize) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn wide(number: u64) -> f64 {
    number as f64
}
