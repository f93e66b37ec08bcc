//! [`Record`] and [`Batch`]: what handlers receive. Clones and splits count references; no byte of data is copied.

use std::{fmt, ops::Deref, sync::Arc};

use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    aggregate::SubRecord,
    ids::{HashKey, ShardId, StreamName},
    sequence::{Position, RecordPosition, SequenceNumber},
    stream::StreamId,
    time::Timestamp,
};

/// What a record takes in memory besides its key and data: the structure itself, its sequence number, three reference
/// counts.
const RECORD_OVERHEAD: usize = 256;

/// One record of a stream.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The number that Kinesis gave the record; unique within its shard and growing.
    pub sequence_number: SequenceNumber,
    /// The place inside an aggregated record, from 0; 0 for a plain record.
    pub sub_sequence_number: u64,
    /// The key that decided to which shard the record went. It is empty if the record was written without one, to a stream
    /// that spreads its records over its shards by itself.
    pub partition_key: ByteString,
    /// When Kinesis received the record, to the millisecond, by the service's clock.
    pub approximate_arrival_timestamp: Timestamp,
    /// What the producer sent. The data of an aggregated record is a slice of the record that it came in, whose memory it
    /// holds on to: copy what is to be kept for long.
    pub data: Bytes,
    /// Whether the record came inside of an aggregated record.
    pub aggregated: bool,
    /// The explicit hash key that an aggregated record brings with it. Of a plain record the service does not tell.
    pub explicit_hash_key: Option<HashKey>,
}

impl Record {
    /// A plain (not aggregated) record.
    #[must_use]
    pub fn new(
        sequence_number: SequenceNumber,
        partition_key: impl Into<ByteString>,
        approximate_arrival_timestamp: Timestamp,
        data: impl Into<Bytes>,
    ) -> Self {
        Self {
            sequence_number,
            sub_sequence_number: 0,
            partition_key: partition_key.into(),
            approximate_arrival_timestamp,
            data: data.into(),
            aggregated: false,
            explicit_hash_key: None,
        }
    }

    /// The record that was cut out of this one, an aggregate.
    pub(crate) fn cut_out(&self, record: SubRecord) -> Self {
        Self {
            sequence_number: self.sequence_number.clone(),
            sub_sequence_number: record.sub_sequence_number,
            partition_key: record.partition_key,
            approximate_arrival_timestamp: self.approximate_arrival_timestamp,
            data: record.data,
            aggregated: true,
            explicit_hash_key: record.explicit_hash_key,
        }
    }

    /// The memory that the record takes, roughly.
    pub(crate) fn weight(&self) -> u64 {
        (self.size() + RECORD_OVERHEAD) as u64
    }

    /// Where the record stands in its shard.
    #[must_use]
    pub fn position(&self) -> RecordPosition {
        RecordPosition {
            sequence_number: self.sequence_number.clone(),
            sub_sequence_number: self.sub_sequence_number,
        }
    }

    /// The bytes of data and key, as Kinesis counts a record's size.
    #[must_use]
    pub fn size(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }
}

impl fmt::Debug for Record {
    /// Names the record; its key and data stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("position", &format_args!("{}", self.position()))
            .field(
                "approximate_arrival_timestamp",
                &format_args!("{}", self.approximate_arrival_timestamp),
            )
            .field("bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// Consecutive records of one shard, in sequence order. It derefs to a slice of [`Record`]s.
///
/// ```
/// use kcl_core::{Batch, Record, ShardId, StreamName, Timestamp};
///
/// let record = Record::new("7".parse()?, "key", Timestamp::from_epoch_millis(0), "data");
/// let batch = Batch::new(StreamName::new("s")?, ShardId::new("shardId-0")?, vec![record.clone(), record]);
/// let (left, right) = batch.split_at(1);
/// assert_eq!((left.len(), right.len()), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    stream: StreamName,
    shard: ShardId,
    records: Arc<Vec<Record>>,
    start: usize,
    end: usize,
    millis_behind_latest: Option<u64>,
    stream_id: Option<Arc<StreamId>>,
}

impl Batch {
    /// A batch of `records`, which are of one shard and in sequence order.
    #[must_use]
    pub fn new(stream: StreamName, shard: ShardId, records: Vec<Record>) -> Self {
        let end = records.len();
        Self {
            stream,
            shard,
            records: Arc::new(records),
            start: 0,
            end,
            millis_behind_latest: None,
            stream_id: None,
        }
    }

    /// The same batch, of one of several streams.
    #[must_use]
    pub fn with_stream_id(mut self, stream: Option<Arc<StreamId>>) -> Self {
        self.stream_id = stream;
        self
    }

    /// The same batch, with the distance to the tip of the shard that the service told when it was read.
    #[must_use]
    pub fn with_millis_behind_latest(mut self, millis: Option<u64>) -> Self {
        self.millis_behind_latest = millis;
        self
    }

    /// Other records of the same read.
    pub(crate) fn with_records(&self, records: Vec<Record>) -> Self {
        Self {
            start: 0,
            end: records.len(),
            records: Arc::new(records),
            ..self.clone()
        }
    }

    /// The stream that the records are of.
    #[must_use]
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// Which stream the records are of, where the worker reads several: those of two accounts may have one name.
    #[must_use]
    pub fn stream_id(&self) -> Option<&StreamId> {
        self.stream_id.as_deref()
    }

    /// The shard that the records are of.
    #[must_use]
    pub fn shard(&self) -> &ShardId {
        &self.shard
    }

    /// The records, in sequence order.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records[self.start..self.end]
    }

    /// How far behind the tip of the shard the service said this read was, in milliseconds; `None` if it did not say.
    #[must_use]
    pub fn millis_behind_latest(&self) -> Option<u64> {
        self.millis_behind_latest
    }

    /// The bytes of all data and keys.
    #[must_use]
    pub fn size(&self) -> usize {
        self.records().iter().map(Record::size).sum()
    }

    /// The memory that the batch takes, roughly: its bytes, and what every record needs besides.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.records().iter().map(Record::weight).sum()
    }

    /// The position at which the whole batch is handled; `None` for an empty batch.
    #[must_use]
    pub fn end_position(&self) -> Option<Position> {
        self.records().last().map(|record| Position::Record(record.position()))
    }

    /// The first `count` records, and the rest. A `count` beyond the end gives everything and nothing.
    #[must_use]
    pub fn split_at(&self, count: usize) -> (Self, Self) {
        let middle = self.start.saturating_add(count).min(self.end);
        (
            Self {
                end: middle,
                ..self.clone()
            },
            Self {
                start: middle,
                ..self.clone()
            },
        )
    }
}

impl Deref for Batch {
    type Target = [Record];

    fn deref(&self) -> &[Record] {
        self.records()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a Record;
    type IntoIter = std::slice::Iter<'a, Record>;

    fn into_iter(self) -> Self::IntoIter {
        self.records().iter()
    }
}
