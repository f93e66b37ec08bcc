//! AWS JSON 1.1: blobs are base64, timestamps are seconds since the epoch with a fraction.

use std::{io::Write as _, ops::Range, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kcl_core::{ChildShard, Record, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

use super::shape::{ChildShardShape, is_among};
use crate::api::{ApiError, ErrorKind, GetRecordsOutput, SubscribeToShardEvent, field};

/// What a record costs in JSON beside its data, its key and the escapes in it.
const RECORD_OVERHEAD_BYTES: usize = 192;
const ANSWER_OVERHEAD_BYTES: usize = 1024;

/// Reads a request. Members that it does not know are ignored.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let unreadable = || ApiError::bare(ErrorKind::Serialization);
    if !is_structured(body) {
        return Err(unreadable());
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = field::structure::<T, _>(&mut deserializer).and_then(|request| {
        deserializer.end()?;
        Ok(request)
    });
    match read {
        Ok(Some(request)) => Ok(request),
        // What is wrong with a value is told only if the rest can be read.
        Err(error) if error.is_data() && is_well_formed(body) => {
            Err(ApiError::new(ErrorKind::Serialization, without_place(&error)))
        }
        Ok(None) | Err(_) => Err(unreadable()),
    }
}

/// The message of an error without the line and the column, which the service does not tell.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

pub(super) fn is_well_formed(body: &[u8]) -> bool {
    is_structured(body) && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

/// Whether a body can be a structure or a list, as far as its first byte tells. Others are none to the service.
fn is_structured(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Writes an output of modest size.
pub(super) fn encode(output: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(output).expect("the shapes have text keys and their serialization does not fail")
}

/// Writes what [`GetRecords`](crate::api::GetRecords) answers, by hand: it is most of what the broker ever writes, and
/// base64 goes into the buffer without a detour.
pub(super) fn encode_records(output: &GetRecordsOutput) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(capacity_for(&output.records));
    put_records(
        &mut buffer,
        &output.records,
        &output.encrypted,
        output.millis_behind_latest,
    );
    if let Some(iterator) = &output.next_shard_iterator {
        buffer.extend_from_slice(b",\"NextShardIterator\":");
        put_json(&mut buffer, iterator);
    }
    put_end(&mut buffer, &output.child_shards);
    buffer
}

/// Writes an event of a subscription.
pub(super) fn put_event(buffer: &mut Vec<u8>, event: &SubscribeToShardEvent) {
    put_records(buffer, &event.records, &event.encrypted, event.millis_behind_latest);
    if let Some(number) = &event.continuation_sequence_number {
        buffer.extend_from_slice(b",\"ContinuationSequenceNumber\":");
        put_json(buffer, number.as_str());
    }
    put_end(buffer, &event.child_shards);
}

/// The bytes that an answer with these records takes, as a rule.
pub(super) fn capacity_for(records: &[Arc<Record>]) -> usize {
    let record =
        |record: &Arc<Record>| record.data.len().div_ceil(3) * 4 + record.partition_key.len() + RECORD_OVERHEAD_BYTES;
    records.iter().map(record).sum::<usize>() + ANSWER_OVERHEAD_BYTES
}

fn put_records(buffer: &mut Vec<u8>, records: &[Arc<Record>], encrypted: &[Range<usize>], millis_behind_latest: u64) {
    buffer.extend_from_slice(b"{\"Records\":[");
    for (i, record) in records.iter().enumerate() {
        if i > 0 {
            buffer.push(b',');
        }
        put_record(buffer, record, is_among(encrypted, i));
    }
    buffer.extend_from_slice(b"],\"MillisBehindLatest\":");
    put(buffer, format_args!("{millis_behind_latest}"));
}

fn put_end(buffer: &mut Vec<u8>, child_shards: &[ChildShard]) {
    if !child_shards.is_empty() {
        buffer.extend_from_slice(b",\"ChildShards\":");
        put_json(
            buffer,
            &child_shards.iter().map(ChildShardShape::of).collect::<Vec<_>>(),
        );
    }
    buffer.push(b'}');
}

fn put_record(buffer: &mut Vec<u8>, record: &Record, is_encrypted: bool) {
    buffer.extend_from_slice(b"{\"SequenceNumber\":\"");
    buffer.extend_from_slice(record.sequence_number.as_str().as_bytes());
    buffer.extend_from_slice(b"\",\"ApproximateArrivalTimestamp\":");
    put_epoch_seconds(buffer, record.approximate_arrival_timestamp);
    buffer.extend_from_slice(b",\"Data\":\"");
    put_base64(buffer, &record.data);
    buffer.push(b'"');
    // Keys have at least one character. None is written to streams that spread their records themselves.
    if !record.partition_key.is_empty() {
        buffer.extend_from_slice(b",\"PartitionKey\":");
        put_json(buffer, &*record.partition_key);
    }
    if is_encrypted {
        buffer.extend_from_slice(b",\"EncryptionType\":\"KMS\"");
    }
    buffer.push(b'}');
}

fn put_base64(buffer: &mut Vec<u8>, data: &[u8]) {
    let start = buffer.len();
    buffer.resize(start + data.len().div_ceil(3) * 4, 0);
    let written = STANDARD
        .encode_slice(data, &mut buffer[start..])
        .expect("the room that base64 needs");
    debug_assert_eq!(start + written, buffer.len());
}

fn put_epoch_seconds(buffer: &mut Vec<u8>, at: Timestamp) {
    let millis = at.epoch_millis();
    let sign = if millis < 0 { "-" } else { "" };
    let millis = millis.unsigned_abs();
    put(buffer, format_args!("{sign}{}.{:03}", millis / 1000, millis % 1000));
}

fn put(buffer: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    buffer.write_fmt(text).expect("writing to memory does not fail");
}

fn put_json(buffer: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(buffer, value).expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests;
