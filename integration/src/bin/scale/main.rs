//! The lease table at size, on the built-in broker: what a worker takes that holds a thousand leases, and a scan of ten thousand.
//!
//! The broker and the worker are processes of their own, so that CPU and memory are each one's alone.

mod parts;

use std::{error::Error, process::Command};

use clap::{Parser, Subcommand};
use integration::bench::{serve, start_broker};
use kcl_broker::Broker;

#[derive(Debug, Parser)]
#[command(about = "The lease table at size, on the built-in broker")]
struct Args {
    /// Leases that one worker holds.
    #[arg(long, default_value_t = 1_000)]
    held: i32,
    /// Leases of the table that is scanned.
    #[arg(long, default_value_t = 10_000)]
    scanned: usize,
    #[command(subcommand)]
    part: Option<Part>,
}

/// The parts that run in processes of their own.
#[derive(Debug, Subcommand)]
enum Part {
    /// Serve a broker until the process is killed.
    #[command(hide = true)]
    Broker,
    /// Hold leases.
    #[command(hide = true)]
    Hold { endpoint: String },
    /// Scan a table.
    #[command(hide = true)]
    Scan { endpoint: String },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    match &args.part {
        None => measure(&args),
        Some(Part::Broker) => serve(Broker::new()).await,
        Some(Part::Hold { endpoint }) => parts::hold(endpoint, args.held).await,
        Some(Part::Scan { endpoint }) => parts::scan(endpoint, args.scanned).await,
    }
}

fn measure(args: &Args) -> Result<(), Box<dyn Error>> {
    let (_broker, endpoint) = start_broker(itself(args, &["broker"])?)?;
    for part in ["hold", "scan"] {
        let status = itself(args, &[part, &endpoint])?.status()?;
        if !status.success() {
            return Err(format!("the part {part} failed: {status}").into());
        }
    }
    Ok(())
}

fn itself(args: &Args, part: &[&str]) -> Result<Command, std::io::Error> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--held", &args.held.to_string(), "--scanned", &args.scanned.to_string()])
        .args(part);
    Ok(command)
}
