//! Trouble on demand: a plan of faults that the broker's clients meet, each by operation, stream, shard, chance and number.
//!
//! A [`Fault`] is data. It says what happens, to which calls, and how often:
//!
//! ```
//! use kcl_broker::{Broker, ErrorKind, api::{CreateStream, PutRecord}, trouble::Fault};
//!
//! let broker = Broker::new();
//! broker.call(CreateStream::new("rides", 1))?;
//! broker.trouble().add(Fault::throttle().on("PutRecord").stream("rides").times(1))?;
//!
//! let refused = broker.call(PutRecord::new("rides", "taxi-7", "from A to B")).unwrap_err();
//! assert_eq!(refused.kind(), ErrorKind::ProvisionedThroughputExceeded);
//! broker.call(PutRecord::new("rides", "taxi-7", "from A to B"))?;
//! assert_eq!(broker.trouble().list()[0].struck, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What can happen
//!
//! | JSON `fault` | constructor | what clients meet | on |
//! |---|---|---|---|
//! | `throttle` | [`Fault::throttle`] | `ProvisionedThroughputExceededException` where the operation has it, else `LimitExceededException`; of `PutRecords` the records that `records` or `shard` choose fail one by one | everything |
//! | `internal_error` | [`Fault::internal_error`] | `InternalFailure` with status 500; with `records` as above | everything |
//! | `unavailable` | [`Fault::unavailable`] | `ServiceUnavailable` with status 503 | everything |
//! | `latency` | [`Fault::latency`] | `ms` milliseconds pass before the call is carried out | everything |
//! | `drop_request` | [`Fault::drop_request`] | the connection is cut; nothing was carried out | everything |
//! | `drop_answer` | [`Fault::drop_answer`] | the call is carried out, then the connection is cut | everything |
//! | `expired_iterator` | [`Fault::expired_iterator`] | `ExpiredIteratorException` | `GetRecords` |
//! | `null_iterator` | [`Fault::null_iterator`] | records, but neither an iterator nor children, though the shard is open | `GetRecords` |
//! | `stale_shards` | [`Fault::stale_shards`] | the shards of `ms` milliseconds ago | `ListShards` |
//! | `silent_subscription` | [`Fault::silent_subscription`] | the subscription opens, and no event ever comes | `SubscribeToShard` |
//! | `disconnect` | [`Fault::disconnect`] | the connection is cut after `events` events | `SubscribeToShard` |
//! | `resource_in_use` | [`Fault::resource_in_use`] | `ResourceInUseException`; with `after` 1 on the second subscription | `SubscribeToShard`, what changes resources |
//!
//! Typed calls, [`Broker::call`](crate::Broker::call), [`Broker::subscribe`](crate::Broker::subscribe) and
//! [`Broker::call_dynamodb`](crate::Broker::call_dynamodb), have no connection and do not wait: `latency`, `drop_request`
//! and `drop_answer` pass them by, and do not count them. Everything else they meet as HTTP clients do; a subscription that
//! is cut off ends.
//!
//! # As JSON
//!
//! One object a fault: its `fault`, what that takes, and whichever of these there are.
//!
//! | member | which calls |
//! |---|---|
//! | `operation` | those of this operation: `PutRecords`, `DynamoDB.UpdateItem`, `DynamoDB.*`, or `*` for all, which is the default |
//! | `stream`, `shard` | those about this stream, this shard; those of `PutRecords` if a record goes there |
//! | `table` | those about this DynamoDB table |
//! | `probability` | of those, so many, from 0 to 1; 1 by default |
//! | `after` | not the first so many of those |
//! | `times` | at most so many |
//! | `seed` | what chance follows from; 0 by default |
//!
//! ```
//! use kcl_broker::trouble::Fault;
//!
//! let fault: Fault = serde_json::from_str(
//!     r#"{"fault": "latency", "ms": 250, "operation": "GetRecords", "stream": "rides", "probability": 0.5, "seed": 7}"#,
//! )?;
//! let same = Fault::latency(std::time::Duration::from_millis(250)).on("GetRecords").stream("rides");
//! assert_eq!(fault, same.probability(0.5).seed(7));
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! # Which fault strikes
//!
//! Faults are asked in the order in which they were added. Latencies add up; of the others the first that strikes ends the
//! round, and those behind it do not count the call. Whether a fault strikes its n-th call follows from its seed and n
//! alone: the same calls in the same order meet the same trouble in every run.

mod chance;
mod error;
mod fault;
mod handle;
mod operation;
mod plan;
mod shape;

#[cfg(test)]
mod tests;

pub(crate) use self::{chance::Chance, operation::is_on_records};
pub use self::{
    error::FaultError,
    fault::{Fault, FaultKind},
    handle::Trouble,
    plan::{Call, Effect, FaultId, FaultPlan, FaultStatus, Strike},
};
