//! What is wrong with a setting, and the ranges that AWS has for numbers.

use std::{fmt, time::Duration};

/// A setting of an event source mapping cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {value}: {rule}")]
pub struct InvalidMapping {
    setting: String,
    value: String,
    rule: String,
}

impl InvalidMapping {
    pub(crate) fn new(setting: impl Into<String>, value: impl fmt::Display, rule: impl Into<String>) -> Self {
        Self {
            setting: setting.into(),
            value: value.to_string(),
            rule: rule.into(),
        }
    }

    /// The filters cannot be used; those of a mapping that was checked can.
    pub(crate) fn of_filters(invalid: &crate::filter::InvalidFilters) -> Self {
        Self::new("FilterCriteria", "a list of filters", invalid.to_string())
    }

    /// A function of this process is given batches, and returns no state.
    pub(crate) fn of_windows(size: Duration) -> Self {
        let rule =
            "use 0, or a function that is invoked with events: one that is called with batches has no window state";
        Self::new("TumblingWindowInSeconds", size.as_secs(), rule)
    }

    /// An event with the largest state of a window has to leave room for records.
    pub(crate) fn of_payload_with_window(limit: usize, at_least: usize) -> Self {
        let rule =
            format!("use at least {at_least} with TumblingWindowInSeconds: an event holds the state of its window too");
        Self::new("KclExtensions.PayloadLimitInBytes", limit, rule)
    }

    /// The setting by its name, such as `DestinationConfig.OnFailure.Destination`.
    #[must_use]
    pub fn setting(&self) -> &str {
        &self.setting
    }

    /// What it was set to; `missing` for what must be set and is not.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What it must be.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }
}

/// The values that a number may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) setting: &'static str,
    pub(super) from: u64,
    pub(super) to: u64,
    /// What stands after the number: ` seconds`, or nothing.
    pub(super) unit: &'static str,
    /// Besides, -1: without a limit.
    pub(super) or_infinite: bool,
}

impl Range {
    pub(super) const fn of(setting: &'static str, from: u64, to: u64) -> Self {
        Self {
            setting,
            from,
            to,
            unit: "",
            or_infinite: false,
        }
    }

    pub(super) const fn of_seconds(setting: &'static str, from: u64, to: u64) -> Self {
        Self {
            unit: " seconds",
            ..Self::of(setting, from, to)
        }
    }

    pub(super) const fn of_millis(setting: &'static str, from: u64, to: u64) -> Self {
        Self {
            unit: " milliseconds",
            ..Self::of(setting, from, to)
        }
    }

    pub(super) const fn or_infinite(self) -> Self {
        Self {
            or_infinite: true,
            ..self
        }
    }

    pub(super) fn rule(&self) -> String {
        let Self { from, to, unit, .. } = self;
        let infinite = if self.or_infinite { ", or -1 for no limit" } else { "" };
        format!("use a whole number from {from} to {to}{unit}{infinite}")
    }

    pub(super) fn refuse(&self, value: impl fmt::Display) -> InvalidMapping {
        InvalidMapping::new(self.setting, value, self.rule())
    }

    pub(super) fn check(&self, value: impl Into<u64>) -> Result<(), InvalidMapping> {
        let value = value.into();
        if (self.from..=self.to).contains(&value) {
            Ok(())
        } else {
            Err(self.refuse(value))
        }
    }

    /// Checks a duration, which must be whole in the unit.
    pub(super) fn check_duration(&self, value: Duration) -> Result<(), InvalidMapping> {
        let (whole, count) = match self.unit {
            " seconds" => (value.subsec_nanos() == 0, u128::from(value.as_secs())),
            _ => (value.subsec_nanos().is_multiple_of(1_000_000), value.as_millis()),
        };
        let within = (u128::from(self.from)..=u128::from(self.to)).contains(&count);
        if whole && within {
            Ok(())
        } else {
            Err(self.refuse(format_args!("{value:?}")))
        }
    }
}
