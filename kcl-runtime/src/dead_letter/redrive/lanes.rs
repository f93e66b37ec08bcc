//! Which records are put next: of each key the oldest, and no other before it was taken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytestring::ByteString;

use crate::dead_letter::sqlite::Planned;

/// What one call may hold.
const RECORDS_PER_CALL: usize = 500;
const BYTES_PER_CALL: u64 = 5 << 20;

/// The records of some keys that are still to be put.
#[derive(Debug)]
pub(super) struct Lanes {
    /// By key, each with its place in the plan.
    records: BTreeMap<ByteString, VecDeque<(usize, Planned)>>,
    /// The place of the first record of each key.
    first: BTreeSet<(usize, ByteString)>,
    width: usize,
}

impl Lanes {
    /// The records of a plan, oldest first.
    pub(super) fn new(plan: Vec<Planned>) -> Self {
        let mut records: BTreeMap<_, VecDeque<_>> = BTreeMap::new();
        for (place, planned) in plan.into_iter().enumerate() {
            let lane = records.entry(planned.partition_key.clone()).or_default();
            lane.push_back((place, planned));
        }
        let first = |(key, lane): (&ByteString, &VecDeque<(usize, Planned)>)| Some((lane.front()?.0, key.clone()));
        Self {
            first: records.iter().filter_map(first).collect(),
            records,
            width: RECORDS_PER_CALL,
        }
    }

    /// The records of the next call, one of a key at most; none at the end.
    pub(super) fn round(&self) -> Vec<Planned> {
        let (mut round, mut bytes) = (Vec::new(), 0);
        let lanes = self.first.iter().filter_map(|(_, key)| self.records.get(key)?.front());
        for (_, planned) in lanes.take(self.width) {
            bytes += planned.bytes + planned.partition_key.len() as u64;
            if bytes > BYTES_PER_CALL && !round.is_empty() {
                break;
            }
            round.push(planned.clone());
        }
        round
    }

    /// A record is done with: the next of its key may go.
    pub(super) fn done(&mut self, planned: &Planned) {
        let key = &planned.partition_key;
        let Some(lane) = self.records.get_mut(key) else { return };
        if let Some((place, _)) = lane.pop_front() {
            self.first.remove(&(place, key.clone()));
        }
        match lane.front() {
            Some((place, _)) => _ = self.first.insert((*place, key.clone())),
            None => _ = self.records.remove(key),
        }
    }

    /// The records of these keys are not put.
    pub(super) fn drop_keys(&mut self, keys: &[ByteString]) {
        for key in keys {
            let lane = self.records.remove(key);
            if let Some((place, _)) = lane.and_then(|mut lane| lane.pop_front()) {
                self.first.remove(&(place, key.clone()));
            }
        }
    }

    /// One record a call from now on, so that a refusal says which one it is about.
    pub(super) fn one_by_one(&mut self) {
        self.width = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(keys: &[&str]) -> Vec<Planned> {
        let planned = |(id, key): (usize, &&str)| Planned {
            id: i64::try_from(id).unwrap(),
            partition_key: (*key).into(),
            bytes: 1,
        };
        keys.iter().enumerate().map(planned).collect()
    }

    fn ids(round: &[Planned]) -> Vec<i64> {
        round.iter().map(|planned| planned.id).collect()
    }

    #[test]
    fn given_several_keys_when_a_round_is_asked_for_then_it_has_the_oldest_of_each() {
        let mut lanes = Lanes::new(plan(&["a", "b", "a", "c", "b"]));
        let round = lanes.round();
        assert_eq!(ids(&round), [0, 1, 3]);
        // The record of `b` was refused: it comes again, and before what follows it.
        lanes.done(&round[0]);
        lanes.done(&round[2]);
        assert_eq!(ids(&lanes.round()), [1, 2]);
        lanes.drop_keys(&["b".into(), "unknown".into()]);
        let round = lanes.round();
        assert_eq!(ids(&round), [2]);
        lanes.done(&round[0]);
        assert!(lanes.round().is_empty());
    }

    #[test]
    fn given_large_records_when_a_round_is_asked_for_then_it_fits_into_a_call_and_has_at_least_one() {
        let mut large = plan(&["a", "b", "c"]);
        for planned in &mut large {
            planned.bytes = 4 << 20;
        }
        large[0].bytes = 9 << 20;
        let mut lanes = Lanes::new(large);
        let round = lanes.round();
        assert_eq!(ids(&round), [0]);
        lanes.done(&round[0]);
        assert_eq!(ids(&lanes.round()), [1]);
    }
}
