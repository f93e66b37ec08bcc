//! Throughput and CPU of the worker beside a bare `GetRecords` loop: the same SDK, the same broker, the same records.
//!
//! The broker and every measured run are processes of their own, so that CPU and memory are each one's alone. The two
//! consumers take turns; medians are printed, and the ratio of the worker to the loop.
//!
//! `bench retrieval` has both ways of reading, 4 and 64 shards, plain and aggregated records, with the service's limits and
//! without, and the time from put to handler, in one table.

mod consume;
mod fill;
mod latency;
mod measure;
mod retrieval;
mod throughput;

use std::{
    error::Error,
    process::{Command, Stdio},
};

use clap::{Parser, Subcommand};
use integration::bench::{client, serve, start_broker};
use serde::de::DeserializeOwned;

use crate::{consume::Kind, measure::Run, retrieval::What};

const STREAM: &str = "bench";

#[derive(Clone, Debug, Parser)]
#[command(about = "The worker beside a bare GetRecords loop, on one broker")]
struct Args {
    /// Records to put and to read.
    #[arg(long, default_value_t = 400_000)]
    records: usize,
    /// Bytes per record.
    #[arg(long, default_value_t = 1024)]
    bytes: usize,
    /// Shards of the stream.
    #[arg(long, default_value_t = 4)]
    shards: i32,
    /// Runs of each consumer.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Keep to the service's limits of shards and calls.
    #[arg(long)]
    limits: bool,
    /// Put the records in aggregates, as the KPL does.
    #[arg(long)]
    aggregated: bool,
    /// The workers' memory budget in MiB. By default the workers' own default.
    #[arg(long = "budget", value_name = "MIB")]
    budget_mib: Option<u64>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// The parts that run in processes of their own.
#[derive(Clone, Debug, Subcommand)]
enum Part {
    /// Serve a broker whose stream is full, until the process is killed.
    #[command(hide = true)]
    Broker,
    /// Compare polling and enhanced fan-out, with 4 and 64 shards: throughput, CPU, memory, and the time from put to handler.
    Retrieval {
        /// Only these parts of the table.
        what: Vec<What>,
    },
    /// Read everything.
    #[command(hide = true)]
    Read { kind: Kind, endpoint: String },
    /// Read a new stream while records are put into it.
    #[command(hide = true)]
    Watch { kind: Kind, endpoint: String, rate: usize },
    /// Put records.
    #[command(hide = true)]
    Put {
        endpoint: String,
        stream: String,
        rate: usize,
    },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    match &args.part {
        None => compare(&args),
        Some(Part::Broker) => serve(fill::broker(&args)?).await,
        Some(Part::Retrieval { what }) => retrieval::compare(&args, what),
        Some(Part::Read { kind, endpoint }) => {
            let read = throughput::read(*kind, client(endpoint), &args);
            measure::report(Box::pin(read)).await
        }
        Some(Part::Watch { kind, endpoint, rate }) => {
            let watch = latency::watch(*kind, client(endpoint), endpoint, &args, *rate);
            println!("{}", serde_json::to_string(&Box::pin(watch).await?)?);
            Ok(())
        }
        Some(Part::Put { endpoint, stream, rate }) => latency::put(&client(endpoint), stream, &args, *rate).await,
    }
}

fn compare(args: &Args) -> Result<(), Box<dyn Error>> {
    let (_broker, endpoint) = start_broker(itself(args, &["broker"])?)?;
    println!(
        "{} records of {} bytes on {} shards, {} runs each",
        args.records, args.bytes, args.shards, args.runs
    );
    let (mut bare, mut worker) = (Vec::new(), Vec::new());
    for run in 0..=args.runs {
        let read = |kind: Kind| measured::<Run>(args, &["read", kind.name(), &endpoint]);
        let pair = (read(Kind::LoopPolling)?, read(Kind::WorkerPolling)?);
        // The first pair warms the broker up.
        if run > 0 {
            bare.push(pair.0);
            worker.push(pair.1);
        }
    }
    measure::print(&bare, &worker);
    Ok(())
}

/// Runs a part in a process of its own and reads what it measured.
fn measured<T: DeserializeOwned>(args: &Args, part: &[&str]) -> Result<T, Box<dyn Error>> {
    let output = itself(args, part)?.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{part:?} failed: {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn itself(args: &Args, part: &[&str]) -> Result<Command, std::io::Error> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--records").arg(args.records.to_string());
    command.arg("--shards").arg(args.shards.to_string());
    command.arg("--bytes").arg(args.bytes.to_string());
    for (flag, is_set) in [("--limits", args.limits), ("--aggregated", args.aggregated)] {
        command.args(is_set.then_some(flag));
    }
    if let Some(mib) = args.budget_mib {
        command.arg("--budget").arg(mib.to_string());
    }
    command.args(part);
    Ok(command)
}
