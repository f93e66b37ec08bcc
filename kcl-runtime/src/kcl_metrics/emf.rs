//! The embedded metric format: metrics as lines of JSON, which CloudWatch Logs turns into metrics.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use kcl_core::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    datum::{MetricDatum, MetricsDimension, Statistics},
    sink::{MetricSink, SinkError},
};

/// The most metrics that a line may have.
const LINE_METRICS_MAX: usize = 100;

/// Writes a line for each set of dimensions. A metric with one value is a number; one with several is a statistic set of `Max`,
/// `Min`, `Count` and `Sum`, as the AWS exporters of OpenTelemetry write it.
#[derive(Clone)]
pub struct EmfSink {
    writer: Arc<Mutex<dyn io::Write + Send>>,
}

impl EmfSink {
    /// Writes to `writer`, which is flushed after each buffer time.
    pub fn new(writer: impl io::Write + Send + 'static) -> Self {
        Self {
            writer: Arc::new(Mutex::new(writer)),
        }
    }
}

impl fmt::Debug for EmfSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmfSink").finish_non_exhaustive()
    }
}

#[async_trait]
impl MetricSink for EmfSink {
    async fn put(&self, namespace: &str, data: &[MetricDatum]) -> Result<(), SinkError> {
        let (writer, text) = (Arc::clone(&self.writer), render(namespace, data));
        let written = tokio::task::spawn_blocking(move || {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.write_all(text.as_bytes()).and_then(|()| writer.flush())
        });
        // A part may have been written: the same lines again would count twice.
        written.await.map_err(SinkError::refused)?.map_err(SinkError::refused)
    }
}

fn render(namespace: &str, data: &[MetricDatum]) -> String {
    let mut lines = String::new();
    // They come sorted by their dimensions.
    for of_scope in data.chunk_by(|one, other| one.dimensions == other.dimensions && one.at == other.at) {
        for line in of_scope.chunks(LINE_METRICS_MAX) {
            if let [first, ..] = line {
                lines.push_str(&render_line(namespace, &first.dimensions, first.at, line).to_string());
                lines.push('\n');
            }
        }
    }
    lines
}

fn render_line(
    namespace: &str,
    dimensions: &[(MetricsDimension, String)],
    at: Timestamp,
    metrics: &[MetricDatum],
) -> Value {
    let names: Vec<&str> = dimensions.iter().map(|(dimension, _)| dimension.as_str()).collect();
    let declared: Vec<Value> = metrics
        .iter()
        .map(|metric| json!({ "Name": metric.name, "Unit": metric.unit.as_str() }))
        .collect();
    let directive = json!({ "Namespace": namespace, "Dimensions": [names], "Metrics": declared });
    let mut line = Map::new();
    line.insert(
        "_aws".to_owned(),
        json!({ "Timestamp": at.epoch_millis(), "CloudWatchMetrics": [directive] }),
    );
    for (dimension, value) in dimensions {
        line.insert(dimension.to_string(), value.as_str().into());
    }
    for metric in metrics {
        line.insert(metric.name.to_owned(), value_of(&metric.statistics));
    }
    line.into()
}

fn value_of(statistics: &Statistics) -> Value {
    match statistics {
        Statistics { count: 1, sum, .. } => json!(sum),
        Statistics { count, sum, min, max } => json!({ "Max": max, "Min": min, "Count": count, "Sum": sum }),
    }
}
