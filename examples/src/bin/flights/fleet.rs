//! The workers: this is what a consumer looks like.

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_sdk_kinesis::Client;
use kcl_checkpoint::SqliteLeaseStore;
use kcl_core::{ApplicationName, Batch, StreamName, WorkerId};
use kcl_runtime::{Config, KinesisSource, Worker, WorkerError, WorkerHandle};
use tokio::task::JoinHandle;

use crate::{STREAM, audit::Audit, display::Display};

/// What the workers of the fleet have in common.
pub(crate) struct Fleet {
    client: Client,
    leases: PathBuf,
    audit: Arc<Audit>,
    display: Display,
}

impl Fleet {
    pub(crate) fn new(client: Client, leases: &Path, audit: Arc<Audit>, display: Display) -> Self {
        Self {
            client,
            leases: leases.to_owned(),
            audit,
            display,
        }
    }

    /// Starts a worker.
    pub(crate) async fn start(&self, name: &str) -> Result<Running, Box<dyn Error>> {
        let application = ApplicationName::new("delays")?;
        let store = SqliteLeaseStore::open(&self.leases, application.clone()).await?;
        let source = KinesisSource::new(self.client.clone(), StreamName::new(STREAM)?);
        let (audit, display) = (Arc::clone(&self.audit), self.display.clone());
        let worker = Worker::builder(application, source, Arc::new(store))
            .worker_id(WorkerId::new(name)?)
            .config(lively())
            .function(move |batch: Batch| {
                let (audit, display) = (Arc::clone(&audit), display.clone());
                async move {
                    display.handled(audit.note(&batch)? as u64);
                    Ok::<_, serde_json::Error>(())
                }
            })
            .build()?;
        let handle = worker.handle();
        let watching = tokio::spawn(self.display.clone().watch(name.to_owned(), handle.clone()));
        Ok(Running {
            handle,
            running: tokio::spawn(worker.run()),
            watching,
        })
    }
}

/// Quicker than the defaults, which are made for a service that counts requests.
fn lively() -> Config {
    let mut config = Config::default();
    config.failover_time = Duration::from_secs(2);
    config.idle_time_between_reads = Duration::from_millis(20);
    config.idle_time_at_tip = Duration::from_millis(50);
    config.max_records = 200;
    config
}

/// A worker that runs.
pub(crate) struct Running {
    handle: WorkerHandle,
    running: JoinHandle<Result<(), WorkerError>>,
    watching: JoinHandle<()>,
}

impl Running {
    /// Stops the worker: it finishes its batches, checkpoints and gives its leases back.
    pub(crate) async fn stop(self) -> Result<(), Box<dyn Error>> {
        self.handle.shutdown().await;
        self.running.await??;
        self.watching.await?;
        Ok(())
    }
}
