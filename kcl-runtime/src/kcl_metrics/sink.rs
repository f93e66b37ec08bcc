//! Where metrics go.

use std::fmt;

use async_trait::async_trait;
use kcl_core::BoxError;

use super::datum::MetricDatum;

/// Takes metrics, such as a service or a log.
#[async_trait]
pub trait MetricSink: fmt::Debug + Send + Sync + 'static {
    /// Takes up to a thousand data, of less than a megabyte together. They may come again if this fails or takes too long.
    ///
    /// # Errors
    /// If they were not taken; the error says whether to try these again.
    async fn put(&self, namespace: &str, data: &[MetricDatum]) -> Result<(), SinkError>;
}

/// Metrics were not taken.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be emitted")]
pub struct SinkError {
    is_retryable: bool,
    source: BoxError,
}

impl SinkError {
    /// Trying again later may help.
    pub fn retryable(source: impl Into<BoxError>) -> Self {
        Self {
            is_retryable: true,
            source: source.into(),
        }
    }

    /// These data are refused for good.
    pub fn refused(source: impl Into<BoxError>) -> Self {
        Self {
            is_retryable: false,
            source: source.into(),
        }
    }

    /// Whether trying again later may help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.is_retryable
    }
}
