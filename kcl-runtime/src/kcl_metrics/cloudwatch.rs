//! `PutMetricData`.

use async_trait::async_trait;
use aws_sdk_cloudwatch::{
    Client,
    error::{ProvideErrorMetadata as _, SdkError},
    operation::put_metric_data::PutMetricDataError,
    primitives::DateTime,
    types::{Dimension, MetricDatum as SdkDatum, StandardUnit, StatisticSet},
};
use kcl_core::BoxError;

use super::{
    datum::{MetricDatum, Unit},
    sink::{MetricSink, SinkError},
};

/// Puts metrics to CloudWatch, as statistic sets. Needs the permission `cloudwatch:PutMetricData`.
///
/// ```
/// # fn example(client: aws_sdk_cloudwatch::Client) {
/// use kcl_runtime::kcl_metrics::{CloudWatchSink, KclMetrics};
///
/// let metrics = KclMetrics::new(CloudWatchSink::new(client));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CloudWatchSink {
    client: Client,
}

impl CloudWatchSink {
    /// Puts them with this client, whose retries and timeouts count.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl MetricSink for CloudWatchSink {
    async fn put(&self, namespace: &str, data: &[MetricDatum]) -> Result<(), SinkError> {
        let data = data.iter().map(datum).collect();
        let put = self.client.put_metric_data().namespace(namespace);
        match put.set_metric_data(Some(data)).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_refused(&error) => Err(SinkError::refused(with_message(error))),
            Err(error) => Err(SinkError::retryable(with_message(error))),
        }
    }
}

fn datum(datum: &MetricDatum) -> SdkDatum {
    let dimensions = datum.dimensions.iter().map(|(dimension, value)| {
        let name = dimension.as_str();
        Dimension::builder().name(name).value(value).build()
    });
    let statistics = &datum.statistics;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53 values in a buffer time")]
    let count = statistics.count as f64;
    let set = StatisticSet::builder()
        .sample_count(count)
        .sum(statistics.sum)
        .minimum(statistics.min)
        .maximum(statistics.max);
    SdkDatum::builder()
        .metric_name(datum.name)
        .unit(match datum.unit {
            Unit::Count => StandardUnit::Count,
            Unit::Milliseconds => StandardUnit::Milliseconds,
            Unit::Bytes => StandardUnit::Bytes,
        })
        .timestamp(DateTime::from_millis(datum.at.epoch_millis()))
        .set_dimensions(Some(dimensions.collect()))
        .statistic_values(set.build())
        .build()
}

/// Whether the service says that something is wrong with these data. What is wrong with the permission may be mended.
fn is_refused(error: &SdkError<PutMetricDataError>) -> bool {
    let service = error.as_service_error();
    service.is_some_and(|service| {
        service.is_invalid_parameter_value_exception()
            || service.is_invalid_parameter_combination_exception()
            || service.is_missing_required_parameter_exception()
            || service.code() == Some("ValidationError")
    })
}

fn with_message(error: SdkError<PutMetricDataError>) -> BoxError {
    match error.message().map(str::to_owned) {
        Some(message) => format!("PutMetricData: {}: {message}", error.code().unwrap_or("refused")).into(),
        None => error.into(),
    }
}
