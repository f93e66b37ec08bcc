//! Mappings out of JSON: settings by their names, each checked as it is read.

use std::time::Duration;

use kcl_core::{InitialPosition, retry::Backoff};
use serde_json::{Map, Value};

use super::{
    error::{InvalidMapping, Range},
    extensions::{self, CircuitBreaker, KclExtensions, OnExhausted},
    settings::{self, MappingSettings},
    table::Table,
    values::{Destination, EventSourceArn, FunctionName, FunctionResponseType, Metric},
};
use crate::filter::FilterCriteria;

/// What an answer of AWS's says besides, and nobody sets.
const ANSWERED: [&str; 6] = [
    "EventSourceMappingArn",
    "FilterCriteriaError",
    "LastModified",
    "LastProcessingResult",
    "StateTransitionReason",
    "ResponseMetadata",
];

/// All settings, for those who misspell one.
const SETTINGS: [&str; 20] = [
    "BatchSize",
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "Enabled",
    "EventSourceArn",
    "FilterCriteria",
    "FunctionName",
    "FunctionResponseTypes",
    "KMSKeyArn",
    "KclExtensions",
    "MaximumBatchingWindowInSeconds",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "MetricsConfig",
    "ParallelizationFactor",
    "StartingPosition",
    "StartingPositionTimestamp",
    "State",
    "TumblingWindowInSeconds",
    "UUID",
];

pub(super) const EXTENSIONS: [&str; 15] = [
    "Backoff",
    "CircuitBreaker",
    "DeadLetters",
    "DeaggregateBeforeFiltering",
    "FilterByMetadata",
    "FilterDryRun",
    "FilterQuota",
    "LanesPerKey",
    "MaximumBatchingWindowInMilliseconds",
    "OnExhausted",
    "PayloadLimitInBytes",
    "ReplayUntilTimestamp",
    "RetryItems",
    "ShadowFunctionName",
    "StrictResponses",
];

pub(super) fn settings(members: Map<String, Value>) -> Result<MappingSettings, InvalidMapping> {
    let mut table = Table {
        prefix: "",
        known: &SETTINGS,
        members,
    };
    for name in ANSWERED {
        table.members.remove(name);
    }
    let source = "use the ARN of a stream, or of a consumer of it";
    let event_source_arn = table.parsed("EventSourceArn", str::parse::<EventSourceArn>)?;
    let event_source_arn = event_source_arn.ok_or_else(|| table.missing("EventSourceArn", source))?;
    let answered = table.parsed("FunctionArn", str::parse::<FunctionName>)?;
    let function_name = table.parsed("FunctionName", str::parse::<FunctionName>)?.or(answered);
    let function_name = function_name.ok_or_else(|| table.missing("FunctionName", "use the name of a function"))?;
    let starting_position = starting_position(&mut table)?;
    let mut settings = MappingSettings::new(event_source_arn, function_name, starting_position);

    settings.uuid = table.value("UUID", "use a UUID such as AWS gives a mapping", |value| {
        value.as_str()?.parse().ok()
    })?;
    enabled(&mut table, &mut settings)?;
    set(&mut settings.batch_size, table.number(&settings::BATCH_SIZE)?);
    set(
        &mut settings.parallelization_factor,
        table.number(&settings::PARALLELIZATION_FACTOR)?,
    );
    let seconds = table.number::<u32>(&settings::BATCHING_WINDOW)?.unwrap_or_default();
    settings.maximum_batching_window = Duration::from_secs(seconds.into());
    set(
        &mut settings.bisect_batch_on_function_error,
        table.switch("BisectBatchOnFunctionError")?,
    );
    settings.maximum_retry_attempts = table.limit(&settings::RETRY_ATTEMPTS)?.flatten();
    let age = table.limit::<u64>(&settings::RECORD_AGE)?.flatten();
    settings.maximum_record_age = age.map(Duration::from_secs);
    let window = table
        .number::<u32>(&settings::TUMBLING_WINDOW)?
        .filter(|seconds| *seconds > 0);
    settings.tumbling_window = window.map(|seconds| Duration::from_secs(seconds.into()));
    settings.on_failure = on_failure(&mut table)?;
    let types: Option<Vec<FunctionResponseType>> =
        table.typed("FunctionResponseTypes", "use [\"ReportBatchItemFailures\"] or []")?;
    set(&mut settings.function_response_types, types);
    let filters = "use {\"Filters\":[{\"Pattern\":\"<JSON, as text>\"}]}";
    set::<FilterCriteria>(&mut settings.filter_criteria, table.typed("FilterCriteria", filters)?);
    settings.kms_key_arn = table.typed("KMSKeyArn", "use the ARN of a key")?;
    if let Some(mut metrics) = table.table("MetricsConfig", "MetricsConfig.", &["Metrics"])? {
        let rule = "use [\"EventCount\"]: the others are for Kafka";
        set::<Vec<Metric>>(&mut settings.metrics, metrics.typed("Metrics", rule)?);
        metrics.end()?;
    }
    if let Some(mut table) = table.table("KclExtensions", "KclExtensions.", &EXTENSIONS)? {
        batching_window_in_millis(&mut table, &mut settings, seconds)?;
        settings.extensions = extensions(&mut table)?;
        table.end()?;
    }
    table.end()?;
    Ok(settings)
}

fn starting_position(table: &mut Table) -> Result<InitialPosition, InvalidMapping> {
    let rule = "use TRIM_HORIZON, LATEST or AT_TIMESTAMP";
    let position = table.value("StartingPosition", rule, |value| {
        let name = value.as_str()?;
        ["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]
            .into_iter()
            .find(|known| *known == name)
    })?;
    let position = position.ok_or_else(|| table.missing("StartingPosition", rule))?;
    let setting = "StartingPositionTimestamp";
    let at = table.timestamp(setting)?;
    match (position, at) {
        ("AT_TIMESTAMP", Some(at)) => Ok(InitialPosition::AtTimestamp(at)),
        ("AT_TIMESTAMP", None) => Err(table.missing(setting, "StartingPosition AT_TIMESTAMP needs it")),
        (_, Some(at)) => Err(InvalidMapping::new(
            setting,
            at,
            "use it with StartingPosition AT_TIMESTAMP only",
        )),
        ("LATEST", None) => Ok(InitialPosition::Latest),
        _ => Ok(InitialPosition::TrimHorizon),
    }
}

/// A request says `Enabled`, an answer `State`.
fn enabled(table: &mut Table, settings: &mut MappingSettings) -> Result<(), InvalidMapping> {
    let rule = "use a state that AWS answers, or Enabled";
    let state = table.value("State", rule, |value| match value.as_str()? {
        "Creating" | "Enabling" | "Enabled" | "Updating" => Some(true),
        "Disabling" | "Disabled" => Some(false),
        _ => None,
    })?;
    set(&mut settings.enabled, table.switch("Enabled")?.or(state));
    Ok(())
}

fn on_failure(table: &mut Table) -> Result<Option<Destination>, InvalidMapping> {
    let Some(mut config) = table.table("DestinationConfig", "DestinationConfig.", &["OnFailure", "OnSuccess"])? else {
        return Ok(None);
    };
    // AWS lets an empty one pass.
    if let Some(success) = config.table("OnSuccess", "DestinationConfig.OnSuccess.", &["Destination"])?
        && let Some(destination) = success.members.get("Destination")
    {
        let rule = "leave it out: mappings tell of failures only";
        return Err(InvalidMapping::new(
            "DestinationConfig.OnSuccess.Destination",
            destination,
            rule,
        ));
    }
    let mut destination = None;
    if let Some(mut failure) = config.table("OnFailure", "DestinationConfig.OnFailure.", &["Destination"])? {
        destination = failure.parsed("Destination", str::parse)?;
        failure.end()?;
    }
    config.end()?;
    Ok(destination)
}

fn batching_window_in_millis(
    table: &mut Table,
    settings: &mut MappingSettings,
    seconds: u32,
) -> Result<(), InvalidMapping> {
    let range = &settings::BATCHING_WINDOW_MILLIS;
    let Some(millis) = table.number::<u32>(range)? else {
        return Ok(());
    };
    if seconds > 0 {
        let rule = "leave it out, or MaximumBatchingWindowInSeconds";
        return Err(InvalidMapping::new(range.setting, millis, rule));
    }
    settings.maximum_batching_window = Duration::from_millis(millis.into());
    Ok(())
}

fn extensions(table: &mut Table) -> Result<KclExtensions, InvalidMapping> {
    let mut extensions = KclExtensions::default();
    extensions.lanes_per_key = table.number(&extensions::LANES_PER_KEY)?;
    set(&mut extensions.payload_limit, table.limit(&extensions::PAYLOAD_LIMIT)?);
    let rule = "use Discard or QuarantineKey";
    let exhausted = table.value("OnExhausted", rule, |value| {
        let all = OnExhausted::ALL.into_iter();
        let name = value.as_str()?;
        all.into_iter()
            .find_map(|(known, value)| (known == name).then_some(value))
    })?;
    set(&mut extensions.on_exhausted, exhausted);
    set(&mut extensions.retry_items, table.switch("RetryItems")?);
    set(&mut extensions.strict_responses, table.switch("StrictResponses")?);
    set(
        &mut extensions.deaggregate_before_filtering,
        table.switch("DeaggregateBeforeFiltering")?,
    );
    set(&mut extensions.filter_by_metadata, table.switch("FilterByMetadata")?);
    set(&mut extensions.filter_dry_run, table.switch("FilterDryRun")?);
    set(&mut extensions.filter_quota, table.number(&extensions::FILTER_QUOTA)?);
    extensions.dead_letters = table.parsed("DeadLetters", str::parse)?;
    extensions.shadow_function_name = table.parsed("ShadowFunctionName", str::parse::<FunctionName>)?;
    extensions.replay_until = table.timestamp("ReplayUntilTimestamp")?;

    let names = &["InitialInMilliseconds", "LongestInMilliseconds"];
    if let Some(mut table) = table.table("Backoff", "KclExtensions.Backoff.", names)? {
        let Backoff { initial, longest } = &mut extensions.backoff;
        set(
            initial,
            table.number(&extensions::BACKOFF_INITIAL)?.map(Duration::from_millis),
        );
        set(
            longest,
            table.number(&extensions::BACKOFF_LONGEST)?.map(Duration::from_millis),
        );
        table.end()?;
    }
    let names = &["Failures", "OpenForInMilliseconds"];
    if let Some(mut table) = table.table("CircuitBreaker", "KclExtensions.CircuitBreaker.", names)? {
        let missing = |range: &Range| InvalidMapping::new(range.setting, "missing", range.rule());
        let (failures, open) = (extensions::BREAKER_FAILURES, extensions::BREAKER_OPEN);
        extensions.circuit_breaker = Some(CircuitBreaker {
            failures: table.number(&failures)?.ok_or_else(|| missing(&failures))?,
            open_for: Duration::from_millis(table.number(&open)?.ok_or_else(|| missing(&open))?),
        });
        table.end()?;
    }
    Ok(extensions)
}

fn set<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}
