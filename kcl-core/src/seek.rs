//! Moving the checkpoints of shards to another place, as an operator does: what is asked for, checked, and planned as writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use crate::{
    ids::{LeaseKey, WorkerId},
    lease::Lease,
    sequence::{InitialPosition, Position, RecordPosition},
    time::Timestamp,
};

/// A time that lies ahead by less than this is taken for a difference of clocks.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// As a time, the oldest record of a shard.
const LONG_AGO: Position = Position::AtTimestamp(Timestamp::from_epoch_millis(86_400_000));

/// Where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeekTarget {
    /// With the oldest record that is still retained.
    TrimHorizon,
    /// With the next record that arrives.
    Latest,
    /// With the first record that arrived at or after this time.
    AtTimestamp(Timestamp),
    /// With the record after this one, of one shard.
    After(RecordPosition),
}

impl From<Timestamp> for SeekTarget {
    fn from(at: Timestamp) -> Self {
        Self::AtTimestamp(at)
    }
}

impl From<SeekTarget> for Position {
    fn from(target: SeekTarget) -> Self {
        match target {
            SeekTarget::TrimHorizon => Self::TrimHorizon,
            SeekTarget::Latest => Self::Latest,
            SeekTarget::AtTimestamp(at) => Self::AtTimestamp(at),
            SeekTarget::After(record) => Self::Record(record),
        }
    }
}

impl fmt::Display for SeekTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Position::from(self.clone()).fmt(f)
    }
}

/// The text names no place in a shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no position: use trim-horizon, latest, a time such as 2013-01-01T10:00:00Z or a sequence number")]
pub struct InvalidSeekTarget {
    text: String,
}

impl FromStr for SeekTarget {
    type Err = InvalidSeekTarget;

    /// Reads `trim-horizon`, `latest`, an RFC 3339 instant, or a sequence number, with `/n` for the n-th part of an aggregate.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidSeekTarget { text: text.to_owned() };
        if text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains('-') {
            let (number, sub) = text.split_once('/').unwrap_or((text, "0"));
            return Ok(Self::After(RecordPosition {
                sequence_number: number.parse().map_err(|_| invalid())?,
                sub_sequence_number: sub.parse().map_err(|_| invalid())?,
            }));
        }
        Ok(match text.parse().map_err(|_| invalid())? {
            InitialPosition::TrimHorizon => Self::TrimHorizon,
            InitialPosition::Latest => Self::Latest,
            InitialPosition::AtTimestamp(at) => Self::AtTimestamp(at),
        })
    }
}

/// A seek that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeekRefused {
    /// The service starts at no time in the future.
    #[error("{at} is in the future, where the service starts with nothing: use latest")]
    Future {
        /// What was asked for.
        at: Timestamp,
    },
    /// A sequence number is of one shard.
    #[error("a sequence number is of one shard, and {count} leases were named: name one, or a time for several")]
    OneShardOnly {
        /// How many were named.
        count: usize,
    },
    /// There is no such lease.
    #[error("there is no lease {key}: its shard is unknown, or was read to its end and its row removed")]
    Unknown {
        /// Its key.
        key: LeaseKey,
    },
    /// A finished shard has nothing that is still to come.
    #[error("{key} was read to its end, and nothing arrives in its shard any more: name a time, or trim-horizon")]
    NothingToCome {
        /// The lease.
        key: LeaseKey,
    },
    /// A finished shard would be read again while what follows it goes on.
    #[error(
        "{key} was read to its end, and {follower} follows it: to read it again, name the shards that follow it too (or all), \
         so that parents are read before their children"
    )]
    FollowersStay {
        /// The finished lease.
        key: LeaseKey,
        /// The lease of a shard that descends from it, and was not named.
        follower: LeaseKey,
    },
    /// A worker that knows nothing of seeks would go on where it is and write that over it.
    #[error("{holder} holds {key} and is not of this library: it would not notice. Stop it first")]
    HeldByStranger {
        /// The lease.
        key: LeaseKey,
        /// Its holder.
        holder: WorkerId,
    },
}

/// One checkpoint to move, with [`LeaseWrite::seek`](crate::LeaseWrite::seek).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeekMove {
    /// The row as it was.
    pub lease: Arc<Lease>,
    /// Where it is to stand.
    pub to: Position,
}

/// Refuses times that lie ahead.
///
/// # Errors
/// If `target` is such a time.
pub fn check_time(target: &SeekTarget, now: Timestamp) -> Result<(), SeekRefused> {
    match target {
        SeekTarget::AtTimestamp(at) if *at > now.saturating_add(CLOCKS_DIFFER) => Err(SeekRefused::Future { at: *at }),
        _ => Ok(()),
    }
}

/// Plans to move the checkpoints of the leases `keys` to `target`, in an order in which parents come before their children: whoever
/// sees that a child was moved then sees that its parents were.
///
/// - A shard that was read to its end may be read again together with all shards that follow it and have leases.
/// - A shard whose parent has a lease starts at the time `now` in place of LATEST: a worker takes LATEST there for everything
///   that comes after the parent. One of a merged shard starts at a time long ago in place of TRIM_HORIZON, by which workers know
///   shards whose other parent has yet to be read.
///
/// ```
/// use std::sync::Arc;
/// use kcl_core::{Lease, Position, ShardId, Timestamp, seek::{SeekRefused, SeekTarget, plan_seek}};
///
/// let parent = Lease::new(ShardId::new("shardId-000000000000")?, Position::ShardEnd);
/// let child = Lease::new(ShardId::new("shardId-000000000001")?, Position::TrimHorizon).with_parents([parent.shard.clone()]);
/// let table = [Arc::new(child.clone()), Arc::new(parent.clone())];
/// let now = Timestamp::from_epoch_millis(1_357_034_400_000);
///
/// let alone = plan_seek(&[parent.key.clone()], &table, &SeekTarget::TrimHorizon, now);
/// assert!(matches!(alone, Err(SeekRefused::FollowersStay { .. })));
/// let both = plan_seek(&[child.key.clone(), parent.key.clone()], &table, &SeekTarget::TrimHorizon, now)?;
/// assert_eq!(both[0].lease.key, parent.key, "parents first");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// What cannot be: nothing is to be moved then.
pub fn plan_seek(
    keys: &[LeaseKey],
    table: &[Arc<Lease>],
    target: &SeekTarget,
    now: Timestamp,
) -> Result<Vec<SeekMove>, SeekRefused> {
    check_time(target, now)?;
    let keys: BTreeSet<&LeaseKey> = keys.iter().collect();
    if matches!(target, SeekTarget::After(_)) && keys.len() != 1 {
        return Err(SeekRefused::OneShardOnly { count: keys.len() });
    }
    let rows: BTreeMap<&LeaseKey, &Arc<Lease>> = table.iter().map(|row| (&row.key, row)).collect();
    let mut followers: BTreeMap<LeaseKey, Vec<&Arc<Lease>>> = BTreeMap::new();
    for row in table {
        for parent in &row.parents {
            followers.entry(row.key_of(parent)).or_default().push(row);
        }
    }
    let mut moves = Vec::new();
    for key in &keys {
        let lease = rows
            .get(key)
            .ok_or_else(|| SeekRefused::Unknown { key: (*key).clone() })?;
        check_finished(lease, target, &keys, &followers)?;
        let follows = lease
            .parents
            .iter()
            .any(|parent| rows.contains_key(&lease.key_of(parent)));
        let to = match target {
            SeekTarget::Latest if follows => Position::AtTimestamp(now),
            SeekTarget::TrimHorizon if follows && lease.parents.len() > 1 => LONG_AGO,
            other => other.clone().into(),
        };
        let lease = Arc::clone(lease);
        moves.push(SeekMove { lease, to });
    }
    Ok(parents_first(moves))
}

/// Refuses to read a finished shard again while shards that follow it go on.
fn check_finished(
    lease: &Lease,
    target: &SeekTarget,
    keys: &BTreeSet<&LeaseKey>,
    followers: &BTreeMap<LeaseKey, Vec<&Arc<Lease>>>,
) -> Result<(), SeekRefused> {
    if !lease.is_finished() {
        return Ok(());
    }
    let key = lease.key.clone();
    if *target == SeekTarget::Latest {
        return Err(SeekRefused::NothingToCome { key });
    }
    let mut open = vec![&lease.key];
    let mut seen = BTreeSet::new();
    while let Some(next) = open.pop() {
        for follower in followers.get(next).into_iter().flatten() {
            if !keys.contains(&follower.key) {
                let follower = follower.key.clone();
                return Err(SeekRefused::FollowersStay { key, follower });
            }
            if seen.insert(&follower.key) {
                open.push(&follower.key);
            }
        }
    }
    Ok(())
}

fn parents_first(mut moves: Vec<SeekMove>) -> Vec<SeekMove> {
    let mut ordered: Vec<SeekMove> = Vec::with_capacity(moves.len());
    while !moves.is_empty() {
        let waiting: BTreeSet<LeaseKey> = moves.iter().map(|planned| planned.lease.key.clone()).collect();
        let is_free = |planned: &SeekMove| {
            let lease = &planned.lease;
            !lease
                .parents
                .iter()
                .any(|parent| waiting.contains(&lease.key_of(parent)))
        };
        let (free, rest): (Vec<_>, Vec<_>) = moves.into_iter().partition(is_free);
        if free.is_empty() {
            // Rows that name each other as parents are nobody's lineage.
            ordered.extend(rest);
            break;
        }
        ordered.extend(free);
        moves = rest;
    }
    ordered
}

/// Refuses a lease that a worker holds which does not say that it is of this library: it would not notice a seek.
///
/// # Errors
/// If such a worker holds it.
pub fn check_holder(lease: &Lease) -> Result<(), SeekRefused> {
    match lease.holder() {
        Some(holder) if lease.session.is_none() && !lease.is_finished() => Err(SeekRefused::HeldByStranger {
            key: lease.key.clone(),
            holder: holder.clone(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
