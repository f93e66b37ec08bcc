//! [`Oracle`]: the promises, checked as things happen. It knows what really was put and handled; the workers do not.

use std::collections::{BTreeMap, BTreeSet};

use kcl_core::{Batch, Lease, LeaseKey, Position, SequenceNumber, ShardId};

/// A promise that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise's name, as in the design.
    pub promise: &'static str,
    /// What happened.
    pub what: String,
}

/// What is known of one shard.
#[derive(Debug, Default)]
struct ShardTruth {
    records: Vec<SequenceNumber>,
    handled: Vec<bool>,
    /// Everything before this index is handled, or was never asked for.
    prefix: usize,
}

/// One tenure of a lease, as its deliveries tell.
#[derive(Clone, Debug)]
pub struct TenureLog {
    shard: ShardId,
    /// The index of the next record that may be delivered for the first time; unknown before the first delivery where
    /// the start names no record.
    next: Option<usize>,
    /// Every record of this tenure before this index was handled.
    pub handled_to: Option<Position>,
}

/// The judge of one fleet's life. Whoever lives it tells what was put, delivered, handled and written; the first promise
/// that breaks is kept.
///
/// It is fed by the simulation of the machines and by tests of the real drivers alike, so that both keep one and the
/// same set of promises.
#[derive(Debug, Default)]
pub struct Oracle {
    shards: BTreeMap<ShardId, ShardTruth>,
    parents: BTreeMap<ShardId, Vec<ShardId>>,
    /// How often a promise was looked at.
    pub checks: u64,
    /// How many records were delivered, replays included.
    pub delivered: u64,
    /// How many records were put.
    pub put: u64,
    /// The first promise that broke.
    pub violation: Option<Violation>,
}

impl Oracle {
    /// A promise was seen to be broken, by other means than the checks here.
    pub fn broken(&mut self, promise: &'static str, what: String) {
        self.violation.get_or_insert(Violation { promise, what });
    }

    fn check(&mut self, promise: &'static str, holds: bool, what: impl FnOnce() -> String) {
        self.checks += 1;
        if !holds {
            self.broken(promise, what());
        }
    }

    /// The stream has this shard. To be told before anything is put into it.
    pub fn shard_exists(&mut self, shard: ShardId, parents: Vec<ShardId>) {
        self.shards.entry(shard.clone()).or_default();
        self.parents.insert(shard, parents);
    }

    /// The service took a record.
    pub fn put(&mut self, shard: &ShardId, number: SequenceNumber) {
        self.put += 1;
        let truth = self.shards.entry(shard.clone()).or_default();
        truth.records.push(number);
        truth.handled.push(false);
    }

    /// The application starts with LATEST at this shard: what is in it now was never asked for.
    pub fn opened_at_latest(&mut self, shard: &ShardId) {
        if let Some(truth) = self.shards.get_mut(shard) {
            truth.handled.fill(true);
            truth.prefix = truth.records.len();
        }
    }

    /// A tenure begins to read a shard behind `start`.
    #[must_use]
    pub fn tenure(&self, shard: &ShardId, start: &Position) -> TenureLog {
        let next = match start {
            Position::TrimHorizon => Some(0),
            Position::Record(_) => self.index_after(shard, start),
            _ => None,
        };
        TenureLog {
            shard: shard.clone(),
            next,
            handled_to: None,
        }
    }

    /// The index of the first record after a position.
    fn index_after(&self, shard: &ShardId, position: &Position) -> Option<usize> {
        let number = &position.record()?.sequence_number;
        let records = &self.shards.get(shard)?.records;
        Some(records.partition_point(|record| record <= number))
    }

    /// The user's code got a batch.
    pub fn delivered(&mut self, tenure: &mut TenureLog, batch: &Batch, table: &BTreeMap<LeaseKey, Lease>) {
        let Some(first) = batch.first() else { return };
        self.delivered += batch.len() as u64;
        let shard = tenure.shard.clone();
        let records = self
            .shards
            .get(&shard)
            .map(|truth| truth.records.as_slice())
            .unwrap_or_default();
        let index = records.partition_point(|record| *record < first.sequence_number);
        let contiguous = batch
            .iter()
            .zip(&records[index..])
            .all(|(got, put)| got.sequence_number == *put)
            && index + batch.len() <= records.len();
        let expected = tenure.next;
        tenure.next.get_or_insert(index);
        self.check("order", contiguous, || {
            format!("{shard}: a batch that begins at record {index} has gaps")
        });
        self.check("order", expected.is_none_or(|next| next == index), || {
            format!("{shard}: record {index} was delivered where {expected:?} was next")
        });
        let parents = self.parents.get(&shard).cloned().unwrap_or_default();
        let ready = parents
            .iter()
            .all(|parent| table.get(parent.as_str()).is_none_or(Lease::is_finished));
        self.check("lineage", ready, || {
            format!("{shard}: record {index} was delivered before its parents were done")
        });
    }

    /// The user's code handled the first `count` records of a batch.
    pub fn handled(&mut self, tenure: &mut TenureLog, batch: &Batch, count: usize) {
        let Some(last) = count.checked_sub(1).and_then(|last| batch.get(last)) else {
            return;
        };
        let Some(truth) = self.shards.get_mut(&tenure.shard) else {
            return;
        };
        let end = truth.records.partition_point(|record| *record <= last.sequence_number);
        truth.handled[end.saturating_sub(count)..end].fill(true);
        while truth.handled.get(truth.prefix) == Some(&true) {
            truth.prefix += 1;
        }
        tenure.next = Some(end);
        tenure.handled_to = Some(Position::Record(last.position()));
    }

    /// A row was written.
    pub fn written(&mut self, before: Option<&Lease>, after: &Lease) {
        let Some(before) = before else { return };
        if before.checkpoint == after.checkpoint {
            return;
        }
        let (from, to) = (before.checkpoint.clone(), after.checkpoint.clone());
        self.check("monotonic", from.may_advance_to(&to), || {
            format!("{}: from {from} back to {to}", after.key)
        });
        let Some(truth) = self.shards.get(&after.shard) else {
            return;
        };
        let passed = match &to {
            Position::ShardEnd => truth.records.len(),
            position => self.index_after(&after.shard, position).unwrap_or(0),
        };
        let prefix = truth.prefix;
        self.check("no-loss", passed <= prefix, || {
            format!(
                "{}: checkpoint {to} passes record {prefix}, which nobody handled",
                after.key
            )
        });
    }

    /// A clean hand-over left a lease with this checkpoint; its tenure had handled up to here.
    pub fn handed_over(&mut self, tenure: &TenureLog, checkpoint: &Position) {
        let Some(handled) = &tenure.handled_to else { return };
        self.check("bounded-replay", handled <= checkpoint, || {
            format!(
                "{}: {handled} was handled, and a clean hand-over left the checkpoint at {checkpoint}",
                tenure.shard
            )
        });
    }

    /// Trouble is over for long enough: everything was handled, and every lease has a live holder.
    pub fn settled(&mut self, table: &BTreeMap<LeaseKey, Lease>, consumed: &BTreeMap<ShardId, usize>) {
        let waiting: Vec<String> = self
            .shards
            .iter()
            .filter(|(_, truth)| truth.prefix < truth.records.len())
            .map(|(shard, truth)| format!("{shard} at {} of {}", truth.prefix, truth.records.len()))
            .collect();
        self.check("liveness", waiting.is_empty(), || {
            format!("not handled long after trouble ended: {waiting:?}")
        });
        for lease in table.values().filter(|lease| !lease.is_finished()) {
            let parents: BTreeSet<&ShardId> = lease.parents.iter().collect();
            let unfinished = |id: &&ShardId| table.get(id.as_str()).is_some_and(|parent| !parent.is_finished());
            if parents.iter().any(unfinished) {
                continue;
            }
            let count = consumed.get(&lease.shard).copied().unwrap_or(0);
            self.check("single-owner", count == 1, || {
                format!("{}: {count} consumers, not one", lease.key)
            });
        }
        let unleased: Vec<&ShardId> = self
            .shards
            .iter()
            .filter(|(shard, truth)| {
                !truth.records.is_empty() && truth.prefix < truth.records.len() && !table.contains_key(shard.as_str())
            })
            .map(|(shard, _)| shard)
            .collect();
        let text = format!("{unleased:?}");
        self.check("liveness", unleased.is_empty(), || {
            format!("shards with records and without leases: {text}")
        });
    }
}
