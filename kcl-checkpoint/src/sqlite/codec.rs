//! A lease as one row of typed columns, and back.
//!
//! Positions are written as KCL writes them: a sentinel or the digits of a sequence number in one column, the place
//! inside an aggregated record and the time of `AT_TIMESTAMP` beside it.

use std::time::Duration;

use bytes::Bytes;
use kcl_core::{
    HashKey, HashKeyRange, Lease, LeaseKey, LeaseStream, PendingCheckpoint, Position, RecordPosition, SequenceNumber,
    Session, ShardId, Timestamp, UnreadableRow, WorkerId,
};
use rusqlite::{
    Row,
    types::{FromSql, Value, ValueRef},
};

use super::error::Failure;

/// The columns of a lease, in the order in which [`encode`] gives their values. `application` is not among them.
pub(super) const COLUMNS: &str = "lease_key, shard_id, owner, session, counter, \
    checkpoint, checkpoint_sub_sequence_number, checkpoint_timestamp, \
    pending_checkpoint, pending_checkpoint_sub_sequence_number, pending_checkpoint_timestamp, \
    pending_checkpoint_state, owner_switches_since_checkpoint, checkpoint_owner, \
    parents, children, starting_hash_key, ending_hash_key, stream, failover_ms, throughput, seeks, paused_ms, \
    shard_start";

/// How many [`COLUMNS`] there are.
const WIDTH: usize = 24;

const AT_TIMESTAMP: &str = "AT_TIMESTAMP";
const TRIM_HORIZON: &str = "TRIM_HORIZON";
const LATEST: &str = "LATEST";
const SHARD_END: &str = "SHARD_END";

/// The values of [`COLUMNS`] for `lease`.
pub(super) fn encode(lease: &Lease) -> Result<[Value; WIDTH], Failure> {
    let [checkpoint, sub_sequence_number, timestamp] = position_values(&lease.checkpoint)?;
    let pending = lease.pending_checkpoint.as_ref();
    let [pending_checkpoint, pending_sub_sequence_number, pending_timestamp] = match pending {
        Some(pending) => position_values(&pending.position)?,
        None => [Value::Null, Value::Null, Value::Null],
    };
    let pending_state = pending.and_then(|pending| pending.state.as_ref());
    let range = lease.hash_key_range;
    Ok([
        text(&lease.key),
        text(&lease.shard),
        lease.owner.as_ref().map(text).into(),
        lease.session.map(|session| session.to_string()).into(),
        lease.counter.cast_signed().into(),
        checkpoint,
        sub_sequence_number,
        timestamp,
        pending_checkpoint,
        pending_sub_sequence_number,
        pending_timestamp,
        pending_state.map(|state| state.to_vec()).into(),
        lease.owner_switches_since_checkpoint.cast_signed().into(),
        lease.checkpoint_owner.as_ref().map(text).into(),
        json(&lease.parents)?,
        json(&lease.children)?,
        range.map(|range| range.start.to_string()).into(),
        range.map(|range| range.end.to_string()).into(),
        lease.stream.as_ref().map(|stream| stream.to_string()).into(),
        lease.failover_time.map(millis).into(),
        lease.throughput.map(u64::cast_signed).into(),
        lease.seeks.cast_signed().into(),
        lease.paused.map(Timestamp::epoch_millis).into(),
        lease.shard_start.as_ref().map(|start| start.as_str().to_owned()).into(),
    ])
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn text(id: &impl AsRef<str>) -> Value {
    Value::Text(id.as_ref().to_owned())
}

fn json(shards: &[ShardId]) -> Result<Value, Failure> {
    serde_json::to_string(shards)
        .map(Value::Text)
        .map_err(|error| Failure::Unstorable {
            reason: error.to_string(),
        })
}

/// The checkpoint, the sub-sequence number and the timestamp of a position.
fn position_values(position: &Position) -> Result<[Value; 3], Failure> {
    let sentinel = |name: &str| [Value::Text(name.to_owned()), Value::Null, Value::Null];
    Ok(match position {
        Position::AtTimestamp(at) => [
            Value::Text(AT_TIMESTAMP.to_owned()),
            Value::Null,
            at.epoch_millis().into(),
        ],
        Position::TrimHorizon => sentinel(TRIM_HORIZON),
        Position::Latest => sentinel(LATEST),
        Position::ShardEnd => sentinel(SHARD_END),
        Position::Record(record) => [
            Value::Text(record.sequence_number.as_str().to_owned()),
            record.sub_sequence_number.cast_signed().into(),
            Value::Null,
        ],
        other => {
            let reason = format!("there is no column form for the position {other}");
            return Err(Failure::Unstorable { reason });
        }
    })
}

/// Reads a row that was selected with [`COLUMNS`].
pub(super) fn decode(row: &Row<'_>) -> Result<Lease, UnreadableRow> {
    lease(row).map_err(|reason| UnreadableRow {
        key: key_as_text(row),
        reason,
    })
}

/// The key for people, whatever the column holds.
fn key_as_text(row: &Row<'_>) -> String {
    match row.get_ref("lease_key") {
        Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        Ok(other) => format!("{other:?}"),
        Err(error) => error.to_string(),
    }
}

fn lease(row: &Row<'_>) -> Result<Lease, String> {
    let mut lease = Lease::new(id(row, "shard_id", ShardId::new)?, checkpoint(row)?);
    lease.key = id(row, "lease_key", LeaseKey::new)?;
    lease.owner = optional_id(row, "owner", WorkerId::new)?;
    lease.session = session(row)?;
    let failover: Option<i64> = column(row, "failover_ms")?;
    let failover = failover.map(u64::try_from).transpose();
    lease.failover_time = named("failover_ms", failover)?.map(Duration::from_millis);
    lease.throughput = column::<Option<i64>>(row, "throughput")?.map(i64::cast_unsigned);
    lease.seeks = column::<i64>(row, "seeks")?.cast_unsigned();
    lease.paused = column::<Option<i64>>(row, "paused_ms")?.map(Timestamp::from_epoch_millis);
    lease.counter = column::<i64>(row, "counter")?.cast_unsigned();
    lease.pending_checkpoint = pending_checkpoint(row)?;
    lease.owner_switches_since_checkpoint = column::<i64>(row, "owner_switches_since_checkpoint")?.cast_unsigned();
    lease.checkpoint_owner = optional_id(row, "checkpoint_owner", WorkerId::new)?;
    lease.parents = shards(row, "parents")?;
    lease.children = shards(row, "children")?;
    lease.hash_key_range = hash_key_range(row)?;
    lease.shard_start = optional_id(row, "shard_start", SequenceNumber::try_from)?;
    lease.stream = optional_id(row, "stream", LeaseStream::try_from)?;
    Ok(lease)
}

fn column<T: FromSql>(row: &Row<'_>, name: &str) -> Result<T, String> {
    named(name, row.get(name))
}

fn named<T, E: std::fmt::Display>(name: &str, parsed: Result<T, E>) -> Result<T, String> {
    parsed.map_err(|error| format!("{name}: {error}"))
}

fn id<T, E: std::fmt::Display>(row: &Row<'_>, name: &str, parse: fn(String) -> Result<T, E>) -> Result<T, String> {
    named(name, parse(column(row, name)?))
}

fn optional_id<T, E: std::fmt::Display>(
    row: &Row<'_>,
    name: &str,
    parse: fn(String) -> Result<T, E>,
) -> Result<Option<T>, String> {
    let text: Option<String> = column(row, name)?;
    named(name, text.map(parse).transpose())
}

fn session(row: &Row<'_>) -> Result<Option<Session>, String> {
    let hex: Option<String> = column(row, "session")?;
    let parsed = hex.map(|hex| u64::from_str_radix(&hex, 16).map(Session)).transpose();
    named("session", parsed)
}

fn shards(row: &Row<'_>, name: &str) -> Result<Vec<ShardId>, String> {
    named(name, serde_json::from_str(&column::<String>(row, name)?))
}

fn checkpoint(row: &Row<'_>) -> Result<Position, String> {
    let position = position(
        column(row, "checkpoint")?,
        column(row, "checkpoint_sub_sequence_number")?,
        column(row, "checkpoint_timestamp")?,
    );
    named("checkpoint", position)
}

fn pending_checkpoint(row: &Row<'_>) -> Result<Option<PendingCheckpoint>, String> {
    let Some(checkpoint) = column::<Option<String>>(row, "pending_checkpoint")? else {
        return Ok(None);
    };
    let position = position(
        checkpoint,
        column(row, "pending_checkpoint_sub_sequence_number")?,
        column(row, "pending_checkpoint_timestamp")?,
    );
    Ok(Some(PendingCheckpoint {
        position: named("pending_checkpoint", position)?,
        state: column::<Option<Vec<u8>>>(row, "pending_checkpoint_state")?.map(Bytes::from),
    }))
}

fn position(text: String, sub_sequence_number: Option<i64>, timestamp: Option<i64>) -> Result<Position, String> {
    Ok(match text.as_str() {
        TRIM_HORIZON => Position::TrimHorizon,
        LATEST => Position::Latest,
        SHARD_END => Position::ShardEnd,
        AT_TIMESTAMP => {
            let millis = timestamp.ok_or("AT_TIMESTAMP without a timestamp beside it")?;
            Position::AtTimestamp(Timestamp::from_epoch_millis(millis))
        }
        _ => Position::Record(RecordPosition {
            sequence_number: SequenceNumber::new(text).map_err(|error| error.to_string())?,
            // Whoever corrects a row by hand need not know about aggregation.
            sub_sequence_number: sub_sequence_number.unwrap_or(0).cast_unsigned(),
        }),
    })
}

fn hash_key_range(row: &Row<'_>) -> Result<Option<HashKeyRange>, String> {
    let start = optional_id(row, "starting_hash_key", HashKey::try_from)?;
    let end = optional_id(row, "ending_hash_key", HashKey::try_from)?;
    match (start, end) {
        (Some(start), Some(end)) => Ok(Some(HashKeyRange { start, end })),
        (None, None) => Ok(None),
        _ => Err("one of starting_hash_key and ending_hash_key is missing".to_owned()),
    }
}
