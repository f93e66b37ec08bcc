//! Brokers side by side: the same requests, from the same client, to this project's broker and to its peers.
//!
//! Every broker is a process of its own, started fresh, measured alone, and ended. Writing and reading go over a bare
//! HTTP/1.1 client, so that the broker is what is measured and not an SDK; fan-out goes over the AWS SDK.

mod fanout;
mod load;
mod peers;

use std::{error::Error, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use integration::bench::client;
use kcl_broker::{Broker, Server};

use crate::{
    load::Load,
    peers::{Peer, Running},
};

type Failure = Box<dyn Error + Send + Sync>;

const STREAM: &str = "bench";

#[derive(Debug, Parser)]
#[command(about = "This project's broker beside its peers")]
struct Args {
    /// MiB of data to put, and then to read.
    #[arg(long, default_value_t = 1024)]
    mib: usize,
    /// Bytes per record.
    #[arg(long, default_value_t = 1024)]
    bytes: usize,
    /// Shards of the stream.
    #[arg(long, default_value_t = 4)]
    shards: usize,
    /// The longest that putting, and that reading, may take per broker; what was done until then is measured.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Records whose way through SubscribeToShard is timed.
    #[arg(long, default_value_t = 500)]
    events: usize,
    /// The program `ferrokinesis`, to measure it too.
    #[arg(long)]
    ferrokinesis: Option<PathBuf>,
    /// The `main.js` of the npm package `kinesis-local`, to measure kinesis-mock too.
    #[arg(long)]
    kinesis_mock: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Serve this project's broker until the process is killed.
    #[command(hide = true)]
    Broker { port: u16 },
}

/// What was measured of a broker.
struct Figures {
    name: &'static str,
    put_per_second: f64,
    put_cpu_per_million: f64,
    stored_mib: f64,
    resident_mib: f64,
    get_per_second: f64,
    get_cpu_per_million: f64,
    /// p50 and p99 in milliseconds, or why there are none.
    fanout: Result<(f64, f64), String>,
}

/// One figure of a broker.
type Figure = fn(&Figures) -> f64;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    if let Some(Part::Broker { port }) = args.part {
        return serve(port).await;
    }
    let mut figures = Vec::new();
    for peer in Peer::all(args.ferrokinesis.clone(), args.kinesis_mock.clone()) {
        eprintln!("measuring {}", peer.name());
        figures.push(measure(&peer, &args).await?);
    }
    println!(
        "{} MiB in records of {} bytes on {} shards, at most {} s for each direction",
        args.mib, args.bytes, args.shards, args.seconds
    );
    print(&figures);
    Ok(())
}

async fn measure(peer: &Peer, args: &Args) -> Result<Figures, Failure> {
    let running = Running::start(peer).await?;
    let sdk = client(&running.endpoint);
    sdk.create_stream()
        .stream_name(STREAM)
        .shard_count(i32::try_from(args.shards)?)
        .send()
        .await?;
    let arn = peers::active_stream(&sdk, STREAM).await?;
    let most = Duration::from_secs(args.seconds);
    let load = Load::connect(&running.endpoint, args.bytes)?;

    let fanout = fanout::latency(&sdk, STREAM, &arn, args.events).await;
    let fanout = fanout.map_err(|error| error.to_string());

    let cpu = running.process.cpu_seconds()?;
    let put = load.put(STREAM, args.mib * (1 << 20) / args.bytes, most).await?;
    let put_cpu = running.process.cpu_seconds()? - cpu;
    let resident_mib = running.process.resident_mib()?;

    let cpu = running.process.cpu_seconds()?;
    let got = load.get(&sdk, STREAM, most).await?;
    let get_cpu = running.process.cpu_seconds()? - cpu;
    #[expect(clippy::cast_precision_loss, reason = "numbers of records are far below 2^52")]
    let (put_records, got_records, bytes) = (put.records as f64, got.records as f64, args.bytes as f64);
    Ok(Figures {
        name: peer.name(),
        put_per_second: put_records / put.took.as_secs_f64(),
        put_cpu_per_million: put_cpu * 1e6 / put_records,
        stored_mib: put_records * bytes / f64::from(1 << 20),
        resident_mib,
        get_per_second: got_records / got.took.as_secs_f64(),
        get_cpu_per_million: get_cpu * 1e6 / got_records,
        fanout,
    })
}

fn print(figures: &[Figures]) {
    print!("{:34}", "");
    for broker in figures {
        print!("{:>16}", broker.name);
    }
    println!();
    let lines: [(&str, Figure); 6] = [
        ("PutRecords, records/s", |f| f.put_per_second),
        ("  CPU s per million records", |f| f.put_cpu_per_million),
        ("GetRecords, records/s", |f| f.get_per_second),
        ("  CPU s per million records", |f| f.get_cpu_per_million),
        ("stored, MiB of data", |f| f.stored_mib),
        ("resident after that, MiB", |f| f.resident_mib),
    ];
    for (name, figure) in lines {
        print!("{name:34}");
        for broker in figures {
            print!("{:>16.1}", figure(broker));
        }
        println!();
    }
    for (name, pick) in [("SubscribeToShard p50, ms", 0), ("SubscribeToShard p99, ms", 1)] {
        print!("{name:34}");
        for broker in figures {
            match &broker.fanout {
                Ok(latency) => print!("{:>16.2}", if pick == 0 { latency.0 } else { latency.1 }),
                Err(_) => print!("{:>16}", "-"),
            }
        }
        println!();
    }
    for broker in figures {
        if let Err(why) = &broker.fanout {
            println!("{}: no fan-out: {why}", broker.name);
        }
    }
}

async fn serve(port: u16) -> Result<(), Failure> {
    let broker = Broker::builder().stored_bytes_max(8 << 30).build();
    let _server = Server::bind(broker, ([127, 0, 0, 1], port)).await?;
    std::future::pending::<()>().await;
    Ok(())
}
