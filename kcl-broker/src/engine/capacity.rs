//! What a stream takes: its mode, its largest record, and who decides to which shard a record goes.

use kcl_core::{HashKey, StreamName, Timestamp};

use super::{
    Engine, Operation, Subject,
    lifecycle::Update,
    stream::Stream,
    validate::{Constraints, present},
};
use crate::api::{
    ApiError, RecordDistributionStrategy, StreamMode, StreamModeDetails, UpdateMaxRecordSize, UpdateStreamMode,
    UpdateStreamRecordDistributionStrategy,
};

/// How often a day a stream's mode is changed.
const MODE_CHANGES_MAX: usize = 2;
pub(super) const RECORD_KIB_DEFAULT: i32 = 1024;
const RECORD_KIB_MAX: i32 = 10_240;
/// Multiples of it lie evenly among the hash keys, however many there are.
const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

impl Constraints {
    /// The mode of a stream.
    pub(super) fn mode(&mut self, details: Option<&StreamModeDetails>) -> &mut Self {
        const PATH: &str = "streamModeDetails.streamMode";
        let Some(StreamModeDetails { stream_mode: mode }) = details else {
            return self;
        };
        self.required(PATH, mode.as_ref())
            .one_of(PATH, mode.as_ref(), &["PROVISIONED", "ON_DEMAND"])
    }

    /// The size of a stream's largest record.
    pub(super) fn record_size(&mut self, kib: Option<i32>) -> &mut Self {
        self.range("maxRecordSizeInKiB", kib, RECORD_KIB_DEFAULT..=RECORD_KIB_MAX)
    }

    /// Who decides to which shard a record goes.
    pub(super) fn strategy(&mut self, strategy: Option<&String>) -> &mut Self {
        self.one_of("recordDistributionStrategy", strategy, &["AUTO", "USER_PARTITION_KEY"])
    }
}

/// The mode of this name, which constraints have found to be one.
pub(super) fn mode_named(details: Option<StreamModeDetails>) -> StreamMode {
    match details.and_then(|details| details.stream_mode).as_deref() {
        Some("ON_DEMAND") => StreamMode::OnDemand,
        _ => StreamMode::Provisioned,
    }
}

/// The strategy of this name for a stream in this mode, if that can have it.
pub(super) fn strategy_named(name: Option<&str>, mode: StreamMode) -> Result<RecordDistributionStrategy, ApiError> {
    match (name, mode) {
        (Some("AUTO"), StreamMode::OnDemand) => Ok(RecordDistributionStrategy::Auto),
        (Some("AUTO"), StreamMode::Provisioned) => Err(ApiError::invalid(
            "The record distribution strategy AUTO is supported only for streams in the ON_DEMAND capacity mode.",
        )),
        _ => Ok(RecordDistributionStrategy::UserPartitionKey),
    }
}

impl Operation for UpdateStreamMode {
    const NAME: &'static str = "UpdateStreamMode";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::stream(None, self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<(), ApiError> {
        Constraints::default()
            .required("streamARN", self.stream_arn.as_ref())
            .stream(None, self.stream_arn.as_ref())
            .required("streamModeDetails", self.stream_mode_details.as_ref())
            .mode(self.stream_mode_details.as_ref())
            .warm_throughput(self.warm_throughput_mibps)
            .check()?;
        let stream = engine.active_stream(None, self.stream_arn.as_ref())?;
        let mode = mode_named(self.stream_mode_details);
        if mode == StreamMode::OnDemand && stream.mode != mode {
            engine.check_on_demand_streams()?;
        }
        let warm = self.warm_throughput_mibps;
        let warm = warm.map(|mibps| engine.checked_warm(mibps, mode, now)).transpose()?;
        let steps = warm.map_or(Vec::new(), |mibps| stream.warm_steps(mibps));
        engine.check_steps(&steps, now)?;
        let name = stream.name.clone();
        engine.count_of_day(&name, |stream| &mut stream.mode_changed, MODE_CHANGES_MAX, now)?;
        if warm.is_some() {
            engine.set_warm_target(&name, warm);
        }
        engine.begin_update(&name, Update::Mode(mode, steps), now);
        Ok(())
    }
}

impl Operation for UpdateMaxRecordSize {
    const NAME: &'static str = "UpdateMaxRecordSize";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::stream(None, self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<(), ApiError> {
        Constraints::default()
            .stream(None, self.stream_arn.as_ref())
            .required("maxRecordSizeInKiB", self.max_record_size_in_kib.as_ref())
            .record_size(self.max_record_size_in_kib)
            .check()?;
        let name = engine.active_stream(None, self.stream_arn.as_ref())?.name.clone();
        let kib = present(self.max_record_size_in_kib)?.unsigned_abs();
        engine.begin_update(&name, Update::MaxRecordSize(kib), now);
        Ok(())
    }
}

impl Operation for UpdateStreamRecordDistributionStrategy {
    const NAME: &'static str = "UpdateStreamRecordDistributionStrategy";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::stream(None, self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, _: Timestamp) -> Result<(), ApiError> {
        let strategy = self.record_distribution_strategy.as_ref();
        Constraints::default()
            .required("streamARN", self.stream_arn.as_ref())
            .stream(None, self.stream_arn.as_ref())
            .required("recordDistributionStrategy", strategy)
            .strategy(strategy)
            .check()?;
        let stream = engine.active_stream(None, self.stream_arn.as_ref())?;
        let strategy = strategy_named(strategy.map(String::as_str), stream.mode)?;
        let name = stream.name.clone();
        // The service makes this change without a time of updating.
        if let Some(stream) = engine.streams.get_mut(&name) {
            stream.strategy = strategy;
        }
        Ok(())
    }
}

impl Stream {
    /// The hash key that decides where the record goes that comes `nth` from now, counted from 0, if the service decides.
    pub(super) fn spread_key(&self, nth: u64) -> Option<HashKey> {
        let nth = u128::from(self.records_taken.wrapping_add(nth));
        (self.strategy == RecordDistributionStrategy::Auto).then(|| HashKey(nth.wrapping_mul(SPREAD)))
    }
}

impl Engine {
    pub(super) fn set_mode(&mut self, name: &StreamName, mode: StreamMode) {
        if let Some(stream) = self.streams.get_mut(name) {
            stream.mode = mode;
            if mode == StreamMode::Provisioned {
                stream.strategy = RecordDistributionStrategy::UserPartitionKey;
                stream.warm_target_mibps = None;
            }
        }
    }

    pub(super) fn set_max_record_size(&mut self, name: &StreamName, kib: u32) {
        if let Some(stream) = self.streams.get_mut(name) {
            stream.max_record_size_in_kib = kib;
        }
    }
}
