//! What the benchmarks share: processes that end with their owner, and clients of an endpoint.

use std::{
    error::Error,
    io::{self, BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use aws_sdk_kinesis::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
};
use kcl_broker::{Broker, Server};

/// A child process that ends with its owner.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Takes charge of a process.
    #[must_use]
    pub fn new(child: Child) -> Self {
        Self(child)
    }

    /// The process itself.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// The CPU time that it has used.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn cpu_seconds(&self) -> io::Result<f64> {
        cpu_seconds(&self.0.id().to_string())
    }

    /// The memory that it keeps resident now, in MiB.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn resident_mib(&self) -> io::Result<f64> {
        memory_mib(&self.0.id().to_string(), "VmRSS:")
    }
}

/// Starts a process that serves a broker, and says where it is.
///
/// # Errors
/// If it does not start, or ends before it says so.
pub fn start_broker(mut command: Command) -> io::Result<(Process, String)> {
    let mut broker = Process::new(command.stdout(Stdio::piped()).spawn()?);
    let stdout = broker.child().stdout.take();
    let said = stdout.and_then(|stdout| BufReader::new(stdout).lines().next());
    let endpoint = said.ok_or_else(|| io::Error::other("the broker printed no address"))??;
    Ok((broker, endpoint))
}

/// What that process does: serves the broker on this machine until it is killed.
///
/// # Errors
/// If there is no port for it.
pub async fn serve(broker: Broker) -> Result<(), Box<dyn Error>> {
    let server = Server::bind(broker, ([127, 0, 0, 1], 0)).await?;
    println!("{}", server.endpoint_url());
    std::future::pending().await
}

/// The CPU time that this process has used.
///
/// # Errors
/// If the kernel does not tell.
pub fn own_cpu_seconds() -> io::Result<f64> {
    cpu_seconds("self")
}

/// The most memory that this process ever kept resident, in MiB.
///
/// # Errors
/// If the kernel does not tell.
pub fn own_peak_mib() -> io::Result<f64> {
    memory_mib("self", "VmHWM:")
}

/// The memory that this process keeps resident now, in MiB.
///
/// # Errors
/// If the kernel does not tell.
pub fn own_resident_mib() -> io::Result<f64> {
    memory_mib("self", "VmRSS:")
}

/// From the scheduler's own count of ticks, 100 a second on Linux.
fn cpu_seconds(process: &str) -> io::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Option<u64> = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().ok())
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "ticks of one run are few")]
    let seconds = ticks.map(|ticks| ticks as f64 / 100.0);
    seconds.ok_or_else(|| io::Error::other("the kernel tells no CPU time"))
}

fn memory_mib(process: &str, field: &str) -> io::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib: Option<f64> = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    kib.map(|kib| kib / 1024.0)
        .ok_or_else(|| io::Error::other("the kernel tells no memory"))
}

/// The time, for benchmarks alone.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time, here and nowhere else"
)]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// The time in nanoseconds since 1970, which all processes of this machine have in common.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time, here and nowhere else"
)]
#[must_use]
pub fn wall_nanos() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is gone already, or it goes now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client of a broker on this machine.
#[must_use]
pub fn client(endpoint: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "bench"))
        .endpoint_url(endpoint)
        .build();
    Client::from_conf(config)
}
