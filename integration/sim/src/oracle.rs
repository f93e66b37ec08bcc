//! [`Oracle`]: the promises, checked as things happen. It knows what really was put and handled; the workers do not.

mod delivery;
mod lanes;

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kcl_core::{Batch, Lease, LeaseKey, Position, RecordPosition, SequenceNumber, ShardId, WorkerId};

use self::{
    delivery::Trying,
    lanes::{Keys, Overtaking},
};
use crate::aggregates::is_at;

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
    records: Vec<RecordPosition>,
    keys: Keys,
    handled: Vec<bool>,
    /// Records that were never asked for, wherever the checkpoint is.
    left_out: BTreeSet<usize>,
    /// Everything before this index is handled, or was never asked for.
    prefix: usize,
    /// Whether it ever had a lease.
    leased: bool,
    /// How often an operator moved its checkpoint.
    seeks: u64,
    /// How many records it had when an application that starts with `LATEST` began.
    before_begin: usize,
}

impl ShardTruth {
    /// Whether it holds records that somebody still has to handle. A shard that was over when the application began does
    /// not.
    fn is_waiting(&self) -> bool {
        let was_over_before = !self.leased && self.records.len() == self.before_begin;
        self.prefix < self.records.len() && !was_over_before
    }
}

/// A stream that was deleted, and replaced by one of the same name.
#[derive(Debug)]
struct Former {
    shards: BTreeMap<ShardId, ShardTruth>,
    /// Its numbers are all below this one, and those of its successor are not.
    end: SequenceNumber,
}

impl Former {
    fn has(&self, number: &SequenceNumber) -> bool {
        *number < self.end
    }

    fn has_position(&self, position: &Position) -> bool {
        position
            .record()
            .is_some_and(|record| self.has(&record.sequence_number))
    }
}

/// One tenure of a lease, as its deliveries tell.
#[derive(Clone, Debug)]
pub struct TenureLog {
    shard: ShardId,
    /// Whose it is, where that is told.
    by: Option<WorkerId>,
    /// The index of the next record that may be delivered for the first time; unknown before the first delivery where
    /// the start names no record.
    next: Option<usize>,
    start: Position,
    /// How often the checkpoint had been moved when the tenure began: what it does counts until it is moved again.
    seeks: u64,
    /// Every record of this tenure before this index was handled.
    pub handled_to: Option<Position>,
    /// Where records are handled in lanes.
    overtaking: Option<Overtaking>,
    /// Where deliveries have rules.
    trying: Trying,
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
    /// What there was before the stream was created again.
    former: Option<Former>,
    /// Whether an application that starts with `LATEST` has a lease.
    begun: bool,
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
        // Once there was another stream, leases without a checkpoint may be of either, and know the parents of one.
        let parents = if self.former.is_none() { parents } else { Vec::new() };
        self.parents.insert(shard, parents);
    }

    /// Whether it was told of this shard.
    #[must_use]
    pub fn knows(&self, shard: &ShardId) -> bool {
        self.shards.contains_key(shard)
    }

    /// The service took a record.
    pub fn put(&mut self, shard: &ShardId, position: RecordPosition) {
        self.put += 1;
        let truth = self.shards.entry(shard.clone()).or_default();
        truth.records.push(position);
        truth.handled.push(false);
    }

    /// The application starts with LATEST at this shard: what is in it now was never asked for.
    pub fn opened_at_latest(&mut self, shard: &ShardId) {
        if let Some(truth) = self.shards.get_mut(shard) {
            truth.handled.fill(true);
            truth.prefix = truth.records.len();
        }
    }

    /// The records of a shard, in order.
    #[must_use]
    pub fn records_of(&self, shard: &ShardId) -> &[RecordPosition] {
        self.shards.get(shard).map_or(&[], |truth| &truth.records)
    }

    /// An operator moved the checkpoint of a shard behind the first `count` records: these are not asked for any more, and all
    /// others are, handled or not. What tenures do that began before counts no more.
    pub fn sought(&mut self, after: &Lease, count: usize) {
        if let Some(truth) = self.shards.get_mut(&after.shard) {
            truth.seeks += 1;
            truth.handled[..count].fill(true);
            for (index, handled) in truth.handled.iter_mut().enumerate().skip(count) {
                *handled = truth.left_out.contains(&index);
            }
            truth.prefix = count;
            truth.advance();
        }
    }

    /// Whether the checkpoint was moved since the tenure began.
    fn is_void(&self, tenure: &TenureLog) -> bool {
        self.shards
            .get(&tenure.shard)
            .is_some_and(|truth| truth.seeks > tenure.seeks)
    }

    /// A shard got a lease. With the first one an application that starts with `LATEST` has begun: shards that were over
    /// by then get none, and what is in them was never asked for.
    pub fn leased(&mut self, shard: &ShardId, at_latest: bool) {
        if at_latest && !self.begun {
            self.begun = true;
            for truth in self.shards.values_mut() {
                truth.before_begin = truth.records.len();
            }
        }
        if let Some(truth) = self.shards.get_mut(shard) {
            truth.leased = true;
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
            by: None,
            next,
            start: start.clone(),
            seeks: self.shards.get(shard).map_or(0, |truth| truth.seeks),
            handled_to: None,
            overtaking: None,
            trying: Trying::default(),
        }
    }

    /// A tenure of this worker's begins to read a shard behind `start`.
    #[must_use]
    pub fn tenure_of(&self, worker: &WorkerId, shard: &ShardId, start: &Position) -> TenureLog {
        let by = Some(worker.clone());
        TenureLog {
            by,
            ..self.tenure(shard, start)
        }
    }

    /// The stream was deleted, and one of the same name was created, whose numbers begin with `first`.
    pub fn recreated(&mut self, first: SequenceNumber) {
        self.former = Some(Former {
            shards: std::mem::take(&mut self.shards),
            end: first,
        });
    }

    /// Whether the stream was created again.
    #[must_use]
    pub fn is_recreated(&self) -> bool {
        self.former.is_some()
    }

    /// Whether there are leases that go on from a record of the former stream.
    #[must_use]
    pub fn has_stranded(&self, table: &BTreeMap<LeaseKey, Arc<Lease>>) -> bool {
        let former = |lease: &Arc<Lease>| {
            self.former
                .as_ref()
                .is_some_and(|former| former.has_position(&lease.checkpoint))
        };
        table.values().any(former)
    }

    /// What is known of the shard in the stream that `number` is of.
    fn truth(&self, shard: &ShardId, number: &SequenceNumber) -> Option<&ShardTruth> {
        match &self.former {
            Some(former) if former.has(number) => former.shards.get(shard),
            _ => self.shards.get(shard),
        }
    }

    fn truth_mut(&mut self, shard: &ShardId, number: &SequenceNumber) -> Option<&mut ShardTruth> {
        match &mut self.former {
            Some(former) if former.has(number) => former.shards.get_mut(shard),
            _ => self.shards.get_mut(shard),
        }
    }

    /// The index of the first record after a position.
    fn index_after(&self, shard: &ShardId, position: &Position) -> Option<usize> {
        let position = position.record()?;
        let records = &self.truth(shard, &position.sequence_number)?.records;
        Some(records.partition_point(|record| record <= position))
    }

    /// The user's code got a batch.
    pub fn delivered(&mut self, tenure: &mut TenureLog, batch: &Batch, table: &BTreeMap<LeaseKey, impl Borrow<Lease>>) {
        let Some(first) = batch.first() else { return };
        self.delivered += batch.len() as u64;
        let shard = tenure.shard.clone();
        let by = tenure.by.clone();
        let by = || by.as_ref().map_or("somebody", WorkerId::as_str);
        let mixed = self.former.as_ref().is_some_and(|former| {
            let is_former = former.has(&first.sequence_number);
            !is_former && former.has_position(tenure.handled_to.as_ref().unwrap_or(&tenure.start))
        });
        self.check("no-loss", !mixed, || {
            format!("{shard}: records of a new stream were delivered under a checkpoint of the one before it")
        });
        self.check_lineage(&shard, by(), table);
        if tenure.overtaking.is_some() {
            return self.delivered_in_lane(tenure, batch);
        }
        let records = self
            .truth(&shard, &first.sequence_number)
            .map(|truth| truth.records.as_slice())
            .unwrap_or_default();
        let place = first.position();
        let index = records.partition_point(|record| *record < place);
        let contiguous = batch.iter().zip(&records[index..]).all(|(got, put)| is_at(got, put))
            && index + batch.len() <= records.len();
        let expected = tenure.next;
        tenure.next.get_or_insert(index);
        self.check("order", contiguous, || {
            format!("{shard}: a batch that begins at record {index} has gaps, at {}", by())
        });
        self.check("order", expected.is_none_or(|next| next == index), || {
            format!(
                "{shard}: record {index} was delivered to {} where {expected:?} was next",
                by()
            )
        });
    }

    fn check_lineage(&mut self, shard: &ShardId, by: &str, table: &BTreeMap<LeaseKey, impl Borrow<Lease>>) {
        let parents = self.parents.get(shard).cloned().unwrap_or_default();
        let waits_for = parents.iter().find(|parent| {
            table
                .get(parent.as_str())
                .is_some_and(|parent| !parent.borrow().is_finished())
        });
        self.check("lineage", waits_for.is_none(), || {
            format!("{shard}: records were delivered to {by} before its parents were done: {waits_for:?}")
        });
    }

    /// The user's code handled the first `count` records of a batch.
    pub fn handled(&mut self, tenure: &mut TenureLog, batch: &Batch, count: usize) {
        if tenure.overtaking.is_some() {
            return self.handled_in_lane(tenure, batch, count);
        }
        let Some(last) = count.checked_sub(1).and_then(|last| batch.get(last)) else {
            return;
        };
        let is_void = self.is_void(tenure);
        let Some(truth) = self.truth_mut(&tenure.shard, &last.sequence_number) else {
            return;
        };
        let place = last.position();
        let end = truth.records.partition_point(|record| *record <= place);
        if !is_void {
            truth.handled[end.saturating_sub(count)..end].fill(true);
        }
        truth.advance();
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
        let former = |position: &Position| self.former.as_ref().is_some_and(|former| former.has_position(position));
        let (from_former, to_former) = (former(&from), former(&to));
        let replaced = from_former && to.record().is_some() && !to_former;
        self.check("no-loss", !replaced, || {
            format!(
                "{}: {from} of the former stream gave way to {to} of the new one",
                after.key
            )
        });
        let Some(truth) = self.truth_of_write(&after.shard, from_former, &to) else {
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

    /// The shard as it was in the stream that a checkpoint is of.
    fn truth_of_write(&self, shard: &ShardId, from_former: bool, to: &Position) -> Option<&ShardTruth> {
        match to.record() {
            Some(record) => self.truth(shard, &record.sequence_number),
            None => {
                let former = self.former.as_ref().and_then(|former| former.shards.get(shard));
                // An end that was reached in the former stream may be written when the new one is there already.
                let former = former.filter(|truth| from_former || truth.prefix == truth.records.len());
                former.or_else(|| self.shards.get(shard))
            }
        }
    }

    /// A row was deleted.
    pub fn deleted(&mut self, before: &Lease) {
        let stranded = self
            .former
            .as_ref()
            .is_some_and(|former| former.has_position(&before.checkpoint));
        self.check("no-loss", !stranded, || {
            format!(
                "{}: the checkpoint {} was deleted with its row",
                before.key, before.checkpoint
            )
        });
    }

    /// A clean hand-over left a lease with this checkpoint; its tenure had handled up to here.
    pub fn handed_over(&mut self, tenure: &TenureLog, checkpoint: &Position) {
        let Some(handled) = tenure.handled_to.as_ref().filter(|_| !self.is_void(tenure)) else {
            return;
        };
        self.check("bounded-replay", handled <= checkpoint, || {
            format!(
                "{}: {handled} was handled, and a clean hand-over left the checkpoint at {checkpoint}",
                tenure.shard
            )
        });
    }

    /// Trouble is over for long enough: everything was handled, and every lease has a live holder.
    pub fn settled(&mut self, table: &BTreeMap<LeaseKey, impl Borrow<Lease>>, consumed: &BTreeMap<ShardId, usize>) {
        let waiting: Vec<String> = self
            .shards
            .iter()
            .filter(|(_, truth)| truth.is_waiting())
            .map(|(shard, truth)| format!("{shard} at {} of {}", truth.prefix, truth.records.len()))
            .collect();
        self.check("liveness", waiting.is_empty(), || {
            format!("not handled long after trouble ended: {waiting:?}")
        });
        for lease in table.values().map(Borrow::borrow).filter(|lease| !lease.is_finished()) {
            let parents: BTreeSet<&ShardId> = lease.parents.iter().collect();
            let unfinished = |id: &&ShardId| {
                table
                    .get(id.as_str())
                    .is_some_and(|parent| !parent.borrow().is_finished())
            };
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
            .filter(|(shard, truth)| truth.is_waiting() && !table.contains_key(shard.as_str()))
            .map(|(shard, _)| shard)
            .collect();
        let text = format!("{unleased:?}");
        self.check("liveness", unleased.is_empty(), || {
            format!("shards with records and without leases: {text}")
        });
    }
}
