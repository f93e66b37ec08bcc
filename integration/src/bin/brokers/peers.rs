//! The brokers: how each is started, and when it is ready.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use aws_sdk_kinesis::{Client, types::StreamStatus};
use integration::bench::{Process, client};

use crate::Failure;

const READY_WITHIN: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(50);

/// A broker to measure.
#[derive(Debug)]
pub(crate) enum Peer {
    Own,
    Ferrokinesis(PathBuf),
    KinesisMock(PathBuf),
}

impl Peer {
    pub(crate) fn all(ferrokinesis: Option<PathBuf>, kinesis_mock: Option<PathBuf>) -> Vec<Self> {
        let mut all = vec![Self::Own];
        all.extend(ferrokinesis.map(Self::Ferrokinesis));
        all.extend(kinesis_mock.map(Self::KinesisMock));
        all
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Own => "kcl-broker",
            Self::Ferrokinesis(_) => "ferrokinesis",
            Self::KinesisMock(_) => "kinesis-mock",
        }
    }

    fn command(&self, port: u16) -> Result<Command, Failure> {
        Ok(match self {
            Self::Own => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["broker", &port.to_string()]);
                command
            }
            Self::Ferrokinesis(program) => {
                let mut command = Command::new(program);
                command.args(["serve", "--port", &port.to_string()]);
                command
            }
            Self::KinesisMock(script) => {
                let script = script.canonicalize()?;
                let mut command = Command::new("node");
                // It reads its settings from where it is run.
                if let Some(folder) = script.parent() {
                    command.current_dir(folder);
                }
                command
                    .arg("--max-old-space-size=8192")
                    .arg(&script)
                    .env("KINESIS_MOCK_PLAIN_PORT", port.to_string())
                    .env("KINESIS_MOCK_TLS_PORT", free_port()?.to_string())
                    .env("LOG_LEVEL", "ERROR");
                command
            }
        })
    }
}

/// A broker that runs, alone, until this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) endpoint: String,
}

impl Running {
    pub(crate) async fn start(peer: &Peer) -> Result<Self, Failure> {
        let port = free_port()?;
        let child = peer
            .command(port)?
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut running = Self {
            process: Process::new(child),
            endpoint: format!("http://127.0.0.1:{port}"),
        };
        let ready = tokio::time::timeout(READY_WITHIN, async {
            let sdk = client(&running.endpoint);
            loop {
                if sdk.list_streams().send().await.is_ok() {
                    return;
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        });
        match ready.await {
            Ok(()) => Ok(running),
            Err(_) => {
                let ended = running.process.child().try_wait()?;
                Err(format!("{} does not answer ({ended:?})", peer.name()).into())
            }
        }
    }
}

/// Waits for a stream and gives its ARN.
pub(crate) async fn active_stream(sdk: &Client, name: &str) -> Result<String, Failure> {
    loop {
        let answer = sdk.describe_stream_summary().stream_name(name).send().await?;
        if let Some(summary) = answer.stream_description_summary()
            && *summary.stream_status() == StreamStatus::Active
        {
            return Ok(summary.stream_arn().to_owned());
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// A port that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
