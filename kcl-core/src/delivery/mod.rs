//! How batches are delivered, and what becomes of those that fail: the rules of Lambda's event source mapping, as data.
//!
//! Whatever moves the checkpoint is decided here and carried out by [`shard`](crate::shard): a record is passed when it was
//! handled, left out on request, or given to the dead letters *and kept there*. The rules that nobody asked for are the
//! strictest: no failure passes a record, and a batch goes out as soon as there is one.

mod rules;
mod window;
mod windows;

use std::{fmt, sync::Arc, time::Duration};

pub use self::window::{LARGEST_WINDOW_STATE, Window, WindowCall};
pub(crate) use self::{
    rules::{Portion, Rules, Verdict},
    windows::Windows,
};
use crate::record::{Batch, Record};

/// How batches are made, how often they are tried, and what becomes of those that keep failing.
///
/// Everything counts within one lane (see [`Lanes`](crate::shard::Lanes)): each has its own batches and budgets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryPolicy {
    /// How long records wait for company: a batch goes out when it is full, or when so much time has passed since the last
    /// delivery of its lane ended. Lambda's `MaximumBatchingWindowInSeconds`. Windows follow each other without a gap, so that
    /// a record waits for the end of the one that it arrives in. Zero delivers at once.
    pub batching_window: Duration,
    /// The most that the records of one batch may measure, by [`Admission::payload`]. A record that measures more by itself
    /// is discarded, for the reason [`DiscardReason::PayloadTooLarge`]: no call can take it. No limit by default.
    pub max_payload: Option<u64>,
    /// How often a batch is tried again after a failure: Lambda's `MaximumRetryAttempts`. `None`, the default, is for ever. Calls
    /// that could not be made ([`Outcome::NotCalled`](crate::shard::Outcome::NotCalled)) do not count.
    pub max_retries: Option<u32>,
    /// Records that are older are discarded instead of delivered, and instead of tried again: Lambda's
    /// `MaximumRecordAgeInSeconds`. `None`, the default, is for ever.
    pub max_record_age: Option<Duration>,
    /// Whether a batch that fails is cut in two, the first half of which is tried first: Lambda's
    /// `BisectBatchOnFunctionError`. Only a batch of one record uses its retries up.
    pub bisect: bool,
    /// Which records are delivered again when only some of a batch failed.
    pub failed_items: FailedItems,
    /// What else happens to a batch whose retries or time are used up.
    pub exhausted: Exhausted,
    /// The size of tumbling windows, of a millisecond or more: Lambda's `TumblingWindowInSeconds`. Each call then belongs to one
    /// window, gets the state that the last one [returned](crate::shard::Outcome::Windowed), and the state is committed with
    /// the checkpoint. Records are delivered in the order of the shard, so it takes [`Lanes::One`](crate::shard::Lanes::One)
    /// and automatic checkpoints: other shards have no windows. `None`, the default, is no windows.
    pub tumbling_window: Option<Duration>,
    /// When to leave the user's code alone for a while.
    pub breaker: Option<BreakerConfig>,
}

impl DeliveryPolicy {
    /// Whether records are discarded under some condition, so that somebody has to keep them.
    #[must_use]
    pub const fn discards(&self) -> bool {
        self.max_payload.is_some() || self.max_retries.is_some() || self.max_record_age.is_some()
    }
}

/// Which records are delivered again when only some of a batch failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailedItems {
    /// The first that failed and all after it, as with Lambda: order is kept among all records of the batch.
    #[default]
    FromFirst,
    /// Those that failed, and those after them that have the same partition key: order is kept for each key.
    Each,
}

/// What else happens to a batch whose retries or time are used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exhausted {
    /// It is given to the dead letters, and its lane goes on.
    #[default]
    Discard,
    /// It is given to the dead letters, and so is every later record that has a key of it, until somebody releases the key.
    /// The other keys go on.
    Quarantine,
}

/// When to leave the user's code alone: after so many failures in a row, in any lanes of the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// So many failures in a row open the circuit.
    pub failures: u32,
    /// So long nothing is delivered then. After that one delivery is made, and what becomes of it decides.
    pub pause: Duration,
}

/// Why records are given to the dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DiscardReason {
    /// They were tried as often as they may be.
    RetryAttemptsExhausted,
    /// They are older than they may be.
    RecordAgeExceeded,
    /// The record is larger than a call can take.
    PayloadTooLarge,
    /// An earlier record of the same key was discarded, and the key is in quarantine.
    Quarantined,
}

impl DiscardReason {
    /// The name, in Lambda's words where it has some.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RetryAttemptsExhausted => "RetryAttemptsExhausted",
            Self::RecordAgeExceeded => "RecordAgeExceeded",
            Self::PayloadTooLarge => "PayloadTooLarge",
            Self::Quarantined => "Quarantined",
        }
    }
}

impl fmt::Display for DiscardReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Records that are given to the dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discard {
    /// The records.
    pub batch: Batch,
    /// Why.
    pub reason: DiscardReason,
    /// How many calls with them failed.
    pub attempts: u32,
    /// What the last of them said.
    pub error: Option<String>,
    /// Whether the keys of the records are in quarantine from now on.
    pub quarantines: bool,
}

/// What to do with a record before it joins a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It is delivered.
    Yes,
    /// It is left out, on request.
    No,
    /// It is left out since nobody could say whether it was asked for.
    Unreadable,
}

/// What has to be known of a record's content.
pub trait Admission: fmt::Debug + Send + Sync {
    /// Whether the record is for the user's code. Records that are not count as handled.
    fn admits(&self, record: &Record) -> Admitted {
        let _ = record;
        Admitted::Yes
    }

    /// What the record adds to the size of a call, in bytes, for [`DeliveryPolicy::max_payload`].
    fn payload(&self, record: &Record) -> u64 {
        record.size() as u64
    }
}

/// Admits everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdmitAll;

impl Admission for AdmitAll {}

/// How a shard's records are delivered: the policy, and what it has to know of the records.
#[derive(Clone, Debug)]
pub struct DeliverySettings {
    /// The rules.
    pub policy: DeliveryPolicy,
    /// What is left out, and how large records are.
    pub admission: Arc<dyn Admission>,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            policy: DeliveryPolicy::default(),
            admission: Arc::new(AdmitAll),
        }
    }
}
