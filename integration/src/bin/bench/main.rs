//! Throughput and CPU of the worker beside a bare `GetRecords` loop: the same SDK, the same broker, the same records.
//!
//! The broker and every measured run are processes of their own, so that CPU and memory are each one's alone. The two
//! consumers take turns; medians are printed, and the ratio of the worker to the loop.

mod consume;
mod measure;

use std::{
    error::Error,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use aws_sdk_kinesis::{Client, primitives::Blob, types::PutRecordsRequestEntry};
use clap::{Parser, Subcommand};
use integration::bench::{Process, client};
use kcl_broker::{Broker, Server};

use crate::measure::Run;

const STREAM: &str = "bench";
const RECORDS_PER_PUT: usize = 500;

#[derive(Debug, Parser)]
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
    #[command(subcommand)]
    part: Option<Part>,
}

/// The parts that run in processes of their own.
#[derive(Debug, Subcommand)]
enum Part {
    /// Serve a broker until the process is killed.
    #[command(hide = true)]
    Broker,
    /// Read everything with a bare loop.
    #[command(hide = true)]
    Loop { endpoint: String },
    /// Read everything with a worker.
    #[command(hide = true)]
    Worker { endpoint: String },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    match &args.part {
        None => compare(&args).await,
        Some(Part::Broker) => serve().await,
        Some(Part::Loop { endpoint }) => {
            let client = client(endpoint);
            measure::report(consume::with_loop(client, STREAM, args.records)).await
        }
        Some(Part::Worker { endpoint }) => {
            let client = client(endpoint);
            measure::report(Box::pin(consume::with_worker(client, STREAM, args.records))).await
        }
    }
}

async fn compare(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut broker = Process::new(itself(args, &["broker"])?.stdout(Stdio::piped()).spawn()?);
    let stdout = broker.child().stdout.take().ok_or("the broker has no output")?;
    let endpoint = BufReader::new(stdout)
        .lines()
        .next()
        .ok_or("the broker printed no address")??;
    fill(&client(&endpoint), args).await?;
    println!(
        "{} records of {} bytes on {} shards, {} runs each",
        args.records, args.bytes, args.shards, args.runs
    );
    let (mut bare, mut worker) = (Vec::new(), Vec::new());
    for run in 0..=args.runs {
        let pair = (measured(args, "loop", &endpoint)?, measured(args, "worker", &endpoint)?);
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
fn measured(args: &Args, part: &str, endpoint: &str) -> Result<Run, Box<dyn Error>> {
    let output = itself(args, &[part, endpoint])?.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("the {part} failed: {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn itself(args: &Args, part: &[&str]) -> Result<Command, std::io::Error> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--records").arg(args.records.to_string()).args(part);
    Ok(command)
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let server = Server::bind(Broker::new(), ([127, 0, 0, 1], 0)).await?;
    println!("{}", server.endpoint_url());
    std::future::pending::<()>().await;
    Ok(())
}

async fn fill(client: &Client, args: &Args) -> Result<(), Box<dyn Error>> {
    client
        .create_stream()
        .stream_name(STREAM)
        .shard_count(args.shards)
        .send()
        .await?;
    let data = Blob::new(vec![b'x'; args.bytes]);
    let mut put = 0;
    while put < args.records {
        let count = RECORDS_PER_PUT.min(args.records - put);
        let entry = |index: usize| {
            PutRecordsRequestEntry::builder()
                .partition_key(index.to_string())
                .data(data.clone())
        };
        let entries = (put..put + count)
            .map(|index| entry(index).build())
            .collect::<Result<Vec<_>, _>>()?;
        let answer = client
            .put_records()
            .stream_name(STREAM)
            .set_records(Some(entries))
            .send()
            .await?;
        if answer.failed_record_count != Some(0) {
            return Err("the broker refused records".into());
        }
        put += count;
    }
    Ok(())
}
