//! [`KinesisDestination`]: a stream.

use std::collections::{BTreeSet, VecDeque};

use async_trait::async_trait;
use aws_sdk_kinesis::{Client, primitives::Blob, types::PutRecordsRequestEntry};
use bytes::Bytes;
use kcl_core::{Batch, BoxError, Record, StreamArn};
use kcl_runtime::dead_letter::{DeadLetter, DeadLetters};

use super::{DeliveryError, LambdaRecords};

/// What one call may hold.
const RECORDS_PER_CALL: usize = 500;
const BYTES_PER_CALL: usize = 5 << 20;

/// The most bytes of data and key that every stream takes.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// Puts the records of letters into a stream, each under its own partition key and explicit hash key, and those of one key in
/// their order. Needs the permission `kinesis:PutRecords`. Not on AWS.
///
/// What is put for a record is an envelope: an [`InvocationRecord`](crate::invocation_record::InvocationRecord) about this
/// record alone, with the event that has it as the payload. A record of which the envelope is larger than 1 MiB is put as it
/// is, so that nothing is lost; with [`plain`](Self::plain) all are.
#[derive(Debug)]
pub struct KinesisDestination {
    client: Client,
    stream: StreamArn,
    records: Option<LambdaRecords>,
}

/// A record that waits to be put.
struct Waiting<'a> {
    record: &'a Record,
    data: Bytes,
}

impl KinesisDestination {
    /// The stream `stream`, by a client of its region, with envelopes of `records`.
    #[must_use]
    pub const fn new(client: Client, stream: StreamArn, records: LambdaRecords) -> Self {
        Self {
            client,
            stream,
            records: Some(records),
        }
    }

    /// The stream `stream`, with the records as they are: what is known of the failure is not kept.
    #[must_use]
    pub const fn plain(client: Client, stream: StreamArn) -> Self {
        Self {
            client,
            stream,
            records: None,
        }
    }

    fn waiting<'a>(&self, letter: &'a DeadLetter) -> Result<VecDeque<Waiting<'a>>, BoxError> {
        let waiting = letter.batch.iter().map(|record| {
            Ok(Waiting {
                record,
                data: self.data(letter, record)?,
            })
        });
        waiting.collect()
    }

    fn data(&self, letter: &DeadLetter, record: &Record) -> Result<Bytes, BoxError> {
        let Some(records) = &self.records else {
            return Ok(record.data.clone());
        };
        let batch = Batch::new(letter.stream.clone(), letter.shard.clone(), vec![record.clone()]);
        let envelope = serde_json::to_vec(&records.describe_whole(letter, &batch)?)?;
        let fits = envelope.len() + record.partition_key.len() <= RECORD_BYTES_MAX;
        Ok(if fits { envelope.into() } else { record.data.clone() })
    }

    /// Puts the first records of their keys that fit into one call, and leaves those that were refused. Says why, if it put
    /// none.
    async fn put(&self, waiting: &mut VecDeque<Waiting<'_>>) -> Result<(), BoxError> {
        let (mut keys, mut bytes) = (BTreeSet::new(), 0);
        let mut call = Vec::new();
        for (place, Waiting { record, data }) in waiting.iter().enumerate() {
            if call.len() == RECORDS_PER_CALL || (bytes + data.len() > BYTES_PER_CALL && !call.is_empty()) {
                break;
            }
            if keys.insert(&record.partition_key) {
                bytes += data.len() + record.partition_key.len();
                call.push(place);
            }
        }
        let entries = call
            .iter()
            .map(|place| entry(&waiting[*place]))
            .collect::<Result<_, _>>()?;
        let request = self.client.put_records().stream_arn(self.stream.as_str());
        let answer = Box::pin(request.set_records(Some(entries)).send()).await?;
        if answer.records.len() != call.len() {
            return Err(format!(
                "the service answered {} records of {}",
                answer.records.len(),
                call.len()
            )
            .into());
        }
        let mut refused = None;
        let sent = call.len();
        let mut taken = BTreeSet::new();
        for (place, answer) in call.into_iter().zip(answer.records) {
            match answer.error_code {
                None => _ = taken.insert(place),
                Some(code) => refused = Some((code, answer.error_message.unwrap_or_default())),
            }
        }
        let is_left = |(place, waiting)| (!taken.contains(&place)).then_some(waiting);
        *waiting = std::mem::take(waiting)
            .into_iter()
            .enumerate()
            .filter_map(is_left)
            .collect();
        match refused {
            Some((code, message)) if taken.is_empty() => {
                Err(format!("all {sent} were refused ({code}: {message})").into())
            }
            _ => Ok(()),
        }
    }
}

fn entry(waiting: &Waiting<'_>) -> Result<PutRecordsRequestEntry, BoxError> {
    let Waiting { record, data } = waiting;
    // A record without a key came from a stream that spreads its records by itself.
    let key = Some(record.partition_key.to_string()).filter(|key| !key.is_empty());
    let entry = PutRecordsRequestEntry::builder()
        .data(Blob::new(data.clone()))
        .set_partition_key(key)
        .set_explicit_hash_key(record.explicit_hash_key.map(|key| key.to_string()))
        .build()?;
    Ok(entry)
}

#[async_trait]
impl DeadLetters for KinesisDestination {
    async fn keep(&self, letter: &DeadLetter) -> Result<(), BoxError> {
        let failed = |source| DeliveryError::new(self.stream.as_str(), source);
        let mut waiting = self.waiting(letter).map_err(failed)?;
        while !waiting.is_empty() {
            self.put(&mut waiting).await.map_err(failed)?;
        }
        Ok(())
    }
}
