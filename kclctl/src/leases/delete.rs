//! `kclctl leases delete`.

use kcl_core::{Lease, LeaseKey, WriteOutcome};

use super::{
    change::{Change, ChangeArgs, Outcome},
    error::LeasesError,
    table::{Table, find},
    table_args::TableArgs,
};
use crate::{aws::ConnectionArgs, error::Error};

/// Removes rows, all without `keys`, each only as it was when the command began.
pub(crate) async fn delete(
    args: &TableArgs,
    keys: Option<&[LeaseKey]>,
    force: bool,
    change: &ChangeArgs,
    connection: &ConnectionArgs,
) -> Result<(), Error> {
    let table = args.open_to_write(connection).await?;
    let listing = table.list().await?;
    let leases = match keys {
        Some(keys) => find(args, &listing, keys)?,
        None => listing.leases.clone(),
    };
    let held = leases.iter().find_map(|lease| Some((&lease.key, lease.holder()?)));
    if let Some((key, holder)) = held.filter(|_| !force) {
        let (key, holder, table) = (key.clone(), holder.clone(), args.clone());
        return Err(LeasesError::Held { key, holder, table }.into());
    }
    let mut changes: Vec<Change> = leases
        .iter()
        .map(|lease| Change {
            lease_key: lease.key.clone(),
            owner: lease.holder().map(ToString::to_string),
            before: lease.checkpoint.to_string(),
            after: "deleted".to_owned(),
            result: Outcome::Planned,
        })
        .collect();
    let lost = leases.iter().filter(|lease| !lease.is_finished()).count();
    let mut notes = Vec::new();
    if lost > 0 {
        notes.push(format!(
            "{lost} of these are not finished. A worker that finds their shards without a lease adds it again, and starts \
             at the application's initial position, or at the oldest record of a shard whose parent is finished; keep the \
             positions (BEFORE) to go on from there with `kclctl leases seek`"
        ));
    }
    if !change.consent(&args.app, &changes, &notes)? {
        return Ok(());
    }
    for (change, lease) in changes.iter_mut().zip(&leases) {
        change.result = remove(&table, lease).await;
    }
    change.conclude(&args.app, &changes)
}

async fn remove(table: &Table, lease: &Lease) -> Outcome {
    match table.delete(lease).await {
        Ok(WriteOutcome::Applied(_) | WriteOutcome::Conflict(None)) => Outcome::Done,
        Ok(WriteOutcome::Conflict(Some(row))) => Outcome::Failed(match row.holder() {
            Some(holder) => format!("{holder} wrote it meanwhile"),
            None => "it was changed meanwhile".to_owned(),
        }),
        Err(error) => Outcome::Failed(crate::error::chain(&error)),
    }
}
