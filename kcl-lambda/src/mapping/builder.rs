//! [`MappingBuilder`]: a mapping in Rust's types.

use std::time::Duration;

use kcl_core::Timestamp;
use kcl_core::retry::Backoff;
use uuid::Uuid;

use super::{
    CircuitBreaker, DeadLetterPlace, Destination, EventSourceMapping, FunctionName, FunctionResponseType,
    InvalidMapping, MappingSettings, Metric, OnExhausted,
};
use crate::filter::FilterCriteria;

/// Makes an [`EventSourceMapping`]; [`MappingSettings`] and [`KclExtensions`](super::KclExtensions) say what each
/// setting means.
#[derive(Clone, Debug)]
#[must_use = "nothing is made before build() is called"]
pub struct MappingBuilder(pub(super) MappingSettings);

impl MappingBuilder {
    /// Checks the settings.
    ///
    /// # Errors
    /// If AWS would refuse a setting, or settings that contradict each other.
    pub fn build(self) -> Result<EventSourceMapping, InvalidMapping> {
        EventSourceMapping::checked(self.0)
    }

    /// `UUID`: what AWS calls the mapping.
    pub fn uuid(mut self, value: Uuid) -> Self {
        self.0.uuid = Some(value);
        self
    }

    /// `Enabled`.
    pub fn enabled(mut self, value: bool) -> Self {
        self.0.enabled = value;
        self
    }

    /// `BatchSize`.
    pub fn batch_size(mut self, value: u32) -> Self {
        self.0.batch_size = value;
        self
    }

    /// `MaximumBatchingWindowInSeconds`, here to the millisecond.
    pub fn maximum_batching_window(mut self, value: Duration) -> Self {
        self.0.maximum_batching_window = value;
        self
    }

    /// `ParallelizationFactor`.
    pub fn parallelization_factor(mut self, value: u32) -> Self {
        self.0.parallelization_factor = value;
        self
    }

    /// `BisectBatchOnFunctionError`.
    pub fn bisect_batch_on_function_error(mut self, value: bool) -> Self {
        self.0.bisect_batch_on_function_error = value;
        self
    }

    /// `MaximumRetryAttempts`; `None` is without end.
    pub fn maximum_retry_attempts(mut self, value: Option<u32>) -> Self {
        self.0.maximum_retry_attempts = value;
        self
    }

    /// `MaximumRecordAgeInSeconds`; `None` is without limit.
    pub fn maximum_record_age(mut self, value: Option<Duration>) -> Self {
        self.0.maximum_record_age = value;
        self
    }

    /// `DestinationConfig.OnFailure.Destination`.
    pub fn on_failure(mut self, value: Destination) -> Self {
        self.0.on_failure = Some(value);
        self
    }

    /// `FunctionResponseTypes`: `ReportBatchItemFailures`.
    pub fn report_batch_item_failures(mut self) -> Self {
        self.0.function_response_types = vec![FunctionResponseType::ReportBatchItemFailures];
        self
    }

    /// `TumblingWindowInSeconds`; `None` is without windows.
    pub fn tumbling_window(mut self, value: Option<Duration>) -> Self {
        self.0.tumbling_window = value;
        self
    }

    /// `FilterCriteria`.
    pub fn filter_criteria(mut self, value: FilterCriteria) -> Self {
        self.0.filter_criteria = value;
        self
    }

    /// `KMSKeyArn`.
    pub fn kms_key_arn(mut self, value: String) -> Self {
        self.0.kms_key_arn = Some(value);
        self
    }

    /// `MetricsConfig.Metrics`: `EventCount`.
    pub fn count_events(mut self) -> Self {
        self.0.metrics = vec![Metric::EventCount];
        self
    }

    /// `KclExtensions.LanesPerKey`: how many invocations run at once per shard.
    pub fn lanes_per_key(mut self, value: u32) -> Self {
        self.0.extensions.lanes_per_key = Some(value);
        self
    }

    /// `KclExtensions.PayloadLimitInBytes`; `None` is without limit.
    pub fn payload_limit(mut self, value: Option<usize>) -> Self {
        self.0.extensions.payload_limit = value;
        self
    }

    /// `KclExtensions.OnExhausted`.
    pub fn on_exhausted(mut self, value: OnExhausted) -> Self {
        self.0.extensions.on_exhausted = value;
        self
    }

    /// `KclExtensions.RetryItems`.
    pub fn retry_items(mut self, value: bool) -> Self {
        self.0.extensions.retry_items = value;
        self
    }

    /// `KclExtensions.StrictResponses`.
    pub fn strict_responses(mut self, value: bool) -> Self {
        self.0.extensions.strict_responses = value;
        self
    }

    /// `KclExtensions.Backoff`.
    pub fn backoff(mut self, value: Backoff) -> Self {
        self.0.extensions.backoff = value;
        self
    }

    /// `KclExtensions.CircuitBreaker`.
    pub fn circuit_breaker(mut self, value: CircuitBreaker) -> Self {
        self.0.extensions.circuit_breaker = Some(value);
        self
    }

    /// `KclExtensions.DeaggregateBeforeFiltering`.
    pub fn deaggregate_before_filtering(mut self, value: bool) -> Self {
        self.0.extensions.deaggregate_before_filtering = value;
        self
    }

    /// `KclExtensions.FilterByMetadata`.
    pub fn filter_by_metadata(mut self, value: bool) -> Self {
        self.0.extensions.filter_by_metadata = value;
        self
    }

    /// `KclExtensions.FilterQuota`.
    pub fn filter_quota(mut self, value: usize) -> Self {
        self.0.extensions.filter_quota = value;
        self
    }

    /// `KclExtensions.FilterDryRun`.
    pub fn filter_dry_run(mut self, value: bool) -> Self {
        self.0.extensions.filter_dry_run = value;
        self
    }

    /// `KclExtensions.DeadLetters`.
    pub fn dead_letters(mut self, value: DeadLetterPlace) -> Self {
        self.0.extensions.dead_letters = Some(value);
        self
    }

    /// `KclExtensions.ShadowFunctionName`.
    pub fn shadow_function_name(mut self, value: FunctionName) -> Self {
        self.0.extensions.shadow_function_name = Some(value);
        self
    }

    /// `KclExtensions.ReplayUntilTimestamp`.
    pub fn replay_until(mut self, value: Timestamp) -> Self {
        self.0.extensions.replay_until = Some(value);
        self
    }
}
