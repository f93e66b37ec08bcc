//! Warm throughput: room in an on-demand stream before its traffic asks for it.
//!
//! A shard takes a mebibyte a second, so that room is a number of shards of the same width. Growth by traffic goes on from
//! there.

use kcl_core::{StreamName, Timestamp};

use super::{
    Engine, Operation, Subject,
    lifecycle::Update,
    reshard::Reshard,
    scaling::even_steps,
    stream::Stream,
    streams::ON_DEMAND_SHARDS,
    validate::{Constraints, present},
};
use crate::api::{
    ApiError, ErrorKind, StreamMode, UpdateStreamWarmThroughput, UpdateStreamWarmThroughputOutput, WarmThroughput,
};

/// The most that an on-demand stream takes.
const MIBPS_MAX: i32 = 10 << 10;

impl Constraints {
    /// The throughput to make room for.
    pub(super) fn warm_throughput(&mut self, mibps: Option<i32>) -> &mut Self {
        self.range("warmThroughputMiBps", mibps, 0..=i32::MAX)
    }
}

impl Operation for UpdateStreamWarmThroughput {
    const NAME: &'static str = "UpdateStreamWarmThroughput";
    type Output = UpdateStreamWarmThroughputOutput;

    fn subject(&self) -> Subject {
        Subject::stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<UpdateStreamWarmThroughputOutput, ApiError> {
        Constraints::default()
            .stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
            .required("warmThroughputMiBps", self.warm_throughput_mibps.as_ref())
            .warm_throughput(self.warm_throughput_mibps)
            .check()?;
        let stream = engine.active_stream(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        let target = engine.checked_warm(present(self.warm_throughput_mibps)?, stream.mode, now)?;
        let steps = stream.warm_steps(target);
        engine.check_steps(&steps, now)?;
        let output = UpdateStreamWarmThroughputOutput {
            stream_name: stream.name.clone(),
            stream_arn: engine.arn(&stream.name),
            warm_throughput: WarmThroughput {
                target_mibps: target as usize,
                current_mibps: stream.open_shard_count(),
            },
        };
        engine.set_warm_target(&output.stream_name, Some(target));
        engine.begin_update(&output.stream_name, Update::Shards(steps), now);
        Ok(output)
    }
}

/// How many shards have room for this throughput.
pub(super) fn warm_shards(mibps: u32) -> u32 {
    mibps.max(ON_DEMAND_SHARDS.unsigned_abs())
}

impl Stream {
    /// The steps that make room for this throughput, and not for more.
    pub(super) fn warm_steps(&self, mibps: u32) -> Vec<Reshard> {
        even_steps(self.open_ranges(), warm_shards(mibps))
    }
}

impl Engine {
    /// The throughput that a request asks for, if a stream in this mode can have it.
    pub(super) fn checked_warm(&self, mibps: i32, mode: StreamMode, now: Timestamp) -> Result<u32, ApiError> {
        if mode != StreamMode::OnDemand {
            return Err(ApiError::invalid(
                "Warm throughput is supported only for streams in the ON_DEMAND capacity mode.",
            ));
        }
        if !self.has_commitment(now) {
            return Err(ApiError::invalid(
                "Warm throughput is supported only in accounts that have MinimumThroughputBillingCommitment enabled. Use \
                 UpdateAccountSettings API.",
            ));
        }
        if mibps > MIBPS_MAX {
            let message =
                format!("Warm throughput can not be greater than {MIBPS_MAX} MiBps. Requested: {mibps} MiBps");
            return Err(ApiError::new(ErrorKind::LimitExceeded, message));
        }
        Ok(mibps.unsigned_abs())
    }

    pub(super) fn set_warm_target(&mut self, name: &StreamName, mibps: Option<u32>) {
        if let Some(stream) = self.streams.get_mut(name) {
            stream.warm_target_mibps = mibps;
        }
    }

    /// For how much `stream` has room, if that is something that the account is told.
    pub(super) fn warm_throughput(&self, stream: &Stream, now: Timestamp) -> Option<WarmThroughput> {
        let is_told = stream.mode == StreamMode::OnDemand && self.has_commitment(now);
        let current_mibps = stream.open_shard_count();
        is_told.then(|| WarmThroughput {
            target_mibps: stream.warm_target_mibps.map_or(current_mibps, |target| target as usize),
            current_mibps,
        })
    }
}
