//! What is promised where records are delivered by rules: nothing is delivered that was not asked for, or whose key is known
//! to be in quarantine, and nothing is given up before its time.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
};

use bytestring::ByteString;
use kcl_core::{
    Batch, Lease, LeaseKey, Record, ShardId, Timestamp,
    delivery::{DeliveryPolicy, Discard, DiscardReason, Exhausted},
};

use super::{Oracle, ShardTruth, TenureLog};

/// What a tenure tried, and what it was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Trying {
    /// How often records were tried that are not handled.
    tries: BTreeMap<usize, u32>,
    /// The keys in quarantine.
    quarantined: BTreeSet<ByteString>,
    /// Those of them that it quarantined itself.
    quarantined_here: BTreeSet<ByteString>,
    /// Records that were delivered and are not handled. What others say of their keys comes too late for them.
    delivered: BTreeSet<usize>,
    /// Records on their way to the dead letters. What was the reason when they were given up may be over since.
    given_up: BTreeSet<usize>,
}

impl TenureLog {
    /// How often the checkpoint had been moved when the tenure began.
    pub(crate) fn seeks(&self) -> u64 {
        self.seeks
    }

    /// The consumer learns which keys are in quarantine.
    pub(crate) fn quarantined(&mut self, keys: &[ByteString]) {
        let trying = &mut self.trying;
        trying.quarantined = keys.iter().cloned().collect();
        trying.quarantined_here.retain(|key| trying.quarantined.contains(key));
    }
}

impl Trying {
    /// A record needs not be delivered any more.
    pub(super) fn is_done_with(&mut self, index: usize) {
        self.tries.remove(&index);
        self.delivered.remove(&index);
        self.given_up.remove(&index);
    }
}

impl ShardTruth {
    /// Everything before the first record that is not handled, and was asked for.
    pub(super) fn advance(&mut self) {
        while self.handled.get(self.prefix) == Some(&true) {
            self.prefix += 1;
        }
    }
}

impl Oracle {
    /// The record that was put last into a shard was never asked for.
    pub(crate) fn leaves_out(&mut self, shard: &ShardId) {
        if let Some(truth) = self.shards.get_mut(shard)
            && let Some(index) = truth.records.len().checked_sub(1)
        {
            truth.left_out.insert(index);
            truth.handled[index] = true;
            truth.advance();
        }
    }

    /// A tenure read records. The first of them tells where it began, if its start does not.
    pub(crate) fn read(&self, tenure: &mut TenureLog, batch: &Batch) {
        if let Some(first) = batch.first()
            && tenure.next.is_none()
            && let Some(truth) = self.truth(&tenure.shard, &first.sequence_number)
        {
            let before = |number: &kcl_core::RecordPosition| number.sequence_number < first.sequence_number;
            tenure.next = Some(truth.records.partition_point(before));
        }
    }

    fn index_of(&self, tenure: &TenureLog, record: &Record) -> Option<usize> {
        let truth = self.truth(&tenure.shard, &record.sequence_number)?;
        truth.records.binary_search(&record.position()).ok()
    }

    /// Records are given to the user's code. None may have arrived before `oldest`.
    pub(crate) fn delivered_by_rules(&mut self, tenure: &mut TenureLog, batch: &Batch, oldest: Option<Timestamp>) {
        let shard = tenure.shard.clone();
        for record in batch {
            self.check_wanted(tenure, record);
            let key = &record.partition_key;
            let index = self.index_of(tenure, record);
            let trying = &mut tenure.trying;
            let again = index.is_some_and(|index| !trying.delivered.insert(index));
            let known = if again {
                &trying.quarantined_here
            } else {
                &trying.quarantined
            };
            let quarantined = known.contains(key);
            self.check("quarantine", !quarantined, || {
                format!("{shard}: a record was delivered whose key {key} is in quarantine")
            });
            let too_old = oldest.is_some_and(|oldest| record.approximate_arrival_timestamp < oldest);
            self.check("given-up", !too_old, || {
                format!("{shard}: a record was delivered that is older than it may be")
            });
        }
    }

    fn check_wanted(&mut self, tenure: &TenureLog, record: &Record) {
        let (shard, index) = (&tenure.shard, self.index_of(tenure, record));
        let truth = self.truth(shard, &record.sequence_number);
        let left_out = index.is_some_and(|index| truth.is_some_and(|truth| truth.left_out.contains(&index)));
        self.check("filter", !left_out, || {
            format!("{shard}: record {index:?} was delivered or given up, and was never asked for")
        });
    }

    /// A call of the user's code ended, and handled the records that `handled` names. If that `counts`, the others were
    /// tried once more; batches of more than one are cut instead where that is the rule.
    pub(crate) fn tried(&mut self, tenure: &mut TenureLog, batch: &Batch, handled: &[bool], counts: bool, cuts: bool) {
        let done = |index: &usize| handled.get(*index) == Some(&true);
        let some = (0..batch.len()).any(|index| done(&index));
        for index in (0..batch.len()).filter(|index| !done(index)) {
            let Some(index) = self.index_of(tenure, &batch[index]) else {
                continue;
            };
            let tries = tenure.trying.tries.entry(index).or_default();
            if some || (counts && cuts && batch.len() > 1) {
                *tries = 0;
            } else if counts {
                *tries += 1;
            }
        }
        self.handled_records(tenure, (0..batch.len()).filter(done).map(|index| &batch[index]));
    }

    /// Records are given to the dead letters.
    pub(crate) fn given_up(
        &mut self,
        tenure: &mut TenureLog,
        discard: &Discard,
        policy: &DeliveryPolicy,
        wall: Timestamp,
        table: &BTreeMap<LeaseKey, impl Borrow<Lease>>,
    ) {
        let shard = tenure.shard.clone();
        let by = tenure.by.as_ref().map_or("somebody", |by| by.as_str()).to_owned();
        self.check_lineage(&shard, &by, table);
        self.delivered_in_lane(tenure, &discard.batch);
        let (reason, attempts) = (discard.reason, discard.attempts);
        for record in &discard.batch {
            self.check_wanted(tenure, record);
            let index = self.index_of(tenure, record);
            let tries = index.and_then(|index| tenure.trying.tries.get(&index).copied());
            let tries = tries.unwrap_or_default();
            self.check("given-up", tries == attempts, || {
                format!("{shard}: record {index:?} was tried {tries} times, and its letter says {attempts}")
            });
            let enough = match reason {
                _ if index.is_some_and(|index| !tenure.trying.given_up.insert(index)) => true,
                DiscardReason::RetryAttemptsExhausted => policy.max_retries.is_some_and(|most| tries > most),
                DiscardReason::RecordAgeExceeded => policy
                    .max_record_age
                    .is_some_and(|age| record.approximate_arrival_timestamp < wall.saturating_sub(age)),
                DiscardReason::Quarantined => tenure.trying.quarantined.contains(&record.partition_key),
                _ => true,
            };
            self.check("given-up", enough, || {
                format!("{shard}: record {index:?} was given up too early, for {reason} after {tries} tries")
            });
        }
        let quarantines = policy.exhausted == Exhausted::Quarantine && reason != DiscardReason::Quarantined;
        self.check("quarantine", discard.quarantines == quarantines, || {
            format!(
                "{shard}: a letter for {reason} puts its keys in quarantine: {}",
                discard.quarantines
            )
        });
        let alone = discard.batch.len() == 1 || !policy.bisect || reason != DiscardReason::RetryAttemptsExhausted;
        self.check("given-up", alone, || {
            format!("{shard}: a batch was given up that could be cut in two")
        });
    }

    /// The dead letters have records, whether or not whoever sent them hears of it: they may be passed.
    pub(crate) fn kept(&mut self, shard: &ShardId, seeks: u64, batch: &Batch) {
        for record in batch {
            let Some(truth) = self.truth_mut(shard, &record.sequence_number) else {
                continue;
            };
            if truth.seeks > seeks {
                continue;
            }
            if let Ok(index) = truth.records.binary_search(&record.position()) {
                truth.handled[index] = true;
            }
            truth.advance();
        }
    }

    /// Trouble is over for long enough: what was handled, kept or left out is passed.
    pub(crate) fn all_passed(&mut self, table: &BTreeMap<LeaseKey, impl Borrow<Lease>>) {
        for lease in table.values().map(Borrow::borrow) {
            let Some(passed) = self.index_after(&lease.shard, &lease.checkpoint) else {
                continue;
            };
            let count = self.records_of(&lease.shard).len();
            self.check("liveness", passed == count, || {
                format!(
                    "{}: {passed} of {count} records are passed long after trouble ended",
                    lease.key
                )
            });
        }
    }

    /// A tenure hears that the dead letters have records.
    pub(crate) fn told_kept(&mut self, tenure: &mut TenureLog, discard: &Discard) {
        if discard.quarantines {
            let keys = discard.batch.iter().map(|record| record.partition_key.clone());
            let keys: BTreeSet<ByteString> = keys.collect();
            tenure.trying.quarantined.extend(keys.iter().cloned());
            tenure.trying.quarantined_here.extend(keys);
        }
        self.note_done(tenure, &discard.batch);
    }
}
