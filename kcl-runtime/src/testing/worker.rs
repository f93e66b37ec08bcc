//! [`TestWorker`]: a worker that runs in a world.

use std::sync::{Arc, Mutex};

use kcl_core::WorkerId;
use tokio::task::JoinHandle;

use super::{TestWorld, report::WorkerState, world::lock};
use crate::{ConfigError, FunctionWorkerBuilder, ProcessorWorkerBuilder, Report, Worker, WorkerError, WorkerHandle};

/// What can be started in a world: a worker, or a builder that has only to be built.
pub trait IntoWorker {
    /// Makes the worker.
    ///
    /// # Errors
    /// If a setting is out of range.
    fn into_worker(self) -> Result<Worker, ConfigError>;
}

impl IntoWorker for Worker {
    fn into_worker(self) -> Result<Worker, ConfigError> {
        Ok(self)
    }
}

impl IntoWorker for FunctionWorkerBuilder {
    fn into_worker(self) -> Result<Worker, ConfigError> {
        self.build()
    }
}

impl IntoWorker for ProcessorWorkerBuilder {
    fn into_worker(self) -> Result<Worker, ConfigError> {
        self.build()
    }
}

/// One life of a worker, as the world remembers it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: WorkerId,
    pub(super) handle: WorkerHandle,
    /// How it ended; nothing while it runs.
    end: Mutex<Option<End>>,
}

#[derive(Clone, Debug)]
enum End {
    Crashed,
    Ended(Result<(), WorkerError>),
}

impl Member {
    fn is_running(&self) -> bool {
        lock(&self.end).is_none()
    }

    pub(super) async fn state(&self) -> WorkerState {
        let report = self.handle.report().await;
        match (lock(&self.end).clone(), report) {
            (Some(End::Crashed), _) => WorkerState::Crashed,
            (Some(End::Ended(result)), _) => WorkerState::Ended(result),
            (None, Some(report)) => WorkerState::Running(report),
            (None, None) => WorkerState::Ending,
        }
    }
}

impl TestWorld {
    /// Starts a worker, made by [`worker`](Self::worker), in a task of its own.
    ///
    /// It runs until it is stopped or crashed, or the test ends, also if what this gives is dropped.
    ///
    /// # Panics
    /// If the worker cannot be built.
    #[track_caller]
    pub fn start(&self, worker: impl IntoWorker) -> TestWorker {
        let worker = worker
            .into_worker()
            .unwrap_or_else(|error| panic!("the worker cannot be built: {error}"));
        let member = Arc::new(Member {
            id: worker.id().clone(),
            handle: worker.handle(),
            end: Mutex::default(),
        });
        let mut members = lock(&self.inner.members);
        members.retain(|other| other.id != member.id || other.is_running());
        members.push(Arc::clone(&member));
        drop(members);
        let ending = Arc::clone(&member);
        let task = tokio::spawn(async move {
            let result = worker.run().await;
            *lock(&ending.end) = Some(End::Ended(result.clone()));
            result
        });
        TestWorker {
            world: self.clone(),
            member,
            task,
        }
    }
}

/// A worker that runs in a world.
#[derive(Debug)]
pub struct TestWorker {
    world: TestWorld,
    member: Arc<Member>,
    task: JoinHandle<Result<(), WorkerError>>,
}

impl TestWorker {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.member.id.as_str()
    }

    /// Talks to it.
    #[must_use]
    pub fn handle(&self) -> &WorkerHandle {
        &self.member.handle
    }

    /// How it is.
    ///
    /// # Panics
    /// If it ended.
    pub async fn report(&self) -> Report {
        match self.member.handle.report().await {
            Some(report) => report,
            None => panic!("{} has ended\n{}", self.name(), self.world.report().await),
        }
    }

    /// Waits until its own report satisfies `condition`, and gives that report; `what` names it in the panic.
    ///
    /// # Panics
    /// If it ends first, or that does not come true within the virtual deadline.
    pub async fn until(&self, what: &str, condition: impl FnMut(&Report) -> bool) -> Report {
        let waited = self.world.in_time(what, self.member.handle.wait_until(condition)).await;
        match waited {
            Some(report) => report,
            None => panic!("{} ended before {what}\n{}", self.name(), self.world.report().await),
        }
    }

    /// Shuts it down cleanly: it finishes what is under way, checkpoints and gives its leases back.
    ///
    /// # Panics
    /// If it cannot, or not within the virtual deadline. To look at the error, use
    /// [`shutdown`](WorkerHandle::shutdown) and [`ended`](Self::ended).
    pub async fn stop(self) {
        self.member.handle.shutdown().await;
        let (world, name) = (self.world.clone(), self.name().to_owned());
        if let Err(error) = self.ended().await {
            panic!("{name} did not stop cleanly: {error}\n{}", world.report().await);
        }
    }

    /// Waits until it ends on its own, and says how.
    ///
    /// # Errors
    /// As the worker ended.
    ///
    /// # Panics
    /// If it does not end within the virtual deadline.
    pub async fn ended(self) -> Result<(), WorkerError> {
        let what = format!("{} ended", self.name());
        match self.world.in_time(&what, self.task).await {
            Ok(result) => result,
            Err(error) => panic!("{} failed: {error}", self.member.id),
        }
    }

    /// Ends it as a crash does: nothing is finished, written or told to anybody.
    pub async fn crash(self) {
        self.task.abort();
        // Cancelled, which is what was asked for, or over already.
        let _ = self.task.await;
        lock(&self.member.end).get_or_insert(End::Crashed);
    }
}
