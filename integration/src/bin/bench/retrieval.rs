//! Polling and enhanced fan-out, plain and aggregated, with the broker's limits and without: each by a bare loop and by a
//! worker.

use std::error::Error;

use integration::bench::{start_broker, wall_nanos};

use crate::{
    Args,
    consume::Kind,
    itself,
    latency::Delays,
    measure::{Run, median},
    measured,
};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum What {
    /// How fast a full stream is read, as fast as both sides can.
    Free,
    /// The same with the service's limits on.
    Limited,
    /// The time from put to handler, and the memory that is kept at such a pace, with the service's limits on.
    Latency,
}

const LOADS: [(i32, bool); 4] = [(4, false), (4, true), (64, false), (64, true)];
/// Records a second, for the time from put to handler: on how many shards, and whether in aggregates. Four would not take 5,000.
const RATES: [usize; 2] = [100, 5_000];
const PACED: [(i32, bool); 3] = [(8, false), (8, true), (64, false)];
/// With limits a stream is as long as a shard gives in so many seconds: 2 MiB/s, whatever else happens.
const LIMITED_SECONDS: usize = 8;
const SHARD_BYTES: usize = 2 << 20;

pub(crate) fn compare(args: &Args, what: &[What]) -> Result<(), Box<dyn Error>> {
    let begun = wall_nanos();
    let asked = |one: What| what.is_empty() || what.contains(&one);
    println!(
        "records of {} bytes; medians of {} runs each without limits, one with",
        args.bytes, args.runs
    );
    heading();
    for limits in [false, true] {
        if asked(if limits { What::Limited } else { What::Free }) {
            for (shards, aggregated) in LOADS {
                let records = if limits {
                    limited_records(args, shards)
                } else {
                    args.records
                };
                let args = Args {
                    limits,
                    shards,
                    aggregated,
                    records,
                    ..args.clone()
                };
                throughput(&args)?;
            }
        }
    }
    if asked(What::Latency) {
        for (shards, aggregated) in PACED {
            latency(&Args {
                limits: true,
                shards,
                aggregated,
                records: 0,
                ..args.clone()
            })?;
        }
    }
    println!("{} s in all", (wall_nanos() - begun) / 1_000_000_000);
    Ok(())
}

fn limited_records(args: &Args, shards: i32) -> usize {
    usize::try_from(shards).unwrap_or(1) * SHARD_BYTES * LIMITED_SECONDS / args.bytes.max(1)
}

fn heading() {
    println!(
        "| limits | shards | data | reader | records/s | to loop | CPU s per million | MiB | p50 ms | p99 ms |\n|{}",
        "---|".repeat(10)
    );
}

fn start(args: &Args) -> String {
    let limits = if args.limits { "on" } else { "off" };
    let data = if args.aggregated { "aggregated" } else { "plain" };
    format!("| {limits} | {} | {data} |", args.shards)
}

fn throughput(args: &Args) -> Result<(), Box<dyn Error>> {
    let (_broker, endpoint) = start_broker(itself(args, &["broker"])?)?;
    let read = |kind: Kind| measured::<Run>(args, &["read", kind.name(), &endpoint]);
    let rounds = if args.limits { 1 } else { args.runs };
    let mut runs: [Vec<Run>; Kind::ALL.len()] = Default::default();
    if !args.limits {
        // The first warms the broker up.
        read(Kind::LoopPolling)?;
    }
    // They take turns, so that whatever else happens on the machine happens to all.
    for _ in 0..rounds {
        for (kind, runs) in Kind::ALL.into_iter().zip(&mut runs) {
            runs.push(read(kind)?);
        }
    }
    let mut bare = f64::NAN;
    for (kind, runs) in Kind::ALL.into_iter().zip(&runs) {
        let pace = median(runs, Run::records_per_second);
        if matches!(kind, Kind::LoopPolling | Kind::LoopFanOut) {
            bare = pace;
        }
        println!(
            "{} {} | {pace:.0} | {:.2} | {:.1} | {:.0} | | |",
            start(args),
            kind.name(),
            pace / bare,
            median(runs, Run::cpu_per_million),
            median(runs, |run| run.peak_mib),
        );
    }
    Ok(())
}

fn latency(args: &Args) -> Result<(), Box<dyn Error>> {
    let (_broker, endpoint) = start_broker(itself(args, &["broker"])?)?;
    for rate in RATES {
        for kind in Kind::ALL {
            let delays: Delays = measured(args, &["watch", kind.name(), &endpoint, &rate.to_string()])?;
            println!(
                "{} {} | {rate} put | | | {:.0} | {:.1} | {:.1} |",
                start(args),
                kind.name(),
                delays.resident_mib,
                delays.p50,
                delays.p99
            );
        }
    }
    Ok(())
}
