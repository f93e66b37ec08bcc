//! How long records are kept.

use serde::Deserialize;

use crate::api::field;

/// Keeps the records of a stream for longer. What is gone already does not come back.
///
/// ```
/// use kcl_broker::{Broker, api::{CreateStream, DescribeStreamSummary, IncreaseStreamRetentionPeriod}};
///
/// let broker = Broker::new();
/// broker.call(CreateStream::new("rides", 1))?;
/// broker.call(IncreaseStreamRetentionPeriod::new("rides", 48))?;
/// assert_eq!(broker.call(DescribeStreamSummary::new("rides"))?.retention_period_hours, 48);
/// # Ok::<(), kcl_broker::ApiError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct IncreaseStreamRetentionPeriod {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// The new period, not shorter than the present one and 8760 hours at most.
    #[serde(deserialize_with = "field::integer")]
    pub retention_period_hours: Option<i32>,
}

impl IncreaseStreamRetentionPeriod {
    /// Keeps records for so many hours.
    #[must_use]
    pub fn new(stream_name: impl Into<String>, hours: i32) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            stream_arn: None,
            retention_period_hours: Some(hours),
        }
    }
}

/// Keeps the records of a stream for less long. Those that are older are gone at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DecreaseStreamRetentionPeriod {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// The new period, not longer than the present one and 24 hours at least.
    #[serde(deserialize_with = "field::integer")]
    pub retention_period_hours: Option<i32>,
}

impl DecreaseStreamRetentionPeriod {
    /// Keeps records for so many hours.
    #[must_use]
    pub fn new(stream_name: impl Into<String>, hours: i32) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            stream_arn: None,
            retention_period_hours: Some(hours),
        }
    }
}
