//! `kclctl`: the Kinesis consumer's command line.

mod aws;
mod cli;
mod clock;
mod cmd;
mod consent;
mod consume;
mod consumer;
mod dlq;
mod error;
mod lambda;
mod lease_table;
mod leases;
#[cfg(feature = "dynamodb")]
mod migrate;
mod output;
mod own_door;
mod parse;
mod put;
mod signals;
mod stream;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
