//! A lease as one item, and back.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use bytes::Bytes;
use kcl_core::{
    HashKey, HashKeyRange, Lease, LeaseKey, LeaseStream, PendingCheckpoint, Position, RecordPosition, SequenceNumber,
    Session, ShardId, StreamName, Timestamp, UnreadableRow, WorkerId,
};

use super::{
    attributes::{Attributes, missing},
    schema::{
        AT_TIMESTAMP, CHECKPOINT, CHECKPOINT_OWNER, CHECKPOINT_SUB, CHECKPOINT_TIMESTAMP, CHILDREN, ENDING_HASH_KEY,
        ENTITY_LEASE, ENTITY_TYPE, FAILOVER_TIME, LATEST, LEASE_COUNTER, LEASE_KEY, LEASE_OWNER, OWNER_SWITCHES,
        PARENTS, PAUSED, PENDING, PENDING_STATE, PENDING_SUB, PENDING_TIMESTAMP, SEEKS, SESSION, SESSION_COUNTER,
        SHARD_END, SHARD_ID, SHARD_START, STARTING_HASH_KEY, STREAM, STREAM_IDENTIFIER, THROUGHPUT, TRIM_HORIZON,
    },
};

/// A row as the service gives it.
pub(super) type Item = HashMap<String, AttributeValue>;

/// Java counts leases in numbers of 63 bits.
const COUNTER_END: u64 = i64::MAX.unsigned_abs();

/// What a row turns out to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Row {
    Lease(Box<Lease>),
    /// A row that says that it is something else, such as the lock of a fleet's leader.
    Foreign {
        entity: String,
    },
    Unreadable(UnreadableRow),
}

/// A lease holds something that has no form in a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row has no form for {what}")]
pub(super) struct Unstorable {
    what: String,
}

/// Reads a row. `at_timestamp` is the time of `AT_TIMESTAMP` where the row does not say it.
pub(super) fn decode(item: &Item, at_timestamp: Option<Timestamp>) -> Row {
    match item.get(ENTITY_TYPE) {
        Some(AttributeValue::S(entity)) if entity != ENTITY_LEASE => {
            return Row::Foreign { entity: entity.clone() };
        }
        _ => {}
    }
    match lease(&Attributes(item), at_timestamp) {
        Ok(lease) => Row::Lease(Box::new(lease)),
        Err(reason) => Row::Unreadable(UnreadableRow {
            key: key_as_text(item),
            reason,
        }),
    }
}

/// The key for people, whatever it is.
fn key_as_text(item: &Item) -> String {
    match item.get(LEASE_KEY) {
        Some(AttributeValue::S(key)) => key.clone(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

fn lease(row: &Attributes<'_>, at_timestamp: Option<Timestamp>) -> Result<Lease, String> {
    let key: LeaseKey = row.required(LEASE_KEY, Attributes::id)?;
    let shard = match row.id::<ShardId>(SHARD_ID)? {
        Some(shard) => shard,
        // Named after the key's attribute: that is where the shard stands in a row without its own.
        None => ShardId::new(key.as_str()).map_err(|error| format!("{LEASE_KEY}: {error}"))?,
    };
    let checkpoint = row.position([CHECKPOINT, CHECKPOINT_SUB, CHECKPOINT_TIMESTAMP], at_timestamp)?;
    let checkpoint = checkpoint.ok_or_else(|| missing(CHECKPOINT))?;
    let mut lease = Lease::new(shard, checkpoint);
    lease.key = key;
    lease.owner = row.id(LEASE_OWNER)?;
    lease.counter = row.required(LEASE_COUNTER, Attributes::number)?;
    if lease.counter >= COUNTER_END {
        // Whoever took it would write a number that Java cannot read, and then one that nobody can.
        return Err(format!(
            "{LEASE_COUNTER}: {} leaves no room to count on; set it to 0",
            lease.counter
        ));
    }
    lease.session = row.session(lease.counter)?;
    lease.failover_time = match lease.session {
        // What only advises makes no row unreadable.
        Some(_) => row.number(FAILOVER_TIME).ok().flatten().map(Duration::from_millis),
        None => None,
    };
    lease.throughput = row.throughput();
    let pending = row.position([PENDING, PENDING_SUB, PENDING_TIMESTAMP], at_timestamp)?;
    lease.pending_checkpoint = match pending {
        Some(position) => Some(PendingCheckpoint {
            position,
            state: row.state()?,
        }),
        None => None,
    };
    // What only advises makes no row unreadable.
    lease.seeks = row.number(SEEKS).ok().flatten().unwrap_or_default();
    let paused: Option<i64> = row.number(PAUSED).ok().flatten();
    lease.paused = paused.map(Timestamp::from_epoch_millis);
    lease.owner_switches_since_checkpoint = row.number(OWNER_SWITCHES)?.unwrap_or_default();
    lease.checkpoint_owner = row.id::<WorkerId>(CHECKPOINT_OWNER)?;
    lease.parents = row.shards(PARENTS)?;
    // Only a finished lease needs them, and the stream and the children's rows tell them too.
    lease.children = row.shards(CHILDREN).unwrap_or_default();
    lease.hash_key_range = row.hash_key_range()?;
    // What only advises makes no row unreadable.
    lease.shard_start = row.id(SHARD_START).ok().flatten();
    lease.stream = row.stream()?;
    // Parents and children are named without their stream: the key has to be the one under which they would look for it.
    match lease.stream_id() {
        Some(stream) if stream.key_of(&lease.shard) != lease.key => {
            Err(format!("{LEASE_KEY}: is not {STREAM_IDENTIFIER}:{SHARD_ID}"))
        }
        _ => Ok(lease),
    }
}

/// What only leases have.
impl Attributes<'_> {
    /// A set of shards. Sets have no order; here they are sorted, so that equal rows read equal.
    fn shards(&self, name: &str) -> Result<Vec<ShardId>, String> {
        let texts = match self.any(name) {
            None => return Ok(Vec::new()),
            Some(AttributeValue::Ss(texts)) => texts,
            Some(other) => return Err(Self::wrong_type(name, other, "SS")),
        };
        let parsed: Result<Vec<_>, _> = texts.iter().map(|text| ShardId::new(text.as_str())).collect();
        let mut shards = parsed.map_err(|error| format!("{name}: {error}"))?;
        shards.sort_unstable();
        Ok(shards)
    }

    /// Java's rows have fractions of bytes.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "as casts saturate"
    )]
    fn throughput(&self) -> Option<u64> {
        let kib: Option<f64> = self.number(THROUGHPUT).ok().flatten();
        kib.map(|kib| (kib * 1024.0).round() as u64)
    }

    /// The session, if the row was last written by somebody who knows of sessions.
    fn session(&self, counter: u64) -> Result<Option<Session>, String> {
        let Some(hex) = self.text(SESSION)? else {
            return Ok(None);
        };
        let session = u64::from_str_radix(hex, 16).map_err(|error| format!("{SESSION}: {error}"))?;
        let written_at: Option<u64> = self.number(SESSION_COUNTER)?;
        Ok((written_at == Some(counter)).then_some(Session(session)))
    }

    fn position(&self, names: [&str; 3], at_timestamp: Option<Timestamp>) -> Result<Option<Position>, String> {
        let [name, sub, timestamp] = names;
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        Ok(Some(match text {
            TRIM_HORIZON => Position::TrimHorizon,
            LATEST => Position::Latest,
            SHARD_END => Position::ShardEnd,
            AT_TIMESTAMP => {
                let millis = self.number(timestamp)?;
                let at = millis.map(Timestamp::from_epoch_millis).or(at_timestamp);
                Position::AtTimestamp(at.ok_or_else(|| {
                    format!("{name}: is AT_TIMESTAMP, and neither {timestamp} nor the configuration says which time")
                })?)
            }
            digits => Position::Record(RecordPosition {
                sequence_number: SequenceNumber::new(digits).map_err(|error| format!("{name}: {error}"))?,
                sub_sequence_number: self.number(sub)?.unwrap_or_default(),
            }),
        }))
    }

    fn state(&self) -> Result<Option<Bytes>, String> {
        match self.any(PENDING_STATE) {
            // Java writes a number here by mistake when it creates a lease with a pending checkpoint.
            None | Some(AttributeValue::N(_)) => Ok(None),
            Some(AttributeValue::B(blob)) => Ok(Some(Bytes::copy_from_slice(blob.as_ref()))),
            Some(other) => Err(Self::wrong_type(PENDING_STATE, other, "B")),
        }
    }

    fn hash_key_range(&self) -> Result<Option<HashKeyRange>, String> {
        let start: Option<HashKey> = self.id(STARTING_HASH_KEY)?;
        let end = self.id(ENDING_HASH_KEY)?;
        match (start, end) {
            (Some(start), Some(end)) => Ok(Some(HashKeyRange { start, end })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(missing(ENDING_HASH_KEY)),
            (None, Some(_)) => Err(missing(STARTING_HASH_KEY)),
        }
    }

    fn stream(&self) -> Result<Option<LeaseStream>, String> {
        let Some(identifier) = self.text(STREAM_IDENTIFIER)? else {
            return Ok(self.id::<StreamName>(STREAM)?.map(LeaseStream::One));
        };
        match identifier.parse() {
            Ok(stream) => Ok(Some(LeaseStream::OfSeveral(stream))),
            Err(_) => Err(format!(
                "{STREAM_IDENTIFIER}: {identifier:?} is not account:stream:epoch"
            )),
        }
    }
}

/// Bytes a second as Java writes them. Six decimals are more than whole bytes need.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53 bytes a second")]
pub(super) fn throughput(bytes: u64) -> AttributeValue {
    let text = format!("{:.6}", bytes as f64 / 1024.0);
    AttributeValue::N(text.trim_end_matches('0').trim_end_matches('.').to_owned())
}

pub(super) fn millis(time: Duration) -> AttributeValue {
    number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// The row of a lease that is created.
pub(super) fn encode(lease: &Lease) -> Result<Item, Unstorable> {
    let mut item = Item::new();
    let mut put = |name: &str, value: Option<AttributeValue>| {
        if let Some(value) = value {
            item.insert(name.to_owned(), value);
        }
    };
    put(LEASE_KEY, Some(text(&lease.key)));
    put(ENTITY_TYPE, Some(text(ENTITY_LEASE)));
    put(LEASE_OWNER, lease.owner.as_ref().map(text));
    put(LEASE_COUNTER, Some(number(lease.counter)));
    put(SESSION, lease.session.map(session));
    put(SESSION_COUNTER, lease.session.map(|_| number(lease.counter)));
    put(FAILOVER_TIME, lease.failover_time.map(millis));
    put(THROUGHPUT, lease.throughput.map(throughput));
    put(OWNER_SWITCHES, Some(number(lease.owner_switches_since_checkpoint)));
    put(CHECKPOINT_OWNER, lease.checkpoint_owner.as_ref().map(text));
    let checkpoint = PositionValues::of(&lease.checkpoint)?;
    put(CHECKPOINT, Some(checkpoint.text));
    put(CHECKPOINT_SUB, Some(checkpoint.sub));
    put(CHECKPOINT_TIMESTAMP, checkpoint.timestamp);
    if let Some(pending) = &lease.pending_checkpoint {
        let position = PositionValues::of(&pending.position)?;
        put(PENDING, Some(position.text));
        put(PENDING_SUB, Some(position.sub));
        put(PENDING_TIMESTAMP, position.timestamp);
        put(PENDING_STATE, pending.state.as_ref().map(state));
    }
    put(SEEKS, (lease.seeks > 0).then(|| number(lease.seeks)));
    put(PAUSED, lease.paused.map(|since| number(since.epoch_millis())));
    put(PARENTS, shards(&lease.parents));
    put(CHILDREN, shards(&lease.children));
    put(
        STARTING_HASH_KEY,
        lease.hash_key_range.map(|range| hash_key(range.start)),
    );
    put(ENDING_HASH_KEY, lease.hash_key_range.map(|range| hash_key(range.end)));
    put(
        SHARD_START,
        lease.shard_start.as_ref().map(|start| text(start.as_str())),
    );
    match &lease.stream {
        Some(LeaseStream::OfSeveral(stream)) => put(STREAM_IDENTIFIER, Some(text(stream.to_string()))),
        Some(LeaseStream::One(stream)) => put(STREAM, Some(text(stream))),
        None => {}
    }
    if lease.key.as_str() != lease.shard.as_str() {
        put(SHARD_ID, Some(text(&lease.shard)));
    }
    Ok(item)
}

/// A position in the attributes that hold it.
pub(super) struct PositionValues {
    pub(super) text: AttributeValue,
    pub(super) sub: AttributeValue,
    pub(super) timestamp: Option<AttributeValue>,
}

impl PositionValues {
    pub(super) fn of(position: &Position) -> Result<Self, Unstorable> {
        let sentinel = |name: &str| Self {
            text: text(name),
            sub: number(0_u64),
            timestamp: None,
        };
        Ok(match position {
            Position::TrimHorizon => sentinel(TRIM_HORIZON),
            Position::Latest => sentinel(LATEST),
            Position::ShardEnd => sentinel(SHARD_END),
            Position::AtTimestamp(at) => Self {
                timestamp: Some(number(at.epoch_millis())),
                ..sentinel(AT_TIMESTAMP)
            },
            Position::Record(record) => Self {
                text: text(record.sequence_number.as_str()),
                sub: number(record.sub_sequence_number),
                timestamp: None,
            },
            other => {
                let what = format!("the position {other}");
                return Err(Unstorable { what });
            }
        })
    }
}

pub(super) fn text(text: impl AsRef<str>) -> AttributeValue {
    AttributeValue::S(text.as_ref().to_owned())
}

#[expect(clippy::needless_pass_by_value, reason = "numbers are passed as they are")]
pub(super) fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(super) fn session(session: Session) -> AttributeValue {
    AttributeValue::S(session.to_string())
}

pub(super) fn state(state: &Bytes) -> AttributeValue {
    AttributeValue::B(Blob::new(state.as_ref()))
}

pub(super) fn hash_key(key: HashKey) -> AttributeValue {
    AttributeValue::S(key.to_string())
}

/// A set of shards; there is no empty set.
pub(super) fn shards(shards: &[ShardId]) -> Option<AttributeValue> {
    let mut texts: Vec<String> = shards.iter().map(ToString::to_string).collect();
    // The service refuses a set that names one shard twice.
    texts.sort_unstable();
    texts.dedup();
    (!texts.is_empty()).then_some(AttributeValue::Ss(texts))
}
