//! Opening shards and reading records.

use kcl_core::Timestamp;

use super::{
    Engine, Operation, Subject,
    sequence::Parts,
    shard::ShardLog,
    stream::Stream,
    token::{ShardIterator, TOKEN_LIFETIME_MS},
    validate::{Constraints, present},
};
use crate::api::{ApiError, ErrorKind, GetRecords, GetRecordsOutput, GetShardIterator, GetShardIteratorOutput};

const RECORDS_MAX: i32 = 10_000;
/// The most data and keys of one answer.
const BYTES_MAX: usize = 10 << 20;
const ITERATOR_TYPES: [&str; 5] = [
    "AFTER_SEQUENCE_NUMBER",
    "LATEST",
    "AT_TIMESTAMP",
    "AT_SEQUENCE_NUMBER",
    "TRIM_HORIZON",
];

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
            .one_of("shardIteratorType", self.shard_iterator_type.as_ref(), &ITERATOR_TYPES)
            .number("startingSequenceNumber", self.starting_sequence_number.as_ref())
            .check()?;
        let stream = engine.stream(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        let shard = engine.shard(stream, &present(self.shard_id)?, now)?;
        let kind = present(self.shard_iterator_type)?;
        let counter = match (kind.as_str(), self.starting_sequence_number.as_deref()) {
            ("AT_SEQUENCE_NUMBER", Some(number)) => engine.counter_of(stream, shard, number)?,
            ("AFTER_SEQUENCE_NUMBER", Some(number)) => engine.counter_of(stream, shard, number)? + 1,
            ("AT_TIMESTAMP", None) => first_at(shard, self.timestamp, now)?,
            ("LATEST", None) => shard.tip(),
            ("TRIM_HORIZON", None) => 0,
            (kind, number) => return Err(number_mismatch(kind, number.is_some())),
        };
        let iterator = ShardIterator {
            stream: stream.name.clone(),
            life: stream.life,
            shard: shard.index,
            counter,
            made_at: now,
        };
        Ok(GetShardIteratorOutput {
            shard_iterator: iterator.seal(),
        })
    }
}

impl Engine {
    /// The counter in a number that `shard` has given.
    fn counter_of(&self, stream: &Stream, shard: &ShardLog, number: &str) -> Result<u64, ApiError> {
        let (name, account) = (&stream.name, &self.config.account);
        let used = || {
            format!(
                "StartingSequenceNumber {number} used in GetShardIterator on shard {} in stream {name} under account \
                 {account} is invalid",
                shard.id()
            )
        };
        let parts = Parts::decode(number).ok_or_else(|| ApiError::invalid(format!("{}.", used())))?;
        if shard.has_issued(&parts) {
            return Ok(parts.counter);
        }
        let other = stream.shards.get(&parts.shard).filter(|other| other.has_issued(&parts));
        Err(ApiError::invalid(match other {
            Some(other) => format!(
                "Invalid StartingSequenceNumber. It encodes {}, while it was used in a call to a shard with {}",
                other.id(),
                shard.id()
            ),
            None => format!("{} because it did not come from this stream.", used()),
        }))
    }
}

fn first_at(shard: &ShardLog, at: Option<Timestamp>, now: Timestamp) -> Result<u64, ApiError> {
    let at = at.ok_or_else(|| {
        ApiError::invalid(
            "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no \
             timestamp parameter.",
        )
    })?;
    if at > now {
        return Err(ApiError::invalid(format!(
            "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: \
             {}, currentTimestampInMillis: {}",
            at.epoch_millis(),
            now.epoch_millis()
        )));
    }
    Ok(shard.first_at(at))
}

fn number_mismatch(kind: &str, has_number: bool) -> ApiError {
    ApiError::invalid(format!(
        "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) \
         TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified {kind} and {} StartingSequenceNumber.",
        if has_number { "also a" } else { "no" }
    ))
}

impl Operation for GetRecords {
    const NAME: &'static str = "GetRecords";
    type Output = GetRecordsOutput;

    fn subject(&self) -> Subject {
        self.shard_iterator
            .as_deref()
            .and_then(ShardIterator::open)
            .map(|iterator| iterator.subject())
            .unwrap_or_default()
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
        if now.millis_since(iterator.made_at) > TOKEN_LIFETIME_MS {
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
        Ok(GetRecordsOutput {
            records: found.records,
            next_shard_iterator: (!ended).then(|| next.seal()),
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
