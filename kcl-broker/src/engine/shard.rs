//! One shard: its records in order, and what is retained of them.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::Bytes;
use bytestring::ByteString;
use kcl_core::{HashKeyRange, Record, SequenceNumber, Shard, ShardId, Timestamp};

use super::{
    growth::Heat,
    limits::ShardMeters,
    sequence::{LAST_COUNTER, LAST_SECOND, Parts, second_of},
};
use crate::api::EncryptionType;

/// What a record costs beside its data and its key: number, times, and the allocations that hold them.
const RECORD_OVERHEAD_BYTES: u64 = 256;

/// The bytes that a record counts against the broker's limit.
pub(super) fn footprint(data: &[u8], partition_key: &str) -> u64 {
    (data.len() + partition_key.len()) as u64 + RECORD_OVERHEAD_BYTES
}

/// The id of the shard that was made as the stream's `index`-th, counted from 0.
pub(super) fn shard_name(index: u32) -> String {
    format!("shardId-{index:012}")
}

#[derive(Debug)]
struct Stored {
    counter: u64,
    record: Arc<Record>,
    is_encrypted: bool,
}

/// A shard of a stream.
#[derive(Debug)]
pub(super) struct ShardLog {
    pub(super) index: u32,
    pub(super) parents: Vec<u32>,
    /// What listings show.
    pub(super) description: Shard,
    pub(super) created_at: Timestamp,
    /// The creation second in the shard's numbers: later than that of its parents, whatever the clock said.
    pub(super) created_second: u64,
    pub(super) closed_at: Option<Timestamp>,
    pub(super) meters: ShardMeters,
    pub(super) heat: Heat,
    records: VecDeque<Stored>,
    next_counter: u64,
}

/// Adds a place that comes after all of `places`.
fn note_place(places: &mut Vec<Range<usize>>, place: usize) {
    match places.last_mut() {
        Some(last) if last.end == place => last.end += 1,
        _ => places.push(place..place + 1),
    }
}

/// What a read found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) records: Vec<Arc<Record>>,
    /// The places of those among the records that were encrypted.
    pub(super) encrypted: Vec<Range<usize>>,
    /// The counter to read on from.
    pub(super) next: u64,
    /// When the next unread record arrived, if there is one.
    pub(super) next_arrival: Option<Timestamp>,
}

impl ShardLog {
    pub(super) fn new(index: u32, range: HashKeyRange, created_at: Timestamp, created_second: u64) -> Self {
        let id = ShardId::new(shard_name(index)).expect("the letters and digits of an id");
        let mut description = Shard::new(id, range);
        let first = Parts {
            created: created_second,
            shard: index,
            counter: 0,
            arrived: created_second,
        };
        description.starting_sequence_number = Some(first.encode());
        Self {
            index,
            parents: Vec::new(),
            description,
            created_at,
            created_second,
            closed_at: None,
            meters: ShardMeters::default(),
            heat: Heat::default(),
            records: VecDeque::new(),
            // 0 is the counter of the shard's starting number.
            next_counter: 1,
        }
    }

    pub(super) fn id(&self) -> &ShardId {
        &self.description.id
    }

    pub(super) fn range(&self) -> HashKeyRange {
        self.description.hash_key_range
    }

    pub(super) fn is_open(&self) -> bool {
        self.closed_at.is_none()
    }

    /// What listings showed at a time: a shard that was closed later was open.
    pub(super) fn described_as_of(&self, as_of: Timestamp) -> Shard {
        let mut description = self.description.clone();
        if self.closed_at.is_some_and(|closed_at| closed_at > as_of) {
            description.ending_sequence_number = None;
        }
        description
    }

    /// The counter that the next record will get.
    pub(super) fn tip(&self) -> u64 {
        self.next_counter
    }

    fn number(&self, counter: u64, at: Timestamp) -> SequenceNumber {
        let arrived = second_of(at).max(self.created_second);
        Parts {
            created: self.created_second,
            shard: self.index,
            counter,
            arrived,
        }
        .encode()
    }

    pub(super) fn append(
        &mut self,
        now: Timestamp,
        partition_key: ByteString,
        data: Bytes,
        encryption: EncryptionType,
    ) -> SequenceNumber {
        let counter = self.next_counter;
        let number = self.number(counter, now);
        let record = Arc::new(Record::new(number.clone(), partition_key, now, data));
        self.records.push_back(Stored {
            counter,
            record,
            is_encrypted: encryption != EncryptionType::None,
        });
        self.next_counter += 1;
        number
    }

    /// Closes the shard and gives the second that the numbers of its children come after.
    pub(super) fn close(&mut self, now: Timestamp) -> u64 {
        self.closed_at = Some(now);
        self.description.ending_sequence_number = Some(self.number(LAST_COUNTER, now));
        second_of(now).max(self.created_second)
    }

    /// Whether `parts` are of the shard's starting number, of a record it has given a number, of a place after one of
    /// these that [`place_before`](Self::place_before) has made a number of, or of its ending number.
    pub(super) fn has_issued(&self, parts: &Parts) -> bool {
        parts.created == self.created_second
            && parts.shard == self.index
            && (parts.counter < self.next_counter || (parts.counter == LAST_COUNTER && !self.is_open()))
    }

    /// A number that lies after all records whose counters are smaller than `counter` and before the record of that
    /// counter. It is no record's, so that reading on at it and after it are the same.
    ///
    /// Of two such numbers for one counter the one made at a later second is greater.
    pub(super) fn place_before(&self, counter: u64, now: Timestamp) -> SequenceNumber {
        let arrived = second_of(now).max(self.created_second) + 1;
        Parts {
            created: self.created_second,
            shard: self.index,
            counter: counter.saturating_sub(1),
            arrived: arrived.min(LAST_SECOND),
        }
        .encode()
    }

    /// The counter of the first retained record whose number is that of `parts` or greater; the tip if there is none.
    pub(super) fn first_from(&self, parts: &Parts) -> u64 {
        self.first_that(|stored| self.order_of(stored) >= (parts.counter, parts.arrived))
    }

    /// The counter of the first retained record whose number is greater than that of `parts`; the tip if there is none.
    pub(super) fn first_after(&self, parts: &Parts) -> u64 {
        self.first_that(|stored| self.order_of(stored) > (parts.counter, parts.arrived))
    }

    /// What orders the numbers of this shard.
    fn order_of(&self, stored: &Stored) -> (u64, u64) {
        let arrived = second_of(stored.record.approximate_arrival_timestamp).max(self.created_second);
        (stored.counter, arrived)
    }

    fn first_that(&self, is_reached: impl Fn(&Stored) -> bool) -> u64 {
        let place = self.records.partition_point(|stored| !is_reached(stored));
        self.records
            .get(place)
            .map_or(self.next_counter, |stored| stored.counter)
    }

    /// The counter of the first record that arrived at `at` or later; the tip if there is none.
    pub(super) fn first_at(&self, at: Timestamp) -> u64 {
        self.first_that(|stored| stored.record.approximate_arrival_timestamp >= at)
    }

    /// Reads from `counter` on: at least one record if there is one, then as many as both limits allow.
    pub(super) fn read(&self, counter: u64, records_max: usize, bytes_max: usize) -> Found {
        let first = self.records.partition_point(|stored| stored.counter < counter);
        let mut bytes = 0;
        let mut encrypted = Vec::new();
        let mut records = Vec::with_capacity(records_max.min(self.records.len() - first));
        for stored in self.records.range(first..).take(records_max) {
            bytes += stored.record.size();
            if bytes > bytes_max && !records.is_empty() {
                break;
            }
            if stored.is_encrypted {
                note_place(&mut encrypted, records.len());
            }
            records.push(Arc::clone(&stored.record));
        }
        let unread = self.records.get(first + records.len());
        Found {
            records,
            encrypted,
            next: unread.map_or_else(|| counter.max(self.next_counter), |stored| stored.counter),
            next_arrival: unread.map(|stored| stored.record.approximate_arrival_timestamp),
        }
    }

    /// Whether nothing of the shard is retained: it was closed, and with it its last record, before the `horizon`.
    pub(super) fn is_gone(&self, horizon: Timestamp) -> bool {
        self.closed_at.is_some_and(|at| at < horizon)
    }

    /// Drops records that are older than the `horizon` and gives the bytes they counted.
    pub(super) fn trim(&mut self, horizon: Timestamp) -> u64 {
        let mut freed = 0;
        while let Some(oldest) = self.records.front() {
            if oldest.record.approximate_arrival_timestamp >= horizon {
                break;
            }
            freed += footprint(&oldest.record.data, &oldest.record.partition_key);
            self.records.pop_front();
        }
        freed
    }

    /// The bytes that all records count.
    pub(super) fn footprint(&self) -> u64 {
        self.records
            .iter()
            .map(|stored| footprint(&stored.record.data, &stored.record.partition_key))
            .sum()
    }
}
