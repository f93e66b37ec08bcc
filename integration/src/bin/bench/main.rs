//! Throughput and CPU of the worker beside a bare `GetRecords` loop: the same SDK, the same broker, the same records.
//!
//! The broker and every measured run are processes of their own, so that CPU and memory are each one's alone. The two
//! consumers take turns; medians are printed, and the ratio of the worker to the loop.
//!
//! `bench retrieval` has both ways of reading, 4 and 64 shards, and the time from put to handler, in one table.

mod consume;
mod latency;
mod measure;
mod retrieval;
mod throughput;

use std::{
    error::Error,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use aws_sdk_kinesis::{Client, primitives::Blob, types::PutRecordsRequestEntry};
use clap::{Parser, Subcommand};
use integration::bench::{Process, client};
use kcl_broker::{Broker, Server};
use serde::de::DeserializeOwned;

use crate::{consume::Kind, measure::Run};

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
    /// Compare polling and enhanced fan-out, with 4 and 64 shards: throughput, CPU, memory, and the time from put to handler.
    Retrieval,
    /// Read everything.
    #[command(hide = true)]
    Read {
        kind: Kind,
        endpoint: String,
        stream: String,
    },
    /// Put records into a new stream, and read them meanwhile.
    #[command(hide = true)]
    Watch {
        kind: Kind,
        endpoint: String,
        stream: String,
        rate: usize,
    },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    match &args.part {
        None => compare(&args).await,
        Some(Part::Broker) => serve().await,
        Some(Part::Retrieval) => retrieval::compare(&args).await,
        Some(Part::Read { kind, endpoint, stream }) => {
            let read = throughput::read(*kind, client(endpoint), stream, args.records);
            measure::report(Box::pin(read)).await
        }
        Some(Part::Watch {
            kind,
            endpoint,
            stream,
            rate,
        }) => {
            let delays = Box::pin(latency::watch(*kind, client(endpoint), stream, args.shards, *rate)).await?;
            println!("{}", serde_json::to_string(&delays)?);
            Ok(())
        }
    }
}

async fn compare(args: &Args) -> Result<(), Box<dyn Error>> {
    let (_broker, endpoint) = start_broker(args)?;
    fill(&client(&endpoint), STREAM, args.shards, args).await?;
    println!(
        "{} records of {} bytes on {} shards, {} runs each",
        args.records, args.bytes, args.shards, args.runs
    );
    let (mut bare, mut worker) = (Vec::new(), Vec::new());
    for run in 0..=args.runs {
        let read = |kind: Kind| measured::<Run>(args, &["read", kind.name(), &endpoint, STREAM]);
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

/// Starts a broker in a process of its own, and says where it is.
fn start_broker(args: &Args) -> Result<(Process, String), Box<dyn Error>> {
    let mut broker = Process::new(itself(args, &["broker"])?.stdout(Stdio::piped()).spawn()?);
    let stdout = broker.child().stdout.take().ok_or("the broker has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let endpoint = lines.next().ok_or("the broker printed no address")??;
    Ok((broker, endpoint))
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
    command.arg("--shards").arg(args.shards.to_string()).args(part);
    Ok(command)
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let server = Server::bind(Broker::new(), ([127, 0, 0, 1], 0)).await?;
    println!("{}", server.endpoint_url());
    std::future::pending::<()>().await;
    Ok(())
}

async fn fill(client: &Client, stream: &str, shards: i32, args: &Args) -> Result<(), Box<dyn Error>> {
    let create = client.create_stream().stream_name(stream).shard_count(shards);
    create.send().await?;
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
            .stream_name(stream)
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
