//! [`Operations`]: the last calls of a broker, and the counts of all.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{Caller, OperationEntry, OperationFilter, Outcome};

/// What calls of operations that there are not are counted under.
const UNKNOWN_OPERATION: &str = "(unknown)";

/// The log of a broker's operations. Clones are handles to the same log; see [the module](super).
///
/// Made by [`Broker::operations`](crate::Broker::operations).
#[derive(Clone, Debug)]
pub struct Operations {
    log: Arc<Mutex<Log>>,
    /// The caller of all calls within the process.
    in_process: Arc<Caller>,
    entries_max: usize,
}

/// How often an operation was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OperationCounts {
    /// All calls.
    pub calls: u64,
    /// Those that were refused.
    pub errors: u64,
    /// Those that got no answer.
    pub dropped: u64,
    /// Those that a fault struck.
    pub struck: u64,
}

#[derive(Debug, Default)]
struct Log {
    entries: VecDeque<OperationEntry>,
    counts: BTreeMap<Cow<'static, str>, OperationCounts>,
    written: u64,
}

/// A log at one moment. This is what the broker's own endpoint answers as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OperationsSnapshot {
    /// The calls that passed the filter, oldest first.
    pub operations: Vec<OperationEntry>,
    /// How often each operation was called, whatever the filter says.
    pub counts: BTreeMap<String, OperationCounts>,
    /// The serial of the last call that was logged, whatever the filter says.
    pub last_serial: u64,
    /// Whether calls are logged.
    pub is_on: bool,
}

impl Log {
    fn entries(&self, filter: &OperationFilter) -> Vec<OperationEntry> {
        // The newest first, since the last ones may be enough.
        let mut entries: Vec<_> = self
            .entries
            .iter()
            .rev()
            .take_while(|entry| filter.after.is_none_or(|serial| entry.serial > serial))
            .filter(|entry| filter.passes(entry))
            .take(filter.last.unwrap_or(usize::MAX))
            .cloned()
            .collect();
        entries.reverse();
        entries
    }

    fn counts(&self) -> BTreeMap<String, OperationCounts> {
        let counts = self.counts.iter();
        counts.map(|(name, counts)| (name.to_string(), *counts)).collect()
    }
}

impl Operations {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self {
            log: Arc::default(),
            in_process: Arc::default(),
            entries_max,
        }
    }

    /// The calls that pass the filter, oldest first.
    #[must_use]
    pub fn entries(&self, filter: &OperationFilter) -> Vec<OperationEntry> {
        self.log().entries(filter)
    }

    /// What [`entries`](Self::entries), [`counts`](Self::counts) and [`last_serial`](Self::last_serial) say at one moment.
    #[must_use]
    pub fn snapshot(&self, filter: &OperationFilter) -> OperationsSnapshot {
        let log = self.log();
        OperationsSnapshot {
            operations: log.entries(filter),
            counts: log.counts(),
            last_serial: log.written,
            is_on: self.is_on(),
        }
    }

    /// How often each operation was called since the broker was made, whether or not the log still has the calls.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, OperationCounts> {
        self.log().counts()
    }

    /// The serial of the last call that was logged; 0 before the first.
    #[must_use]
    pub fn last_serial(&self) -> u64 {
        self.log().written
    }

    /// Whether calls are logged and counted.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.entries_max > 0
    }

    pub(crate) fn in_process(&self) -> Arc<Caller> {
        Arc::clone(&self.in_process)
    }

    /// Writes a call down. Its serial is given here.
    pub(crate) fn write(&self, mut entry: OperationEntry) {
        if !self.is_on() {
            return;
        }
        let mut log = self.log();
        log.written += 1;
        entry.serial = log.written;
        let counted = match &entry.operation {
            Cow::Borrowed(known) => known,
            // Clients make such names up, and there is no end to them.
            Cow::Owned(_) => UNKNOWN_OPERATION,
        };
        let counts = log.counts.entry(Cow::Borrowed(counted)).or_default();
        counts.calls += 1;
        counts.errors += u64::from(matches!(entry.outcome, Outcome::Error(_)));
        counts.dropped += u64::from(entry.outcome == Outcome::Dropped);
        counts.struck += u64::from(!entry.faults.is_empty());
        // What falls out of the log is dropped after the lock.
        let forgotten = if log.entries.len() >= self.entries_max {
            log.entries.pop_front()
        } else {
            None
        };
        log.entries.push_back(entry);
        drop(log);
        drop(forgotten);
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
