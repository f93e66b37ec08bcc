//! What can go wrong with a worker as a whole.

use kcl_core::{LeaseKey, shard::Lanes, worker::WorkerFailure};

/// A worker cannot be built from what it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A setting is out of range.
    #[error("{setting} is {value}: {rule}")]
    OutOfRange {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        rule: &'static str,
    },
    /// The rules of delivery give records up, and nobody keeps them.
    #[error(
        "the rules of delivery give records up, and nobody keeps them: name who keeps dead letters with dead_letters(), or \
         set no retry budget, age limit or payload limit"
    )]
    NoDeadLetters,
    /// Tumbling windows were asked for together with what cannot have them.
    #[error(
        "the rules of delivery ask for tumbling windows, which {with} cannot have: handle batches with a BatchHandler, in one \
         lane, or set no tumbling_window"
    )]
    NoWindows {
        /// What cannot have them.
        with: &'static str,
    },
    /// Lanes were asked for together with processors.
    #[error(
        "lanes are {lanes:?}, and a processor is called one batch at a time: handle batches with a function, or set no lanes"
    )]
    LanesWithProcessor {
        /// What was asked for.
        lanes: Lanes,
    },
    /// Lanes were asked for together with a stream of deliveries.
    #[error("lanes are {lanes:?}, and a stream has lanes of its own: set none, and use window() and key_order()")]
    LanesWithStream {
        /// What was asked for.
        lanes: Lanes,
    },
}

/// A worker ended otherwise than by a clean shutdown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// It stopped on its own.
    #[error(transparent)]
    Failed(#[from] WorkerFailure),
    /// It stopped as asked, and some leases could not be given back in time: others take them when the failover time
    /// has passed.
    #[error("these leases could not be given back in time: {}", keys(.leases))]
    Unreleased {
        /// Which.
        leases: Vec<LeaseKey>,
    },
}

fn keys(leases: &[LeaseKey]) -> String {
    leases.iter().map(LeaseKey::as_str).collect::<Vec<_>>().join(", ")
}
