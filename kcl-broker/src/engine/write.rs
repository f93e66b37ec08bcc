//! Writing records.

use std::collections::BTreeSet;

use bytes::Bytes;
use bytestring::ByteString;
use kcl_core::{HashKey, ShardId, StreamName, Timestamp};

use super::{
    Engine, Limits, Load, Operation, Quirk, Subject,
    growth::due_after,
    quirk::internal_failure,
    sequence::{Parts, second_of},
    shard::{footprint, shard_name},
    stream::Stream,
    validate::{Constraints, present},
};
use crate::api::{
    ApiError, ErrorKind, PutRecord, PutRecordOutput, PutRecords, PutRecordsEntry, PutRecordsOutput, PutRecordsResult,
    RecordDistributionStrategy, StreamMode,
};

/// The most records of one request.
const RECORDS_MAX: usize = 500;
/// The most data and keys of one request, and the most data of one record in any stream.
const BYTES_MAX: usize = 10 << 20;

/// A record that is good to be written.
struct Checked {
    shard: u32,
    hash_key: HashKey,
    partition_key: ByteString,
    data: Bytes,
}

/// What became of a record: where it is, or why it is nowhere.
type Written = Result<PutRecordOutput, Unwritten>;

/// A record's partition key and its explicit hash key.
type Keys<'a> = (Option<&'a str>, Option<&'a str>);

enum Unwritten {
    /// The shard has taken as much as it takes.
    Full(u32),
    /// The service failed, as it was told to.
    Failed,
}

impl Operation for PutRecord {
    const NAME: &'static str = "PutRecord";
    type Output = PutRecordOutput;

    fn subject(&self) -> Subject {
        Subject::stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
    }

    fn shards(&self, engine: &Engine) -> Vec<String> {
        let keys = (self.partition_key.as_deref(), self.explicit_hash_key.as_deref());
        engine.shards_of(&self.subject(), [keys].into_iter())
    }

    fn load(&self) -> Load {
        Load {
            records: 1,
            bytes: size(self.data.as_ref(), self.partition_key.as_ref()) as u64,
        }
    }

    fn shard_of(output: &PutRecordOutput) -> Option<&ShardId> {
        Some(&output.shard_id)
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<PutRecordOutput, ApiError> {
        let entry = PutRecordsEntry {
            data: self.data,
            partition_key: self.partition_key,
            explicit_hash_key: self.explicit_hash_key,
        };
        let mut constraints = Constraints::default();
        constraints.stream(self.stream_name.as_ref(), self.stream_arn.as_ref());
        let needs_key = engine.needs_key(self.stream_name.as_ref(), self.stream_arn.as_ref());
        entry.check(&mut constraints, "", needs_key);
        constraints
            .number("sequenceNumberForOrdering", self.sequence_number_for_ordering.as_ref())
            .check()?;
        let stream = engine.writable_stream(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        let name = stream.name.clone();
        if let Some(number) = self.sequence_number_for_ordering {
            let latest = second_of(now).max(stream.last_created_second());
            if Parts::decode(&number).is_none_or(|parts| parts.arrived > latest) {
                return Err(ApiError::invalid(format!(
                    "ExclusiveMinimumSequenceNumber {number} used in PutRecord on stream {name} under account {} is \
                     invalid.",
                    engine.config.account
                )));
            }
        }
        let record = entry.route(stream, 0, "data")?;
        engine.make_room(footprint(&record.data, &record.partition_key), now)?;
        if self.dry_run == Some(true) {
            return Err(ApiError::dry_run());
        }
        match engine.append_all(&name, [record], now).pop() {
            Some(Ok(written)) => Ok(written),
            Some(Err(unwritten)) => Err(engine.unwritten(&name, &unwritten)),
            None => Err(engine.no_such_stream(name.as_str())),
        }
    }
}

impl Operation for PutRecords {
    const NAME: &'static str = "PutRecords";
    type Output = PutRecordsOutput;

    fn subject(&self) -> Subject {
        Subject::stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
    }

    fn shards(&self, engine: &Engine) -> Vec<String> {
        engine.shards_of(
            &self.subject(),
            self.records.iter().flatten().map(PutRecordsEntry::keys),
        )
    }

    fn load(&self) -> Load {
        let records = self.records.as_deref().unwrap_or_default();
        Load {
            records: records.len() as u64,
            bytes: records.iter().map(|entry| entry.size() as u64).sum(),
        }
    }

    fn shard_of(output: &PutRecordsOutput) -> Option<&ShardId> {
        let mut shards = output.records.iter().filter_map(|result| match result {
            PutRecordsResult::Written(written) => Some(&written.shard_id),
            PutRecordsResult::Failed { .. } => None,
        });
        let first = shards.next()?;
        shards.all(|shard| shard == first).then_some(first)
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<PutRecordsOutput, ApiError> {
        let mut constraints = Constraints::default();
        constraints
            .stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
            .required("records", self.records.as_ref())
            .count("records", self.records.as_ref().map(Vec::len), 1..=RECORDS_MAX);
        let entries = self.records.unwrap_or_default();
        let needs_key = engine.needs_key(self.stream_name.as_ref(), self.stream_arn.as_ref());
        for (entry, place) in entries.iter().take(RECORDS_MAX).zip(1..) {
            entry.check(&mut constraints, format_args!("records.{place}.member."), needs_key);
        }
        constraints.check()?;
        let bytes: usize = entries.iter().map(PutRecordsEntry::size).sum();
        if bytes > BYTES_MAX {
            return Err(ApiError::invalid(format!(
                "Records size exceeds {} MB limit",
                BYTES_MAX >> 20
            )));
        }
        let stream = engine.writable_stream(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        let name = stream.name.clone();
        let encryption_type = stream.settings.encryption.encryption_type();
        let records = entries
            .into_iter()
            .zip(1..)
            .map(|(entry, place)| entry.route(stream, place - 1, format_args!("records.{place}.member.data")))
            .collect::<Result<Vec<_>, _>>()?;
        let bytes = records
            .iter()
            .map(|record| footprint(&record.data, &record.partition_key))
            .sum();
        engine.make_room(bytes, now)?;
        if self.dry_run == Some(true) {
            return Err(ApiError::dry_run());
        }
        let written = engine.append_all(&name, records, now);
        Ok(PutRecordsOutput {
            failed_record_count: written.iter().filter(|written| written.is_err()).count(),
            encryption_type,
            records: written
                .into_iter()
                .map(|written| match written {
                    Ok(written) => PutRecordsResult::Written(written),
                    Err(unwritten) => failed(&engine.unwritten(&name, &unwritten)),
                })
                .collect(),
        })
    }
}

fn failed(error: &ApiError) -> PutRecordsResult {
    PutRecordsResult::Failed {
        error_code: error.kind().to_string(),
        error_message: error.message().unwrap_or_default().to_owned(),
    }
}

/// The bytes that count as the size of a record.
fn size(data: Option<&Bytes>, partition_key: Option<&ByteString>) -> usize {
    data.map_or(0, Bytes::len) + partition_key.map_or(0, |key| key.len())
}

impl PutRecordsEntry {
    fn check(&self, constraints: &mut Constraints, path: impl std::fmt::Display, needs_key: bool) {
        constraints
            .required(format_args!("{path}data"), self.data.as_ref())
            .blob(format_args!("{path}data"), self.data.as_ref(), BYTES_MAX);
        if needs_key {
            constraints.required(format_args!("{path}partitionKey"), self.partition_key.as_ref());
        }
        constraints
            .length(
                format_args!("{path}partitionKey"),
                self.partition_key.as_deref(),
                1..=256,
            )
            .hash_key(format_args!("{path}explicitHashKey"), self.explicit_hash_key.as_ref());
    }

    fn keys(&self) -> Keys<'_> {
        (self.partition_key.as_deref(), self.explicit_hash_key.as_deref())
    }

    fn size(&self) -> usize {
        size(self.data.as_ref(), self.partition_key.as_ref())
    }

    /// Finds the shard that the record goes to, if the stream takes it. It is the `nth` of its request, counted from 0.
    fn route(self, stream: &Stream, nth: u64, path: impl std::fmt::Display) -> Result<Checked, ApiError> {
        let max = stream.max_record_size_in_kib as usize * 1024;
        if self.size() > max {
            let len = self.data.as_ref().map_or(0, Bytes::len);
            return Err(ApiError::new(
                ErrorKind::Validation,
                format!(
                    "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim={len} cap={len}]' at \
                     '{path}' failed to satisfy constraint: Member must have length less than or equal to {max}, its \
                     partition key included"
                ),
            ));
        }
        let partition_key = self.partition_key.unwrap_or_default();
        let key = match (stream.spread_key(nth), self.explicit_hash_key) {
            (Some(key), _) => key,
            (None, None) => HashKey::of_partition_key(&partition_key),
            (None, Some(text)) => text.parse().map_err(|_| {
                ApiError::invalid(format!(
                    "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was \
                     {text}"
                ))
            })?,
        };
        Ok(Checked {
            shard: stream.route(key),
            hash_key: key,
            partition_key,
            data: present(self.data)?,
        })
    }
}

impl Engine {
    /// Makes sure that `bytes` more can be stored, by dropping what is no longer retained if need be.
    fn make_room(&mut self, bytes: u64, now: Timestamp) -> Result<(), ApiError> {
        let limit = self.config.stored_bytes_max;
        if self.stored_bytes.saturating_add(bytes) > limit {
            self.stored_bytes -= self.streams.values_mut().map(|stream| stream.trim(now)).sum::<u64>();
        }
        if self.stored_bytes.saturating_add(bytes) <= limit {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorKind::LimitExceeded,
            format!(
                "This broker stores at most {limit} bytes and holds {} already, so that {bytes} more do not fit. \
                 Records leave when their retention ends; delete a stream, or give the broker a higher limit.",
                self.stored_bytes
            ),
        ))
    }

    /// Whether records must have a partition key. Where no stream is addressed, they must.
    fn needs_key(&self, name: Option<&String>, arn: Option<&String>) -> bool {
        let spreads = |stream: &Stream| stream.strategy == RecordDistributionStrategy::Auto;
        !self.stream(name, arn).is_ok_and(spreads)
    }

    /// Why a record was not written.
    fn unwritten(&self, stream: &StreamName, unwritten: &Unwritten) -> ApiError {
        match unwritten {
            Unwritten::Full(shard) => self.shard_rate_exceeded(stream, *shard),
            Unwritten::Failed => internal_failure(),
        }
    }

    /// The shards that records with these keys go to.
    fn shards_of<'a>(&self, subject: &Subject, entries: impl Iterator<Item = Keys<'a>>) -> Vec<String> {
        let stream = subject.stream.as_deref().and_then(|name| self.streams.get(name));
        let Some(stream) = stream else {
            return Vec::new();
        };
        let key = |(nth, (partition_key, explicit)): (u64, Keys<'_>)| {
            stream.spread_key(nth).or_else(|| match (explicit, partition_key) {
                (Some(explicit), _) => explicit.parse().ok(),
                (None, Some(key)) => Some(HashKey::of_partition_key(key)),
                (None, None) => None,
            })
        };
        let indices: BTreeSet<u32> = (0..)
            .zip(entries)
            .filter_map(key)
            .map(|key| stream.route(key))
            .collect();
        indices.into_iter().map(shard_name).collect()
    }

    /// Writes records that have been routed in the stream `name` as it is now, as far as their shards take them.
    fn append_all(
        &mut self,
        name: &StreamName,
        records: impl IntoIterator<Item = Checked>,
        now: Timestamp,
    ) -> Vec<Written> {
        let limits = self.config.limits;
        let Some(stream) = self.streams.get_mut(name) else {
            return Vec::new();
        };
        let horizon = stream.horizon(now);
        let encryption_type = stream.settings.encryption.encryption_type();
        let mut written = Vec::new();
        let mut written_to = BTreeSet::new();
        let failing = match &self.quirk {
            Some(Quirk::FailRecords(failing)) => Some(failing),
            _ => None,
        };
        for (place, record) in records.into_iter().enumerate() {
            let Checked {
                shard: index,
                hash_key,
                partition_key,
                data,
            } = record;
            let shard = stream
                .shards
                .get_mut(&index)
                .expect("records are routed to shards that exist");
            let size = (data.len() + partition_key.len()) as u64;
            stream.records_taken = stream.records_taken.wrapping_add(1);
            if let Some(failing) = failing.filter(|failing| failing.fails(place, shard)) {
                written.push(Err(match failing.is_internal {
                    true => Unwritten::Failed,
                    false => Unwritten::Full(index),
                }));
                continue;
            }
            if limits == Limits::Aws && !shard.meters.take_write(size, now) {
                written.push(Err(Unwritten::Full(index)));
                continue;
            }
            if stream.mode == StreamMode::OnDemand {
                shard.heat.count(hash_key, size, now);
                self.growth_due.get_or_insert_with(|| due_after(now));
            }
            self.stored_bytes -= shard.trim(horizon);
            self.stored_bytes += footprint(&data, &partition_key);
            let sequence_number = shard.append(now, partition_key, data, encryption_type);
            written_to.insert(index);
            written.push(Ok(PutRecordOutput {
                shard_id: shard.id().clone(),
                sequence_number,
                encryption_type,
            }));
        }
        for index in written_to {
            self.subscriptions.wake_shard(name, index);
        }
        written
    }
}
