//! Which leases a command is about.

use std::sync::Arc;

use kcl_core::{Lease, LeaseKey, LeaseListing};

use super::{error::LeasesError, table::find, table_args::TableArgs};

/// Leases by key, or all that are not finished.
#[derive(Debug, clap::Args)]
pub(crate) struct WhichArgs {
    /// The leases, by key: for an application of one stream, the ids of the shards.
    #[arg(value_name = "LEASE", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) leases: Vec<LeaseKey>,

    /// All unfinished leases.
    #[arg(long)]
    pub(crate) all: bool,
}

impl WhichArgs {
    /// Those of a listing that are meant. With `finished`, "all" are all.
    pub(crate) fn of(
        &self,
        table: &TableArgs,
        listing: &LeaseListing,
        finished: bool,
    ) -> Result<Vec<Arc<Lease>>, LeasesError> {
        if self.all {
            let wanted = |lease: &&Arc<Lease>| finished || !lease.is_finished();
            return Ok(listing.leases.iter().filter(wanted).cloned().collect());
        }
        find(table, listing, &self.leases)
    }
}
