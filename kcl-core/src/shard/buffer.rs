//! Batches that were read and not yet delivered.
//!
//! Aggregates wait as they came and are cut up when their records are delivered: a read of some megabytes can hold a
//! million records, which would take many times the memory.

use std::collections::VecDeque;

use crate::{
    aggregate::{Aggregate, OutOfRange},
    ids::HashKeyRange,
    record::{Batch, Record},
    sequence::{Position, RecordPosition},
    time::Timestamp,
};

/// How aggregates are cut up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cutting {
    /// Whether they are.
    pub(super) deaggregate: bool,
    pub(super) out_of_range: OutOfRange,
    /// The hash keys of the shard, if they are known.
    pub(super) range: Option<HashKeyRange>,
}

/// How much one delivery may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) records: usize,
    /// Records that were cut out of aggregates stop here; there is always room for one.
    pub(super) weight: u64,
    /// Whether plain records stop there too.
    pub(super) is_strict: bool,
}

impl Room {
    /// How many of these plain records there is room for, at least one.
    fn for_plain(&self, records: &[Record]) -> usize {
        if !self.is_strict {
            return self.records;
        }
        let mut weight = 0;
        let fits = |record: &&Record| {
            weight += record.weight();
            weight <= self.weight
        };
        records.iter().take_while(fits).count().max(1)
    }
}

/// What is to be delivered next.
#[derive(Debug)]
pub(super) struct Popped {
    /// Empty if there was nothing but records that are left out.
    pub(super) batch: Batch,
    /// Everything up to here is in the batch or left out.
    pub(super) end: Option<Position>,
    /// How many records of aggregates have hash keys of other shards.
    pub(super) out_of_range: u64,
}

/// A queue of batches that knows its size.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    batches: VecDeque<Batch>,
    records: usize,
    weight: u64,
    /// The aggregate at the front, if some of its records were delivered.
    open: Option<Aggregate>,
    /// Records of aggregates were handled up to here before this consumer began.
    handled: Option<RecordPosition>,
}

impl Buffer {
    /// A buffer for what follows `handled`.
    pub(super) fn new(handled: Option<RecordPosition>) -> Self {
        Self {
            handled,
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, batch: Batch) {
        if !batch.is_empty() {
            self.records += batch.len();
            self.weight += batch.weight();
            self.batches.push_back(batch);
        }
    }

    /// Takes what is to be delivered next, of one read: at least one record, unless all are left out.
    pub(super) fn pop(&mut self, cutting: &Cutting, room: Room) -> Option<Popped> {
        let front = self.batches.front()?;
        let room = Room {
            records: room.records.max(1),
            ..room
        };
        let head = &front[..front.len().min(room.records)];
        if head.iter().any(|record| Aggregate::is_likely(&record.data)) {
            let front = front.clone();
            return Some(self.pop_cut(&front, cutting, room));
        }
        let records = room.for_plain(head);
        let batch = self.take(records)?;
        let end = batch.end_position();
        Some(Popped {
            batch,
            end,
            out_of_range: 0,
        })
    }

    fn take(&mut self, at_most: usize) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        let (head, tail) = batch.split_at(at_most);
        if !tail.is_empty() {
            self.batches.push_front(tail);
        }
        self.records -= head.len();
        self.weight = self.weight.saturating_sub(head.weight());
        Some(head)
    }

    /// Takes records from the front, which has aggregates among them.
    fn pop_cut(&mut self, front: &Batch, cutting: &Cutting, room: Room) -> Popped {
        let mut cut = Cut::new(room);
        let mut done = 0;
        for outer in front {
            if cut.is_full() {
                break;
            }
            let found = self.open.take().or_else(|| Aggregate::read(&outer.data));
            match found {
                None => cut.push(outer.clone()),
                Some(aggregate) if cutting.deaggregate => {
                    self.open = cut.records_of(aggregate, outer, cutting, self.handled.as_ref());
                    if self.open.is_some() {
                        break;
                    }
                }
                Some(aggregate) => cut.whole(&aggregate, outer, self.handled.as_ref()),
            }
            done += 1;
        }
        if done > 0 {
            self.take(done);
        }
        Popped {
            batch: front.with_records(cut.records),
            end: cut.end.map(Position::Record),
            out_of_range: cut.out_of_range,
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// How many records there are; an aggregate counts as one.
    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// When the oldest record arrived.
    pub(super) fn oldest_arrival(&self) -> Option<Timestamp> {
        self.batches
            .front()?
            .first()
            .map(|record| record.approximate_arrival_timestamp)
    }

    /// The memory that the batches take.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }
}

/// Records on their way into one delivery.
#[derive(Debug)]
struct Cut {
    room: Room,
    records: Vec<Record>,
    weight: u64,
    end: Option<RecordPosition>,
    out_of_range: u64,
}

impl Cut {
    fn new(room: Room) -> Self {
        Self {
            room,
            records: Vec::new(),
            weight: 0,
            end: None,
            out_of_range: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.records.len() >= self.room.records || (!self.records.is_empty() && self.weight >= self.room.weight)
    }

    fn push(&mut self, record: Record) {
        self.weight += record.weight();
        self.end = Some(record.position());
        self.records.push(record);
    }

    /// Cuts records out of an aggregate; gives it back if some are left.
    fn records_of(
        &mut self,
        mut aggregate: Aggregate,
        outer: &Record,
        cutting: &Cutting,
        handled: Option<&RecordPosition>,
    ) -> Option<Aggregate> {
        if let Some(handled) = of_record(handled, outer) {
            aggregate.skip_to(handled.sub_sequence_number.saturating_add(1));
        } else if aggregate.records() == 0 {
            self.end = Some(outer.position());
        }
        while !self.is_full() {
            let Some(record) = aggregate.next() else { break };
            let elsewhere = cutting.range.is_some_and(|range| !range.contains(record.hash_key()));
            self.out_of_range += u64::from(elsewhere);
            let record = outer.cut_out(record);
            if elsewhere && cutting.out_of_range == OutOfRange::Skip {
                self.end = Some(record.position());
            } else {
                self.push(record);
            }
        }
        (aggregate.left() > 0).then_some(aggregate)
    }

    /// Takes an aggregate as it is. It stands where its last record does, so that whoever cuts aggregates up, or no longer
    /// does, goes on at the right place.
    fn whole(&mut self, aggregate: &Aggregate, outer: &Record, handled: Option<&RecordPosition>) {
        let last = aggregate.records().saturating_sub(1);
        if of_record(handled, outer).is_none_or(|handled| handled.sub_sequence_number < last) {
            self.push(Record {
                sub_sequence_number: last,
                ..outer.clone()
            });
        }
    }
}

/// The position, if it is one of this record.
fn of_record<'a>(position: Option<&'a RecordPosition>, outer: &Record) -> Option<&'a RecordPosition> {
    position.filter(|position| position.sequence_number == outer.sequence_number)
}
