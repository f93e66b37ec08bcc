//! Events read back, for those that were stored with a dead letter.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use kcl_core::{InvalidId, InvalidSequenceNumber, Record, ShardId, Timestamp};
use serde::Deserialize;

/// A record out of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventRecord {
    /// The shard that it came from.
    pub shard: ShardId,
    /// The record. Whether it came in an aggregate is known by its id, but for the first record of one.
    pub record: Record,
}

/// A text is not an event with records of a stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEvent {
    /// It is not JSON, or has another shape.
    #[error("this is not an event with records of Kinesis")]
    Shape(#[from] serde_json::Error),
    /// The data of a record is not base64.
    #[error("the data of record {record} is not base64")]
    Data {
        /// Which record, from 0.
        record: usize,
        /// What is wrong with it.
        source: base64::DecodeError,
    },
    /// The number of a record is none.
    #[error("record {record} has no sequence number")]
    Number {
        /// Which record, from 0.
        record: usize,
        /// What is wrong with it.
        source: InvalidSequenceNumber,
    },
    /// The id of a record does not begin with a shard.
    #[error("the eventID of record {record} does not name a shard")]
    Shard {
        /// Which record, from 0.
        record: usize,
        /// What is wrong with it.
        source: InvalidId,
    },
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Records")]
    records: Vec<Outer>,
}

#[derive(Deserialize)]
struct Outer {
    kinesis: Inner,
    #[serde(rename = "eventID")]
    event_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inner {
    partition_key: String,
    sequence_number: String,
    data: String,
    approximate_arrival_timestamp: f64,
}

/// Reads the records of an event, of Lambda's or of [`EventWriter`](super::EventWriter)'s.
///
/// # Errors
/// If it is not JSON of this shape, or a record's data, number or id cannot be read.
pub fn parse_event(json: &[u8]) -> Result<Vec<EventRecord>, InvalidEvent> {
    let event: Event = serde_json::from_slice(json)?;
    let records = event.records.into_iter().enumerate();
    records.map(|(place, outer)| record(place, outer)).collect()
}

fn record(place: usize, outer: Outer) -> Result<EventRecord, InvalidEvent> {
    let Outer { kinesis, event_id } = outer;
    let data = STANDARD
        .decode(&kinesis.data)
        .map_err(|source| InvalidEvent::Data { record: place, source })?;
    let number = kinesis
        .sequence_number
        .parse()
        .map_err(|source| InvalidEvent::Number { record: place, source })?;
    let (shard, id) = event_id.split_once(':').unwrap_or_default();
    let shard = ShardId::new(shard).map_err(|source| InvalidEvent::Shard { record: place, source })?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "beyond the years of records it saturates"
    )]
    let arrival = Timestamp::from_epoch_millis((kinesis.approximate_arrival_timestamp * 1_000.0).round() as i64);
    let mut record = Record::new(number, kinesis.partition_key, arrival, Bytes::from(data));
    if let Some(sub) = id.split_once('/').and_then(|(_, sub)| sub.parse().ok()) {
        record.sub_sequence_number = sub;
        record.aggregated = true;
    }
    Ok(EventRecord { shard, record })
}
