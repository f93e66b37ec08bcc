//! Opening shards and reading records.

use kcl_core::Timestamp;

use super::{
    Engine, Load, Operation, Quirk, Subject,
    start::{START_TYPES, Start},
    token::{ShardIterator, TOKEN_LIFETIME_MS},
    validate::{Constraints, present},
};
use crate::api::{ApiError, ErrorKind, GetRecords, GetRecordsOutput, GetShardIterator, GetShardIteratorOutput};

const RECORDS_MAX: i32 = 10_000;
/// The most data and keys of one answer.
const BYTES_MAX: usize = 10 << 20;

impl Operation for GetShardIterator {
    const NAME: &'static str = "GetShardIterator";
    type Output = GetShardIteratorOutput;

    fn subject(&self) -> Subject {
        Subject::shard(
            self.stream_name.as_ref(),
            self.stream_arn.as_ref(),
            self.shard_id.as_ref(),
        )
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<GetShardIteratorOutput, ApiError> {
        Constraints::default()
            .stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
            .required("shardId", self.shard_id.as_ref())
            .name("shardId", self.shard_id.as_ref())
            .required("shardIteratorType", self.shard_iterator_type.as_ref())
            .one_of("shardIteratorType", self.shard_iterator_type.as_ref(), &START_TYPES)
            .number("startingSequenceNumber", self.starting_sequence_number.as_ref())
            .check()?;
        let stream = engine.stream(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        let shard = engine.shard(stream, &present(self.shard_id)?, now)?;
        let start = Start {
            operation: Self::NAME,
            kind: &present(self.shard_iterator_type)?,
            number: self.starting_sequence_number.as_deref(),
            timestamp: self.timestamp,
        };
        let counter = engine.counter_at(stream, shard, &start, now)?;
        let iterator = ShardIterator {
            stream: stream.name.clone(),
            life: stream.life,
            shard: shard.index,
            counter,
            made_at: now,
        };
        if self.dry_run == Some(true) {
            return Err(ApiError::dry_run());
        }
        engine.meter(&iterator.stream, iterator.shard, |meters| meters.take_iterator(now))?;
        Ok(GetShardIteratorOutput {
            shard_iterator: iterator.seal(),
        })
    }
}

impl Operation for GetRecords {
    const NAME: &'static str = "GetRecords";
    type Output = GetRecordsOutput;

    fn subject(&self) -> Subject {
        self.shard_iterator
            .as_deref()
            .and_then(ShardIterator::subject_of)
            .unwrap_or_default()
    }

    fn load_of(output: &GetRecordsOutput) -> Load {
        Load {
            records: output.records.len() as u64,
            bytes: output.records.iter().map(|record| record.size() as u64).sum(),
        }
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<GetRecordsOutput, ApiError> {
        const REFUSAL: &str = "Invalid ShardIterator.";
        Constraints::default()
            .required("shardIterator", self.shard_iterator.as_ref())
            .length("shardIterator", self.shard_iterator.as_deref(), 1..=512)
            .range("limit", self.limit, 1..=RECORDS_MAX)
            .check()?;
        let iterator = ShardIterator::open(&present(self.shard_iterator)?).ok_or_else(|| ApiError::invalid(REFUSAL))?;
        let stream = engine.stream_of_token(&iterator.stream, iterator.life, REFUSAL)?;
        let is_expired = engine.quirk == Some(Quirk::ExpiredIterator);
        if is_expired || now.millis_since(iterator.made_at) > TOKEN_LIFETIME_MS {
            return Err(expired(iterator.made_at, now));
        }
        let limit = self.limit.unwrap_or(RECORDS_MAX).unsigned_abs() as usize;
        // Records beyond retention are not given, whether or not something has removed them yet.
        let oldest = stream.horizon(now);
        let shard = stream.shard(iterator.shard, now);
        let shard = shard.ok_or_else(|| engine.no_such_shard(stream, iterator.shard))?;
        let found = shard.read(iterator.counter.max(shard.first_at(oldest)), limit, BYTES_MAX);
        let ended = !shard.is_open() && found.next_arrival.is_none();
        let child_shards = if ended {
            stream.children(iterator.shard)
        } else {
            Vec::new()
        };
        let next = ShardIterator {
            counter: found.next,
            made_at: now,
            ..iterator
        };
        if self.dry_run == Some(true) {
            return Err(ApiError::dry_run());
        }
        let bytes = || found.records.iter().map(|record| record.size() as u64).sum();
        engine.meter(&next.stream, next.shard, |meters| meters.take_read(bytes(), now))?;
        let is_lost = engine.quirk == Some(Quirk::NullIterator);
        Ok(GetRecordsOutput {
            records: found.records,
            encrypted: found.encrypted,
            next_shard_iterator: (!ended && !is_lost).then(|| next.seal()),
            millis_behind_latest: found.next_arrival.map_or(0, |arrival| now.millis_since(arrival)),
            child_shards,
        })
    }
}

fn expired(made_at: Timestamp, now: Timestamp) -> ApiError {
    ApiError::new(
        ErrorKind::ExpiredIterator,
        format!(
            "Iterator expired. The iterator was created at time {} while right now it is {} which is further in the \
             future than the tolerated delay of {TOKEN_LIFETIME_MS} milliseconds.",
            as_service_writes(made_at),
            as_service_writes(now)
        ),
    )
}

/// `Thu Jan 22 01:22:02 UTC 2015`.
fn as_service_writes(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.epoch_millis()) {
        Ok(at) => at.strftime("%a %b %d %H:%M:%S UTC %Y").to_string(),
        Err(_) => at.to_string(),
    }
}
