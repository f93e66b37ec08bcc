//! `kclctl broker`.

use std::{net::SocketAddr, time::Duration};

use clap::ValueEnum;
use kcl_broker::{Broker, Limits, Server};

use crate::{error::Error, output, parse, signals::Signals};

/// How long requests that have begun may take to end.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Serve the Kinesis API on this machine, with streams in memory.
///
/// Prints `listening on http://ADDRESS` when it is ready, and serves until SIGTERM or SIGINT. Every client of Kinesis can
/// use it: any region and credentials will do. The streams are gone when it ends.
#[derive(Debug, clap::Args)]
pub(crate) struct BrokerArgs {
    /// Where to listen; port 0 takes a free one. There is no access control: stay on loopback.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4567", value_parser = parse::address)]
    listen: SocketAddr,

    /// How long records are kept.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
    retention: Duration,

    /// The most bytes that all records may take; puts beyond them are refused [default: 2 GiB].
    #[arg(long, value_name = "BYTES", value_parser = parse::bytes)]
    max_bytes: Option<u64>,

    /// Whether the throughput of shards and the rate of calls are limited as on AWS. What is over a limit is refused as
    /// AWS does.
    #[arg(long, value_name = "WHOSE", value_enum, default_value_t = ChosenLimits::Off)]
    limits: ChosenLimits,
}

/// Whose limits hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ChosenLimits {
    /// Nobody's: as fast as the machine can.
    Off,
    /// Those of AWS: per shard 1 MiB and 1000 records a second in, 2 MiB and 5 reads a second out.
    Aws,
}

impl From<ChosenLimits> for Limits {
    fn from(chosen: ChosenLimits) -> Self {
        match chosen {
            ChosenLimits::Off => Self::Off,
            ChosenLimits::Aws => Self::Aws,
        }
    }
}

pub(crate) async fn run(args: BrokerArgs) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let mut broker = Broker::builder().retention(args.retention).limits(args.limits.into());
    if let Some(bytes) = args.max_bytes {
        broker = broker.stored_bytes_max(bytes);
    }
    let server = Server::bind(broker.build(), args.listen).await?;
    if !server.local_addr().ip().is_loopback() {
        tracing::warn!("the broker has no access control, and others can reach it at this address");
    }
    output::line(&format!("listening on {}", server.endpoint_url()))?;
    signals.next().await;
    // Connections that others keep open must not keep the process.
    if signals
        .or_exit(tokio::time::timeout(SHUTDOWN_GRACE, server.shutdown()))
        .await
        .is_err()
    {
        tracing::warn!("some requests did not end in time");
    }
    Ok(())
}
