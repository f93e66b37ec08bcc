//! `kclctl leases seek`.

use std::{sync::Arc, time::Duration};

use kcl_core::{
    Lease, LeaseKey, LeaseListing, LeaseStream, LeaseWrite, Position, Tick, WriteOutcome,
    fetch::{FetchFailure, FetchFailureKind},
    seek::{SeekMove, SeekRefused, SeekTarget, check_holder, check_time, plan_seek},
};
use kcl_runtime::{KinesisSource, RecordSource as _};

use super::{
    change::{Change, ChangeArgs, Outcome},
    error::LeasesError,
    table::Table,
    table_args::TableArgs,
    which::WhichArgs,
};
use crate::{
    aws::{ConnectionArgs, Kinesis},
    clock::{self, Stopwatch},
    error::Error,
};

/// How often a lease that somebody writes is tried again.
const ATTEMPTS: u32 = 10;

/// Which leases go where.
#[derive(Debug, clap::Args)]
pub(crate) struct SeekArgs {
    #[command(flatten)]
    table: TableArgs,

    #[command(flatten)]
    which: WhichArgs,

    /// Where to go on: `trim-horizon` (with the oldest record), `latest` (with records from now on), a time such as
    /// 2013-01-01T10:00:00Z, or the sequence number of a record of the shard, after which it goes on (one lease only).
    #[arg(long, value_name = "POSITION")]
    to: SeekTarget,

    /// Finished leases too: their shards are read again, and only together with all that follow them. With --all all of them,
    /// as far as they have not been removed.
    #[arg(long)]
    finished: bool,

    /// Ask the service whether a sequence number is one of the shard, where the row says which stream it is of.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    verify: bool,

    /// Do not look whether workers that know nothing of seeks, such as Java's, are stopped: their leases are taken from them.
    #[arg(long)]
    force: bool,

    /// The longest that workers that know nothing of seeks go without renewing a lease; so long it is watched whether one lives.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    failover_time: Duration,

    #[command(flatten)]
    change: ChangeArgs,
}

/// Moves checkpoints, whether or not the application runs.
pub(crate) async fn seek(args: SeekArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let usage = |refused: SeekRefused| Error::Usage(format!("--to {}: {refused}", args.to));
    check_time(&args.to, clock::wall()).map_err(usage)?;
    if matches!(args.to, SeekTarget::After(_)) && (args.which.all || args.which.leases.len() != 1) {
        let count = args.which.leases.len();
        return Err(usage(SeekRefused::OneShardOnly { count }));
    }
    let table = args.table.open_to_write(connection).await?;
    let listing = table.list().await?;
    let leases = select(&args, &listing)?;
    if !args.force {
        check_strangers(&table, &leases, args.failover_time).await?;
    }
    let listing = table.list().await?;
    let mut notes = Vec::new();
    if args.which.all && !listing.unreadable.is_empty() {
        let rows = listing.unreadable.len();
        notes.push(format!(
            "{rows} rows are no leases and stay as they are; see `kclctl leases list`"
        ));
    }
    let keys: Vec<LeaseKey> = leases.iter().map(|lease| lease.key.clone()).collect();
    let moves = plan_seek(&keys, &listing.leases, &args.to, clock::wall()).map_err(LeasesError::Seek)?;
    let mut plan: Vec<(Change, SeekMove)> = Vec::new();
    for planned in moves {
        let SeekMove { lease, to } = &planned;
        if lease.checkpoint == *to && lease.holder().is_none() {
            continue;
        }
        if args.to == SeekTarget::Latest && *to != Position::Latest {
            let key = &lease.key;
            notes.push(format!(
                "{key} follows a shard that still has a lease: the time of now stands for LATEST"
            ));
        }
        if args.verify {
            verify(lease, to, connection, &mut notes).await?;
        }
        let change = Change {
            lease_key: lease.key.clone(),
            owner: lease.holder().map(ToString::to_string),
            before: lease.checkpoint.to_string(),
            after: to.to_string(),
            result: Outcome::Planned,
        };
        plan.push((change, planned));
    }
    let mut changes: Vec<Change> = plan.iter().map(|(change, _)| change.clone()).collect();
    if !args.change.consent(&args.table.app, &changes, &notes)? {
        return Ok(());
    }
    for (change, (_, planned)) in changes.iter_mut().zip(&plan) {
        change.result = move_to(&table, planned, args.force).await;
    }
    args.change.conclude(&args.table.app, &changes)
}

fn select(args: &SeekArgs, listing: &LeaseListing) -> Result<Vec<Arc<Lease>>, LeasesError> {
    let leases = args.which.of(&args.table, listing, args.finished)?;
    match leases.iter().find(|lease| lease.is_finished() && !args.finished) {
        Some(lease) => Err(LeasesError::Finished { key: lease.key.clone() }),
        None => Ok(leases),
    }
}

/// Asks the service for a sequence number in the shard.
async fn verify(
    lease: &Lease,
    to: &Position,
    connection: &ConnectionArgs,
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    if to.record().is_none() {
        return Ok(());
    }
    let (key, to_shown) = (&lease.key, to.to_string());
    let stream = match &lease.stream {
        Some(LeaseStream::One(name)) => name.clone(),
        Some(LeaseStream::OfSeveral(stream)) => stream.name().clone(),
        None => {
            notes.push(format!(
                "the row of {key} does not say its stream: whether {to_shown} is a number of its shard was not asked"
            ));
            return Ok(());
        }
    };
    let kinesis = match Kinesis::connect(connection).await {
        Ok(kinesis) => kinesis,
        Err(error) => {
            notes.push(format!(
                "whether {to_shown} is a number of {key}'s shard was not asked: {error}"
            ));
            return Ok(());
        }
    };
    let source = KinesisSource::new(kinesis.client, stream);
    match source.open(&lease.shard, to).await {
        Ok(_) => Ok(()),
        Err(FetchFailure {
            kind: FetchFailureKind::InvalidPosition,
            message,
        }) => Err(LeasesError::NotOfShard {
            key: key.clone(),
            to: to_shown,
            message,
        }
        .into()),
        Err(FetchFailure { message, .. }) => Err(LeasesError::Unverified {
            key: key.clone(),
            to: to_shown,
            message,
        }
        .into()),
    }
}

/// Watches the table until nobody can live who holds one of these leases and would not notice that it is moved; refuses as soon
/// as one shows that it does. Those of this library notice.
async fn check_strangers(table: &Table, leases: &[Arc<Lease>], failover_time: Duration) -> Result<(), Error> {
    let held: Vec<&Arc<Lease>> = leases.iter().filter(|lease| check_holder(lease).is_err()).collect();
    if held.is_empty() {
        return Ok(());
    }
    let watch = Stopwatch::start();
    let pause = (failover_time / 20).clamp(Duration::from_millis(20), Duration::from_millis(500));
    let mut last_look = Tick::ZERO;
    while last_look.since_origin() <= failover_time {
        tokio::time::sleep(pause).await;
        last_look = watch.tick();
        let now = table.list().await?;
        for lease in now.leases.iter().filter(|lease| check_holder(lease).is_err()) {
            let known = held.iter().find(|known| known.key == lease.key);
            if let Some(worker) = lease.holder()
                && known.is_some_and(|known| known.counter != lease.counter)
            {
                let (worker, key) = (worker.clone(), lease.key.clone());
                return Err(LeasesError::Alive { worker, key }.into());
            }
        }
    }
    Ok(())
}

/// Sets the checkpoint. A worker of this library that holds the lease goes on there. From one that would not notice it is taken in
/// the same write, so that it finds its lease lost and does not write its own progress over it.
async fn move_to(table: &Table, planned: &SeekMove, force: bool) -> Outcome {
    let mut lease = Lease::clone(&planned.lease);
    let was_finished = lease.is_finished();
    let was_strange = check_holder(&lease).is_err();
    for _ in 0..ATTEMPTS {
        let mut write = LeaseWrite::seek(&lease, planned.to.clone());
        if check_holder(&lease).is_err() {
            if !force && !was_strange {
                let who = lease.holder().map_or("somebody", AsRef::as_ref);
                return Outcome::Failed(format!("{who} took it meanwhile, and knows nothing of seeks"));
            }
            write.patch = kcl_core::Patch {
                seeks: write.patch.seeks,
                ..LeaseWrite::release(&lease, Some(planned.to.clone())).patch
            };
        }
        match table.update(&lease, &write).await {
            Ok(WriteOutcome::Applied(_)) => return Outcome::Done,
            Ok(WriteOutcome::Conflict(None)) => return Outcome::Failed("the lease is gone".to_owned()),
            Ok(WriteOutcome::Conflict(Some(row))) if row.is_finished() && !was_finished => {
                return Outcome::Failed("it was finished meanwhile".to_owned());
            }
            Ok(WriteOutcome::Conflict(Some(row))) if was_strange && !force => {
                let who = row.holder().map_or("somebody", AsRef::as_ref);
                return Outcome::Failed(format!("{who} wrote it meanwhile"));
            }
            Ok(WriteOutcome::Conflict(Some(row))) => lease = row,
            Err(error) => return Outcome::Failed(crate::error::chain(&error)),
        }
    }
    Outcome::Failed("its holder writes it all the time".to_owned())
}
