//! Faults as JSON: one flat object each.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Fault, FaultError, FaultKind, operation};

const NAMES: [&str; 12] = [
    "throttle",
    "internal_error",
    "unavailable",
    "latency",
    "drop_request",
    "drop_answer",
    "expired_iterator",
    "null_iterator",
    "stale_shards",
    "silent_subscription",
    "disconnect",
    "resource_in_use",
];

pub(super) fn names() -> String {
    NAMES.join(", ")
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shape {
    fault: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    events: Option<u32>,
    #[serde(default = "all", skip_serializing_if = "is_all")]
    operation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shard: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    records: Option<f64>,
    #[serde(default = "certain", skip_serializing_if = "is_certain")]
    probability: f64,
    #[serde(default, skip_serializing_if = "is_zero")]
    after: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    seed: u64,
}

impl Shape {
    /// What happens, from its name and what it takes.
    fn kind(&self) -> Result<FaultKind, FaultError> {
        let millis = |what| {
            self.ms.map(Duration::from_millis).ok_or_else(|| FaultError::Missing {
                fault: self.fault_name(),
                member: "ms",
                what,
            })
        };
        let kind = match self.fault.as_str() {
            "throttle" => FaultKind::Throttle,
            "internal_error" => FaultKind::InternalError,
            "unavailable" => FaultKind::Unavailable,
            "latency" => FaultKind::Latency(millis("how many milliseconds calls are held up")?),
            "drop_request" => FaultKind::DropRequest,
            "drop_answer" => FaultKind::DropAnswer,
            "expired_iterator" => FaultKind::ExpiredIterator,
            "null_iterator" => FaultKind::NullIterator,
            "stale_shards" => FaultKind::StaleShards(millis("how many milliseconds old the listing is")?),
            "silent_subscription" => FaultKind::SilentSubscription,
            "disconnect" => FaultKind::Disconnect(self.events.ok_or(FaultError::Missing {
                fault: "disconnect",
                member: "events",
                what: "after how many events the connection is cut",
            })?),
            "resource_in_use" => FaultKind::ResourceInUse,
            unknown => {
                return Err(FaultError::UnknownFault {
                    fault: unknown.to_owned(),
                });
            }
        };
        let foreign = |member| FaultError::Foreign {
            fault: kind.name(),
            member,
        };
        match kind {
            FaultKind::Latency(_) | FaultKind::StaleShards(_) => {}
            _ if self.ms.is_some() => return Err(foreign("ms")),
            _ => {}
        }
        match kind {
            FaultKind::Disconnect(_) => {}
            _ if self.events.is_some() => return Err(foreign("events")),
            _ => {}
        }
        Ok(kind)
    }

    fn fault_name(&self) -> &'static str {
        NAMES.into_iter().find(|name| *name == self.fault).unwrap_or_default()
    }
}

impl TryFrom<Shape> for Fault {
    type Error = FaultError;

    fn try_from(shape: Shape) -> Result<Self, FaultError> {
        Ok(Self {
            kind: shape.kind()?,
            operation: shape.operation,
            stream: shape.stream,
            shard: shape.shard,
            table: shape.table,
            records: shape.records,
            probability: shape.probability,
            after: shape.after,
            times: shape.times,
            seed: shape.seed,
        })
    }
}

impl From<Fault> for Shape {
    fn from(fault: Fault) -> Self {
        let (ms, events) = match fault.kind {
            FaultKind::Latency(time) | FaultKind::StaleShards(time) => {
                (Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)), None)
            }
            FaultKind::Disconnect(events) => (None, Some(events)),
            _ => (None, None),
        };
        Self {
            fault: fault.kind.name().to_owned(),
            ms,
            events,
            operation: fault.operation,
            stream: fault.stream,
            shard: fault.shard,
            table: fault.table,
            records: fault.records,
            probability: fault.probability,
            after: fault.after,
            times: fault.times,
            seed: fault.seed,
        }
    }
}

fn all() -> String {
    operation::ALL.to_owned()
}

fn is_all(operation: &String) -> bool {
    operation == operation::ALL
}

const fn certain() -> f64 {
    1.0
}

fn is_certain(probability: &f64) -> bool {
    *probability == 1.0
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
