//! `kclctl leases pause` and `resume`.

use std::sync::Arc;

use kcl_core::{Lease, LeaseWrite, Timestamp, WriteOutcome, seek::check_holder};

use super::{
    change::{Change, ChangeArgs, Outcome},
    table::Table,
    table_args::TableArgs,
    which::WhichArgs,
};
use crate::{aws::ConnectionArgs, clock, error::Error};

/// How often a row that somebody writes is tried again.
const ATTEMPTS: u32 = 10;

/// Which leases rest, or go on.
#[derive(Debug, clap::Args)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    table: TableArgs,

    #[command(flatten)]
    which: WhichArgs,

    #[command(flatten)]
    change: ChangeArgs,
}

/// Has shards read no more by whoever holds them, or read again.
pub(crate) async fn pause(args: PauseArgs, paused: bool, connection: &ConnectionArgs) -> Result<(), Error> {
    let table = args.table.open_to_write(connection).await?;
    let listing = table.list().await?;
    let leases = args.which.of(&args.table, &listing, false)?;
    let since = paused.then(clock::wall);
    let show =
        |since: Option<Timestamp>| since.map_or_else(|| "read".to_owned(), |since| format!("paused since {since}"));
    let mut notes = Vec::new();
    let mut plan: Vec<(Change, Arc<Lease>)> = Vec::new();
    for lease in leases.into_iter().filter(|lease| lease.paused.is_some() != paused) {
        if paused && check_holder(&lease).is_err() {
            let (key, holder) = (&lease.key, lease.holder().map_or("its holder", AsRef::as_ref));
            notes.push(format!(
                "{holder}, which holds {key}, knows nothing of pauses and reads on"
            ));
        }
        let change = Change {
            lease_key: lease.key.clone(),
            owner: lease.holder().map(ToString::to_string),
            before: show(lease.paused),
            after: show(since),
            result: Outcome::Planned,
        };
        plan.push((change, lease));
    }
    let mut changes: Vec<Change> = plan.iter().map(|(change, _)| change.clone()).collect();
    if !args.change.consent(&args.table.app, &changes, &notes)? {
        return Ok(());
    }
    for (change, (_, lease)) in changes.iter_mut().zip(&plan) {
        change.result = set(&table, lease, since).await;
    }
    args.change.conclude(&args.table.app, &changes)
}

async fn set(table: &Table, lease: &Lease, since: Option<Timestamp>) -> Outcome {
    let mut row = lease.clone();
    for _ in 0..ATTEMPTS {
        match table.update(&row, &LeaseWrite::pause(&row, since)).await {
            Ok(WriteOutcome::Applied(_)) => return Outcome::Done,
            Ok(WriteOutcome::Conflict(None)) => return Outcome::Failed("the lease is gone".to_owned()),
            Ok(WriteOutcome::Conflict(Some(now))) => row = now,
            Err(error) => return Outcome::Failed(crate::error::chain(&error)),
        }
    }
    Outcome::Failed("its holder writes it all the time".to_owned())
}
