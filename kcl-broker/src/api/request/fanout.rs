//! Reading with dedicated throughput.

use kcl_core::Timestamp;
use serde::Deserialize;

use crate::api::field;

/// Lets a registered consumer follow a shard for five minutes: records come as they arrive, without being asked for.
///
/// ```
/// use kcl_broker::api::{StartingPosition, SubscribeToShard};
///
/// let consumer = "arn:aws:kinesis:us-east-1:000000000000:stream/rides/consumer/billing:1357034400";
/// let subscribe = SubscribeToShard::new(consumer, "shardId-000000000000", StartingPosition::trim_horizon());
/// assert_eq!(subscribe.starting_position.unwrap().kind.as_deref(), Some("TRIM_HORIZON"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SubscribeToShard {
    /// The consumer, as its registration named it.
    #[serde(deserialize_with = "field::text", rename = "ConsumerARN")]
    pub consumer_arn: Option<String>,
    /// The shard to follow.
    #[serde(deserialize_with = "field::text")]
    pub shard_id: Option<String>,
    /// The first record to give.
    #[serde(deserialize_with = "field::structure")]
    pub starting_position: Option<StartingPosition>,
    /// Only checks whether the request would succeed, and fails with `DryRunOperationException` if it would.
    #[serde(deserialize_with = "field::boolean")]
    pub dry_run: Option<bool>,
}

impl SubscribeToShard {
    /// Follows the shard of this id from `starting_position` on.
    #[must_use]
    pub fn new(
        consumer_arn: impl Into<String>,
        shard_id: impl Into<String>,
        starting_position: StartingPosition,
    ) -> Self {
        Self {
            consumer_arn: Some(consumer_arn.into()),
            shard_id: Some(shard_id.into()),
            starting_position: Some(starting_position),
            dry_run: None,
        }
    }
}

/// Where a subscription begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct StartingPosition {
    /// `TRIM_HORIZON`, `LATEST`, `AT_SEQUENCE_NUMBER`, `AFTER_SEQUENCE_NUMBER` or `AT_TIMESTAMP`.
    #[serde(deserialize_with = "field::text", rename = "Type")]
    pub kind: Option<String>,
    /// For the two types that name a record.
    #[serde(deserialize_with = "field::text")]
    pub sequence_number: Option<String>,
    /// For `AT_TIMESTAMP`.
    #[serde(deserialize_with = "field::timestamp")]
    pub timestamp: Option<Timestamp>,
}

impl StartingPosition {
    /// Begins with the oldest retained record.
    #[must_use]
    pub fn trim_horizon() -> Self {
        Self::of_type("TRIM_HORIZON")
    }

    /// Begins with the next record that arrives.
    #[must_use]
    pub fn latest() -> Self {
        Self::of_type("LATEST")
    }

    /// Begins with the record of this number, or where a subscription said to go on.
    #[must_use]
    pub fn at(number: impl Into<String>) -> Self {
        let sequence_number = Some(number.into());
        Self {
            sequence_number,
            ..Self::of_type("AT_SEQUENCE_NUMBER")
        }
    }

    /// Begins after the record of this number, or where a subscription said to go on.
    #[must_use]
    pub fn after(number: impl Into<String>) -> Self {
        let sequence_number = Some(number.into());
        Self {
            sequence_number,
            ..Self::of_type("AFTER_SEQUENCE_NUMBER")
        }
    }

    /// Begins with the first record that arrived at or after this time.
    #[must_use]
    pub fn at_timestamp(at: Timestamp) -> Self {
        Self {
            timestamp: Some(at),
            ..Self::of_type("AT_TIMESTAMP")
        }
    }

    fn of_type(kind: &str) -> Self {
        Self {
            kind: Some(kind.to_owned()),
            ..Self::default()
        }
    }
}
