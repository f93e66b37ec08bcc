//! `kclctl broker`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::ValueEnum;
use kcl_broker::{Broker, EngineConfig, Limits, SelfSigned, Server};

use crate::{aws::ConnectionArgs, error::Error, output, parse, signals::Signals};

/// How long requests that have begun may take to end.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Serve the Kinesis API on this machine, with streams in memory.
///
/// Prints `listening on http://ADDRESS` when it is ready, and serves until SIGTERM or SIGINT. Every client of Kinesis can
/// use it: any region and credentials will do, and streams by ARN are those of --region and --account. The streams are gone when
/// it ends.
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

    /// How long streams are CREATING, UPDATING and DELETING, and consumers too. AWS takes some seconds or minutes.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    transition: Duration,

    /// Whether the throughput of shards and the rate of calls are limited as on AWS. What is over a limit is refused as
    /// AWS does.
    #[arg(long, value_name = "WHOSE", value_enum, default_value_t = ChosenLimits::Off)]
    limits: ChosenLimits,

    /// The account that the broker is: ARNs name it, and those of others are of streams that do not exist. The region is
    /// that of --region.
    #[arg(long, value_name = "ID", default_value = "000000000000", value_parser = parse::account)]
    account: String,

    /// How many calls the log of operations keeps, see `kclctl operations`; 0 keeps none.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    operations: usize,

    #[command(flatten)]
    tls: TlsArgs,
}

#[derive(Debug, clap::Args)]
struct TlsArgs {
    /// Speak TLS, with a certificate that is made at the start. Clients must be told to trust it: see --tls-cert-out.
    #[arg(long)]
    tls: bool,

    /// Where to write what clients must trust, as PEM: boto3 and the AWS command line take it from AWS_CA_BUNDLE, Node.js
    /// from NODE_EXTRA_CA_CERTS, Rust and kclctl from SSL_CERT_FILE.
    #[arg(long, value_name = "FILE", requires = "tls")]
    tls_cert_out: Option<PathBuf>,

    /// A further host name or IP address that clients use for this machine, beside localhost and its addresses.
    #[arg(long, value_name = "NAME", requires = "tls")]
    tls_name: Vec<String>,
}

impl TlsArgs {
    /// The certificate to serve with, if any.
    async fn certificate(self, listen: SocketAddr) -> Result<Option<SelfSigned>, Error> {
        if !self.tls {
            return Ok(None);
        }
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let listen = listen.ip();
        if !listen.is_unspecified() && !names.contains(&listen.to_string()) {
            names.push(listen.to_string());
        }
        names.extend(self.tls_name);
        let certificate = SelfSigned::new(names)?;
        if let Some(path) = self.tls_cert_out {
            let written = tokio::fs::write(&path, certificate.authority_pem()).await;
            written.map_err(|source| Error::CertificateOut { path, source })?;
        }
        Ok(Some(certificate))
    }
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

pub(crate) async fn run(args: BrokerArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let mut config = EngineConfig {
        account: args.account,
        ..EngineConfig::default()
    };
    if let Some(region) = connection.region() {
        region.clone_into(&mut config.region);
    }
    let mut broker = Broker::builder()
        .config(config)
        .retention(args.retention)
        .transition(args.transition)
        .limits(args.limits.into())
        .operations_max(args.operations);
    if let Some(bytes) = args.max_bytes {
        broker = broker.stored_bytes_max(bytes);
    }
    let broker = broker.build();
    let server = match args.tls.certificate(args.listen).await? {
        Some(certificate) => Server::bind_tls(broker, args.listen, &certificate).await?,
        None => Server::bind(broker, args.listen).await?,
    };
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
