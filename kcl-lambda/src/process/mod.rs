//! [`ProcessPool`]: a function in processes of its own, each of which speaks the Runtime API.
//!
//! `supervisor` takes one process from its start to its end, `child` is what the operating system has of it, `guard` ends it
//! if we cannot any more; `environment` and `output` are what it finds and where it prints, `restarts` says when the next
//! may be started.

mod child;
mod config;
mod environment;
mod guard;
mod output;
mod report;
mod restarts;
mod supervisor;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use kcl_core::Tick;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    config::{InvalidProcessConfig, ProcessConfig},
    output::{Output, OutputSink, OutputStream},
    report::{ProcessReport, ProcessState},
};
use self::{
    report::Board,
    restarts::Restarts,
    supervisor::{Job, Outcome, StartFailure, Supervisor},
};
use crate::invoke::{Invocation, Invoke, InvokeError};

/// So many processes in a row may end between two invocations before an invocation is given up for now.
const UNTAKEN_MAX: u32 = 3;

/// A function in processes of its own, at most [`ProcessConfig::concurrency`] at a time.
///
/// A process is started when an invocation finds none that is idle, stays warm, and is replaced when it ends: by itself,
/// because an invocation took too long, or because one was given up. An invocation is answered with an error only when its
/// process is gone, so that a retry never runs beside what it retries. Processes that cannot start are tried again with
/// growing pauses, and meanwhile all invocations are refused with the reason.
///
/// A function's processes and all that they start are in process groups, which end with the pool: when
/// [`shutdown`](Self::shutdown) says so, when the pool is dropped, and also when this program is killed.
///
/// Clones are the same pool.
#[derive(Clone, Debug)]
pub struct ProcessPool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Arc<ProcessConfig>,
    /// One for every invocation that may run.
    permits: Semaphore,
    /// The one that was used last is used first, so that the others can be let go.
    idle: Mutex<Vec<Process>>,
    restarts: Mutex<Restarts>,
    numbers: AtomicU64,
    origin: Instant,
    stop: CancellationToken,
    supervisors: TaskTracker,
    board: Arc<Board>,
}

/// A process that has started. To drop it is to end it.
#[derive(Debug)]
struct Process {
    jobs: mpsc::Sender<Job>,
}

impl Process {
    async fn run(&self, invocation: Invocation) -> Outcome {
        let (reply, answer) = oneshot::channel();
        let gone = || Outcome::Untaken("the process ended by itself".to_owned());
        if self.jobs.send(Job { invocation, reply }).await.is_err() {
            return gone();
        }
        answer.await.unwrap_or_else(|_| gone())
    }
}

impl ProcessPool {
    /// A pool without any process: the first invocation starts one.
    ///
    /// # Errors
    ///
    /// A setting is out of range.
    #[expect(
        clippy::disallowed_methods,
        reason = "pauses between starts are counted from here, on the runtime's timer"
    )]
    pub fn new(config: ProcessConfig) -> Result<Self, InvalidProcessConfig> {
        config.validate()?;
        Ok(Self {
            shared: Arc::new(Shared {
                permits: Semaphore::new(config.concurrency),
                idle: Mutex::default(),
                restarts: Mutex::new(Restarts::new(config.restart_pause_first, config.restart_pause_max)),
                numbers: AtomicU64::new(1),
                origin: Instant::now(),
                stop: CancellationToken::new(),
                supervisors: TaskTracker::new(),
                board: Arc::default(),
                config: Arc::new(config),
            }),
        })
    }

    /// The processes that there are, by the numbers that the pool gave them.
    #[must_use]
    pub fn processes(&self) -> BTreeMap<u64, ProcessReport> {
        self.shared.board.read()
    }

    /// Waits until the processes are as `is` says.
    pub async fn when(&self, is: impl Fn(&BTreeMap<u64, ProcessReport>) -> bool) -> BTreeMap<u64, ProcessReport> {
        self.shared.board.when(is).await
    }

    /// Ends all processes and waits for that: SIGTERM to each and all that it started, SIGKILL after
    /// [`ProcessConfig::stop_grace`]. Invocations that run or wait end with [`InvokeError::NotInvoked`]; let them finish
    /// first if they are to count. Nothing can be invoked afterwards.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.shared.supervisors.close();
        self.shared.supervisors.wait().await;
    }

    /// An idle process, or a new one.
    async fn ready(&self, invocation: &Invocation) -> Result<Process, InvokeError> {
        // One that has ended meanwhile takes no more jobs.
        while let Some(process) = lock(&self.shared.idle).pop() {
            if !process.jobs.is_closed() {
                return Ok(process);
            }
        }
        let began = self.now();
        if let Err((reason, remaining)) = lock(&self.shared.restarts).may_start(began) {
            return Err(not_invoked(reason, Some(remaining)));
        }
        let init = self.shared.config.init_timeout;
        let mut started = self.start(init).await;
        // As on Lambda: an initialization that is too slow is made again in the time of the invocation.
        if matches!(started, Err(StartFailure::TooSlow(_))) && invocation.timeout > init {
            started = self.start(invocation.timeout).await;
        }
        match started {
            Ok(process) => {
                lock(&self.shared.restarts).started();
                Ok(process)
            }
            Err(StartFailure::Stopped) => Err(not_invoked(STOPPED, None)),
            Err(failure) => {
                let reason = failure.to_string();
                let pause = lock(&self.shared.restarts).start_failed(began, self.now(), &reason);
                tracing::warn!(pause = ?pause, "a process of the function could not start");
                Err(not_invoked(reason, Some(pause)))
            }
        }
    }

    async fn start(&self, init: Duration) -> Result<Process, StartFailure> {
        let shared = &self.shared;
        let supervisor = Supervisor {
            config: Arc::clone(&shared.config),
            number: shared.numbers.fetch_add(1, Ordering::Relaxed),
            stop: shared.stop.clone(),
            board: Arc::clone(&shared.board),
        };
        let (started, has_started) = oneshot::channel();
        let (jobs, its_jobs) = mpsc::channel(1);
        shared.supervisors.spawn(supervisor.run(init, started, its_jobs));
        has_started.await.unwrap_or(Err(StartFailure::Stopped))?;
        Ok(Process { jobs })
    }

    fn now(&self) -> Tick {
        Tick::from_origin(self.shared.origin.elapsed())
    }
}

#[async_trait]
impl Invoke for ProcessPool {
    async fn invoke(&self, invocation: Invocation) -> Result<Bytes, InvokeError> {
        let shared = &self.shared;
        let permit = tokio::select! {
            biased;
            () = shared.stop.cancelled() => None,
            permit = shared.permits.acquire() => permit.ok(),
        };
        let Some(_permit) = permit else {
            return Err(not_invoked(STOPPED, None));
        };
        let mut reason = String::new();
        for _ in 0..UNTAKEN_MAX {
            let process = self.ready(&invocation).await?;
            match process.run(invocation.clone()).await {
                Outcome::Answered(answer) => {
                    lock(&shared.restarts).answered();
                    lock(&shared.idle).push(process);
                    return Ok(answer?);
                }
                Outcome::TimedOut(error) => return Err(error.into()),
                Outcome::Crashed(error) => {
                    lock(&shared.restarts).crashed(self.now(), &error.message);
                    return Err(error.into());
                }
                Outcome::Untaken(why) => reason = why,
                Outcome::Stopped => return Err(not_invoked(STOPPED, None)),
            }
        }
        let reason = format!("{UNTAKEN_MAX} processes in a row ended before they took the invocation: {reason}");
        let pause = lock(&shared.restarts).start_failed(self.now(), self.now(), &reason);
        Err(not_invoked(reason, Some(pause)))
    }
}

fn not_invoked(reason: impl Into<String>, retry_after: Option<Duration>) -> InvokeError {
    InvokeError::NotInvoked {
        reason: reason.into(),
        retry_after,
    }
}

const STOPPED: &str = "the function's processes are being stopped";

/// What is locked stays whole: nothing that could panic runs meanwhile.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
