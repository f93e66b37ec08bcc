//! `kclctl migrate`.

use std::time::Duration;

use clap::Subcommand;

use crate::{
    aws::ConnectionArgs,
    consent::ConsentArgs,
    error::Error,
    lease_table::BesideArgs,
    leases::TableArgs,
    migrate::{self, Step},
};

/// Show which algorithms the Java workers of an application use on their way from KCL 2.x to 3.x, and change it.
///
/// Without a command it is `status`. The others say first what they would write and whether that is allowed, and ask
/// (`--dry-run`, `--yes`). They write only if the row is still as it was read. The workers find out within a minute and a half.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct MigrateArgs {
    #[command(subcommand)]
    command: Option<MigrateCommand>,

    // Beside the status' own arguments, since an optional group is there only if an argument of its very own is.
    #[command(flatten)]
    table: Option<TableArgs>,

    #[command(flatten)]
    beside: BesideArgs,

    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum MigrateCommand {
    /// Show where the application is: the row `Migration3.0`, its history, who leads, and who publishes metrics.
    Status(StatusArgs),
    /// Go back to the algorithms of 2.x. Allowed until the way back was given up.
    ///
    /// The workers go on with the code that they have. The index that they made stays; nothing in 2.x minds it.
    Rollback(StepArgs),
    /// Go forward again after a rollback: the workers get ready for the algorithms of 3.x, and change when all are.
    Rollforward(StepArgs),
    /// Give up the way back and stay with the algorithms of 3.x. Allowed when every worker uses them.
    ///
    /// It watches the table for the failover time to see which workers live, and refuses if none does, or if one of Java's
    /// publishes no metrics.
    Complete(StepArgs),
}

#[derive(Debug, clap::Args)]
struct StatusArgs {
    #[command(flatten)]
    table: TableArgs,

    #[command(flatten)]
    beside: BesideArgs,

    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct StepArgs {
    #[command(flatten)]
    table: TableArgs,

    #[command(flatten)]
    beside: BesideArgs,

    #[command(flatten)]
    consent: ConsentArgs,

    /// The failover time of the workers, for a command that has to see who lives.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    failover_time: Duration,

    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: MigrateArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let (step, args) = match (args.command, args.table) {
        (Some(MigrateCommand::Rollback(args)), _) => (Step::Rollback, args),
        (Some(MigrateCommand::Rollforward(args)), _) => (Step::Rollforward, args),
        (Some(MigrateCommand::Complete(args)), _) => (Step::Complete, args),
        (Some(MigrateCommand::Status(args)), _) => {
            return migrate::status(&args.table, &args.beside, args.json, connection).await;
        }
        (None, Some(table)) => return migrate::status(&table, &args.beside, args.json, connection).await,
        (None, None) => {
            let problem = "`kclctl migrate` needs --app and --lease-table; see --help for its commands";
            return Err(Error::Usage(problem.to_owned()));
        }
    };
    let ask = migrate::Ask {
        step,
        consent: args.consent,
        failover_time: args.failover_time,
        json: args.json,
    };
    migrate::step(&args.table, &args.beside, &ask, connection).await
}
