//! Giving a stream another number of shards.

mod plan;

use std::{collections::VecDeque, time::Duration};

use kcl_core::Timestamp;

pub(super) use self::plan::even_steps;
use super::{
    Engine, Limits, Operation, Subject,
    lifecycle::Update,
    stream::Stream,
    validate::{Constraints, present},
};
use crate::api::{ApiError, ErrorKind, UpdateShardCount, UpdateShardCountOutput};

/// The most shards of a stream.
const SHARDS_MAX: usize = 10_000;
/// How often a stream is scaled in a day.
const TIMES_MAX: usize = 10;
const DAY: Duration = Duration::from_hours(24);

impl Operation for UpdateShardCount {
    const NAME: &'static str = "UpdateShardCount";
    type Output = UpdateShardCountOutput;

    fn subject(&self) -> Subject {
        Subject::stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<UpdateShardCountOutput, ApiError> {
        Constraints::default()
            .stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
            .required("targetShardCount", self.target_shard_count.as_ref())
            .range("targetShardCount", self.target_shard_count, 1..=i32::MAX)
            .required("scalingType", self.scaling_type.as_ref())
            .one_of("scalingType", self.scaling_type.as_ref(), &["UNIFORM_SCALING"])
            .check()?;
        let stream = engine.reshardable(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        let target = present(self.target_shard_count)?.unsigned_abs();
        let current = stream.open_shard_count();
        check_target(current, target as usize)?;
        let steps = even_steps(stream.open_ranges(), target);
        engine.check_steps(&steps, now)?;
        let output = UpdateShardCountOutput {
            stream_name: stream.name.clone(),
            stream_arn: engine.arn(&stream.name),
            current_shard_count: current,
            target_shard_count: target as usize,
        };
        engine.count_of_day(&output.stream_name, |stream| &mut stream.scaled, TIMES_MAX, now)?;
        engine.begin_update(&output.stream_name, Update::Shards(steps), now);
        Ok(output)
    }
}

fn check_target(current: usize, target: usize) -> Result<(), ApiError> {
    let limit = if target > SHARDS_MAX {
        format!("Target shard count or number of open shards cannot be greater than {SHARDS_MAX}.")
    } else if target > 2 * current {
        "UpdateShardCount cannot scale up over double your current open shard count.".to_owned()
    } else if 2 * target < current {
        "UpdateShardCount cannot scale down below half your current open shard count.".to_owned()
    } else {
        return Ok(());
    };
    let message = format!("{limit} Current open shard count: {current}, Target shard count: {target}");
    Err(ApiError::new(ErrorKind::LimitExceeded, message))
}

/// When something was done in the last 24 hours.
#[derive(Debug, Default)]
pub(super) struct Daily(VecDeque<Timestamp>);

impl Daily {
    /// Counts one more time, unless that is one too many.
    fn take(&mut self, times_max: usize, now: Timestamp) -> bool {
        while self.0.front().is_some_and(|at| at.saturating_add(DAY) <= now) {
            self.0.pop_front();
        }
        if self.0.len() >= times_max {
            return false;
        }
        self.0.push_back(now);
        true
    }
}

impl Engine {
    /// Counts something that a stream allows a few times a day, if limits hold.
    pub(super) fn count_of_day(
        &mut self,
        name: &kcl_core::StreamName,
        daily: impl FnOnce(&mut Stream) -> &mut Daily,
        times_max: usize,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        if self.config.limits == Limits::Off {
            return Ok(());
        }
        let stream = self.streams.get_mut(name);
        if stream.is_none_or(|stream| daily(stream).take(times_max, now)) {
            return Ok(());
        }
        let account = &self.config.account;
        Err(ApiError::new(
            ErrorKind::LimitExceeded,
            format!(
                "Stream {name} under account {account} was changed in this way {times_max} times within the last 24 \
                 hours, which is the limit."
            ),
        ))
    }
}
