//! Moving shards to another place: how a worker's handle does it.

use std::{fmt, sync::Arc};

use kcl_core::{
    Lease, LeaseKey, LeaseStore, LeaseWrite, Position, ShardId, StoreError, StreamId, StreamName, Timestamp,
    WriteOutcome,
    fetch::{FetchFailure, FetchFailureKind},
    seek::{SeekRefused, SeekTarget, check_holder, plan_seek},
};

use crate::{source::RecordSource, streams::StreamSelector};

/// How often a row is written anew that others write at the same time: its holder, mostly, once in a few seconds.
const ATTEMPTS: u32 = 10;

/// Some of the shards that a worker reads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShardSelector {
    /// All of them.
    All,
    /// Those of one of its streams.
    Stream(StreamSelector),
    /// The one of this lease: in applications of several streams the key names stream and shard.
    Lease(LeaseKey),
}

impl From<ShardId> for ShardSelector {
    /// The shard, in an application of one stream.
    fn from(shard: ShardId) -> Self {
        Self::Lease(LeaseKey::of_shard(&shard))
    }
}

impl From<LeaseKey> for ShardSelector {
    fn from(key: LeaseKey) -> Self {
        Self::Lease(key)
    }
}

impl From<StreamName> for ShardSelector {
    fn from(name: StreamName) -> Self {
        Self::Stream(name.into())
    }
}

impl From<StreamId> for ShardSelector {
    fn from(id: StreamId) -> Self {
        Self::Stream(id.into())
    }
}

/// A shard that was moved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sought {
    /// Its lease.
    pub key: LeaseKey,
    /// Where it goes on.
    pub to: Position,
}

impl Sought {
    pub(crate) fn of(row: &Lease) -> Self {
        Self {
            key: row.key.clone(),
            to: row.checkpoint.clone(),
        }
    }
}

/// Shards cannot be moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeekError {
    /// What was asked for cannot be.
    #[error(transparent)]
    Refused(#[from] SeekRefused),
    /// None of the shards is read by this worker.
    #[error("this worker holds none of these shards: ask the one that does, or use `kclctl leases seek`")]
    NotHeld,
    /// The position is none of the shard.
    #[error("{to} is no place in {key}: {message}")]
    NotOfShard {
        /// The lease.
        key: LeaseKey,
        /// What was asked for.
        to: Position,
        /// What the service said.
        message: String,
    },
    /// The service could not be asked whether the position is one of the shard.
    #[error("whether {to} is a place in {key} cannot be found out now: {message}; try again")]
    Unverified {
        /// The lease.
        key: LeaseKey,
        /// What was asked for.
        to: Position,
        /// What the service said.
        message: String,
    },
    /// The row is gone, finished, or written by others all the time.
    #[error("{key} cannot be moved: {problem}")]
    Busy {
        /// The lease.
        key: LeaseKey,
        /// What is in the way.
        problem: &'static str,
    },
    /// The lease table failed.
    #[error("{key} cannot be moved")]
    Store {
        /// The lease.
        key: LeaseKey,
        /// How.
        #[source]
        source: StoreError,
    },
    /// The worker ended.
    #[error("the worker ended")]
    WorkerGone,
}

/// The leases that a worker holds, and the means to move them.
pub(crate) struct Held {
    pub(crate) store: Arc<dyn LeaseStore>,
    pub(crate) leases: Vec<(Arc<Lease>, Arc<dyn RecordSource>)>,
    pub(crate) now: Timestamp,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("leases", &self.leases.len())
            .finish_non_exhaustive()
    }
}

impl Held {
    /// Checks the place, with the service where only that knows, and gives the moves.
    pub(crate) async fn plan(&self, target: &SeekTarget) -> Result<Vec<(Arc<Lease>, Position)>, SeekError> {
        if self.leases.is_empty() {
            return Err(SeekError::NotHeld);
        }
        let keys: Vec<LeaseKey> = self.leases.iter().map(|(lease, _)| lease.key.clone()).collect();
        let listing = self.store.list().await;
        let listing = listing.map_err(|source| SeekError::Store {
            key: keys[0].clone(),
            source,
        })?;
        let moves = plan_seek(&keys, &listing.leases, target, self.now)?;
        let mut checked = Vec::new();
        for planned in moves {
            check_holder(&planned.lease)?;
            let source = self.leases.iter().find(|(lease, _)| lease.key == planned.lease.key);
            if let Some((_, source)) = source {
                verify(&**source, &planned.lease, &planned.to).await?;
            }
            checked.push((planned.lease, planned.to));
        }
        Ok(checked)
    }

    /// Writes the new place, and again if somebody else wrote the row at the same time.
    pub(crate) async fn move_to(&self, lease: Arc<Lease>, to: Position) -> Result<Lease, SeekError> {
        let key = lease.key.clone();
        let busy = |problem| SeekError::Busy {
            key: key.clone(),
            problem,
        };
        let mut row = Lease::clone(&lease);
        for _ in 0..ATTEMPTS {
            let write = LeaseWrite::seek(&row, to.clone());
            match self.store.update(&write).await {
                Ok(WriteOutcome::Applied(row)) => return Ok(row),
                Ok(WriteOutcome::Conflict(None)) => return Err(busy("its row is gone")),
                Ok(WriteOutcome::Conflict(Some(now))) if now.is_finished() => {
                    return Err(busy("its shard was read to the end meanwhile"));
                }
                Ok(WriteOutcome::Conflict(Some(now))) => {
                    check_holder(&now)?;
                    row = now;
                }
                Err(source) => return Err(SeekError::Store { key, source }),
            }
        }
        Err(busy("its row is written all the time; try again"))
    }
}

/// Asks the service for the place.
async fn verify(source: &dyn RecordSource, lease: &Lease, to: &Position) -> Result<(), SeekError> {
    if to.record().is_none() {
        return Ok(());
    }
    let (key, to) = (lease.key.clone(), to.clone());
    match source.open(&lease.shard, &to).await {
        Ok(_) => Ok(()),
        Err(FetchFailure {
            kind: FetchFailureKind::InvalidPosition,
            message,
        }) => Err(SeekError::NotOfShard { key, to, message }),
        Err(FetchFailure { message, .. }) => Err(SeekError::Unverified { key, to, message }),
    }
}
