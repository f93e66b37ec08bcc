//! What is emitted.

use std::{fmt, str::FromStr};

use kcl_core::Timestamp;

/// How much is emitted, as KCL's `metricsLevel` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricsLevel {
    /// Nothing.
    None,
    /// What an operator watches.
    Summary,
    /// Everything.
    Detailed,
}

/// A dimension, under KCL's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricsDimension {
    /// What the worker was doing.
    Operation,
    /// The shard.
    ShardId,
    /// The stream, where the application reads several.
    StreamId,
    /// The worker's id.
    WorkerIdentifier,
}

/// The unit of a metric, under CloudWatch's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// How many.
    Count,
    /// How long.
    Milliseconds,
    /// How much.
    Bytes,
}

/// Several values of a metric, added up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// How many values there were.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

/// A metric with its dimensions over one buffer time.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MetricDatum {
    /// KCL's name.
    pub name: &'static str,
    /// What it is measured in.
    pub unit: Unit,
    /// The dimensions that it has, in the order of [`MetricsDimension::ALL`].
    pub dimensions: Vec<(MetricsDimension, String)>,
    /// When the buffer time was over.
    pub at: Timestamp,
    /// Its values.
    pub statistics: Statistics,
}

impl MetricsLevel {
    /// KCL's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Summary => "SUMMARY",
            Self::Detailed => "DETAILED",
        }
    }
}

impl MetricsDimension {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Operation, Self::ShardId, Self::StreamId, Self::WorkerIdentifier];

    /// KCL's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operation => "Operation",
            Self::ShardId => "ShardId",
            Self::StreamId => "StreamId",
            Self::WorkerIdentifier => "WorkerIdentifier",
        }
    }
}

impl Unit {
    /// CloudWatch's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Milliseconds => "Milliseconds",
            Self::Bytes => "Bytes",
        }
    }
}

impl Statistics {
    pub(super) const fn of(value: f64) -> Self {
        Self {
            count: 1,
            sum: value,
            min: value,
            max: value,
        }
    }

    pub(super) fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }
}

impl MetricDatum {
    /// About what it takes in a request, in the most verbose of the service's protocols.
    pub(super) fn size(&self) -> usize {
        /// Names of members, with the numbers of their elements, and numbers.
        const FRAME: usize = 450;
        const DIMENSION_FRAME: usize = 110;
        let dimensions = self.dimensions.iter();
        // A byte of a value takes three where it is escaped.
        let dimensions = dimensions.map(|(_, value)| DIMENSION_FRAME + 3 * value.len());
        FRAME + self.name.len() + dimensions.sum::<usize>()
    }
}

impl fmt::Display for MetricsLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for MetricsDimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for MetricsLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::None, Self::Summary, Self::Detailed]
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("{text:?} is no level: use none, summary or detailed"))
    }
}

impl FromStr for MetricsDimension {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|dimension| dimension.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("{text:?} is no dimension: use Operation, ShardId, StreamId or WorkerIdentifier"))
    }
}
