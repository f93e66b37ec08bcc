//! [`MetricDatum`]: one data point.

use std::collections::BTreeMap;

use kcl_core::Timestamp;

/// Several values, as far as sums, counts and extremes tell them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct StatisticSet {
    /// How many values.
    pub sample_count: f64,
    /// Their sum.
    pub sum: f64,
    /// The least of them.
    pub minimum: f64,
    /// The greatest of them.
    pub maximum: f64,
}

impl StatisticSet {
    pub(super) const fn new(sample_count: f64, sum: f64, minimum: f64, maximum: f64) -> Self {
        Self {
            sample_count,
            sum,
            minimum,
            maximum,
        }
    }

    /// The values of both.
    pub(super) const fn merged(self, other: Self) -> Self {
        Self {
            sample_count: self.sample_count + other.sample_count,
            sum: self.sum + other.sum,
            minimum: self.minimum.min(other.minimum),
            maximum: self.maximum.max(other.maximum),
        }
    }
}

/// A data point of a metric, as a client put it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MetricDatum {
    /// The metric's namespace; for Java's KCL, the application's name.
    pub namespace: String,
    /// The metric's name.
    pub metric_name: String,
    /// What the point is about.
    pub dimensions: BTreeMap<String, String>,
    /// When it was measured; if the client does not say, when it came.
    pub timestamp: Timestamp,
    /// The values, and how often each was measured. None if the client tells statistics only.
    pub values: Vec<(f64, f64)>,
    /// The statistics, of the values if there are any.
    pub statistics: StatisticSet,
    /// What the values are measured in, such as `Count` or `Milliseconds`, or `None`.
    pub unit: String,
}

impl MetricDatum {
    /// About what the point takes in memory.
    pub(super) fn footprint(&self) -> usize {
        let dimensions = self
            .dimensions
            .iter()
            .map(|(name, value)| name.len() + value.len() + DIMENSION_OVERHEAD_BYTES);
        DATUM_OVERHEAD_BYTES
            + self.namespace.len()
            + self.metric_name.len()
            + self.unit.len()
            + dimensions.sum::<usize>()
            + self.values.len() * size_of::<(f64, f64)>()
    }
}

const DATUM_OVERHEAD_BYTES: usize = 256;
const DIMENSION_OVERHEAD_BYTES: usize = 64;
