//! [`TaskMetadata`]: how busy a container on ECS is, as the agent tells at the address that it gives to each container
//! (task metadata, version 4).
//!
//! A container may use more than its part of the task while the others rest. Its part is all that it can count on, so that is
//! what 100 percent are, as with Java's workers: the task's limit, or the machine where it has none, by the CPU shares of its
//! containers.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use http::{StatusCode, Uri, uri::InvalidUri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

/// Where the agent says that its address is.
const ADDRESS: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// The agent is on the same machine. It shall not take up the time that publishing has.
const TIMEOUT: Duration = Duration::from_secs(1);

/// More than the description of any task.
const BODY_LIMIT: usize = 1024 * 1024;

/// What a container has that asks for no CPU shares.
const LEAST_SHARES: f64 = 2.0;

/// What is asked of the agent.
#[derive(Debug)]
pub(super) struct TaskMetadata {
    address: String,
    client: Client<HttpConnector, Empty<Bytes>>,
    /// How many CPUs the container can count on. It stays for the life of a container.
    part: Option<f64>,
    last: Option<Times>,
}

/// What a container and its machine used, all CPUs together, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Times {
    container: u64,
    machine: u64,
}

/// Why the agent's answer is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum TaskMetadataError {
    #[error("{ADDRESS} is no address: {0}")]
    Address(#[from] InvalidUri),
    #[error("the request failed: {0}")]
    Request(#[from] hyper_util::client::legacy::Error),
    #[error("the answer broke off: {0}")]
    Body(Box<dyn Error + Send + Sync>),
    #[error("there was no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the answer is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the answer says nothing of {0}")]
    Missing(&'static str),
}

impl TaskMetadata {
    /// Of the container that this process runs in, if ECS runs it.
    pub(super) fn of_this_process() -> Option<Self> {
        let address = std::env::var(ADDRESS).ok().filter(|address| !address.is_empty())?;
        Some(Self::new(address))
    }

    pub(super) fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            // Asked twice a minute: no connection is kept.
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build_http(),
            part: None,
            last: None,
        }
    }

    /// The percentage since the last call; in the first, of the last second. None when no time passed.
    pub(super) async fn measure(&mut self) -> Result<Option<f64>, TaskMetadataError> {
        let measured = tokio::time::timeout(TIMEOUT, self.ask()).await;
        measured.unwrap_or(Err(TaskMetadataError::Timeout))
    }

    async fn ask(&mut self) -> Result<Option<f64>, TaskMetadataError> {
        let stats = self.get("/stats").await?;
        let cpus = stats.pointer("/cpu_stats/online_cpus").and_then(Value::as_f64);
        let cpus = cpus.filter(|cpus| *cpus > 0.0);
        let cpus = cpus.ok_or(TaskMetadataError::Missing("cpu_stats.online_cpus"))?;
        let times = Times::read(&stats, "cpu_stats").ok_or(TaskMetadataError::Missing("cpu_stats"))?;
        let part = match self.part {
            Some(part) => part,
            None => *self.part.insert(self.ask_for_part(cpus).await?),
        };
        let earlier = Times::read(&stats, "precpu_stats").filter(|earlier| earlier.machine > 0);
        let before = self.last.replace(times).or(earlier);
        Ok(before.and_then(|before| before.percentage(times, cpus / part)))
    }

    async fn ask_for_part(&self, cpus: f64) -> Result<f64, TaskMetadataError> {
        let (task, container) = (self.get("/task").await?, self.get("").await?);
        let id = container.get("DockerId").and_then(Value::as_str);
        let id = id.ok_or(TaskMetadataError::Missing("DockerId"))?;
        Ok(part_of(&task, id, cpus))
    }

    async fn get(&self, path: &str) -> Result<Value, TaskMetadataError> {
        let uri: Uri = format!("{}{path}", self.address).parse()?;
        let answer = self.client.get(uri).await?;
        if !answer.status().is_success() {
            return Err(TaskMetadataError::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), BODY_LIMIT).collect().await;
        Ok(serde_json::from_slice(
            &body.map_err(TaskMetadataError::Body)?.to_bytes(),
        )?)
    }
}

/// How many CPUs the container can count on: its part of what the task has.
fn part_of(task: &Value, container: &str, cpus: f64) -> f64 {
    let limit = |of: &Value| of.pointer("/Limits/CPU").and_then(Value::as_f64);
    let of_task = limit(task).filter(|limit| *limit > 0.0).unwrap_or(cpus);
    let shares = |container: &Value| limit(container).unwrap_or_default().max(LEAST_SHARES);
    let containers = task.get("Containers").and_then(Value::as_array);
    let containers = containers.map(Vec::as_slice).unwrap_or_default();
    let is_this = |one: &&Value| one.get("DockerId").and_then(Value::as_str) == Some(container);
    match containers.iter().find(is_this) {
        Some(this) => of_task * shares(this) / containers.iter().map(shares).sum::<f64>(),
        None => of_task,
    }
}

impl Times {
    fn read(stats: &Value, section: &str) -> Option<Self> {
        let section = stats.get(section)?;
        Some(Self {
            container: section.pointer("/cpu_usage/total_usage")?.as_u64()?,
            machine: section.get("system_cpu_usage")?.as_u64()?,
        })
    }

    /// What was used between this and `later`, where `parts` times what the container can count on are the machine.
    #[expect(clippy::cast_precision_loss, reason = "a ratio of nanoseconds of some minutes")]
    fn percentage(self, later: Self, parts: f64) -> Option<f64> {
        let passed = later.machine.checked_sub(self.machine).filter(|passed| *passed > 0)?;
        // A counter that starts again has used nothing.
        let used = later.container.saturating_sub(self.container);
        Some((100.0 * used as f64 / passed as f64 * parts).min(100.0))
    }
}
