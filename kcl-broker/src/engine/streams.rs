//! Making, removing, describing and listing streams.

use std::{collections::BTreeMap, ops::Bound};

use kcl_core::{StreamName, Timestamp};

use super::{
    Engine, Limits, Operation, Subject,
    account::ON_DEMAND_STREAMS_MAX,
    attached::Resource,
    capacity::{RECORD_KIB_DEFAULT, mode_named, strategy_named},
    retention::hours,
    sequence::second_of,
    stream::Stream,
    token::{Life, open_stream_page, seal_stream_page},
    validate::{Constraints, present, shard_index},
    warm::warm_shards,
};
use crate::api::{
    ApiError, CreateStream, DeleteStream, DescribeStream, DescribeStreamOutput, DescribeStreamSummary,
    DescribeStreamSummaryOutput, ErrorKind, ListStreams, ListStreamsOutput, StreamMode, StreamSummary,
};

/// What the service gives a stream whose shards it counts itself.
pub(super) const ON_DEMAND_SHARDS: i32 = 4;
const PAGE_MAX: i32 = 100;
/// How many streams of an account can be on their way at once.
const CREATING_MAX: usize = 5;

impl Operation for CreateStream {
    const NAME: &'static str = "CreateStream";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::stream(self.stream_name.as_ref(), None)
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<(), ApiError> {
        Constraints::default()
            .required("streamName", self.stream_name.as_ref())
            .name("streamName", self.stream_name.as_ref())
            .range("shardCount", self.shard_count, 1..=i32::MAX)
            .record_size(self.max_record_size_in_kib)
            .mode(self.stream_mode_details.as_ref())
            .strategy(self.record_distribution_strategy.as_ref())
            .warm_throughput(self.warm_throughput_mibps)
            .tags(self.tags.as_ref())
            .check()?;
        let name = StreamName::new(present(self.stream_name)?).map_err(|error| ApiError::invalid(error.to_string()))?;
        let mode = mode_named(self.stream_mode_details);
        let shard_count = match (mode, self.shard_count) {
            (_, Some(count)) => count,
            (StreamMode::OnDemand, None) => ON_DEMAND_SHARDS,
            (StreamMode::Provisioned, None) => {
                return Err(ApiError::invalid(
                    "ShardCount must be provided for a PROVISIONED stream.",
                ));
            }
        };
        let strategy = strategy_named(self.record_distribution_strategy.as_deref(), mode)?;
        if engine.streams.contains_key(&name) {
            let account = &engine.config.account;
            let message = format!("Stream {name} under account {account} already exists.");
            return Err(ApiError::new(ErrorKind::ResourceInUse, message));
        }
        let warm = self.warm_throughput_mibps;
        let warm = warm.map(|mibps| engine.checked_warm(mibps, mode, now)).transpose()?;
        let shard_count = warm.map_or(0, warm_shards).max(shard_count.unsigned_abs());
        engine.check_open_shards(shard_count as usize)?;
        engine.check_creating_streams()?;
        if mode == StreamMode::OnDemand {
            engine.check_on_demand_streams()?;
        }
        let tags = self.tags.unwrap_or_default();
        engine.check_new_tags(&Resource::Stream(name.clone()), &tags, &BTreeMap::new())?;
        engine.streams_made += 1;
        let mut stream = Stream::new(
            name,
            Life {
                serial: engine.streams_made,
                created_at: now,
            },
            mode,
            self.max_record_size_in_kib.unwrap_or(RECORD_KIB_DEFAULT).unsigned_abs(),
            engine.config.retention,
            (shard_count, second_of(now).max(engine.deleted_second + 1)),
        );
        stream.attached.tags = tags;
        stream.strategy = strategy;
        stream.warm_target_mibps = warm;
        engine.begin_creation(stream, now);
        Ok(())
    }
}

impl Operation for DeleteStream {
    const NAME: &'static str = "DeleteStream";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<(), ApiError> {
        Constraints::default()
            .stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
            .check()?;
        let name = engine.address(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        if self.enforce_consumer_deletion != Some(true) {
            engine.check_without_consumers(&name)?;
        }
        engine.begin_deletion(&name, now);
        Ok(())
    }
}

impl Operation for DescribeStream {
    const NAME: &'static str = "DescribeStream";
    type Output = DescribeStreamOutput;

    fn subject(&self) -> Subject {
        Subject::stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<DescribeStreamOutput, ApiError> {
        Constraints::default()
            .stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
            .range("limit", self.limit, 1..=10_000)
            .name("exclusiveStartShardId", self.exclusive_start_shard_id.as_ref())
            .check()?;
        let name = engine.address(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        let after = start_shard(self.exclusive_start_shard_id.as_deref())?;
        let limit = page_len(self.limit);
        engine.trim(&name, now);
        let stream = engine.existing(&name)?;
        let mut retained = stream.retained(after, now);
        let shards = retained
            .by_ref()
            .take(limit)
            .map(|shard| shard.description.clone())
            .collect();
        Ok(DescribeStreamOutput {
            stream: engine.summary(stream),
            shards,
            has_more_shards: retained.next().is_some(),
            retention_period_hours: hours(stream.retention),
            settings: stream.settings.clone(),
        })
    }
}

impl Operation for DescribeStreamSummary {
    const NAME: &'static str = "DescribeStreamSummary";
    type Output = DescribeStreamSummaryOutput;

    fn subject(&self) -> Subject {
        Subject::stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<DescribeStreamSummaryOutput, ApiError> {
        Constraints::default()
            .stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
            .check()?;
        let stream = engine.stream(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        Ok(DescribeStreamSummaryOutput {
            stream: engine.summary(stream),
            retention_period_hours: hours(stream.retention),
            settings: stream.settings.clone(),
            open_shard_count: stream.open_shard_count(),
            consumer_count: engine.consumer_count(stream),
            max_record_size_in_kib: stream.max_record_size_in_kib,
            record_distribution_strategy: (stream.mode == StreamMode::OnDemand).then_some(stream.strategy),
            warm_throughput: engine.warm_throughput(stream, now),
        })
    }
}

impl Operation for ListStreams {
    const NAME: &'static str = "ListStreams";
    type Output = ListStreamsOutput;

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<ListStreamsOutput, ApiError> {
        Constraints::default()
            .range("limit", self.limit, 1..=10_000)
            .name("exclusiveStartStreamName", self.exclusive_start_stream_name.as_ref())
            .check()?;
        let continued = match &self.next_token {
            Some(token) => Some(open_stream_page(token).ok_or_else(|| ApiError::invalid("Invalid NextToken."))?),
            None => None,
        };
        let start = continued
            .as_ref()
            .map(StreamName::as_str)
            .or(self.exclusive_start_stream_name.as_deref());
        let bounds = (start.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let mut rest = engine.streams.range::<str, _>(bounds).map(|(_, stream)| stream);
        let stream_summaries: Vec<_> = rest
            .by_ref()
            .take(page_len(self.limit))
            .map(|stream| engine.summary(stream))
            .collect();
        let has_more_streams = rest.next().is_some();
        let last = stream_summaries.last().filter(|_| has_more_streams);
        Ok(ListStreamsOutput {
            stream_names: stream_summaries
                .iter()
                .map(|summary| summary.stream_name.clone())
                .collect(),
            has_more_streams,
            next_token: last.map(|summary| seal_stream_page(&summary.stream_name, now)),
            stream_summaries,
        })
    }
}

impl Engine {
    /// Refuses one more stream if too many are on their way, and if limits hold.
    fn check_creating_streams(&self) -> Result<(), ApiError> {
        self.check_stream_count(Stream::is_creating, CREATING_MAX, "streams in CREATING status")
    }

    /// Refuses one more stream in the on-demand mode if there are too many, and if limits hold.
    pub(super) fn check_on_demand_streams(&self) -> Result<(), ApiError> {
        let is_on_demand = |stream: &Stream| stream.mode == StreamMode::OnDemand;
        self.check_stream_count(
            is_on_demand,
            ON_DEMAND_STREAMS_MAX,
            "streams in the ON_DEMAND capacity mode",
        )
    }

    fn check_stream_count(&self, counts: impl Fn(&Stream) -> bool, limit: usize, what: &str) -> Result<(), ApiError> {
        let count = || self.streams.values().filter(|stream| counts(stream)).count();
        if self.config.limits == Limits::Off || count() < limit {
            return Ok(());
        }
        let account = &self.config.account;
        let message = format!("This request would exceed the limit of {limit} {what} for the account {account}.");
        Err(ApiError::new(ErrorKind::LimitExceeded, message))
    }

    fn summary(&self, stream: &Stream) -> StreamSummary {
        StreamSummary {
            stream_name: stream.name.clone(),
            stream_arn: self.arn(&stream.name),
            stream_status: stream.status(),
            stream_mode: stream.mode,
            stream_creation_timestamp: stream.life.created_at,
        }
    }
}

/// The shard after which a listing begins, if it names one.
pub(super) fn start_shard(id: Option<&str>) -> Result<Option<u32>, ApiError> {
    let Some(id) = id else { return Ok(None) };
    match shard_index(id) {
        Some(index) => Ok(Some(index)),
        None => Err(ApiError::invalid(format!(
            "Invalid ExclusiveStartShardId: {id} is no shard's id."
        ))),
    }
}

fn page_len(limit: Option<i32>) -> usize {
    limit.map_or(PAGE_MAX, |limit| limit.min(PAGE_MAX)).unsigned_abs() as usize
}
