//! Why a command about leases was not done, or not all of it.

use kcl_core::{LeaseKey, StreamName, WorkerId};

use super::table_args::TableArgs;

/// Nothing was changed unless the text says so.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeasesError {
    #[error("there is no lease {key} of this application; see which there are with `kclctl leases list {table}`")]
    Unknown { key: LeaseKey, table: TableArgs },
    #[error("the row {key} is no lease ({reason}): mend or remove it with the table's own tools")]
    Unreadable { key: LeaseKey, reason: String },
    #[error(
        "the application is not stopped: {worker} lives, it wrote {key} while this was watching. Stop its workers first (by \
         SIGTERM, so that they give their leases back), for this one would not notice that the lease is moved; with --force \
         the lease is taken from it, and what it handles until it notices is handled again"
    )]
    Alive { worker: WorkerId, key: LeaseKey },
    #[error("{key} is finished: its shard was handled to the end. To read it again add --finished")]
    Finished { key: LeaseKey },
    #[error(
        "{key} is held by {holder}: give it back first with `kclctl leases release {key} {table}`; with --force it is removed, \
         and a holder that lives puts it back"
    )]
    Held {
        key: LeaseKey,
        holder: WorkerId,
        table: TableArgs,
    },
    #[error(transparent)]
    Seek(#[from] kcl_core::seek::SeekRefused),
    #[error("{to} is no place in {key}: {message}")]
    NotOfShard { key: LeaseKey, to: String, message: String },
    #[error("whether {to} is a place in {key} cannot be found out: {message}; with --verify false it is not asked")]
    Unverified { key: LeaseKey, to: String, message: String },
    #[error("{failed} of {all} changes could not be made; those above that say `done` were")]
    Incomplete { failed: usize, all: usize },
    #[error("{errors} findings are errors")]
    Unhealthy { errors: usize },
    #[error("the shards of {stream} cannot be listed: {message}")]
    Shards { stream: StreamName, message: String },
}
