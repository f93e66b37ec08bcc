//! What Lambda's mappings do not have: the settings of `KclExtensions`.

use std::time::Duration;

use kcl_core::{Timestamp, retry::Backoff};

use super::{
    error::{InvalidMapping, Range},
    values::{DeadLetterPlace, FunctionName},
};
use crate::{event::EVENT_BYTES_MAX, filter::FILTERS_MAX};

/// Settings that Lambda does not have. In JSON and TOML they stand in a table of their own, `KclExtensions`, so that
/// the rest of a mapping is AWS's. The defaults do what Lambda does, but for aggregates.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct KclExtensions {
    /// `LanesPerKey`: each partition key is a lane of its own, and this many invocations run at once per shard (1 to
    /// 1,000). `None`: keys share the lanes of `ParallelizationFactor`.
    pub lanes_per_key: Option<u32>,
    /// `PayloadLimitInBytes`: the largest event, 6 MB by default; `None` (-1) lifts the limit, for functions in
    /// process.
    pub payload_limit: Option<usize>,
    /// `OnExhausted`: what becomes of a batch that failed as often as it may, or is too old.
    pub on_exhausted: OnExhausted,
    /// `RetryItems`: of a batch, only the records that the function named come again, and those of the same keys behind
    /// them. Needs `ReportBatchItemFailures`.
    pub retry_items: bool,
    /// `StrictResponses`: an object without `batchItemFailures` is a failure, so that a misspelt key is noticed. Needs
    /// `ReportBatchItemFailures`.
    pub strict_responses: bool,
    /// `Backoff`: how long to wait before a batch comes again.
    pub backoff: Backoff,
    /// `CircuitBreaker`: when to leave a function alone for a while.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// `DeaggregateBeforeFiltering`: KPL aggregates are cut up before filters and lanes. On by default: filters and
    /// keys are of no use otherwise. Lambda hands aggregates through.
    pub deaggregate_before_filtering: bool,
    /// `FilterByMetadata`: patterns may ask for the partition key and the like beside the data.
    pub filter_by_metadata: bool,
    /// `FilterQuota`: how many filters there may be, 5 to 10; AWS grants more than 5 on request.
    pub filter_quota: usize,
    /// `FilterDryRun`: filters are counted and not applied.
    pub filter_dry_run: bool,
    /// `DeadLetters`: where batches go that are given up, in place of `DestinationConfig.OnFailure`.
    pub dead_letters: Option<DeadLetterPlace>,
    /// `ShadowFunctionName`: a second function that is given the same batches; its answers are compared and discarded. A worker refuses
    /// it, since a name does not say how to run it: give both to [`Shadow`](crate::Shadow).
    pub shadow_function_name: Option<FunctionName>,
    /// `ReplayUntilTimestamp`: records that arrived at or after this time are not delivered, and the mapping ends
    /// there.
    pub replay_until: Option<Timestamp>,
}

impl Default for KclExtensions {
    fn default() -> Self {
        Self {
            lanes_per_key: None,
            payload_limit: Some(EVENT_BYTES_MAX),
            on_exhausted: OnExhausted::Discard,
            retry_items: false,
            strict_responses: false,
            backoff: DEFAULT_BACKOFF,
            circuit_breaker: None,
            deaggregate_before_filtering: true,
            filter_by_metadata: false,
            filter_quota: FILTERS_MAX,
            filter_dry_run: false,
            dead_letters: None,
            shadow_function_name: None,
            replay_until: None,
        }
    }
}

/// AWS does not say how long Lambda waits. Eight invocations were seen within a minute, and users tell of waits of
/// about one at most: doubling from half a second does both.
const DEFAULT_BACKOFF: Backoff = Backoff {
    initial: Duration::from_millis(500),
    longest: Duration::from_secs(60),
};

/// What becomes of a batch that failed as often as it may, or is too old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnExhausted {
    /// `Discard`: it goes to the destination, and the shard goes on. What Lambda does.
    #[default]
    Discard,
    /// `QuarantineKey`: it and all later records of its keys are kept apart, in their order; the other keys go on.
    QuarantineKey,
}

impl OnExhausted {
    pub(super) const ALL: [(&'static str, Self); 2] =
        [("Discard", Self::Discard), ("QuarantineKey", Self::QuarantineKey)];

    /// The name that it has in a mapping.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Discard => "Discard",
            Self::QuarantineKey => "QuarantineKey",
        }
    }
}

/// When to leave a function alone for a while: the trouble is then not the records'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain settings, made with a literal")]
pub struct CircuitBreaker {
    /// `Failures`: after so many failed invocations in a row for one shard, in any of its lanes (1 to 1,000).
    pub failures: u32,
    /// `OpenForInMilliseconds`: so long nothing is invoked; then one batch is tried.
    pub open_for: Duration,
}

pub(super) const LANES_PER_KEY: Range = Range::of("KclExtensions.LanesPerKey", 1, 1_000);
pub(super) const PAYLOAD_LIMIT: Range = Range::of("KclExtensions.PayloadLimitInBytes", 1_024, 1 << 30).or_infinite();
pub(super) const BACKOFF_INITIAL: Range = Range::of_millis("KclExtensions.Backoff.InitialInMilliseconds", 1, 3_600_000);
pub(super) const BACKOFF_LONGEST: Range = Range::of_millis("KclExtensions.Backoff.LongestInMilliseconds", 1, 3_600_000);
pub(super) const BREAKER_FAILURES: Range = Range::of("KclExtensions.CircuitBreaker.Failures", 1, 1_000);
pub(super) const BREAKER_OPEN: Range =
    Range::of_millis("KclExtensions.CircuitBreaker.OpenForInMilliseconds", 1, 86_400_000);
pub(super) const FILTER_QUOTA: Range = Range::of("KclExtensions.FilterQuota", 5, 10);

impl KclExtensions {
    pub(super) fn check_ranges(&self) -> Result<(), InvalidMapping> {
        if let Some(calls) = self.lanes_per_key {
            LANES_PER_KEY.check(calls)?;
        }
        if let Some(limit) = self.payload_limit {
            PAYLOAD_LIMIT.check(limit as u64)?;
        }
        let Backoff { initial, longest } = self.backoff;
        BACKOFF_INITIAL.check_duration(initial)?;
        BACKOFF_LONGEST.check_duration(longest)?;
        if longest < initial {
            let rule = "use at least Backoff.InitialInMilliseconds";
            return Err(InvalidMapping::new(BACKOFF_LONGEST.setting, longest.as_millis(), rule));
        }
        if let Some(breaker) = self.circuit_breaker {
            BREAKER_FAILURES.check(breaker.failures)?;
            BREAKER_OPEN.check_duration(breaker.open_for)?;
        }
        FILTER_QUOTA.check(self.filter_quota as u64)
    }
}
