//! Keeping records for longer or less long.

use std::time::Duration;

use kcl_core::{StreamName, Timestamp};

use super::{
    Engine, Operation, Subject,
    stream::Stream,
    validate::{Constraints, present},
};
use crate::api::{ApiError, DecreaseStreamRetentionPeriod, IncreaseStreamRetentionPeriod};

const HOURS_MIN: i32 = 24;
const HOURS_MAX: i32 = 8760;

impl Operation for IncreaseStreamRetentionPeriod {
    const NAME: &'static str = "IncreaseStreamRetentionPeriod";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<(), ApiError> {
        let address = (self.stream_name.as_ref(), self.stream_arn.as_ref());
        let (stream, period) = engine.new_retention(address, self.retention_period_hours)?;
        if period < stream.retention {
            return Err(mismatch(stream, period, ("shorter", "Decrease")));
        }
        engine.set_retention(&stream.name.clone(), period, now);
        Ok(())
    }
}

impl Operation for DecreaseStreamRetentionPeriod {
    const NAME: &'static str = "DecreaseStreamRetentionPeriod";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<(), ApiError> {
        let address = (self.stream_name.as_ref(), self.stream_arn.as_ref());
        let (stream, period) = engine.new_retention(address, self.retention_period_hours)?;
        if period > stream.retention {
            return Err(mismatch(stream, period, ("longer", "Increase")));
        }
        engine.set_retention(&stream.name.clone(), period, now);
        Ok(())
    }
}

impl Engine {
    /// The stream whose retention a request changes, and the period that it asks for.
    fn new_retention(
        &self,
        (name, arn): (Option<&String>, Option<&String>),
        hours: Option<i32>,
    ) -> Result<(&Stream, Duration), ApiError> {
        Constraints::default()
            .stream(name, arn)
            .required("retentionPeriodHours", hours.as_ref())
            .range("retentionPeriodHours", hours, 1..=HOURS_MAX)
            .check()?;
        let stream = self.active_stream(name, arn)?;
        let hours = present(hours)?;
        if hours < HOURS_MIN {
            return Err(ApiError::invalid(format!(
                "Minimum allowed retention period is {HOURS_MIN} hours. Requested retention period ({hours} hours) is too \
                 short."
            )));
        }
        Ok((stream, Duration::from_hours(u64::from(hours.unsigned_abs()))))
    }

    fn set_retention(&mut self, name: &StreamName, period: Duration, now: Timestamp) {
        if let Some(stream) = self.streams.get_mut(name) {
            stream.set_retention(period, now);
        }
        self.trim(name, now);
    }
}

fn mismatch(stream: &Stream, period: Duration, (which, other): (&str, &str)) -> ApiError {
    ApiError::invalid(format!(
        "Requested retention period ({} hours) for stream {} can not be {which} than existing retention period ({} \
         hours). Use {other}RetentionPeriod API.",
        hours(period),
        stream.name,
        hours(stream.retention)
    ))
}

/// A retention period as the service tells it.
pub(super) fn hours(period: Duration) -> u64 {
    period.as_secs() / 3600
}
