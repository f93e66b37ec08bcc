//! The two ways to get at the records of a shard.

use std::{fmt, str::FromStr};

use crate::sequence::{Position, SequenceNumber};

/// How a shard is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the service has two ways")]
pub enum Retrieval {
    /// By `GetRecords`: all applications share what the service gives of a shard.
    Polling,
    /// By `SubscribeToShard`, enhanced fan-out: the service sends records as they come, to each registered consumer at a rate
    /// of its own.
    FanOut,
}

impl Retrieval {
    /// The name in lower case, as logs and metrics carry it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::FanOut => "fan-out",
        }
    }
}

impl fmt::Display for Retrieval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How shards are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RetrievalMode {
    /// By polling. The default: it needs nothing, and costs nothing besides.
    #[default]
    Polling,
    /// By enhanced fan-out. While that does not work, shards are polled, with a warning.
    FanOut,
    /// By enhanced fan-out where a consumer exists or may be registered, else by polling. That it is polled is no reason for a
    /// warning.
    Auto,
}

impl RetrievalMode {
    /// The name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::FanOut => "fan-out",
            Self::Auto => "auto",
        }
    }
}

impl fmt::Display for RetrievalMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no retrieval mode: use polling, fan-out or auto")]
pub struct InvalidRetrievalMode {
    text: String,
}

impl FromStr for RetrievalMode {
    type Err = InvalidRetrievalMode;

    /// Reads `polling`, `fan-out` (in any case, `_` or `-`) or `auto`; also what KCL calls them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().replace('_', "-").as_str() {
            "polling" => Ok(Self::Polling),
            "fan-out" | "fanout" => Ok(Self::FanOut),
            "auto" | "default" => Ok(Self::Auto),
            _ => Err(InvalidRetrievalMode { text: text.to_owned() }),
        }
    }
}

/// Where a subscription begins.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a subscription is the first, or goes on")]
pub enum SubscribeAt {
    /// At this position: the record itself comes again, since records that were aggregated into it may not be handled.
    Position(Position),
    /// After this number, with which the last event ended. No record need have it.
    Continuation(SequenceNumber),
}
