//! Polling and enhanced fan-out, each by a bare loop and by a worker, in one table.

use std::error::Error;

use integration::bench::client;

use crate::{Args, consume::Kind, fill, latency::Delays, measure::Run, measured, start_broker};

const SHARDS: [i32; 2] = [4, 64];
/// Records a second, for the time from put to handler.
const RATES: [usize; 2] = [100, 5_000];

pub(crate) async fn compare(args: &Args) -> Result<(), Box<dyn Error>> {
    let (_broker, endpoint) = start_broker(args)?;
    println!("{} records of {} bytes, one run each", args.records, args.bytes);
    println!(
        "{:8}{:18}{:>14}{:>12}{:>20}{:>12}",
        "shards", "", "records/s", "to loop", "CPU s per million", "peak MiB"
    );
    for shards in SHARDS {
        let stream = format!("throughput-{shards}");
        fill(&client(&endpoint), &stream, shards, args).await?;
        let read = |kind: Kind| measured::<Run>(args, &["read", kind.name(), &endpoint, &stream]);
        // The first warms the broker up.
        read(Kind::LoopPolling)?;
        let mut bare = f64::NAN;
        for kind in Kind::ALL {
            let run = read(kind)?;
            if matches!(kind, Kind::LoopPolling | Kind::LoopFanOut) {
                bare = run.records_per_second();
            }
            println!(
                "{shards:<8}{:18}{:>14.0}{:>12.2}{:>20.1}{:>12.0}",
                kind.name(),
                run.records_per_second(),
                run.records_per_second() / bare,
                run.cpu_per_million(),
                run.peak_mib
            );
        }
    }
    println!(
        "\nfrom before the put to the handler, {} shards, polls every 200 ms",
        args.shards
    );
    println!("{:>10}  {:18}{:>10}{:>10}", "records/s", "", "p50 ms", "p99 ms");
    for rate in RATES {
        for kind in Kind::ALL {
            let (stream, rate_text) = (format!("latency-{rate}-{}", kind.name()), rate.to_string());
            let delays: Delays = measured(args, &["watch", kind.name(), &endpoint, &stream, &rate_text])?;
            println!("{rate:>10}  {:18}{:>10.1}{:>10.1}", kind.name(), delays.p50, delays.p99);
        }
    }
    Ok(())
}
