//! [`Fault`]: what happens, to which calls, how often.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{FaultError, operation, shape::Shape};

/// What happens when a fault strikes. [The module](super) has a table of what clients meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// Throughput is exceeded.
    Throttle,
    /// The service fails, with status 500.
    InternalError,
    /// The service is unavailable, with status 503.
    Unavailable,
    /// So much time passes before the call is carried out.
    Latency(Duration),
    /// The connection is cut before the call is carried out.
    DropRequest,
    /// The connection is cut after the call was carried out.
    DropAnswer,
    /// The iterator has expired.
    ExpiredIterator,
    /// A read gives records, but neither an iterator nor children, though the shard is open.
    NullIterator,
    /// The listing is so old: shards that were made since are missing, and those closed since are open.
    StaleShards(Duration),
    /// The subscription opens and sends nothing.
    SilentSubscription,
    /// The connection is cut after so many events of the subscription.
    Disconnect(u32),
    /// The resource is in use.
    ResourceInUse,
}

impl FaultKind {
    /// The name, as JSON has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::InternalError => "internal_error",
            Self::Unavailable => "unavailable",
            Self::Latency(_) => "latency",
            Self::DropRequest => "drop_request",
            Self::DropAnswer => "drop_answer",
            Self::ExpiredIterator => "expired_iterator",
            Self::NullIterator => "null_iterator",
            Self::StaleShards(_) => "stale_shards",
            Self::SilentSubscription => "silent_subscription",
            Self::Disconnect(_) => "disconnect",
            Self::ResourceInUse => "resource_in_use",
        }
    }

    /// Whether single records of `PutRecords` can meet it.
    const fn is_of_records(self) -> bool {
        matches!(self, Self::Throttle | Self::InternalError)
    }
}

/// A fault in the plan: what happens, to which calls, how often. By default to all that it can happen to, always.
///
/// It is JSON too, see [the module](super).
///
/// ```
/// use kcl_broker::trouble::Fault;
///
/// let fault = Fault::throttle()
///     .on("PutRecords")
///     .shard("shardId-000000000001")
///     .probability(0.2)
///     .after(10)
///     .times(3)
///     .seed(7);
/// assert_eq!(
///     serde_json::to_value(&fault)?,
///     serde_json::json!({
///         "fault": "throttle", "operation": "PutRecords", "shard": "shardId-000000000001",
///         "probability": 0.2, "after": 10, "times": 3, "seed": 7,
///     }),
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Shape", into = "Shape")]
#[must_use = "a fault does nothing until it is added to a plan"]
#[non_exhaustive]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// To calls of which operation: a name, the names of a service as in `DynamoDB.*`, or `*`.
    pub operation: String,
    /// To calls about which stream.
    pub stream: Option<String>,
    /// To calls about which shard.
    pub shard: Option<String>,
    /// To calls about which DynamoDB table.
    pub table: Option<String>,
    /// To which share of the records of a `PutRecords`.
    pub records: Option<f64>,
    /// How likely it is for each of these calls.
    pub probability: f64,
    /// How many of these calls pass first.
    pub after: u64,
    /// How often at most.
    pub times: Option<u64>,
    /// What chance follows from.
    pub seed: u64,
}

impl Fault {
    /// This, to all calls.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            operation: operation::ALL.to_owned(),
            stream: None,
            shard: None,
            table: None,
            records: None,
            probability: 1.0,
            after: 0,
            times: None,
            seed: 0,
        }
    }

    /// Calls are refused because throughput is exceeded.
    pub fn throttle() -> Self {
        Self::new(FaultKind::Throttle)
    }

    /// Calls fail with status 500.
    pub fn internal_error() -> Self {
        Self::new(FaultKind::InternalError)
    }

    /// Calls fail with status 503.
    pub fn unavailable() -> Self {
        Self::new(FaultKind::Unavailable)
    }

    /// Calls are carried out so much later. For HTTP clients only.
    pub fn latency(latency: Duration) -> Self {
        Self::new(FaultKind::Latency(latency))
    }

    /// Connections are cut before calls are carried out. For HTTP clients only.
    pub fn drop_request() -> Self {
        Self::new(FaultKind::DropRequest)
    }

    /// Connections are cut after calls were carried out. For HTTP clients only.
    pub fn drop_answer() -> Self {
        Self::new(FaultKind::DropAnswer)
    }

    /// Iterators have expired.
    pub fn expired_iterator() -> Self {
        Self::new(FaultKind::ExpiredIterator)
    }

    /// Reads of open shards give neither an iterator nor children.
    pub fn null_iterator() -> Self {
        Self::new(FaultKind::NullIterator)
    }

    /// Listings of shards are so old.
    pub fn stale_shards(age: Duration) -> Self {
        Self::new(FaultKind::StaleShards(age))
    }

    /// Subscriptions open and send nothing.
    pub fn silent_subscription() -> Self {
        Self::new(FaultKind::SilentSubscription)
    }

    /// Subscriptions are cut off after so many events.
    pub fn disconnect(events: u32) -> Self {
        Self::new(FaultKind::Disconnect(events))
    }

    /// Resources are in use.
    pub fn resource_in_use() -> Self {
        Self::new(FaultKind::ResourceInUse)
    }

    /// Only to calls of this operation: its name, or `DynamoDB.*` for those of a service. The default, `*`, is all.
    pub fn on(mut self, operation: impl Into<String>) -> Self {
        self.operation = operation.into();
        self
    }

    /// Only to calls about this stream.
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = Some(name.into());
        self
    }

    /// Only to calls about this shard. In `PutRecords`, throttling and errors then meet the records that go there, and
    /// nothing else meets the call if any record does.
    pub fn shard(mut self, id: impl Into<String>) -> Self {
        self.shard = Some(id.into());
        self
    }

    /// Only to calls about this DynamoDB table.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = Some(name.into());
        self
    }

    /// In `PutRecords`, only to this share of the records, while the call succeeds.
    pub fn records(mut self, share: f64) -> Self {
        self.records = Some(share);
        self
    }

    /// So likely to each of those calls, from 0 to 1.
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// Not to the first so many of those calls.
    pub fn after(mut self, calls: u64) -> Self {
        self.after = calls;
        self
    }

    /// At most so often.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// What chance follows from.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Refuses a fault that means nothing or could never strike.
    pub(super) fn check(&self) -> Result<(), FaultError> {
        let fault = self.kind.name();
        operation::check(&self.operation, self.kind)?;
        for (what, wanted) in [
            ("stream", self.stream.is_some()),
            ("shard", self.shard.is_some()),
            ("table", self.table.is_some()),
        ] {
            if wanted && !operation::is_about(&self.operation, what) {
                return Err(FaultError::WrongSubject {
                    operation: self.operation.clone(),
                    what,
                });
            }
        }
        if self.records.is_some() && !(self.kind.is_of_records() && operation::matches(&self.operation, "PutRecords")) {
            return Err(FaultError::Foreign {
                fault,
                member: "records",
            });
        }
        for (member, value) in [("probability", Some(self.probability)), ("records", self.records)] {
            if let Some(value) = value
                && !(value > 0.0 && value <= 1.0)
            {
                return Err(FaultError::NoShare { member, value });
            }
        }
        match self.times {
            Some(0) => Err(FaultError::Never),
            _ => Ok(()),
        }
    }
}
