//! AWS CBOR 1.1, the binary twin of AWS JSON 1.1: blobs are byte strings, timestamps whole milliseconds since the epoch.
//!
//! Java's clients mark timestamps with tag 1, which by the standard would make them seconds. Tags are passed over, and
//! answers have none. Answers tell all lengths, requests need not.

mod read;
mod write;

use kcl_core::Record;
use minicbor::Encoder;
use serde::{
    Deserialize as _, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};

use self::{
    read::{ReadError, Reader},
    write::Writer,
};
use super::shape::{ChildShardShape, is_among};
use crate::api::{ApiError, ErrorKind, GetRecordsOutput, field};

/// What a record costs beside its data and its key.
const RECORD_OVERHEAD_BYTES: usize = 160;
const ANSWER_OVERHEAD_BYTES: usize = 1024;

/// Reads a request. Members that it does not know are ignored.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    match Reader::of_structure(body).and_then(|mut reader| {
        let request = field::structure(&mut reader)?;
        reader.end()?;
        Ok(request)
    }) {
        Ok(Some(request)) => Ok(request),
        // What is wrong with a value is told only if the rest can be read.
        Err(ReadError::Value(message)) if is_well_formed(body) => Err(ApiError::new(ErrorKind::Serialization, message)),
        Ok(None) | Err(_) => Err(ApiError::bare(ErrorKind::Serialization)),
    }
}

pub(super) fn is_well_formed(body: &[u8]) -> bool {
    let read = Reader::of_structure(body).and_then(|mut reader| {
        IgnoredAny::deserialize(&mut reader)?;
        reader.end()
    });
    read.is_ok()
}

/// Reads whatever a body holds, for services whose members come in other forms too.
pub(super) fn value_of(body: &[u8]) -> Option<serde_json::Value> {
    let mut reader = Reader::of_structure(body).ok()?;
    let value = serde_json::Value::deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(value)
}

/// Writes an output of modest size.
pub(super) fn encode(output: &impl Serialize) -> Vec<u8> {
    let mut buffer = Vec::new();
    put_shape(&mut buffer, output);
    buffer
}

/// Writes what [`GetRecords`](crate::api::GetRecords) answers, by hand: it is most of what the broker ever writes.
pub(super) fn encode_records(output: &GetRecordsOutput) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(capacity_for(output));
    put_records(&mut Encoder::new(&mut buffer), output).expect(INFALLIBLE);
    buffer
}

fn put_records(to: &mut Encoder<&mut Vec<u8>>, output: &GetRecordsOutput) -> Result<(), NoError> {
    let members = 2 + u64::from(output.next_shard_iterator.is_some()) + u64::from(!output.child_shards.is_empty());
    to.map(members)?.str("Records")?.array(output.records.len() as u64)?;
    for (i, record) in output.records.iter().enumerate() {
        put_record(to, record, is_among(&output.encrypted, i))?;
    }
    to.str("MillisBehindLatest")?.u64(output.millis_behind_latest)?;
    if let Some(iterator) = &output.next_shard_iterator {
        to.str("NextShardIterator")?.str(iterator)?;
    }
    if !output.child_shards.is_empty() {
        to.str("ChildShards")?;
        let children = output.child_shards.iter().map(ChildShardShape::of).collect::<Vec<_>>();
        put_shape(to.writer_mut(), &children);
    }
    Ok(())
}

fn put_record(to: &mut Encoder<&mut Vec<u8>>, record: &Record, is_encrypted: bool) -> Result<(), NoError> {
    // Keys have at least one character. None is written to streams that spread their records themselves.
    let has_key = !record.partition_key.is_empty();
    to.map(3 + u64::from(has_key) + u64::from(is_encrypted))?
        .str("SequenceNumber")?
        .str(record.sequence_number.as_str())?
        .str("ApproximateArrivalTimestamp")?
        .i64(record.approximate_arrival_timestamp.epoch_millis())?
        .str("Data")?
        .bytes(&record.data)?;
    if has_key {
        to.str("PartitionKey")?.str(&record.partition_key)?;
    }
    if is_encrypted {
        to.str("EncryptionType")?.str("KMS")?;
    }
    Ok(())
}

fn capacity_for(output: &GetRecordsOutput) -> usize {
    let record =
        |record: &std::sync::Arc<Record>| record.data.len() + record.partition_key.len() + RECORD_OVERHEAD_BYTES;
    output.records.iter().map(record).sum::<usize>() + ANSWER_OVERHEAD_BYTES
}

fn put_shape(buffer: &mut Vec<u8>, shape: &(impl Serialize + ?Sized)) {
    shape.serialize(&mut Writer::new(buffer)).expect(INFALLIBLE);
}

type NoError = minicbor::encode::Error<std::convert::Infallible>;

const INFALLIBLE: &str = "writing to memory does not fail, and neither does the serialization of the shapes";

#[cfg(test)]
mod tests;
