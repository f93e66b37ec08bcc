//! What a mapping says, in Rust's types, and AWS's rules about it.

use std::time::Duration;

use kcl_core::InitialPosition;
use uuid::Uuid;

use super::{
    error::{InvalidMapping, Range},
    extensions::{KclExtensions, OnExhausted},
    values::{Destination, EventSourceArn, FunctionName, FunctionResponseType, Metric},
};
use crate::{
    filter::{FilterCriteria, FilterOptions, InvalidFilters, RecordFilter},
    response::ResponseRules,
};

/// The settings of an event source mapping. An [`EventSourceMapping`](super::EventSourceMapping) derefs to it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MappingSettings {
    /// `UUID`: what AWS calls the mapping, once it is made.
    pub uuid: Option<Uuid>,
    /// `EventSourceArn`: where records come from.
    pub event_source_arn: EventSourceArn,
    /// `FunctionName`.
    pub function_name: FunctionName,
    /// `Enabled`: off pauses, and keeps the position. On by default.
    pub enabled: bool,
    /// `BatchSize`: the most records of a batch, 1 to 10,000; 100 by default.
    pub batch_size: u32,
    /// `MaximumBatchingWindowInSeconds`: how long a batch waits to fill up, at most 300 seconds; none by default. In
    /// milliseconds it is `KclExtensions.MaximumBatchingWindowInMilliseconds`.
    pub maximum_batching_window: Duration,
    /// `ParallelizationFactor`: how many batches of a shard are handled at once, 1 to 10; 1 by default.
    pub parallelization_factor: u32,
    /// `StartingPosition` and `StartingPositionTimestamp`: where shards start that nobody has read before.
    pub starting_position: InitialPosition,
    /// `BisectBatchOnFunctionError`: a batch that failed comes again in two halves. Off by default.
    pub bisect_batch_on_function_error: bool,
    /// `MaximumRetryAttempts`: how often a batch comes again, 0 to 10,000; without end (`None`, -1) by default.
    pub maximum_retry_attempts: Option<u32>,
    /// `MaximumRecordAgeInSeconds`: how old a record may become, 60 to 604,800 seconds; without limit (`None`, -1) by
    /// default.
    pub maximum_record_age: Option<Duration>,
    /// `DestinationConfig.OnFailure.Destination`: who is told of batches that are given up.
    pub on_failure: Option<Destination>,
    /// `FunctionResponseTypes`.
    pub function_response_types: Vec<FunctionResponseType>,
    /// `TumblingWindowInSeconds`: the size of tumbling windows, at most 900 seconds; no windows (0) by default.
    pub tumbling_window: Option<Duration>,
    /// `FilterCriteria`: which records the function sees.
    pub filter_criteria: FilterCriteria,
    /// `KMSKeyArn`: with which key AWS keeps the filters. It has no effect here, where they are in a file of yours.
    pub kms_key_arn: Option<String>,
    /// `MetricsConfig.Metrics`: what is counted for the mapping.
    pub metrics: Vec<Metric>,
    /// `KclExtensions`: what Lambda does not have.
    pub extensions: KclExtensions,
}

pub(super) const BATCH_SIZE: Range = Range::of("BatchSize", 1, 10_000);
pub(super) const BATCHING_WINDOW: Range = Range::of_seconds("MaximumBatchingWindowInSeconds", 0, 300);
pub(super) const BATCHING_WINDOW_MILLIS: Range =
    Range::of_millis("KclExtensions.MaximumBatchingWindowInMilliseconds", 0, 300_000);
pub(super) const PARALLELIZATION_FACTOR: Range = Range::of("ParallelizationFactor", 1, 10);
pub(super) const RETRY_ATTEMPTS: Range = Range::of("MaximumRetryAttempts", 0, 10_000).or_infinite();
pub(super) const RECORD_AGE: Range = Range::of_seconds("MaximumRecordAgeInSeconds", 60, 604_800).or_infinite();
pub(super) const TUMBLING_WINDOW: Range = Range::of_seconds("TumblingWindowInSeconds", 0, 900);

impl MappingSettings {
    pub(super) fn new(
        event_source_arn: EventSourceArn,
        function_name: FunctionName,
        starting_position: InitialPosition,
    ) -> Self {
        Self {
            uuid: None,
            event_source_arn,
            function_name,
            enabled: true,
            batch_size: 100,
            maximum_batching_window: Duration::ZERO,
            parallelization_factor: 1,
            starting_position,
            bisect_batch_on_function_error: false,
            maximum_retry_attempts: None,
            maximum_record_age: None,
            on_failure: None,
            function_response_types: Vec::new(),
            tumbling_window: None,
            filter_criteria: FilterCriteria::default(),
            kms_key_arn: None,
            metrics: Vec::new(),
            extensions: KclExtensions::default(),
        }
    }

    /// Whether the function may name records that failed.
    #[must_use]
    pub fn reports_item_failures(&self) -> bool {
        self.function_response_types
            .contains(&FunctionResponseType::ReportBatchItemFailures)
    }

    /// How the function's responses are read.
    #[must_use]
    pub fn response_rules(&self) -> ResponseRules {
        ResponseRules {
            item_failures: self.reports_item_failures(),
            window_state: self.tumbling_window.is_some(),
            strict: self.extensions.strict_responses,
        }
    }

    /// The filters, ready to judge records.
    ///
    /// # Errors
    /// Never for the settings of an [`EventSourceMapping`](super::EventSourceMapping), whose patterns were read before.
    pub fn record_filter(&self) -> Result<RecordFilter, InvalidFilters> {
        let options = FilterOptions {
            metadata: self.extensions.filter_by_metadata,
            filters_max: self.extensions.filter_quota,
        };
        RecordFilter::new(&self.filter_criteria, options)
    }

    pub(super) fn check(&self) -> Result<(), InvalidMapping> {
        BATCH_SIZE.check(self.batch_size)?;
        BATCHING_WINDOW_MILLIS.check_duration(self.maximum_batching_window)?;
        PARALLELIZATION_FACTOR.check(self.parallelization_factor)?;
        if let Some(attempts) = self.maximum_retry_attempts {
            RETRY_ATTEMPTS.check(attempts)?;
        }
        if let Some(age) = self.maximum_record_age {
            RECORD_AGE.check_duration(age)?;
        }
        if let Some(window) = self.tumbling_window {
            TUMBLING_WINDOW.check_duration(window)?;
            if window.is_zero() {
                return Err(TUMBLING_WINDOW.refuse("Some(0s)"));
            }
        }
        self.extensions.check_ranges()?;
        self.check_lists()?;
        self.check_filters()?;
        self.check_windows()?;
        self.check_failures()?;
        self.check_replay()
    }

    fn check_lists(&self) -> Result<(), InvalidMapping> {
        if self.function_response_types.len() > 1 {
            let rule = "use [\"ReportBatchItemFailures\"] or []";
            let value = format!("{:?}", self.function_response_types);
            return Err(InvalidMapping::new("FunctionResponseTypes", value, rule));
        }
        if self.metrics.len() > 1 {
            let value = format!("{:?}", self.metrics);
            let rule = "use [\"EventCount\"] or []";
            return Err(InvalidMapping::new("MetricsConfig.Metrics", value, rule));
        }
        match &self.kms_key_arn {
            Some(arn) if !is_kms_key(arn) => {
                let rule = "use arn:aws:kms:<region>:<account>:key/<id>";
                Err(InvalidMapping::new("KMSKeyArn", arn, rule))
            }
            _ => Ok(()),
        }
    }

    fn check_filters(&self) -> Result<(), InvalidMapping> {
        let Err(invalid) = self.record_filter() else {
            return match self.extensions.filter_dry_run && self.filter_criteria.filters.is_empty() {
                true => Err(needs(
                    "KclExtensions.FilterDryRun",
                    "FilterCriteria with a filter to try",
                )),
                false => Ok(()),
            };
        };
        Err(match invalid {
            InvalidFilters::TooMany { filters, filters_max } => InvalidMapping::new(
                "FilterCriteria.Filters",
                format_args!("a list of {filters}"),
                format!("use at most {filters_max} filters; KclExtensions.FilterQuota allows up to 10"),
            ),
            InvalidFilters::Pattern { filter, source } => InvalidMapping::new(
                format!("FilterCriteria.Filters[{filter}].Pattern"),
                shortened(&self.filter_criteria.filters[filter].pattern),
                source.to_string(),
            ),
        })
    }

    fn check_windows(&self) -> Result<(), InvalidMapping> {
        let extensions = &self.extensions;
        let factor = self.parallelization_factor;
        if factor != 1 && extensions.lanes_per_key.is_some() {
            let rule = "use 1 with KclExtensions.LanesPerKey: lanes are by hash or by key";
            return Err(InvalidMapping::new(PARALLELIZATION_FACTOR.setting, factor, rule));
        }
        if self.tumbling_window.is_none() {
            return Ok(());
        }
        if factor != 1 {
            let rule = "use 1 with TumblingWindowInSeconds: a window has one state per shard";
            return Err(InvalidMapping::new(PARALLELIZATION_FACTOR.setting, factor, rule));
        }
        let rule = "leave it out with TumblingWindowInSeconds: a window has one state per shard";
        if let Some(calls) = extensions.lanes_per_key {
            return Err(InvalidMapping::new("KclExtensions.LanesPerKey", calls, rule));
        }
        match extensions.retry_items {
            true => Err(InvalidMapping::new("KclExtensions.RetryItems", true, rule)),
            false => Ok(()),
        }
    }

    fn check_failures(&self) -> Result<(), InvalidMapping> {
        let extensions = &self.extensions;
        for (setting, is_on) in [
            ("KclExtensions.RetryItems", extensions.retry_items),
            ("KclExtensions.StrictResponses", extensions.strict_responses),
        ] {
            if is_on && !self.reports_item_failures() {
                return Err(needs(setting, "ReportBatchItemFailures in FunctionResponseTypes"));
            }
        }
        let is_endless = self.maximum_retry_attempts.is_none() && self.maximum_record_age.is_none();
        if extensions.on_exhausted == OnExhausted::QuarantineKey && is_endless {
            let rule =
                "set MaximumRetryAttempts or MaximumRecordAgeInSeconds too: without them nothing is ever exhausted";
            return Err(InvalidMapping::new("KclExtensions.OnExhausted", "QuarantineKey", rule));
        }
        match (&extensions.dead_letters, &self.on_failure) {
            (Some(place), Some(_)) => {
                let rule = "leave it out with DestinationConfig.OnFailure.Destination: a batch goes to one place";
                Err(InvalidMapping::new("KclExtensions.DeadLetters", place, rule))
            }
            _ => Ok(()),
        }
    }

    fn check_replay(&self) -> Result<(), InvalidMapping> {
        match (self.extensions.replay_until, self.starting_position) {
            (Some(until), InitialPosition::AtTimestamp(from)) if until <= from => Err(InvalidMapping::new(
                "KclExtensions.ReplayUntilTimestamp",
                until,
                "use a time after StartingPositionTimestamp",
            )),
            (Some(until), InitialPosition::Latest) => Err(InvalidMapping::new(
                "KclExtensions.ReplayUntilTimestamp",
                until,
                "use it with StartingPosition TRIM_HORIZON or AT_TIMESTAMP: LATEST has nothing to replay",
            )),
            _ => Ok(()),
        }
    }
}

fn needs(setting: &str, needed: &str) -> InvalidMapping {
    InvalidMapping::new(setting, true, format!("it needs {needed}"))
}

fn is_kms_key(arn: &str) -> bool {
    let parts: Vec<_> = arn.split(':').collect();
    matches!(*parts.as_slice(), ["arn", _, "kms", region, account, key]
        if !region.is_empty() && !account.is_empty() && key.starts_with("key/"))
}

/// Enough of a pattern to know it again.
fn shortened(pattern: &str) -> String {
    match pattern.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &pattern[..end]),
        None => pattern.to_owned(),
    }
}
