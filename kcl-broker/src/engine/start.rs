//! Where reading begins: what iterators and subscriptions ask for, as a place in a shard.

use kcl_core::Timestamp;

use super::{Engine, sequence::Parts, shard::ShardLog, stream::Stream};
use crate::api::ApiError;

/// The kinds of beginnings, in the order in which the service lists them.
pub(super) const START_TYPES: [&str; 5] = [
    "AFTER_SEQUENCE_NUMBER",
    "LATEST",
    "AT_TIMESTAMP",
    "AT_SEQUENCE_NUMBER",
    "TRIM_HORIZON",
];

/// Where a request wants to begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start<'a> {
    /// The request's operation, which messages name.
    pub(super) operation: &'static str,
    /// One of [`START_TYPES`].
    pub(super) kind: &'a str,
    pub(super) number: Option<&'a str>,
    pub(super) timestamp: Option<Timestamp>,
}

impl Engine {
    /// The counter from which on `shard` is to be read.
    pub(super) fn counter_at(
        &self,
        stream: &Stream,
        shard: &ShardLog,
        start: &Start<'_>,
        now: Timestamp,
    ) -> Result<u64, ApiError> {
        match (start.kind, start.number) {
            ("AT_SEQUENCE_NUMBER", Some(number)) => Ok(shard.first_from(&self.issued(stream, shard, start, number)?)),
            ("AFTER_SEQUENCE_NUMBER", Some(number)) => {
                Ok(shard.first_after(&self.issued(stream, shard, start, number)?))
            }
            ("AT_TIMESTAMP", None) => first_at(shard, start.timestamp, now),
            ("LATEST", None) => Ok(shard.tip()),
            ("TRIM_HORIZON", None) => Ok(0),
            (kind, number) => Err(number_mismatch(kind, number.is_some())),
        }
    }

    /// What `number` says, which `shard` must have given.
    fn issued(&self, stream: &Stream, shard: &ShardLog, start: &Start<'_>, number: &str) -> Result<Parts, ApiError> {
        let (name, account) = (&stream.name, &self.config.account);
        let used = || {
            format!(
                "StartingSequenceNumber {number} used in {} on shard {} in stream {name} under account {account} is \
                 invalid",
                start.operation,
                shard.id()
            )
        };
        let parts = Parts::decode(number).ok_or_else(|| ApiError::invalid(format!("{}.", used())))?;
        if shard.has_issued(&parts) {
            return Ok(parts);
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
