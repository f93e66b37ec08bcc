//! [`Rules`]: the policy at work. Plain questions with plain answers; [`shard`](crate::shard) does what they say.

use std::{collections::BTreeSet, sync::Arc};

use bytestring::ByteString;

use super::{Admission, Admitted, DeliveryPolicy, DeliverySettings, DiscardReason, Exhausted, FailedItems, Windows};
use crate::{
    record::{Batch, Record},
    time::{Tick, Timestamp},
};

/// What becomes of a batch that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is tried again, as it is.
    Again,
    /// Its first records, so many, are tried by themselves, and the rest by itself.
    Split(usize),
    /// It is not tried any more.
    Discard(DiscardReason),
}

/// What is delivered next of the records that wait in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portion {
    /// How many.
    pub(crate) records: usize,
    /// Why they go to the dead letters, if they do.
    pub(crate) discard: Option<DiscardReason>,
}

/// The rules of one shard.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) policy: DeliveryPolicy,
    admission: Arc<dyn Admission>,
    /// What the wall clock said at a time.
    clock: (Tick, Timestamp),
    quarantined: BTreeSet<ByteString>,
    windows: Option<Windows>,
    /// Whether there are rules besides those that hold for everybody.
    is_plain: bool,
}

impl Rules {
    /// What holds unless something else is asked for.
    pub(crate) fn plain() -> Self {
        Self {
            is_plain: true,
            ..Self::new(DeliverySettings::default(), Tick::ZERO, Timestamp::default())
        }
    }

    pub(crate) fn new(settings: DeliverySettings, now: Tick, wall: Timestamp) -> Self {
        Self {
            policy: settings.policy,
            admission: settings.admission,
            clock: (now, wall),
            quarantined: BTreeSet::new(),
            windows: settings.policy.tumbling_window.and_then(Windows::new),
            is_plain: false,
        }
    }

    /// Whether batches pass as they were read.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }

    pub(crate) fn windows(&self) -> Option<&Windows> {
        self.windows.as_ref()
    }

    pub(crate) fn windows_mut(&mut self) -> Option<&mut Windows> {
        self.windows.as_mut()
    }

    /// Which records come again when some failed. The state of a window is that of all records before the first that failed.
    pub(crate) fn failed_items(&self) -> FailedItems {
        match self.windows {
            Some(_) => FailedItems::FromFirst,
            None => self.policy.failed_items,
        }
    }

    /// What the wall clock says at a time.
    pub(crate) fn wall(&self, at: Tick) -> Timestamp {
        let (tick, wall) = self.clock;
        wall.saturating_add(at.since(tick)).saturating_sub(tick.since(at))
    }

    /// Keeps the records that are for the user's code, and counts those that are not: left out on request, and unreadable.
    pub(crate) fn admit(&self, batch: Batch) -> (Batch, u64, u64) {
        if self.is_plain {
            return (batch, 0, 0);
        }
        let (mut filtered, mut unreadable) = (0, 0);
        let mut admits = |record: &Record| match self.admission.admits(record) {
            Admitted::Yes => true,
            Admitted::No => {
                filtered += 1;
                false
            }
            Admitted::Unreadable => {
                unreadable += 1;
                false
            }
        };
        let kept: Vec<Record> = batch.iter().filter(|record| admits(record)).cloned().collect();
        let batch = if kept.len() == batch.len() {
            batch
        } else {
            batch.with_records(kept)
        };
        (batch, filtered, unreadable)
    }

    /// Whether so many records that measure so much are a full batch.
    pub(crate) fn is_full(&self, records: usize, payload: u64, at_most: usize) -> bool {
        records >= at_most || self.policy.max_payload.is_some_and(|limit| payload >= limit)
    }

    /// What a record adds to the size of a batch; nothing is measured where there is no limit.
    pub(crate) fn payload(&self, record: &Record) -> u64 {
        match self.policy.max_payload {
            Some(_) => self.admission.payload(record),
            None => 0,
        }
    }

    /// Cuts what is delivered next off the front of what waits.
    pub(crate) fn portion<'a>(
        &self,
        now: Tick,
        waiting: impl Iterator<Item = &'a Record> + Clone,
        at_most: usize,
    ) -> Portion {
        let deliver = |records| Portion { records, discard: None };
        if self.is_plain {
            return deliver(at_most);
        }
        let discarded = |record: &Record| self.discards_untried(now, record);
        let first = waiting.clone().next();
        if let Some(reason) = first.and_then(discarded) {
            let alike = waiting
                .take(at_most)
                .take_while(|record| discarded(record) == Some(reason));
            let records = match reason {
                // Each by itself, since it is large.
                DiscardReason::PayloadTooLarge => 1,
                _ => alike.count(),
            };
            return Portion {
                records,
                discard: Some(reason),
            };
        }
        let window_end = self
            .windows
            .as_ref()
            .zip(first)
            .map(|(windows, first)| windows.end_for(first.approximate_arrival_timestamp));
        let (mut records, mut payload) = (0, 0_u64);
        for record in waiting.take(at_most) {
            let is_later = window_end.is_some_and(|end| record.approximate_arrival_timestamp >= end);
            payload = payload.saturating_add(self.payload(record));
            let fits = self.policy.max_payload.is_none_or(|limit| payload <= limit);
            if records > 0 && (!fits || is_later || discarded(record).is_some()) {
                break;
            }
            records += 1;
        }
        deliver(records)
    }

    fn discards_untried(&self, now: Tick, record: &Record) -> Option<DiscardReason> {
        if self.quarantined.contains(&record.partition_key) {
            Some(DiscardReason::Quarantined)
        } else if self.is_expired(now, record) {
            Some(DiscardReason::RecordAgeExceeded)
        } else {
            let limit = self.policy.max_payload?;
            (self.admission.payload(record) > limit).then_some(DiscardReason::PayloadTooLarge)
        }
    }

    fn is_expired(&self, now: Tick, record: &Record) -> bool {
        self.policy.max_record_age.is_some_and(|longest| {
            let oldest = self.wall(now).saturating_sub(longest);
            record.approximate_arrival_timestamp < oldest
        })
    }

    /// How many of the first records of a batch became too old for another try.
    pub(crate) fn expired(&self, now: Tick, batch: &Batch) -> usize {
        if self.policy.max_record_age.is_none() {
            return 0;
        }
        batch.iter().take_while(|record| self.is_expired(now, record)).count()
    }

    /// A call with so many records failed, the `tries`-th that counts. `named` if the user's code said that the first of
    /// them is what failed.
    pub(crate) fn judge(&self, records: usize, tries: u32, named: bool) -> Verdict {
        if self.policy.bisect && records > 1 {
            return Verdict::Split(if named { 1 } else { records / 2 });
        }
        match self.policy.max_retries {
            Some(retries) if tries > retries => Verdict::Discard(DiscardReason::RetryAttemptsExhausted),
            _ => Verdict::Again,
        }
    }

    /// Whether the keys of what is discarded for this reason are quarantined.
    pub(crate) fn quarantines(&self, reason: DiscardReason) -> bool {
        self.policy.exhausted == Exhausted::Quarantine && reason != DiscardReason::Quarantined
    }

    pub(crate) fn quarantine<'a>(&mut self, keys: impl IntoIterator<Item = &'a ByteString>) {
        self.quarantined.extend(keys.into_iter().cloned());
    }

    pub(crate) fn set_quarantined(&mut self, keys: Vec<ByteString>) {
        self.quarantined = keys.into_iter().collect();
    }
}
