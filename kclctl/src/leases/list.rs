//! `kclctl leases list`.

use kcl_core::{ApplicationName, Lease, LeaseListing, UnreadableRow};
use serde::Serialize;

use super::table_args::TableArgs;
use crate::{aws::ConnectionArgs, error::Error, output};

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
    /// The stream's name, or `account:stream:epoch` where the application reads several.
    stream: Option<String>,
    shard_id: &'a str,
    owner: Option<&'a str>,
    hand_off_to: Option<&'a str>,
    checkpoint: String,
    pending_checkpoint: Option<String>,
    /// Since when nobody is to read the shard.
    paused_since: Option<String>,
    /// How often the checkpoint was moved by an operator.
    seeks: u64,
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

/// Prints all leases.
pub(crate) async fn list(args: &TableArgs, json: bool, connection: &ConnectionArgs) -> Result<(), Error> {
    let listing = args.open(connection).await?.list().await?;
    if json {
        let leases = listing.leases.iter().map(|lease| row(lease)).collect();
        let unreadable = listing.unreadable.iter().map(unreadable).collect();
        return output::json(&Leases {
            application: &args.app,
            leases,
            unreadable,
        });
    }
    show(args, &listing)
}

fn show(args: &TableArgs, listing: &LeaseListing) -> Result<(), Error> {
    if listing.leases.is_empty() && listing.unreadable.is_empty() {
        return output::line(&format!("{} holds no leases of {}", args.lease_table, args.app));
    }
    let several = listing.leases.iter().any(|lease| lease.stream_id().is_some());
    let header = [
        // Of several streams it is the key that tells shards apart.
        if several { "LEASE" } else { "SHARD" },
        "OWNER",
        "CHECKPOINT",
        "COUNTER",
        "PARENTS",
        "CHILDREN",
        "PASSED TO",
    ];
    let rows = listing.leases.iter().map(|lease| row(lease)).map(|row| {
        [
            if several { row.lease_key } else { row.shard_id }.to_owned(),
            row.owner.unwrap_or_default().to_owned(),
            match row.paused_since {
                Some(since) => format!("{} (paused since {since})", row.checkpoint),
                None => row.checkpoint,
            },
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
        stream: lease.stream.as_ref().map(ToString::to_string),
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
        paused_since: lease.paused.map(|since| since.to_string()),
        seeks: lease.seeks,
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
