//! `kclctl leases release`.

use std::{sync::Arc, time::Duration};

use kcl_core::{Lease, LeaseKey, LeaseListing, LeaseWrite, WorkerId, WriteOutcome, watch::LeaseWatch};

use super::{
    change::{Change, ChangeArgs, Outcome},
    error::LeasesError,
    table::{Table, find},
    table_args::TableArgs,
};
use crate::{aws::ConnectionArgs, clock::Stopwatch, error::Error};

/// How often a request is made anew because the holder renewed at the same moment.
const ATTEMPTS: u32 = 10;
const POLL: Duration = Duration::from_millis(250);

/// Which leases are given back.
#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    table: TableArgs,

    /// The leases, by key: for an application of one stream, the ids of the shards.
    #[arg(value_name = "LEASE", required_unless_present_any = ["worker", "all"], conflicts_with_all = ["worker", "all"])]
    leases: Vec<LeaseKey>,

    /// All leases of this worker.
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    worker: Option<WorkerId>,

    /// All leases that are held.
    #[arg(long)]
    all: bool,

    /// Do not ask the holder, but take the lease from it at once. What a holder that lives handles until it notices is
    /// handled again: for workers of which you know that they are gone.
    #[arg(long)]
    force: bool,

    /// How long to wait for the holders.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,

    /// The failover time of the workers: a holder that does not renew for so long is not waited for.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    failover_time: Duration,

    #[command(flatten)]
    change: ChangeArgs,
}

/// Has leases given back.
///
/// The holder is asked, as another worker would ask for a hand-off, and goes on to be the only reader of its shard until its
/// batch is handled and checkpointed. A holder that does not renew is gone; its lease is freed then, when any worker might
/// take it as well.
pub(crate) async fn release(args: ReleaseArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let table = args.table.open_to_write(connection).await?;
    let listing = table.list().await?;
    let leases = select(&args, &listing)?;
    let free = leases.iter().filter(|lease| lease.holder().is_none());
    let notes: Vec<String> = free
        .map(|lease| format!("nobody holds {}: there is nothing to give back", lease.key))
        .collect();
    let held: Vec<Arc<Lease>> = leases.into_iter().filter(|lease| lease.holder().is_some()).collect();
    let mut changes: Vec<Change> = held.iter().map(|lease| planned(lease, args.force)).collect();
    if !args.change.consent(&args.table.app, &changes, &notes)? {
        return Ok(());
    }
    for (change, lease) in changes.iter_mut().zip(&held) {
        change.result = begin(&table, lease, args.force).await;
    }
    if !args.force {
        wait(&args, &table, &held, &mut changes).await;
    }
    args.change.conclude(&args.table.app, &changes)
}

fn select(args: &ReleaseArgs, listing: &LeaseListing) -> Result<Vec<Arc<Lease>>, LeasesError> {
    if !args.all && args.worker.is_none() {
        return find(&args.table, listing, &args.leases);
    }
    let wanted = |lease: &&Arc<Lease>| match &args.worker {
        Some(worker) => lease.holder() == Some(worker),
        None => lease.holder().is_some(),
    };
    Ok(listing.leases.iter().filter(wanted).cloned().collect())
}

fn planned(lease: &Lease, force: bool) -> Change {
    let holder = lease.holder().map(ToString::to_string).unwrap_or_default();
    Change {
        lease_key: lease.key.clone(),
        before: format!("held at {}", lease.checkpoint),
        after: match (force, passed_on_to(lease)) {
            (true, _) => "free".to_owned(),
            (false, Some(to)) => format!("given to {to}, as was asked before"),
            (false, None) => "free, when its batch is handled".to_owned(),
        },
        owner: Some(holder),
        result: Outcome::Planned,
    }
}

/// The worker that gets the lease, where another one asked for it.
fn passed_on_to(lease: &Lease) -> Option<&WorkerId> {
    let in_hand_off = lease.is_in_hand_off();
    lease
        .owner
        .as_ref()
        .filter(|to| in_hand_off && Some(*to) != lease.holder())
}

/// Asks, or takes; `Planned` means that the holder is waited for.
async fn begin(table: &Table, lease: &Arc<Lease>, force: bool) -> Outcome {
    let holder = lease.holder().cloned();
    let mut lease = Lease::clone(lease);
    for _ in 0..ATTEMPTS {
        let write = if force {
            LeaseWrite::release(&lease, None)
        } else if lease.is_in_hand_off() {
            // Somebody asked already; it is only waited for.
            return Outcome::Planned;
        } else {
            LeaseWrite::ask_back(&lease)
        };
        match table.update(&lease, &write).await {
            Ok(WriteOutcome::Applied(_)) if force => return Outcome::Done,
            Ok(WriteOutcome::Applied(_)) => return Outcome::Planned,
            // It renewed, or a checkpoint came: ask again.
            Ok(WriteOutcome::Conflict(Some(row))) if row.holder() == holder.as_ref() => lease = row,
            // It is not with the old holder any more, and that is all that was wanted.
            Ok(WriteOutcome::Conflict(_)) => return Outcome::Done,
            Err(error) => return Outcome::Failed(crate::error::chain(&error)),
        }
    }
    Outcome::Failed("its holder writes it all the time".to_owned())
}

/// Waits until the holders have given back what they were asked for.
async fn wait(args: &ReleaseArgs, table: &Table, held: &[Arc<Lease>], changes: &mut [Change]) {
    let stopwatch = Stopwatch::start();
    let mut watch = LeaseWatch::default();
    let poll = POLL.min(args.failover_time / 4);
    loop {
        let listing = match table.list().await {
            Ok(listing) => listing,
            Err(error) => {
                // What was asked for stands in the rows: to end here with the error alone would tell that nothing happened.
                let why = "its holder was asked, and it cannot be seen whether it gave it back";
                let why = format!("{why}: {}", crate::error::chain(&error));
                return fail_open(changes, &why);
            }
        };
        let now = stopwatch.tick();
        watch.observe(now, &listing.leases);
        for (change, lease) in changes.iter_mut().zip(held) {
            if change.result != Outcome::Planned {
                continue;
            }
            let row = listing.leases.iter().find(|row| row.key == lease.key);
            let Some(row) = row.filter(|row| is_waited_for(row, lease)) else {
                change.result = Outcome::Done;
                change.after = now_with(row.map(AsRef::as_ref));
                continue;
            };
            if watch.is_expired(now, row, args.failover_time) {
                (change.result, change.after) = free(table, row).await;
            }
        }
        if changes.iter().all(|change| change.result != Outcome::Planned) {
            return;
        }
        if now.since_origin() >= args.timeout {
            let why = "its holder still works on it, and was asked; it gives it back as soon as it can";
            return fail_open(changes, why);
        }
        tokio::time::sleep(poll).await;
    }
}

/// Says of all that is still waited for why it failed.
fn fail_open(changes: &mut [Change], why: &str) {
    for change in changes.iter_mut().filter(|change| change.result == Outcome::Planned) {
        change.result = Outcome::Failed(why.to_owned());
    }
}

/// Whether the lease is still with the holder that was asked.
fn is_waited_for(row: &Lease, asked: &Lease) -> bool {
    row.holder() == asked.holder() && row.is_in_hand_off()
}

fn now_with(row: Option<&Lease>) -> String {
    match (row, row.and_then(Lease::holder)) {
        (None, _) => "removed".to_owned(),
        (Some(row), None) => format!("free at {}", row.checkpoint),
        (Some(row), Some(holder)) => format!("held by {holder} at {}", row.checkpoint),
    }
}

/// Frees the lease of a holder that is gone.
async fn free(table: &Table, row: &Arc<Lease>) -> (Outcome, String) {
    match table.update(row, &LeaseWrite::release(row, None)).await {
        Ok(WriteOutcome::Applied(row)) => (Outcome::Done, now_with(Some(&row))),
        // Somebody takes it, or the holder woke up: the next look tells.
        Ok(WriteOutcome::Conflict(row)) => (Outcome::Planned, now_with(row.as_ref())),
        Err(error) => (Outcome::Failed(crate::error::chain(&error)), now_with(Some(row))),
    }
}
