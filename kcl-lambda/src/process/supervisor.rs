//! One process from its start to its end.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use bytestring::ByteString;
use futures::FutureExt as _;
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    child::{Child, Ended},
    config::ProcessConfig,
    report::{Board, ProcessState},
};
use crate::{
    invoke::{FunctionError, FunctionErrorKind, Invocation, RequestId},
    runtime_api::{RuntimeApi, RuntimeApiConfig},
};

/// How long what a process said before it ended may take to be read. It has all been sent; nothing is waited for but us.
const LAST_WORDS_WAIT: Duration = Duration::from_secs(1);

/// An invocation for the process, and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) invocation: Invocation,
    pub(super) reply: oneshot::Sender<Outcome>,
}

/// What became of an invocation.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The process is ready for another one, or ends by itself.
    Answered(Result<Bytes, FunctionError>),
    /// The process took too long, and has been killed.
    TimedOut(FunctionError),
    /// The process ended meanwhile.
    Crashed(FunctionError),
    /// The process never took it, and is no more.
    Untaken(String),
    /// All processes are being stopped.
    Stopped,
}

/// Why a process never came to ask for an invocation.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartFailure {
    #[error("{0:?} cannot be started: {1}")]
    Spawn(std::ffi::OsString, std::io::Error),
    #[error("the function reported that it cannot start: {0}")]
    Init(FunctionError),
    #[error("the function's process ended before it asked for an invocation: {0}")]
    Exited(String),
    #[error("the function's process did not ask for an invocation within {0:?}")]
    TooSlow(Duration),
    #[error("the function's processes are being stopped")]
    Stopped,
}

pub(super) struct Supervisor {
    pub(super) config: Arc<ProcessConfig>,
    pub(super) number: u64,
    pub(super) stop: CancellationToken,
    pub(super) board: Arc<Board>,
}

impl Supervisor {
    /// Starts a process, says how that went, gives it invocations, and ends it: when nobody wants it any more, when it is
    /// told to, or because it ended by itself.
    pub(super) async fn run(
        self,
        init: Duration,
        started: oneshot::Sender<Result<(), StartFailure>>,
        jobs: mpsc::Receiver<Job>,
    ) {
        let spawned = self.spawn().await;
        let (api, child) = match spawned {
            Ok(spawned) => spawned,
            Err(error) => {
                let _ = started.send(Err(StartFailure::Spawn(self.config.program.clone(), error)));
                return;
            }
        };
        self.board.enter(self.number, child.id());
        tracing::debug!(
            process = self.number,
            id = child.id(),
            "a process of the function starts"
        );
        self.live(&api, child, init, started, jobs).await;
        self.board.leave(self.number);
    }

    async fn spawn(&self) -> std::io::Result<(RuntimeApi, Child)> {
        let config = RuntimeApiConfig {
            response_bytes_max: self.config.response_bytes_max,
            function_name: ByteString::from(self.config.function_name.as_str()),
            function_version: ByteString::from(self.config.function_version.as_str()),
            handler: ByteString::from(self.config.handler.as_str()),
        };
        let api = RuntimeApi::bind(config).await?;
        let child = Child::spawn(&self.config, self.number, api.address())?;
        Ok((api, child))
    }

    async fn live(
        &self,
        api: &RuntimeApi,
        mut child: Child,
        init: Duration,
        mut started: oneshot::Sender<Result<(), StartFailure>>,
        mut jobs: mpsc::Receiver<Job>,
    ) {
        if let Err(failure) = self.start(api, &mut child, init, &mut started).await {
            let grace = match failure {
                StartFailure::Stopped | StartFailure::Init(_) => self.config.stop_grace,
                _ => Duration::ZERO,
            };
            self.end(api, child, grace).await;
            let _ = started.send(Err(failure));
            return;
        }
        if started.send(Ok(())).is_err() {
            // Nobody wants it any more.
            self.end(api, child, self.config.stop_grace).await;
            return;
        }
        let (grace, last) = loop {
            self.board.change(self.number, ProcessState::Idle);
            let Some(job) = self.next_job(&mut child, &mut jobs).await else {
                break (self.config.stop_grace, None);
            };
            if let Some((grace, last)) = self.invoke(api, &mut child, job).await {
                break (grace, last);
            }
        };
        // From here on nobody can give it anything; who just did hears of it, and takes another process.
        jobs.close();
        while jobs.try_recv().is_ok() {}
        let ended = self.end(api, child, grace).await;
        if let Some((reply, outcome)) = last {
            let _ = reply.send(outcome(ended));
        }
    }

    async fn start(
        &self,
        api: &RuntimeApi,
        child: &mut Child,
        init: Duration,
        started: &mut oneshot::Sender<Result<(), StartFailure>>,
    ) -> Result<(), StartFailure> {
        tokio::select! {
            biased;
            result = api.started() => result.map_err(StartFailure::Init),
            ended = child.ended() => {
                last_words(api, child).await;
                // It may have asked for an invocation too, but nobody is there to take it.
                match api.started().now_or_never() {
                    Some(Err(error)) => Err(StartFailure::Init(error)),
                    _ => Err(StartFailure::Exited(ended.describe())),
                }
            }
            () = self.stop.cancelled() => Err(StartFailure::Stopped),
            () = started.closed() => Err(StartFailure::Stopped),
            () = sleep(init) => Err(StartFailure::TooSlow(init)),
        }
    }

    async fn next_job(&self, child: &mut Child, jobs: &mut mpsc::Receiver<Job>) -> Option<Job> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            ended = child.ended() => {
                tracing::debug!(process = self.number, ended = ended.describe(), "a process of the function ended by itself");
                None
            }
            job = jobs.recv() => job,
            () = after(self.config.idle_timeout) => None,
        }
    }

    /// Gives the process an invocation. Returns how to end the process, and what to say then, if it is to end.
    async fn invoke(&self, api: &RuntimeApi, child: &mut Child, job: Job) -> Option<(Duration, Last)> {
        let Job { invocation, mut reply } = job;
        let (id, limit) = (invocation.request_id, invocation.timeout);
        let grace = self.config.stop_grace;
        if api.offer(invocation).is_err() {
            let untaken = |_| Outcome::Untaken("the process could not be given the invocation".to_owned());
            return Some((Duration::ZERO, Some((reply, Box::new(untaken)))));
        }
        tokio::select! {
            biased;
            () = api.taken() => self.board.change(self.number, ProcessState::Running(id)),
            _ = child.ended() => return Some((Duration::ZERO, Some((reply, Box::new(|ended| Outcome::Untaken(ended.describe())))))),
            () = self.stop.cancelled() => return Some((grace, Some((reply, Box::new(|_| Outcome::Stopped))))),
            () = reply.closed() => return Some((grace, None)),
            () = sleep(self.config.init_timeout) => {
                let untaken = |_| Outcome::Untaken("the process asked for no further invocation in time".to_owned());
                return Some((Duration::ZERO, Some((reply, Box::new(untaken)))));
            }
        }
        tokio::select! {
            biased;
            answer = api.answered() => {
                let _ = reply.send(Outcome::Answered(answer));
                None
            }
            ended = child.ended() => {
                last_words(api, child).await;
                let outcome = match api.answered().now_or_never() {
                    Some(answer) => Outcome::Answered(answer),
                    None => Outcome::Crashed(exited(id, ended)),
                };
                Some((Duration::ZERO, Some((reply, Box::new(|_| outcome)))))
            }
            () = self.stop.cancelled() => Some((grace, Some((reply, Box::new(|_| Outcome::Stopped))))),
            () = reply.closed() => {
                tracing::debug!(process = self.number, "an invocation was given up, and its process with it");
                Some((Duration::ZERO, None))
            }
            () = sleep(limit) => {
                let error = FunctionError::timed_out(id, limit);
                Some((Duration::ZERO, Some((reply, Box::new(|_| Outcome::TimedOut(error))))))
            }
        }
    }

    async fn end(&self, api: &RuntimeApi, child: Child, grace: Duration) -> Ended {
        self.board.change(self.number, ProcessState::Stopping);
        api.close();
        let ended = child.stop(grace).await;
        tracing::debug!(
            process = self.number,
            ended = ended.describe(),
            "a process of the function has ended"
        );
        ended
    }
}

/// What to say once the process has ended: not before, so that no two tries of one batch ever run at the same time.
type Last = Option<(oneshot::Sender<Outcome>, Box<dyn FnOnce(Ended) -> Outcome + Send>)>;

/// Waits until all that an ended process said has been read.
async fn last_words(api: &RuntimeApi, child: &Child) {
    child.kill();
    let _ = timeout(LAST_WORDS_WAIT, api.drained()).await;
}

async fn after(limit: Option<Duration>) {
    match limit {
        Some(limit) => sleep(limit).await,
        None => std::future::pending().await,
    }
}

fn exited(id: RequestId, ended: Ended) -> FunctionError {
    FunctionError::new(
        FunctionErrorKind::Exited,
        "Runtime.ExitError",
        format!("RequestId: {id} Error: {}", ended.describe()),
    )
}
