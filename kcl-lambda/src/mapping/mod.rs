//! Event source mappings: between which stream and which function, and how, by AWS's names.
//!
//! In JSON and TOML an [`EventSourceMapping`] has the shape that AWS's API has (`CreateEventSourceMapping`, and what
//! `GetEventSourceMapping` answers, too). What Lambda does not have stands in a table of its own, `KclExtensions`.
//! Settings that nobody knows are refused, and so are values that AWS would refuse: [`InvalidMapping`] names the
//! setting, the value and the rule.

mod builder;
mod error;
mod extensions;
mod read;
mod settings;
mod table;
mod values;
mod write;

use std::ops::Deref;

use kcl_core::InitialPosition;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::{
    builder::MappingBuilder,
    error::InvalidMapping,
    extensions::{CircuitBreaker, KclExtensions, OnExhausted},
    settings::MappingSettings,
    values::{DeadLetterPlace, Destination, EventSourceArn, FunctionName, FunctionResponseType, InvalidValue, Metric},
};

/// A stream, a function, and how the records of the one come to the other. Its settings are checked.
///
/// ```
/// use std::time::Duration;
/// use kcl_core::InitialPosition;
/// use kcl_lambda::mapping::EventSourceMapping;
///
/// let json = r#"{
///     "EventSourceArn": "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry",
///     "FunctionName": "probe",
///     "StartingPosition": "TRIM_HORIZON",
///     "BatchSize": 500,
///     "MaximumRetryAttempts": 3,
///     "KclExtensions": { "MaximumBatchingWindowInMilliseconds": 250 }
/// }"#;
/// let mapping: EventSourceMapping = serde_json::from_str(json)?;
/// assert_eq!((mapping.batch_size, mapping.maximum_retry_attempts), (500, Some(3)));
/// assert_eq!(mapping.maximum_record_age, None);
///
/// let stream = "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry".parse()?;
/// let built = EventSourceMapping::builder(stream, "probe".parse()?, InitialPosition::TrimHorizon)
///     .batch_size(500)
///     .maximum_retry_attempts(Some(3))
///     .maximum_batching_window(Duration::from_millis(250))
///     .build()?;
/// assert_eq!(built, mapping);
///
/// let error = serde_json::from_str::<EventSourceMapping>(&json.replace("500", "50000")).unwrap_err();
/// assert_eq!(error.to_string(), "BatchSize is 50000: use a whole number from 1 to 10000");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct EventSourceMapping(MappingSettings);

impl EventSourceMapping {
    /// A mapping with AWS's defaults, to be changed.
    pub fn builder(
        event_source_arn: EventSourceArn,
        function_name: FunctionName,
        starting_position: InitialPosition,
    ) -> MappingBuilder {
        MappingBuilder(MappingSettings::new(event_source_arn, function_name, starting_position))
    }

    /// The settings, to be changed and built again.
    pub fn to_builder(&self) -> MappingBuilder {
        MappingBuilder(self.0.clone())
    }

    fn checked(settings: MappingSettings) -> Result<Self, InvalidMapping> {
        settings.check()?;
        Ok(Self(settings))
    }
}

impl Deref for EventSourceMapping {
    type Target = MappingSettings;

    fn deref(&self) -> &MappingSettings {
        &self.0
    }
}

impl TryFrom<Map<String, Value>> for EventSourceMapping {
    type Error = InvalidMapping;

    /// Reads the members of a mapping.
    fn try_from(members: Map<String, Value>) -> Result<Self, InvalidMapping> {
        Self::checked(read::settings(members)?)
    }
}

impl From<EventSourceMapping> for Map<String, Value> {
    /// The members as AWS answers them: all of its settings, with -1 where there is no limit.
    fn from(mapping: EventSourceMapping) -> Self {
        write::members(&mapping)
    }
}

#[cfg(test)]
mod tests;
