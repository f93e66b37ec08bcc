//! `kclctl leases seek`.

use std::{str::FromStr, sync::Arc, time::Duration};

use kcl_core::{Lease, LeaseKey, LeaseListing, LeaseWrite, Position, RecordPosition, Tick, Timestamp, WriteOutcome};

use super::{
    change::{Change, ChangeArgs, Outcome},
    error::LeasesError,
    table::{Table, find},
    table_args::TableArgs,
};
use crate::{
    aws::ConnectionArgs,
    clock::{self, Stopwatch},
    error::Error,
};

/// How often a lease that somebody writes is tried again with --force.
const ATTEMPTS: u32 = 10;
/// A time that lies ahead by less than this is taken for a difference of clocks, as workers do.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// Which leases go where.
#[derive(Debug, clap::Args)]
pub(crate) struct SeekArgs {
    #[command(flatten)]
    table: TableArgs,

    /// The leases, by key: for an application of one stream, the ids of the shards.
    #[arg(value_name = "LEASE", required_unless_present = "all", conflicts_with = "all")]
    leases: Vec<LeaseKey>,

    /// All unfinished leases.
    #[arg(long)]
    all: bool,

    /// Where to go on: `trim-horizon` (with the oldest record), `latest` (with records from now on), a time such as
    /// 2013-01-01T10:00:00Z, or the sequence number of a record of the shard, after which it goes on (one lease only).
    #[arg(long, value_name = "POSITION")]
    to: Target,

    /// Finished leases too: their shards are read again. With --all all of them, as far as they have not been removed.
    #[arg(long)]
    finished: bool,

    /// Do not look whether the application is stopped.
    #[arg(long)]
    force: bool,

    /// The longest that the workers go without renewing a lease; so long it is watched whether one lives.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    failover_time: Duration,

    #[command(flatten)]
    change: ChangeArgs,
}

/// A place in a shard, as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target(Position);

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || {
            format!(
                "{text:?} is no position: use trim-horizon, latest, a time such as 2013-01-01T10:00:00Z or a sequence number"
            )
        };
        if text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains('-') {
            let (number, sub) = text.split_once('/').unwrap_or((text, "0"));
            return Ok(Self(Position::Record(RecordPosition {
                sequence_number: number.parse().map_err(|_| problem())?,
                sub_sequence_number: sub.parse().map_err(|_| problem())?,
            })));
        }
        let start: kcl_core::InitialPosition = text.parse().map_err(|_| problem())?;
        Ok(Self(start.into()))
    }
}

/// Moves checkpoints of an application that is stopped.
pub(crate) async fn seek(args: SeekArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    if args.to.0.record().is_some() && (args.all || args.leases.len() != 1) {
        let problem = "a sequence number is of one shard: name one lease, or a time for several";
        return Err(Error::Usage(problem.to_owned()));
    }
    if let Position::AtTimestamp(at) = args.to.0
        && at > clock::wall().saturating_add(CLOCKS_DIFFER)
    {
        // A worker that finds it stops, and all others with it.
        let problem = format!("--to {at}: the service starts at no time in the future; use latest");
        return Err(Error::Usage(problem));
    }
    let table = args.table.open_to_write(connection).await?;
    if !args.force {
        check_stopped(&table, args.failover_time).await?;
    }
    let listing = table.list().await?;
    let leases = select(&args, &listing)?;
    let now = clock::wall();
    let mut notes = Vec::new();
    if args.all && !listing.unreadable.is_empty() {
        let rows = listing.unreadable.len();
        notes.push(format!(
            "{rows} rows are no leases and stay as they are; see `kclctl leases list`"
        ));
    }
    let mut plan: Vec<(Change, Arc<Lease>, Position)> = Vec::new();
    for lease in leases {
        let to = position(&args.to.0, &lease, &listing, now, &mut notes);
        if lease.checkpoint == to && lease.holder().is_none() {
            continue;
        }
        let change = Change {
            lease_key: lease.key.clone(),
            owner: lease.holder().map(ToString::to_string),
            before: lease.checkpoint.to_string(),
            after: to.to_string(),
            result: Outcome::Planned,
        };
        plan.push((change, lease, to));
    }
    let mut changes: Vec<Change> = plan.iter().map(|(change, ..)| change.clone()).collect();
    if !args.change.consent(&args.table.app, &changes, &notes)? {
        return Ok(());
    }
    for (change, (_, lease, to)) in changes.iter_mut().zip(&plan) {
        change.result = move_to(&table, lease, to, args.force).await;
    }
    args.change.conclude(&args.table.app, &changes)
}

fn select(args: &SeekArgs, listing: &LeaseListing) -> Result<Vec<Arc<Lease>>, LeasesError> {
    if args.all {
        let wanted = |lease: &&Arc<Lease>| args.finished || !lease.is_finished();
        return Ok(listing.leases.iter().filter(wanted).cloned().collect());
    }
    let leases = find(&args.table, listing, &args.leases)?;
    match leases.iter().find(|lease| lease.is_finished() && !args.finished) {
        Some(lease) => Err(LeasesError::Finished { key: lease.key.clone() }),
        None => Ok(leases),
    }
}

/// Where a lease is set. A worker opens a shard whose parent has a lease at the trim horizon if it stands at LATEST, because
/// what it holds comes after the parent; there, the time says what LATEST was to say.
fn position(to: &Position, lease: &Lease, listing: &LeaseListing, now: Timestamp, notes: &mut Vec<String>) -> Position {
    let follows = |parent: &kcl_core::ShardId| {
        let key = lease.key_of(parent);
        listing.leases.iter().any(|row| row.key == key)
    };
    if *to != Position::Latest || !lease.parents.iter().any(follows) {
        return to.clone();
    }
    let key = &lease.key;
    notes.push(format!(
        "{key} follows a shard that still has a lease: the time of now stands for LATEST"
    ));
    Position::AtTimestamp(now)
}

/// Watches the table until nobody can live who holds a lease; refuses as soon as one shows that it does.
///
/// A worker that holds nothing is not to be seen. It takes leases as they are then: a write of the command that it crosses
/// fails, and one that comes before it counts.
async fn check_stopped(table: &Table, failover_time: Duration) -> Result<(), Error> {
    let before = table.list().await?;
    if before.leases.iter().all(|lease| lease.holder().is_none()) {
        return Ok(());
    }
    let watch = Stopwatch::start();
    let pause = (failover_time / 20).clamp(Duration::from_millis(20), Duration::from_millis(500));
    let mut last_look = Tick::ZERO;
    while last_look.since_origin() <= failover_time {
        tokio::time::sleep(pause).await;
        last_look = watch.tick();
        let now = table.list().await?;
        for lease in &now.leases {
            let known = before.leases.iter().find(|known| known.key == lease.key);
            let wrote = known.is_none_or(|known| known.counter != lease.counter);
            if let Some(worker) = lease.holder().filter(|_| wrote) {
                let (worker, key) = (worker.clone(), lease.key.clone());
                return Err(LeasesError::Alive { worker, key }.into());
            }
        }
    }
    Ok(())
}

/// Sets the checkpoint and frees the lease in one write, so that a worker that only slept finds its lease lost and does not
/// write its own progress over it.
async fn move_to(table: &Table, lease: &Arc<Lease>, to: &Position, force: bool) -> Outcome {
    let mut lease = Lease::clone(lease);
    let was_finished = lease.is_finished();
    for _ in 0..ATTEMPTS {
        let write = LeaseWrite::release(&lease, Some(to.clone()));
        match table.update(&lease, &write).await {
            Ok(WriteOutcome::Applied(_)) => return Outcome::Done,
            Ok(WriteOutcome::Conflict(None)) => return Outcome::Failed("the lease is gone".to_owned()),
            Ok(WriteOutcome::Conflict(Some(row))) if row.is_finished() && !was_finished => {
                return Outcome::Failed("it was finished meanwhile".to_owned());
            }
            Ok(WriteOutcome::Conflict(Some(row))) if force => lease = row,
            Ok(WriteOutcome::Conflict(Some(row))) => {
                let who = row.holder().map_or("somebody", AsRef::as_ref);
                return Outcome::Failed(format!("{who} wrote it meanwhile"));
            }
            Err(error) => return Outcome::Failed(crate::error::chain(&error)),
        }
    }
    Outcome::Failed("its holder writes it all the time".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_positions_when_read_then_each_form_has_its_meaning() {
        let read = |text: &str| text.parse::<Target>().unwrap().0;
        assert_eq!(read("trim-horizon"), Position::TrimHorizon);
        assert_eq!(read("LATEST"), Position::Latest);
        assert_eq!(read("495"), Position::after("495".parse().unwrap()));
        assert_eq!(read("495/3").to_string(), "495/3");
        let time = "2013-01-01T10:00:00Z";
        assert_eq!(read(time), Position::AtTimestamp(time.parse().unwrap()));
        for wrong in ["", "0495", "49x", "495/", "yesterday", "SHARD_END"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }
}
