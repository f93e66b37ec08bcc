//! `kclctl leases doctor`.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use kcl_core::{
    ApplicationName, LeaseListing, ShardFilter, StoreError, Timestamp,
    coordination::{Coordination, LeaderLock},
    doctor::{Examination, Finding, HAND_OFF_PATIENCE, Look, Remedy, Severity, StreamShards, examine},
    fetch::FetchFailure,
};
use kcl_runtime::{KinesisSource, RecordSource as _};
use serde::Serialize;

use super::{
    error::LeasesError,
    table::Table,
    table_args::{TableArgs, quoted},
};
use crate::{
    aws::{ConnectionArgs, Kinesis},
    clock::{Stopwatch, wall},
    error::Error,
    lease_table::BesideArgs,
    output,
    stream::StreamArg,
};

/// Beyond twice the failover time, whatever workers mend by themselves must be mended.
const MARGIN: Duration = Duration::from_millis(500);
/// How often to look whether what was seen is over, and how long a lock may stand still to be worth the wait: Java's lasts
/// two minutes.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
const LEADER_WATCH_MAX: Duration = Duration::from_mins(5);

/// What is examined.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    table: TableArgs,

    #[command(flatten)]
    beside: BesideArgs,

    /// The stream that the application reads, by name or by ARN: with it, leases are compared with the stream's shards. Give it
    /// several times for an application that reads several.
    #[arg(long = "stream", value_name = "NAME|ARN")]
    streams: Vec<StreamArg>,

    /// The failover time of the workers.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    failover_time: Duration,

    /// Look once instead of twice: nothing is said about who lives, and what one look cannot prove is named so.
    #[arg(long)]
    once: bool,

    /// Print a JSON object with `findings`.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    application: &'a ApplicationName,
    leases: usize,
    /// Between the two looks.
    seconds_between: Option<f64>,
    findings: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    severity: &'static str,
    code: &'static str,
    confirmed: bool,
    leases: Vec<String>,
    /// As `account:stream:epoch`, where the application reads several and it is about one.
    stream: Option<String>,
    message: String,
    remedy: String,
    command: Option<String>,
}

/// One look at table and stream.
struct Seen {
    listing: LeaseListing,
    /// What is beside them and when it was read, or why it cannot be.
    beside: Result<(Coordination, Timestamp), StoreError>,
    shards: Vec<StreamShards>,
}

impl Seen {
    fn reads_one_stream(&self) -> bool {
        let leases = &self.listing.leases;
        !leases.is_empty() && leases.iter().all(|lease| lease.stream_id().is_none())
    }

    fn as_look(&self) -> Look<'_> {
        Look {
            listing: &self.listing,
            shards: &self.shards,
            coordination: self.beside.as_ref().ok().map(|(found, at)| (found, *at)),
        }
    }
}

/// Says what is wrong; an error if any of it is one.
pub(crate) async fn doctor(args: DoctorArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let table = args.table.open_with(&args.beside, connection).await?;
    let mut sources = Vec::new();
    if !args.streams.is_empty() {
        let kinesis = Kinesis::connect(connection).await?;
        sources.extend(args.streams.iter().map(|stream| stream.source(&kinesis)));
    }
    let stopwatch = Stopwatch::start();
    let first = look(&table, &sources).await?;
    if args.streams.len() > 1 && first.reads_one_stream() {
        let problem = "the leases are those of an application that reads one stream: give one --stream";
        return Err(Error::Usage(problem.to_owned()));
    }
    if let Err(error) = &first.beside {
        note(&format!(
            "leaders and metrics are left out: {}",
            crate::error::chain(error)
        ));
    }
    let (last, between) = if args.once {
        (None, None)
    } else {
        let started = stopwatch.elapsed();
        tokio::time::sleep(args.failover_time * 2 + MARGIN).await;
        watch_hand_offs(&table, &first.listing, || stopwatch.elapsed().saturating_sub(started)).await?;
        if let Ok((Coordination { leader: Some(lock), .. }, _)) = &first.beside {
            watch_leader(&table, lock, || stopwatch.elapsed().saturating_sub(started)).await?;
        }
        let between = stopwatch.elapsed().saturating_sub(started);
        (Some(look(&table, &sources).await?), Some(between))
    };
    let earlier = match (&last, between) {
        (Some(_), Some(between)) => Some((first.as_look(), between)),
        _ => None,
    };
    let last = last.as_ref().unwrap_or(&first);
    let findings = examine(&Examination {
        stream: args.streams.first().map(StreamArg::name),
        earlier,
        last: last.as_look(),
        failover_time: args.failover_time,
    });
    show(&args, &last.listing, between, &findings)?;
    let errors = findings
        .iter()
        .filter(|found| found.severity == Severity::Error)
        .count();
    if errors == 0 {
        return Ok(());
    }
    Err(LeasesError::Unhealthy { errors }.into())
}

/// Waits until the hand-offs that were under way at the first look are done, or have taken longer than they may.
async fn watch_hand_offs(table: &Table, first: &LeaseListing, elapsed: impl Fn() -> Duration) -> Result<(), Error> {
    let needed = HAND_OFF_PATIENCE + MARGIN;
    let goes_on = |now: &LeaseListing| {
        let before = first.leases.iter().filter(|lease| lease.is_in_hand_off());
        let found = before.filter_map(|before| {
            let row = now.leases.iter().find(|row| row.key == before.key)?;
            let is_same = row.checkpoint_owner == before.checkpoint_owner && row.owner == before.owner;
            (is_same && row.counter != before.counter).then(|| row.key.clone())
        });
        found.collect::<Vec<_>>()
    };
    let mut is_told = false;
    loop {
        let left = needed.saturating_sub(elapsed());
        if left.is_zero() {
            return Ok(());
        }
        let Some(lease) = goes_on(&table.list().await?).into_iter().next() else {
            return Ok(());
        };
        if !std::mem::replace(&mut is_told, true) {
            let seconds = left.as_secs_f64().ceil();
            note(&format!(
                "waiting up to {seconds} s more to see whether the hand-off of {lease} ends"
            ));
        }
        tokio::time::sleep(left.min(LOOK_INTERVAL)).await;
    }
}

/// Waits until the leader has renewed its lock or has had the time for it, which may be longer than leases may stand still.
async fn watch_leader(table: &Table, lock: &LeaderLock, elapsed: impl Fn() -> Duration) -> Result<(), Error> {
    let needed = lock.lease_duration + MARGIN;
    if needed > LEADER_WATCH_MAX {
        return Ok(());
    }
    let mut is_told = false;
    loop {
        let left = needed.saturating_sub(elapsed());
        if left.is_zero() {
            return Ok(());
        }
        table.list().await?;
        if table.coordination().await?.leader.as_ref() != Some(lock) {
            return Ok(());
        }
        if !std::mem::replace(&mut is_told, true) {
            let seconds = left.as_secs_f64().ceil();
            note(&format!(
                "waiting up to {seconds} s more to see whether the leader {} lives",
                lock.owner
            ));
        }
        tokio::time::sleep(left.min(LOOK_INTERVAL)).await;
    }
}

/// The table first: a shard that has a lease then must be listed after.
async fn look(table: &Table, sources: &[KinesisSource]) -> Result<Seen, Error> {
    let listing = table.list().await?;
    // What the lease table holds of it was read with the leases.
    let beside = match table.coordination().await {
        Ok(found) => Ok((found, wall())),
        // Who may look at the leases need not have the permission for more.
        Err(Error::Store(error @ StoreError::Unusable { .. })) => Err(error),
        Err(error) => return Err(error),
    };
    let has_several = listing.leases.iter().any(|lease| lease.stream_id().is_some());
    let mut shards = Vec::new();
    for source in sources {
        let failed = |failure: FetchFailure| LeasesError::Shards {
            stream: source.stream().clone(),
            message: failure.message,
        };
        // Which one it is tells those of two accounts apart, and those that were created again.
        let id = match has_several {
            true => Some(source.identify().await.map_err(failed)?),
            false => None,
        };
        shards.push(StreamShards {
            stream: source.stream().clone(),
            id,
            shards: source.list_shards(ShardFilter::All).await.map_err(failed)?,
        });
    }
    Ok(Seen {
        listing,
        beside,
        shards,
    })
}

fn note(text: &str) {
    // Nothing is left to do if even stderr is gone.
    let _ = writeln!(io::stderr().lock(), "note: {text}");
}

fn show(
    args: &DoctorArgs,
    listing: &LeaseListing,
    between: Option<Duration>,
    findings: &[Finding],
) -> Result<(), Error> {
    let rows: Vec<Row> = findings.iter().map(|finding| row(args, finding)).collect();
    let leases = listing.leases.len();
    if args.json {
        return output::json(&Report {
            application: &args.table.app,
            leases,
            seconds_between: between.map(|between| between.as_secs_f64()),
            findings: rows,
        });
    }
    for row in &rows {
        let doubt = if row.confirmed {
            ""
        } else {
            " (seen once: it may be half of a change that is under way)"
        };
        let of = row
            .stream
            .as_ref()
            .map(|stream| format!(" of {stream}"))
            .unwrap_or_default();
        output::line(&format!("{}{of}: {}{doubt} [{}]", row.severity, row.message, row.code))?;
        output::line(&format!("  {}", row.remedy))?;
        if let Some(command) = &row.command {
            output::line(&format!("    {command}"))?;
        }
    }
    if rows.is_empty() {
        output::line(&format!(
            "nothing is wrong with the {leases} leases of {}",
            args.table.app
        ))?;
    }
    Ok(())
}

fn row(args: &DoctorArgs, finding: &Finding) -> Row {
    let remedy = finding.problem.remedy();
    Row {
        severity: finding.severity.as_str(),
        code: finding.problem.code(),
        confirmed: finding.confirmed,
        leases: finding.problem.leases().into_iter().map(ToString::to_string).collect(),
        stream: finding.stream.as_ref().map(ToString::to_string),
        message: finding.problem.to_string(),
        command: command(args, &remedy),
        remedy: remedy.words,
    }
}

/// The remedy as it can be pasted into a shell. Keys begin with no dash that could be taken for an option.
fn command(args: &DoctorArgs, remedy: &Remedy) -> Option<String> {
    let words = remedy.command.as_ref()?.iter().map(|word| quoted(word));
    let words: Vec<String> = words.collect();
    Some(format!("kclctl leases {} {}", words.join(" "), args.table))
}
