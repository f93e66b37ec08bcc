//! Producers that put several records into one, as the KPL does.

use fastrand::Rng;
use kcl_core::{
    Record, RecordPosition, SequenceNumber,
    aggregate::{Aggregator, UserRecord},
};

use crate::{features::Feature, scenario::Scenario};

/// The most records in an aggregate.
const RECORDS: usize = 5;

/// What producers put, drawn apart from everything else.
#[derive(Debug)]
pub(super) struct Aggregates {
    rng: Option<Rng>,
}

/// One record as it is put, and the keys of those in it.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) record: UserRecord,
    pub(super) keys: Vec<String>,
}

impl Aggregates {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let used = scenario.features.has(Feature::Aggregation);
        Self {
            rng: used.then(|| Rng::with_seed(scenario.seed ^ 0xa66e_6a7e)),
        }
    }

    /// A record with this key, alone or with others of other keys. What is in an aggregate need not belong to its shard: that
    /// is so after a split, and with producers that do not look at hash keys.
    pub(super) fn put(&mut self, key: String, data: &str, keys: u64) -> Put {
        let first = UserRecord::new(key.clone(), data.to_owned());
        let more = self.rng.as_mut().map_or(0, |rng| rng.usize(..RECORDS));
        let Some(rng) = self.rng.as_mut().filter(|_| more > 0) else {
            return Put {
                record: first,
                keys: vec![key],
            };
        };
        let mut aggregator = Aggregator::new(usize::MAX);
        let mut all = vec![key];
        if !aggregator.append(&first) {
            return Put {
                record: first,
                keys: all,
            };
        }
        for part in 0..more {
            let key = rng.u64(..keys).to_string();
            if aggregator.append(&UserRecord::new(key.clone(), format!("{data}.{part}"))) {
                all.push(key);
            }
        }
        let record = aggregator.take().unwrap_or(first);
        Put { record, keys: all }
    }
}

impl Put {
    /// Where the records are, once the service took the one that they are in.
    pub(super) fn positions(&self, number: &SequenceNumber) -> impl Iterator<Item = (RecordPosition, &String)> {
        (0..).zip(&self.keys).map(|(sub_sequence_number, key)| {
            let sequence_number = number.clone();
            let position = RecordPosition {
                sequence_number,
                sub_sequence_number,
            };
            (position, key)
        })
    }
}

/// What only a record's place tells apart.
pub(super) fn is_at(record: &Record, position: &RecordPosition) -> bool {
    record.sequence_number == position.sequence_number && record.sub_sequence_number == position.sub_sequence_number
}
