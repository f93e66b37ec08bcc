//! The task that gives to the sink what was added up.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use kcl_core::{ApplicationName, BoxError};
use metrics::{Counter, Label};
use tokio_util::sync::CancellationToken;

use super::{KclMetrics, MetricDatum, MetricSink, Recorder, SinkError};
use crate::{
    clock::Clock,
    metrics::{DATA_DROPPED, PUT_FAILURES},
};

/// What a request to the service may hold; the size is below its megabyte, since it is an estimate.
const BATCH_DATA_MAX: usize = 1_000;
const BATCH_BYTES_MAX: usize = 900_000;
/// How long a sink may take for a batch.
const PUT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a worker that has ended waits for its last metrics to be taken.
const LAST_PUT_TIMEOUT: Duration = Duration::from_secs(5);

/// Gives metrics to a sink, again and again.
pub(crate) struct Reporter {
    sink: Arc<dyn MetricSink>,
    namespace: String,
    buffer_time: Duration,
    recorder: Recorder,
    clock: Clock,
    /// What the sink has not taken yet, the oldest first.
    queue: VecDeque<MetricDatum>,
    queue_max: usize,
    dropped: Counter,
    failures: Counter,
    /// Whether the last attempt failed: trouble that goes on is told once.
    is_failing: bool,
}

impl Reporter {
    pub(crate) fn new(metrics: KclMetrics, application: &ApplicationName, recorder: Recorder, clock: Clock) -> Self {
        let labels = [Label::new("application", application.to_string())];
        Self {
            sink: metrics.sink,
            namespace: metrics.namespace.unwrap_or_else(|| application.to_string()),
            buffer_time: metrics.buffer_time,
            recorder,
            clock,
            queue: VecDeque::new(),
            queue_max: metrics.queue_max,
            dropped: metrics::counter!(DATA_DROPPED, labels.iter()),
            failures: metrics::counter!(PUT_FAILURES, labels.iter()),
            is_failing: false,
        }
    }

    /// Reports until `stop`, and then once more.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let next = self.clock.now() + self.buffer_time;
            let report = async {
                self.clock.sleep_until(Some(next)).await;
                self.report().await;
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = report => {}
            }
        }
        // A sink that hangs must not keep a worker that is done.
        let _ = tokio::time::timeout(LAST_PUT_TIMEOUT, self.report()).await;
    }

    async fn report(&mut self) {
        self.collect();
        while let Some(batch) = self.batch() {
            // Data leave the queue when they are taken: whoever is interrupted here has lost none.
            let put = tokio::time::timeout(PUT_TIMEOUT, self.sink.put(&self.namespace, &batch));
            let result = put.await.unwrap_or_else(|_| {
                let why = format!("no answer within {} s", PUT_TIMEOUT.as_secs());
                Err(SinkError::retryable(BoxError::from(why)))
            });
            match result {
                Ok(()) => {
                    self.is_failing = false;
                    self.queue.drain(..batch.len());
                }
                Err(error) => {
                    self.failed(&error, batch.len());
                    if error.is_retryable() {
                        return;
                    }
                }
            }
        }
    }

    /// Takes what was added up; of too much, the newest stays.
    fn collect(&mut self) {
        let (data, unheard) = self.recorder.take(self.clock.wall());
        self.dropped.increment(unheard);
        self.queue.extend(data);
        let too_many = self.queue.len().saturating_sub(self.queue_max);
        self.drop_oldest(too_many);
    }

    fn batch(&self) -> Option<Vec<MetricDatum>> {
        let mut bytes = 0;
        let fits = |datum: &&MetricDatum| {
            bytes += datum.size();
            bytes <= BATCH_BYTES_MAX
        };
        let mut batch: Vec<MetricDatum> = self
            .queue
            .iter()
            .take(BATCH_DATA_MAX)
            .take_while(fits)
            .cloned()
            .collect();
        if batch.is_empty() {
            // One that is too large by itself is for the sink to refuse.
            batch.extend(self.queue.front().cloned());
        }
        (!batch.is_empty()).then_some(batch)
    }

    fn failed(&mut self, error: &SinkError, count: usize) {
        self.failures.increment(1);
        let why = std::error::Error::source(error).map(ToString::to_string);
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(
                why,
                retryable = error.is_retryable(),
                "KCL's metrics cannot be emitted; the worker goes on"
            );
        }
        if !error.is_retryable() {
            self.drop_oldest(count);
        }
    }

    fn drop_oldest(&mut self, count: usize) {
        self.queue.drain(..count.min(self.queue.len()));
        self.dropped.increment(count as u64);
    }
}
