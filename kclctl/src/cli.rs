//! The command line as a whole: what it accepts, what it logs, how it ends.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, ParseError, filter_fn},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

#[cfg(feature = "dynamodb")]
use crate::cmd::migrate;
use crate::{
    aws::ConnectionArgs,
    cmd::{broker, consume, consumer, dlq, fault, lambda, leases, operations, put, replay, stream, tag},
    error::Error,
};

/// Puts records into Kinesis streams and consumes them, on AWS or on a broker on this machine.
#[derive(Debug, Parser)]
#[command(name = "kclctl", version, max_term_width = 110, long_about = LONG_ABOUT, after_long_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    connection: ConnectionArgs,

    /// What is logged to stderr, such as `warn` or `info,kcl_runtime=debug` [default: as RUST_LOG says, or `info`].
    #[arg(long, global = true, value_name = "FILTER", help_heading = GLOBAL)]
    log: Option<String>,
}

pub(crate) const GLOBAL: &str = "Options of every command";

const LONG_ABOUT: &str = "\
Puts records into Kinesis streams and consumes them, on AWS or on a broker on this machine.

To try it without an account, in two terminals:
  kclctl broker
  export KCL_ENDPOINT=http://127.0.0.1:4567
  kclctl stream create rides --shards 2
  kclctl put --stream rides --key-field taxi rides.csv
  kclctl consume --stream rides --app billing --until-idle 2s";

const AFTER_HELP: &str = "\
Exit codes:
  0    done; also after a clean stop by SIGTERM or SIGINT, and when the reader of stdout went away
  1    failed; stderr says why on a line that begins with `error:`
  2    wrong usage; nothing was done
  3    put: a record of the input cannot be put; everything before it was
  130  consume, broker: cut short by a second signal

Results go to stdout; logs, progress and errors to stderr.";

// What the commands are for stands with their arguments: a comment here would hide it from `--help`.
#[derive(Debug, Subcommand)]
enum Command {
    Broker(broker::BrokerArgs),
    #[command(subcommand)]
    Stream(stream::StreamCommand),
    #[command(subcommand, visible_alias = "consumers")]
    Consumer(consumer::ConsumerCommand),
    #[command(subcommand)]
    Tag(tag::TagCommand),
    Put(put::PutArgs),
    Consume(Box<consume::ConsumeArgs>),
    Replay(replay::ReplayArgs),
    #[command(subcommand)]
    Lambda(lambda::LambdaCommand),
    Leases(leases::LeasesArgs),
    #[command(subcommand)]
    Dlq(dlq::DlqCommand),
    #[cfg(feature = "dynamodb")]
    Migrate(migrate::MigrateArgs),
    #[command(subcommand)]
    Fault(fault::FaultCommand),
    Operations(operations::OperationsArgs),
}

/// Reads the arguments, runs the command, tells how it ended.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print();
            error.exit_code()
        }
    }
}

fn start(cli: Cli) -> Result<(), Error> {
    let of_environment = || std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = cli.log.or_else(of_environment).unwrap_or_else(|| "info".to_owned());
    log_to_stderr(&filter).map_err(|source| Error::LogFilter { filter, source })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let result = runtime.block_on(run(cli.command, &cli.connection));
    // A thread that is stuck in a read of stdin or a write to stdout must not keep the process.
    runtime.shutdown_background();
    result
}

async fn run(command: Command, connection: &ConnectionArgs) -> Result<(), Error> {
    match command {
        Command::Broker(args) => Box::pin(broker::run(args, connection)).await,
        Command::Stream(command) => Box::pin(stream::run(command, connection)).await,
        Command::Consumer(command) => Box::pin(consumer::run(command, connection)).await,
        Command::Tag(command) => Box::pin(tag::run(command, connection)).await,
        Command::Put(args) => Box::pin(put::run(args, connection)).await,
        Command::Consume(args) => Box::pin(consume::run(*args, connection)).await,
        Command::Lambda(command) => Box::pin(lambda::run(command, connection)).await,
        Command::Replay(args) => Box::pin(replay::run(args, connection)).await,
        Command::Dlq(command) => Box::pin(dlq::run(command, connection)).await,
        Command::Leases(args) => Box::pin(leases::run(args, connection)).await,
        #[cfg(feature = "dynamodb")]
        Command::Migrate(args) => Box::pin(migrate::run(args, connection)).await,
        Command::Fault(command) => Box::pin(fault::run(command, connection)).await,
        Command::Operations(args) => Box::pin(operations::run(args, connection)).await,
    }
}

fn log_to_stderr(filter: &str) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    // Its most detailed events hold requests and answers, and with them what users keep in their records.
    let without_data = filter_fn(|event| *event.level() != Level::TRACE || !event.target().starts_with("aws_"));
    let layer = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .compact()
        .with_filter(filter.and(without_data));
    tracing_subscriber::registry().with(layer).init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_endpoint_is_accepted_before_and_after_the_command() {
        for arguments in [
            ["kclctl", "--endpoint", "http://localhost:1", "stream", "list"],
            ["kclctl", "stream", "list", "--endpoint", "http://localhost:1"],
        ] {
            let cli = Cli::try_parse_from(arguments).unwrap();
            assert_eq!(cli.connection.endpoint.as_ref().unwrap().as_str(), "http://localhost:1");
        }
    }
}
