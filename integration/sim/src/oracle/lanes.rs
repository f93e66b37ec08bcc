//! What is promised where the records of a shard are handled in lanes: order per key, and no more.

use std::collections::{BTreeMap, BTreeSet};

use kcl_core::{Batch, Position, Record, ShardId};

use super::{Oracle, TenureLog};
use crate::aggregates::is_at;

/// The partition keys of a shard's records.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// The index of the last record of each key.
    last: BTreeMap<String, usize>,
    /// For each record, the index of the one before it with the same key.
    before: BTreeMap<usize, usize>,
}

impl Keys {
    pub(super) fn note(&mut self, key: String, index: usize) {
        if let Some(before) = self.last.insert(key, index) {
            self.before.insert(index, before);
        }
    }
}

/// What a tenure did out of order.
#[derive(Clone, Debug, Default)]
pub(super) struct Overtaking {
    /// Records that were handled, behind one that was not.
    above: BTreeSet<usize>,
}

impl TenureLog {
    /// The same tenure, of a consumer that handles the records of a key in their order, and those of different keys in any.
    #[must_use]
    pub fn in_lanes(mut self) -> Self {
        self.overtaking = Some(Overtaking::default());
        self
    }

    /// How many records were handled behind one that was not.
    #[must_use]
    pub fn handled_above(&self) -> usize {
        self.overtaking.as_ref().map_or(0, |overtaking| overtaking.above.len())
    }
}

impl Oracle {
    /// The record that was put last into a shard has this key. To be told where there are lanes.
    pub fn has_key(&mut self, shard: &ShardId, key: String) {
        if let Some(truth) = self.shards.get_mut(shard)
            && let Some(index) = truth.records.len().checked_sub(1)
        {
            truth.keys.note(key, index);
        }
    }

    /// The user's code got records of a lane.
    pub(super) fn delivered_in_lane(&mut self, tenure: &mut TenureLog, batch: &Batch) {
        let shard = tenure.shard.clone();
        for (place, record) in batch.iter().enumerate() {
            let Some(truth) = self.truth(&shard, &record.sequence_number) else {
                continue;
            };
            let Ok(index) = truth.records.binary_search(&record.position()) else {
                return self.broken("order", format!("{shard}: a record that was never put was delivered"));
            };
            let next = *tenure.next.get_or_insert(index);
            let overtaking = tenure.overtaking.get_or_insert_default();
            let is_handled = |index: &usize| *index < next || overtaking.above.contains(index);
            let repeated = is_handled(&index);
            let waits_for = truth.keys.before.get(&index).filter(|before| !is_handled(before));
            let waits_for = waits_for.filter(|before| {
                let position = &truth.records[**before];
                !batch[..place].iter().any(|record| is_at(record, position))
            });
            let waits_for = waits_for.copied();
            self.check("order", !repeated, || {
                format!("{shard}: record {index} was delivered again, though it was handled")
            });
            self.check("order", waits_for.is_none(), || {
                format!("{shard}: record {index} was delivered before {waits_for:?}, which has the same key")
            });
        }
    }

    /// The user's code handled the first `count` records of a batch of a lane.
    pub(super) fn handled_in_lane(&mut self, tenure: &mut TenureLog, batch: &Batch, count: usize) {
        self.handled_records(tenure, &batch[..count]);
    }

    /// The user's code handled records of a lane.
    pub(super) fn handled_records<'a>(
        &mut self,
        tenure: &mut TenureLog,
        records: impl IntoIterator<Item = &'a Record> + Clone,
    ) {
        let is_void = self.is_void(tenure);
        for record in records.clone() {
            let Some(truth) = self.truth_mut(&tenure.shard, &record.sequence_number) else {
                continue;
            };
            if let Ok(index) = truth.records.binary_search(&record.position())
                && !is_void
            {
                truth.handled[index] = true;
                truth.advance();
            }
        }
        self.note_done(tenure, records);
    }

    /// A tenure needs not deliver these records any more.
    pub(super) fn note_done<'a>(&self, tenure: &mut TenureLog, records: impl IntoIterator<Item = &'a Record>) {
        for record in records {
            let Some(truth) = self.truth(&tenure.shard, &record.sequence_number) else {
                continue;
            };
            let Ok(index) = truth.records.binary_search(&record.position()) else {
                continue;
            };
            tenure.trying.is_done_with(index);
            let (Some(next), Some(overtaking)) = (&mut tenure.next, &mut tenure.overtaking) else {
                continue;
            };
            overtaking.above.insert(index);
            loop {
                if overtaking.above.remove(next) {
                    tenure.handled_to = Some(Position::Record(truth.records[*next].clone()));
                } else if !truth.left_out.contains(next) {
                    break;
                }
                *next += 1;
            }
        }
    }

    /// A consumer ended, and said that so many records will be repeated.
    pub fn repeats(&mut self, tenure: &TenureLog, told: usize) {
        let above = tenure.handled_above();
        self.check("visible", above == told, || {
            format!(
                "{}: {above} records were handled behind one that was not, and {told} were told of",
                tenure.shard
            )
        });
    }
}
