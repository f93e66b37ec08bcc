//! `kclctl leases`.

use kcl_core::{ApplicationName, Lease, LeaseListing, UnreadableRow};
use serde::Serialize;

use crate::{aws::ConnectionArgs, error::Error, lease_table::LeaseTable, output};

/// Show who reads which shard, and how far.
///
/// It only looks: nothing is changed, no file is created, and no table. In what it shows, OWNER is the worker that reads the
/// shard now, CHECKPOINT how far it was handled (a sequence number, SHARD_END when all of it was, or where reading starts),
/// COUNTER a number that grows as long as the owner lives, PASSED TO the worker that gets the lease next.
#[derive(Debug, clap::Args)]
pub(crate) struct LeasesArgs {
    /// The application, as `kclctl consume --app` or the worker names it.
    #[arg(long, value_name = "NAME")]
    app: ApplicationName,

    /// The lease table: `sqlite:PATH`, `dynamodb:NAME`, or `dynamodb`, where the table has the application's name.
    #[arg(long, value_name = "TABLE")]
    lease_table: LeaseTable,

    /// Print a JSON object with `leases` and `unreadable`.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Leases<'a> {
    application: &'a ApplicationName,
    leases: Vec<Row<'a>>,
    unreadable: Vec<Unreadable<'a>>,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    lease_key: &'a str,
    shard_id: &'a str,
    owner: Option<&'a str>,
    hand_off_to: Option<&'a str>,
    checkpoint: String,
    pending_checkpoint: Option<String>,
    counter: u64,
    owner_switches_since_checkpoint: u64,
    parents: Vec<&'a str>,
    children: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct Unreadable<'a> {
    lease_key: &'a str,
    reason: &'a str,
}

pub(crate) async fn run(args: LeasesArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    if args.lease_table == LeaseTable::Memory {
        let problem =
            "the lease table `memory` lives in its worker and cannot be looked at; use sqlite:PATH or dynamodb:NAME";
        return Err(Error::Usage(problem.to_owned()));
    }
    let store = args.lease_table.open_existing(&args.app, connection).await?;
    let listing = store.list().await?;
    if args.json {
        let leases = listing.leases.iter().map(|lease| row(lease)).collect();
        let unreadable = listing.unreadable.iter().map(unreadable).collect();
        return output::json(&Leases {
            application: &args.app,
            leases,
            unreadable,
        });
    }
    show(&args, &listing)
}

fn show(args: &LeasesArgs, listing: &LeaseListing) -> Result<(), Error> {
    if listing.leases.is_empty() && listing.unreadable.is_empty() {
        return output::line(&format!("{} holds no leases of {}", args.lease_table, args.app));
    }
    let header = [
        "SHARD",
        "OWNER",
        "CHECKPOINT",
        "COUNTER",
        "PARENTS",
        "CHILDREN",
        "PASSED TO",
    ];
    let rows = listing.leases.iter().map(|lease| row(lease)).map(|row| {
        [
            row.shard_id.to_owned(),
            row.owner.unwrap_or_default().to_owned(),
            row.checkpoint,
            row.counter.to_string(),
            row.parents.join(","),
            row.children.join(","),
            row.hand_off_to.unwrap_or_default().to_owned(),
        ]
    });
    output::table(header, rows)?;
    if listing.unreadable.is_empty() {
        return Ok(());
    }
    let rows = listing
        .unreadable
        .iter()
        .map(|row| format!("\n  {:?}: {}", row.key, row.reason));
    output::line(&format!("\nThese rows are no leases:{}", rows.collect::<String>()))
}

fn row(lease: &Lease) -> Row<'_> {
    Row {
        lease_key: lease.key.as_str(),
        shard_id: lease.shard.as_str(),
        owner: lease.holder().map(AsRef::as_ref),
        hand_off_to: lease
            .owner
            .as_ref()
            .filter(|_| lease.is_in_hand_off())
            .map(AsRef::as_ref),
        checkpoint: lease.checkpoint.to_string(),
        pending_checkpoint: lease
            .pending_checkpoint
            .as_ref()
            .map(|pending| pending.position.to_string()),
        counter: lease.counter,
        owner_switches_since_checkpoint: lease.owner_switches_since_checkpoint,
        parents: lease.parents.iter().map(AsRef::as_ref).collect(),
        children: lease.children.iter().map(AsRef::as_ref).collect(),
    }
}

fn unreadable(row: &UnreadableRow) -> Unreadable<'_> {
    Unreadable {
        lease_key: &row.key,
        reason: &row.reason,
    }
}
