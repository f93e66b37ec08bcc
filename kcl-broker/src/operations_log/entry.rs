//! [`OperationEntry`]: one call.

use std::{borrow::Cow, fmt, net::SocketAddr, sync::Arc};

use kcl_core::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{engine::Load, trouble::FaultId};

/// Who called, as far as the request tells. A call within the process has nothing of this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Caller {
    /// The other end of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// The id of the key that the request is signed with. Whether it is rightly signed nobody asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// What the client says about itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

impl Caller {
    pub(crate) const fn new(
        address: Option<SocketAddr>,
        access_key_id: Option<String>,
        user_agent: Option<String>,
    ) -> Self {
        Self {
            address,
            access_key_id,
            user_agent,
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It was carried out and answered.
    Ok,
    /// It was refused, with an error of this type.
    Error(Cow<'static, str>),
    /// It got no answer; the fault that struck tells whether it was carried out.
    Dropped,
}

impl Outcome {
    /// An error of this type.
    #[must_use]
    pub fn error(kind: impl Into<Cow<'static, str>>) -> Self {
        Self::Error(kind.into())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => OK,
            Self::Error(kind) => kind,
            Self::Dropped => DROPPED,
        })
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            OK => Self::Ok,
            DROPPED => Self::Dropped,
            _ => Self::error(text),
        })
    }
}

/// A fault that struck a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FaultHit {
    /// Its number in the plan.
    pub id: FaultId,
    /// Its name.
    pub fault: Cow<'static, str>,
}

impl FaultHit {
    pub(crate) const fn new(id: FaultId, fault: &'static str) -> Self {
        Self {
            id,
            fault: Cow::Borrowed(fault),
        }
    }
}

/// One call.
///
/// As JSON, times are RFC 3339, and an outcome is `ok`, `dropped` or the type of the error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OperationEntry {
    /// Counts the calls, from 1.
    pub serial: u64,
    /// When it was carried out or refused, on the broker's clock.
    #[serde(serialize_with = "rfc_3339", deserialize_with = "of_rfc_3339")]
    pub at: Timestamp,
    /// How many milliseconds it had waited until then, on the broker's clock.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waited_ms: u64,
    /// Who called.
    pub caller: Arc<Caller>,
    /// The operation's name; those of other services than Kinesis with the service's name in front.
    pub operation: Cow<'static, str>,
    /// The stream that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The shard that it was about, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// The DynamoDB table that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// The faults that struck.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultHit>,
    /// What the request brought.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub request: Load,
    /// What the answer brought.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub answer: Load,
}

impl OperationEntry {
    /// An entry of a call of which nothing else is known yet.
    pub(crate) fn new(caller: Arc<Caller>, operation: Cow<'static, str>) -> Self {
        Self {
            serial: 0,
            at: Timestamp::default(),
            waited_ms: 0,
            caller,
            operation,
            stream: None,
            shard: None,
            table: None,
            outcome: Outcome::Ok,
            faults: Vec::new(),
            request: Load::default(),
            answer: Load::default(),
        }
    }
}

const OK: &str = "ok";
const DROPPED: &str = "dropped";

fn rfc_3339<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn of_rfc_3339<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

const fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_nothing(load: &Load) -> bool {
    *load == Load::default()
}
