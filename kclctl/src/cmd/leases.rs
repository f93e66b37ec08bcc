//! `kclctl leases`.

use clap::Subcommand;
use kcl_core::LeaseKey;

use crate::{
    aws::ConnectionArgs,
    error::Error,
    leases::{self, ChangeArgs, DoctorArgs, PauseArgs, ReleaseArgs, SeekArgs, TableArgs, WatchArgs},
};

/// Show who reads which shard, and how far; find out what is wrong, and mend it.
///
/// Without a command it is `list`. What changes rows says first what it would do, and asks (`--dry-run`, `--yes`). Every
/// change is made only if the row is still as it was read; what could not be done makes the exit code 1.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct LeasesArgs {
    #[command(subcommand)]
    command: Option<LeasesCommand>,

    // Beside the list's own arguments, since an optional group is there only if an argument of its very own is.
    #[command(flatten)]
    table: Option<TableArgs>,

    /// Print a JSON object with `leases` and `unreadable`.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum LeasesCommand {
    /// Show who reads which shard, and how far.
    ///
    /// It only looks: nothing is changed, no file is created, and no table. In what it shows, OWNER is the worker that reads
    /// the shard now, CHECKPOINT how far it was handled (a sequence number, SHARD_END when all of it was, or where reading
    /// starts), COUNTER a number that grows as long as the owner lives, PASSED TO the worker that gets the lease next.
    List(ListArgs),
    /// Watch the leases: the table anew at each look, or on what is no terminal a line for each change.
    ///
    /// No row says when it was written: UNCHANGED FOR is how long the counter has stood while this watched. CHECKPOINTS/MIN
    /// counts the looks that showed another checkpoint.
    Watch(WatchArgs),
    /// Have leases given back, so that others take them at once.
    ///
    /// A holder that lives is asked: it finishes its batch, checkpoints and gives the lease back, so that no record is
    /// handled twice. One that does not renew is gone, and its lease is freed after the failover time. A worker that goes on
    /// may take a lease again; to empty it, stop it. A worker of Java drops a lease that it is asked for at once,
    /// without a checkpoint.
    Release(ReleaseArgs),
    /// Move checkpoints to another place, also while the application runs.
    ///
    /// A worker that holds a lease keeps it, and goes on at the new place within its renewal interval (3 s). Workers of Java
    /// would not notice: while one holds a lease, the table is watched for the failover time, and the command refuses as soon
    /// as it shows that it lives. Going forward skips records, going back repeats them. Workers of Java take the time of a
    /// position from their own configuration.
    Seek(SeekArgs),
    /// Have shards read no more, whoever holds them, until they are resumed. Their leases stay where they are.
    ///
    /// Workers finish the batch under way and checkpoint it. Shards that begin to be read later are not paused with them: those
    /// that follow a paused one wait for it. Workers of Java know nothing of it.
    Pause(PauseArgs),
    /// Have paused shards read again, from the exact place.
    Resume(PauseArgs),
    /// Remove leases that nobody holds.
    ///
    /// The checkpoint goes with the lease; what it was stands in the output.
    Delete(DeleteArgs),
    /// Find out what is wrong with the leases, and what to do about it.
    ///
    /// It looks twice, with twice the failover time between, and says nothing that a stale read or a change under way can
    /// produce. The exit code is 0 if nothing is wrong, or only notes and warnings are found, and 1 if there are errors.
    Doctor(DoctorArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    table: TableArgs,

    /// Print a JSON object with `leases` and `unreadable`.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct DeleteArgs {
    #[command(flatten)]
    table: TableArgs,

    /// The leases, by key: for an application of one stream, the ids of the shards.
    #[arg(value_name = "LEASE", required_unless_present = "all", conflicts_with = "all")]
    leases: Vec<LeaseKey>,

    /// All leases of the application, which then begins anew.
    #[arg(long)]
    all: bool,

    /// Leases that are held, too. A holder that lives puts its lease back, with its progress.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    change: ChangeArgs,
}

pub(crate) async fn run(args: LeasesArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let command = match (args.command, args.table) {
        (Some(command), _) => command,
        (None, Some(table)) => LeasesCommand::List(ListArgs { table, json: args.json }),
        (None, None) => {
            let problem = "`kclctl leases` needs --app and --lease-table; see --help for its commands";
            return Err(Error::Usage(problem.to_owned()));
        }
    };
    match command {
        LeasesCommand::List(args) => leases::list(&args.table, args.json, connection).await,
        LeasesCommand::Watch(args) => leases::watch(args, connection).await,
        LeasesCommand::Release(args) => leases::release(args, connection).await,
        LeasesCommand::Seek(args) => leases::seek(args, connection).await,
        LeasesCommand::Pause(args) => leases::pause(args, true, connection).await,
        LeasesCommand::Resume(args) => leases::pause(args, false, connection).await,
        LeasesCommand::Delete(args) => {
            let DeleteArgs {
                table,
                leases: keys,
                all,
                force,
                change,
            } = args;
            let keys = (!all).then_some(keys.as_slice());
            leases::delete(&table, keys, force, &change, connection).await
        }
        LeasesCommand::Doctor(args) => leases::doctor(args, connection).await,
    }
}
