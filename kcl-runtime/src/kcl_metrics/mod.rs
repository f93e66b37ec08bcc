//! KCL's own metrics: its names, dimensions and levels, for dashboards and alarms that were made for Java KCL.
//!
//! [`KclMetrics`] goes to [`WorkerBuilder::kcl_metrics`](crate::WorkerBuilder::kcl_metrics) and says where the metrics go:
//! [`EmfSink`] writes the embedded metric format, and with the feature `cloudwatch` a `CloudWatchSink` calls `PutMetricData`.
//! They come beside what [`metrics`](crate::metrics) tells a recorder. What is emitted, and from what, is in `docs/metrics.md`.
//!
//! Nothing here can hold up or end a worker: values are added up in memory, as one statistic set for each name and its
//! dimensions; a task of its own gives them to the sink; what cannot be given is kept up to a limit, and dropped and counted
//! beyond ([`DATA_DROPPED`](crate::metrics::DATA_DROPPED), [`PUT_FAILURES`](crate::metrics::PUT_FAILURES)).

mod aggregate;
#[cfg(feature = "cloudwatch")]
mod cloudwatch;
mod datum;
mod emf;
mod names;
mod recorder;
mod reporter;
mod sink;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

#[cfg(feature = "cloudwatch")]
pub use self::cloudwatch::CloudWatchSink;
pub use self::{
    datum::{MetricDatum, MetricsDimension, MetricsLevel, Statistics, Unit},
    emf::EmfSink,
    sink::{MetricSink, SinkError},
};
pub(crate) use self::{
    recorder::{Recorder, ShardRecorder, StoreCall},
    reporter::Reporter,
};

/// Which of KCL's metrics a worker emits, and where they go.
///
/// ```
/// use kcl_runtime::kcl_metrics::{EmfSink, KclMetrics, MetricsDimension, MetricsLevel};
///
/// let metrics = KclMetrics::new(EmfSink::new(std::io::stdout()))
///     .level(MetricsLevel::Summary)
///     .dimensions([MetricsDimension::Operation, MetricsDimension::ShardId]);
/// # drop(metrics);
/// ```
#[derive(Clone, Debug)]
pub struct KclMetrics {
    pub(crate) sink: Arc<dyn MetricSink>,
    pub(crate) namespace: Option<String>,
    pub(crate) level: MetricsLevel,
    pub(crate) dimensions: Vec<MetricsDimension>,
    pub(crate) buffer_time: Duration,
    pub(crate) queue_max: usize,
}

impl KclMetrics {
    /// All metrics with all dimensions, under the application's name, every 10 seconds: KCL's defaults.
    pub fn new(sink: impl MetricSink) -> Self {
        Self {
            sink: Arc::new(sink),
            namespace: None,
            level: MetricsLevel::Detailed,
            dimensions: MetricsDimension::ALL.to_vec(),
            buffer_time: Duration::from_secs(10),
            queue_max: 10_000,
        }
    }

    /// The namespace, instead of the application's name.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// How much is emitted: KCL's `metricsLevel`.
    #[must_use]
    pub const fn level(mut self, level: MetricsLevel) -> Self {
        self.level = level;
        self
    }

    /// The dimensions that metrics have: KCL's `metricsEnabledDimensions`. What differs in others only is added up.
    #[must_use]
    pub fn dimensions(mut self, dimensions: impl IntoIterator<Item = MetricsDimension>) -> Self {
        self.dimensions = dimensions.into_iter().collect();
        self
    }

    /// How long values are added up before they are emitted: KCL's `metricsBufferTimeMillis`. At least a second.
    #[must_use]
    pub fn buffer_time(mut self, buffer_time: Duration) -> Self {
        self.buffer_time = buffer_time.max(Duration::from_secs(1));
        self
    }

    /// How many statistic sets are kept while the sink fails: KCL's `metricsMaxQueueSize`. The oldest are dropped beyond it.
    #[must_use]
    pub const fn queue_max(mut self, queue_max: usize) -> Self {
        self.queue_max = queue_max;
        self
    }
}
