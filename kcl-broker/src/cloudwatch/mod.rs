//! The part of CloudWatch that takes consumers' metrics and gives them back.
//!
//! [`Metrics`] keeps what `PutMetricData` brings, point by point, in memory that is bounded: the oldest points are dropped
//! first. `ListMetrics` and `GetMetricStatistics` read it over the wire, and tests in the same process read it with
//! [`Broker::metric_data`](crate::Broker::metric_data).

mod datum;
mod error;
mod field;
mod node;
mod put;
mod read;

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc};

use kcl_core::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

pub(crate) use self::node::Node;
pub use self::{
    datum::{MetricDatum, StatisticSet},
    error::{MetricsError, MetricsErrorKind},
};
use self::{
    put::PutMetricData,
    read::{GetMetricStatistics, ListMetrics},
};

/// About what all points may take in memory, whatever their number.
const BYTES_MAX: usize = 64 << 20;

/// The data points that clients have put, in the order in which they came.
///
/// ```
/// use kcl_broker::cloudwatch::Metrics;
///
/// let metrics = Metrics::new(10_000);
/// assert_eq!(metrics.data().count(), 0);
/// ```
#[derive(Debug)]
pub struct Metrics {
    data: VecDeque<Arc<MetricDatum>>,
    data_max: usize,
    bytes: usize,
}

/// An operation on metrics: what it reads of a request, which is JSON whatever it was on the wire.
trait Operation: DeserializeOwned {
    fn execute(self, metrics: &mut Metrics, now: Timestamp) -> Result<Option<Node>, MetricsError>;
}

impl Metrics {
    /// Keeps up to so many data points.
    #[must_use]
    pub const fn new(data_max: usize) -> Self {
        Self {
            data: VecDeque::new(),
            data_max,
            bytes: 0,
        }
    }

    /// The data points that are kept, the oldest first.
    pub fn data(&self) -> impl DoubleEndedIterator<Item = &Arc<MetricDatum>> {
        self.data.iter()
    }

    /// Carries out the operation of this name at the time `now`, and gives its output if it has one.
    pub(crate) fn call(
        &mut self,
        now: Timestamp,
        operation: &str,
        request: Value,
    ) -> Result<Option<Node>, MetricsError> {
        match operation {
            "GetMetricStatistics" => self.run::<GetMetricStatistics>(now, request),
            "ListMetrics" => self.run::<ListMetrics>(now, request),
            "PutMetricData" => self.run::<PutMetricData>(now, request),
            _ => Err(MetricsError::new(
                MetricsErrorKind::InvalidAction,
                format!("Could not find operation {operation} for version 2010-08-01"),
            )),
        }
    }

    fn run<O: Operation>(&mut self, now: Timestamp, request: Value) -> Result<Option<Node>, MetricsError> {
        let request = O::deserialize(request)
            .map_err(|error| MetricsError::new(MetricsErrorKind::Malformed, error.to_string()))?;
        request.execute(self, now)
    }

    /// Keeps a point, for as long as there are not too many newer ones.
    fn keep(&mut self, datum: MetricDatum) {
        self.bytes += datum.footprint();
        self.data.push_back(Arc::new(datum));
        while self.data.len() > self.data_max || self.bytes > BYTES_MAX {
            let Some(oldest) = self.data.pop_front() else { break };
            self.bytes -= oldest.footprint();
        }
    }
}

/// A dimension in a request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Dimension {
    name: Option<String>,
    value: Option<String>,
}
