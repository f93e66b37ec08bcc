//! One process of the operating system: started in a group of its own, so that all that it starts ends with it.

use std::{
    io,
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{process::Command, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{config::ProcessConfig, environment, guard::Guard};

/// How long what was printed may take to be read once the process has ended. There is no more to come, unless somebody
/// else has the pipe.
const OUTPUT_WAIT: Duration = Duration::from_secs(1);

/// A process that runs, or that has ended and was not waited for.
///
/// To drop it is to kill it, and its guard kills the rest of its group.
#[derive(Debug)]
pub(super) struct Child {
    process: tokio::process::Child,
    group: Pid,
    guard: Option<Guard>,
    output: Vec<AbortOnDropHandle<()>>,
}

impl Child {
    /// Starts a process that finds its Runtime API at this address.
    pub(super) fn spawn(config: &ProcessConfig, number: u64, api: SocketAddr) -> io::Result<Self> {
        let directory = match &config.directory {
            Some(directory) => std::path::absolute(directory)?,
            None => std::env::current_dir()?,
        };
        let log_stream = format!("[{}]{number}", config.function_version);
        let variables = environment::variables(config, std::env::vars_os(), api, &directory, &log_stream);
        let (stdout, stderr) = config.output.streams()?;
        let mut process = Command::new(&config.program)
            .args(&config.arguments)
            .current_dir(&directory)
            .env_clear()
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        // A process that was just started has not been waited for, and has its number.
        let group = group.ok_or_else(|| io::Error::other("the process has no number"))?;
        if config.limit_memory {
            limit_memory(group, config.memory_size_mib)?;
        }
        let guard = match Guard::of(group) {
            Ok(guard) => Some(guard),
            Err(error) => {
                tracing::warn!(%error, "if this program is killed, what the function started lives on");
                None
            }
        };
        let output = config.output.forward(number, &mut process);
        Ok(Self {
            process,
            group,
            guard,
            output,
        })
    }

    /// The process's number, which is that of its group.
    pub(super) fn id(&self) -> u32 {
        self.group.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits for the end of the process by itself. May be called again.
    pub(super) async fn ended(&mut self) -> Ended {
        match self.process.wait().await {
            Ok(status) => Ended(Some(status)),
            Err(error) => {
                tracing::warn!(%error, "a function's process cannot be waited for");
                Ended(None)
            }
        }
    }

    /// Ends the process and all that it started: asks, then kills after the grace. Without one it is killed at once.
    pub(super) async fn stop(mut self, grace: Duration) -> Ended {
        if !grace.is_zero() {
            self.signal(Signal::TERM);
            // What it started may go on: that is killed below.
            let _ = timeout(grace, self.process.wait()).await;
        }
        self.signal(Signal::KILL);
        let ended = self.ended().await;
        if let Some(guard) = self.guard.take() {
            guard.dismiss().await;
        }
        for output in self.output {
            let _ = timeout(OUTPUT_WAIT, output).await;
        }
        ended
    }

    /// Kills what is left of the group: what the process said has all been sent then.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        match kill_process_group(self.group, signal) {
            // Nobody is left.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                tracing::warn!(group = self.id(), ?signal, %error, "a function's processes cannot be signalled");
            }
        }
    }
}

/// How a process ended; nothing if the system does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended(Option<ExitStatus>);

impl Ended {
    /// In the words that Lambda has for it.
    pub(super) fn describe(self) -> String {
        match self.0.map(|status| (status.code(), status.signal())) {
            Some((Some(0), _)) => "Runtime exited without providing a reason".to_owned(),
            Some((Some(code), _)) => format!("Runtime exited with error: exit status {code}"),
            Some((_, Some(signal))) => format!("Runtime exited with error: signal: {}", signal_name(signal)),
            _ => "Runtime exited without a status".to_owned(),
        }
    }
}

fn signal_name(signal: i32) -> String {
    let name = match Signal::from_named_raw(signal) {
        Some(Signal::KILL) => "killed",
        Some(Signal::SEGV) => "segmentation fault",
        Some(Signal::ABORT) => "aborted",
        Some(Signal::TERM) => "terminated",
        Some(Signal::BUS) => "bus error",
        Some(Signal::ILL) => "illegal instruction",
        Some(Signal::FPE) => "floating point exception",
        Some(Signal::INT) => "interrupt",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

/// Limits what the process may write to. It runs already, so that what it has by now may be more.
#[cfg(target_os = "linux")]
fn limit_memory(process: Pid, mib: u32) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, prlimit};

    let bytes = Some(u64::from(mib) << 20);
    let limit = Rlimit {
        current: bytes,
        maximum: bytes,
    };
    prlimit(Some(process), Resource::Data, limit)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn limit_memory(_: Pid, _: u32) -> io::Result<()> {
    // Refused with the configuration.
    Err(io::ErrorKind::Unsupported.into())
}
