//! Letters and records as columns, and back.

use bytes::Bytes;
use kcl_core::{ApplicationName, HashKey, Record, RecordPosition, SequenceNumber, ShardId, StreamName, Timestamp};
use rusqlite::Row;

use super::error::Failure;
use crate::dead_letter::{LetterId, LetterStream, LetterSummary, Try};

/// The columns that [`summary`] reads, from the tables of a selection, grouped by letter.
pub(super) const SUMMARY: &str = "l.id, l.quarantines, l.first_ms, s.application, s.stream, s.stream_id, s.shard, \
    count(*) AS records, sum(r.bytes) AS bytes, min(r.partition_key) <> max(r.partition_key) AS other_keys, \
    t.at_ms, t.reason, t.attempts, t.error, r.sequence_number, r.sub_sequence_number, r.arrival_ms, r.partition_key";

/// The columns that [`record`] reads.
pub(super) const RECORD: &str = "r.sequence_number, r.sub_sequence_number, r.partition_key, r.arrival_ms, r.aggregated, \
    r.explicit_hash_key, r.data";

/// The values of the columns `application`, `stream` and `stream_id`.
pub(super) fn stream_values(of: &LetterStream) -> [String; 3] {
    let id = of.stream_id.as_ref().map(ToString::to_string);
    [
        of.application.to_string(),
        of.stream.to_string(),
        id.unwrap_or_default(),
    ]
}

pub(super) fn stream(row: &Row<'_>) -> Result<LetterStream, String> {
    let id: String = column(row, "stream_id")?;
    let id = (!id.is_empty()).then(|| parsed("stream_id", id.parse())).transpose()?;
    Ok(LetterStream {
        application: parsed(
            "application",
            ApplicationName::new(column::<String>(row, "application")?),
        )?,
        stream: parsed("stream", StreamName::new(column::<String>(row, "stream")?))?,
        stream_id: id,
    })
}

pub(super) fn time(row: &Row<'_>, name: &str) -> rusqlite::Result<Timestamp> {
    row.get(name).map(Timestamp::from_epoch_millis)
}

pub(super) fn a_try(row: &Row<'_>) -> rusqlite::Result<Try> {
    Ok(Try {
        at: time(row, "at_ms")?,
        reason: row.get("reason")?,
        attempts: row.get("attempts")?,
        error: row.get("error")?,
    })
}

/// Reads a row of [`SUMMARY`]. Where its first and last record stand is not right yet.
pub(super) fn summary(row: &Row<'_>) -> Result<LetterSummary, Failure> {
    let id = row.get("id")?;
    let bad = Failure::of_row(id);
    let position = position(row).map_err(&bad)?;
    Ok(LetterSummary {
        id: LetterId(id),
        of: stream(row).map_err(&bad)?,
        shard: parsed("shard", ShardId::new(row.get::<_, String>("shard")?)).map_err(&bad)?,
        records: row.get::<_, i64>("records")?.cast_unsigned(),
        bytes: row.get::<_, i64>("bytes")?.cast_unsigned(),
        first: position.clone(),
        last: position,
        first_arrival: time(row, "arrival_ms")?,
        partition_key: row.get::<_, String>("partition_key")?.into(),
        has_other_keys: row.get("other_keys")?,
        quarantines: row.get("quarantines")?,
        first_kept: time(row, "first_ms")?,
        last_try: a_try(row)?,
    })
}

pub(super) fn position(row: &Row<'_>) -> Result<RecordPosition, String> {
    let number = SequenceNumber::new(column::<String>(row, "sequence_number")?);
    Ok(RecordPosition {
        sequence_number: parsed("sequence_number", number)?,
        sub_sequence_number: column::<i64>(row, "sub_sequence_number")?.cast_unsigned(),
    })
}

pub(super) fn record(row: &Row<'_>) -> Result<Record, String> {
    let position = position(row)?;
    let arrival = Timestamp::from_epoch_millis(column(row, "arrival_ms")?);
    let (key, data) = (column::<String>(row, "partition_key")?, column::<Vec<u8>>(row, "data")?);
    let mut record = Record::new(position.sequence_number, key, arrival, Bytes::from(data));
    record.sub_sequence_number = position.sub_sequence_number;
    record.aggregated = column(row, "aggregated")?;
    let hash_key: Option<String> = column(row, "explicit_hash_key")?;
    record.explicit_hash_key = parsed("explicit_hash_key", hash_key.map(HashKey::try_from).transpose())?;
    Ok(record)
}

fn column<T: rusqlite::types::FromSql>(row: &Row<'_>, name: &str) -> Result<T, String> {
    parsed(name, row.get(name))
}

fn parsed<T, E: std::fmt::Display>(name: &str, parsed: Result<T, E>) -> Result<T, String> {
    parsed.map_err(|error| format!("{name}: {error}"))
}
