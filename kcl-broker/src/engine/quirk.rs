//! [`Quirk`]: what the engine does wrong in one call, because it was told to.

use std::time::Duration;

use kcl_core::Timestamp;

use super::{Engine, Operation, Subject, shard::ShardLog};
use crate::{
    api::{ApiError, ErrorKind},
    trouble::{Chance, is_on_records},
};

/// What goes wrong in one call.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Quirk {
    /// The call is one too many.
    Throttle,
    /// The service fails.
    InternalError,
    /// The service is unavailable.
    Unavailable,
    /// The resource is in use.
    ResourceInUse,
    /// `GetRecords` finds its iterator expired.
    ExpiredIterator,
    /// `GetRecords` gives neither an iterator nor children, though the shard is open.
    NullIterator,
    /// `ListShards` gives the shards of so long ago.
    StaleShards(Duration),
    /// Some of the records of `PutRecords` are not written.
    FailRecords(FailRecords),
}

/// Which of the records of `PutRecords` are not written, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct FailRecords {
    pub(crate) shard: Option<String>,
    pub(crate) chance: Chance,
    pub(crate) is_internal: bool,
}

impl FailRecords {
    /// Whether the record at `place`, which goes to `shard`, is not written.
    pub(super) fn fails(&self, place: usize, shard: &ShardLog) -> bool {
        self.shard.as_ref().is_none_or(|id| id == shard.id().as_str()) && self.chance.hits(place as u64)
    }
}

impl Engine {
    /// Carries out `operation` at the time `now`, with something wrong. What cannot go wrong in the operation does not.
    ///
    /// # Errors
    /// As the service has it for the operation, and for what goes wrong. Then nothing has changed.
    pub fn call_with<O: Operation>(
        &mut self,
        now: Timestamp,
        operation: O,
        quirk: Quirk,
    ) -> Result<O::Output, ApiError> {
        if let Some(refusal) = self.refusal(&quirk, O::NAME, || operation.subject()) {
            return Err(refusal);
        }
        self.quirk = Some(quirk);
        let answer = self.call(now, operation);
        self.quirk = None;
        answer
    }

    /// What a quirk answers in place of the operation.
    fn refusal(&self, quirk: &Quirk, operation: &str, subject: impl FnOnce() -> Subject) -> Option<ApiError> {
        let account = &self.config.account;
        Some(match quirk {
            Quirk::Throttle => {
                let kind = if is_on_records(operation) {
                    ErrorKind::ProvisionedThroughputExceeded
                } else {
                    ErrorKind::LimitExceeded
                };
                let message = match subject() {
                    Subject {
                        stream: Some(stream),
                        shard: Some(shard),
                    } => format!("Rate exceeded for shard {shard} in stream {stream} under account {account}."),
                    Subject {
                        stream: Some(stream), ..
                    } => format!("Rate exceeded for stream {stream} under account {account}."),
                    _ => format!("Rate exceeded for account {account}."),
                };
                ApiError::new(kind, message)
            }
            Quirk::InternalError => internal_failure(),
            Quirk::Unavailable => ApiError::new(ErrorKind::ServiceUnavailable, "Service is unavailable."),
            Quirk::ResourceInUse if operation == "SubscribeToShard" => ApiError::new(
                ErrorKind::ResourceInUse,
                "Another active subscription exists for this consumer.",
            ),
            Quirk::ResourceInUse => {
                let stream = subject().stream.unwrap_or_default();
                let message = format!("Stream {stream} under account {account} not ACTIVE, instead in state UPDATING");
                ApiError::new(ErrorKind::ResourceInUse, message)
            }
            Quirk::ExpiredIterator | Quirk::NullIterator | Quirk::StaleShards(_) | Quirk::FailRecords(_) => {
                return None;
            }
        })
    }

    /// The time as of which shards are listed.
    pub(super) fn listed_as_of(&self, now: Timestamp) -> Timestamp {
        match self.quirk {
            Some(Quirk::StaleShards(age)) => now.saturating_sub(age),
            _ => now,
        }
    }
}

/// What the service says when it fails.
pub(super) fn internal_failure() -> ApiError {
    ApiError::new(ErrorKind::InternalFailure, "Internal Service Failure")
}
